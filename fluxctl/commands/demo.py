"""`fluxctl demo`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.errors import Refused
from fluxctl import exits
from fluxctl.command import single, verb
from fluxctl.options import AsJson
from fluxctl.output import form, show

if TYPE_CHECKING:
    from fluxctl.demo.stage import Cast, Pace

app = single()


@verb(
    app,
    "demo",
    ("fluxctl demo", "Less than a minute, no hardware, nothing to configure, and nothing of it stays."),
    ("fluxctl demo --keep /tmp/box", "Leave the box's folder and everybody's log there, to look at afterwards."),
    ("fluxctl demo --json | jq .ok", "For a script: true if nothing was lost and nothing arrived twice."),
    codes=(exits.REFUSED, exits.TRY_AGAIN),
    asks=False,
)
def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="A new folder for everything, which is left there.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the whole story on this machine.

    A scanner sends real images to a box. The link to the PACS breaks in the middle of one, and the power fails. The
    coach goes to another site with a patient still on the scanner, and the box stays shut until it has none. At the
    end every image is read back from the box and compared with the scanner's, byte for byte; so is what the two
    PACS got as it came. Of images that the profile changes or compresses for one of them it is checked that they are.
    Ends with 1 if anything was lost, arrived twice, went where it does not belong, or is not as it should be.
    """
    from fluxctl.demo.stage import CAST, Pace

    raise typer.Exit(play(CAST, Pace(), keep=keep, json=json))


def play(cast: Cast, pace: Pace, *, keep: Path | None = None, json: bool = False) -> int:
    """Play the demonstration with this cast at this pace, print it, and return the exit code."""
    from fluxctl.demo.acts import perform
    from fluxctl.demo.narrator import Narrator, Teller
    from fluxctl.demo.stage import Stage
    from fluxctl.render import demo as render
    from fluxctl.watching import orderly_end

    narrator = Narrator() if json else Teller()
    narrator.show(lambda _: render.opening(keep))
    with orderly_end(), _folder(keep) as folder, Stage(folder, cast, pace) as stage:
        found = perform(stage, narrator)
    show("demo", found, form(json=json), lambda look: render.result(found, look))
    return exits.DONE if found.ok else exits.FAILED


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give a folder for its owner only; without `keep` it is gone afterwards, whatever happens."""
    from fluxctl.demo.process import undisturbed

    if keep is not None:
        try:
            keep.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise Refused("this exists already", where=str(keep), hint="Name a folder that is not there yet.") from None
        yield keep.absolute()
        return
    folder = tempfile.TemporaryDirectory(prefix="fluxctl-demo-")
    try:
        yield Path(folder.name)
    finally:
        with undisturbed():
            folder.cleanup()
