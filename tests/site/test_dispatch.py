"""What a delivery does next, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.dispatch import EXPLAIN_EVERY, LOOK_AGAIN, WORTH_ANOTHER, Facts, Next, Task, decide, worth_another

NOW = 1000.0
IDLE = Facts(now=NOW, circuit=Circuit(), looked_at=NOW, explained_at=NOW)
DOWN = Circuit(CircuitState.OPEN, 3, "It is down.", NOW + 30.0)
PROBED = Circuit(CircuitState.HALF_OPEN, 3, "It is down.", NOW - 1.0)
BUSY = replace(IDLE, senders=1, established=1, most=1)

TABLE: list[tuple[str, Facts, Next]] = [
    ("idle", IDLE, Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("the end goes before all", replace(IDLE, stopping=True, news=True, paused=True), Next(Task.END)),
    ("an image arrived", replace(IDLE, news=True), Next(Task.LOOK)),
    ("an association ended", replace(IDLE, owed=True, unexplained=True), Next(Task.LOOK)),
    ("a rest ended", replace(IDLE, rest_ends=NOW), Next(Task.LOOK)),
    ("a rest goes on", replace(IDLE, rest_ends=NOW + 5.0), Next(Task.WAIT, NOW + 5.0)),
    ("nobody looked for long", replace(IDLE, looked_at=NOW - LOOK_AGAIN), Next(Task.LOOK)),
    ("what waits may not say why", replace(IDLE, unexplained=True), Next(Task.EXPLAIN)),
    ("the one association is busy", replace(BUSY, news=True), Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("it lingers", replace(BUSY, news=True, lingering=1), Next(Task.LOOK)),
    ("another may be opened", replace(BUSY, news=True, most=2), Next(Task.LOOK)),
    ("one at a time", replace(BUSY, news=True, most=9, senders=2), Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("not before the first is accepted", replace(BUSY, news=True, most=2, established=0), Next(Task.WAIT, NOW + 60.0)),
    ("more may be opened again", replace(BUSY, most=2, more_at=NOW), Next(Task.LOOK)),
    ("busy, and not explained", replace(BUSY, unexplained=True), Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("paused", replace(IDLE, paused=True, owed=True), Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("paused just now", replace(IDLE, paused=True, unexplained=True), Next(Task.EXPLAIN)),
    ("paused, the last image under way", replace(BUSY, paused=True, unexplained=True), Next(Task.WAIT, NOW + 60.0)),
    ("arrived while paused", replace(IDLE, paused=True, news=True), Next(Task.WAIT, NOW + EXPLAIN_EVERY)),
    (
        "arrived while paused a while ago",
        replace(IDLE, paused=True, news=True, explained_at=NOW - EXPLAIN_EVERY),
        Next(Task.EXPLAIN),
    ),
    ("down", replace(IDLE, circuit=DOWN, owed=True), Next(Task.WAIT, NOW + 30.0)),
    ("down, a rest ended", replace(IDLE, circuit=DOWN, rest_ends=NOW - 1.0), Next(Task.WAIT, NOW + 30.0)),
    ("down until now", replace(IDLE, circuit=replace(DOWN, next_try=NOW), owed=True), Next(Task.LOOK)),
    ("down and arrived", replace(IDLE, circuit=DOWN, news=True), Next(Task.WAIT, NOW + EXPLAIN_EVERY)),
    ("probed", replace(BUSY, circuit=PROBED, news=True, established=0), Next(Task.WAIT, NOW + LOOK_AGAIN)),
    ("this box is hindered", replace(IDLE, owed=True, hindered_until=NOW + 7.0), Next(Task.WAIT, NOW + 7.0)),
    ("for good", replace(IDLE, owed=True, hindered_until=float("inf")), Next(Task.WAIT, NOW + LOOK_AGAIN)),
]


@pytest.mark.parametrize(("facts", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_next(facts: Facts, expected: Next) -> None:
    assert decide(facts) == expected


times = st.floats(0.0, 2000.0)
circuits = st.builds(
    Circuit, state=st.sampled_from(CircuitState), failures=st.integers(0, 5), reason=st.just("down"), next_try=times
)
facts = st.builds(
    Facts,
    now=st.just(NOW),
    circuit=circuits,
    news=st.booleans(),
    owed=st.booleans(),
    unexplained=st.booleans(),
    stopping=st.just(value=False),
    paused=st.booleans(),
    senders=st.integers(0, 4),
    established=st.integers(0, 4),
    lingering=st.integers(0, 4),
    most=st.integers(1, 4),
    looked_at=times,
    explained_at=times,
    hindered_until=times,
    rest_ends=st.none() | times,
    more_at=st.none() | times,
)


@given(facts)
def test_waiting_always_has_an_end_that_lies_ahead(some: Facts) -> None:
    following = decide(some)
    if following.task is Task.WAIT:
        assert NOW < following.until <= NOW + LOOK_AGAIN


@given(facts)
def test_whatever_is_done_is_not_done_again_at_once(some: Facts) -> None:
    """A look sets `looked_at` and takes back `news` and `owed`; an explanation `explained_at` and `unexplained`."""
    done = []
    for _ in range(3):
        following = decide(some)
        done.append(following.task)
        if following.task is Task.LOOK:
            some = replace(some, looked_at=NOW, news=False, owed=False, rest_ends=None, more_at=None)
        elif following.task is Task.EXPLAIN:
            some = replace(some, explained_at=NOW, owed=some.owed or some.news, news=False, unexplained=False)
    assert done[-1] is Task.WAIT


@given(facts)
def test_nothing_is_opened_while_it_must_not_be(some: Facts) -> None:
    if some.blocked:
        assert decide(some).task is not Task.LOOK


def test_associations_are_opened_one_at_a_time() -> None:
    assert worth_another(1, 0, 0, 4)
    assert not worth_another(1000, 2, 1, 4)
    assert not worth_another(0, 0, 0, 4)
    assert not worth_another(1000, 1, 0, 4)
    assert worth_another(1000, 1, 1, 4)
    assert not worth_another(WORTH_ANOTHER, 1, 1, 4)
    assert not worth_another(1000, 4, 4, 4)
