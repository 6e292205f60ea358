"""Why a destination does not get what waits for it, and what a person should do about the site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from capacitord.api import messages as m
from capacitord.dicom.storage_scp import RefusalView
from capacitord.site.advice import (
    advice_on,
    advice_on_awaited,
    advice_on_failed,
    advice_on_refusals,
    advice_on_stranded,
    advice_on_turned_away,
    level_of,
)
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.overview import why, worth_telling
from capacitord.site.refusals import RECENT, Refused, turned_away
from capacitord.site.reporting import PAUSED
from capacitord.site.rests import Rest
from capacitord.site.situation import State
from capacitord.spool.sealing import LEAST_ROOM
from capacitord.spool.studies import Elsewhere, Failed

WELL = State(paused=False, circuit=Circuit(), hindrance="", senders=())
DOWN = Circuit(CircuitState.OPEN, 3, "It does not answer.", 130.0)
RESTS = {1: Rest("No room.", 120.0), 2: Rest("No luck.", 110.0)}


@pytest.mark.parametrize(
    ("state", "resting", "expected"),
    [
        (WELL, {}, ("", None)),
        (WELL, RESTS, ("No luck.", 10.0)),
        (WELL._replace(circuit=DOWN), RESTS, ("It does not answer.", 30.0)),
        (
            WELL._replace(circuit=Circuit(CircuitState.HALF_OPEN, 3, "It does not answer.", 90.0)),
            {},
            ("It does not answer.", None),
        ),
        (
            WELL._replace(circuit=DOWN, hindrance="The disk is full.", hindered_until=140.0),
            RESTS,
            ("The disk is full.", 40.0),
        ),
        (WELL._replace(circuit=Circuit(CircuitState.OPEN, 3, "It is down.", 99.0)), {}, ("It is down.", 0.0)),
        (WELL._replace(circuit=DOWN, hindrance="The disk is full.", paused=True), RESTS, (PAUSED, None)),
    ],
)
def test_the_nearest_reason_is_given(
    state: State, resting: dict[int, Rest], expected: tuple[str, float | None]
) -> None:
    assert why(state, resting, 100.0) == expected


def test_where_nothing_waits_nothing_is_tried_and_an_old_outage_is_told_as_one() -> None:
    said = why(WELL._replace(circuit=DOWN), {}, 200.0, waits=False)
    assert said == ("Nothing waits for it, so it is not tried. The last time: It does not answer.", None)
    assert why(WELL, {}, 200.0, waits=False) == ("", None)


def test_the_disk_is_at_its_reserve_when_not_even_a_small_image_fits() -> None:
    reserve, warning = 1 << 30, 2 << 30
    assert level_of(reserve + LEAST_ROOM - 1, reserve, warning) is m.Level.FAILURE
    assert level_of(reserve + LEAST_ROOM, reserve, warning) is m.Level.WARNING
    assert level_of(warning, reserve, warning) is m.Level.OK


def test_every_advice_has_a_next_step() -> None:
    assert advice_on((), 0, m.Level.OK) == []
    for disk in (m.Level.WARNING, m.Level.FAILURE):
        for conflicts in ((("3f2a9c", 1),), (("3f2a9c", 4), ("c77e02", 1))):
            advice = advice_on(conflicts, len(conflicts), disk)
            assert len(advice) == 3
            assert all(each.hint and each.message.endswith(".") for each in advice)
            (conflict,) = (each for each in advice if each.reference == "conflict")
            assert "fluxctl study show 3f2a9c" in conflict.hint


def refusal(moment: float, reason: str = "The disk refused.", status: int = 0xA700, *, at: int = 0) -> RefusalView:
    return RefusalView(at, moment, "10.0.0.7", "CT1", "FLUXBOX", reason, status)


def test_who_was_turned_away_is_told_for_a_while() -> None:
    old, new = (refusal(at, "it is not known", 0) for at in (0.0, RECENT))
    assert turned_away([], RECENT) is None
    assert turned_away([old], RECENT + 1) is None
    told = turned_away([old, new], RECENT + 1)
    assert told is not None
    assert (told.count, told.calling_ae, told.peer, told.status) == (1, "CT1", "10.0.0.7", "")
    (advice,) = advice_on_turned_away(told)
    assert advice.message == "CT1 at 10.0.0.7 was turned away: it is not known"


def test_refused_images_are_counted_while_it_goes_on_and_forgotten_a_while_after() -> None:
    refused = Refused()
    assert refused.lately(0) == (None, None)
    for moment in (10, 20, 30):
        refused.add(refusal(moment))
    told = refused.lately(RECENT)
    assert told.for_now is not None
    assert (told.for_now.count, told.for_now.reason, told.for_now.status) == (3, "The disk refused.", "A700")
    (advice,) = advice_on_refusals(told)
    assert advice.message == "3 images were refused, the last from CT1 at 10.0.0.7: The disk refused."
    assert "send these studies from the scanner again" in advice.hint
    assert refused.lately(31 + RECENT) == (None, None)
    refused.add(refusal(40 + RECENT, at=7 * 10**9))
    again = refused.lately(40 + RECENT).for_now
    assert again is not None
    assert (again.count, again.since) == (1, again.at)


@pytest.mark.parametrize("status", [0x0117, 0x0122, 0x0211, 0xC000])
def test_an_image_that_is_refused_for_what_it_is_is_not_to_be_sent_again(status: int) -> None:
    refused = Refused()
    for moment in range(100):
        refused.add(refusal(moment))
    refused.add(refusal(100.0, "The data set ends within an element.", status))
    told = refused.lately(100.0)
    assert told.for_now is not None
    assert told.for_now.count == 100, "one does not hide the others"
    of_the_disk, of_the_image = advice_on_refusals(told)
    assert "again" in of_the_disk.hint
    assert of_the_image.message == (
        "1 image was refused, the last from CT1 at 10.0.0.7: The data set ends within an element. "
        f"(status {status:04X})"
    )
    assert "sending them again does not help" in of_the_image.hint
    assert "READY" not in of_the_image.hint


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_clock_that_is_set_neither_keeps_nor_forgets_a_refusal(jump: int) -> None:
    """A box that starts without a network takes its time later, from satellites or the first server it reaches."""
    refused = Refused()
    start = 1_700_000_000
    views = [refusal(5.0, at=start * 10**9), refusal(6.0, at=(start + jump) * 10**9)]
    for view in views:
        refused.add(view)
    told = refused.lately(7.0).for_now
    away = turned_away(views, 7.0)
    assert told is not None
    assert away is not None
    assert told.count == away.count == 2
    assert refused.lately(7.0 + RECENT).for_now is None
    assert turned_away(views, 7.0 + RECENT) is None


def test_what_a_destination_did_not_get_and_what_waits_for_nobody_is_told_with_a_next_step() -> None:
    failed = Failed("res", 3, "3f2a9c", "1 image was refused: Not sent: no.", 61)
    (advice,) = advice_on_failed([failed], ["pacs", "res"])
    assert advice.message == (
        "61 images of 3 studies did not go to res. The first is study 3f2a9c: 1 image was refused: Not sent: no."
    )
    assert "fluxctl resend 3f2a9c --to res" in advice.hint
    (advice,) = advice_on_failed([failed._replace(studies=1)], ["pacs"])
    assert advice.message == "Study 3f2a9c did not go to res: 1 image was refused: Not sent: no."
    assert "--to res" not in advice.hint, "nothing can be sent where nobody knows the way"
    assert "does not name res any more" in advice.hint
    (advice,) = advice_on_stranded([("arch", 2)], 20)
    assert advice.message == "2 images wait for arch, which version 20 of the profile does not name."
    assert advice.hint


@pytest.mark.parametrize(
    ("moved", "success", "told"),
    [(1, None, True), (1, 2, True), (1, 0.1, True), (3, None, True), (3, 4, True), (3, 2, False), (3, 0, False)],
)
def test_what_went_elsewhere_is_told_for_a_day_and_until_the_destination_takes_something(
    moved: float, success: float | None, told: bool
) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    last = now - timedelta(days=moved) + timedelta(minutes=1)
    found = Elsewhere(3, round(last.timestamp() * 1e9), "3f2a9c", "Went to night instead: no.")
    last_success = None if success is None else now - timedelta(days=success)
    expected = m.Elsewhere(3, last, "3f2a9c", "Went to night instead: no.") if told else None
    assert worth_telling(found, last_success, now) == expected
    assert worth_telling(None, last_success, now) is None


def test_images_that_wait_for_the_worklist_are_told_of_with_the_reason() -> None:
    assert advice_on_awaited("It is read.", 0) == []
    (advice,) = advice_on_awaited("It is read.", 2)
    assert advice.message == "2 images wait to be matched. It is read."
