"""`fluxctl profile`: what is true of one facility."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacitord.api import messages as m
from capacitord.errors import NotFound
from fluxctl import exits
from fluxctl.command import noun, verb
from fluxctl.files import read_text
from fluxctl.options import AsJson, AsLines, FileArgument, FilesArgument
from fluxctl.output import form, print_json, print_text, show
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fluxctl.render.look import Look

app = noun("profile", "Site profiles: what is true of one facility. PROFILE is a site id, such as st-marys.")


@verb(
    app,
    "validate",
    ("fluxctl profile validate st-marys.toml", "Say all that is wrong with it; nothing is sent to the daemon."),
    ("fluxctl profile validate *.toml", "Several: also where the areas of their sites overlap."),
    ("fluxctl profile show | fluxctl profile validate -", "What of the active profile does not act yet."),
    codes=(exits.NOT_FOUND, exits.INVALID),
    asks=False,
)
def validate(files: FilesArgument, json: AsJson = False, jsonl: AsLines = False) -> None:
    """Check profiles on this machine, without the daemon.

    Everything that is wrong is said at once: with line, column and key, the line itself, and what to write instead.
    Then the exit code is 7. Warnings change no exit code. Notes name keys that this version does not act on yet.
    Certificates, tables and areas that a profile keeps in files are looked for beside it.
    """
    from fluxctl.validation import validate as validated

    answer = validated(files)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import validated

        return validated(answer.profiles, look)

    show("profile.validate", answer, form(json=json, jsonl=jsonl), page)
    raise typer.Exit(exits.DONE if all(each.valid for each in answer.profiles) else exits.INVALID)


@verb(
    app,
    "schema",
    ("fluxctl profile schema > profile.schema.json", "For an editor that completes and checks while you type."),
    asks=False,
)
def schema() -> None:
    """Print the JSON Schema of site profiles.

    Editors that know TOML take it: write "#:schema ./profile.schema.json" as the first line of a profile.
    """
    from capacitord.config.json_schema import profile_schema

    print_json(profile_schema())


@verb(
    app,
    "new",
    ("fluxctl profile new lakeside > lakeside.toml", "A profile to start from, with a word on every part."),
    ("fluxctl profile new lakeside --name 'Lakeside Clinic' --timezone America/Chicago", "With what is known."),
    codes=(exits.INVALID,),
    asks=False,
)
def new(
    site: Annotated[str, typer.Argument(metavar="SITE", help="Its id: lower-case letters, digits and dashes.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How people call the site.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Its time zone.")] = "America/Chicago",
) -> None:
    """Print a profile to start from: valid as it is, with a word on every part.

    What is commented out is an example.
    """
    from capacitord.config.starting_point import starting_point

    print_text(starting_point(site, name, timezone))


@verb(
    app,
    "try",
    ("fluxctl profile try st-marys.toml IM0001.dcm", "Where it would go and why, and what would become of it."),
    ("fluxctl profile try st-marys.toml /media/cd", "All images below a directory; those dealt with alike as one."),
    (
        'fluxctl profile try st-marys.toml IM0001.dcm --calling CT_COACH --at "2026-11-22 19:30"',
        "As if that scanner had sent it on that evening.",
    ),
    (
        "fluxctl profile try st-marys.toml IM0001.dcm --to research --write out",
        "Only the copy for research, written to out/research/IM0001.dcm to be looked at.",
    ),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID, exits.PARTLY),
    asks=False,
)
def try_profile(
    profile: Annotated[Path, typer.Argument(metavar="PROFILE.toml", help="The profile; - for standard input.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="DICOM files, or directories of them.")],
    *,
    calling: Annotated[
        str,
        typer.Option(
            "--calling", metavar="AE", help="The scanner that sent it. Otherwise the title that the file names, if any."
        ),
    ] = "",
    called: Annotated[str, typer.Option("--called", metavar="AE", help="The title it sent it to.")] = "FLUXBOX",
    at: Annotated[
        str, typer.Option("--at", metavar="WHEN", help="When, by the clock on the site's wall. Otherwise now.")
    ] = "",
    to: Annotated[
        list[str], typer.Option("--to", metavar="DEST", help="Only this destination; may be given several times.")
    ] = [],  # noqa: B006 - Typer reads it, nobody changes it
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="DIR", help="Write what would leave to DIR/DEST; nothing is overwritten."),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Every image, also those that are dealt with alike.")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="Every change, however many.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Say what a profile would do with images, on this machine and without the daemon.

    For each image: the route that matches and why those before it do not; for each destination what is changed, the
    transfer syntax and the size it would leave with, or why it would be held. Nothing is sent. The exit code is 6 if
    an image would be held, for one destination or for all. What is printed, and written, names patients.
    """
    from fluxctl.trial import Asked, ProfileTrials, moment, show_trials

    trials = ProfileTrials(profile, files, Asked(calling, called, moment(at), tuple(to), write))
    show_trials(trials, form(json=json, jsonl=jsonl), every=each, everything=changes)
    raise typer.Exit(exits.REFUSED if trials.held else exits.PARTLY if trials.amiss else exits.DONE)


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
