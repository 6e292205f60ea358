"""`python -m tests.torture`: do everything bad that can happen to a box, for long, and count what became of the images.

It prints what it did, and ends with exit code 1 at the first broken promise; then the evidence stays where it says.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.torture import faults, files, fuzz, gate, kill, large, power
from tests.torture.report import Report

_FUZZ = 60.0
"""Seconds each target is fuzzed for unless --seconds says otherwise."""


PARTS = ("kill", "power", "faults", "fuzz", "files", "large", "gate")


def parts(folder: Path, *, cycles: int, seconds: float | None, seed: int) -> Mapping[str, Callable[[], Report]]:
    """Return what can be done, by name, in the order in which it is done."""

    def deadline() -> float:
        return float("inf") if seconds is None else time.monotonic() + seconds

    few = max(1, cycles // 5)
    each = _FUZZ if seconds is None else seconds / len(TARGETS)
    return {
        "kill": lambda: kill.torture(folder, cycles=cycles, seed=seed, deadline=deadline()),
        "power": lambda: power.torture(folder, cycles=few, seed=seed, deadline=deadline()),
        "faults": lambda: faults.torture(folder, cycles=few, seed=seed, deadline=deadline()),
        "fuzz": lambda: fuzz.torture(folder, seconds=each, seed=seed),
        "files": lambda: files.torture(folder),
        "large": lambda: large.torture(folder),
        "gate": lambda: gate.torture(folder, cycles=cycles, seed=seed, deadline=deadline()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the torture and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--cycles", type=int, default=200, help="kills, histories; a fifth as many power cuts and faults (200)"
    )
    parser.add_argument("--seconds", type=float, help="end each part after so long, whatever the number of cycles")
    parser.add_argument("--seed", type=int, help="repeat a run's random choices; their timing differs all the same")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part")
    chosen = parser.parse_args(arguments)
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    began = time.monotonic()
    print(f"seed {seed}, in {folder}", flush=True)
    for name, run in parts(folder, cycles=chosen.cycles, seconds=chosen.seconds, seed=seed).items():
        if not chosen.only or name in chosen.only:
            report = guarded(name, run)
            print("\n".join(report.lines()), flush=True)
            if report.violations:
                print(f"A promise was broken. The evidence is in {folder}; the seed was {seed}.")
                return 1
    shutil.rmtree(folder)
    minutes = (time.monotonic() - began) / 60
    print(f"Nothing lost, nothing unknown, nothing damaged, nothing sent again, in {minutes:.0f} minutes.")
    return 0


def guarded(name: str, run: Callable[[], Report]) -> Report:
    """Run a part. A box that does not come back, or that hangs, breaks a promise, too."""
    try:
        return run()
    except AssertionError as failed:
        traceback.print_exc()
        return Report(name, violations=[str(failed).partition("\n")[0]])


if __name__ == "__main__":
    sys.exit(main())
