"""The runtime's requests for connections, each answered once, and never to another runtime than the one that asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Final, Protocol

from capacitord.errors import CapacitordError
from capacitord.link.messages import Connect, Connected
from capacitord.model.destination import Destination
from capacitord.supervisor import relay
from capacitord.supervisor.broker import Connection, connect, later

_log = logging.getLogger(__name__)
MOST: Final = 256
"""Connections that are made at once."""
MOST_UNANSWERED: Final = 2 * MOST
"""Requests that may wait for their answer, refusals included. A runtime never asks for more before it reads some."""
_AGAIN: Final = 0.5


class Runtime(relay.Runtime, Protocol):
    """What a broker needs of the runtime that runs."""

    def break_off(self, reason: str) -> None:
        """End it, because it broke the contract of the link."""
        ...


class Broker:
    """Connects for one runtime at a time. `destinations` are those of its profile; nothing else is reachable."""

    def __init__(self, runtime: Runtime) -> None:
        self.destinations: Mapping[str, Destination] = {}
        self._runtime = runtime
        self._attempts: set[asyncio.Task[None]] = set()

    def ask(self, wanted: Connect) -> None:
        """Begin to answer a request."""
        if len(self._attempts) >= MOST_UNANSWERED:
            self._runtime.break_off(f"it asks for more than {MOST_UNANSWERED} connections and takes no answer")
            return
        destination = self.destinations.get(wanted.destination)
        if destination is None:
            _log.warning("the runtime asked for a destination that its profile does not name")
            self._refuse(wanted, "The site's profile has no destination of that name.")
        elif len(self._attempts) >= MOST:
            self._refuse(wanted, "Too many connections are being made at once.")
        else:
            self._begin(self._attempt(wanted, destination))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        attempt = asyncio.create_task(work)
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    def drop(self) -> None:
        """Give all attempts up: the runtime that asked is gone, and the next one counts its requests anew."""
        for attempt in self._attempts:
            attempt.cancel()

    async def _attempt(self, wanted: Connect, destination: Destination) -> None:
        try:
            made = await connect(destination)
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            _log.exception("a connection to %s failed in an unforeseen way", wanted.destination)
            made = Connection(None, later(f"An unforeseen error in this box: {type(error).__name__}."), 0.0)
        if made.socket is None:
            await self._answer(Connected(wanted.request, made.seconds, made.failure))
            return
        with made.socket as connected:
            try:
                self._runtime.send(Connected(wanted.request, made.seconds), connected.fileno())
            except (CapacitordError, OSError) as error:
                words = error.message if isinstance(error, CapacitordError) else str(error.strerror)
                _log.warning("a connection to %s could not be handed over: %s", wanted.destination, words)
                failure = later("The connection was made, and could not be handed over.")
            else:
                return
        await self._answer(Connected(wanted.request, made.seconds, failure))

    def _refuse(self, wanted: Connect, reason: str) -> None:
        self._begin(self._answer(Connected(wanted.request, 0.0, later(reason))))

    async def _answer(self, answer: Connected) -> None:
        """Say that there is no connection, again and again until it is heard: nobody is to wait for it in vain."""
        while True:
            try:
                self._runtime.send(answer)
            except (CapacitordError, OSError):
                await asyncio.sleep(_AGAIN)
            else:
                return
