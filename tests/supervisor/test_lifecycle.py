"""The life of a runtime as a table, and the waits between two."""

from __future__ import annotations

import itertools

import pytest

from capacitord.api.messages import RuntimeState
from capacitord.model.states import IllegalTransition, advance
from capacitord.supervisor.lifecycle import RUNTIME, Backoff


def test_every_pair_of_states_is_allowed_or_refused_by_the_table() -> None:
    assert set(RUNTIME) == set(RuntimeState)
    for now, then in itertools.product(RuntimeState, RuntimeState):
        if now is then or then in RUNTIME[now]:
            assert advance(RUNTIME, now, then) is then
        else:
            with pytest.raises(IllegalTransition):
                advance(RUNTIME, now, then)


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_good_run() -> None:
    backoff = Backoff(first=0.5, longest=60.0, stable=60.0)
    failures, waits = 0, []
    for _ in range(10):
        failures = backoff.failures(failures, ran_for=1.0)
        waits.append(backoff.delay(failures))
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.delay(10**6) == 60
    assert backoff.delay(backoff.failures(failures, ran_for=61.0)) == 0.5
