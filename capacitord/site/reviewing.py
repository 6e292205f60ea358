"""Review: what waits for a person, and what she should know of it before she decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.dicom.worklist.served import Shown
from capacitord.model.matching import Candidate, Identity, MatchKey, Near, Worklist, normal
from capacitord.model.mention import names_patient
from capacitord.model.patient import Patient
from capacitord.model.profile import Profile
from capacitord.model.review import Record, State
from capacitord.site.matching import Matcher
from capacitord.site.worklist import telling
from capacitord.spool.releasing import Released
from capacitord.spool.review import Kept, holds
from capacitord.spool.store import Spool

MOST: Final = 3
"""Candidates that a list shows of each study."""

MOST_PATIENTS: Final = 5
"""Patients that a list names of each study, and how many of the different things that images say."""

_MOST_OF_ONE: Final = 4
_OF_A_PATIENT: Final = frozenset(
    {
        MatchKey.ACCESSION_NUMBER,
        MatchKey.PATIENT_ID,
        MatchKey.PATIENT_NAME,
        MatchKey.PATIENT_BIRTH_DATE,
        MatchKey.PATIENT_SEX,
    }
)

_PATIENT: Final = (MatchKey.PATIENT_NAME, MatchKey.PATIENT_ID, MatchKey.PATIENT_BIRTH_DATE)

_APART: Final = (
    "Images of it were released at several times, as different worklist entries or as they are: each goes as its own "
    "release said. See them: fluxctl audit show --action held.release"
)

Entries = Callable[[], tuple[tuple[str, Shown], ...]]
"""All entries of the worklist with their short ids."""


class Reviewing:
    """Answers what is asked of studies that wait. Any thread may ask."""

    def __init__(
        self,
        spool: Spool,
        profile: Callable[[], Profile],
        matcher: Matcher,
        entries: Entries,
        destinations: Callable[[], Sequence[str]],
    ) -> None:
        """`destinations` gives the names of those of this site: nothing is released to any other."""
        self._spool, self._profile, self._matcher = spool, profile, matcher
        self._entries, self._destinations = entries, destinations

    @property
    def matches(self) -> bool:
        """Whether the profile in force matches studies with the worklist."""
        return self._profile().matching is not None

    def list(self, request: r.ListHeld) -> r.HeldList:
        """Return studies that wait, the oldest first, with why and what they may belong to."""
        rows, total, following = self._spool.studies.held_page(request.limit, request.after)
        worklist, shown = self._worklist(), dict(self._entries())
        held = tuple(_shortened(self._held(number, study, worklist, shown, MOST)) for number, study in rows)
        return r.HeldList("fluxctl.held.list/1", held, total, tuple(self._destinations()), following)

    def show(self, request: m.StudyRef) -> tuple[r.HeldDetail, str]:
        """Return one of them side by side with its candidates, and its short id."""
        number, short = self._spool.studies.find(request.study)
        study = self._spool.studies.some([number])[number]
        worklist, shown = self._worklist(), dict(self._entries())
        held = self._held(number, study, worklist, shown, _MOST_OF_ONE)
        lines = tuple(_lines(held.said, [worklist.candidate(each.entry.id) for each in held.candidates]))
        return (
            r.HeldDetail(
                "fluxctl.held.show/1",
                held,
                lines,
                tuple(self._destinations()),
                self.decided(number),
                self.restorable(number),
                self._spool.releasing.refusal(number),
            ),
            short,
        )

    def is_named(self, number: int, said: str) -> bool:
        """Return whether a text names a patient of a study, or its order by its number."""
        study = self._spool.studies.some([number])[number]
        identities = (_identity_of(study), *self._spool.review.identities(number))
        numbers = [each.values.get(MatchKey.ACCESSION_NUMBER, "") for each in identities]
        released = self._spool.releasing.last(number)
        if released is not None and released.what.entry and self.is_of_entry(released.what.entry, said):
            return True
        patients = (*map(Patient.of, identities), *self._spool.releasing.patients(number))
        return names_patient(said, patients, numbers)

    def is_of_entry(self, entry: str, said: str) -> bool:
        """Return whether a text names the patient of a worklist entry, given by its id, or its order by its number."""
        found = self._worklist().candidate(entry)
        if found is None:
            return False
        numbers = [found.identity.values.get(MatchKey.ACCESSION_NUMBER, "")]
        return names_patient(said, [Patient.of(found.identity)], numbers)

    def decided(self, number: int) -> m.Decided | None:
        """Return what was found or decided for a study last, None if it was never matched nor released."""
        kept, released = self._spool.review.kept(number), self._spool.releasing.last(number)
        found = decided(kept, released)
        if found is not None and released is not None and len(self._spool.releasing.entries(number)) > 1:
            return msgspec.structs.replace(found, doubts=(_APART,))
        if found is None or found.state != State.MATCHED:
            return found
        entry = self._worklist().candidate(found.entry)
        doubts = doubts_of(entry, self._spool.review.identities(number))
        return msgspec.structs.replace(found, doubts=doubts)

    def restorable(self, number: int) -> datetime | None:
        """Return until when what was discarded of a study can be had back, if the box stays on."""
        aside = self._spool.releasing.aside(number)
        if aside is None:
            return None
        left = timedelta(seconds=max(0.0, aside.due - self._spool.tick()))
        return datetime.now(UTC).replace(microsecond=0) + left

    def _worklist(self) -> Worklist:
        matching = self._profile().matching
        return self._matcher.worklist(() if matching is None else matching.rules)

    def _held(self, number: int, study: m.Study, worklist: Worklist, shown: dict[str, Shown], most: int) -> r.Held:
        waiting = self._spool.releasing.awaited(number) if study.held_for else ()
        keys = {each.patient.key for each in waiting}
        said_by_all = self._spool.review.identities(number) or (_identity_of(study),)
        # Candidates are looked for by what is held, not by what has gone.
        identities = sorted(said_by_all, key=lambda each: Patient.of(each).key not in keys)
        record = self._spool.review.record(number)
        near = [each for each in _nearest(worklist, identities[0], record) if each.entry in shown]
        candidates = tuple(
            r.Candidate(
                telling.row(each.entry, shown[each.entry]),
                tuple(each.agreeing),
                tuple(each.differing),
                suggested=record is not None and record.suggestion == each.entry,
            )
            for each in near[:most]
        )
        said = tuple({str(key): text for key, text in each.values.items()} for each in identities)
        patients = tuple(r.HeldPatient(*each.patient, *each[1:]) for each in waiting)
        return r.Held(study, candidates, said, patients, len(near) - len(candidates))


def doubts_of(entry: Candidate | None, said: Sequence[Identity]) -> tuple[str, ...]:
    """Return what a person may want to look at in a study that matched an entry, None if that is not known any more.

    It changes nothing of where the study goes: the rules of the profile decide that.
    """
    found = []
    name = "" if entry is None else entry.identity.value(MatchKey.PATIENT_NAME)
    if name and any(each.value(MatchKey.PATIENT_NAME) not in {"", name} for each in said):
        found.append(
            "Its images say another name than the entry, and only the rule matched it: see that it is the same patient."
        )
    if any(not any(map(each.value, _PATIENT)) for each in said):
        found.append(
            "Images of it say neither a name nor a patient id nor a birth date: only the rule says whose they are."
        )
    return tuple(found)


def _shortened(held: r.Held) -> r.Held:
    """Return a study as a list has it: one of very many patients would hide the others."""
    return msgspec.structs.replace(
        held,
        said=held.said[:MOST_PATIENTS],
        patients=held.patients[:MOST_PATIENTS],
        more_said=len(held.said[MOST_PATIENTS:]),
        more_patients=len(held.patients[MOST_PATIENTS:]),
    )


def decided(kept: Kept | None, released: Released | None) -> m.Decided | None:
    """Return what was found for a study, or decided by a person, whichever was last.

    What matching finds of a late image changes nothing of a release that its study follows.
    """
    follows = kept is not None and kept.record.state is State.RELEASED
    if released is not None and (kept is None or follows or released.at >= kept.at):
        what = released.what
        return m.Decided(
            "released",
            _moment(released.at),
            what.entry,
            by=str(released.by),
            uid=released.by.uid,
            reason=what.reason,
            destinations=what.destinations,
            reconciled=what.changes is not None,
        )
    if kept is None:
        return None
    record = kept.record
    return m.Decided(
        record.state,
        _moment(kept.at),
        record.entry,
        tuple(record.rule),
        kept.version,
        telling.when_or_never(record.listed_at or None),
        suggestion=record.suggestion,
        steps=record.steps,
        candidates=record.candidates if holds(record) else (),
        fields=tuple(record.fields) if holds(record) else (),
    )


def _nearest(worklist: Worklist, study: Identity, record: Record | None) -> tuple[Near, ...]:
    """Return the entries to be shown: those that came into question first, then the nearest."""
    asked = () if record is None else (record.suggestion, *record.candidates, record.entry)
    first = [worklist.compared(study, name) for name in dict.fromkeys(asked) if worklist.candidate(name) is not None]
    names = {near.entry for near in first}
    return (*first, *(near for near in worklist.nearest(study) if near.entry not in names))


def _lines(said: Sequence[dict[str, str]], candidates: Sequence[Candidate | None]) -> Iterable[r.Line]:
    identities = [Identity() if each is None else each.identity for each in candidates]
    for key in MatchKey:
        written = {normal(key, text): text.strip(" \0") for each in reversed(said) if (text := each.get(key, ""))}
        texts = [text for text in reversed(written.values()) if text]
        theirs = [identity.values.get(key, "").strip(" \0") for identity in identities]
        if not texts and not any(theirs):
            continue
        own = {normal(key, text) for text in texts}
        # With images of two patients an entry does not agree because it agrees with those of one.
        tells_apart = key in _OF_A_PATIENT and len(own) > 1
        agrees = tuple((normal(key, text) in own and not tells_apart) if text and own else None for text in theirs)
        yield r.Line(key, " / ".join(texts), tuple(theirs), agrees)


def _identity_of(study: m.Study) -> Identity:
    """Return what a study says it is, as the catalog has it: for one that matching never looked at."""
    found = {
        MatchKey.ACCESSION_NUMBER: study.accession_number,
        MatchKey.STUDY_INSTANCE_UID: study.study_uid,
        MatchKey.PATIENT_ID: study.patient_id,
        MatchKey.PATIENT_NAME: study.patient_name,
        MatchKey.PATIENT_BIRTH_DATE: study.birth_date,
        MatchKey.PATIENT_SEX: study.sex,
        MatchKey.MODALITY: next(iter(study.modalities), ""),
        MatchKey.SCHEDULED_DATE: study.study_date,
        MatchKey.STUDY_DESCRIPTION: study.description,
    }
    return Identity({key: text for key, text in found.items() if text})


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
