"""The runtime's requests for connections, each answered once, and never to another runtime than the one that asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from capacitord.errors import CapacitordError
from capacitord.link.messages import Connect, Connected
from capacitord.model.destination import Destination
from capacitord.supervisor.broker import Connection, connect, later
from capacitord.supervisor.relay import Runtime

_log = logging.getLogger(__name__)
MOST: Final = 256


class Broker:
    """Connects for one runtime at a time. `destinations` are those of its profile; nothing else is reachable."""

    def __init__(self, runtime: Runtime) -> None:
        self.destinations: Mapping[str, Destination] = {}
        self._runtime = runtime
        self._attempts: set[asyncio.Task[None]] = set()

    def ask(self, wanted: Connect) -> None:
        """Begin to answer a request."""
        destination = self.destinations.get(wanted.destination)
        if destination is None:
            _log.warning("the runtime asked for a destination that its profile does not name")
            self._answer(wanted, Connection(None, later("the site's profile has no destination of that name"), 0.0))
        elif len(self._attempts) >= MOST:
            self._answer(wanted, Connection(None, later("too many connections are being made at once"), 0.0))
        else:
            attempt = asyncio.create_task(self._attempt(wanted, destination))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    def drop(self) -> None:
        """Give all attempts up: the runtime that asked is gone, and the next one counts its requests anew."""
        for attempt in self._attempts:
            attempt.cancel()

    async def _attempt(self, wanted: Connect, destination: Destination) -> None:
        self._answer(wanted, await connect(destination))

    def _answer(self, wanted: Connect, made: Connection) -> None:
        descriptor = None if made.socket is None else made.socket.fileno()
        try:
            self._runtime.send(Connected(wanted.request, made.seconds, made.failure), descriptor)
        except CapacitordError:
            _log.info("a connection to %s came too late", wanted.destination)
        finally:
            if made.socket is not None:
                made.socket.close()
