"""The command `capacitord`: run the daemon, or check its configuration."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from capacitord import __version__
from capacitord.config import box as box_format
from capacitord.config.box import DEFAULT_FILE, Box
from capacitord.errors import CapacitordError
from capacitord.link import logs, secrecy
from capacitord.supervisor.supervisor import Supervisor

_log = logging.getLogger(__name__)
_LONGEST_PASSPHRASE: Final = 4096
_THREADS: Final = 16
"""For what blocks on the disk or the user database; a few that are slow must not make the others wait."""

app = typer.Typer(
    rich_markup_mode=None,
    name="capacitord",
    help="The daemon of a DICOM store-and-forward box. People talk to it with fluxctl.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"capacitord {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Option(help=f"The configuration; {DEFAULT_FILE} if that exists.", show_default=False)
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="The folder that holds everything, instead of [box] state.")
    ] = None,
    socket: Annotated[Path | None, typer.Option(help="The control socket, instead of [control] socket.")] = None,
    storage_port: Annotated[
        int | None,
        typer.Option(help="The storage port, instead of [storage] port; 0 takes a free one.", min=0, max=65535),
    ] = None,
    passphrase_stdin: Annotated[
        bool, typer.Option("--passphrase-stdin", help="Unlock the box key with the first line of standard input.")
    ] = False,
) -> None:
    """Serve in the foreground until SIGTERM."""
    os.umask(0o077)
    # A core dump would hold keys and images.
    secrecy.leave_no_dump()
    secrecy.pass_no_capability_on()
    box = _overridden(_load(config), state=state, socket=socket, storage_port=storage_port)
    logs.set_up(box.log.level)
    passphrase = _first_line() if passphrase_stdin else None
    asyncio.run(serve(Supervisor(box), passphrase))


@app.command()
def check_config(file: Annotated[Path, typer.Argument(help="The configuration to check.")]) -> None:
    """Say all that is wrong with a configuration; exit 7 if anything is."""
    _, problems = box_format.check(box_format.read_text(file), str(file))
    for problem in problems:
        typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(7)
    typer.echo(f"{file} is valid")


async def serve(supervisor: Supervisor, passphrase: str | None = None) -> None:
    """Run a supervisor until SIGTERM or SIGINT; a second one does not wait for what is open."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="disk"))
    stop = asyncio.Event()

    def end() -> None:
        if stop.is_set():
            _log.warning("told to stop again: not waiting any longer")
            supervisor.hurry()
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, end)
    loop.add_signal_handler(signal.SIGHUP, lambda: _log.warning("SIGHUP changes nothing: restart to read files anew"))
    await supervisor.run(stop, passphrase)


def main() -> None:
    """Run the command line; every error is said in words and has its exit code."""
    try:
        app()
    except CapacitordError as error:
        _say(error)
        sys.exit(error.exit_code)
    except ExceptionGroup as several:
        # A task of the daemon failed and ended the others.
        known = several.subgroup(CapacitordError)
        if known is None:
            raise
        first = _first(known)
        _say(first)
        sys.exit(first.exit_code)


def _first(group: ExceptionGroup[CapacitordError]) -> CapacitordError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _load(config: Path | None) -> Box:
    if config is None and not DEFAULT_FILE.exists():
        return Box()
    return box_format.load(config or DEFAULT_FILE)


def _overridden(box: Box, *, state: Path | None, socket: Path | None, storage_port: int | None) -> Box:
    changes: dict[str, Any] = {}
    if state is not None:
        changes["box"] = box.box.model_copy(update={"state": str(state.absolute())})
    if socket is not None:
        changes["control"] = box.control.model_copy(update={"socket": str(socket.absolute())})
    if storage_port is not None:
        changes["storage"] = box.storage.model_copy(update={"port": storage_port})
    return box.model_copy(update=changes)


def _first_line() -> str:
    return sys.stdin.readline(_LONGEST_PASSPHRASE).removesuffix("\n")


def _say(error: CapacitordError) -> None:
    about = f"{error.where}: " if error.where else ""
    lines = [f"capacitord: {about}{error.message}", *(f"  {line}" for line in error.candidates)]
    if error.hint:
        lines.append(f"  {error.hint}")
    typer.echo("\n".join(lines), err=True)
