"""When a site may be opened for: every combination, and the words for it."""

from __future__ import annotations

import itertools

import pytest

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import (
    Checked,
    Clearance,
    Last,
    Obstacle,
    Preflight,
    clearance,
    evidence,
    exempt,
    failed,
    is_required,
)

DONE = Outcome(Verdict.DONE, "CT_1 said all that is on it.", 0)
BUSY = Outcome(Verdict.LATER, "CT_1 did not answer in time.", comment="VERMEER^JAN")
CLEAN = Checked("CT_1", DONE)
LASTS = [Last(), Last("a"), Last("b"), Last(doubt="damaged"), Last("a", doubt="damaged")]
FOUND = [
    None,
    Preflight(()),
    Preflight((CLEAN,)),
    Preflight((CLEAN, Checked("MR_1", DONE, 1, 1))),
    Preflight((Checked("CT_1", BUSY),)),
    Preflight((Checked("CT_1", DONE, at_least=True),)),
]


def test_a_site_is_cleared_for_one_of_five_reasons_only() -> None:
    for last, found, required, waived in itertools.product(LASTS, FOUND, (False, True), (False, True)):
        cleared = clearance("a", last, found, required=required, waived=waived)
        certain = not last.doubt
        reasons = {
            Clearance.SAME: certain and last.site == "a",
            Clearance.FIRST: certain and not last.site,
            Clearance.NOT_REQUIRED: not required,
            Clearance.WAIVED: waived,
            Clearance.CLEAN: found == Preflight((CLEAN,)),
        }
        assert (cleared is None) is not any(reasons.values())
        assert cleared is None or reasons[cleared]
        without = exempt("a", last, required=required, waived=waived)
        assert without in {cleared, None}


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.DONE])
def test_only_done_and_nobody_is_clean(verdict: Verdict) -> None:
    assert CLEAN.clean
    for checked in (
        Checked("CT_1", Outcome(verdict, "no", 0)),
        Checked("CT_1", DONE, patients=1),
        Checked("CT_1", DONE, studies=1),
        Checked("CT_1", DONE, at_least=True),
    ):
        assert not checked.clean
        assert checked.sentence
        assert Preflight((CLEAN, checked)).hint
    assert not failed(["CT_1"], "no probe").clean
    assert not failed([], "no probe").clean


def later(reason: str) -> Outcome:
    return Outcome(Verdict.LATER, reason)


@pytest.mark.parametrize("obstacle", Obstacle)
def test_only_a_scanner_that_is_not_there_is_to_be_switched_on(obstacle: Obstacle) -> None:
    found = Preflight((CLEAN, Checked("CT_1", BUSY, obstacle=obstacle)))
    assert ("Switch the scanner on" in found.hint) is (obstacle is Obstacle.NETWORK)
    assert found.hint.endswith("then: fluxctl preflight --watch")
    # Somebody who is there comes first.
    assert "delete them" in Preflight((Checked("CT_1", BUSY, 1, 1, obstacle=obstacle),)).hint


def test_every_scanner_that_is_not_clean_has_its_step_once() -> None:
    wrong = [Checked(f"CT_{at}", BUSY, obstacle=each) for at, each in enumerate([*Obstacle, *Obstacle])]
    hint = Preflight(tuple(wrong)).hint
    assert "[[modality]] in capacitord.toml" in hint
    assert hint.count("look at it") == hint.count("Switch the scanner on") == hint.count("journalctl") == 1
    assert "journalctl" in failed(["CT_1"], "the probe can't be started: Permission denied").hint


def test_a_profile_can_be_stricter_than_its_box() -> None:
    assert [is_required(box, profile) for box in (True, False) for profile in (True, False, None)] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("checked", "sentence"),
    [
        (CLEAN, "CT_1 has no patient."),
        (Checked("CT_1", DONE, 1, 2), "CT_1 still has 2 studies of 1 patient."),
        (Checked("CT_1", DONE, 3, 0), "CT_1 still has 3 patients."),
        (
            Checked("CT_1", BUSY, 1, 1, at_least=True),
            "CT_1 still has at least 1 study of 1 patient. CT_1 did not answer in time.",
        ),
        (Checked("CT_1", BUSY), "CT_1 did not answer in time."),
        (Checked("CT_1", later("10.0.0.5 port 104: refused.")), "CT_1: 10.0.0.5 port 104: refused."),
        (Checked("CT_1", later("The connection was lost.")), "CT_1: the connection was lost."),
        (Checked("CT_1", later("TLS is wanted.")), "CT_1: TLS is wanted."),
    ],
)
def test_what_it_came_to_in_words(checked: Checked, sentence: str) -> None:
    assert checked.sentence == sentence
    found = Preflight((checked, CLEAN))
    assert sentence in found.sentence
    assert sentence in evidence(found)
    assert "VERMEER" not in evidence(found) + found.sentence
    assert bool(found.hint) is not found.clean
