"""How fast images are taken in: images/s seen from the sender, by receiver, workload and number of associations."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.receivers import Cost, Receiver, orthanc, ours, storescp
from tests.bench.workloads import Workload
from tests.peers.program import dcmtk_environment

STORESCU = "/usr/bin/storescu"
_PATIENCE = 900


class Round(NamedTuple):
    """One round: how long the senders took, and what the receiver's processes cost."""

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
    """Run one of the three receivers in a fresh folder, which is removed afterwards."""
    try:
        if name == "capacitord":
            with ours(folder) as (receiver, _):
                yield receiver
        else:
            with (orthanc if name == "Orthanc" else storescp)(folder, nagle=nagle) as receiver:
                yield receiver
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def one_round(name: str, folder: Path, folders: list[Path], images: int, *, nagle: bool) -> Round:
    """Start a receiver, send, check that it holds all images, and stop it."""
    with running(name, folder, nagle=nagle) as receiver:
        before = receiver.cost()
        seconds = send(folders, receiver, nagle=nagle)
        after = receiver.cost()
        held = receiver.images()
        if held != images:
            msg = f"{name} holds {held} of {images} images"
            raise AssertionError(msg)
    return Round(seconds, Cost(max(0.0, after.cpu - before.cpu), after.peak))


def summary(rounds: list[Round], workload: Workload) -> Result:
    """Return the medians of several rounds."""
    seconds = statistics.median(each.seconds for each in rounds)
    return Result(
        rate=workload.images / seconds,
        mebibytes=workload.mebibytes / seconds,
        cpu_per_gib=statistics.median(each.cost.cpu for each in rounds) / workload.mebibytes * 1024,
        peak=max(each.cost.peak for each in rounds),
    )
