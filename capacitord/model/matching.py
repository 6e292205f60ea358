"""Whether a study is one that the worklist announced: exact only, on values without what does not tell them apart.

What does not count in a value (PS3.5 §6.2):

====================== ================================================================================
value                  what does not count
====================== ================================================================================
every value            spaces and NULs around it, and in which form (NFC, NFD) its characters are written
text and person names  case, also of ids: whoever types one does not tell a-1001 from A-1001. Two patients
                       whose ids differ in nothing else are two candidates, and so none
person names           delimiters at the end of components and component groups, spaces around components
dates                  the dots of ACR-NEMA (1988.03.07)
====================== ================================================================================

Everything else counts, leading zeros as well. An empty value agrees with nothing.

Rules are tried in order. The first by which an entry agrees decides: one entry is a match, two are none, and the rules
behind it are not asked. Before them all stands what no rule can outweigh: an entry with the study's own accession
number or Study Instance UID that is of another patient is a conflict.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec


class MatchKey(enum.StrEnum):
    """What a study and an entry of the worklist can have in common."""

    ACCESSION_NUMBER = "AccessionNumber"
    STUDY_INSTANCE_UID = "StudyInstanceUID"
    PATIENT_ID = "PatientID"
    PATIENT_NAME = "PatientName"
    PATIENT_BIRTH_DATE = "PatientBirthDate"
    PATIENT_SEX = "PatientSex"
    MODALITY = "Modality"
    SCHEDULED_DATE = "ScheduledDate"
    SCHEDULED_STATION = "ScheduledStationAETitle"
    SCHEDULED_STEP = "ScheduledProcedureStepID"
    REQUESTED_PROCEDURE = "RequestedProcedureID"
    STUDY_DESCRIPTION = "StudyDescription"


Rule = tuple[MatchKey, ...]
"""All of them must agree."""

_ORDER: Final = (MatchKey.ACCESSION_NUMBER, MatchKey.STUDY_INSTANCE_UID)
"""What says of itself which order a study belongs to."""

_DATES: Final = frozenset({MatchKey.PATIENT_BIRTH_DATE, MatchKey.SCHEDULED_DATE})


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an image, or an entry of the worklist, says it is: its values as they were written, by key."""

    values: dict[MatchKey, str] = {}

    def __repr__(self) -> str:
        return "Identity()"

    def value(self, key: MatchKey) -> str:
        """Return a value as it counts; empty if there is none."""
        return normal(key, self.values.get(key, ""))

    def canonical(self) -> Identity:
        """Return it with its values as they count, and none that is empty: the same for all that are alike."""
        return Identity({key: value for key in MatchKey if (value := self.value(key))})


class Candidate(msgspec.Struct, frozen=True):
    """An entry of the worklist: what people call it by, since when it is on the list, and what it says."""

    reference: str
    since: float
    identity: Identity


class Matched(NamedTuple):
    """One entry agrees by the rule."""

    entry: str
    rule: Rule


class Unmatched(NamedTuple):
    """No entry agrees by any rule."""


class Ambiguous(NamedTuple):
    """Several entries agree by the rule."""

    entries: tuple[str, ...]
    rule: Rule


class Conflict(NamedTuple):
    """Entries of the study's own order, and in what of the patient they contradict it. None: images do that."""

    entries: tuple[str, ...]
    fields: tuple[MatchKey, ...]


Finding = Matched | Unmatched | Ambiguous | Conflict


class Near(NamedTuple):
    """An entry that a study may have been meant for, for a person to judge: what agrees and what differs."""

    entry: str
    agreeing: tuple[MatchKey, ...]
    differing: tuple[MatchKey, ...]


def normal(key: MatchKey, text: str) -> str:
    """Return a value without what does not count in it."""
    text = unicodedata.normalize("NFC", text).strip(" \0\t\r\n")
    if key in _DATES:
        text = text.replace(".", "")
    elif key is MatchKey.PATIENT_NAME:
        groups = ("^".join(part.strip(" \0") for part in group.split("^")).rstrip("^") for group in text.split("="))
        text = "=".join(groups).rstrip("=")
    return unicodedata.normalize("NFC", text.casefold())


