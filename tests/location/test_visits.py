"""What a box would have opened and closed along a track."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from capacitord.api.geofence import Visit
from capacitord.location.gpx import Fix
from capacitord.location.visits import conflicts, visits
from tests.location.test_fences import polygon
from tests.location.test_geofence import square

BEGIN = datetime(2025, 11, 21, 8, tzinfo=UTC)
AREAS = {"a": polygon(square(7.0, 50.0, 0.01)), "b": polygon(square(7.02, 50.0, 0.01))}
DWELLS = {"a": 90.0, "b": 90.0}
IN_A, BETWEEN, IN_B = 7.005, 7.015, 7.025


def drive(*legs: tuple[float, float], every: float = 5.0) -> list[Fix]:
    """Return fixes of a coach that is at a longitude for so many seconds each."""
    fixes: list[Fix] = []
    now = 0.0
    for longitude, seconds in legs:
        for _ in range(int(seconds / every)):
            fixes.append(Fix(BEGIN + timedelta(seconds=now), 50.005, longitude, first=not fixes))
            now += every
    return fixes


def stays(fixes: list[Fix], accuracy: float = 10.0, areas: dict[str, Any] | None = None) -> tuple[Visit, ...]:
    return visits(areas or AREAS, DWELLS, fixes, accuracy=accuracy, leave_after=300.0)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def test_a_day_at_two_sites() -> None:
    found = stays(drive((BETWEEN, 60), (IN_A, 600), (BETWEEN, 100), (IN_B, 600)))
    assert found == (
        Visit("a", after(60), after(655), 90.0, 90.0, opened=after(150), left=after(660), closed=after(960)),
        Visit("b", after(760), after(1355), 90.0, 90.0, opened=after(850)),
    )
    assert conflicts(found) == []


def test_a_drive_past_opens_nothing() -> None:
    (found,) = stays(drive((BETWEEN, 60), (IN_A, 60), (BETWEEN, 60)))
    assert (found.opened, found.left, found.closed) == (None, None, None)
    assert (found.inside, found.entered, found.seen) == (55.0, after(60), after(115))


def test_a_poor_receiver_is_never_sure() -> None:
    assert stays(drive((IN_A, 600)), accuracy=2000.0) == ()


def test_a_new_segment_restarts_a_dwell_and_ends_no_presence() -> None:
    fixes = drive((IN_A, 85), (IN_A, 85))
    broken = [fix._replace(first=number in {0, 17}) for number, fix in enumerate(fixes)]
    assert [visit.opened for visit in stays(fixes)] == [after(90)]
    assert [visit.opened for visit in stays(broken)] == [None, None]
    longer = drive((IN_A, 600))
    one = stays([fix._replace(first=number in {0, 60}) for number, fix in enumerate(longer)])
    assert [(visit.opened, visit.left) for visit in one] == [(after(90), None)]


def test_a_coach_that_comes_back_in_time_was_never_away() -> None:
    (found,) = stays(drive((IN_A, 200), (BETWEEN, 200), (IN_A, 200)))
    assert (found.opened, found.left, found.closed, found.seen) == (after(90), None, None, after(595))


def test_areas_that_overlap_are_a_conflict() -> None:
    areas: dict[str, Any] = {"a": AREAS["a"], "b": polygon(square(7.002, 50.0, 0.01))}
    found = stays(drive((BETWEEN, 60), (IN_A, 600)), areas=areas)
    assert [(one.site, other.site) for one, other in conflicts(found)] == [("a", "b")]
    assert [visit.site for visit in found if visit.opened] == ["a", "b"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([IN_A, BETWEEN, IN_B]), st.integers(5, 400)), max_size=12))
def test_every_stay_that_opens_is_as_long_as_the_dwell(legs: list[tuple[float, float]]) -> None:
    for visit in stays(drive(*legs)):
        if visit.opened is None:
            assert visit.inside < visit.dwell
            assert visit.left is visit.closed is None
        else:
            assert (visit.opened - visit.entered).total_seconds() >= visit.dwell
        if visit.closed is not None and visit.left is not None:
            assert (visit.closed - visit.left).total_seconds() >= 300


def test_a_working_day_at_a_fix_a_second_takes_seconds() -> None:
    fixes = drive((BETWEEN, 2000), (IN_A, 20_000), (BETWEEN, 2000), every=1.0)
    begun = time.monotonic()
    assert len(stays(fixes)) == 1
    assert time.monotonic() - begun < 10
