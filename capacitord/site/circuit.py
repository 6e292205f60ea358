"""Whether a destination is worth trying now: one small state machine for each, so that a dead one costs nothing.

Only troubles of whole associations count: no connection, a rejection, an abort, a time-out, or that nothing is taken
at all. An image that the peer refuses says nothing about the next image.

::

    closed ──failed──▶ closed          (fewer than `threshold` in a row: wait a little, go on)
    closed ──tripped─▶ open            (that many in a row, or one that only a person can clear)
    open ────began───▶ half-open       (the time has come: one association probes, the others stay away)
    half-open ─succeeded─▶ closed
    half-open ─tripped───▶ open        (longer wait)
    half-open ─abandoned─▶ open        (the probe ended without an answer either way; the next may start at once)

Times are seconds of one clock, given by the caller as `now`; use a monotonic one, so that setting the box's
clock neither stalls nor hurries a delivery.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import IllegalTransition

THRESHOLD = 3
"""Failures in a row after which a circuit opens."""


class CircuitState(enum.StrEnum):
    """What a destination is thought to be."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Event(enum.StrEnum):
    """What can happen to a circuit."""

    BEGAN = "began"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIPPED = "tripped"
    ABANDONED = "abandoned"
    HASTENED = "hastened"


_C, _O, _H = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

TABLE: Mapping[tuple[CircuitState, Event], CircuitState] = MappingProxyType(
    {
        (_C, Event.BEGAN): _C,
        (_C, Event.SUCCEEDED): _C,
        (_C, Event.FAILED): _C,
        (_C, Event.TRIPPED): _O,
        (_C, Event.ABANDONED): _C,
        (_C, Event.HASTENED): _C,
        (_O, Event.BEGAN): _H,
        # An association that was open before the others failed may still end well, or badly.
        (_O, Event.SUCCEEDED): _C,
        (_O, Event.TRIPPED): _O,
        (_O, Event.ABANDONED): _O,
        (_O, Event.HASTENED): _O,
        (_H, Event.SUCCEEDED): _C,
        (_H, Event.TRIPPED): _O,
        (_H, Event.ABANDONED): _O,
        (_H, Event.HASTENED): _H,
    }
)


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one destination.

    `failures` counts those in a row; `reason` is the last one's, in words; `next_try` is when the next
    association may begin; `needs_person` says that waiting alone is not expected to help.
    """

    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    reason: str = ""
    next_try: float = float("-inf")
    needs_person: bool = False

    def may_begin(self, now: float) -> bool:
        """Say whether an association may be opened at `now`."""
        return self.state is not CircuitState.HALF_OPEN and now >= self.next_try

    def explain(self, peer: str) -> str:
        """Return the state as a sentence about `peer`, without times."""
        if self.state is CircuitState.CLOSED:
            return f"{peer}: {self.reason}" if self.reason else f"{peer} answers."
        if self.state is CircuitState.HALF_OPEN:
            return f"{peer} is being tried again. Before: {self.reason}"
        times = "once" if self.failures == 1 else f"{self.failures} times in a row"
        return f"{peer} was tried {times}. {self.reason}"


def began(circuit: Circuit, now: float) -> Circuit:
    """Return the circuit after an association was begun at `now`.

    Call it only where `may_begin` said yes; raises `IllegalTransition` otherwise.
    """
    if not circuit.may_begin(now):
        msg = f"an association may not begin now: {circuit.state}, next try in {circuit.next_try - now:.1f} s"
        raise IllegalTransition(msg)
    return replace(circuit, state=_after(circuit, Event.BEGAN))


def succeeded(circuit: Circuit) -> Circuit:
    """Return the circuit after the peer dealt with an image: it stored it, or refused it for good.

    That it accepts an association shows little: one that aborts at the first image does so as well.
    """
    return Circuit(state=_after(circuit, Event.SUCCEEDED))


def failed(circuit: Circuit, now: float, outcome: Outcome, delay: float, threshold: int = THRESHOLD) -> Circuit:
    """Return the circuit after an association failed with `outcome`; the next may begin `delay` seconds later.

    `delay` comes from `backoff.next_delay(circuit.failures + 1, rng)`. An outcome that needs a person opens the
    circuit at once; it is probed all the same, so that delivery goes on by itself when the peer was mended.
    """
    failures = circuit.failures + 1
    needs_person = outcome.verdict is Verdict.NEEDS_PERSON
    tripped = circuit.state is not CircuitState.CLOSED or failures >= threshold or needs_person
    return Circuit(
        state=_after(circuit, Event.TRIPPED if tripped else Event.FAILED),
        failures=failures,
        reason=outcome.reason,
        # Several associations may fail together: the latest time any of them asks for holds.
        next_try=max(circuit.next_try, now + delay),
        needs_person=needs_person,
    )


def abandoned(circuit: Circuit, now: float) -> Circuit:
    """Return the circuit after an association ended through no doing of the peer: paused, shut down, damaged image.

    A probe that ends so has shown nothing, and another may begin at once.
    """
    probing = circuit.state is CircuitState.HALF_OPEN
    return replace(
        circuit,
        state=_after(circuit, Event.ABANDONED),
        next_try=now if probing else circuit.next_try,
    )


def hastened(circuit: Circuit, now: float) -> Circuit:
    """Return the circuit after an operator asked for a try now. What is known of the peer stays known."""
    return replace(circuit, state=_after(circuit, Event.HASTENED), next_try=min(circuit.next_try, now))


def _after(circuit: Circuit, event: Event) -> CircuitState:
    try:
        return TABLE[circuit.state, event]
    except KeyError:
        msg = f"a circuit that is {circuit.state} cannot have {event}"
        raise IllegalTransition(msg) from None
