"""A short form of `python -m tests.torture`: a little of everything, with the same checks and fixed seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import faults, fuzz, kill, power

pytestmark = [pytest.mark.peers, pytest.mark.torture]


def test_a_few_kills(tmp_path: Path) -> None:
    report = kill.torture(tmp_path, cycles=6, seed=7)
    assert report.violations == []
    assert report.cycles == 6
    assert min(report.acknowledged, report.received) > 0


def test_a_few_power_cuts(tmp_path: Path) -> None:
    report = power.torture(tmp_path, cycles=3, seed=7)
    assert report.violations == []
    assert report.deeds["power cut"] == 3
    assert min(report.acknowledged, report.received) > 0


def test_a_failing_and_a_full_disk(tmp_path: Path) -> None:
    report = faults.torture(tmp_path, cycles=2, seed=7)
    assert report.violations == []
    assert report.cycles == 2
    assert report.acknowledged >= report.cycles


def test_garbled_conversations(tmp_path: Path) -> None:
    report = fuzz.garble(tmp_path, seed=7, conversations=150)
    assert report.violations == []
    assert report.acknowledged == 2
