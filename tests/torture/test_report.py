"""What `python -m tests.torture` says, and that a box that hangs is a broken promise."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.torture.__main__ import guarded, main
from tests.torture.report import Report
from tests.torture.verdict import Verdict


def test_a_report_counts_everything_in() -> None:
    report = Report("kill", cycles=7)
    report.add(Verdict(received=11, in_doubt=2, most_in_doubt=2, damaged_by_link=1), 10, Counter({"cut": 3}))
    report.add(Verdict(received=4, in_doubt=1, most_in_doubt=1), 5, Counter({"cut": 1, "runtime killed": 2}))
    assert report.lines() == [
        "kill: 7 cycles",
        "  4 times cut, 2 times runtime killed",
        "  15 images acknowledged to scanners, 15 came to the PACS",
        "  3 in doubt and sent twice (at most 2 by one kill), 1 damaged by the link itself",
    ]


def test_broken_promises_are_named_and_not_without_end() -> None:
    report = Report("kill", violations=[f"lost: {number}" for number in range(25)])
    assert report.lines()[1] == "  BROKEN: lost: 0"
    assert report.lines()[-1] == "  and 5 more"


def test_a_box_that_does_not_come_back_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    def hangs() -> Report:
        msg = "waited 60 s for the gate to open\nThe box said last: …"
        raise AssertionError(msg)

    assert guarded("kill", hangs).violations == ["waited 60 s for the gate to open"]
    assert "The box said last" in capsys.readouterr().err


def test_only_what_there_is_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nothing"])
    assert ended.value.code == 2
    assert "kill" in capsys.readouterr().err
