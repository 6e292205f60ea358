"""The few shapes every page is made of: a grid of columns, a block of labelled lines, a bar."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import IO, Final, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, Group, JustifyMethod, OverflowMethod, RenderableType
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from fluxctl.render.look import Look
from fluxctl.render.words import NOTHING, clean, plain

GOOD, CARE, BAD, QUIET, STRONG = "green", "yellow", "bold red", "dim", "bold"
BLANK = Text("")
GAP = 2
NOTHING_BELOW: Final[Mapping[int, str]] = MappingProxyType({})
_DELIMITERS = frozenset(" .^,=\\/")


class Column(NamedTuple):
    """A column: `keep` columns are never cut, others down to `least`; `right` for numbers; at most `most` wide.

    What does not fit is cut at its end; with `tail` at its beginning, for what differs at the end.
    With `wrap` it is a list, and goes on in the next line instead; with `fold` any text does, that many characters
    further in. One that is `spare` is left out where room is short and nothing is in it.
    """

    title: str
    keep: bool = True
    right: bool = False
    most: int | None = None
    least: int = 8
    tail: bool = False
    wrap: bool = False
    spare: bool = False
    fold: int | None = None


def columns(
    heads: Sequence[Column], rows: Sequence[Sequence[str | Text]], look: Look, below: Mapping[int, str] = NOTHING_BELOW
) -> RenderableType:
    """Return rows under their heads, as narrow as they can be; what does not fit is cut, and "…" says so.

    `below` has a text for some rows, by their places, that stands in lines of its own after them and is never cut.
    """
    widths = [max([len(head.title), *(cell_len(str(row[place])) for row in rows)]) for place, head in enumerate(heads)]
    if sum(min(width, head.most or width) + GAP for head, width in zip(heads, widths, strict=True)) - GAP > look.width:
        kept = [place for place, head in enumerate(heads) if not head.spare or _says_something(rows, place)]
        heads, widths = [heads[place] for place in kept], [widths[place] for place in kept]
        rows = [[row[place] for place in kept] for row in rows]
    room = fitted(heads, widths, look.width - GAP * (len(heads) - 1))
    table = _table(heads, room)
    parts: list[RenderableType] = [table]
    for place, row in enumerate(rows):
        cells = zip(heads, room, row, strict=True)
        table.add_row(*(_fitting(head, width, cell) for head, width, cell in cells))
        if place in below:
            table = _table(heads, room, show_heads=False)
            parts += [hanging(" " * (room[0] + GAP - 1), below[place]), table]
    return parts[0] if len(parts) == 1 else stack(parts)


def _table(heads: Sequence[Column], room: Sequence[int], *, show_heads: bool = True) -> Table:
    """Return a table without rows; all of the same heads and `room` stand exactly one below the other."""
    table = Table(
        box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style=QUIET, show_edge=False, show_header=show_heads
    )
    for head, width in zip(heads, room, strict=True):
        justify: JustifyMethod = "right" if head.right else "left"
        overflow: OverflowMethod = "fold" if head.wrap else "ellipsis"
        table.add_column(head.title, justify=justify, no_wrap=not head.wrap, overflow=overflow, width=width)
    return table


def _says_something(rows: Sequence[Sequence[str | Text]], place: int) -> bool:
    return any(str(row[place]) not in {"", "·", NOTHING} for row in rows)


def _fitting(head: Column, width: int, cell: str | Text) -> str | Text:
    if head.wrap:
        return _wrapped(cell if isinstance(cell, Text) else Text(cell), width)
    if head.fold is not None:
        return Text(folded(str(cell), width, head.fold), style=cell.style if isinstance(cell, Text) else "")
    return _end(str(cell), width) if head.tail else cell


def folded(text: str, width: int, hang: int = 0) -> str:
    """Return a text in lines of at most `width` characters, all but the first `hang` further in.

    A line ends after a space or a delimiter, or before a capital within a word, where there is one in its second half.
    """
    width, lines = max(width, hang + 4), []
    while cell_len(text) > width:
        most = next(end for end in range(len(text), 0, -1) if cell_len(text[:end]) <= width)
        ends = (end for end in range(most, max(most // 2, hang), -1) if _may_end(text[end - 1], text[end]))
        end = next(ends, most)
        lines.append(text[:end].rstrip())
        text = " " * hang + text[end:].lstrip()
    return "\n".join([*lines, text])


def _may_end(last: str, following: str) -> bool:
    return last in _DELIMITERS or (last.islower() and following.isupper())


def _wrapped(text: Text, width: int) -> Text:
    """Return a list that goes on in the next line after a comma; what has none and is too long is left to the table."""
    lines: list[Text] = []
    for piece in text.split(", ", include_separator=True):
        if lines and lines[-1].cell_len + len(str(piece).rstrip()) <= width:
            lines[-1].append_text(piece)
        else:
            lines.append(piece)
    return Text("\n").join(lines)


def _end(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"…{text[1 - width :]}"


def fitted(heads: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the columns' widths in `room` characters: the widest that may be cut gives way first."""
    found = [min(width, head.most or width) for head, width in zip(heads, widths, strict=True)]
    least = [width if head.keep else min(width, head.least) for head, width in zip(heads, found, strict=True)]
    while sum(found) > room and found != least:
        place = max(range(len(found)), key=lambda index: (found[index] > least[index], found[index]))
        found[place] -= 1
    return found


