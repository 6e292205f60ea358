"""`fluxctl doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from capacitord import __version__
from capacitord.api import messages as m
from capacitord.api.schemas import Doctor, Verified
from capacitord.errors import CapacitordError, NotPermitted, TryAgain, Unreachable
from fluxctl import exits
from fluxctl.command import single, verb
from fluxctl.options import AsJson, AsLines
from fluxctl.output import form, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client

app = single()


@verb(
    app,
    "doctor",
    ("fluxctl doctor", "Look at daemon, keys, disk, isolation, profile, destinations and scanners."),
    ("fluxctl doctor --verify", "Read every sealed object, too; this takes as long as reading the disk."),
)
def doctor(
    ctx: typer.Context,
    verify: Annotated[bool, typer.Option("--verify", help="Read every sealed object and name the damaged.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Check the box end to end and say what to fix; what the status advises is among it.

    Ends with 1 if something is broken or damaged; warnings alone end with 0. If the daemon cannot be reached, says
    why and ends with 3.
    """
    client = daemon(ctx)
    try:
        read = _read_everything(client) if verify else None
        checks = (*_daemon(client), *client.doctor_check().checks, *(() if read is None else (whole(read),)))
    except (Unreachable, NotPermitted, TryAgain) as error:
        _tell(Doctor(checks=(_broken(error),)), json=json, jsonl=jsonl)
        raise typer.Exit(error.exit_code) from None
    _tell(Doctor(checks=checks, verify=read), json=json, jsonl=jsonl)
    broken = any(check.level is m.Level.FAILURE for check in checks)
    raise typer.Exit(exits.FAILED if broken else exits.DONE)


def _broken(error: CapacitordError) -> m.Check:
    return m.Check(name="daemon", level=m.Level.FAILURE, message=error.message, hint=error.hint)


def _daemon(client: Client) -> tuple[m.Check, ...]:
    found = client.status().version
    if found == __version__:
        return (m.Check(name="daemon", level=m.Level.OK, message=f"capacitord {found} answers"),)
    return (
        m.Check(
            name="daemon",
            level=m.Level.WARNING,
            message=f"capacitord is {found}, and this is fluxctl {__version__}",
            hint="Finish the upgrade: sudo systemctl restart capacitord",
        ),
    )


def whole(read: Verified) -> m.Check:
    """Return what came of reading everything as one check more."""
    if not read.damaged:
        return m.Check(name="sealed objects", level=m.Level.OK, message=f"all {read.images} could be read")
    return m.Check(
        name="sealed objects",
        level=m.Level.FAILURE,
        message=f"{read.damaged} of {read.images} could not be read; the first lines here name them",
        hint="Send these studies from the scanner again, and have the disk looked at (dmesg, SMART).",
    )


def _read_everything(client: Client) -> Verified:
    """Have every sealed object read, showing how far it is at a terminal."""
    from fluxctl.progress import Progress

    damage = []
    with client.doctor_verify() as lines, Progress("Reading") as shown:
        for line in lines:
            if isinstance(line, m.VerifyProgress):
                shown.at(line.images, line.total, line.bytes)
            elif isinstance(line, m.VerifyDamage):
                damage.append(line)
            else:
                return Verified(line.images, line.bytes, line.damaged, line.message, tuple(damage))
    raise TryAgain("the reading broke off before its end", hint="Run it again: fluxctl doctor --verify")


def _tell(report: Doctor, *, json: bool, jsonl: bool) -> None:
    show("doctor", report, form(json=json, jsonl=jsonl), lambda _look: page(report))


def page(report: Doctor) -> RenderableType:
    """Return what the doctor found; the last line sums up all of it."""
    from fluxctl.render.box import checks, verified
    from fluxctl.render.page import BLANK, stack

    parts = [checks(report.checks)]
    return stack(parts if report.verify is None else [verified(report.verify), BLANK, *parts])
