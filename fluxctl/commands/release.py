"""`fluxctl release`."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxctl import exits
from fluxctl.command import single, verb
from fluxctl.options import AsJson, Operator, Reason, StudyArgument, Yes
from fluxctl.output import show_done
from fluxctl.session import daemon

app = single()


@verb(
    app,
    "release",
    ("fluxctl release 3f2a9c", "Show the study and its candidates, and ask for everything that is needed."),
    ("fluxctl release 3f2a9c --to pacs --match 5be10c77", "As the study of that worklist entry; ask for the reason."),
    (
        "fluxctl release 3f2a9c --to pacs --reason 'unscheduled trauma' --yes",
        "From a script: as it is, without asking.",
    ),
    codes=exits.OF_SITE,
)
def release(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    to: Annotated[
        list[str], typer.Option("--to", metavar="DEST", help="To this destination; may be given several times.")
    ] = [],  # noqa: B006 - Typer reads it, nobody changes it
    match: Annotated[
        str | None,
        typer.Option("--match", metavar="ENTRY", help="As the study of this worklist entry: its patient and order."),
    ] = None,
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Send a study that is held, on purpose, to destinations of this site.

    At a terminal it shows the study and the worklist entries that come nearest, and asks for what is not given; it
    ends with a confirmation that says who goes where. From a script it takes --to, --reason and --yes.

    With --match the patient and the order of a worklist entry are written into all that is sent of the study, and what
    the images said before is kept in them (Original Attributes Sequence). On this box they stay as they were received.

    The confirmation names the patients of the images that are held. From a script, images of several patients are not
    released, and those of another one than the rest of the study with --match only.

    A study is released once. Whoever is second is told who was first.
    """
    from capacitord.api.review import Release
    from fluxctl import releasing

    if match is not None and not match.strip():
        msg = "--match is empty. Name an entry as fluxctl worklist list has it, or leave --match out."
        raise typer.BadParameter(msg)
    client = daemon(ctx)
    given = releasing.Given(tuple(to), reason, match)
    short, chosen = releasing.settled(client, study, given, yes=yes, json=json)
    request = Release(
        short,
        chosen.to,
        chosen.reason,
        chosen.match,
        operator,
        mixed=chosen.images is not None,
        images=chosen.images,
        whose=chosen.whose,
    )
    show_done("release", client.held_release(request), json=json)
