"""`kill -9` of the runtime and of the supervisor at random moments, while scanners send and the link is bad."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.torture.arena import Arena
from tests.torture.report import Report

_ROUND = 25
"""Kills in one arena; then its spool is compared, and a new one begins."""


def torture(folder: Path, *, cycles: int, seed: int, deadline: float = float("inf")) -> Report:
    """Kill `cycles` times, or until the monotonic `deadline`. The proof of a broken promise stays."""
    report = Report("kill")

    def play(place: Path, kills: int, seed: int) -> None:
        _one_arena(place, report, kills, seed=seed, deadline=deadline)

    report.rounds(folder, play, most=_ROUND, cycles=cycles, seed=seed, deadline=deadline)
    return report


def _one_arena(folder: Path, report: Report, kills: int, *, seed: int, deadline: float) -> None:
    # In every third arena delivered images leave the spool soon, so that purges are cut short, too. A PACS that has
    # the only copy must have it whole, so the link flips no bits there.
    purging = seed % 3 == 2
    with Arena(folder, seed=seed, keep_delivered="3s" if purging else "24h", corrupt=not purging) as arena:
        deeds: Counter[str] = Counter()
        for _ in range(kills):
            if time.monotonic() > deadline:
                break
            deeds[_kill(arena)] += 1
            report.cycles += 1
        arena.settle()
        verdict = arena.judge()
        stopped = arena.box.stop()
    if stopped != 0:
        verdict.violations.append(f"the box ended with exit code {stopped}")
    report.add(verdict, len(arena.sources.acknowledged), deeds + arena.weather.counts)


def _kill(arena: Arena) -> str:
    """Kill once, at a random moment of work or of starting, and return what was killed."""
    rng = arena.random
    if rng.random() < 0.8:
        arena.box.wait_until_open()
        time.sleep(rng.uniform(0.0, 2.5))
    else:
        time.sleep(rng.uniform(0.0, 1.5))
    choice = rng.random()
    if choice < 0.5 and arena.kill_runtime():
        if rng.random() < 0.7:
            arena.hasten()
        return "runtime killed"
    if choice < 0.75:
        arena.kill_supervisor()
        return "supervisor killed"
    arena.kill_both()
    return "both killed"
