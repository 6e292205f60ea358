"""`fluxctl status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from capacitord.errors import Unreachable
from fluxctl.command import single, verb
from fluxctl.options import AsJson
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = single()


@verb(
    app,
    "status",
    ("fluxctl status", "One screen; its first line says whether the scanner may send now."),
    ("fluxctl status --json | jq .gate.may_scan", "The same for a script: true or false."),
)
def status(ctx: typer.Context, json: AsJson = False) -> None:
    """Whether the scanner may send now, and everything that waits.

    The first line answers the question of the person at the scanner. It never says READY while images are refused:
    if the disk fails, it says so within seconds, and READY again by itself once the disk works; where no daemon
    answers it says DO NOT SCAN. Below it: the site, the
    storage port, what is being received and what was refused, each destination with what waits for it, why, and when it
    is tried again, the disk, and every warning with its next step. The exit code is 0 whenever there was an answer; a
    script reads .gate.may_scan.
    """
    try:
        answer = daemon(ctx).status()
    except Unreachable as error:
        # Nobody takes images in, and this line is read by the person at the scanner.
        error.message = f"DO NOT SCAN — {error.message}"
        raise

    def page(look: Look) -> RenderableType:
        from fluxctl.render import status as render

        return render.page(answer, look)

    show("status", answer, form(json=json), page)
