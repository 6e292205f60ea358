from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import IllegalTransition
from capacitord.site import circuit as c
from capacitord.site.circuit import TABLE, Circuit, CircuitState, Event

LATER = Outcome(Verdict.LATER, "STM_PACS did not answer.")
PERSON = Outcome(Verdict.NEEDS_PERSON, "STM_PACS does not know FLUXBOX.")


def opened(now: float = 0.0, delay: float = 10.0) -> Circuit:
    return c.failed(Circuit(), now, PERSON, delay)


def test_a_new_circuit_lets_an_association_begin() -> None:
    assert Circuit().may_begin(-1e9)
    assert Circuit().explain("STM_PACS") == "STM_PACS answers."


def test_every_pair_of_state_and_event_is_listed_or_refused() -> None:
    refused = set(itertools.product(CircuitState, Event)) - set(TABLE)
    # Failing without tripping is for a closed circuit; beginning beside a probe is for none.
    assert refused == {
        (CircuitState.OPEN, Event.FAILED),
        (CircuitState.HALF_OPEN, Event.FAILED),
        (CircuitState.HALF_OPEN, Event.BEGAN),
    }


def test_few_failures_leave_it_closed_but_make_it_wait() -> None:
    once = c.failed(Circuit(), 100.0, LATER, 5.0)
    assert once.state is CircuitState.CLOSED
    assert not once.may_begin(104.9)
    assert once.may_begin(105.0)
    assert "did not answer" in once.explain("STM_PACS")


def test_failures_in_a_row_open_it() -> None:
    circuit = Circuit()
    for n in range(c.THRESHOLD):
        circuit = c.failed(circuit, float(n), LATER, 1.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.failures == c.THRESHOLD
    assert "3 times in a row" in circuit.explain("STM_PACS")


def test_a_failure_that_needs_a_person_opens_it_at_once_and_is_probed_all_the_same() -> None:
    circuit = opened(now=0.0, delay=60.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.needs_person
    assert not circuit.may_begin(59.0)
    assert circuit.may_begin(60.0)


def test_one_probe_at_a_time() -> None:
    probing = c.began(opened(), 10.0)
    assert probing.state is CircuitState.HALF_OPEN
    assert not probing.may_begin(1e9)
    with pytest.raises(IllegalTransition):
        c.began(probing, 1e9)


def test_a_probe_that_succeeds_closes_and_forgets() -> None:
    assert c.succeeded(c.began(opened(), 10.0)) == Circuit()


def test_a_probe_that_fails_opens_again_for_longer() -> None:
    circuit = c.failed(c.began(opened(), 10.0), 11.0, LATER, 30.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.failures == 2
    assert circuit.next_try == 41.0
    assert not circuit.needs_person


def test_a_probe_without_a_result_frees_the_place_for_the_next() -> None:
    circuit = c.abandoned(c.began(opened(), 10.0), 12.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.may_begin(12.0)
    assert circuit.reason == PERSON.reason


def test_an_operator_shortens_the_wait_and_never_lengthens_it() -> None:
    circuit = opened(now=0.0, delay=100.0)
    assert c.hastened(circuit, 3.0).next_try == 3.0
    assert c.hastened(circuit, 200.0).next_try == 100.0
    assert c.hastened(circuit, 3.0).reason == circuit.reason


def test_beginning_too_early_is_an_error_of_the_program() -> None:
    with pytest.raises(IllegalTransition, match=r"next try in 5\.0 s"):
        c.began(opened(now=0.0, delay=10.0), 5.0)


def test_associations_failing_together_wait_for_the_latest_of_their_times() -> None:
    circuit = c.failed(c.failed(Circuit(), 0.0, LATER, 9.0), 1.0, LATER, 2.0)
    assert circuit.next_try == 9.0


@given(st.lists(st.sampled_from(["fail", "person", "success", "begin", "abandon", "hasten"]), max_size=60))
def test_an_open_circuit_always_has_a_reason_and_a_time(events: list[str]) -> None:
    circuit, now = Circuit(), 0.0
    for event in events:
        now += 1.0
        if event == "begin" and circuit.may_begin(now):
            circuit = c.began(circuit, now)
        elif event in {"fail", "person"}:
            circuit = c.failed(circuit, now, LATER if event == "fail" else PERSON, 4.0)
        elif event == "success":
            circuit = c.succeeded(circuit)
        elif event == "abandon":
            circuit = c.abandoned(circuit, now)
        elif event == "hasten":
            circuit = c.hastened(circuit, now)
        if circuit.state is not CircuitState.CLOSED:
            assert circuit.reason
            assert circuit.next_try <= now + 4.0
            assert circuit.failures >= 1


class Delivery(RuleBasedStateMachine):
    """Workers of one destination as they come and go: the circuit never shuts the door for good."""

    @initialize()
    def start(self) -> None:
        self.circuit = Circuit()
        self.now = 0.0
        self.running = 0

    @rule(seconds=st.floats(0, 50))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.circuit.may_begin(self.now) and self.running < 4)
    @rule()
    def begin(self) -> None:
        self.circuit = c.began(self.circuit, self.now)
        self.running += 1

    @precondition(lambda self: self.running)
    @rule(how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, how: str) -> None:
        self.running -= 1
        if how == "succeeded":
            self.circuit = c.succeeded(self.circuit)
        elif how == "failed":
            self.circuit = c.failed(self.circuit, self.now, LATER, 20.0)
        else:
            self.circuit = c.abandoned(self.circuit, self.now)

    @invariant()
    def somebody_can_or_will_try(self) -> None:
        if self.running == 0:
            assert self.circuit.may_begin(max(self.now, self.circuit.next_try))


TestDelivery = Delivery.TestCase
