"""`fluxctl preflight`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.api.preflight import RunPreflight
from capacitord.api.schemas import document
from capacitord.errors import PartlyDone
from fluxctl import exits
from fluxctl.command import single, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import form, print_lines, print_text, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client
    from capacitord.api.preflight import Preflight
    from fluxctl.render.look import Look

app = single()


@verb(
    app,
    "preflight",
    ("fluxctl preflight", "Which patients are still on the scanners of this box."),
    ("fluxctl preflight --watch", "Ask again every few seconds, until there is none."),
    ("fluxctl preflight lakeside --json | jq .clean", "For another site than the one that is active, for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.TRY_AGAIN),
)
def preflight(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site's id. Otherwise the active one.")] = "",
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Ask again and again until all are clean.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Ask every scanner of this box which patients are still on it.

    Before the box opens for another site than the one before, all scanners must say that nobody is on them. The box
    asks by itself then; this asks now, at any time, and lists who is there. It ends with 6 as long as they are not
    clean: also if a scanner cannot be reached, refuses to answer, or answers what cannot be read. That it was asked is
    written in the audit log, without patients.
    """
    client = daemon(ctx)
    request = RunPreflight(site, watch)
    if watch and not (json or jsonl) and sys.stdout.isatty():
        found = _watched(client, request)
    elif watch:
        found = _logged(client, request, as_json=json or jsonl)
    else:
        found = _once(client, request)

        def page(look: Look) -> RenderableType:
            from fluxctl.render.preflight import page as drawn

            return drawn(found, look)

        show("preflight", found, form(json=json, jsonl=jsonl), page)
    raise typer.Exit(exits.DONE if found.clean else exits.REFUSED)


def _answers(client: Client, request: RunPreflight) -> Iterator[Preflight]:
    """Yield what each time came to. Raises `PartlyDone` if it breaks off before they are clean."""
    over = False
    with client.preflight_run(request) as lines:
        for found in lines:
            # Without a scanner to ask there is nothing to wait for.
            over = found.clean or not found.scanners
            yield found
    if request.watch and not over:
        msg = "the scanners are not watched any more: the daemon ended the conversation"
        raise PartlyDone(msg, hint="It may be restarting. Try again in a moment.")


def _once(client: Client, request: RunPreflight) -> Preflight:
    for found in _answers(client, request):
        return found
    msg = "the scanners were not asked: the daemon ended the conversation"
    raise PartlyDone(msg, hint="See why: fluxctl status. Then try again.")


def _watched(client: Client, request: RunPreflight) -> Preflight:
    """Draw one screen until all scanners are clean; then leave the last page standing."""
    from rich.live import Live

    from fluxctl.output import show_page
    from fluxctl.render.look import stdout_look
    from fluxctl.render.page import console, harmless
    from fluxctl.render.preflight import live, page
    from fluxctl.watching import orderly_end

    answers = _answers(client, request)
    found = next(answers)
    if not found.clean:
        screen = console(stdout_look(), sys.stdout)
        drawn = Live(console=screen, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        with orderly_end(), drawn:
            for latest in itertools.chain((found,), answers):
                found = latest
                look = stdout_look()
                screen.width = look.width
                drawn.update(harmless(live(found, look), look), refresh=True)
    show_page(lambda look: page(found, look))
    return found


def _logged(client: Client, request: RunPreflight, *, as_json: bool) -> Preflight:
    """Print one line each time that it is something else, or as JSON every time."""
    from fluxctl.render.preflight import told
    from fluxctl.render.words import clean

    last, said = None, ""
    for last in _answers(client, request):
        if as_json:
            print_lines([document("preflight", last)])
        elif told(last) != said:
            said = told(last)
            print_text(f"{clean(said)}\n")
    if last is None:
        return _once(client, request)
    return last
