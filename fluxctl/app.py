"""The program as a Typer app: the options before the command, and the commands by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from capacitord import __version__
from fluxctl.command import CONTEXT, Root
from fluxctl.output import print_text
from fluxctl.session import Session

app = typer.Typer(
    name="fluxctl",
    cls=Root,
    context_settings=dict(CONTEXT),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_text(f"fluxctl {__version__}\n")
        raise typer.Exit


@app.callback()
def fluxctl(
    ctx: typer.Context,
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket", metavar="FILE", help="The control socket. Otherwise CAPACITORD_SOCKET, or the system's."
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version of fluxctl.")
    ] = False,
) -> None:
    """Run a capacitord box: see what it does and why, and steer it."""
    ctx.obj = Session(socket=str(socket) if socket else None)


def command() -> Any:
    """Return the program as a command."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Whatever goes wrong is raised."""
    program = command()
    try:
        with program.make_context("fluxctl", list(arguments)) as ctx:
            program.invoke(ctx)
    except typer.Exit as end:
        return end.exit_code
    return 0
