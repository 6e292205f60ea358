"""The live page: what is known after each event, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import Event, LaggedEvent, NoteEvent, Status, StatusEvent
from fluxctl.render.look import Look
from fluxctl.render.page import BLANK, CARE, QUIET, STRONG, Column, bar, columns, hanging, stack
from fluxctl.render.status import advised, facts, overview, sentence
from fluxctl.render.words import count, rate, size, stamp

NOTES: Final = 6
"""How many of the last events are kept in sight."""
WINDOW: Final = 5.0
"""Seconds over which throughput is averaged."""


@dataclass(frozen=True)
class Picture:
    """What is known now. `lost` says why there is no news, empty while there is."""

    status: Status | None = None
    notes: tuple[NoteEvent, ...] = ()
    missed: int = 0
    lost: str = ""
    received: tuple[tuple[datetime, int], ...] = ()


def after(picture: Picture, event: Event) -> Picture:
    """Return what is known after an event."""
    if isinstance(event, NoteEvent):
        return replace(picture, notes=(*picture.notes, event)[-NOTES:], lost="")
    if isinstance(event, LaggedEvent):
        return replace(picture, missed=picture.missed + event.dropped, lost="")
    now = event.status.now
    received = [(at, done) for at, done in picture.received if (now - at).total_seconds() <= WINDOW]
    if event.status.traffic is not None:
        done = event.status.traffic.bytes_received
        if received and received[-1][1] > done:
            received = []  # it counts from its own start, and it was started again
        received.append((now, done))
    return replace(picture, status=event.status, received=tuple(received), lost="")


def receive_rate(picture: Picture) -> float:
    """Return how many bytes a second came in lately."""
    if len(picture.received) < 2:
        return 0.0
    (first, had), (last, has) = picture.received[0], picture.received[-1]
    seconds = (last - first).total_seconds()
    return (has - had) / seconds if seconds > 0 else 0.0


def page(picture: Picture, look: Look) -> RenderableType:
    """Return the whole page. Without news it claims nothing: what was known last is shown as such."""
    parts: list[RenderableType] = []
    status = picture.status
    if picture.lost:
        parts += [hanging("?", f"UNKNOWN — no news from capacitord: {picture.lost}", style=f"bold {CARE}")]
        parts += [hanging("  next:", "Wait: this goes on by itself. If it does not: fluxctl doctor")]
        if status is not None:
            known_at = f"What was known at {stamp(status.now, look)}:"
            parts += [BLANK, Text(known_at, style=QUIET), BLANK, facts(status, look)]
    elif status is not None:
        parts += [overview(status, look, [("Throughput", Text(throughput(picture)))]), *_transfers(picture, look)]
        parts += [part for item in advised(status) for part in (BLANK, item)]
    if picture.notes:
        parts += [BLANK, Text("Lately", style=STRONG)]
        parts += [hanging(f"  {_time(note.at, look)}", note.message) for note in picture.notes]
    missed = f" · {count(picture.missed, 'event')} missed" if picture.missed else ""
    return stack([*parts, BLANK, Text(f"q quits{missed}", style=QUIET)])


def throughput(picture: Picture) -> str:
    """Return how fast images come in and go out."""
    traffic = picture.status.traffic if picture.status else None
    sending = sum(item.rate for item in traffic.destinations if item.transfers) if traffic else 0.0
    return f"in {rate(receive_rate(picture))}, out {rate(sending)}"


def _transfers(picture: Picture, look: Look) -> list[RenderableType]:
    traffic = picture.status.traffic if picture.status else None
    if traffic is None:
        return []
    rows = [
        (
            item.name,
            transfer.study,
            f"{transfer.image:,} of {transfer.images:,}",
            bar(transfer.sent_bytes / transfer.image_bytes if transfer.image_bytes else 0.0),
            f"{size(transfer.sent_bytes)} of {size(transfer.image_bytes)}",
        )
        for item in traffic.destinations
        for transfer in item.transfers
    ]
    heads = [
        Column("Sending to", keep=False, most=20),
        Column("Study"),
        Column("Image", right=True),
        Column(""),
        Column("", right=True),
    ]
    return [BLANK, columns(heads, rows, look)] if rows else []


def _time(at: datetime, look: Look) -> str:
    return f"{at.astimezone(look.zone):%H:%M:%S}"


def told(event: Event, last: str, look: Look) -> tuple[str, str]:
    """Return an event as one line for a log, empty if it says nothing new, and the sentence now in force.

    `last` is the sentence that was in force before.
    """
    at = stamp(event.at, look)
    if isinstance(event, NoteEvent):
        return f"{at}  {event.reference}  {event.message}", last
    if isinstance(event, LaggedEvent):
        return f"{at}  lagged  {count(event.dropped, 'event')} missed", last
    now = _sentence(event)
    return ("" if now == last else f"{at}  status  {now}"), now


def _sentence(event: StatusEvent) -> str:
    return sentence(event.status.gate, event.status.site)
