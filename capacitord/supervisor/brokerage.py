"""The runtime's requests for connections, each answered once, and never to another runtime than the one that asked.

A runtime names who it wants to be connected to; where that is, the profile says, and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from capacitord.errors import CapacitordError
from capacitord.link.messages import Connect, Connected, Peer
from capacitord.model.destination import Destination
from capacitord.model.profile import Profile, Worklist
from capacitord.supervisor import relay
from capacitord.supervisor.broker import Connection, Lookups, connect, later

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


Named = tuple[Peer, str]
"""How a runtime names a peer: what it is, and which destination."""

NOWHERE: Final[Mapping[Named, Destination]] = MappingProxyType({})


def peers_of(profile: Profile) -> dict[Named, Destination]:
    """Return everybody that a profile names, and that its site's runtime may be connected to."""
    found = {(Peer.DESTINATION, destination.name): destination for destination in profile.destinations}
    if profile.worklist is not None:
        found[Peer.WORKLIST, ""] = worklist_source(profile.worklist)
    return found


def worklist_source(worklist: Worklist) -> Destination:
    """Return where the source of a worklist is, to be connected to."""
    source = worklist.source
    return Destination(
        "the worklist's source",
        source.ae_title,
        source.host,
        source.port,
        connect_timeout=source.connect_timeout,
    )


class Broker:
    """Connects for one runtime at a time. `peers` are those of its profile; nothing else is reachable.

    `own_ports` are those at which this box takes images in and answers scanners.
    """

    def __init__(self, runtime: Runtime, own_ports: Collection[int] = ()) -> None:
        self.peers: Mapping[Named, Destination] = NOWHERE
        self._runtime, self._own_ports = runtime, own_ports
        self._attempts: set[asyncio.Task[None]] = set()
        self._lookups: Lookups = set()

    def ask(self, wanted: Connect) -> None:
        """Begin to answer a request."""
        if len(self._attempts) >= MOST_UNANSWERED:
            self._runtime.break_off(f"it asks for more than {MOST_UNANSWERED} connections and takes no answer")
            return
        destination = self.peers.get((wanted.peer, wanted.destination))
        if destination is None:
            _log.warning("the runtime asked for a %s that its profile does not name", wanted.peer)
            has_no = "destination of that name" if wanted.peer is Peer.DESTINATION else "worklist"
            self._refuse(wanted, f"The site's profile has no {has_no}.")
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
            made = await connect(destination, self._lookups, self._own_ports)
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            _log.exception("a connection to %s failed in an unforeseen way", destination.name)
            made = Connection(None, later(f"An unforeseen error in this box: {type(error).__name__}."), 0.0)
        if made.socket is None:
            await self._answer(Connected(wanted.request, made.seconds, made.failure))
            return
        with made.socket as connected:
            try:
                self._runtime.send(Connected(wanted.request, made.seconds), connected.fileno())
            except (CapacitordError, OSError) as error:
                words = error.message if isinstance(error, CapacitordError) else str(error.strerror)
                _log.warning("a connection to %s could not be handed over: %s", destination.name, words)
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
