"""`fluxctl watch`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.api.schemas import document
from fluxctl.command import single, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import print_lines, print_text, say
from fluxctl.session import daemon
from fluxctl.watching import Lost, News, watch_live

if TYPE_CHECKING:
    from capacitord.api.client import Client
    from capacitord.api.messages import Event

app = single()


@verb(
    app,
    "watch",
    ("fluxctl watch", "The page of fluxctl status, live; q quits."),
    ("fluxctl watch | tee today.log", "Not at a terminal: one line per event."),
    ("fluxctl watch --jsonl | jq -c 'select(.kind == \"note\")'", "Events for a script, one JSON document per line."),
)
def watch(
    ctx: typer.Context,
    *,
    interval: Annotated[
        float,
        typer.Option(
            "--interval", metavar="SECONDS", min=0.05, max=3600, help="The least time between two looks at the status."
        ),
    ] = 0.5,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Watch the box: status, transfers with progress, and what happens.

    If the daemon goes away, this says so, waits for it, and goes on. q or Ctrl-C quits. A stream has no end, so
    --json is the same as --jsonl.
    """
    client = daemon(ctx)
    if json or jsonl:
        print_lines(document("watch", event) for event in _events(client, interval))
    elif sys.stdout.isatty():
        watch_live(client, interval)
    else:
        _log(client, interval)


def _events(client: Client, interval: float) -> Iterator[Event]:
    for item in News(client, interval):
        if isinstance(item, Lost):
            say(f"No news from capacitord: {item.reason}. Trying again.")
        else:
            yield item


def _log(client: Client, interval: float) -> None:
    from fluxctl.render.look import stdout_look
    from fluxctl.render.watch import told
    from fluxctl.render.words import clean

    sentence = ""
    for event in _events(client, interval):
        line, sentence = told(event, sentence, stdout_look())
        if line:
            print_text(f"{clean(line)}\n")
