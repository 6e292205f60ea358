"""The power goes at random moments while scanners send: what was not on stable storage is gone."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.chaos.disk import Disk
from tests.images import MIB
from tests.torture.arena import Arena
from tests.torture.report import Report
from tests.torture.scanner import exact_senders
from tests.torture.verdict import Kill

_ROUND = 15
_SIZE = 2048 * MIB


def torture(folder: Path, *, cycles: int, seed: int, deadline: float = float("inf")) -> Report:
    """Cut the power `cycles` times, or until the monotonic `deadline`."""
    report = Report("power")

    def play(place: Path, cuts: int, seed: int) -> None:
        _one_arena(place, report, cuts, seed=seed, deadline=deadline)

    report.rounds(folder, play, most=_ROUND, cycles=cycles, seed=seed, deadline=deadline)
    return report


def _one_arena(folder: Path, report: Report, cuts: int, *, seed: int, deadline: float) -> None:
    folder.mkdir(parents=True)
    with (
        Disk(folder, size=_SIZE) as disk,
        Arena(folder, seed=seed, state=disk.path / "state", corrupt=False, calm=3.0, sending=exact_senders) as arena,
    ):
        deeds: Counter[str] = Counter()
        for _ in range(cuts):
            if time.monotonic() > deadline:
                break
            _cut(arena, disk)
            deeds["power cut"] += 1
            report.cycles += 1
        arena.settle()
        verdict = arena.judge()
        stopped = arena.box.stop()
    if stopped != 0:
        verdict.violations.append(f"the box ended with exit code {stopped}")
    report.add(verdict, len(arena.sources.acknowledged), deeds + arena.weather.counts)


def _cut(arena: Arena, disk: Disk) -> None:
    rng = arena.random
    if rng.random() < 0.8:
        arena.box.wait_until_open()
        time.sleep(rng.uniform(0.0, 2.0))
    else:
        time.sleep(rng.uniform(0.0, 1.5))
    after = time.monotonic()
    disk.power_cut()
    # The machine does not stop at once with its disk: until then every write and sync fails.
    time.sleep(rng.choice((0.0, rng.uniform(0.0, 0.3))))
    arena.box.kill()
    cut = Kill(after, time.monotonic())
    arena.kills.append(cut)
    arena.cuts.append(cut)
    disk.power_on()
    arena.box.launch()
