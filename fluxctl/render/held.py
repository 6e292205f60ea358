"""Studies that wait for a person: a list with the nearest worklist entries, and one side by side with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import HeldFor, Study
from capacitord.api.review import Candidate, Held, HeldDetail, HeldList, HeldPatient, Line
from capacitord.api.worklist import Entry
from capacitord.model.matching import MatchKey
from capacitord.model.patient import Patient
from fluxctl.render.deciding import said, word
from fluxctl.render.look import Look
from fluxctl.render.page import BLANK, CARE, GAP, GOOD, QUIET, STRONG, Column, columns, hanging, labelled, stack
from fluxctl.render.words import NOTHING, ago, begun, count, dicom_date, dicom_name, dicom_time, duration, one_line

NAMELESS = "a patient without a name"
DIFFERS, AGREES = "✘", "✔"
_BESIDE = 2
"""Candidates side by side in one table, at most."""

_LESSER = frozenset(
    {
        MatchKey.STUDY_INSTANCE_UID,
        MatchKey.SCHEDULED_STATION,
        MatchKey.STUDY_DESCRIPTION,
        MatchKey.SCHEDULED_STEP,
        MatchKey.REQUESTED_PROCEDURE,
    }
)
"""In what a study often differs from its own entry: it says nothing of whose it is."""

_LEAST = 18
"""Characters that a value needs to be read: an entry's id stands above it, and most ids and dates fit."""


def listed(found: HeldList, look: Look, elsewhere: int = 0) -> RenderableType:
    """Return each study that waits: who, what, when, why, the next step, and what it may belong to.

    `elsewhere` is how many images wait at sites that are not active.
    """
    others = f"{count(elsewhere, 'image')} of other sites {'waits' if elsewhere == 1 else 'wait'}: fluxctl site list"
    away = [hanging("⚠", others, style=CARE)] if elsewhere else []
    if not found.held:
        return stack(
            [Text("Nothing waits for a person." if not away else "Nothing of this site waits for a person."), *away]
        )
    below = count(found.total, "study waits", "studies wait") + " for a person"
    if found.next:
        below = f"{len(found.held):,} of {below}; the others: --all"
    parts: list[RenderableType] = []
    for each in found.held:
        parts += [*_one(each, look), BLANK]
    return stack([*parts, Text(f"{below}.", style=QUIET), *away])


def _one(held: Held, look: Look) -> Iterable[RenderableType]:
    yield from _heads(held, look)
    several = len({why.next_step for why in held.study.held_for}) > 1
    for step, reasons in _by_step(held.study):
        yield from (_reason(why, held.study, "  ⚠") for why in reasons)
        if several:
            yield hanging("  next:", step)
    yield from (_near(each) for each in held.candidates)
    yield from _further(held, "  ")
    if not several:
        yield from (hanging("  next:", step) for step, _ in _by_step(held.study))


def _by_step(study: Study) -> Iterable[tuple[str, Sequence[HeldFor]]]:
    """Return why a study waits, together what has the same next step."""
    found: dict[str, list[HeldFor]] = {}
    for why in study.held_for:
        found.setdefault(why.next_step, []).append(why)
    return found.items()


def _reason(why: HeldFor, study: Study, mark: str) -> RenderableType:
    details = f" {begun('; '.join(why.details))}." if why.details else ""
    return hanging(mark, f"{_of(why.images, study)}{why.sentence}{details}", style=CARE)


def waiting(held: Held, look: Look) -> RenderableType:
    """Return who and what a study is, and whose the images are that wait."""
    return stack(list(_heads(held, look)))


def _heads(held: Held, look: Look) -> Iterable[RenderableType]:
    yield head(held.study, look)
    own = Patient(held.study.patient_name, held.study.patient_id, held.study.birth_date)
    patients = [Patient(each.name, each.id, each.birth_date) for each in held.patients]
    if len(patients) > 1 or any(each.key != own.key for each in patients):
        whose = patients_of([(each, each.images) for each in held.patients], held.more_patients)
        yield hanging("  ⚠", f"What is held is not all of that patient: {whose}.", style=CARE)


def _of(images: int, study: Study) -> str:
    total = study.images - study.discarded
    return "" if images >= total - study.purged else f"{count(images, 'image')} of {total:,}: "


def head(study: Study, look: Look) -> Text:
    """Return who and what a study is, in one line."""
    parts = [
        who(study),
        "/".join(study.modalities),
        study.description,
        f"{dicom_date(study.study_date)} {dicom_time(study.study_time)}".strip(),
        count(study.images - study.discarded, "image"),
        f"came {ago(study.last_received, look)}",
    ]
    line = Text(study.id, style=STRONG)
    return line.append(f"  {', '.join(part for part in parts if part)}", style="not bold")


def who(study: Study) -> str:
    """Return the patient of a study: name and id."""
    return patient_of(study.patient_name, study.patient_id)


def patient_of(name: str, number: str, birth_date: str = "") -> str:
    """Return a patient as a person reads it: name, id, and the birth date if it is to be said."""
    details = ", ".join(part for part in (number, f"born {dicom_date(birth_date)}" if birth_date else "") if part)
    said = dicom_name(name) or NAMELESS
    return f"{said} ({details})" if details else said


def patients_of(found: Sequence[tuple[HeldPatient, int]], more: int = 0) -> str:
    """Return patients of held images, and of several how many images are of each; `more` are not named.

    Those who share their name and id are told apart by their birth dates.
    """
    shared = len({(each.name, each.id) for each, _ in found}) < len(found)
    words = [patient_of(each.name, each.id, each.birth_date if shared else "") for each, _ in found]
    if len(found) == 1 and not more:
        return words[0]
    parts = [f"{who} ({count(images, 'image')})" for who, (_, images) in zip(words, found, strict=True)]
    parts += [f"{more:,} more"] * bool(more)
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else NAMELESS


