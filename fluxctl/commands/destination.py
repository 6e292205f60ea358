"""`fluxctl destination`: where images go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from capacitord.api.messages import ALL, Echo
from capacitord.api.schemas import EchoList
from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, DestinationOrAll
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("destination", "Where the images of the site go, and whether it answers.")


@verb(
    app,
    "list",
    ("fluxctl destination list", "Each destination with its address, what it took, and what it does now."),
    codes=exits.OF_SITE,
)
def list_destinations(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """List the destinations of the site."""
    answer = daemon(ctx).destination_list()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.destination import listed

        return listed(answer, look)

    show("destination.list", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "echo",
    ("fluxctl destination echo pacs", "C-ECHO pacs; show how long connecting, associating and the answer took."),
    ("fluxctl destination echo ALL", "C-ECHO every destination, one after the other."),
    codes=(*exits.OF_SITE, exits.PARTLY),
)
def echo(ctx: typer.Context, destination: DestinationOrAll, json: AsJson = False, jsonl: AsLines = False) -> None:
    """Ask a destination whether it is there (C-ECHO).

    Connects and associates as delivery would, with the same names and time-outs (PS3.7 section 9.1.5).
    Ends with 1 if none answers, and with 8 if some do.
    """
    client = daemon(ctx)
    names = [item.name for item in client.destination_list().destinations] if destination == ALL else [destination]
    answer = EchoList(echoes=tuple(client.destination_echo(name) for name in names))

    def page(look: Look) -> RenderableType:
        from fluxctl.render.destination import echoed

        return echoed(answer.echoes, look)

    show("destination.echo", answer, form(json=json, jsonl=jsonl), page)
    raise typer.Exit(verdict(answer.echoes))


def verdict(echoes: tuple[Echo, ...]) -> int:
    """Return the exit code of these answers."""
    failed = sum(not echo.ok for echo in echoes)
    if not failed:
        return exits.DONE
    return exits.FAILED if failed == len(echoes) else exits.PARTLY