def contradictions(one: Identity, other: Identity) -> tuple[MatchKey, ...]:
    """Return in what two identities cannot be of one patient: another id, another birth date, both given.

    Where one of them has no id, another name counts as much.
    """
    keys = [MatchKey.PATIENT_ID, MatchKey.PATIENT_BIRTH_DATE]
    if not (one.value(MatchKey.PATIENT_ID) and other.value(MatchKey.PATIENT_ID)):
        keys.append(MatchKey.PATIENT_NAME)
    return tuple(key for key in keys if (a := one.value(key)) and (b := other.value(key)) and a != b)


class Worklist:
    """The entries of one list, ready to be matched by the rules of a profile. Their order does not matter."""

    def __init__(self, candidates: Iterable[Candidate], rules: Sequence[Rule]) -> None:
        found = {each.reference: each for each in candidates}
        self._candidates: Mapping[str, Candidate] = dict(sorted(found.items()))
        self.rules = tuple(rules)
        self._by_rule = [_index(self._candidates.values(), rule) for rule in self.rules]
        self._by_order = [_index(self._candidates.values(), (key,)) for key in _ORDER]

    def __len__(self) -> int:
        return len(self._candidates)

    def candidate(self, reference: str) -> Candidate | None:
        """Return the entry of that name, None if it is not on the list."""
        return self._candidates.get(reference)

    def judge(self, study: Identity) -> Finding:
        """Return which entry a study belongs to, or why none."""
        clashing = self._clashes(study)
        if clashing:
            fields = {key for fields in clashing.values() for key in fields}
            return Conflict(tuple(sorted(clashing)), tuple(key for key in MatchKey if key in fields))
        for rule, index in zip(self.rules, self._by_rule, strict=True):
            found = index.get(_values(study, rule), ())
            if len(found) == 1:
                return Matched(found[0].reference, rule)
            if found:
                return Ambiguous(tuple(sorted(each.reference for each in found)), rule)
        return Unmatched()

    def _clashes(self, study: Identity) -> dict[str, tuple[MatchKey, ...]]:
        same = (
            candidate
            for key, index in zip(_ORDER, self._by_order, strict=True)
            for candidate in index.get(_values(study, (key,)), ())
        )
        return {each.reference: fields for each in same if (fields := contradictions(study, each.identity))}

    def nearest(self, study: Identity, most: int) -> tuple[Near, ...]:
        """Return the entries that agree with a study in most, the nearest first. Only to be shown to a person."""
        near = (compared(study, each) for each in self._candidates.values())
        telling = sorted((_distance(each), each) for each in near if _WHO & set(each.agreeing))
        return tuple(each for _, each in telling[:most])


def compared(study: Identity, candidate: Candidate) -> Near:
    """Return in what a study and an entry agree and differ, of all that both say something of."""
    both = [key for key in MatchKey if study.value(key) and candidate.identity.value(key)]
    agreeing = tuple(key for key in both if study.value(key) == candidate.identity.value(key))
    return Near(candidate.reference, agreeing, tuple(key for key in both if key not in agreeing))


_WHO: Final = frozenset(MatchKey) - {
    MatchKey.MODALITY,
    MatchKey.PATIENT_SEX,
    MatchKey.SCHEDULED_DATE,
    MatchKey.SCHEDULED_STATION,
    MatchKey.STUDY_DESCRIPTION,
}
"""What an entry has to agree in to be shown at all: the day and the modality are those of everybody on the list."""

_WEIGHT: Final[Mapping[MatchKey, int]] = {
    MatchKey.ACCESSION_NUMBER: 8,
    MatchKey.STUDY_INSTANCE_UID: 8,
    MatchKey.PATIENT_ID: 6,
    MatchKey.PATIENT_NAME: 5,
    MatchKey.PATIENT_BIRTH_DATE: 4,
    MatchKey.SCHEDULED_STEP: 3,
    MatchKey.REQUESTED_PROCEDURE: 3,
}


def _distance(near: Near) -> int:
    return -sum(_WEIGHT.get(key, 1) for key in near.agreeing)


def _values(identity: Identity, rule: Rule) -> tuple[str, ...] | None:
    """Return what of an identity a rule compares, None if one of the values is empty: then it agrees with nothing."""
    values = tuple(identity.value(key) for key in rule)
    return values if all(values) else None


def _index(candidates: Iterable[Candidate], rule: Rule) -> dict[tuple[str, ...] | None, tuple[Candidate, ...]]:
    found: dict[tuple[str, ...] | None, tuple[Candidate, ...]] = {}
    for candidate in candidates:
        values = _values(candidate.identity, rule)
        if values is not None:
            found[values] = (*found.get(values, ()), candidate)
    return found
