"""A worklist port for a test, and the list it answers from."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from capacitord.dicom.worklist.entries import Entries, Snapshot
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.scp import WorklistServer, WorklistSettings
from capacitord.model.worklist import Sought
from tests.dicom.serving import HOST
from tests.dicom.worklist.kit import Said, entry


@dataclass
class Held:
    """A list in memory; `later` is what it is after the source was asked."""

    now: Snapshot
    later: Snapshot | None = None
    looks: int = 0
    sought: Sought | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot:
        return self.now

    def look_again(self, sought: Sought | None) -> Snapshot | None:
        with self.lock:
            self.looks += 1
            self.sought = sought
        return self.later


@dataclass
class Scp:
    """A running worklist SCP."""

    server: WorklistServer
    held: Entries
    port: int


def listed(said: Sequence[Said], characters: str = "") -> list[Entry]:
    return [entry(each, characters) for each in said]


@contextlib.contextmanager
def serving(held: Entries | Sequence[Said], settings: WorklistSettings | None = None) -> Iterator[Scp]:
    """Run a server that answers from these entries."""
    if isinstance(held, Sequence):
        held = Held(Snapshot(listed(held), 1.0))
    listener = socket.create_server((HOST, 0), backlog=64)
    port: int = listener.getsockname()[1]
    server = WorklistServer(listener, held, settings or WorklistSettings())
    server.start()
    try:
        yield Scp(server, held, port)
    finally:
        server.stop(0)
