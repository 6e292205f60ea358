"""How the demonstration looks: headings, facts, three bars, and the table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from capacitord.api.demo import Demo, DemoRow
from capacitord.api.messages import DestinationStatus
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, bar, columns, hanging, stack
from fluxctl.render.status import state
from fluxctl.render.words import NOTHING, count, duration, size

STYLE: Final = {"✔": GOOD, "⚠": CARE, "✘": BAD}


def opening(keep: Path | None) -> RenderableType:
    """Return the first lines; `keep` is the folder that is left there."""
    rest = "Nothing of it stays." if keep is None else f"It stays in {keep}."
    return stack(
        [
            Text("fluxctl demo", style=STRONG),
            Text(f"A scanner, a box, a link that breaks and two PACS, all on this machine. {rest}"),
        ]
    )


def heading(number: int, title: str, sentence: str) -> RenderableType:
    """Return how an act begins."""
    return stack([BLANK, Text(f"{number}  {title}", style=STRONG), hanging("  ", sentence)])


def fact(mark: str, text: str, command: str) -> RenderableType:
    """Return a fact under its mark, and the command that shows it."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True, style=STYLE.get(mark, ""))
    line.add_column(overflow="fold")
    words = Text(text)
    if command:
        words.append(f"  ({command})", style=QUIET)
    line.add_row(f"   {mark}", words)
    return line


def progress(safe: int, total: int, found: Sequence[DestinationStatus], look: Look) -> RenderableType:
    """Return how far the scanner and each destination are, as bars of `total` images."""
    heads = [Column(""), Column("", least=8), Column("", right=True), Column("", keep=False, least=20)]
    scanned = Text("answered Success") if safe else Text("")
    rows = [("   scanner", bar(safe / total), f"{safe:,} of {total:,}", scanned)]
    rows += [
        (
            f"   {item.name}",
            bar(item.delivered_images / total),
            f"{item.delivered_images:,} of {total:,}",
            state(item, look),
        )
        for item in found
    ]
    return stack([columns(heads, rows, look), BLANK])


def result(found: Demo, look: Look) -> RenderableType:
    """Return the table of what arrived where, and what follows from it."""
    places = [place.place for place in found.rows[0].places] if found.rows else []
    heads = [
        Column("   Images", keep=False, least=16),
        Column("Scanner", right=True),
        *(Column(place, right=True) for place in places),
        Column("Right"),
    ]
    total = [sum(row.places[n].images for row in found.rows) for n in range(len(places))]
    rows: list[list[str | Text]] = [_row(row) for row in found.rows]
    rows.append(
        [
            Text("   All", style=STRONG),
            *(Text(f"{number:,}", style=STRONG) for number in (found.images, *total)),
            _mark(all(place.right for row in found.rows for place in row.places)),
        ]
    )
    lines: list[RenderableType] = [BLANK, columns(heads, rows, look), BLANK]
    if found.ok:
        lines.append(Text(f"   ✔ {found.message}", style=f"bold {GOOD}"))
    else:
        lines.append(Text(f"   ✘ {found.message}", style=BAD))
        lines += [hanging("     ·", text) for text in found.differences]
    what = f"{count(found.studies, 'study', 'studies')}, {count(found.images, 'image')}, {size(found.bytes)}"
    return stack([*lines, BLANK, Text(f"   {what}, in {duration(found.seconds)}.", style=QUIET)])


def _row(row: DemoRow) -> list[str | Text]:
    return [
        f"   {row.sop_class.removesuffix(' Storage')}",
        f"{row.images:,}",
        *(f"{place.images:,}" if place.images else NOTHING for place in row.places),
        _mark(all(place.right for place in row.places)),
    ]


def _mark(right: bool) -> Text:
    return Text("✔", style=GOOD) if right else Text("✘", style=BAD)
