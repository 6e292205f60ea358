"""`fluxctl version`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import typer

from capacitord import __version__
from capacitord.api.schemas import Version
from capacitord.errors import CapacitordError
from fluxctl.command import single, verb
from fluxctl.options import AsJson
from fluxctl.output import form, show
from fluxctl.session import daemon, session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = single()


@verb(
    app,
    "version",
    ("fluxctl version", "Both ends; a difference means that the daemon was not restarted after an upgrade."),
    asks=False,
)
def version(ctx: typer.Context, json: AsJson = False) -> None:
    """Show the versions of fluxctl and of the daemon.

    A daemon that cannot be reached is no failure here.
    """
    found: str | None = None
    reason = ""
    try:
        found = daemon(ctx).status().version
    except CapacitordError as error:
        reason = error.message
    answer = Version(
        fluxctl=__version__,
        python=platform.python_version(),
        socket=str(session(ctx).socket_path),
        daemon=found,
        reason=reason,
    )

    def page(_look: Look) -> RenderableType:
        from fluxctl.render import box

        return box.version(answer)

    show("version", answer, form(json=json), page)
