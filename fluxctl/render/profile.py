"""What is right and wrong with profiles, each place shown as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from capacitord.api.schemas import ProfileFinding, ValidatedProfile
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, hanging, stack
from fluxctl.render.words import clean, count

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
