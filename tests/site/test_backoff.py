from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.site.backoff import DEFAULT, Backoff, next_delay


@given(attempt=st.integers(1, 10**9), seed=st.integers())
def test_every_delay_lies_between_the_least_and_the_ceiling(attempt: int, seed: int) -> None:
    delay = next_delay(attempt, random.Random(seed))
    assert DEFAULT.least <= delay <= DEFAULT.ceiling(attempt) <= DEFAULT.cap


def test_the_ceiling_doubles_until_the_cap() -> None:
    assert [Backoff(base=1, cap=10, least=0.5).ceiling(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_jitter_is_full() -> None:
    """Draws reach into every tenth of the span, so boxes that failed together do not return together."""
    rng = random.Random(7)
    span = Backoff(base=100, cap=100, least=0.001)
    tenths = {int(next_delay(1, rng, span) // 10) for _ in range(1000)}
    assert tenths == set(range(10))


def test_the_same_seed_gives_the_same_delays() -> None:
    first, second = random.Random(3), random.Random(3)
    assert [next_delay(n, first) for n in range(1, 20)] == [next_delay(n, second) for n in range(1, 20)]


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_are_counted_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        next_delay(attempt, random.Random(0))


@pytest.mark.parametrize(
    ("base", "cap", "least"), [(0, 1, 0), (2, 1, 1), (1, float("inf"), 1), (1, 2, 1.5), (-1, 1, -2)]
)
def test_a_span_that_makes_no_sense_is_refused(base: float, cap: float, least: float) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(base=base, cap=cap, least=least)
