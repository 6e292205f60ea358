"""Where things go, and whether it answers."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import DestinationList, Echo
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, GOOD, QUIET, Column, columns, hanging, stack
from fluxctl.render.status import state, why
from fluxctl.render.words import millis


def listed(found: DestinationList, look: Look) -> RenderableType:
    """Return the destinations as a table, and below it why those that do not send do not."""
    if not found.destinations:
        return Text("No destinations.")
    heads = [
        Column("Destination", keep=False, most=20),
        Column("AE title"),
        Column("Address", keep=False, least=16),
        Column("Delivered", right=True),
        Column("State", keep=False, least=22, wrap=True),
    ]
    rows = [
        (
            item.name,
            item.ae_title,
            f"{item.host}:{item.port}",
            f"{item.delivered_images:,}",
            state(item, look),
        )
        for item in found.destinations
    ]
    notes = [(item.name, why(item)) for item in found.destinations]
    return stack([columns(heads, rows, look), *(hanging(f"  {n}:", note, style=QUIET) for n, note in notes if note)])


def echoed(found: Sequence[Echo], look: Look) -> RenderableType:
    """Return what each C-ECHO came to, with the time of each stage."""
    heads = [
        Column("Destination", keep=False, most=20),
        Column("Answer"),
        Column("Connect", right=True),
        Column("Associate", right=True),
        Column("C-ECHO", right=True),
    ]
    rows = [
        (
            echo.destination,
            Text("✔ answers", style=GOOD) if echo.ok else Text("✘ failed", style=BAD),
            millis(echo.connect_time),
            millis(echo.associate_time),
            millis(echo.echo_time),
        )
        for echo in found
    ]
    notes: list[RenderableType] = []
    for echo in found:
        if not echo.ok:
            notes.append(hanging(f"  {echo.destination}:", echo.reason))
            notes += [hanging("    next:", echo.hint)] if echo.hint else []
    return stack([columns(heads, rows, look), *notes])
