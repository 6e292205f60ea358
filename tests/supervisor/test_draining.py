"""Which site that was left goes on delivering, for how long, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api import messages as m
from capacitord.api.draining import about, told
from capacitord.errors import NotFound, Problem
from capacitord.model.delivery import Inactive, WhenInactive
from capacitord.supervisor.drain_record import DrainRecords
from capacitord.supervisor.draining import Facts, Left, Runner, giving_way, left, over, shown, verdict
from tests.fluxctl import samples as s

NOW = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)
FOREVER = Inactive(WhenInactive.DRAIN)
FOUR_HOURS = Inactive(WhenInactive.DRAIN, 4 * 3600.0)
LOCKED = Problem("locked", "the keys are locked", hint="fluxctl key unlock")


def facts(inactive: Inactive = FOREVER, hours: float = 1.0) -> Facts:
    return Facts(inactive, NOW - timedelta(hours=hours), NOW)


def test_it_drains_where_the_profile_says_so() -> None:
    assert verdict(facts()).drains
    assert not verdict(facts(Inactive())).drains


@pytest.mark.parametrize(
    ("hours", "drains"), [(3.99, True), (4.0, False), (400.0, False), (-0.05, True), (-1.0, False)]
)
def test_a_time_that_was_set_ends(hours: float, drains: bool) -> None:
    # Who began in an hour has begun by a clock that was wrong: nobody knows when.
    assert verdict(facts(FOUR_HOURS, hours)).drains is drains
    assert verdict(facts(FOREVER, hours)).drains


def test_a_time_that_was_set_ends_though_the_clock_is_set_back() -> None:
    assert verdict(facts(FOUR_HOURS)._replace(ran=4 * 3600.0 - 1)).drains
    assert not verdict(facts(FOUR_HOURS)._replace(ran=4 * 3600.0)).drains
    assert verdict(facts(FOREVER)._replace(ran=1e6)).drains


def test_without_a_record_only_what_has_no_time_goes_on() -> None:
    assert not verdict(facts(FOUR_HOURS)._replace(began=None)).drains
    assert verdict(facts(FOREVER)._replace(began=None)).drains


def test_locked_keys_and_others_are_waited_for() -> None:
    locked = verdict(facts()._replace(key_problem=LOCKED))
    assert (locked.drains, locked.waits, locked.hint) == (False, True, "fluxctl key unlock")
    assert verdict(facts()._replace(turn=False)).waits


@given(
    st.builds(
        Facts,
        st.sampled_from([Inactive(), FOREVER, FOUR_HOURS]),
        st.just(None)
        | st.datetimes(
            NOW.replace(tzinfo=None) - timedelta(days=2),
            NOW.replace(tzinfo=None) + timedelta(days=2),
            timezones=st.just(UTC),
        ),
        st.just(NOW),
        st.booleans(),
        st.sampled_from([None, LOCKED]),
        st.booleans(),
        st.booleans(),
    )
)
def test_nothing_drains_against_the_profile_the_clock_or_the_keys(given_: Facts) -> None:
    found = verdict(given_)
    if found.drains:
        assert given_.when_inactive.drains
        assert (given_.spent, given_.stopping, given_.key_problem) == (False, False, None)
    else:
        assert found.reason
    assert not (found.drains and found.waits)


# --- what is left

IDLE = s.changed(s.PACS, waiting_images=0, waiting_bytes=0, transfers=(), eta=0.0, reason="")
GOING = s.changed(s.PACS, waiting_images=30, waiting_bytes=300, eta=290.0, reason="", paused=False)


def traffic(*destinations: m.DestinationStatus, **spool: int) -> m.SiteStatus:
    counts = {"undelivered_images": 100, "unrouted_images": 0, **spool}
    found: m.SiteStatus = s.changed(
        s.TRAFFIC, destinations=destinations, spool=s.changed(s.SPOOL, **counts), as_of=None
    )
    return found


def test_what_can_leave_is_counted_and_nothing_else() -> None:
    paused = s.changed(GOING, name="paused", paused=True)
    barred = s.changed(GOING, name="barred")
    assert left(traffic(IDLE, GOING, paused, barred), {"barred"}) == Left(30, 300, 290.0)
    assert left(traffic(IDLE, paused, held_images=5, refused_images=3), ()) == Left(0, 0, 0.0)


def test_an_image_for_two_destinations_is_one_image() -> None:
    two = s.changed(GOING, name="archive", eta=600.0)
    assert left(traffic(GOING, two, undelivered_images=30), ()) == Left(30, 600, 600.0)


def test_how_long_is_unknown_unless_all_of_it_was_measured() -> None:
    assert left(traffic(GOING, s.changed(GOING, name="new", eta=None)), ()) == Left(60, 600, None)
    undecided = left(traffic(IDLE, unrouted_images=4), ())
    assert undecided == Left(4, 0, None, "it is not decided yet where they go", 4)


def test_what_was_is_not_taken_for_what_is() -> None:
    assert left(s.changed(traffic(IDLE), as_of=NOW), ()) is None


@pytest.mark.parametrize(
    ("left_", "still", "ends"),
    [
        (Left(0, 0, 0.0), 0.0, True),
        (Left(4, 9, None), 400.0, False),
        (Left(4, 0, None, "undecided", 4), 299.0, False),
        (Left(4, 0, None, "undecided", 4), 300.0, True),
        (Left(5, 9, None, "undecided", 4), 400.0, False),
        (None, 400.0, False),
    ],
)
def test_what_is_never_decided_without_a_scanner_is_not_waited_for(
    left_: Left | None, still: float, ends: bool
) -> None:
    assert over(runner(still, left=left_), 300.0) is ends


def test_who_stands_still_longest_gives_way_to_who_waits() -> None:
    stuck = {"a": 400.0, "b": 900.0, "c": 299.0, "d": 300.0}
    assert giving_way(stuck, 0, 300.0) == ()
    assert giving_way(stuck, 1, 300.0) == ("b",)
    assert giving_way(stuck, 9, 300.0) == ("b", "a", "d")


# --- what people see


def runner(still: float = 0.0, **changes: Any) -> Runner:
    return Runner(m.RuntimeState.RUNNING, None, Left(34, 1 << 20, 300.0), still)._replace(**changes)


def see(given_: Facts, runner_: Runner | None) -> m.Draining:
    found = shown("lakeside", given_, verdict(given_), runner_, patience=300.0)
    assert found is not None
    return found


def test_it_is_said_how_much_is_left() -> None:
    assert told(see(facts(), runner())) == "draining lakeside: 34 images left, about 5 min"
    assert told(see(facts(), runner(left=Left(1, 9, None)))) == "draining lakeside: 1 image left, how long is unknown"
    assert told(see(facts(), runner(left=None))) == "draining lakeside: what is left is not known yet"
    assert [see(facts(), runner(isolated=said)).isolated for said in (True, False, None)] == [True, False, None]
    assert see(facts(FOUR_HOURS), runner()).until == NOW + timedelta(hours=3)


def test_who_stands_still_is_stuck_and_it_is_said_why() -> None:
    stuck = see(facts(), runner(still=300.0, left=Left(34, 9, None, "pacs: the connection was refused")))
    assert (stuck.state, stuck.reason) == (m.DrainState.STUCK, "pacs: the connection was refused")
    assert "fluxctl site activate lakeside" in stuck.hint
    failed = see(facts(), runner(state=m.RuntimeState.BACKOFF, problem=Problem("x", "it ended", hint="Look.")))
    assert (failed.state, failed.reason, failed.hint) == (m.DrainState.STUCK, "it ended", "Look.")
    waits = see(facts()._replace(key_problem=LOCKED), None)
    assert (waits.state, waits.reason, waits.hint) == (m.DrainState.WAITING, LOCKED.message, LOCKED.hint)
    assert shown("lakeside", facts(Inactive()), verdict(facts(Inactive())), None, patience=1.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "how long is unknown"),
        (0.0, "less than 1 min"),
        (60.0, "about 1 min"),
        (3599.0, "about 1 h"),
        (5400.0, "about 1 h 30 min"),
    ],
)
def test_how_long(seconds: float | None, words: str) -> None:
    assert about(seconds) == words


# --- the record


def test_the_record_keeps_when_it_began(tmp_path: Path) -> None:
    records = DrainRecords(tmp_path / "draining")
    assert records.begin("lakeside", NOW) == NOW
    assert DrainRecords(tmp_path / "draining").begin("lakeside", NOW + timedelta(hours=3)) == NOW
    records.forget("lakeside")
    records.forget("lakeside")
    assert records.begin("lakeside", NOW + timedelta(hours=3)) == NOW + timedelta(hours=3)


def test_a_site_that_is_removed_begins_anew(tmp_path: Path) -> None:
    records, later = DrainRecords(tmp_path / "draining"), NOW + timedelta(hours=3)
    records.keep_only(["lakeside"])
    for site in ("lakeside", "north"):
        records.begin(site, NOW)
    records.keep_only(["lakeside"])
    assert (records.begin("lakeside", later), records.begin("north", later)) == (NOW, later)


@pytest.mark.parametrize("text", ["", "yesterday\n", "2026-03-04T18:00:00\n", "x" * 1000])
def test_a_record_that_is_damaged_says_nothing(tmp_path: Path, text: str) -> None:
    records = DrainRecords(tmp_path)
    (tmp_path / "lakeside").write_text(text)
    assert records.begin("lakeside", NOW) is None


def test_no_other_path_is_touched(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        DrainRecords(tmp_path / "draining").begin("../lakeside", NOW)
