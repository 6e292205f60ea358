"""`fluxctl profile`: what is true of one facility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.api import messages as m
from capacitord.api.schemas import Validated
from capacitord.errors import NotFound
from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.files import read_text
from fluxctl.options import AsJson, AsLines, FileArgument
from fluxctl.output import form, print_text, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("profile", "Site profiles: what is true of one facility. PROFILE is a site id, such as st-marys.")


@verb(
    app,
    "validate",
    ("fluxctl profile validate st-marys.toml", "Say all that is wrong with it; nothing is sent to the daemon."),
    codes=(exits.NOT_FOUND, exits.INVALID),
    asks=False,
)
def validate(file: FileArgument, json: AsJson = False) -> None:
    """Check a profile on this machine, without the daemon.

    What is wrong is said with file, line and key, and the exit code is 7.
    """
    from capacitord.config.profile import parse

    profile = parse(read_text(file), str(file))
    names = tuple(destination.name for destination in profile.destination)
    answer = Validated(str(file), profile.id, profile.name, profile.version, names)

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.box import validated

        return validated(answer)

    show("profile.validate", answer, form(json=json), page)


@verb(
    app,
    "import",
    ("fluxctl profile import st-marys.toml", "Check the profile and put it to use."),
    ("fluxctl profile import st-marys.toml --dry-run", "Only check it, against this box, too."),
    ("ssh desk cat st-marys.toml | fluxctl profile import -", "From standard input."),
    codes=(exits.REFUSED, exits.INVALID),
)
def import_profile(
    ctx: typer.Context,
    file: FileArgument,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take a version that is not newer than the one in use.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Check a profile and put it to use.

    What is wrong in it is said with file, line and key, and then nothing changes. A version that is not newer than
    the one in use is refused, unless --allow-older says that it is meant.
    """
    text = read_text(file)
    request = m.ProfileImport(text=text, name=file.name, allow_older=allow_older, dry_run=dry_run)
    answer = daemon(ctx).profile_import(request)

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.box import imported

        return imported(answer, dry_run=dry_run)

    show("profile.import", answer, form(json=json), page)


@verb(
    app,
    "list",
    ("fluxctl profile list", "The profiles of this box, and which of them is active."),
)
def list_profiles(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """List the profiles of this box."""
    answer = daemon(ctx).profile_list()

    def page(look: Look) -> RenderableType:
        from fluxctl.render.box import profiles

        return profiles(answer, look)

    show("profile.list", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "show",
    ("fluxctl profile show", "The active profile, as it was imported."),
    ("fluxctl profile show st-marys > st-marys.toml", "One by its site id, into a file."),
    codes=(exits.NOT_FOUND,),
)
def show_profile(
    ctx: typer.Context,
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A site id; the active profile without it.")] = "",
    json: AsJson = False,
) -> None:
    """Print a profile exactly as it was imported."""
    client = daemon(ctx)
    answer = client.profile_show(profile or _active(client.profile_list()))
    if json:
        show("profile.show", answer, form(json=True), lambda _: "")
    else:
        print_text(answer.text)


def _active(found: m.ProfileList) -> str:
    for item in found.profiles:
        if item.active:
            return item.id
    raise NotFound("no profile is active", hint="See: fluxctl profile list; import one: fluxctl profile import FILE")
