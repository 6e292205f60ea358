"""Windows of the week: over midnight, and when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.model.schedule import DAYS, EVERY_DAY, WHOLE_DAY, Change, Window, changes, days_text, holds, left_out

CHICAGO = ZoneInfo("America/Chicago")
MONDAY = datetime(2026, 11, 2, tzinfo=CHICAGO)

windows = st.builds(
    Window,
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.integers(0, WHOLE_DAY - 1),
    st.integers(0, WHOLE_DAY),
)


def minutes_of_the_week(window: Window) -> set[int]:
    """What a window means, by counting: the minutes from its beginning to its end, for each of its days."""
    length = (window.end - window.start) % WHOLE_DAY or WHOLE_DAY
    return {
        (day * WHOLE_DAY + window.start + minute) % (7 * WHOLE_DAY) for day in window.days for minute in range(length)
    }


@given(windows, st.integers(0, 7 * WHOLE_DAY - 1))
def test_a_window_holds_in_its_minutes_and_in_no_other(window: Window, minute: int) -> None:
    local = MONDAY + timedelta(minutes=minute)
    assert window.holds(local) is (minute in minutes_of_the_week(window))


@given(st.lists(windows, max_size=3), st.integers(0, 7 * WHOLE_DAY - 1))
def test_several_windows_hold_where_one_does(several: list[Window], minute: int) -> None:
    local = MONDAY + timedelta(minutes=minute)
    assert holds(several, local) is any(minute in minutes_of_the_week(window) for window in several)


def test_friday_night_ends_on_saturday_morning() -> None:
    night = Window((0, 1, 2, 3, 4), 19 * 60, 6 * 60)
    at = {
        moment: night.holds(datetime.fromisoformat(f"2026-11-{moment}").replace(tzinfo=CHICAGO))
        for moment in ("06T18:59", "06T19:00", "07T05:59", "07T06:00", "07T19:00", "08T05:00", "09T05:00", "09T19:00")
    }
    assert [moment for moment, inside in at.items() if inside] == ["06T19:00", "07T05:59", "09T19:00"]


@pytest.mark.parametrize("utc", ["2026-11-01T06:30", "2026-11-01T07:30"])
def test_an_hour_that_comes_twice_is_in_its_window_twice(utc: str) -> None:
    local = datetime.fromisoformat(utc).replace(tzinfo=UTC).astimezone(CHICAGO)
    assert (local.hour, local.minute) == (1, 30)
    assert Window((6,), 60, 120).holds(local)


def test_a_night_with_an_hour_less_is_one_window_without_a_gap() -> None:
    night = Window((5,), 22 * 60, 4 * 60)
    start = datetime(2026, 3, 8, 4, 0, tzinfo=UTC)
    inside = [night.holds((start + timedelta(minutes=m)).astimezone(CHICAGO)) for m in range(360)]
    assert inside == [True] * 300 + [False] * 60


@pytest.mark.parametrize(
    ("zone", "found"),
    [
        ("America/Chicago", [Change("2026-03-08", 6, 120, 180), Change("2026-11-01", 6, 120, 60)]),
        ("Europe/Berlin", [Change("2026-03-29", 6, 120, 180), Change("2026-10-25", 6, 180, 120)]),
        ("Australia/Lord_Howe", [Change("2026-04-05", 6, 120, 90), Change("2026-10-04", 6, 120, 150)]),
        ("Asia/Kolkata", []),
    ],
)
def test_the_changes_of_the_clocks_are_those_of_the_zone(zone: str, found: list[Change]) -> None:
    assert changes(ZoneInfo(zone), 2026) == found


def test_a_window_in_the_hour_that_is_left_out_does_not_come() -> None:
    spring, autumn = changes(CHICAGO, 2026)
    assert left_out(Window((6,), 120, 180), spring)
    assert not left_out(Window((6,), 120, 181), spring)
    assert not left_out(Window((5,), 120, 180), spring)
    assert not left_out(Window(EVERY_DAY, 23 * 60, 150), spring)
    assert not left_out(Window(EVERY_DAY, 60, 120), autumn)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window((0, 1, 2, 3, 4), 19 * 60, 6 * 60), "Mon-Fri 19:00-06:00"),
        (Window(EVERY_DAY, 18 * 60, WHOLE_DAY), "18:00-24:00"),
        (Window((5, 6), 0, WHOLE_DAY), "Sat-Sun"),
        (Window((0, 2, 3), 0, WHOLE_DAY), "Mon,Wed-Thu"),
        (Window(EVERY_DAY, 0, WHOLE_DAY), "Mon-Sun"),
    ],
)
def test_windows_read_as_they_are_written(window: Window, text: str) -> None:
    assert str(window) == text


@given(st.sets(st.integers(0, 6), min_size=1))
def test_days_name_each_day_once(days: set[int]) -> None:
    named: list[int] = []
    for part in days_text(tuple(sorted(days))).split(","):
        first, _, last = part.partition("-")
        named += range(DAYS.index(first), DAYS.index(last or first) + 1)
    assert named == sorted(days)
