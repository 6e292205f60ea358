"""`fluxctl resend`."""

from __future__ import annotations

from typing import Annotated

import typer

from capacitord.api import messages as m
from fluxctl import ask, exits
from fluxctl.command import single, verb
from fluxctl.options import AsJson, Operator, Reason, StudyArgument, Yes
from fluxctl.output import show_done
from fluxctl.session import daemon

app = single()


@verb(
    app,
    "resend",
    ("fluxctl resend 3f2a9c", "Send the whole study again, each image where it was to go."),
    ("fluxctl resend 3f2a9c --to pacs --to backup", "Only to these two."),
    ("fluxctl resend 3f2a9c --to pacs --image 0f02ab --yes", "Only this image; do not ask."),
    codes=exits.OF_SITE,
)
def resend(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    to: Annotated[
        list[str], typer.Option("--to", metavar="DEST", help="To this destination; may be given several times.")
    ] = [],  # noqa: B006 - Typer reads it, nobody changes it
    image: Annotated[
        str, typer.Option("--image", metavar="OBJECT", help="Only this image: the beginning of its object id or UID.")
    ] = "",
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Send a study, or one image of it, again.

    Whatever was acknowledged is sent once more. Ordinary retries need no command: the box sends what is not
    acknowledged, for ever. This is for a PACS that lost images it had acknowledged, for what was refused or what this
    box held instead of sending it, once the cause is mended, and for an image that came again with other content:
    `fluxctl study show STUDY --images` shows the object ids.

    Each image goes where it was to go, or with --to to these destinations. What is held because nobody has decided
    where it goes is for `fluxctl release`.
    """
    client = daemon(ctx)
    if not yes:
        found = client.study_show(study).study
        what = f"image {image} of study {found.id}" if image else f"all {found.images} images of study {found.id}"
        where = f"to {' and '.join(to)}" if to else "where it was to go"
        held = f" ({found.held} held)" if found.held and to else ""
        ask.agreed(f"Send {what}{held} again {where}?", yes=False, json=json)
        study = found.id
    request = m.Resend(study=study, destinations=tuple(to), image=image, reason=reason, operator=operator)
    answer = client.study_resend(request)
    show_done("resend", answer, json=json)
