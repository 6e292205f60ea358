"""What remains on the scanners, for whoever asks by hand: the probe's list passed on unread, its counts to the gate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, NamedTuple

from capacitord.api.preflight import RunPreflight
from capacitord.errors import CapacitordError
from capacitord.link.probe import Heading
from capacitord.model.preflight import Preflight
from capacitord.supervisor.relay import CutOff
from capacitord.supervisor.serving import Serving

_PAUSE: Final = 3.0
"""Seconds between two times that scanners are asked for somebody who watches."""
_LOOK: Final = 0.25
_NONE: Final = "no site is active or was named"


class Scanners:
    """Asks the scanners of the box for people."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @asynccontextmanager
    async def ask(
        self, request: RunPreflight, gone: Callable[[], bool], note: Callable[[str], None]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `services.Services`. Raises what reading the profile of the site does, and `TryAgain` without a probe."""
        heading = await self._heading(request.site)
        first = await self._once(heading)
        async with aclosing(self._lines(heading, first, gone, note, watch=request.watch)) as lines:
            yield lines

    async def _heading(self, named: str) -> Heading:
        serving = self._serving
        site = named or serving.site
        if not site:
            return Heading("", needed=False, reason=_NONE)
        stored = await asyncio.to_thread(serving.profiles.read, site)
        required = serving.requires(stored.profile)
        need = serving.clearing.need(site, required=required)
        return Heading(site, need is not None, need or serving.clearing.without(site, required=required))

    async def _lines(
        self, heading: Heading, first: _Told, gone: Callable[[], bool], note: Callable[[str], None], *, watch: bool
    ) -> AsyncGenerator[bytes, None]:
        told = first
        while True:
            note(told.found.sentence)
            yield told.line
            # Where nobody is asked nothing turns.
            if told.found.clean or not watch or not told.found.scanners:
                return
            for _ in range(int(_PAUSE / _LOOK)):
                await asyncio.sleep(_LOOK)
                if gone():
                    return
            try:
                told = await self._once(await self._heading(heading.site))
            except CapacitordError:
                raise CutOff from None

    async def _once(self, heading: Heading) -> _Told:
        """Ask all scanners once, and tell the gate. Raises `TryAgain` if there is no probe."""
        clearing = self._serving.clearing
        question = clearing.question()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            reading = asyncio.create_task(reader.read())
            try:
                found = await self._serving.prober.remains(clearing.scanners, clearing.limits, heading, theirs.fileno())
                theirs.close()
                line = await reading
            finally:
                reading.cancel()
                writer.transport.abort()
        clearing.take(found, question)
        return _Told(line, found)


class _Told(NamedTuple):
    """What the probe wrote, which is nobody's here to read, and what it came to."""

    line: bytes
    found: Preflight
