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
behind it are not asked. Several entries count as one where they are steps of one order: the patient and the order are
the same to the letter in all that entries say of them (`Order`). Which step it was is known only if the study names its
Scheduled Procedure Step ID. Before them all stands what no rule can outweigh: an entry with the study's own accession
number or Study Instance UID that is of another patient is a conflict. Where another entry with the same number or UID
is of the study's own patient nobody knows which of the two is wrong, and they are two candidates.
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

    def counts(self) -> dict[MatchKey, str]:
        """Return its values as they count, and none that is empty."""
        return {key: value for key in MatchKey if (value := self.value(key))}

    def canonical(self) -> Identity:
        """Return an identity that is the same for all that are alike."""
        return Identity(self.counts())


class Order(msgspec.Struct, frozen=True):
    """All that an entry says of the patient and of the order, as it is written there: nothing of the step.

    `more` is what else a release with the entry would write into images, or what the entry said before corrections.
    """

    patient_id: str
    patient_name: str
    accession_number: str
    study_instance_uid: str
    requested_procedure: str
    issuer_of_patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    more: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Order()"

    @property
    def is_named(self) -> bool:
        """Whether it says all by which a patient and an order are called, and no character of it was unreadable."""
        named = (
            self.patient_id,
            self.patient_name,
            self.accession_number,
            self.study_instance_uid,
            self.requested_procedure,
        )
        said = (*named, self.issuer_of_patient_id, self.birth_date, self.sex, *self.more)
        return all(named) and not any(_UNREADABLE & set(text) for text in said)


_UNREADABLE: Final = frozenset("?\ufffd")
"""What stands for characters that could not be decoded: two of them need not be the same."""


class Candidate(msgspec.Struct, frozen=True):
    """An entry of the worklist: what people call it by, since when it is on the list, and what it says.

    One that is `gone` from the list since counts only where no other does. Of one without an `order` nobody knows
    whether it is a step of the same order as another. One that is `withheld` is not served, so nobody was examined by
    it: it speaks against a match, and is none.
    """

    reference: str
    since: float
    identity: Identity
    gone: bool = False
    order: Order | None = None
    withheld: bool = False

    def counts(self) -> dict[MatchKey, str]:
        """Return what it says, as it counts."""
        return self.identity.counts()


class Matched(NamedTuple):
    """One entry agrees by the rule; or several do, and they are `steps` of one order, of which `entry` is the first.

    Where it is known which step it was there are no `steps`: that is the entry.
    """

    entry: str
    rule: Rule
    steps: tuple[str, ...] = ()


class Unmatched(NamedTuple):
    """No entry agrees by any rule, or only one that is `withheld`."""

    withheld: str = ""


class Ambiguous(NamedTuple):
    """Several entries agree by the rule; `fields` is in what some of them are of another patient than the study's."""

    entries: tuple[str, ...]
    rule: Rule
    fields: tuple[MatchKey, ...] = ()


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
    return _contradictions(one.counts(), other.counts())


_Values = Mapping[MatchKey, str]
"""An identity as it counts."""


