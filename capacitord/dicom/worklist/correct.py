"""An entry as it is served: corrected as the profile says, and filled in where the standard wants a value.

In a profile an attribute of the scheduled procedure step may be named without its sequence: `Modality` is
`ScheduledProcedureStepSequence.Modality`, in conditions too. A correction that cannot be carried out is left out and
told of, for a patient who is missing from the list is worse than a name with an accent too many. The original entry
stays as it is.

What is filled in, if it is missing or empty (return keys of type 1 and 1C, PS3.4 table K.6-1):

================================= ==============================================================
attribute                         from
================================= ==============================================================
Scheduled Procedure Step ID       Requested Procedure ID, else Accession Number
Requested Procedure ID            Scheduled Procedure Step ID, else Accession Number
Scheduled Procedure Step          Requested Procedure Description, else the meaning of a code of
Description                       the step or the procedure; not if the step has codes
Requested Procedure Description   Scheduled Procedure Step Description, else the meaning of a
                                  code; not if the procedure has codes
Scheduled Procedure Step Start    midnight, if there is a date: it starts with its day
Time
Study Instance UID                made from what the order is called by, with the site's key: the
                                  same each time, and one that nobody else makes
================================= ==============================================================

An error that nobody foresaw costs the one entry and no other: it is served as it came where that is safe, and else
not at all (`uncorrected`). It is so where the entry lacks nothing, and the profile corrects nothing by which a patient
or an order is called, so that nobody is examined under an id that the site does not mean.

Where `clean` leaves nothing of the first component group of Patient's Name, by which scanners show and sort, another
group takes its place, and if nothing is left of any the Patient ID: many scanners do not take an entry without a name,
and the id is hers.

Who the patient is, when and where she is awaited and for what modality is never made up. What is missing after all
that is named in `lacking`, and the entry is served.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from pydicom.dataset import Dataset

from capacitord.dicom.transform.attributes import DatasetAttributes
from capacitord.dicom.transform.draft import Draft, Path
from capacitord.dicom.transform.engine import Change, apply
from capacitord.dicom.transform.failure import TransformFailed, Unfit
from capacitord.dicom.transform.operations import write_text
from capacitord.dicom.transform.rules import hashed_uid
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import IDENTITY, START_DATE, START_TIME, STEP, STEPS, SUPPORTED, tag
from capacitord.model import conditions
from capacitord.model.attribute import Attribute, Step
from capacitord.model.conditions import Subject
from capacitord.model.transform import Clean, Copy, OnError, Operation, Set, Source, Template, Transform

FILLED: Final = "required"
"""What a change is called that fills an attribute in."""

_STEP_ID, _PROCEDURE_ID = tag("ScheduledProcedureStepID"), tag("RequestedProcedureID")
_ACCESSION, _STUDY = tag("AccessionNumber"), tag("StudyInstanceUID")
_STEP_WORDS, _STEP_CODES = tag("ScheduledProcedureStepDescription"), tag("ScheduledProtocolCodeSequence")
_WORDS, _CODES = tag("RequestedProcedureDescription"), tag("RequestedProcedureCodeSequence")
_MEANING = tag("CodeMeaning")
_PATIENT, _NAME = tag("PatientID"), tag("PatientName")
_CLEAN: Final = "clean"
_NEEDED: Final = ("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID")
_NEEDED_IN_STEP: Final = (
    "Modality",
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepID",
)


class Mishap(enum.StrEnum):
    """What became of an entry that an unforeseen error kept from being corrected."""

    AS_IT_CAME = "as-it-came"
    WITHHELD = "withheld"


class Corrected(NamedTuple):
    """An entry as it is served, and what became of it on the way.

    `changes` are for a person to see, and not for a log, since they have the values; `skipped` are the corrections
    that could not be carried out, `lacking` the keywords of what is missing. With a `mishap` nothing was corrected.
    """

    entry: Entry
    changes: tuple[Change, ...] = ()
    skipped: tuple[TransformFailed, ...] = ()
    lacking: tuple[str, ...] = ()
    mishap: Mishap | None = None


def correct(original: Entry, transforms: Sequence[Transform], *, key: bytes, now: dt.datetime) -> Corrected:
    """Return the entry as it is served; `original` is not changed, and is the one served if nothing is to be changed.

    `transforms` are those of the profile for the worklist, in order; each is carried out if its condition holds for
    the original. `key` is the site's key for hashes, `now` is in the site's time zone.
    """
    seen = EntryAttributes(original)
    subject = Subject(seen, "", "", now)
    fitting = [_placed(each) for each in transforms if conditions.holds(each.match, subject)]
    changes: tuple[Change, ...] = ()
    skipped: tuple[TransformFailed, ...] = ()
    entry = original
    if fitting:
        done = apply(fitting, original.dataset, key=key, now=now)
        changes = tuple(each for each in done.changes if (each.before or "") != (each.after or ""))
        skipped = done.skipped
        entry = Entry(done.dataset) if done.edits else original
    fillings = [*_name_instead(entry, changes), *_fillings(entry, key)]
    if fillings:
        draft = Draft(entry.dataset)
        changes += tuple(_fill(draft, fillings))
        entry = Entry(draft.dataset)
    return Corrected(entry, changes, skipped, tuple(_lacking(entry)))


def uncorrected(original: Entry, transforms: Sequence[Transform]) -> Corrected:
    """Return what becomes of an entry that could not be corrected for a reason that nobody foresaw. Never raises."""
    try:
        entry = Entry(original.dataset)
        entry.prepare(SUPPORTED)
        lacking = tuple(_lacking(entry))
    except Exception:  # noqa: BLE001 - what cannot be read is not served, and the other entries are
        return Corrected(Entry(Dataset()), mishap=Mishap.WITHHELD)
    is_safe = not lacking and not any(map(changes_identity, transforms))
    return Corrected(entry, lacking=lacking, mishap=Mishap.AS_IT_CAME if is_safe else Mishap.WITHHELD)


def changes_identity(transform: Transform) -> bool:
    """Say whether a transform may make another one of the patient or the order; characters that it cleans do not."""
    targets = [operation.target for operation in transform.operations if not isinstance(operation, Clean)]
    return any(target.anywhere or not target.steps[0].exact or target.steps[0].tag in IDENTITY for target in targets)


class EntryAttributes:
    """The attributes of an entry as conditions want them, those of its steps without their sequence too."""

    def __init__(self, entry: Entry) -> None:
        self._attributes = DatasetAttributes(entry.dataset)

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        """Return all values of what `attribute` names; see `conditions.Attributes`."""
        return self._attributes.values(placed(attribute))


def placed(attribute: Attribute) -> Attribute:
    """Return where an attribute of a profile is in an entry: one that only the step has is looked for there."""
    first = attribute.steps[0]
    if attribute.anywhere or not first.exact or first.creator or first.tag not in STEP or first.tag in SUPPORTED:
        return attribute
    return msgspec.structs.replace(attribute, steps=(Step(STEPS), *attribute.steps))


def _placed(transform: Transform) -> Transform:
    operations = tuple(map(_operation_placed, transform.operations))
    return msgspec.structs.replace(transform, operations=operations, on_error=OnError.SKIP)


def _operation_placed(operation: Operation) -> Operation:
    operation = msgspec.structs.replace(operation, target=placed(operation.target))
    if isinstance(operation, Copy):
        return msgspec.structs.replace(operation, source=placed(operation.source))
    if isinstance(operation, Set):
        return msgspec.structs.replace(operation, value=_template_placed(operation.value))
    return operation


def _template_placed(template: Template) -> Template:
    parts = tuple(
        msgspec.structs.replace(part, attribute=placed(part.attribute)) if isinstance(part, Source) else part
        for part in template.parts
    )
    return msgspec.structs.replace(template, parts=parts)


def _fill(draft: Draft, fillings: Iterable[tuple[Path, str]]) -> list[Change]:
    """Fill in what is missing and can be known; return what was done."""
    for path, text in fillings:
        try:
            write_text(draft, path, text)
        except Unfit:
            # What fits one attribute may be too long for another; then it stays empty and is among what is lacking.
            continue
    done = [Change(path, before, draft.shown_if_there(path), FILLED, "fill") for path, before in draft.log]
    draft.log.clear()
    return done


def _name_instead(entry: Entry, changes: Iterable[Change]) -> Iterator[tuple[Path, str]]:
    """Yield a name that a scanner can show, if characters that were cleaned away left it without its first group."""
    last = next((each for each in reversed(tuple(changes)) if tuple(each.path) == (_NAME,)), None)
    if last is None or last.operation != _CLEAN:
        return
    groups = _one(entry, _NAME).split("=")
    shown = next((group for group in groups if group.strip("^ ")), "") or _one(entry, _PATIENT)
    if not groups[0].strip("^ ") and shown:
        yield (_NAME,), "=".join((shown, *groups[1:]))


def _fillings(entry: Entry, key: bytes) -> Iterator[tuple[Path, str]]:
    steps = entry.items(STEPS)
    first = steps[0] if steps else None
    step_id = _one(first, _STEP_ID)
    accession, procedure = _one(entry, _ACCESSION), _one(entry, _PROCEDURE_ID)
    meaning = _meaning(entry, _CODES)
    if not procedure and (step_id or accession):
        yield (_PROCEDURE_ID,), step_id or accession
    if not _one(entry, _STUDY) and key and (accession or procedure or step_id):
        # A study is of a requested procedure, all its steps; without an order's number its own may be used again.
        apart = "" if accession and procedure else step_id
        called = "\0".join((_one(entry, _PATIENT), accession, procedure, apart))
        yield (_STUDY,), hashed_uid(key, called)
    if not _one(entry, _WORDS) and not entry.items(_CODES):
        words = _one(first, _STEP_WORDS) or _meaning(first, _STEP_CODES)
        if words:
            yield (_WORDS,), words
    for number, step in enumerate(steps):
        prefix = (STEPS, number)
        if not _one(step, _STEP_ID) and (procedure or accession):
            yield (*prefix, _STEP_ID), procedure or accession
        words = _one(entry, _WORDS) or meaning
        if not _one(step, _STEP_WORDS) and not step.items(_STEP_CODES) and words:
            yield (*prefix, _STEP_WORDS), words
        if _one(step, START_DATE) and not _one(step, START_TIME):
            yield (*prefix, START_TIME), "000000"


def _one(entry: Entry | None, tag: int) -> str:
    return next(iter(entry.values(tag)), "") if entry is not None else ""


def _meaning(entry: Entry | None, tag: int) -> str:
    items = entry.items(tag) if entry is not None else ()
    return next((text for item in items for text in item.values(_MEANING) if text), "")


def _lacking(entry: Entry) -> Iterator[str]:
    yield from (keyword for keyword in _NEEDED if not _one(entry, tag(keyword)))
    if not _one(entry, _WORDS) and not entry.items(_CODES):
        yield "RequestedProcedureDescription"
    steps = entry.items(STEPS)
    if not steps:
        yield "ScheduledProcedureStepSequence"
    for step in steps:
        yield from (keyword for keyword in _NEEDED_IN_STEP if not _one(step, tag(keyword)))
        if not _one(step, _STEP_WORDS) and not step.items(_STEP_CODES):
            yield "ScheduledProcedureStepDescription"
