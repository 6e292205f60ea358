"""Whether a scanner may send now: a pure function of what is known, walked along the table of the gate."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from capacitord.api.messages import Disk, Gate, Level, Parked, RuntimeState
from capacitord.errors import Problem
from capacitord.model.preflight import Clearance, Preflight
from capacitord.model.states import GATE, GateState


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the gate depends on.

    `profile` is the site's id, empty if there is none; `profile_problem` says why the store's profile can't be used.
    `others` counts the sites that could be served instead. `key_problem` says why the box key is not at hand.
    `port_problem` says why the storage port can't be bound. `heard` says that the runtime has told its status since it
    began; `trouble` why it cannot keep images; `silent` that it has not told its status for too long. `leaving` says
    why the site that is served is being left; its `incoming` associations may finish first, within `grace` seconds.
    `parked` says who parked the box, if somebody did. `worklist` says that
    the runtime was told to serve one.

    `clearance` says why the site may be opened for, None if it may not; only with `SAME` it is on record, and only then
    the port may be bound. `awaited` says in words why scanners have to be clean, empty if they need not; `preflight` is
    what asking them came to last, and they are asked again every `every` seconds. `record_problem` says why it can't be
    put on record that the site is opened for. `nowhere` says why the evidence of where this box is names no site, and
    `unsure` why by that evidence the site must not be opened now; it is empty while the gate is open. `torn` says that
    the evidence contradicts itself, and `against` in words how it stands against the site. `waived` is who waived the
    preflight.
    """

    profile: str = ""
    profile_problem: Problem | None = None
    key_problem: Problem | None = None
    runtime: RuntimeState = RuntimeState.ABSENT
    runtime_problem: Problem | None = None
    bound: bool = False
    port_problem: Problem | None = None
    disk: Disk | None = None
    heard: bool = False
    trouble: Problem | None = None
    silent: bool = False
    stopping: bool = False
    leaving: str = ""
    incoming: int = 0
    grace: float = 25.0
    others: int = 0
    parked: Parked | None = None
    worklist: bool = False
    clearance: Clearance | None = None
    awaited: str = ""
    preflight: Preflight | None = None
    every: float = 30.0
    record_problem: Problem | None = None
    nowhere: str = ""
    unsure: str = ""
    torn: bool = False
    against: str = ""
    waived: str = ""


def may_listen(facts: Facts) -> bool:
    """Tell whether the storage port may be bound: everything the open gate asks for is there but the port."""
    return may_be_cleared(facts) and facts.clearance is Clearance.SAME


def may_be_cleared(facts: Facts) -> bool:
    """Tell whether it may be put on record that the site is opened for, if it is cleared."""
    return is_possible(facts) and facts.runtime is RuntimeState.RUNNING and not facts.unsure


def is_possible(facts: Facts) -> bool:
    """Tell whether there is a site, and nothing stands against it that a person would have to change."""
    return (
        not facts.stopping
        and not facts.leaving
        and bool(facts.profile)
        and facts.profile_problem is None
        and facts.key_problem is None
    )


def decide(now: GateState, facts: Facts) -> Gate:
    """Return what the gate should be, given what it is now. `since` is left to the caller."""
    if facts.stopping or facts.leaving:
        return _ending(now, facts)
    if facts.profile_problem is not None:
        return _blocked(facts.profile_problem)
    if not facts.profile:
        return _parked(facts)
    if facts.key_problem is not None:
        return _blocked(facts.key_problem)
    match facts.runtime:
        case RuntimeState.ABSENT | RuntimeState.STOPPING:
            return _shut(GateState.CANDIDATE, f"{facts.profile} is active; its runtime is about to start")
        case RuntimeState.STARTING if facts.runtime_problem is None:
            return _shut(GateState.PREFLIGHT, "the spool is being opened", "Wait a moment.")
        case RuntimeState.STARTING | RuntimeState.BACKOFF:
            return _blocked(facts.runtime_problem or _ENDED)
        case RuntimeState.RUNNING:
            return _running(facts)


def _ending(now: GateState, facts: Facts) -> Gate:
    draining = now in {GateState.OPEN, GateState.CLOSING} and facts.runtime is not RuntimeState.ABSENT
    state = GateState.CLOSING if draining else GateState.PARKED
    if facts.stopping:
        return _shut(state, "capacitord is stopping", "Start it again: systemctl start capacitord")
    sending = {0: "what a scanner is sending now", 1: "the scanner that is sending now"}
    who = sending.get(facts.incoming, f"the {facts.incoming} scanners that are sending now")
    return _shut(state, facts.leaving, f"Wait a moment: {who} may finish first, for {facts.grace:g} s at most.")


def walk(now: GateState, then: GateState, table: Mapping[GateState, frozenset[GateState]] = GATE) -> list[GateState]:
    """Return the states the gate passes through from `now` to `then`, the last included, by the shortest way.

    No way leads through `OPEN`: what is not meant to open never does, not even for a moment. Raises `ValueError`
    where there is no way.
    """
    ways = deque([[now]])
    seen = {now}
    while ways:
        way = ways.popleft()
        if way[-1] is then:
            return way[1:]
        if way[-1] is GateState.OPEN and len(way) > 1:
            continue
        for following in sorted(table[way[-1]] - seen):
            seen.add(following)
            ways.append([*way, following])
    msg = f"the gate cannot go from {now} to {then}"
    raise ValueError(msg)