class Worklist:
    """The entries of one list, ready to be matched by the rules of a profile. Their order does not matter."""

    def __init__(self, candidates: Iterable[Candidate], rules: Sequence[Rule]) -> None:
        found = {each.reference: each for each in candidates}
        self._candidates: Mapping[str, Candidate] = dict(sorted(found.items()))
        self._values: Mapping[str, _Values] = {name: each.counts() for name, each in self._candidates.items()}
        self.rules = tuple(rules)
        wanted = {*self.rules, *_IDENTIFYING}
        self._indexes = {rule: self._index(rule) for rule in wanted}

    def __len__(self) -> int:
        return len(self._candidates)

    def candidate(self, reference: str) -> Candidate | None:
        """Return the entry of that name, None if it is not on the list."""
        return self._candidates.get(reference)

    def judge(self, study: Identity) -> Finding:
        """Return which entry a study belongs to, or why none."""
        values = study.counts()
        clashing = self._clashes(values)
        if clashing:
            return clashing
        for rule in self.rules:
            found = self._agreeing(values, rule)
            if found:
                return self._found(values, found, rule)
        return Unmatched()

    def _found(self, study: _Values, names: tuple[str, ...], rule: Rule) -> Finding:
        """Return what entries come to that agree by a rule: no rule makes one patient another."""
        one = Matched(names[0], rule) if len(names) == 1 else self._of_one_order(study, names, rule)
        if one is None:
            return Ambiguous(names, rule)
        if fields := _contradictions(study, self._values[one.entry]):
            return Conflict(names, fields)
        return Unmatched(one.entry) if len(names) == 1 and self._candidates[one.entry].withheld else one

    def is_one_order(self, references: Iterable[str]) -> bool:
        """Say whether entries of the list are steps of one order. One entry is, whatever it says."""
        names = set(references)
        orders = {each.order if each is not None else None for each in map(self.candidate, names)}
        return len(names) == 1 or (len(orders) == 1 and all(order is not None and order.is_named for order in orders))

    def _of_one_order(self, study: _Values, names: tuple[str, ...], rule: Rule) -> Matched | None:
        if not self.is_one_order(names):
            return None
        step = study.get(MatchKey.SCHEDULED_STEP)
        named = [name for name in names if step and self._values[name].get(MatchKey.SCHEDULED_STEP) == step]
        return Matched(named[0], rule) if len(named) == 1 else Matched(names[0], rule, names)

    def nearest(self, study: Identity) -> tuple[Near, ...]:
        """Return the entries that share with a study what a patient or an order is told by, the nearest first.

        Only to be shown to a person.
        """
        values = study.counts()
        names = {name for rule in _IDENTIFYING for name in self._agreeing(values, rule)}
        near = sorted((_distance(each), each) for each in (self._compared(values, name) for name in names))
        return tuple(each for _, each in near)

    def compared(self, study: Identity, reference: str) -> Near:
        """Return in what a study and an entry of the list agree and differ, of all that both say something of."""
        return self._compared(study.counts(), reference)

    def _compared(self, study: _Values, reference: str) -> Near:
        entry = self._values[reference]
        both = [key for key in MatchKey if key in study and key in entry]
        agreeing = tuple(key for key in both if study[key] == entry[key])
        return Near(reference, agreeing, tuple(key for key in both if key not in agreeing))

    def _clashes(self, study: _Values) -> Conflict | Ambiguous | None:
        """Return what entries of the study's own order come to that are of another patient, None if there are none."""
        clashing: dict[str, tuple[MatchKey, ...]] = {}
        unclear: Ambiguous | None = None
        for key in _ORDER:
            same = self._agreeing(study, (key,))
            found = {name: fields for name in same if (fields := _contradictions(study, self._values[name]))}
            if found and any(name not in found and _is_of(study, self._values[name]) for name in same):
                unclear = unclear or Ambiguous(same, (key,), _all(found.values()))
            else:
                clashing |= found
        return Conflict(tuple(sorted(clashing)), _all(clashing.values())) if clashing else unclear

    def _agreeing(self, study: _Values, rule: Rule) -> tuple[str, ...]:
        """Return the entries that agree by a rule. Those that vanished only count where no other does."""
        wanted = _picked(study, rule)
        return () if wanted is None else self._indexes[rule].get(wanted, ())

    def _index(self, rule: Rule) -> dict[tuple[str, ...], tuple[str, ...]]:
        found: dict[tuple[str, ...], list[str]] = {}
        for name, values in self._values.items():
            picked = _picked(values, rule)
            if picked is not None:
                found.setdefault(picked, []).append(name)
        return {picked: self._present(names) for picked, names in found.items()}

    def _present(self, names: Sequence[str]) -> tuple[str, ...]:
        present = tuple(name for name in names if not self._candidates[name].gone)
        return present or tuple(names)


_OF_A_PATIENT: Final[tuple[Rule, ...]] = (
    (MatchKey.PATIENT_ID,),
    (MatchKey.PATIENT_NAME, MatchKey.PATIENT_BIRTH_DATE),
)
_IDENTIFYING: Final[tuple[Rule, ...]] = (*((key,) for key in _ORDER), *_OF_A_PATIENT)
"""One of these an entry has to agree in to be shown at all: anything else it may share with a stranger."""

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


def _picked(values: _Values, rule: Rule) -> tuple[str, ...] | None:
    """Return what of an identity a rule compares, None if one of the values is empty: then it agrees with nothing."""
    picked = tuple(values.get(key, "") for key in rule)
    return picked if all(picked) else None


def _is_of(study: _Values, entry: _Values) -> bool:
    """Return whether an entry is of the study's own patient: the same id, or the same name and birth date."""
    return any(
        (wanted := _picked(study, rule)) is not None and wanted == _picked(entry, rule) for rule in _OF_A_PATIENT
    )


def _all(fields: Iterable[tuple[MatchKey, ...]]) -> tuple[MatchKey, ...]:
    """Return every key that is among them, in the order of `MatchKey`."""
    found = {key for each in fields for key in each}
    return tuple(key for key in MatchKey if key in found)


def _contradictions(one: _Values, other: _Values) -> tuple[MatchKey, ...]:
    keys = [MatchKey.PATIENT_ID, MatchKey.PATIENT_BIRTH_DATE]
    if MatchKey.PATIENT_ID not in one or MatchKey.PATIENT_ID not in other:
        keys.append(MatchKey.PATIENT_NAME)
    return tuple(key for key in keys if key in one and key in other and one[key] != other[key])