def labelled(lines: Iterable[tuple[str, RenderableType]], *, width: int = 14) -> RenderableType:
    """Return lines with a label before each; long lines go on under their own start."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=width - 2, style=QUIET, no_wrap=True)
    table.add_column(overflow="fold")
    for label, line in lines:
        table.add_row(label, line)
    return table


def hanging(lead: str, text: str, *, style: str = "") -> RenderableType:
    """Return a text whose further lines start under its own start, not under `lead`."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, style=style)
    table.add_column(overflow="fold", style=style)
    table.add_row(lead, text)
    return table


def bar(share: float, width: int = 20) -> str:
    """Return a share between 0 and 1 as a bar of `width` characters; anything above nothing shows."""
    full = round(min(max(share, 0.0), 1.0) * width)
    if share > 0:
        full = max(full, 1)
    if share < 1:
        full = min(full, width - 1)
    return "█" * full + "░" * (width - full)


def in_one_line(text: str, style: str = "") -> Text:
    """Return a text that stays in one line however narrow the terminal is: a path in it is copied whole."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def stack(parts: Iterable[RenderableType | None]) -> RenderableType:
    """Return parts one below the other; None leaves no gap."""
    return Group(*(part for part in parts if part is not None))


def console(look: Look, file: IO[str] | None = None) -> Console:
    """Return a console that draws for `look` and takes no text for markup; it writes to `file`, or nowhere."""
    return Console(
        file=file or io.StringIO(),
        width=look.width,
        force_terminal=look.color,
        color_system="standard" if look.color else None,
        no_color=not look.color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )


def harmless(page: RenderableType, look: Look) -> Segments:
    """Return a page as segments that only our own styles steer, in letters the terminal has."""
    safe = []
    for segment in console(look).render(page):
        text = clean(segment.text)
        safe.append(Segment(text if look.unicode else plain(text), segment.style))
    return Segments(safe)


def draw(page: RenderableType, look: Look) -> str:
    """Return a page as text, with colours if `look` has them; no line ends in blanks."""
    drawn = []
    for line in Segment.split_lines(harmless(page, look).segments):
        pieces = [piece for piece in line if piece.text]
        while pieces and not pieces[-1].text.strip():
            pieces.pop()
        if pieces:
            pieces[-1] = Segment(pieces[-1].text.rstrip(), pieces[-1].style)
        drawn.append("".join(_paint(piece, look) for piece in pieces))
    return "\n".join(drawn) + "\n" if drawn else ""


def _paint(piece: Segment, look: Look) -> str:
    if not look.color or piece.style is None:
        return piece.text
    return piece.style.render(piece.text, color_system=ColorSystem.STANDARD)
