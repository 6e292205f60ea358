"""The worklist: who is awaited, one entry before and after its corrections, and what a fresh list brought."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.worklist import Attribute, Entry, EntryDetail, EntryList, Refreshed
from capacitord.model.worklist_cache import ListState
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, labelled, stack
from fluxctl.render.words import NOTHING, ago, clock, count, dicom_date, dicom_name, dicom_time

_DIFFERS = "▸"
_MOST_LACKING = 5
_VANISHED: Final = "Vanished at the source"
_ROOM_FOR_STATIONS: Final = 100
_NARROW: Final = 70
_LEFT: Final = "Out of the days that the source is asked for"
_REQUIRED: Final = MappingProxyType({"required": "the standard wants a value there"})
"""What changed an attribute, where it was no part of the profile."""
_FILL_ONE: Final = (
    "See above whether it came empty, or a correction took it. Have it filled in at the source, or set it in "
    "[[worklist.correct]] of the profile; then fluxctl worklist refresh."
)
_FILL: Final = (
    "A scanner may not take these. See what came and what a correction changed: fluxctl worklist show ENTRY. Have it "
    "filled in at the source, or set it in [[worklist.correct]] of the profile."
)
"""What to do about what is lacking."""
_MISHAPS: Final = MappingProxyType(
    {
        "as-it-came": "It could not be corrected for an unforeseen reason, and scanners get it as it came.",
        "withheld": "It could not be corrected for an unforeseen reason, and is not served: scanners might get another "
        "patient's or order's id with it.",
    }
)
"""What became of an entry that could not be corrected."""


def listed(found: EntryList, look: Look) -> RenderableType:
    """Return how far the list can be relied on, then its entries, then what vanished from it."""
    present = [each for each in found.entries if each.vanished is None]
    gone = [each for each in found.entries if each.vanished is not None]
    parts: list[RenderableType] = [_reliance(found)]
    if found.source:
        parts.append(hanging(" ", f"{count(len(present), 'entry', 'entries')} from {found.source}", style=QUIET))
    if present:
        parts += [BLANK, table(present, look), *_lacking(present), *_uncorrected(present)]
    for title, rows in ((_VANISHED, _vanished(gone)), (_LEFT, _left(gone))):
        if rows:
            parts += [BLANK, Text(f"{title}: kept, and not served", style=STRONG), table(rows, look)]
            parts += [hanging(f"  {each.id}", f"gone {ago(each.vanished, look)}") for each in rows]
    return stack(parts)


def _vanished(gone: Sequence[Entry]) -> list[Entry]:
    return [each for each in gone if not each.left]


def _left(gone: Sequence[Entry]) -> list[Entry]:
    return [each for each in gone if each.left]


def _reliance(found: EntryList) -> RenderableType:
    good = found.state is ListState.FRESH and not found.failures
    symbol, style = ("✔", GOOD) if good else ("⚠", CARE)
    return hanging(symbol, found.remark, style=style)


def table(entries: Sequence[Entry], look: Look) -> RenderableType:
    """Return entries as a table. Where there is no room for both, an order's number tells more than its station."""
    stations = look.width >= _ROOM_FOR_STATIONS
    heads = [
        Column("Entry"),
        Column("When", keep=False, least=16 if look.width > _NARROW else 10),
        Column("Patient", keep=False, least=10),
        Column("Id", keep=False, most=14, least=6),
        Column("Accession", keep=False, most=16, least=6),
        Column("What", keep=False, least=10),
        *([Column("Station", keep=False, most=16, least=6)] * stations),
    ]
    rows = [
        (
            each.id,
            _awaited(each),
            dicom_name(each.patient_name) or NOTHING,
            each.patient_id or NOTHING,
            each.accession_number or NOTHING,
            _what(each) or NOTHING,
            *([each.station or NOTHING] * stations),
        )
        for each in entries
    ]
    return columns(heads, rows, look)


def _what(entry: Entry) -> str:
    """Return what is to be done, with the modality unless the words begin with it."""
    words = entry.description
    return words if words.upper().split()[:1] == [entry.modality] else f"{entry.modality} {words}".strip()


def _awaited(entry: Entry) -> str:
    return f"{dicom_date(entry.start_date)} {dicom_time(entry.start_time)}".strip() or NOTHING


def _lacking(entries: Sequence[Entry]) -> list[RenderableType]:
    """Return which entries a scanner may not take, since nobody knows what it needs, and what to do about it."""
    found = sorted((each for each in entries if each.lacking), key=lambda each: not _nobody(each))
    lines: list[RenderableType] = [
        hanging(f"  {each.id}", f"{_nobody(each)}lacks {', '.join(each.lacking)}", style=CARE)
        for each in found[:_MOST_LACKING]
    ]
    more = len(found) - _MOST_LACKING
    if more > 0:
        lines.append(Text(f"  and {count(more, 'other')}", style=CARE))
    return [*lines, *([hanging("  next:", _FILL)] if lines else [])]


