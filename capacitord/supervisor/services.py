"""What the control plane asks of the rest of the daemon, and what it has to say of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import msgspec

from capacitord.api.messages import EventQuery
from capacitord.api.preflight import RunPreflight
from capacitord.api.routes import Route
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.relay import Answer


class Outcome(msgspec.Struct, frozen=True):
    """An answer of the box, and what the audit log should say of it."""

    answer: msgspec.Struct
    subjects: tuple[str, ...] = ()
    detail: str = ""


class Entry(NamedTuple):
    """What the audit log is to say of a request; `deed` is what its entries have in common."""

    action: str
    subjects: tuple[str, ...]
    detail: str
    result: str
    deed: str


class Services(Protocol):
    """What the control plane asks of the rest of the daemon."""

    async def answer(self, route: Route, peer: Peer, request: Any) -> Outcome:
        """Answer one of the box's routes. Raises `CapacitordError`."""
        ...

    def events(self, query: EventQuery) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a stream of events, each a line. Raises `TryAgain` if there are too many."""
        ...

    def ask_site(
        self, route: Route, peer: Peer, request: Any, gone: Callable[[], bool], deed: str
    ) -> AbstractAsyncContextManager[Answer]:
        """Ask the runtime of the open site, for as long as whoever asks is not `gone`.

        Without one, what is left at a departure is answered here.

        `deed` is the id by which the audit log has it begun, empty for what is not in there. Raises `CapacitordError`
        if it can't answer.
        """
        ...

    def ask_scanners(
        self, request: RunPreflight, gone: Callable[[], bool], note: Callable[[str], None]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Have the probe ask the scanners, for as long as whoever asks is not `gone`.

        `note` is told what each time came to, in words that are free of patient data.
        The pieces are its answer, to be passed on unread; they raise `CutOff` if it is not whole. Raises
        `CapacitordError` if nobody can be asked.
        """
        ...

    async def name_study(self, peer: Peer, reference: str, gone: Callable[[], bool], said: str) -> str:
        """Return the short id of the study of the open site that is called so.

        Raises `CapacitordError` if none is, or if what is `said` of why names its patient.
        """
        ...

    async def name_entry(self, peer: Peer, reference: str, gone: Callable[[], bool], said: str) -> str:
        """Return the short id of the worklist entry that is called so. Raises as `name_study` does."""
        ...

    async def write_audit(self, peer: Peer, entry: Entry) -> None:
        """Write an entry; it is on stable storage on return. Raises `StorageFailed`."""
        ...
