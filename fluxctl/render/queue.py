"""What waits, how long it has waited, and what leaves next."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import CircuitState, QueueList, QueueRow
from fluxctl.render import study
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, count, joined, size, until


def listed(found: QueueList, look: Look) -> RenderableType:
    """Return the queue: a row per destination with its ages, then the studies in the order they leave."""
    if not found.destinations:
        return Text("No destinations.")
    heads = [
        Column("Destination", keep=False, most=20),
        Column("Images", right=True),
        Column("Size", right=True),
        *(Column(title, right=True) for title in ("<1 min", "<10 min", "<1 h", "<1 d", "older")),
        Column("State", keep=False),
    ]
    rows: list[tuple[str | Text, ...]] = []
    for row in found.destinations:
        ages = (row.ages.minute, row.ages.ten_minutes, row.ages.hour, row.ages.day, row.ages.older)
        waits = size(row.bytes) if row.images else NOTHING
        rows.append((row.destination, f"{row.images:,}", waits, *(f"{n:,}" if n else "·" for n in ages), state(row)))
    notes = [(row.destination, why(row, look)) for row in found.destinations]
    parts: list[RenderableType] = [
        columns(heads, rows, look),
        *(hanging(f"  {name}:", note, style=QUIET) for name, note in notes if note),
    ]
    if found.studies:
        parts += [BLANK, Text("In the order they leave", style=STRONG), study.table(found.studies, look)]
    return stack(parts)


def state(row: QueueRow) -> Text:
    """Return what a destination's queue does, in few words."""
    if row.refused:
        return Text(f"✘ {row.refused:,} refused", style=BAD)
    if row.paused:
        return Text("⚠ paused", style=CARE)
    if row.circuit is CircuitState.OPEN:
        return Text("✘ not reachable", style=BAD)
    if row.circuit is CircuitState.PROBING:
        return Text("⚠ trying again", style=CARE)
    if not row.images:
        return Text("✔ empty", style=GOOD)
    return Text("⚠ deferred", style=CARE) if row.reason else Text("▸ sending")


def why(row: QueueRow, look: Look) -> str:
    """Return why a queue stands, and what comes next; empty if it moves."""
    parts = [row.reason] if row.reason else []
    if row.paused:
        parts.append(f"go on with: fluxctl queue resume {row.destination}")
    elif row.next_try is not None and row.images and row.reason:
        parts.append(f"next try {until(row.next_try, look)}")
    if row.refused:
        parts.append("which images and why: fluxctl queue show STUDY")
    if row.doubtful:
        parts.append(f"{count(row.doubtful, 'image')} in doubt (sent, answer lost) will be sent again")
    return joined(parts)