def _nobody(entry: Entry) -> str:
    """Return that an entry names nobody, empty if it does."""
    return (
        "" if entry.patient_name.strip("^= ") or entry.patient_id else "names nobody, so no study is matched with it; "
    )


def _uncorrected(entries: Sequence[Entry]) -> list[RenderableType]:
    return [hanging(f"  {each.id}", _MISHAPS[each.mishap], style=CARE) for each in entries if each.mishap in _MISHAPS]


def shown(found: EntryDetail, look: Look, *, everything: bool = False) -> RenderableType:
    """Return an entry: how it is on the list, then its attributes as they came and as they are served.

    Those that differ come first; those without a value on either side are only counted, unless `everything` is asked
    for.
    """
    entry = found.entry
    since = f"on the list since {clock(entry.since, look)}"
    if entry.sought is not None:
        sought = f"given {clock(entry.sought, look)} because a scanner looked for that patient or order"
        since = f"{since}; {sought}" if entry.listed else f"on no list of the source: {sought}"
    if entry.vanished is not None:
        how = "its day went out of those that are asked for" if entry.left else "it vanished at the source"
        since += f"; {how} {ago(entry.vanished, look)}: it is kept, and not served"
    heads = [
        Column(""),
        Column("Attribute", keep=False, least=max(8, min(34, look.width - 37)), fold=2),
        Column("As it came", keep=False, least=15, fold=0),
        Column("As it is served", keep=False, least=15, fold=0),
    ]
    told = [each for each in found.attributes if everything or each.before or each.after]
    told.sort(key=lambda each: each.before == each.after)
    left_out = len(found.attributes) - len(told)
    lines = [labelled([("Entry", Text(entry.id)), ("", Text(since))]), BLANK]
    lines.append(columns(heads, [_attribute(each) for each in told], look))
    if left_out:
        lines.append(hanging(" ", f"{count(left_out, 'attribute')} without a value: --all shows them", style=QUIET))
    by = [each for each in told if each.before != each.after and each.by]
    if by:
        lines += [BLANK, Text("Changed by", style=STRONG)]
        lines += [
            hanging(" ", f"{each.name}: {', '.join(_REQUIRED.get(name, name) for name in each.by)}") for each in by
        ]
    for skip in found.skipped:
        lines.append(
            hanging("⚠", f"{skip.transform}: {skip.operation} {skip.attribute} was left out: {skip.reason}", style=CARE)
        )
    if entry.mishap in _MISHAPS:
        lines.append(hanging("⚠", _MISHAPS[entry.mishap], style=CARE))
    if entry.lacking:
        lines.append(hanging("⚠", f"A scanner may need what nobody knows: {', '.join(entry.lacking)}", style=CARE))
        lines.append(hanging("  next:", _FILL_ONE))
    return stack(lines)


def _attribute(each: Attribute) -> tuple[str | Text, ...]:
    differs = each.before != each.after
    style = STRONG if differs else ""
    return (
        Text(_DIFFERS if differs else " ", style=style),
        each.name,
        Text(_value(each.before), style=style),
        Text(_value(each.after), style=style),
    )


def _value(value: str | None) -> str:
    return NOTHING if value is None else value or '""'


def refreshed(found: Refreshed, look: Look) -> RenderableType:
    """Return what came of asking the source."""
    if not found.ok:
        kept = (
            f"{count(found.entries, 'entry', 'entries')} of {clock(found.fetched, look)} go on being served."
            if found.fetched is not None
            else "There is none from before, so scanners get an empty list."
        )
        return stack(
            [
                hanging("✘", f"{found.source} did not send its list: {found.reason}", style=BAD),
                hanging(" ", kept),
                hanging("  next:", "Check the network and the profile; it is asked again by itself."),
            ]
        )
    entries = count(found.entries, "entry", "entries")
    parts: list[RenderableType] = [hanging("✔", f"{entries} from {found.source} in {found.seconds:.1f} s", style=GOOD)]
    for title, rows in (
        ("New", found.new),
        ("Vanished", _vanished(found.vanished)),
        (_LEFT, _left(found.vanished)),
        ("Changed", found.changed),
    ):
        if rows:
            parts += [BLANK, Text(f"{title}: {len(rows):,}", style=STRONG), table(rows, look)]
    if len(parts) == 1:
        parts.append(hanging(" ", "Nothing is different."))
    return stack(parts)
