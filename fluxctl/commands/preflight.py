"""`fluxctl preflight`."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from capacitord.api.preflight import RunPreflight
from capacitord.api.schemas import document
from capacitord.errors import PartlyDone, TryAgain, Unreachable
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
_OPENING: Final = 3.0
"""Seconds in which the box opens when its scanners are clean, if nothing else keeps it shut."""
_AGAIN: Final = 0.2


@verb(
    app,
    "preflight",
    ("fluxctl preflight", "Which patients are still on the scanners of this box."),
    ("fluxctl preflight --watch", "Ask again every few seconds, until there is none."),
    ("fluxctl preflight lakeside --json | jq .clean", "For another site than the one that is active, for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.PARTLY, exits.TRY_AGAIN),
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
    clean: also if a scanner cannot be reached, refuses to answer, or answers what cannot be read. With --watch it goes
    on through restarts of the daemon, and says in the end whether the box has opened. Not to a terminal, it then writes
    a line each time that something changes, without patients, as logs are kept; --json has them. It takes the right to
    operate, as it shows who is on a scanner. That it was asked is written in the audit log, without patients.
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
    if watch and found.clean and not (json or jsonl):
        _tell_whether_open(client, found.site)
    raise typer.Exit(exits.DONE if found.clean else exits.REFUSED)


def _once(client: Client, request: RunPreflight) -> Preflight:
    with client.preflight_run(request) as lines:
        for found in lines:
            return found
    msg = "the scanners were not asked: the daemon ended the conversation"
    raise PartlyDone(msg, hint="See why: fluxctl status. Then try again.")


def _until_clean(client: Client, request: RunPreflight) -> Iterator[tuple[Preflight, str]]:
    """Yield what each time came to, the last one clean; where nobody answers, the one before and why.

    Raises what comes of the first attempt, and `PartlyDone` if that ends without an answer.
    """
    from fluxctl.watching import ENDED, PAUSES

    latest, attempt = None, 0
    while True:
        reason = ENDED
        try:
            with client.preflight_run(request) as lines:
                for latest in lines:
                    attempt = 0
                    yield latest, ""
                    # Without a scanner to ask there is nothing to wait for.
                    if latest.clean or not latest.scanners:
                        return
        except (Unreachable, PartlyDone, TryAgain) as error:
            if latest is None:
                raise
            reason = error.message
        if latest is None:
            latest = _once(client, request)
        yield latest, reason
        time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        attempt += 1


def _watched(client: Client, request: RunPreflight) -> Preflight:
    """Draw one screen until all scanners are clean; then leave the last page standing."""
    from rich.live import Live

    from fluxctl.output import show_page
    from fluxctl.render.look import stdout_look
    from fluxctl.render.page import console, harmless
    from fluxctl.render.preflight import live, page
    from fluxctl.watching import orderly_end

    answers = _until_clean(client, request)
    first = next(answers)
    found, _ = first
    if not found.clean:
        screen = console(stdout_look(), sys.stdout)
        drawn = Live(console=screen, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        with orderly_end(), drawn:
            for found, lost in itertools.chain((first,), answers):
                look = stdout_look()
                screen.width = look.width
                drawn.update(harmless(live(found, look, lost), look), refresh=True)
    show_page(lambda look: page(found, look))
    return found


def _logged(client: Client, request: RunPreflight, *, as_json: bool) -> Preflight:
    """Print one line each time that it is something else, or as JSON every time."""
    from fluxctl.render.preflight import away, told
    from fluxctl.render.words import clean

    said = ""
    for found, lost in _until_clean(client, request):
        words = away(lost) if lost else told(found)
        if as_json and not lost:
            print_lines([document("preflight", found)])
        elif not as_json and words != said:
            said = words
            print_text(f"{clean(said)}\n")
    return found


def _tell_whether_open(client: Client, site: str) -> None:
    """Print whether a scanner may send, as soon as it may or that takes too long; nothing of a site not active."""
    from fluxctl.render.status import sentence
    from fluxctl.render.words import clean

    until = time.monotonic() + _OPENING
    while (status := client.status()).site is not None and status.site.id == site:
        if status.gate.may_scan or time.monotonic() > until:
            print_text(f"{clean(sentence(status.gate, status.site))}\n")
            return
        time.sleep(_AGAIN)
