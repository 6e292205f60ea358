"""Receivers as the bench sees them: started fresh for each round, their processes' costs read at its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from capacitord.api import messages as m
from tests.peers.orthanc import Orthanc
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target

TICKS = os.sysconf("SC_CLK_TCK")
BARE = ("/usr/bin/env", "PATH=/nowhere")
"""In front of the box's command: it finds no bubblewrap then, and its runtimes are ordinary processes."""


class Cost(NamedTuple):
    """What a receiver's processes took: CPU seconds, and the largest resident size of one of them in MiB."""

    cpu: float
    peak: float


class Receiver(NamedTuple):
    """A receiver that runs: where it listens, how many images it holds, what it cost so far."""

    port: int
    ae_title: str
    images: Callable[[], int]
    pids: Callable[[], list[int]]

    def cost(self) -> Cost:
        """Return what its processes took so far."""
        cpu = peak = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # With the children that have ended: storescp makes one for each association.
                cpu += sum(map(int, fields[11:15])) / TICKS
                status = Path(f"/proc/{pid}/status").read_text()
                peak = max(peak, int((status.partition("VmHWM:")[2].split() or ["0"])[0]) / 1024)
        return Cost(cpu, peak)


@contextlib.contextmanager
def ours(folder: Path, *targets: Target, before: Sequence[str] = ()) -> Iterator[tuple[Receiver, Box]]:
    """Run the box: sealed, synced, with an encrypted catalog, as it always is; its runtime contained if not `BARE`."""
    with Box(folder, *(targets or (Target("pacs", "NOBODY", 9),)), before=before) as box:
        if not targets:
            box.client.queue_pause(m.ALL)

        def images() -> int:
            return box.traffic().spool.images

        def pids() -> list[int]:
            return [box.program.pid, *box.program.descendants()]

        yield Receiver(box.port, AE_TITLE, images, pids), box


@contextlib.contextmanager
def orthanc(folder: Path, *, nagle: bool) -> Iterator[Receiver]:
    """Run Orthanc as it is installed."""
    folder.mkdir(parents=True)
    with Orthanc(folder, nagle=nagle) as peer:

        def images() -> int:
            return int(peer.statistics()["CountInstances"])

        yield Receiver(peer.port, peer.ae_title, images, lambda: [peer.program.pid, *peer.program.descendants()])


@contextlib.contextmanager
def storescp(folder: Path, *, nagle: bool) -> Iterator[Receiver]:
    """Run DCMTK's storescp as it is installed; associations side by side need its --fork."""
    folder.mkdir(parents=True)
    with Storescp(folder, nagle=nagle, options=("--fork",)) as peer:

        def images() -> int:
            return sum(1 for _ in peer.received_path.iterdir())

        yield Receiver(peer.port, peer.ae_title, images, lambda: [peer.program.pid, *peer.program.descendants()])
