"""`fluxctl queue`: what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, DestinationOrAll, StudyArgument
from fluxctl.output import form, show, show_done
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("queue", "What waits, per destination. Where every destination is meant, the word is ALL.")


@verb(
    app,
    "list",
    ("fluxctl queue list", "What waits for each destination, how long already, and what leaves next."),
    ("fluxctl queue list --jsonl | jq -r 'select(.images > 0).destination'", "The destinations that wait."),
    codes=exits.OF_SITE,
)
def list_queue(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """List what waits for each destination, how long, and what is next.

    One row per destination with the ages of what waits for it, then the studies in the order they leave.
    """
    answer = daemon(ctx).queue_list()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.queue import listed

        return listed(answer, look)

    show("queue.list", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "show",
    (
        "fluxctl queue show 3f2a9c",
        "How many of its images are acknowledged, waiting, in doubt, refused or held, and why.",
    ),
    codes=exits.OF_SITE,
)
def show_queued(ctx: typer.Context, study: StudyArgument, json: AsJson = False) -> None:
    """Show one study in the queue, and every image that needs a person."""
    answer = daemon(ctx).queue_show(study)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.study import queued

        return queued(answer, look)

    show("queue.show", answer, form(json=json), page)


@verb(
    app,
    "flush",
    ("fluxctl queue flush pacs", "Try pacs now instead of waiting for its next try."),
    ("fluxctl queue flush ALL", "Try every destination now."),
    codes=exits.OF_SITE,
)
def flush(ctx: typer.Context, destination: DestinationOrAll, json: AsJson = False) -> None:
    """Try a destination now, whatever its next try is."""
    show_done("queue.flush", daemon(ctx).queue_flush(destination), json=json)


@verb(
    app,
    "pause",
    ("fluxctl queue pause backup", "Send nothing to backup until it is resumed; images go on being received."),
    codes=exits.OF_SITE,
)
def pause(ctx: typer.Context, destination: DestinationOrAll, json: AsJson = False) -> None:
    """Stop sending to a destination. Images wait for it; nothing is lost."""
    show_done("queue.pause", daemon(ctx).queue_pause(destination), json=json)


@verb(
    app,
    "resume",
    ("fluxctl queue resume backup", "Go on sending to backup."),
    codes=exits.OF_SITE,
)
def resume(ctx: typer.Context, destination: DestinationOrAll, json: AsJson = False) -> None:
    """Go on sending to a destination that was paused."""
    show_done("queue.resume", daemon(ctx).queue_resume(destination), json=json)
