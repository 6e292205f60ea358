"""Whether the coach may leave: nobody has to ask twice why not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.delivery import Inactive, WhenInactive
from capacitord.model.departure import Facts, Leave, judged

STOP = Inactive()
DRAIN = Inactive(WhenInactive.DRAIN)
COUNTS = [name for name, value in Facts(STOP)._asdict().items() if isinstance(value, int)]
LEAVES_BY_ITSELF = ["waiting", "undecided"]
KEEPS_NOBODY = ["unreported"]
TELLS_OF_ANOTHER = ["held_studies", "missing_studies", "stuck"]
NOT_ALONE = [*LEAVES_BY_ITSELF, *KEEPS_NOBODY, *TELLS_OF_ANOTHER]


def facts(inactive: Inactive, **counts: Any) -> Facts:
    return Facts(inactive)._replace(**counts)


@pytest.mark.parametrize("inactive", [STOP, DRAIN])
def test_nothing_is_open(inactive: Inactive) -> None:
    assert judged(Facts(inactive)) == (Leave.NOW, ())


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in NOT_ALONE])
@pytest.mark.parametrize("inactive", [STOP, DRAIN])
def test_what_keeps_the_coach_whatever_the_profile_says(inactive: Inactive, name: str) -> None:
    found = judged(facts(inactive, **{name: 2}))
    assert found.leave is Leave.NOT_YET
    (matter,) = found.matters
    assert matter.hint
    assert "2" in matter.message


@pytest.mark.parametrize("name", LEAVES_BY_ITSELF)
def test_what_is_on_its_way_keeps_the_coach_only_where_it_would_stop(name: str) -> None:
    stays, goes = (judged(facts(inactive, **{name: 34})) for inactive in (STOP, DRAIN))
    assert (stays.leave, goes.leave) == (Leave.NOT_YET, Leave.DRAINING)
    assert stays.matters[0].message == goes.matters[0].message == "34 images are still on the way"


def test_what_a_scanner_was_not_told_is_said_and_keeps_nobody() -> None:
    found = judged(facts(STOP, unreported=1))
    assert found.leave is Leave.DRAINING
    (matter,) = found.matters
    assert matter.message == "1 result of storage commitment could not be told to a scanner yet"


def test_what_cannot_leave_now_keeps_the_coach_unless_it_is_tried_for_as_long_as_it_takes() -> None:
    manners = (STOP, Inactive(WhenInactive.DRAIN, 600.0), DRAIN)
    found = [judged(facts(each, waiting=34, stuck=4)) for each in manners]
    assert [each.leave for each in found] == [Leave.NOT_YET, Leave.NOT_YET, Leave.DRAINING]
    for (matter,) in (each.matters for each in found):
        assert matter.message == "34 images are still on the way, and 4 of them meet trouble at the moment"
        assert "fluxctl queue list" in matter.hint
        assert "Nothing" not in matter.hint


@pytest.mark.parametrize(("eta", "leave"), [(599.0, Leave.DRAINING), (None, Leave.DRAINING), (601.0, Leave.NOT_YET)])
def test_what_takes_longer_than_it_may_drain_keeps_the_coach(eta: float | None, leave: Leave) -> None:
    limited = Inactive(WhenInactive.DRAIN, 600.0)
    assert judged(facts(limited, waiting=34, eta=eta)).leave is leave
    assert judged(facts(DRAIN, waiting=34, eta=eta)).leave is Leave.DRAINING


def test_what_cannot_be_read_is_not_taken_for_nothing() -> None:
    found = judged(Facts(DRAIN, unreadable="the disk has become read-only"))
    assert found.leave is Leave.NOT_YET
    assert "the disk has become read-only" in found.matters[0].message


def test_a_study_is_one_study() -> None:
    found = judged(facts(STOP, held=1, held_studies=1, missing=1, missing_studies=1, waiting=1))
    assert [matter.message for matter in found.matters] == [
        "1 image of 1 study that scanners named has not arrived",
        "1 study with 1 image is held",
        "1 image is still on the way",
    ]


@given(
    st.sampled_from([STOP, DRAIN, Inactive(WhenInactive.DRAIN, 3600.0)]),
    st.fixed_dictionaries({name: st.integers(0, 3) for name in COUNTS}),
)
def test_the_coach_leaves_with_nothing_open_and_never_else(inactive: Inactive, counts: dict[str, int]) -> None:
    found = judged(facts(inactive, **counts))
    is_open = any(number for name, number in counts.items() if name not in TELLS_OF_ANOTHER)
    assert (found.leave is Leave.NOW) == (not is_open) == (not found.matters)
    assert (found.leave is Leave.NOT_YET) == any(matter.stays for matter in found.matters)
    assert [matter.stays for matter in found.matters] == sorted((m.stays for m in found.matters), reverse=True)
