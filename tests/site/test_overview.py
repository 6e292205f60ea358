"""Why a destination does not get what waits for it, and what a person should do about the site."""

from __future__ import annotations

import pytest

from capacitord.api import messages as m
from capacitord.dicom.storage_scp import RefusalView
from capacitord.site.advice import advice_on, advice_on_refusals, level_of
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.delivery import PAUSED, State
from capacitord.site.overview import why
from capacitord.site.refusals import RECENT, Refused, turned_away
from capacitord.site.rests import Rest
from capacitord.spool.sealing import LEAST_ROOM

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


def test_the_disk_is_at_its_reserve_when_not_even_a_small_image_fits() -> None:
    reserve, warning = 1 << 30, 2 << 30
    assert level_of(reserve + LEAST_ROOM - 1, reserve, warning) is m.Level.FAILURE
    assert level_of(reserve + LEAST_ROOM, reserve, warning) is m.Level.WARNING
    assert level_of(warning, reserve, warning) is m.Level.OK


def test_every_advice_has_a_next_step() -> None:
    assert advice_on(0, 0, m.Level.OK) == []
    for disk in (m.Level.WARNING, m.Level.FAILURE):
        for count in (1, 2):
            advice = advice_on(count, count, disk)
            assert len(advice) == 3
            assert all(each.hint and each.message.endswith(".") for each in advice)


def test_who_was_turned_away_is_told_for_a_while() -> None:
    old, new = (RefusalView(at, "10.0.0.7", "CT1", "FLUXBOX", "it is not known") for at in (0, RECENT))
    assert turned_away([], RECENT) is None
    assert turned_away([old], RECENT + 1) is None
    told = turned_away([old, new], RECENT + 1)
    assert told is not None
    assert (told.count, told.calling_ae, told.peer) == (1, "CT1", "10.0.0.7")
    (advice,) = advice_on_refusals(None, told)
    assert advice.message == "CT1 at 10.0.0.7 was turned away: it is not known"


def test_refused_images_are_counted_while_it_goes_on_and_forgotten_a_while_after() -> None:
    refused = Refused()
    assert refused.lately(0) is None
    for at in (10, 20, 30):
        refused.add(RefusalView(at, "10.0.0.7", "CT1", "FLUXBOX", "The disk refused."))
    told = refused.lately(RECENT)
    assert told is not None
    assert (told.count, told.reason) == (3, "The disk refused.")
    (advice,) = advice_on_refusals(told, None)
    assert advice.message == "3 images were refused, the last from CT1 at 10.0.0.7: The disk refused."
    assert refused.lately(31 + RECENT) is None
    refused.add(RefusalView(40 + RECENT, "10.0.0.8", "", "", "The disk is full."))
    again = refused.lately(40 + RECENT)
    assert again is not None
    assert (again.count, again.since) == (1, again.at)
