"""Studies that wait for a person: why, what she can do, and what may become of them.

What matching has found for a study is kept with it, and every image that comes later is judged by that:

============== ========= =========== =========== =========== ========== ===========
state          matches   matches     no match    several     contra-    a person
                         later                   match       dicts      releases
============== ========= =========== =========== =========== ========== ===========
none yet       matched   matched     unmatched   ambiguous   conflict
matched        matched   matched     matched     matched     matched    matched
let through    matched   matched     let through ambiguous   let thr.   let through
unmatched      matched   unmatched   unmatched   ambiguous   conflict   released
ambiguous      ambiguous ambiguous   ambiguous   ambiguous   conflict   released
conflict       conflict  conflict    conflict    conflict    conflict   released
released       released  released    released    released    released   released
============== ========= =========== =========== =========== ========== ===========

"Matches later" is a match with an entry that came onto the list after the study was held: it is shown, and leads on to
matched only where the profile says so (`rematch = "release"`). An image that contradicts the study it came with is held
whatever the state is; the others of a study that goes somewhere go there. So does one that matches an entry of another
patient than the study's, and of a study that was released one that says more of the patient than a person has seen.

A person who releases images that are held beside others that go somewhere decides for these images only, and no later
one follows her. Nor does one where she has sent images of several patients in one study.

Nothing else leads out of a state that holds: neither another version of the profile nor a profile without matching.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from capacitord.model.matching import (
    Ambiguous,
    Conflict,
    Finding,
    Identity,
    Matched,
    MatchKey,
    Rule,
    Unmatched,
    contradictions,
)
from capacitord.model.patient import Patient, several
from capacitord.model.reasons import Reason


class State(enum.StrEnum):
    """What matching, or a person, has found for a study."""

    MATCHED = "matched"
    LET_THROUGH = "let-through"
    UNMATCHED = "unmatched"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    RELEASED = "released"


class Event(enum.StrEnum):
    """What happens to a study under review."""

    MATCHES = "matches"
    MATCHES_LATER = "matches-later"
    NO_MATCH = "no-match"
    SEVERAL_MATCH = "several-match"
    CONTRADICTS = "contradicts"
    RELEASE = "release"


HOLDS: Final[Mapping[State, Reason]] = MappingProxyType(
    {
        State.UNMATCHED: Reason.UNMATCHED,
        State.AMBIGUOUS: Reason.AMBIGUOUS,
        State.CONFLICT: Reason.CONFLICT,
    }
)
"""The states in which nothing of a study leaves, and why."""

_S, _E = State, Event

_OF_THE_PATIENT: Final = (MatchKey.PATIENT_ID, MatchKey.PATIENT_NAME, MatchKey.PATIENT_BIRTH_DATE)


def _row(*states: State) -> Mapping[Event, State]:
    return MappingProxyType(dict(zip(Event, states, strict=False)))


REVIEW: Final[Mapping[State | None, Mapping[Event, State]]] = MappingProxyType(
    {
        None: _row(_S.MATCHED, _S.MATCHED, _S.UNMATCHED, _S.AMBIGUOUS, _S.CONFLICT, _S.RELEASED),
        _S.MATCHED: _row(_S.MATCHED, _S.MATCHED, _S.MATCHED, _S.MATCHED, _S.MATCHED, _S.MATCHED),
        _S.LET_THROUGH: _row(_S.MATCHED, _S.MATCHED, _S.LET_THROUGH, _S.AMBIGUOUS, _S.LET_THROUGH, _S.LET_THROUGH),
        _S.UNMATCHED: _row(_S.MATCHED, _S.UNMATCHED, _S.UNMATCHED, _S.AMBIGUOUS, _S.CONFLICT, _S.RELEASED),
        _S.AMBIGUOUS: _row(_S.AMBIGUOUS, _S.AMBIGUOUS, _S.AMBIGUOUS, _S.AMBIGUOUS, _S.CONFLICT, _S.RELEASED),
        _S.CONFLICT: _row(_S.CONFLICT, _S.CONFLICT, _S.CONFLICT, _S.CONFLICT, _S.CONFLICT, _S.RELEASED),
        _S.RELEASED: _row(_S.RELEASED, _S.RELEASED, _S.RELEASED, _S.RELEASED, _S.RELEASED, _S.RELEASED),
    }
)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a study under review.

    `identity` is that of the image by which it was decided first; of a study that is matched, with what its entry says
    of the patient where that image says nothing, and of one that was released, with what its other images said then.
    `listed_at` is when the list was fetched that it was judged by, in seconds since the epoch, 0 if there was none.
    `entry` and `rule` are those of a match, and `steps` all entries of its order where it is not known which of them it
    is; `candidates` are entries that came into question, and `fields` what contradicts in a conflict, or in what some
    of several entries are of another patient. `suggestion` is an entry that matches and came later. `release` is the
    number of the release that late images follow, 0 if there is none. `to` is where a study goes that is let through.
    """

    state: State
    identity: Identity
    listed_at: float = 0.0
    entry: str = ""
    rule: Rule = ()
    candidates: tuple[str, ...] = ()
    fields: tuple[MatchKey, ...] = ()
    suggestion: str = ""
    release: int = 0
    steps: tuple[str, ...] = ()
    to: tuple[str, ...] = ()


