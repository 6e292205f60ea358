"""What waits, how long it has waited, and what leaves next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import QueueList, QueueRow, Study
from fluxctl.render import study
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, stack
from fluxctl.render.status import beside, deferred, halted, standstill
from fluxctl.render.words import NOTHING, one_line, size

_NAMED_TOGETHER: Final = 5
"""How many further studies that are held for the same reason are named."""


def listed(found: QueueList, look: Look) -> RenderableType:
    """Return the queue: a row per destination with its ages, then the studies in the order they leave."""
    if not found.destinations:
        return Text("No destinations.")
    heads = [
        Column("Destination", keep=False, most=20, least=11),
        Column("Images", right=True),
        Column("Size", right=True),
        *(Column(title, right=True) for title in ("<1m", "<10m", "<1h", "<1d", "older")),
        Column("State", keep=False, least=17, wrap=True),
    ]
    rows: list[tuple[str | Text, ...]] = []
    for row in found.destinations:
        ages = (row.ages.minute, row.ages.ten_minutes, row.ages.hour, row.ages.day, row.ages.older)
        waits = size(row.bytes) if row.images else NOTHING
        rows.append(
            (row.destination, f"{row.images:,}", waits, *(f"{n:,}" if n else "·" for n in ages), state(row, look))
        )
    notes = [(row.destination, why(row)) for row in found.destinations]
    parts: list[RenderableType] = [
        columns(heads, rows, look),
        *(hanging(f"  {name}:", note, style=QUIET) for name, note in notes if note),
    ]
    if found.studies:
        parts += [BLANK, Text("In the order they leave", style=STRONG), study.table(found.studies, look)]
    if found.held:
        parts += [BLANK, Text("Held: they go nowhere until you say so", style=STRONG)]
        parts += [hanging(f"  {study_id}", words) for study_id, words in held(found.held)]
    return stack(parts)


def held(studies: Sequence[Study]) -> list[tuple[str, str]]:
    """Return the held studies of each reason: the first one's id, and how many there are, why, and what to do."""
    alike: dict[tuple[str, ...], list[Study]] = {}
    for each in studies:
        alike.setdefault((each.reason, *(why.reason for why in each.held_for)), []).append(each)
    found = []
    for first, *others in alike.values():
        more, unnamed = [each.id for each in others[:_NAMED_TOGETHER]], len(others) - _NAMED_TOGETHER
        more += [f"{unnamed} more"] if unnamed > 0 else []
        also = f"For the same reason: {', '.join(more)}." if more else ""
        steps = (f"Next: {step}" for step in study.next_steps(first))
        found.append((first.id, " ".join(filter(None, (one_line(first.reason), *steps, also)))))
    return found


def state(row: QueueRow, look: Look) -> Text:
    """Return what a destination's queue does, in few words; what needs a person comes after that."""
    needs = []
    needs += [Text(f"✘ {row.refused:,} refused", style=BAD)] if row.refused else []
    needs += [Text(f"⚠ {row.held:,} held back", style=CARE)] if row.held else []
    needs += [Text(f"⚠ {row.elsewhere.images:,} went elsewhere", style=CARE)] if row.elsewhere else []
    now = halted(row, look) if row.named else Text("⚠ not named by the profile", style=CARE)
    if now is None and row.images:
        now = deferred(row, look) if row.reason else Text("▸ sending")
    return beside(now, needs) or Text("✔ empty", style=GOOD)


def why(row: QueueRow) -> str:
    """Return why a queue stands, and what comes next; empty if it moves."""
    return standstill(row.destination, row, "which images, why, and what to do: fluxctl queue show STUDY")
