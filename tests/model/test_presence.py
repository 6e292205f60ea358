"""Dwell and hysteresis: what a coach must do to be somewhere, and to be gone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.config.tables.whereabouts import WhereaboutsTable
from capacitord.model.fence import Where
from capacitord.model.presence import DUE, LONGEST_GAP, NEXT, Phase, Presence, step

IN, MAYBE, OUT = Where.INSIDE, Where.MAYBE, Where.OUTSIDE
HERE = Presence(Phase.HERE, 0.0)
Look = tuple[float, Where | None]


def walk(
    looks: Sequence[Look], begin: Presence | None = None, dwell: float = 90.0, leave: float = 300.0
) -> list[Presence]:
    """Return the presence after each look: seconds since the last one, and what was seen."""
    presence, now, found = begin or Presence(), 0.0, []
    for passed, where in looks:
        now += passed
        presence = step(presence, where, now, dwell=dwell, leave_after=leave)
        found.append(presence)
    return found


def every(seconds: float, where: Where | None, long: float) -> list[Look]:
    return [(seconds, where)] * int(long / seconds)


LOOKS = st.lists(st.tuples(st.floats(0, 120), st.sampled_from([IN, MAYBE, OUT, None])), max_size=60)
PRESENCES = LOOKS.map(lambda looks: walk(looks)[-1] if looks else Presence())
TIMES = st.floats(0.5, LONGEST_GAP)


def test_the_table_knows_every_look_in_every_phase() -> None:
    assert set(NEXT) == set(itertools.product(Phase, [*Where, None]))
    for (phase, where), then in NEXT.items():
        if where in {MAYBE, None}:
            assert then is phase or (phase, where, then) == (Phase.ARRIVING, None, Phase.AWAY)
        if then in DUE:
            assert NEXT[then, DUE[then][0]] is then


def test_who_stays_inside_is_here_after_the_dwell() -> None:
    found = walk(every(5, IN, 100))
    assert [each.phase for each in found] == [Phase.ARRIVING] * 18 + [Phase.HERE] * 2
    assert found[17].counted == 85
    assert found[18].since == 95
    assert found[18].here


def test_who_stays_outside_is_away_after_a_while() -> None:
    found = walk(every(5, OUT, 310), HERE)
    assert [each.phase for each in found] == [Phase.LEAVING] * 60 + [Phase.AWAY] * 2
    assert found[0].here
    assert not found[60].here


@given(st.floats(1, 3600), TIMES, PRESENCES.filter(lambda presence: presence.phase is Phase.AWAY))
def test_a_drive_past_is_no_arrival(dwell: float, pause: float, before: Presence) -> None:
    inside = [(pause, IN)] * min(max(int(dwell / pause), 1), 500)
    looks = [*inside, (pause, MAYBE), (pause, OUT), *inside]
    assert not any(each.here for each in walk(looks, before, dwell) if dwell > pause * (len(inside) - 1))


@given(LOOKS, st.floats(1, 200), st.floats(1, 400))
def test_here_needs_the_dwell_surely_inside_without_a_break(looks: list[Look], dwell: float, leave: float) -> None:
    was, now, sure, last = Presence(), 0.0, 0.0, None
    for passed, where in looks:
        now += passed
        if where in {OUT, None}:
            sure = 0.0
        elif where is IN and last is IN:
            sure += passed
        last = where
        presence = step(was, where, now, dwell=dwell, leave_after=leave)
        if presence.here and not was.here:
            assert where is IN
            assert sure >= dwell - 1e-6
        was = presence


@given(LOOKS, st.floats(1, 200), st.floats(1, 400))
def test_only_surely_outside_long_enough_ends_a_presence(looks: list[Look], dwell: float, leave: float) -> None:
    was, now, sure, last = HERE, 0.0, 0.0, None
    for passed, where in looks:
        now += passed
        if where is IN:
            sure = 0.0
        elif where is OUT and last is OUT and passed <= LONGEST_GAP:
            sure += passed
        last = where or last
        presence = step(was, where, now, dwell=dwell, leave_after=leave)
        if was.here and not presence.here:
            assert where is OUT
            assert sure >= leave - 1e-6
            return
        was = presence


@given(st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from([IN, MAYBE, None])), max_size=60))
def test_lost_and_doubtful_evidence_never_ends_a_presence(looks: list[Look]) -> None:
    assert all(each.phase is Phase.HERE for each in walk(looks, HERE))
    leaving = Presence(Phase.LEAVING, 0.0, counted=299.0, sure=True)
    assert all(each.here for each in walk(looks, leaving))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from([MAYBE, OUT, None])), max_size=60))
def test_what_is_not_surely_inside_begins_nothing(looks: list[Look]) -> None:
    assert all(each == Presence() for each in walk(looks))


@given(PRESENCES.filter(lambda presence: not presence.here), st.floats(LONGEST_GAP + 1, 1e9), st.floats(1, 3600))
def test_a_jump_of_time_opens_nothing(before: Presence, jump: float, dwell: float) -> None:
    after = step(before, IN, before.last + before.since + jump, dwell=dwell, leave_after=300)
    assert after.phase is Phase.ARRIVING
    assert after.counted == 0


@given(PRESENCES.filter(lambda presence: not presence.here), st.floats(0.5, 3600))
def test_a_clock_that_stands_or_goes_back_opens_nothing(before: Presence, dwell: float) -> None:
    presence = step(before, IN, before.last, dwell=dwell + before.counted, leave_after=300)
    for back in [0.0] * 50 + [1000.0, 0.0]:
        presence = step(presence, IN, presence.last - back, dwell=dwell + before.counted, leave_after=300)
        assert not presence.here


def test_a_lost_fix_restarts_a_dwell_that_was_not_over() -> None:
    found = walk([*every(5, IN, 85), (5, None), *every(5, IN, 90)])
    assert found[17].phase is Phase.AWAY
    assert not any(each.here for each in found)


def test_doubt_is_taken_off_what_was_counted() -> None:
    found = walk([*every(5, IN, 50), *every(5, MAYBE, 20), *every(5, IN, 70)])
    assert [each.counted for each in found[9:15]] == [45, 40, 35, 30, 25, 25]
    assert found[-2].counted == 85
    assert found[-1].phase is Phase.HERE
    doubtful = walk([*every(5, OUT, 100), *every(5, MAYBE, 200), *every(5, OUT, 300)], HERE)
    assert [each.counted for each in doubtful[19:61:20]] == [95, 0, 0]
    assert doubtful[-1].counted == 295
    assert doubtful[-1].here


@given(st.lists(st.sampled_from([IN, MAYBE]), max_size=400), st.floats(30, 3600))
def test_who_is_as_often_in_doubt_as_inside_never_arrives(looks: list[Where], dwell: float) -> None:
    worst = balance = 0
    for look in looks:
        balance = max(balance, 0) + 1 if look is IN else max(balance - 1, 0)
        worst = max(worst, balance)
    found = walk([(5.0, look) for look in looks], dwell=dwell)
    if any(each.here for each in found):
        assert worst * 5.0 >= dwell


def test_jitter_at_the_fence_opens_nothing_and_closes_nothing() -> None:
    for pattern in ([IN, OUT], [IN, MAYBE, OUT, MAYBE], [IN, IN, OUT, OUT, MAYBE]):
        looks = [(5.0, where) for where in pattern] * 200
        assert not any(each.here for each in walk(looks))
        assert all(each.here for each in walk(looks, HERE))


@given(TIMES, st.integers(1, 200))
def test_who_is_outside_whenever_there_is_evidence_is_away_in_the_end(gap: float, times: int) -> None:
    found = walk([(gap, OUT), (gap, None)] * times, HERE)
    assert found[-1].here is ((times - 1) * gap < 300 - 1e-6)


@given(st.floats(LONGEST_GAP + 1, 1e6), st.integers(1, 200))
def test_single_looks_outside_between_long_silences_end_no_presence(gap: float, times: int) -> None:
    assert all(each.here and not each.counted for each in walk([(gap, OUT), (gap, None)] * times, HERE))


@given(st.integers(0, 500))
def test_one_look_outside_after_a_silence_is_not_enough(silent: int) -> None:
    silence = [(60.0, None)] * silent
    assert walk([*every(5, OUT, 290), *silence, (5.0, OUT)], HERE)[-1].here
    assert walk([*every(5, IN, 10), *silence, (60.0, OUT), *silence, (60.0, OUT)], HERE)[-1].here


def test_a_flicker_at_the_rarest_poll_ends_a_presence() -> None:
    longest = WhereaboutsTable.model_validate({"poll": "60s"}).poll
    found = walk([(longest, OUT), (longest, None)] * 12, HERE)
    assert found[0].here
    assert not found[-1].here


def test_a_gap_without_evidence_brings_no_leave_nearer() -> None:
    lost = [*every(5, OUT, 10), *every(5, None, 40), *every(5, OUT, 15)]
    found = walk(lost, HERE, leave=20.0)
    assert [each.counted for each in found] == [0, 5, *[5] * 8, 10, 15, 0]
    assert [each.phase for each in found[-2:]] == [Phase.LEAVING, Phase.AWAY]


def test_two_looks_outside_too_far_apart_count_as_one() -> None:
    found = walk([(LONGEST_GAP + 1, OUT)] * 50, HERE)
    assert {(each.phase, each.counted) for each in found} == {(Phase.LEAVING, 0.0)}


def test_the_rarest_looks_there_can_be_are_near_enough() -> None:
    longest = WhereaboutsTable.model_validate({"poll": "60s"}).poll
    late = [(longest + 1.0, OUT)] * 6
    assert not walk(late, HERE)[-1].here


@pytest.mark.parametrize("where", [*Where, None])
def test_a_dwell_of_nothing_is_over_at_once(where: Where | None) -> None:
    assert step(Presence(), where, 5.0, dwell=0, leave_after=0).here is (where is IN)
    assert step(HERE, where, 5.0, dwell=0, leave_after=0).here is (where is not OUT)
