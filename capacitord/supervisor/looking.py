"""A look into the spool of a site that is not served: its runtime is started without a port, asked, and ended.

It gets no connection to anywhere, so that nothing leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from capacitord.api import messages as m
from capacitord.api.routes import route
from capacitord.errors import CapacitordError, TryAgain
from capacitord.link.channel import LinkClosed
from capacitord.link.messages import Connect, Connected, FromRuntime, Ready, Start, ToRuntime
from capacitord.supervisor import relay
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.broker import later
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.process import RuntimeProcess

_NAMED: Final = 10
_GRACE: Final = 5.0
_NOT_NOW: Final = "This site is not active."


class Waiting(msgspec.Struct, frozen=True):
    """Studies that have not left: how many, and some of them, each by its short id and why it waits."""

    total: int
    named: tuple[str, ...] = ()


class _Delivery(msgspec.Struct, frozen=True):
    images: int
    acknowledged: int


class _Study(msgspec.Struct, frozen=True):
    """Of a study only its short id and what waits of it: the supervisor reads no patient data."""

    id: str
    held: int
    unrouted: int
    conflicts: int
    deliveries: tuple[_Delivery, ...]

    def named(self) -> str:
        owed = any(each.acknowledged < each.images for each in self.deliveries)
        kinds = (
            (self.held, "held"),
            (self.unrouted, "to be routed"),
            (self.conflicts, "in conflict"),
            (owed, "undelivered"),
        )
        # A later runtime may have reasons to list a study that are not known here.
        return f"{self.id}  {', '.join(kind for waits, kind in kinds if waits) or 'undelivered'}"


class _Page(msgspec.Struct, frozen=True):
    total: int
    studies: tuple[_Study, ...]


class _Runtime:
    """The runtime as `relay.ask` wants it."""

    def __init__(self, process: RuntimeProcess) -> None:
        self._process = process

    @property
    def connected(self) -> bool:
        return self._process.link.connected

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        try:
            self._process.link.send(message, descriptor)
        except LinkClosed:
            raise TryAgain("the site's runtime has just ended", hint="Try again.") from None


async def waiting(runtime: relay.Runtime, bounds: Bounds, peer: Peer) -> Waiting:
    """Return the studies that wait for a route, a person or a destination. Raises `CapacitordError`."""
    query = m.StudyQuery(undelivered=True, limit=_NAMED)
    async with relay.ask(runtime, route("study.list"), query, peer, bounds, gone=lambda: False) as answer:
        try:
            body = await relay.body_of(answer)
            page = msgspec.json.decode(body, type=_Page)
        except (relay.CutOff, msgspec.DecodeError):
            msg = "the site's runtime did not say which studies it has"
            raise TryAgain(msg, hint="See why: journalctl -u capacitord -n 100. Then try again.") from None
    return Waiting(page.total, tuple(study.named() for study in page.studies))


async def waiting_in(launcher: Launcher, start: Start, bounds: Bounds, peer: Peer) -> Waiting:
    """Return the same of a spool that no runtime has open. Raises `CapacitordError`."""
    async with _running(launcher, start, bounds) as runtime:
        return await waiting(runtime, bounds, peer)


@asynccontextmanager
async def _running(launcher: Launcher, start: Start, bounds: Bounds) -> AsyncIterator[_Runtime]:
    ready = asyncio.Event()

    def received(message: FromRuntime) -> None:
        if isinstance(message, Ready):
            ready.set()
        elif isinstance(message, Connect):
            # One that reads nothing has no use for an answer.
            with contextlib.suppress(CapacitordError, LinkClosed):
                process.link.send(Connected(message.request, 0.0, later(_NOT_NOW)))

    process = await RuntimeProcess.start(launcher, start, bounds, received=received, ended=lambda _: None)
    ended = asyncio.create_task(process.wait())
    try:
        started = asyncio.create_task(ready.wait())
        await asyncio.wait({started, ended}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if not ready.is_set():
            problem = await ended
            msg = f"the spool can't be looked into: {problem.message}"
            raise CapacitordError(msg, where=start.profile.id, hint=problem.hint)
        yield _Runtime(process)
    finally:
        process.stop(_GRACE)
        await ended
