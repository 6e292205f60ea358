"""`fluxctl worklist`: whom the scanner finds on its list."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.errors import TryAgain
from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client
    from fluxctl.render.look import Look

app = noun(
    "worklist",
    "Whom the scanner finds on its list, and how fresh that is. ENTRY is a short id as the list shows it (any "
    "unambiguous start of it will do), an accession number, or a Study Instance UID.",
)

EntryArgument = Annotated[
    str, typer.Argument(metavar="ENTRY", help="Its short id, its accession number or its Study Instance UID.")
]


@verb(
    app,
    "list",
    ("fluxctl worklist list", "Who is awaited for what, when and where, and how old the list is."),
    ("fluxctl worklist list --vanished", "Also what the source has no more: it is kept, and not served."),
    ("fluxctl worklist list --jsonl | jq -r .accession_number", "One JSON document per entry."),
    codes=exits.OF_SITE,
)
def list_entries(
    ctx: typer.Context,
    vanished: Annotated[bool, typer.Option("--vanished", help="Also what vanished at the source.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """List the worklist as scanners get it, by when the patients are awaited.

    It is answered from what is kept on this box, so it is there when the source is not.
    """
    answer = daemon(ctx).worklist_list(vanished=vanished)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.worklist import listed

        return listed(answer, look)

    show("worklist.list", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "show",
    ("fluxctl worklist show 5be10c77", "All that it says: as it came, and as the scanner gets it."),
    ("fluxctl worklist show 5be10c77 --all", "Also the attributes that have no value."),
    ("fluxctl worklist show A-1001 --json", "The same by accession number, as one JSON document."),
    codes=exits.OF_SITE,
)
def show_entry(
    ctx: typer.Context,
    entry: EntryArgument,
    everything: Annotated[bool, typer.Option("--all", help="Also the attributes that have no value.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Show one entry as it came and as it is served, side by side.

    What differs comes first and is marked, with the part of the profile that changed it. Attributes that have no value
    on either side are counted, and shown with --all.
    """
    answer = daemon(ctx).worklist_show(entry)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.worklist import shown

        return shown(answer, look, everything=everything)

    show("worklist.show", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "refresh",
    ("fluxctl worklist refresh", "Ask the source now, and say what is new, what vanished and what changed."),
    codes=exits.OF_SITE,
)
def refresh(ctx: typer.Context, json: AsJson = False) -> None:
    """Ask the source for its list now, and wait for it.

    If it does not send its whole list the one before goes on being served, and this ends with 75.
    """
    from fluxctl.progress import Waiting

    client = daemon(ctx)
    label, most = _whom(client) if sys.stderr.isatty() and not json else ("", 0.0)
    with Waiting(label, most) if label else contextlib.nullcontext():
        answer = client.worklist_refresh()
    if json and not answer.ok:
        raise TryAgain(
            f"the source did not send its whole list: {answer.reason}",
            where=answer.source,
            hint="The list before goes on being served; see how old that is: fluxctl worklist list",
        )

    def page(look: Look) -> RenderableType:
        from fluxctl.render.worklist import refreshed

        return refreshed(answer, look)

    show("worklist.refresh", answer, form(json=json), page)
    raise typer.Exit(exits.DONE if answer.ok else exits.TRY_AGAIN)


def _whom(client: Client) -> tuple[str, float]:
    """Return whom the box is about to ask, and how many seconds of silence it is given; no words without one."""
    traffic = client.status().traffic
    known = traffic.worklist if traffic is not None else None
    return ("", 0.0) if known is None else (f"Asking {known.ae_title}", known.patience)
