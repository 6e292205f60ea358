"""What is right and wrong with profiles, each place shown as it is written; how they differ, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import How, ProfileFinding, ProfileHistory, ProfileImported, ProfileSummary, ProfileTaken
from capacitord.api.schemas import ProfileChange, ProfileDiff, ProfileExported, ValidatedProfile
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, in_one_line, stack
from fluxctl.render.words import NOTHING, clean, clock, count, one_line

_INDENT: Final = 8
_BEFORE: Final = 20
"""Columns of a long line that are shown before the place."""
_LEFT_OUT: Final = "…"


def validated(found: Sequence[ValidatedProfile], look: Look) -> RenderableType:
    """Return what was found in each file."""
    parts: list[RenderableType] = []
    for each in found:
        parts += [BLANK] if parts else []
        parts += _file(each, look)
    if len(found) > 1:
        bad = sum(not each.valid for each in found)
        last = f"✘ {bad} of {count(len(found), 'profile')} {'is' if bad == 1 else 'are'} not valid."
        parts += [BLANK, Text(last, style=BAD) if bad else Text(f"✔ All {len(found)} profiles are valid.", style=GOOD)]
    return stack(parts)


def _file(found: ValidatedProfile, look: Look) -> list[RenderableType]:
    problems = [each for each in found.findings if each.level == "error"]
    warnings = [each for each in found.findings if each.level == "warning"]
    notes = [each for each in found.findings if each.level == "note"]
    if problems:
        first = Text(f"✘ {found.file} has {count(len(problems), 'problem')}", style=BAD)
        parts: list[RenderableType] = [first]
    else:
        first = Text(f"✔ {found.file} is valid: {found.name} ({found.id}), version {found.version}", style=GOOD)
        parts = [first, Text(f"  Destinations: {', '.join(found.destinations)}.")]
    for problem in problems:
        parts += [BLANK, *_shown(problem, "✘", BAD, look)]
    for warning in warnings:
        parts += [BLANK, *_shown(warning, "⚠", CARE, look)]
    if notes:
        parts += [BLANK, Text("  It says what this version does not act on yet:")]
        parts += [hanging("   ", f"{_place(note)} {note.key}: {note.message}") for note in notes]
    return parts


def _place(finding: ProfileFinding) -> str:
    return ":".join(str(part) for part in (finding.line, finding.column) if part)


def _shown(finding: ProfileFinding, symbol: str, style: str, look: Look) -> list[RenderableType]:
    """Return one finding: what it is, the line with the place marked, what to do."""
    head = f"{finding.key}: {finding.message}" if finding.key else finding.message
    parts: list[RenderableType] = [hanging(f"  {symbol}", f"{_place(finding)} {head}".strip(), style=style)]
    if finding.excerpt.strip():
        line, mark, length = narrowed(finding, look.width - _INDENT)
        lead = " " * _INDENT
        parts.append(Text(lead + line, no_wrap=True, overflow="crop"))
        shift = cell_len(line[:mark])
        under = "^" * max(1, min(cell_len(line[mark : mark + length]), look.width - _INDENT - shift))
        parts.append(Text(f"{lead}{' ' * shift}{under}", style=style, no_wrap=True, overflow="crop"))
    if finding.hint:
        parts.append(hanging("    next:", finding.hint, style=QUIET))
    return parts


def narrowed(finding: ProfileFinding, room: int) -> tuple[str, int, int]:
    """Return the excerpt cut to `room` columns around its place, where that begins in it, and its length.

    Characters may be two columns wide, or none. Where something is left out, "…" stands.
    """
    line = clean(finding.excerpt.replace("\t", " "))
    mark, length = finding.mark, finding.length
    if cell_len(line) > room:
        start = _begun(line, mark, room)
        cut = line[start:]
        if start:
            cut = _LEFT_OUT + cut[1:]
        line = cut if cell_len(cut) <= room else set_cell_size(cut, room - 1).rstrip() + _LEFT_OUT
        mark -= start
    mark = min(mark, len(line))
    return line, mark, max(1, min(length, len(line) - mark))


def _begun(line: str, mark: int, room: int) -> int:
    """Return from which character on a line is shown: as much of it as there is room for, the place not far in."""
    start = mark
    while start and (cell_len(line[start - 1 : mark]) <= _BEFORE or cell_len(line[start - 1 :]) <= room):
        start -= 1
    while start < mark and not cell_len(line[start]):  # an accent without its letter
        start += 1
    return start


def imported(
    answer: ProfileImported, changes: Sequence[ProfileDiff], look: Look, *, dry_run: bool = False
) -> RenderableType:
    """Return what an import did, or would do; `changes` are told before, if there are any."""
    parts: list[RenderableType] = [differences(changes, look), BLANK] if changes else []
    taken = (answer, *answer.others)
    idle = answer.active_site == "" and not dry_run
    for each in taken:
        parts += _taken(each, look, dry_run=dry_run, elsewhere=not idle, follows=answer.follows)
    if idle and answer.follows:
        words = "No site is active: the box opens by itself for the one where it is."
        parts += [hanging("⚠", words, style=CARE), hanging("  next:", "See where that is: fluxctl site location")]
    elif idle:
        site = answer.id if len(taken) == 1 else "SITE"
        parts.append(hanging("⚠", "No site is active, so no scanner can send.", style=CARE))
        parts.append(hanging("  next:", f"Choose the one to serve: fluxctl site activate {site}"))
    return stack(parts)


def proposed(changes: Sequence[ProfileDiff], checked: ProfileImported, look: Look) -> RenderableType:
    """Return what an import would change, and what would wait for destinations that are not named any more."""
    found = [each for taken in (checked, *checked.others) for each in taken.findings]
    stranded = [each for each in found if each.level == "warning" and each.key == "destination"]
    return stack([differences(changes, look), *(part for each in stranded for part in _shown(each, "⚠", CARE, look))])


def _taken(taken: ProfileTaken, look: Look, *, dry_run: bool, elsewhere: bool, follows: bool) -> list[RenderableType]:
    done = "can be imported" if dry_run else "imported"
    if taken.unchanged:
        done = "already in force, nothing to change" if dry_run else "already in force, nothing changed"
    parts: list[RenderableType] = [Text(f"✔ {taken.name} ({taken.id}), version {taken.version}: {done}", style=GOOD)]
    if taken.files:
        parts.append(hanging(" ", f"With {', '.join(file.name for file in taken.files)}."))
    if taken.active:
        parts.append(hanging(" ", f"Images go to {', '.join(taken.destinations)}."))
    elif elsewhere and not dry_run:
        words = f"The box does not serve this site; to serve it: fluxctl site activate {taken.id}"
        if follows:
            words = "The box does not serve this site, as it goes by where it is: fluxctl site location"
        parts.append(hanging(" ", words))
    for finding in taken.findings:
        if finding.level == "warning":
            parts += _shown(finding, "⚠", CARE, look)
    if idle := [finding.key for finding in taken.findings if finding.level == "note"]:
        parts.append(hanging(" ", f"Of no effect yet: {', '.join(idle)}. Why: fluxctl profile validate"))
    return parts


def differences(found: Sequence[ProfileDiff], look: Look) -> RenderableType:
    """Return what differs between profiles, each pair under its own line."""
    parts: list[RenderableType] = []
    for each in found:
        parts += [BLANK] if parts else []
        if not each.old:
            parts.append(Text(f"{each.new} is new:", style=STRONG))
        elif not each.changes:
            parts.append(Text(f"{each.old} and {each.new} say the same."))
            continue
        else:
            parts.append(Text(f"{each.old} → {each.new}:", style=STRONG))
        parts.append(columns(_HEADS[bool(each.old)], [_row(change, new=not each.old) for change in each.changes], look))
    return stack(parts)


_WHAT: Final = Column("What", wrap=True, keep=False, least=16)
_HEADS: Final = {
    True: [Column(""), _WHAT, Column("Before", wrap=True, keep=False), Column("After", wrap=True, keep=False)],
    False: [Column(""), _WHAT, Column("Is", wrap=True, keep=False)],
}


def _row(change: ProfileChange, *, new: bool) -> list[str | Text]:
    sign, style = ("+", GOOD) if change.old is None else ("-", BAD) if change.new is None else ("~", CARE)
    what = ", ".join(part for part in (change.where, change.name) if part)
    values = [NOTHING if value is None else value for value in (change.old, change.new)]
    return [Text(sign, style=style), what, *values[new:]]


def history(found: ProfileHistory, look: Look) -> RenderableType:
    """Return when each version came into force, the newest first, and which cannot be used."""
    now = next((each.version for each in found.versions if each.in_force), None)
    damaged = {each.version for each in found.versions if each.problem}
    heads = [
        Column("When"),
        Column("Version", right=True),
        Column("How"),
        Column("By", keep=False),
        Column("Why", wrap=True, keep=False, least=12),
        Column(""),
    ]
    how = {How.IMPORT: "imported", How.ROLLBACK: "rolled back", How.UNKNOWN: "not written down"}
    rows = []
    for number, each in enumerate(reversed(found.activations)):
        force: str | Text = Text("✔ in force", style=GOOD) if number == 0 and each.version == now else ""
        if each.version in damaged:
            force = Text("✘ damaged", style=BAD)
        rows.append(
            (clock(each.at, look), str(each.version), how[each.how], one_line(each.by), one_line(each.reason), force)
        )
    parts: list[RenderableType] = [columns(heads, rows, look)]
    for kept in found.versions:
        if kept.problem:
            parts += [BLANK, hanging("✘", kept.problem, style=BAD)]
    if found.unreadable:
        lost = f"{count(found.unreadable, 'line')} of the history cannot be read; the audit log has them too."
        parts += [BLANK, hanging("⚠", lost, style=CARE)]
    return stack(parts)


def rolled_back(summary: ProfileSummary) -> RenderableType:
    """Return what a rollback did."""
    first = Text(f"✔ {summary.name} ({summary.id}): version {summary.version} is in force again", style=GOOD)
    goes = f"Images go to {', '.join(summary.destinations)}." if summary.active else "The box does not serve this site."
    return stack([first, hanging(" ", goes)])


def exported(answer: ProfileExported) -> RenderableType:
    """Return what an export wrote."""
    first = in_one_line(f"✔ {answer.profile} version {answer.version} is in {answer.directory}", style=GOOD)
    return stack([first, hanging(" ", ", ".join(answer.files))])
