"""`fluxctl held`: studies that wait for a person."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from capacitord.api import messages as m
from capacitord.errors import Refused, from_problem
from capacitord.model.matching import MatchKey
from capacitord.model.patient import Patient, to_type
from fluxctl import ask, exits
from fluxctl.command import noun, verb
from fluxctl.options import AsJson, AsLines, Operator, Reason, StudyArgument
from fluxctl.output import form, show, show_done, show_first
from fluxctl.session import daemon

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from capacitord.api.client import Client
    from capacitord.api.review import HeldList, ListHeld
    from fluxctl.render.look import Look

PAGE: Final = 1000
"""The most studies the daemon gives at once."""

_TO_TYPE: Final = {
    MatchKey.PATIENT_NAME: "the name of {whose}",
    MatchKey.PATIENT_ID: "the patient id of {whose}",
    MatchKey.STUDY_INSTANCE_UID: "the study's short id {study} (it says no patient)",
}
"""What is typed for a discard, by the key under which it is compared."""

app = noun(
    "held",
    "Studies that wait for a person: why, and what they may belong to. STUDY is a short id as the list shows it (any "
    "unambiguous start of it will do), a Study Instance UID, or an accession number.",
)


@verb(
    app,
    "list",
    ("fluxctl held list", "Who, what, when, why, and the worklist entries that come nearest."),
    ("fluxctl held list --all --jsonl | jq -r .study.id", "All of them, one JSON document per line."),
    codes=exits.OF_SITE,
)
def list_held(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=PAGE, help="At most this many.")] = 200,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    json: AsJson = False,
    jsonl: AsLines = False,
) -> None:
    """List the studies of which something waits for a person, the oldest first.

    That is a study or some of its images whose destinations nobody has decided on, an image that came again with other
    content, and a copy that this box does not send to a destination. Each with why it waits, the next step, and the
    entries of the worklist that come nearest to it; in what these differ is marked. Nothing is ever released because
    an entry comes near.
    """
    from capacitord.api.review import ListHeld

    query, client = ListHeld(limit=limit), daemon(ctx)
    answer = _all(client, query) if everything else client.held_list(query)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.held import listed

        return listed(answer, look, client.status().held_elsewhere)

    show("held.list", answer, form(json=json, jsonl=jsonl), page)


def _all(client: Client, query: ListHeld) -> HeldList:
    query = msgspec.structs.replace(query, limit=PAGE)
    found = page = client.held_list(query)
    while page.next:
        page = client.held_list(msgspec.structs.replace(query, after=page.next))
        found = msgspec.structs.replace(found, held=(*found.held, *page.held), next="")
    return found


@verb(
    app,
    "show",
    ("fluxctl held show 3f2a9c", "What it says beside what the nearest worklist entries say."),
    ("fluxctl held show 3f2a9c --preview", "With a picture of an image, here in the terminal."),
    ("fluxctl held show 3f2a9c --png look.png", "With a picture of an image in this file."),
    codes=exits.OF_SITE,
)
def show_held(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    preview: Annotated[bool, typer.Option("--preview", help="Draw an image of it in this terminal.")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write a picture of an image to this file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --png if there is one.")] = False,
    json: AsJson = False,
) -> None:
    """Show a study that waits, side by side with the worklist entries that come nearest.

    A picture is made only where --preview or --png asks for it; that somebody looked is in the audit log.
    """
    if str(png) == "-":
        raise Refused(
            "standard output is taken by what the study says",
            hint="Name a file, or have the picture alone: fluxctl study preview STUDY --png -",
        )
    client = daemon(ctx)
    answer = client.held_show(study)

    def page(look: Look) -> RenderableType:
        from fluxctl.render.held import shown

        return shown(answer, look)

    show("held.show", answer, form(json=json), page)
    if preview or png is not None:
        from capacitord.api.preview import Preview
        from fluxctl import preview as pictures

        request = Preview(answer.held.study.id)
        if png is not None:
            pictures.write(client, request, png, force=force)
        if preview:
            pictures.draw(client, request)


@verb(
    app,
    "discard",
    ("fluxctl held discard 3f2a9c", "Show it, ask for a reason and for the patient's name, then discard it."),
    (
        "fluxctl held discard 3f2a9c --reason 'test images' --name-stdin",
        "The same from a script: the name is read from standard input.",
    ),
    codes=exits.OF_SITE,
)
def discard(
    ctx: typer.Context,
    study: StudyArgument,
    *,
    reason: Reason = "",
    name_stdin: Annotated[
        bool, typer.Option("--name-stdin", help="Read the patient's name from the first line of standard input.")
    ] = False,
    operator: Operator = "",
    json: AsJson = False,
) -> None:
    """Discard what is held of a study: it goes nowhere, and is overwritten after 24 hours.

    Where the profile sends whole studies only, images that merely wait for what is held are not discarded: they leave.
    Until then `fluxctl held restore` has it back. A copy that is held for one destination only is left out there: the
    image itself stays, and `fluxctl resend` still sends it.

    It needs the name of the patient whose images go, typed as `fluxctl held show` has it; of several patients only the
    images of that one go. Without a name it is the patient id, without that the study's short id. A name is never an
    argument, for other users of this machine can read those.
    """
    from capacitord.api.review import DiscardHeld

    if not name_stdin:
        ask.must_be_possible(yes=False, beforehand="--name-stdin and --reason", json=json)
    client = daemon(ctx)
    found = client.held_show(study)
    if not name_stdin:
        if found.refusal is not None and not found.held.patients:
            raise from_problem(found.refusal)

        def page(look: Look) -> RenderableType:
            from fluxctl.render.held import waiting

            return waiting(found.held, look)

        show_first(page)
    patients = [Patient(each.name, each.id, each.birth_date) for each in found.held.patients if each.discard]
    reason = ask.reason(reason, "Why? ", yes=name_stdin, json=json)
    short = found.held.study.id
    name = sys.stdin.readline().strip() if name_stdin else ask.insisted(_question(patients, short))
    name = as_dicom(name, [patient.name for patient in patients])
    request = DiscardHeld(study=short, reason=reason, patient_name=m.Secret(name), operator=operator)
    show_done("held.discard", client.held_discard(request), json=json)


def _question(patients: Sequence[Patient], short: str) -> str:
    """Return what is asked for to be typed: the name, or what stands for it where there is none."""
    kinds = dict.fromkeys(key for key, _ in to_type(patients, short))
    words = " or ".join(_TO_TYPE[kind] for kind in kinds) or _TO_TYPE[MatchKey.PATIENT_NAME]
    whose = "the patient whose images are to go" if len(patients) > 1 else "the patient"
    return f"Type {words.format(whose=whose, study=short)} to discard what is held: "


def as_dicom(name: str, known: Iterable[str]) -> str:
    """Return a name as DICOM writes it: one of the `known` if it was typed as pages have that, like "Doe, Jane A".

    What has neither a comma nor a caret stays as it was typed.
    """
    from fluxctl.render.words import dicom_name

    typed = " ".join(name.split())
    alike = (each for each in known if typed and typed.casefold() == dicom_name(each).casefold())
    plain = "^".join(part.strip() for part in name.split(",")) if "^" not in name else name.strip()
    return next(alike, plain)


@verb(
    app,
    "restore",
    ("fluxctl held restore 3f2a9c", "Have back what was discarded; it is held again."),
    codes=exits.OF_SITE,
)
def restore(ctx: typer.Context, study: StudyArgument, *, operator: Operator = "", json: AsJson = False) -> None:
    """Have back what `fluxctl held discard` discarded, within 24 hours of the box's time. It is held again."""
    from capacitord.api.review import RestoreHeld

    show_done("held.restore", daemon(ctx).held_restore(RestoreHeld(study=study, operator=operator)), json=json)