_ANYWAY = (
    "It opens by itself when the evidence is sure. See what it goes by: fluxctl site location. "
    "To open by your own word: fluxctl site activate SITE"
)
_TORN = "See which of it is wrong: fluxctl site location. Or say where it is: fluxctl site activate SITE"
_LOOK = "fluxctl site location"
_ROAD = (
    "It opens by itself at a site. See what it goes by, and what of that is missing: fluxctl site location. "
    "If it is at a site: fluxctl site activate SITE"
)
_ENDED = Problem("runtime-ended", "the site's runtime ended", hint="See why: journalctl -u capacitord -n 100")


def _running(facts: Facts) -> Gate:
    if facts.unsure and facts.clearance is not None:
        return _shut(GateState.PREFLIGHT, f"{facts.profile} is not opened now: {facts.unsure}", _ANYWAY)
    return _listening(facts) if facts.clearance is Clearance.SAME else _clearing(facts)


def _clearing(facts: Facts) -> Gate:
    if facts.record_problem is not None:
        return _blocked(facts.record_problem)
    found = facts.preflight
    if facts.port_problem is not None and (facts.clearance is not None or (found is not None and found.clean)):
        return _blocked(facts.port_problem)
    if facts.clearance is not None:
        return _shut(GateState.PREFLIGHT, f"it is put on record that {facts.profile} is opened for", "Wait a moment.")
    if found is None:
        return _shut(GateState.PREFLIGHT, "scanners are asked whether they are clean of patients", "Wait a moment.")
    reason = f"patients of another site may be on a scanner: {found.sentence.rstrip('.')} ({facts.awaited})"
    if not found.scanners:
        return _shut(GateState.BLOCKED, reason, found.hint)
    which = "See which: fluxctl preflight. " if found.names_somebody else ""
    again = f"They are asked again every {facts.every:g} s, and then it opens by itself."
    return _shut(GateState.BLOCKED, reason, f"{which}{found.hint.rstrip('.')}. {again}")


def _listening(facts: Facts) -> Gate:
    if not facts.bound:
        if facts.port_problem is not None:
            return _blocked(facts.port_problem)
        return _shut(GateState.PREFLIGHT, "the storage port is being opened", "Wait a moment.")
    if facts.disk is not None and facts.disk.level is Level.FAILURE:
        # The port stays open, so that the scanner hears why: A700, out of resources (PS3.4 §B.2.3).
        reason = "the disk is below its reserve, so images are refused"
        hint = "Deliver or discard studies (fluxctl queue list), or make room on the disk."
        return _no_scan(reason, hint)
    if facts.trouble is not None:
        return _no_scan(f"images cannot be kept: {_begun_small(facts.trouble.message)}", facts.trouble.hint)
    if facts.silent:
        return _no_scan(
            "the site's runtime does not say whether images can be kept",
            "Leave the studies on the scanner and wait a moment. If it goes on: sudo systemctl restart capacitord",
        )
    if not facts.heard:
        return _no_scan("this box is finding out whether images can be kept", "Wait a moment.")
    reason = f"images are taken in for {facts.profile}"
    if facts.waived:
        reason += f", without a preflight: {facts.waived} waived it"
    if facts.against:
        reason += f"; {facts.against}: {_LOOK}"
    return Gate(GateState.OPEN, may_scan=True, reason=reason)


def _no_scan(reason: str, hint: str) -> Gate:
    """Return a gate whose port stays open, so that the scanner hears why it is refused."""
    return Gate(GateState.OPEN, may_scan=False, reason=reason, hint=hint)


def _begun_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _parked(facts: Facts) -> Gate:
    reason, step = "no site profile is imported", "Import one: fluxctl profile import FILE"
    if facts.parked is not None:
        reason = f"{facts.parked.by} parked this box on {facts.parked.at:%Y-%m-%d at %H:%M} UTC"
        step = "To serve a site: fluxctl site list, then fluxctl site activate SITE"
    elif facts.nowhere:
        reason, step = facts.nowhere, _TORN if facts.torn else _ROAD
    elif facts.others:
        reason, step = "no site is active", "Choose one: fluxctl site list, then fluxctl site activate SITE"
    if facts.key_problem is not None:
        reason = f"{reason}, and: {facts.key_problem.message}"
        then = _LOOK if facts.nowhere and facts.parked is None else step.partition(": ")[2]
        step = f"{facts.key_problem.hint.rstrip('.')}. Then: {then}"
    return Gate(GateState.PARKED, may_scan=False, reason=reason, hint=step, parked=facts.parked)


def _blocked(problem: Problem) -> Gate:
    return _shut(GateState.BLOCKED, problem.message, problem.hint)


def _shut(state: GateState, reason: str, hint: str = "") -> Gate:
    return Gate(state, may_scan=False, reason=reason, hint=hint)
