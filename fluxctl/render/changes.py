"""Attributes that were changed: what was there before and what is there after, one below the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from capacitord.api.trial import Changed, Skipped
from fluxctl.render.look import Look
from fluxctl.render.page import CARE, QUIET, STRONG, hanging
from fluxctl.render.words import clean

NOT_THERE, REMOVED, EMPTY = "(not there)", "(removed)", '""'
MOST_CHANGES: Final = 12
"""Changes by one operation that are shown, unless all are asked for."""
_ODD: Final = frozenset("13579BDF")
_LEAD, _GAP, _TO = " " * 8, "  ", " → "


def changes(
    found: Sequence[Changed], skipped: Sequence[Skipped], look: Look, *, everything: bool
) -> list[RenderableType]:
    """Return changes under what made them, and what was skipped; with `everything` all of them, however many."""
    parts: list[RenderableType] = []
    for (transform, operation), run in itertools.groupby(found, lambda each: (each.transform, each.operation)):
        alike = list(run)
        shown = alike if everything or len(alike) <= MOST_CHANGES else sorted(alike, key=_weight)[:MOST_CHANGES]
        parts.append(Text(f"      {_headed(operation, transform)}", style=QUIET))
        parts += _rows(shown, look)
        if len(shown) < len(alike):
            parts.append(Text(f"        … and {len(alike) - len(shown)} more: --changes", style=QUIET))
    for skip in skipped:
        words = f"{skip.operation} {skip.attribute}, by {skip.transform}, was skipped: {skip.reason}"
        parts.append(hanging("      ⚠", words, style=CARE))
    return parts


def _weight(change: Changed) -> tuple[bool, bool]:
    """Return what is to be seen first: who the patient is, and last what is private."""
    is_private = change.tag.partition(",")[0][-1:] in _ODD
    return is_private, not change.tag.startswith("(0010,")


def _headed(operation: str, transform: str) -> str:
    return f"{operation}, by {transform}" if transform else operation


def _rows(found: Sequence[Changed], look: Look) -> Iterable[Text]:
    """Yield changes one below the other; what does not fit in a line takes two."""
    room = look.width - len(_LEAD) - len(_GAP) - len(_TO)
    rows = [(_named(each), _before(each), _after(each)) for each in found]
    name = max((cell_len(row[0]) for row in rows if cell_len("".join(row)) <= room), default=0)
    before = max((cell_len(row[1]) for row in rows if name + cell_len(row[1] + row[2]) <= room), default=0)
    for change, row in zip(found, rows, strict=True):
        if cell_len(row[0]) <= name and cell_len(row[1]) <= before and name + before + cell_len(row[2]) <= room:
            yield _row(f"{set_cell_size(row[0], name)}{_GAP}", set_cell_size(row[1], before), row[2], change)
        else:
            old = _fitted(row[1], max(room // 2, room - cell_len(row[2])))
            lead = f"{_fitted(row[0], look.width - len(_LEAD))}\n{_LEAD}{_GAP}"
            yield _row(lead, old, _fitted(row[2], room - cell_len(old)), change)


def _row(lead: str, old: str, new: str, change: Changed) -> Text:
    return Text.assemble(
        f"{_LEAD}{lead}",
        (old, QUIET if change.before is None else ""),
        _TO,
        (new, QUIET if change.after is None else STRONG),
        no_wrap=True,
        overflow="crop",
    )


def _named(change: Changed) -> str:
    return change.name if change.tag == change.name or "[" in change.tag else f"{change.tag} {change.name}"


def _before(change: Changed) -> str:
    return NOT_THERE if change.before is None else one_line(change.before) or EMPTY


def _after(change: Changed) -> str:
    return REMOVED if change.after is None else one_line(change.after) or EMPTY


def one_line(value: str) -> str:
    """Return a value in one line, with nothing in it that steers a terminal."""
    return clean(" ".join(value.split())) if "\n" in value or "\r" in value else clean(value)


def _fitted(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
