"""`fluxctl profile`: what is true of one facility."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacitord.api import messages as m
from capacitord.errors import NotFound
from fluxctl import ask, exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, FilesArgument, Operator, Reason, SiteArgument, Yes
from fluxctl.output import form, print_json, print_text, show, show_done, show_first
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client
    from capacitord.api.schemas import ProfileDiff
    from fluxctl.render.look import Look

app = noun(
    "profile",
    "Site profiles: what is true of one facility. PROFILE is a site id such as st-marys for the version in force, "
    "or st-marys@6 for another one.",
)
To = Annotated[
    int | None, typer.Option("--to", metavar="VERSION", min=1, help="The version; without it the one that was before.")
]


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
    Then the exit code is 7; it is 5 if nothing is wrong but that a file is not there. Warnings change no exit code.
    Notes name keys that this version does not act on yet.
    Certificates, tables and areas that a profile keeps in files are looked for beside it.
    """
    from fluxctl.validation import validate as validated

    answer, code = validated(files)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import validated

        return validated(answer.profiles, look)

    show("profile.validate", answer, form(json=json, jsonl=jsonl), page)
    raise typer.Exit(code)


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
    site: Annotated[str, typer.Argument(metavar="ID", help="Its id: lower-case letters, digits and dashes.")],
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
    an image would be held, for one destination or for all, and if none would leave for one that --to names. What is
    printed, and written, names patients.
    """
    from fluxctl.trial import Asked, ProfileTrials, moment, show_trials

    trials = ProfileTrials(profile, files, Asked(calling, called, moment(at), tuple(to), write))
    show_trials(trials, form(json=json, jsonl=jsonl), every=each, everything=changes)
    refused = trials.held or trials.nothing_there
    raise typer.Exit(exits.REFUSED if refused else exits.PARTLY if trials.amiss else exits.DONE)


@verb(
    app,
    "import",
    ("fluxctl profile import st-marys.toml", "Check the profile, show what it changes, and put it in force."),
    ("fluxctl profile import *.toml", "Several at once: all of them or none."),
    ("fluxctl profile import st-marys.toml --dry-run", "Only check it, against this box, too."),
    ("ssh desk cat st-marys.toml | fluxctl profile import -", "From standard input."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def import_profile(
    ctx: typer.Context,
    files: FilesArgument,
    *,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take a version that is older than the one in force.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Check profiles, show what they change, and put them in force.

    What is wrong in any of them is said with file, line and key, and then nothing changes. At a terminal what would
    change is shown first, and asked about. A version that is older than the one in force is refused, unless
    --allow-older says that it is meant; one that was imported before with other contents is refused always.

    The files that a profile names (areas, tables, certificates, keys, tokens) are taken from beside it and kept with
    it. A box without a site serves the first one at once, if that comes alone; any other is served when it is
    activated (fluxctl site activate). If a crash cuts an import of several short, each site has its old version or its
    new one; the same import again finishes it.
    """
    from fluxctl.profiles import against_the_box, source

    first, *others = sources = tuple(source(file) for file in files)
    request = m.ProfileImport(
        text=first.text,
        name=first.name,
        allow_older=allow_older,
        dry_run=dry_run,
        files=first.files,
        others=tuple(others),
    )
    client = daemon(ctx)
    changes: list[ProfileDiff] = []
    if dry_run and not json:
        answer = client.profile_import(request)
        changes = against_the_box(sources, answer, client)
    elif not yes and ask.possible(json=json):
        checked = client.profile_import(m.ProfileImport(**_fields(request) | {"dry_run": True}))
        _ask_about(against_the_box(sources, checked, client), checked)
        answer = client.profile_import(request)
    else:
        answer = client.profile_import(request)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import imported

        return imported(answer, changes, look, dry_run=dry_run)

    show("profile.import", answer, form(json=json), page)


def _fields(request: m.ProfileImport) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def _ask_about(changes: list[ProfileDiff], checked: m.ProfileImported) -> None:
    """Show what would change, and return if that is meant. What changes nothing needs no question."""
    if not any(each.changes for each in changes):
        return

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import proposed

        return proposed(changes, checked, look)

    show_first(page)
    ask.agreed("Put this in force?", yes=False)


@verb(
    app,
    "list",
    ("fluxctl profile list", "The profiles of this box, and which of them is active."),
)
def list_profiles(ctx: typer.Context, json: AsJson = False, jsonl: AsLines = False) -> None:
    """List the profiles of this box, each in the version that is in force."""
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
    ("fluxctl profile show st-marys@6", "An earlier version."),
    codes=(exits.NOT_FOUND, exits.INVALID),
)
def show_profile(
    ctx: typer.Context,
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A site id, with @VERSION or without; else the active profile.")
    ] = "",
    json: AsJson = False,
) -> None:
    """Print a profile exactly as it was imported, without the files beside it."""
    from fluxctl.profiles import named

    client = daemon(ctx)
    answer = client.profile_show(*named(profile or _active(client.profile_list())))
    if json:
        show("profile.show", answer, form(json=True), lambda _: "")
    else:
        print_text(answer.text)


def _active(found: m.ProfileList) -> str:
    for item in found.profiles:
        if item.active:
            return item.id
    raise NotFound("no profile is active", hint="See: fluxctl profile list; import one: fluxctl profile import FILE")