NOBODY: Final = Identity()
"""What says nothing."""


class Terms(NamedTuple):
    """What a profile says of review. `release_to` is where studies go that nothing matches; empty holds them."""

    rematch: bool = False
    release_to: tuple[str, ...] = ()


class Look(NamedTuple):
    """What was found for an image now: by a list fetched at `listed_at`, with the entry on it `since` then.

    `entry` is what the entry says that it matches, or would if that were served.
    """

    finding: Finding
    listed_at: float = 0.0
    since: float = 0.0
    entry: Identity = NOBODY


class Opinion(NamedTuple):
    """What becomes of an image: held for a `reason`, None if it goes; and the study's record from now on.

    `reopened` says that images of the study that were held as unmatched are to be judged again: they are matched.
    `later` says that it took an entry for that which came onto the list after the study was held.
    """

    reason: Reason | None
    record: Record
    reopened: bool = False
    later: bool = False


def judge(record: Record | None, identity: Identity, look: Look | None, terms: Terms) -> Opinion | None:
    """Return what becomes of an image of a study; None where nothing is matched and nothing was.

    `look` is None for a profile that does not match.
    """
    if record is None:
        return None if look is None else _first(identity, look, terms)
    if _contradicts(record, identity, look):
        return _contradicted(record, identity, look)
    if look is None:
        return Opinion(HOLDS.get(record.state), record)
    event = _event(record, look, terms)
    state = REVIEW[record.state][event]
    if record.state is State.LET_THROUGH and state is State.LET_THROUGH and not terms.release_to:
        state = State.UNMATCHED
    became = _sent(_became(record, state, look, event), terms)
    reopened = record.state is State.UNMATCHED and state is State.MATCHED
    return Opinion(HOLDS.get(state), became, reopened, reopened and look.since > record.listed_at)


def _first(identity: Identity, look: Look, terms: Terms) -> Opinion:
    event = _found(look.finding)
    state = REVIEW[None][event]
    if state is State.UNMATCHED and terms.release_to:
        state = State.LET_THROUGH
    record = _sent(_became(Record(state, identity, look.listed_at), state, look, event), terms)
    return Opinion(HOLDS.get(state), record)


def released(record: Record, said: Sequence[Identity], *, entry: str, release: int) -> Record:
    """Return the record of a study that a person releases, with an `entry` if with one, as the release of that number.

    `said` is all that the images say that she sends: she has seen that. It may be of others than the study's first
    image, which she has discarded: then it is the study of those from now on. What she sends of several patients on
    purpose is no rule for images that she has not seen: the record stays as it is.
    """
    state = REVIEW[record.state][Event.RELEASE]
    patients = {patient.key: patient for patient in map(Patient.of, said)}
    if state is record.state or several(patient for patient in patients.values() if any(patient.key)):
        return record
    first = record.identity if not said or Patient.of(record.identity).key in patients else said[0]
    seen = complemented(first, said)
    return msgspec.structs.replace(
        record, state=state, identity=seen, entry=entry or record.entry, suggestion="", release=release
    )


