"""`fluxctl study`: every study of the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from capacitord.api import messages as m
from capacitord.model.states import StudyState
from fluxctl import ask, exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, Operator, Reason, StudyArgument, Yes
from fluxctl.output import form, show, show_done
from fluxctl.session import daemon

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client
    from fluxctl.render.look import Look

PAGE: Final = 1000
"""The most studies the daemon gives at once."""

app = noun(
    "study",
    "Every study of the site. STUDY is a short id as the lists show it (any unambiguous start of it will do), "
    "a Study Instance UID, or an accession number.",
)


@verb(
    app,
    "list",
    ("fluxctl study list", "The hundred newest studies."),
    ("fluxctl study list --undelivered", "Those that have not arrived everywhere."),
    ("fluxctl study list --all --jsonl | jq -r .accession_number", "All of them, one JSON document per line."),
    codes=exits.OF_SITE,
)
def list_studies(
    ctx: typer.Context,
    *,
    undelivered: Annotated[bool, typer.Option("--undelivered", help="Only what has not arrived everywhere.")] = False,
    state: Annotated[
        StudyState | None,
        typer.Option("--state", metavar="STATE", help=f"Only studies that are {', '.join(StudyState)}."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most this many.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """List studies, newest first, and how far each one is."""
    query = m.StudyQuery(state=state, undelivered=undelivered, limit=limit)
    client = daemon(ctx)
    answer = _all(client, query) if everything else client.study_list(query)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.study import listed

        return listed(answer, look)

    show("study.list", answer, form(json=json, jsonl=jsonl), page)


def _all(client: Client, query: m.StudyQuery) -> m.StudyList:
    """Return every study that fits, however many pages they fill."""
    query = msgspec.structs.replace(query, limit=PAGE)
    found = page = client.study_list(query)
    while page.next:
        page = client.study_list(msgspec.structs.replace(query, after=page.next))
        found = msgspec.structs.replace(found, studies=(*found.studies, *page.studies), next="")
    return found


@verb(
    app,
    "show",
    ("fluxctl study show 3f2a9c", "Who was examined, where the study is, and every image that needs a person."),
    ("fluxctl study show A-1001 --images", "The same by accession number, with every image."),
    codes=exits.OF_SITE,
)
def show_study(
    ctx: typer.Context,
    study: StudyArgument,
    images: Annotated[bool, typer.Option("--images", help="Every image, not only those that need a person.")] = False,
    json: AsJson = False,
) -> None:
    """Show one study: who, what, where it is, and why not further.

    Images that need a person are always listed: refused by a destination, held by this box instead of being sent, in
    doubt, in conflict, or unreadable.
    """
    answer = daemon(ctx).study_show(study)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.study import shown

        return shown(answer, look, images=images)

    show("study.show", answer, form(json=json), page)


@verb(
    app,
    "explain",
    ("fluxctl study explain 3f2a9c", "Where its images went and why, and where they would go now."),
    ("fluxctl study explain 3f2a9c --image 0f02ab", "Only this image, by the beginning of its object id or UID."),
    codes=exits.OF_SITE,
)
def explain_study(
    ctx: typer.Context,
    study: StudyArgument,
    image: Annotated[
        str, typer.Option("--image", metavar="OBJECT", help="Only this image: the beginning of its object id or UID.")
    ] = "",
    changes: Annotated[bool, typer.Option("--changes", help="Every change, however many.")] = False,
    json: AsJson = False,
) -> None:
    """Explain what was decided for a study, and what the profile in force would do with it now.

    Images that are dealt with alike are explained once, by one of them: the route that matched and why those before it
    did not, what is changed for each destination, the transfer syntax and the size it leaves with. Whoever may look may
    ask, and the audit log says who did.
    """
    from capacitord.api.trial import Explain

    answer = daemon(ctx).study_explain(Explain(study=study, image=image))

    def page(look: Look) -> RenderableType:
        from fluxctl.render.trial import explained

        return explained(answer, look, everything=changes)

    show("study.explain", answer, form(json=json), page)


@verb(
    app,
    "preview",
    ("fluxctl study preview 3f2a9c", "Draw an image from the middle of the study here."),
    ("fluxctl study preview 3f2a9c --image 0f02ab --window 40/400", "This image, by the beginning of its object id."),
    ("fluxctl study preview 3f2a9c --frame 12 --png breast.png", "Write a picture of its twelfth frame to a file."),
    codes=(*exits.OF_SITE, exits.INVALID),
)
def preview_study(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    image: Annotated[
        str, typer.Option("--image", metavar="OBJECT", help="Which image: the beginning of its object id or UID.")
    ] = "",
    frame: Annotated[
        int, typer.Option("--frame", metavar="N", min=0, max=1 << 20, help="Which frame; 0 is the one in the middle.")
    ] = 0,
    window: Annotated[
        str,
        typer.Option("--window", metavar="WINDOW", help="CENTER/WIDTH, the number or name of one of its own, or full."),
    ] = "",
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write it to this file; - for standard output.")
    ] = None,
    size: Annotated[
        int, typer.Option("--size", metavar="N", min=16, max=4096, help="At most so many pixels wide and high.")
    ] = 1024,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    json: AsJson = False,
) -> None:
    """Show a picture of one image, in this terminal or in a PNG file.

    It is drawn by kitty's graphics protocol or as sixels where the terminal can, in half blocks elsewhere; nothing is
    written to a disk without --png. A picture may hold a name that is burnt in. It is no replacement for a reading
    station. That somebody looked is in the audit log.
    """
    from capacitord.api.preview import Preview
    from fluxctl import preview

    request = Preview(study, image=image, frame=frame, size=size, window=window)
    if json and str(png or "-") == "-":
        from capacitord.errors import Refused

        raise Refused("a picture is no JSON document", hint="Write it to a file: --png FILE --json")
    if png is None:
        found = preview.draw(daemon(ctx), request)
        from fluxctl.output import show_page
        from fluxctl.render.preview import caption

        show_page(lambda _look: caption(found))
        return
    answer = preview.write(daemon(ctx), request, png, force=force)
    if str(png) == "-":
        return

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.preview import written

        return written(answer)

    show("study.preview", answer, form(json=json), page)


@verb(
    app,
    "resolve",
    ("fluxctl study resolve TP7PQWGYQGBF", "Which patient a research archive has under this id."),
    ("fluxctl study resolve 'tp7p qwgy qgbf' --to research", "The same as somebody reads it out, at one destination."),
    (
        "fluxctl study resolve 2.25.302881205923498347104598213847109283",
        "Which study, series or image it is.",
    ),
    codes=(*exits.OF_SITE, exits.INVALID),
)
def resolve_code(
    ctx: typer.Context,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="A patient id, name, accession number, study id or UID of a copy.")
    ],
    *,
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="DEST", help="As this destination has it; may be given several times."),
    ] = [],  # noqa: B006 - Typer reads it, nobody changes it
    json: AsJson = False,
) -> None:
    """Say which study here a code of a de-identified copy stands for.

    Codes are made with the key of the site, for each destination anew: where another site is active, it is not found.
    Studies are found after their images were delivered and purged, too. That somebody asked is in the audit log, with
    the studies that were told, and without the code. It takes the right to operate, as it shows who is behind a code.
    """
    from capacitord.api.codes import Resolve

    answer = daemon(ctx).study_resolve(Resolve(code=code, destinations=tuple(to)))

    def page(look: Look) -> RenderableType:
        from fluxctl.render.codes import resolved

        return resolved(answer, look)

    show("study.resolve", answer, form(json=json), page)


@verb(
    app,
    "export",
    ("fluxctl study export 3f2a9c /media/usb/doe", "Write its images as DICOM files, one each."),
    codes=(*exits.OF_SITE, exits.PARTLY),
)
def export_study(
    ctx: typer.Context,
    study: StudyArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Where to; made if it is not there. Nothing is overwritten.")
    ],
    json: AsJson = False,
) -> None:
    """Write a study's images as DICOM files into a directory.

    The files are not sealed: they leave the protection of this box. They are readable by you only. If the export
    breaks off, what it has written is removed again. It changes nothing, and takes the right to operate all the same,
    since it shows the images themselves.
    """
    from fluxctl.export import export

    answer = export(daemon(ctx), study, directory)

    def page(_look: Look) -> RenderableType:
        from fluxctl.render.page import in_one_line
        from fluxctl.render.words import count, size

        done = f"{count(answer.images, 'image')}, {size(answer.bytes)}"
        return in_one_line(f"✔ Study {answer.study} is in {answer.directory}: {done}.")

    show("study.export", answer, form(json=json), page)


@verb(
    app,
    "discard",
    ("fluxctl study discard 77ac01", "Show it, ask for the reason and for its short id, and delete it."),
    (
        'fluxctl study discard 77ac01 --reason "phantom" --yes',
        "The same for a script.",
    ),
    codes=exits.OF_SITE,
)
def discard_study(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    reason: Reason = "",
    operator: Operator = "",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Give a study up: its images are deleted for ever.

    What has not been delivered is lost to this box; the scanner may still have it. The audit log keeps who did it and
    why. Where images wait for a person she discards them by `fluxctl held discard`, which can be undone for a day.
    """
    client = daemon(ctx)
    found = client.study_show(study).study
    reason = _reason_given(reason) if yes else _confirm_discard(found, reason, json=json)
    answer = client.study_discard(m.Discard(study=found.id, reason=reason, confirm=found.id, operator=operator))
    show_done("study.discard", answer, json=json)


def _reason_given(reason: str) -> str:
    from capacitord.errors import Refused

    if not reason.strip():
        raise Refused("a study is discarded for a reason only", hint='Give it: --reason "phantom, not a patient"')
    return reason


def _confirm_discard(study: m.Study, reason: str, *, json: bool) -> str:
    if ask.possible(json=json):
        from fluxctl.output import say
        from fluxctl.render.look import stderr_look
        from fluxctl.render.page import draw
        from fluxctl.render.study import deliveries, head

        look = stderr_look()
        say(draw(head(study, look), look))
        say(draw(deliveries(study.deliveries, look), look))
        reason = reason or ask.why("Why is it discarded? ")
    ask.typed(f"Type {study.id} to delete it for ever: ", study.id, beforehand="--yes and --reason", json=json)
    return _reason_given(reason)
