"""The gate: every combination of facts, and every way through its table."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from capacitord.api.messages import Disk, Level, Parked, RuntimeState
from capacitord.errors import Problem
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked, Clearance, Preflight
from capacitord.model.states import GATE, GateState, advance
from capacitord.supervisor.gate import Facts, decide, may_listen, walk

PROBLEM = Problem("x", "something is wrong", hint="Do something.")
PARKED = Parked(datetime(2026, 5, 1, 18, 30, tzinfo=UTC), "alex", "on the road")
FULL = Disk(100, 1, 5, 10, Level.FAILURE)
ALL = [
    Facts(
        profile=profile,
        profile_problem=profile_problem,
        key_problem=key_problem,
        runtime=runtime,
        runtime_problem=runtime_problem,
        bound=bound,
        port_problem=port_problem,
        disk=disk,
        heard=True,
        stopping=stopping,
        clearance=Clearance.SAME,
    )
    for profile, profile_problem, key_problem, runtime, runtime_problem, bound, port_problem, disk, stopping in (
        itertools.product(
            ["", "st-marys"],
            [None, PROBLEM],
            [None, PROBLEM],
            RuntimeState,
            [None, PROBLEM],
            [False, True],
            [None, PROBLEM],
            [None, FULL],
            [False, True],
        )
    )
]
ALL += [
    replace(facts, **change)
    for facts in ALL
    for change in ({"trouble": PROBLEM}, {"silent": True}, {"heard": False}, {"parked": PARKED})
]
FOUND = Preflight((Checked("CT_1", Outcome(Verdict.DONE, "CT_1 said all that is on it.", 0), patients=1, studies=2),))
CLEAN = Preflight((Checked("CT_1", Outcome(Verdict.DONE, "CT_1 said all that is on it.", 0)),))
UNCLEARED = [
    replace(facts, clearance=clearance, preflight=preflight, record_problem=problem, awaited="open for lakeside last")
    for facts in ALL
    for clearance in (None, *(each for each in Clearance if each is not Clearance.SAME))
    for preflight in (None, FOUND, CLEAN, Preflight(()))
    for problem in (None, PROBLEM)
    if facts.heard and not (facts.trouble or facts.silent or facts.parked or facts.disk or facts.port_problem)
]
ALL += UNCLEARED


def test_doubt_by_the_evidence_opens_nothing() -> None:
    for facts, now in itertools.product(ALL, GateState):
        unsure = replace(facts, unsure="lakeside is left in 200 s")
        assert not may_listen(unsure)
        gate = decide(now, replace(unsure, bound=False))
        assert gate.state is not GateState.OPEN
        if may_listen(facts):
            assert gate.reason == "st-marys is not opened now: lakeside is left in 200 s"
            assert "fluxctl site location" in gate.hint


def test_open_takes_everything() -> None:
    for facts, now in itertools.product(ALL, GateState):
        gate = decide(now, facts)
        whole = (
            facts.profile == "st-marys"
            and facts.profile_problem is None
            and facts.key_problem is None
            and facts.runtime is RuntimeState.RUNNING
            and not facts.stopping
            and facts.clearance is Clearance.SAME
        )
        assert may_listen(facts) is whole
        assert (gate.state is GateState.OPEN) is (whole and facts.bound)
        assert gate.may_scan is (
            whole and facts.bound and not (facts.disk or facts.trouble or facts.silent) and facts.heard
        )


def test_nothing_but_what_is_on_record_opens_the_gate() -> None:
    for facts, now in itertools.product(UNCLEARED, GateState):
        assert not may_listen(facts)
        gate = decide(now, facts)
        assert gate.state is not GateState.OPEN
        assert not gate.may_scan


def test_a_port_that_cannot_be_bound_is_what_is_said_where_nothing_else_is_in_the_way() -> None:
    facts = Facts(profile="b", runtime=RuntimeState.RUNNING, port_problem=PROBLEM, awaited="open for a last")
    for cleared in (replace(facts, clearance=Clearance.WAIVED), replace(facts, preflight=CLEAN)):
        gate = decide(GateState.PREFLIGHT, cleared)
        assert (gate.state, gate.reason, gate.hint) == (GateState.BLOCKED, PROBLEM.message, PROBLEM.hint)
    assert "CT_1 still has" in decide(GateState.PREFLIGHT, replace(facts, preflight=FOUND)).reason


def test_an_open_gate_says_what_stands_against_it_and_that_the_preflight_was_waived() -> None:
    facts = Facts(profile="b", runtime=RuntimeState.RUNNING, bound=True, heard=True, clearance=Clearance.SAME)
    assert decide(GateState.OPEN, facts).reason == "images are taken in for b"
    gate = decide(GateState.OPEN, replace(facts, against="the evidence says otherwise", waived="alex"))
    assert gate.may_scan
    assert gate.reason.endswith(
        "without a preflight: alex waived it; the evidence says otherwise: fluxctl site location"
    )


@pytest.mark.parametrize(
    ("incoming", "words"),
    [(0, "what a scanner is sending"), (1, "the scanner that is"), (3, "the 3 scanners that are")],
)
def test_a_gate_that_closes_says_for_whom_it_waits_and_how_long(incoming: int, words: str) -> None:
    facts = Facts(profile="b", runtime=RuntimeState.RUNNING, leaving="the box goes over to c", incoming=incoming)
    gate = decide(GateState.OPEN, replace(facts, grace=7.0))
    assert gate.state is GateState.CLOSING
    assert words in gate.hint
    assert "7 s at most" in gate.hint


def test_every_shut_gate_has_a_reason_and_what_a_person_can_change_a_hint() -> None:
    for facts, now in itertools.product(ALL, GateState):
        gate = decide(now, facts)
        assert gate.reason
        if gate.state in {GateState.PARKED, GateState.BLOCKED} or (gate.state is GateState.OPEN and not gate.may_scan):
            assert gate.hint, gate


def test_every_decision_can_be_walked_to() -> None:
    for facts, now in itertools.product(ALL, GateState):
        state = now
        for following in walk(now, decide(now, facts).state):
            state = advance(GATE, state, following)
        assert state is decide(now, facts).state


@pytest.mark.parametrize("then", GateState)
@pytest.mark.parametrize("now", GateState)
def test_no_walk_leads_through_open(now: GateState, then: GateState) -> None:
    try:
        way = walk(now, then)
    except ValueError:
        assert then is GateState.CLOSING, "only closing follows from open alone"
        assert now is not GateState.OPEN
        return
    assert GateState.OPEN not in way[:-1]
    assert (way[-1] if way else now) is then


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        (Facts(key_problem=None), GateState.PARKED, "no site profile"),
        (Facts(key_problem=PROBLEM), GateState.PARKED, "something is wrong"),
        (Facts(profile="a", profile_problem=PROBLEM), GateState.BLOCKED, "something is wrong"),
        (Facts(profile="a", key_problem=PROBLEM), GateState.BLOCKED, "something is wrong"),
        (Facts(profile="a"), GateState.CANDIDATE, "about to start"),
        (Facts(profile="a", runtime=RuntimeState.STARTING), GateState.PREFLIGHT, "spool"),
        (Facts(profile="a", runtime=RuntimeState.STARTING, runtime_problem=PROBLEM), GateState.BLOCKED, "wrong"),
        (Facts(profile="a", runtime=RuntimeState.BACKOFF), GateState.BLOCKED, "ended"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING), GateState.PREFLIGHT, "port"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, port_problem=PROBLEM), GateState.BLOCKED, "wrong"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, bound=True, disk=FULL), GateState.OPEN, "reserve"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, bound=True, trouble=PROBLEM), GateState.OPEN, "something is"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, bound=True, silent=True), GateState.OPEN, "does not say"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, bound=True), GateState.OPEN, "finding out"),
        (Facts(profile="a", runtime=RuntimeState.RUNNING, bound=True, heard=True), GateState.OPEN, "are taken in"),
        (Facts(profile="a", runtime=RuntimeState.STOPPING, stopping=True), GateState.CLOSING, "stopping"),
        (Facts(profile="a", stopping=True), GateState.PARKED, "stopping"),
    ],
)
def test_what_the_gate_says(facts: Facts, state: GateState, words: str) -> None:
    gate = decide(GateState.OPEN, replace(facts, clearance=facts.clearance or Clearance.SAME))
    assert gate.state is state
    assert words in gate.reason


RUNNING = Facts(profile="a", runtime=RuntimeState.RUNNING, heard=True, awaited="this box was open for b last", every=5)


@pytest.mark.parametrize(
    ("facts", "state", "words", "hint"),
    [
        (RUNNING, GateState.PREFLIGHT, "scanners are asked", "Wait"),
        (
            replace(RUNNING, preflight=FOUND),
            GateState.BLOCKED,
            "CT_1 still has 2 studies of 1 patient",
            "again every 5 s",
        ),
        (replace(RUNNING, preflight=FOUND), GateState.BLOCKED, "(this box was open for b last)", "fluxctl preflight"),
        (replace(RUNNING, preflight=Preflight(())), GateState.BLOCKED, "No scanner is named", "[[modality]]"),
        (replace(RUNNING, preflight=CLEAN, clearance=Clearance.CLEAN), GateState.PREFLIGHT, "on record", "Wait"),
        (replace(RUNNING, clearance=Clearance.WAIVED), GateState.PREFLIGHT, "on record", "Wait"),
        (replace(RUNNING, clearance=Clearance.FIRST, record_problem=PROBLEM), GateState.BLOCKED, "something", "Do"),
        (
            Facts(nowhere="this box is at no site it knows", others=2),
            GateState.PARKED,
            "no site it knows",
            "opens by itself",
        ),
        (Facts(nowhere="it disagrees", others=2, torn=True), GateState.PARKED, "disagrees", "Or say where it is"),
        (
            Facts(nowhere="at no site", key_problem=PROBLEM),
            GateState.PARKED,
            "at no site, and: something is wrong",
            "Do something. Then: fluxctl site location",
        ),
    ],
)
def test_what_the_gate_says_before_it_opens(facts: Facts, state: GateState, words: str, hint: str) -> None:
    gate = decide(GateState.PREFLIGHT, facts)
    assert gate.state is state
    assert words in gate.reason
    assert hint in gate.hint