def complemented(identity: Identity, others: Sequence[Identity]) -> Identity:
    """Return an identity with what all others that say something of the patient agree on, where it says nothing."""
    found = {key: text for key, text in identity.values.items() if identity.value(key)}
    for key in _OF_THE_PATIENT:
        texts = {other.value(key): other.values[key] for other in others if other.value(key)}
        if key not in found and len(texts) == 1:
            found[key] = texts.popitem()[1]
    return Identity(found)


def _contradicts(record: Record, identity: Identity, look: Look | None) -> bool:
    if contradictions(record.identity, identity):
        return True
    if record.state is State.RELEASED:
        # A person has seen what the worklist says of this order.
        return bool(_unseen(record.identity, identity))
    if look is None:
        return False
    return isinstance(look.finding, Conflict) or bool(contradictions(record.identity, look.entry))


def _unseen(seen: Identity, identity: Identity) -> tuple[MatchKey, ...]:
    """Return in what an image says more than a person has seen, or another order."""
    keys = [MatchKey.PATIENT_ID, MatchKey.PATIENT_BIRTH_DATE]
    if not (seen.value(MatchKey.PATIENT_ID) and identity.value(MatchKey.PATIENT_ID)):
        keys.append(MatchKey.PATIENT_NAME)
    found = [key for key in keys if identity.value(key) not in {"", seen.value(key)}]
    key = MatchKey.ACCESSION_NUMBER
    return (*found, *([key] if identity.value(key) != seen.value(key) else []))


def _contradicted(record: Record, identity: Identity, look: Look | None) -> Opinion:
    state = REVIEW[record.state][Event.CONTRADICTS]
    fields = contradictions(record.identity, identity)
    entries: tuple[str, ...] = ()
    if record.state is State.RELEASED:
        fields = fields or _unseen(record.identity, identity)
    if look is not None and isinstance(look.finding, Conflict):
        entries, fields = look.finding.entries, fields or look.finding.fields
    elif look is not None and isinstance(look.finding, Matched | Unmatched):
        entry = look.finding.entry if isinstance(look.finding, Matched) else look.finding.withheld
        entries, fields = (entry,) * bool(entry), fields or contradictions(record.identity, look.entry)
    return Opinion(Reason.CONFLICT, msgspec.structs.replace(record, state=state, candidates=entries, fields=fields))


def _event(record: Record, look: Look, terms: Terms) -> Event:
    event = _found(look.finding)
    if event is Event.MATCHES and record.state is State.UNMATCHED and look.since > record.listed_at:
        return Event.MATCHES if terms.rematch else Event.MATCHES_LATER
    return event


def _found(finding: Finding) -> Event:
    match finding:
        case Matched():
            return Event.MATCHES
        case Ambiguous():
            return Event.SEVERAL_MATCH
        case Conflict():
            return Event.CONTRADICTS
        case _:
            return Event.NO_MATCH


def _sent(record: Record, terms: Terms) -> Record:
    """Return the record with where its study is sent now, though nothing matches it."""
    return msgspec.structs.replace(record, to=terms.release_to if record.state is State.LET_THROUGH else ())


def _became(record: Record, state: State, look: Look, event: Event) -> Record:
    """Return the record with what was found, if that is what decided."""
    found = look.finding
    if isinstance(found, Matched) and state is State.MATCHED and not record.entry:
        return msgspec.structs.replace(
            record,
            state=state,
            identity=complemented(record.identity, (look.entry,)),
            listed_at=look.listed_at,
            entry=found.entry,
            rule=found.rule,
            steps=found.steps,
            suggestion="",
        )
    if isinstance(found, Matched) and event is Event.MATCHES_LATER:
        return msgspec.structs.replace(record, state=state, suggestion=found.entry)
    if isinstance(found, Ambiguous) and state is State.AMBIGUOUS:
        return msgspec.structs.replace(
            record, state=state, rule=found.rule, candidates=found.entries, fields=found.fields
        )
    if isinstance(found, Conflict) and state is State.CONFLICT:
        return msgspec.structs.replace(record, state=state, candidates=found.entries, fields=found.fields)
    return msgspec.structs.replace(record, state=state)
