"""Review: what waits for a person, what she should know of it, and what she decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.identity import names_nobody
from capacitord.dicom.worklist.reconciling import reconciliation
from capacitord.dicom.worklist.served import Shown
from capacitord.errors import NotFound, Refused
from capacitord.model.matching import Candidate, Identity, MatchKey, Near, Worklist, normal
from capacitord.model.patient import Patient, several, summary, typed_for
from capacitord.model.profile import Profile
from capacitord.model.reasons import Reason
from capacitord.model.review import Record, State
from capacitord.model.states import StudyState
from capacitord.site.deeds import Asked
from capacitord.site.matching import Matcher
from capacitord.site.worklist import ids, telling
from capacitord.spool.outbox import Deed
from capacitord.spool.releasing import Discarded, Release, Released
from capacitord.spool.review import Kept, holds
from capacitord.spool.store import Spool
from capacitord.spool.whose import Mixture

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

Entries = Callable[[], tuple[tuple[str, Shown], ...]]
"""All entries of the worklist with their short ids."""


class Decision(NamedTuple):
    """What was done, what the audit log should name, and what it should say: how it was before and after."""

    done: m.Done
    subjects: tuple[str, ...]
    detail: str


class Reviewing:
    """Answers what is asked of studies that wait, and carries out what a person decides. Any thread may ask."""

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

    def decided(self, number: int) -> m.Decided | None:
        """Return what was found or decided for a study last, None if it was never matched nor released."""
        kept, released = self._spool.review.kept(number), self._spool.releasing.last(number)
        found = decided(kept, released)
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

    def release(self, request: r.Release, asked: Asked) -> Decision:
        """Send what is held of a study."""
        number, short = self._spool.studies.find(request.study)
        names = tuple(dict.fromkeys(request.destinations))
        known = tuple(self._destinations())
        for name in names:
            if name not in known:
                raise NotFound(
                    f"This site has no destination {name!r}.",
                    where=f"study {short}",
                    hint="A study is released to destinations of its own site only: fluxctl destination list",
                    candidates=known,
                )
        reason = _said(request.reason, short)
        entry, changes, gone = "", None, ""
        if request.match:
            entry, found = ids.find(request.match, self._entries())
            _demand_somebody(found, entry, short)
            changes = reconciliation(found.corrected.entry)
            if found.held.vanished is not None:
                since = f"{telling.when(found.held.vanished):%Y-%m-%d %H:%M} UTC"
                gone = f" That entry is not on the list any more, since {since}."
        what = Release(names, reason, entry, changes)
        before = self._before(number)

        def allow(found: Mixture) -> None:
            _demand_known(found, request, short)

        subjects = (short, *names, *([entry] if entry else []))

        def tell(images: int) -> Deed:
            return asked.did(subjects, f"{before} -> released, {_images(images)}")

        images = self._spool.releasing.release(number, what, asked.by, time.time_ns(), allow, tell)
        waits = "1 image waits" if images == 1 else f"{images} images wait"
        as_entry = f" as worklist entry {entry}" if entry else ""
        words = f"Study {short} is released{as_entry}: {waits} to be sent to {', '.join(names)}.{gone}"
        return Decision(m.Done(words, (short, *names)), subjects, tell(images).detail)

    def discard(self, request: r.DiscardHeld, asked: Asked) -> Decision:
        """Discard what is held of a patient in a study, so that it can be had back for a while.

        Copies of the patient's images that are held are left out.
        """
        number, short = self._spool.studies.find(request.study)
        study = self._spool.studies.some([number])[number]
        reason = _said(request.reason, short)

        def choose(patients: Sequence[Patient]) -> Sequence[Patient]:
            found = typed_for(request.patient_name.value, patients, short)
            if not found:
                raise Refused(
                    "What was typed is not the name of the patient whose images are held.",
                    where=f"study {short}",
                    hint=f"Type it as `fluxctl held show {short}` has it; the patient id where there is no name or "
                    "several patients have it, and the study's short id where there is neither.",
                )
            return found

        before = self._before(number)
        why = {each.reason for each in study.held_for}

        def tell(gone: Discarded) -> Deed:
            after = [f"discarded, {_images(gone.images)}"] if gone.images else []
            after += [f"left out, {_left_out(gone)}"] if gone.left_out else []
            return asked.did((short, *gone.left_out), f"{before} -> {'; '.join(after)}")

        clocks = (time.time_ns(), self._spool.tick())
        gone = self._spool.releasing.set_aside(number, reason, asked.by, clocks, choose, tell)
        words = []
        if gone.images:
            go = "1 image goes" if gone.images == 1 else f"{gone.images} images go"
            words.append(f"{go} nowhere. For 24 hours `fluxctl held restore {short}` undoes it.")
        if gone.left_out:
            words.append(f"Left out: {_left_out(gone)}. `fluxctl resend {short} --to DEST` undoes that.")
        if Reason.TOGETHER in why and len(why) > 1:
            words.append("What waited for it goes where the profile says.")
        subjects = tell(gone).subjects
        whole = self._spool.studies.some([number])[number].state is StudyState.DISCARDED
        what = f"Study {short} is" if whole else f"What was held of that patient in study {short} is"
        done = m.Done(f"{what} discarded: {' '.join(words)}", subjects)
        return Decision(done, subjects, tell(gone).detail)

    def restore(self, request: r.RestoreHeld, asked: Asked) -> Decision:
        """Have back what was discarded of a study."""
        number, short = self._spool.studies.find(request.study)

        def tell(images: int) -> Deed:
            return asked.did((short,), f"discarded -> {_images(images)} held again")

        images = self._spool.releasing.restore(number, tell)
        back = "1 image is" if images == 1 else f"{images} images are"
        words = f"{back} held again in study {short}."
        if not images:
            held = self._spool.studies.some([number])[number].held
            now = f"{_images(held)} of it {'is' if held == 1 else 'are'} held" if held else "nothing of it is held now"
            words = f"All that was discarded of study {short} came again meanwhile: nothing is had back, and {now}."
        return Decision(m.Done(words, (short,)), (short,), tell(images).detail)

    def _before(self, number: int) -> str:
        """Return how a study stood, for the audit log."""
        words = dict.fromkeys(each.reason for each in self._spool.studies.some([number])[number].held_for)
        return f"held ({', '.join(words)})" if words else "not held"

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


def _demand_somebody(found: Shown, entry: str, short: str) -> None:
    """Refuse a release with an entry that would write nobody into the images: they would be of no patient any more."""
    if found.corrected.mishap is Mishap.WITHHELD:
        why = "could not be corrected as the profile says, and is not served"
    elif names_nobody(found.corrected.entry):
        why = "names no patient"
    else:
        return
    raise Refused(
        f"Worklist entry {entry} {why}, so nothing is released as its study.",
        where=f"study {short}",
        hint=f"Look at it: `fluxctl worklist show {entry}`. Without --match the study is released as it is.",
    )


def _demand_known(found: Mixture, request: r.Release, short: str) -> None:
    """Refuse a release of other images than were shown, or of another patient's without a word of that."""
    images, changed = sum(found.goes.values()), ""
    if request.images is not None and request.images != images:
        changed = f"{_images(images)} would be sent, not {request.images}"
    elif request.whose and request.whose != summary(found.goes.items()):
        changed = "images of other patients would be sent than were shown"
    if changed:
        raise Refused(
            f"Something has changed meanwhile: {changed}.",
            where=f"study {short}",
            hint=f"Look at it again, and release it then: `fluxctl held show {short}`.",
        )
    if request.mixed:
        return
    look = f"See whose they are: `fluxctl held show {short}`."
    others = f"answer for it at a terminal, or discard those of one patient: `fluxctl held discard {short}`."
    if several(found.goes):
        # An entry is of one patient, and it would make all of them that one.
        mix, hint = "say different patients", f"{look} Then {others}"
    elif not request.match and several((*found.goes, *found.stays)):
        mix = "say another patient than the rest of the study"
        hint = f"{look} Release them with the entry they belong to (--match ENTRY), {others}"
    else:
        return
    raise Refused(
        f"The images that are held {mix}, so they are not sent in one study without a word of that.",
        where=f"study {short}",
        hint=hint,
    )


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


def _said(reason: str, short: str) -> str:
    if not reason.strip():
        raise Refused("This is done for a reason only.", where=f"study {short}", hint="Say why: it is kept.")
    return reason.strip()


def _left_out(gone: Discarded) -> str:
    return ", ".join(f"{_images(count)} for {name}" for name, count in gone.left_out.items())


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
