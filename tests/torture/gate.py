"""Random histories of a box between three sites, each step checked: see `tests.supervisor.gating`."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from tests.supervisor.gating import machine
from tests.torture.report import Report

_HISTORIES = 25
"""In one go: hypothesis tries what it learned in the same go only."""
_STEPS = 60


def torture(folder: Path, *, cycles: int, seed: int, deadline: float) -> Report:
    """Try `cycles` histories, or as many as there is time for until the monotonic `deadline`."""
    report = Report("gate")
    state = folder / "gate"
    machine.template(state)
    # What boxes say of what they are put through is nothing to read by the thousand.
    logging.disable(logging.CRITICAL)
    try:
        _go_on(report, state, cycles, seed, deadline)
    finally:
        logging.disable(logging.NOTSET)
    return report


def _go_on(report: Report, state: Path, cycles: int, seed: int, deadline: float) -> None:
    while report.cycles < cycles and time.monotonic() < deadline and not report.violations:
        some = min(_HISTORIES, cycles - report.cycles)
        try:
            report.deeds += machine.run(state, some, _STEPS, seed=seed + report.cycles).deeds
        except AssertionError as broken:
            # The steps that lead there are in what hypothesis says.
            report.violations.append("\n".join([f"gate: {broken}", *getattr(broken, "__notes__", ())]))
        report.cycles += some
        report.tell(cycles)
