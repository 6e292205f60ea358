"""A disk that is full, and one whose writes and syncs fail, under the whole daemon.

That every single write and sync of the spool may fail is shown in tests/spool, where each is made to fail in turn.
Here it is the real program: its disk is filled to the last block, or strace makes calls of a kind fail in it.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.chaos.disk import Disk
from tests.chaos.faults import broken, fails, struck
from tests.images import MIB
from tests.torture.arena import Arena
from tests.torture.report import Report
from tests.wait import wait_for

_ROUND = 10
_SIZE = 384 * MIB
_RESERVE = 16 * MIB
_CALLS = (
    ("fdatasync",),
    ("fsync",),
    ("fdatasync", "fsync"),
    ("pwritev", "pwritev2"),
    ("pwrite64",),
    ("fallocate",),
    ("ftruncate",),
    ("rename", "renameat", "renameat2"),
)


def torture(folder: Path, *, cycles: int, seed: int, deadline: float = float("inf")) -> Report:
    """Fill the disk and break calls, in turn, `cycles` times in all, or until the monotonic `deadline`."""
    report = Report("faults")

    def play(place: Path, faults: int, seed: int) -> None:
        _one_arena(place, report, faults, seed=seed, deadline=deadline)

    report.rounds(folder, play, most=_ROUND, cycles=cycles, seed=seed, deadline=deadline)
    return report


def _one_arena(folder: Path, report: Report, faults: int, *, seed: int, deadline: float) -> None:
    folder.mkdir(parents=True)
    with (
        Disk(folder, size=_SIZE) as disk,
        Arena(folder, seed=seed, state=disk.path / "state", corrupt=False, calm=5.0) as arena,
    ):
        deeds: Counter[str] = Counter()
        for number in range(faults):
            if time.monotonic() > deadline:
                break
            deeds[_fill(arena, disk) if number % 2 else _break(arena, folder / f"strace-{number}.log")] += 1
            report.cycles += 1
            _goes_on(arena)
        arena.settle()
        verdict = arena.judge()
    deeds["image refused to a scanner"] = arena.sources.refused
    report.add(verdict, len(arena.sources.acknowledged), deeds + arena.weather.counts)


def _fill(arena: Arena, disk: Disk) -> str:
    """Fill the disk to somewhere below the reserve, or to the last block; kill the box meanwhile, now and then."""
    arena.box.wait_until_open()
    refused = arena.sources.refused
    to_the_last = arena.random.random() < 0.5
    disk.fill(leave=0 if to_the_last else arena.random.randrange(_RESERVE))
    wait_for(lambda: arena.sources.refused > refused, within=60, what="a scanner to be refused")
    killed = arena.random.random() < 0.5
    if killed:
        arena.kill_both()
        time.sleep(arena.random.uniform(0.0, 2.0))
    disk.make_room()
    arena.hasten()
    return f"disk full{' to the last block' if to_the_last else ''}{', killed meanwhile' if killed else ''}"


def _break(arena: Arena, log: Path) -> str:
    """Run the box for a while with calls of one kind failing at random, then as it should be."""
    rng = arena.random
    calls, errno = rng.choice(_CALLS), rng.choice(("EIO", "ENOSPC"))
    first = rng.choice((1, 2, 5, 20))
    arena.box.before = broken(log, calls, fails(errno), first=first, last=first + rng.choice((0, 3, 1000)))
    arena.kill_both()
    time.sleep(rng.uniform(2.0, 6.0))
    arena.box.before = []
    arena.kill_both()
    return f"{calls[0]} failed with {errno}" if struck(log) else f"{calls[0]} was to fail and was not called so often"


def _goes_on(arena: Arena) -> None:
    """Wait until scanners are told Success again."""
    arena.box.wait_until_open()
    before = len(arena.sources.acknowledged)
    wait_for(lambda: len(arena.sources.acknowledged) > before, within=90, what="an image to be acknowledged again")
