"""The worklist in the words of the control socket's answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from capacitord.api import messages as m
from capacitord.api import worklist as w
from capacitord.dicom.telling import skip_of
from capacitord.dicom.worklist.comparing import compared
from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import START_DATE, START_TIME, STEPS, tag
from capacitord.dicom.worklist.served import Shown
from capacitord.errors import Problem
from capacitord.model.worklist import Source
from capacitord.model.worklist_cache import Cache, ListState, Rhythm, sentence, state

_NAME, _ID, _BIRTH, _SEX = map(tag, ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"))
_ACCESSION, _STUDY = tag("AccessionNumber"), tag("StudyInstanceUID")
_PROCEDURE, _STEP = tag("RequestedProcedureDescription"), tag("ScheduledProcedureStepDescription")
_CODES, _MEANING = tag("RequestedProcedureCodeSequence"), tag("CodeMeaning")
_MODALITY, _STATION = tag("Modality"), tag("ScheduledStationAETitle")
_CHECK: Final = (
    "See whether the source answers: fluxctl worklist refresh; then check the network, and [worklist] source in the "
    "profile."
)
_NEXT: Final[Mapping[ListState, str]] = MappingProxyType(
    {
        ListState.STALE: f"The list that there is goes on being served. {_CHECK}",
        ListState.NEVER: f"There is no list to serve until the source answers. {_CHECK}",
    }
)


_MISHAPS: Final[Mapping[Mishap, str]] = MappingProxyType(
    {Mishap.AS_IT_CAME: "served as it came", Mishap.WITHHELD: "not served"}
)


def row(short: str, shown: Shown) -> w.Entry:
    """Return an entry as a row of the list."""
    held, served = shown.held, shown.corrected.entry
    step = next(iter(served.items(STEPS)), None)
    code = next(iter(served.items(_CODES)), None)
    return w.Entry(
        id=short,
        patient_name=_one(served, _NAME),
        patient_id=_one(served, _ID),
        birth_date=_one(served, _BIRTH),
        sex=_one(served, _SEX),
        accession_number=_one(served, _ACCESSION),
        study_uid=_one(served, _STUDY),
        description=_one(step, _STEP) or _one(served, _PROCEDURE) or _one(code, _MEANING),
        modality=_one(step, _MODALITY),
        station="/".join(step.values(_STATION)) if step is not None else "",
        start_date=_one(step, START_DATE),
        start_time=_one(step, START_TIME),
        since=when(held.since),
        seen=when(held.seen),
        vanished=None if held.vanished is None else when(held.vanished),
        left=held.left,
        changed=bool(shown.corrected.changes),
        lacking=shown.corrected.lacking,
        mishap=shown.corrected.mishap or "",
        sought=when_or_never(held.sought),
        listed=not held.is_only_sought,
    )


def detail(short: str, shown: Shown) -> w.EntryDetail:
    """Return an entry with all that it says, before and after."""
    return w.EntryDetail(
        "fluxctl.worklist.show/1",
        row(short, shown),
        tuple(w.Attribute(*each) for each in compared(shown.original, shown.corrected)),
        tuple(map(skip_of, shown.corrected.skipped)),
    )


def status_of(source: Source, cache: Cache, now: float, rhythm: Rhythm, due: float | None) -> m.WorklistStatus:
    """Return how the list is and what its source does; `due` is in how many seconds it is asked, None if it is now."""
    present = len(cache.present())
    return m.WorklistStatus(
        ae_title=source.ae_title,
        host=source.host,
        port=source.port,
        state=state(cache, now, rhythm),
        entries=present,
        vanished=len(cache.entries) - present,
        fetched=when_or_never(cache.fetched),
        source=cache.source,
        tried=when_or_never(cache.tried),
        failures=cache.failures,
        reason=cache.failure,
        next_try=None if due is None else when(now + due),
        patience=source.connect_timeout + source.response_timeout,
    )


def advice_on(cache: Cache, now: float, rhythm: Rhythm, unsaved: Problem | None) -> list[m.Advice]:
    """Return what a person should do about the worklist; nothing while it is of today."""
    found = []
    known = state(cache, now, rhythm)
    if known is ListState.STALE or (known is ListState.NEVER and cache.failures):
        reference = "worklist-old" if known is ListState.STALE else "worklist-none"
        found.append(m.Advice(reference, m.Level.WARNING, sentence(cache, now, rhythm), _NEXT[known]))
    if unsaved is not None:
        found.append(m.Advice(unsaved.reference, m.Level.WARNING, unsaved.message, unsaved.hint))
    return found


def advice_on_mishaps(mishaps: Mapping[Mishap, int]) -> list[m.Advice]:
    """Return what a person should do about entries that could not be corrected, by what became of them."""
    total = sum(mishaps.values())
    if not total:
        return []
    what = "1 entry of the worklist" if total == 1 else f"{total} entries of the worklist"
    parts = [
        f"{count} {'is' if count == 1 else 'are'} {_MISHAPS[mishap]}" for mishap in Mishap if (count := mishaps[mishap])
    ]
    words = f"{what} could not be corrected: {' and '.join(parts)}."
    hint = "See which: fluxctl worklist list. The log of this box says where it failed; show that to its maker."
    return [m.Advice("worklist-uncorrected", m.Level.WARNING, words, hint)]


def dropped(entries: int, most: int) -> str:
    """Return that so many entries were dropped, and why: `most` are kept."""
    what = "1 entry was" if entries == 1 else f"{entries} entries were"
    return (
        f"{what} dropped, those that came first, because the source gave more than {most} for single patients "
        "or orders that scanners look for. The list and what studies refer to are kept."
    )


def advice_on_dropped(entries: int, most: int) -> list[m.Advice]:
    """Return what a person should do about a source that gives too much for single questions."""
    if not entries:
        return []
    hint = "See who they are: fluxctl worklist list. Ask who runs the source why it answers with so many."
    return [m.Advice("worklist-crowded", m.Level.WARNING, f"In the last day {dropped(entries, most)}", hint)]


def when(seconds: float) -> datetime:
    """Return seconds since the epoch as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def when_or_never(seconds: float | None) -> datetime | None:
    """Return the same of what may never have been."""
    return None if seconds is None else when(seconds)


def _one(entry: Entry | None, tag: int) -> str:
    return next(iter(entry.values(tag)), "") if entry is not None else ""
