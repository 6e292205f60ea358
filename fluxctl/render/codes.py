"""What a code of a de-identified copy stands for."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.codes import Resolution, Resolved
from fluxctl.render.look import Look
from fluxctl.render.page import BLANK, CARE, STRONG, hanging, labelled, stack
from fluxctl.render.study import head


def resolved(found: Resolved, look: Look) -> RenderableType:
    """Return each study that a code stands for, and what it stands for there."""
    parts: list[RenderableType] = []
    for each in found.resolutions:
        parts += [*([BLANK] if parts else []), _one(each, look)]
    if found.left_off:
        parts += [BLANK, hanging("⚠", f"{found.left_off:,} more, which came before these.", style=CARE)]
    return stack(parts)


def _one(found: Resolution, look: Look) -> RenderableType:
    kinds = Text(f"{', '.join(found.kinds)} at {found.destination}", style=STRONG)
    known = "the code was sent there with this study" if found.was_sent else "made again from what this box knows"
    rows = [("Stands for", kinds), ("Known by", Text(known))]
    if found.uid:
        rows.append(("Original UID", Text(found.uid)))
    return stack([labelled(rows), head(found.study, look)])