def awaited(entry: Entry) -> str:
    """Return whom and what a worklist entry is for."""
    when = f"{dicom_date(entry.start_date)} {dicom_time(entry.start_time)}".strip()
    who = patient_of(entry.patient_name, entry.patient_id)
    withheld = "not served" if entry.mishap == "withheld" else ""
    parts = (who, entry.modality, entry.description, when, entry.accession_number, _gone(entry), withheld)
    return ", ".join(part for part in parts if part)


def _gone(entry: Entry) -> str:
    return "" if entry.vanished is None else "out of the days asked for" if entry.left else "vanished at the source"


def _near(candidate: Candidate) -> RenderableType:
    entry = candidate.entry
    line = Text(f"{entry.id}  {awaited(entry)}")
    if candidate.suggested:
        line.append("  matches, and came later", style=GOOD)
    if candidate.differing:
        graver = [key for key in candidate.differing if key not in _LESSER]
        lesser = [key for key in candidate.differing if key in _LESSER]
        if graver:
            line.append(f"  {DIFFERS} other {', '.join(map(word, graver))}", style=CARE)
        if lesser:
            line.append(f"  {'also ' * bool(graver)}other {', '.join(map(word, lesser))}", style=QUIET)
    return labelled([("  perhaps", line)], width=11)


def _further(held: Held, lead: str = "") -> Iterable[RenderableType]:
    """Yield how many entries come near that are not shown, and where they are."""
    if held.more:
        words = f"{count(held.more, 'other entry comes', 'other entries come')} near it too: fluxctl worklist list"
        yield hanging(f"{lead}·", words, style=QUIET)


def shown(found: HeldDetail, look: Look) -> RenderableType:
    """Return one study: why it waits, and what it says beside what its candidates say."""
    held = found.held
    parts: list[RenderableType] = [*_heads(held, look)]
    several = len({why.next_step for why in held.study.held_for}) > 1
    for step, reasons in _by_step(held.study):
        parts += [_reason(why, held.study, "⚠") for why in reasons]
        parts += [hanging("  next:", _looked(step, held.study))] if several else []
    if not held.study.held_for:
        parts.append(hanging(" ", one_line(held.study.reason) or "Nothing of it waits for a person."))
    if len(held.said) > 1:
        parts.append(hanging("⚠", f"Its images say {len(held.said)} different things of themselves.", style=CARE))
    if found.decided is not None:
        parts.append(hanging(" ", said(found.decided, look)))
    if found.lines:
        parts += [BLANK, beside(found.lines, held.candidates, look)]
    if held.more:
        parts += [BLANK, *_further(held)]
    if not held.candidates:
        parts += [BLANK, Text("No entry of the worklist comes near it.", style=QUIET)]
    if found.restorable_until is not None:
        left = duration((found.restorable_until - look.now).total_seconds())
        parts.append(hanging("⚠", f"It was discarded, and can be had back for {left} of the box's time.", style=CARE))
    if held.study.held_for:
        parts += [BLANK, labelled([("Destinations", Text(", ".join(found.destinations) or NOTHING))])]
        parts += [hanging("next:", _looked(step, held.study)) for step, _ in _by_step(held.study) if not several]
    return stack(parts)


def _looked(step: str, study: Study) -> str:
    """Return a next step without the look that she takes just now."""
    return step.removeprefix(f"Look at it: `fluxctl held show {study.id}`. ")


def beside(lines: Sequence[Line], candidates: Sequence[Candidate], look: Look) -> RenderableType:
    """Return what a study says beside what each candidate says; what differs is marked.

    Candidates that would not fit beside the others have a table of their own below them.
    """
    label = max(len(word(line.key)) for line in lines)
    room = (look.width - label - GAP) // (_LEAST + GAP) - 1
    each = min(max(room, 1), _BESIDE)
    parts: list[RenderableType] = []
    for start in range(0, max(len(candidates), 1), each):
        places = range(start, min(start + each, len(candidates)))
        heads = [
            Column(""),
            Column("The study says", keep=False, least=_LEAST, fold=0),
            *(
                Column(f"{place + 1}: entry {candidates[place].entry.id}", keep=False, least=_LEAST, fold=2)
                for place in places
            ),
        ]
        gone = [_off_the_list(candidates[place]) for place in places]
        first: list[tuple[str | Text, ...]] = (
            [("on the list", NOTHING, *gone)] if any(text.plain.startswith(DIFFERS) for text in gone) else []
        )
        rows = [*first, *(_row(line, places) for line in lines)]
        parts += [*([BLANK] if parts else []), columns(heads, rows, look)]
    return stack(parts)


def _off_the_list(candidate: Candidate) -> Text:
    """Return whether an entry is on the list still, and if not, why."""
    words = _gone(candidate.entry)
    return Text(f"{DIFFERS} {words}", style=CARE) if words else Text(f"{AGREES} yes")


def _row(line: Line, places: Iterable[int]) -> tuple[str | Text, ...]:
    cells = (_cell(line.entries[place], line.agrees[place]) for place in places)
    return (word(line.key), line.study or NOTHING, *cells)


def _cell(text: str, agrees: bool | None) -> Text:
    mark = " " if agrees is None else AGREES if agrees else DIFFERS
    return Text(f"{mark} {text or NOTHING}", style=CARE if agrees is False else "")