@verb(
    app,
    "diff",
    ("fluxctl profile diff st-marys", "What the version in force changed, against the one before."),
    ("fluxctl profile diff st-marys@5 st-marys@7", "Two versions of a site."),
    ("fluxctl profile diff st-marys.toml", "A file against the version in force of its site."),
    ("fluxctl profile diff old.toml new.toml", "Two files, without the daemon."),
    codes=(exits.NOT_FOUND, exits.INVALID),
)
def diff_profiles(
    ctx: typer.Context,
    first: Annotated[
        str, typer.Argument(metavar="PROFILE|FILE", help="A site id, with @VERSION or without, or a file.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="PROFILE|FILE", help="The newer one; without it, the first is the newer one.")
    ] = "",
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """Show what differs between two profiles: routes, destinations and keys, not lines.

    With one profile, it is compared with the version that was in force before; with one file, with the version in
    force of its site.
    """
    from fluxctl.profiles import before, compared, side

    def client() -> Client:
        return daemon(ctx)

    one = side(first, client)
    answer = compared(one, side(second, client)) if second else compared(before(one, first, client), one)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import differences

        return differences([answer], look)

    show("profile.diff", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "history",
    ("fluxctl profile history st-marys", "Which version was in force since when, and who put it there."),
    codes=(exits.NOT_FOUND,),
)
def history(ctx: typer.Context, site: SiteArgument, json: AsJson = False, jsonl: AsLines = False) -> None:
    """Show every version of a site's profile that came into force."""
    answer = daemon(ctx).profile_history(site)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import history

        return history(answer, look)

    show("profile.history", answer, form(json=json, jsonl=jsonl), page)


@verb(
    app,
    "rollback",
    ("fluxctl profile rollback st-marys", "Show what going back changes, ask for the reason, and do it."),
    ('fluxctl profile rollback st-marys --to 5 --reason "the PACS moved back" --yes', "The same for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def rollback(
    ctx: typer.Context,
    site: SiteArgument,
    *,
    to: To = None,
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Put an earlier version of a site's profile in force again.

    Without --to it is the one that was in force before; versions that a rollback has left do not count, so two in a
    row go back by two. It must be whole, or it is refused. The version that is left stays in the store.
    """
    from capacitord.api.earlier import earlier
    from fluxctl.profiles import Side, compared, stored

    client = daemon(ctx)
    ask.must_be_possible(yes=yes, json=json)
    if not yes:
        known = client.profile_history(site)
        now = next((each.version for each in known.versions if each.in_force), None)
        if to is None:
            to = earlier(known.activations, now)
        if to is not None:
            whole = any(each.in_force and not each.problem for each in known.versions)
            old = stored(site, None, client) if whole else Side(f"{site}, which is damaged", "", {})
            _show_differences(compared(old, stored(site, to, client)))
    reason = ask.reason(reason, "Why is it rolled back? ", yes=yes, json=json)
    ask.agreed("Put this in force?", yes=yes, json=json)
    answer = client.profile_rollback(m.ProfileRollback(profile=site, reason=reason, version=to, operator=operator))

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.profile import rolled_back

        return rolled_back(answer)

    show("profile.rollback", answer, form(json=json), page)


def _show_differences(change: ProfileDiff) -> None:
    def page(look: Look) -> RenderableType:
        from fluxctl.render.profile import differences

        return differences([change], look)

    show_first(page)


@verb(
    app,
    "export",
    ("fluxctl profile export st-marys", "The profile and the files beside it, into the directory st-marys."),
    ("fluxctl profile export st-marys@6 /media/usb/st-marys", "An earlier version, into another one."),
    codes=(exits.NOT_FOUND, exits.REFUSED, exits.INVALID),
)
def export(
    ctx: typer.Context,
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A site id, with @VERSION or without.")],
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIRECTORY", help="Where to; made if it is not there. Otherwise named as the site."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a profile and all files beside it into a directory, as they were imported.

    Keys and tokens are among them: so it takes the right to operate, they are readable by you only, and the audit log
    says that they left the box.
    Nothing is overwritten. Without the files: fluxctl profile show.
    """
    from fluxctl.export import export_profile
    from fluxctl.profiles import named

    site, version = named(profile)
    answer = export_profile(daemon(ctx), site, version, directory or Path(site))

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.profile import exported

        return exported(answer)

    show("profile.export", answer, form(json=json), page)


@verb(
    app,
    "remove",
    ("fluxctl profile remove st-marys", "Ask for the site's id, and take the site from this box."),
    ("fluxctl profile remove st-marys --yes", "The same for a script."),
    codes=(exits.NOT_FOUND, exits.REFUSED),
)
def remove(ctx: typer.Context, site: SiteArgument, yes: Yes = False, json: AsJson = False) -> None:
    """Take a site from this box, with all versions of its profile.

    Refused while the site is active, and while studies of it wait here: held, in conflict, not routed yet or not
    delivered; they are named, each with the reason. Its history is kept on the disk, and so are its spool and its
    key: images that were delivered stay sealed there.
    """
    client = daemon(ctx)
    if not yes:
        ask.typed(f"Type {site} to remove it from this box: ", site, json=json)
    show_done("profile.remove", client.profile_remove(site), json=json)
