"""When a study is closed: by quiet time, by evidence that fits what is here, or by evidence that got its time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.completeness import BY_QUIET, Completeness, Event, Witness, closed_by
from capacitord.model.delivery import Send

QUIET = 30.0
EVIDENCE = Completeness((Event.COMMITMENT, Event.MPPS))
ALL = Completeness((Event.COMMITMENT, Event.MPPS, Event.QUIET), 10.0)


def mpps(*, over: bool = True, named: int = 3, missing: int = 0, unnamed: int = 0) -> Witness:
    return Witness(Event.MPPS, over, named, missing, unnamed)


@pytest.mark.parametrize(
    ("rules", "idle", "witnesses", "by"),
    [
        (BY_QUIET, 29.0, [], None),
        (BY_QUIET, 30.0, [], Event.QUIET),
        (BY_QUIET, 0.0, [mpps()], None),
        (ALL, 10.0, [], Event.QUIET),
        (ALL, 9.0, [], None),
        (ALL, 0.0, [mpps()], Event.MPPS),
        (ALL, 10.0, [mpps(over=False)], Event.QUIET),
        (EVIDENCE, 1e9, [], None),
        (EVIDENCE, 1e9, [mpps(over=False)], None),
        (EVIDENCE, 0.0, [mpps()], Event.MPPS),
        (EVIDENCE, 29.0, [mpps(missing=1)], None),
        (EVIDENCE, 30.0, [mpps(missing=1)], Event.MPPS),
        (EVIDENCE, 29.0, [mpps(unnamed=1)], None),
        (EVIDENCE, 30.0, [mpps(unnamed=1)], Event.MPPS),
        (EVIDENCE, 29.0, [mpps(named=0)], None),
        (EVIDENCE, 30.0, [mpps(named=0)], Event.MPPS),
        (EVIDENCE, 0.0, [mpps(missing=1), Witness(Event.COMMITMENT, True, 2, 0, 0)], Event.COMMITMENT),
    ],
)
def test_what_closes_a_study(rules: Completeness, idle: float, witnesses: list[Witness], by: Event | None) -> None:
    assert closed_by(rules, idle, QUIET, witnesses) is by


WITNESSES = st.lists(
    st.builds(
        Witness,
        st.sampled_from([Event.COMMITMENT, Event.MPPS]),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=2,
    unique_by=lambda witness: witness.event,
)


@given(
    st.lists(st.sampled_from(Event), min_size=1, unique=True).map(tuple),
    st.floats(0, 100),
    WITNESSES,
    st.sampled_from(Send),
)
def test_nothing_closes_a_study_but_what_is_listed(
    closes: tuple[Event, ...], idle: float, witnesses: list[Witness], send: Send
) -> None:
    by = closed_by(Completeness(closes, 10.0, send), idle, QUIET, witnesses)
    assert by is None or by in closes
    if idle >= 10 and Event.QUIET in closes:
        assert by is not None, "quiet time always comes to its end"
    if by in {Event.COMMITMENT, Event.MPPS}:
        assert any(witness.event is by and witness.over for witness in witnesses)
