"""How fast images are taken in: images/s seen from the sender, by receiver, workload and number of associations.

What a sender takes to start, to associate and to end is measured with one image each and left out.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.receivers import BARE, Cost, Receiver, orthanc, ours, storescp
from tests.bench.workloads import Workload
from tests.peers.program import dcmtk_environment

STORESCU = "/usr/bin/storescu"
UNCONTAINED = "capacitord, uncontained"
_PATIENCE = 900


class Load(NamedTuple):
    """What senders send at once, a folder each: one image, another one, then all."""

    first: list[Path]
    again: list[Path]
    folders: list[Path]
    images: int

    @classmethod
    def of(cls, workload: Workload, folder: Path, associations: int = 1) -> Load:
        """Write a workload's images into `folder`, unless they are there."""
        first = workload.write_one(folder, associations, "first")
        again = workload.write_one(folder, associations, "again")
        return cls(first, again, workload.write(folder, associations), workload.images)


class Round(NamedTuple):
    """One round: the seconds an image took, and what the receiver's processes cost."""

    seconds: float
    cost: Cost


class Result(NamedTuple):
    """The median of all rounds."""

    rate: float
    mebibytes: float
    cpu_per_gib: float
    peak: float


def send(folders: list[Path], receiver: Receiver, *, nagle: bool) -> float:
    """Send each folder over an association of its own, at once; return the seconds until all have ended.

    Fails if a sender was not content.
    """
    environment = dcmtk_environment(nagle=nagle)
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            [STORESCU, "+sd", "-aec", receiver.ae_title, "127.0.0.1", str(receiver.port), str(folder)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for folder in folders
    ]
    for sender in senders:
        _, said = sender.communicate(timeout=_PATIENCE)
        if sender.returncode:
            msg = f"{receiver.ae_title}: storescu was not content: {said.decode(errors='replace')[-500:]}"
            raise AssertionError(msg)
    return time.perf_counter() - began


@contextlib.contextmanager
def running(name: str, folder: Path, *, nagle: bool) -> Iterator[Receiver]:
    """Run one of the receivers in a fresh folder, which is removed afterwards."""
    try:
        if name in {"capacitord", UNCONTAINED}:
            with ours(folder, before=BARE if name == UNCONTAINED else ()) as (receiver, _):
                yield receiver
        else:
            with (orthanc if name == "Orthanc" else storescp)(folder, nagle=nagle) as receiver:
                yield receiver
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def one_round(name: str, folder: Path, load: Load, *, nagle: bool) -> Round:
    """Start a receiver, send, check that it holds all images, and stop it."""
    with running(name, folder, nagle=nagle) as receiver:
        # The first time a receiver has more to do than ever again.
        send(load.first, receiver, nagle=nagle)
        around = send(load.again, receiver, nagle=nagle)
        before = receiver.cost()
        seconds = send(load.folders, receiver, nagle=nagle)
        after = receiver.cost()
        held, sent = receiver.images(), load.images + 2 * len(load.first)
        if held != sent:
            msg = f"{name} holds {held} of {sent} images"
            raise AssertionError(msg)
    each = (seconds - around) / (load.images - len(load.first))
    return Round(each, Cost(max(0.0, after.cpu - before.cpu), after.peak))


def summary(rounds: list[Round], workload: Workload) -> Result:
    """Return the medians of several rounds."""
    seconds = statistics.median(each.seconds for each in rounds)
    return Result(
        rate=1 / seconds,
        mebibytes=workload.mebibytes / workload.images / seconds,
        cpu_per_gib=statistics.median(each.cost.cpu for each in rounds) / workload.mebibytes * 1024,
        peak=max(each.cost.peak for each in rounds),
    )
