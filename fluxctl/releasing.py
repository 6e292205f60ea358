"""The way to a release at a terminal: the study, its candidates, the destinations, the reason, a confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.errors import Ambiguous, NotFound, Refused, from_problem
from capacitord.model.patient import Patient, several, summary
from fluxctl import ask
from fluxctl.output import say, show_first

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.api.client import Client
    from capacitord.api.review import Candidate, HeldDetail
    from capacitord.api.worklist import Entry
    from fluxctl.render.look import Look

_SHORTEST: Final = 4
"""Characters of an entry's id that are enough to mean it."""


class Given(NamedTuple):
    """What is known of a release: where to, why, and as the study of which worklist entry.

    `images` is how many a person was shown and said yes to, and `whose` they are (`model.patient.summary`); None and
    empty where nobody was asked.
    """

    to: tuple[str, ...]
    reason: str
    match: str | None
    images: int | None = None
    whose: str = ""


def settled(client: Client, study: str, given: Given, *, yes: bool, json: bool) -> tuple[str, Given]:
    """Return the study's short id and all that a release takes; what is not given is asked for.

    Raises `Refused`, with what is missing, where there is nobody to ask, and where the answer is no.
    """
    possible = ask.possible(json=json) and not yes
    missing = [
        name
        for name, there in (("--to", given.to), ("--reason", given.reason.strip()), ("--yes", yes))
        if not (there or possible)
    ]
    if missing:
        raise Refused(
            f"a release takes {' and '.join(missing)}, and there is nobody to ask",
            hint='Give them: fluxctl release STUDY --to DEST --reason "…" [--match ENTRY] --yes',
        )
    found = client.held_show(study)
    short = found.held.study.id
    if not possible:
        return short, given
    if found.refusal is not None:
        raise from_problem(found.refusal)
    show_first(lambda look: _page(found, look))
    given = given if given.match else given._replace(match=_asked_entry(client, found.held.candidates) or None)
    given = given if given.to else given._replace(to=_asked_destinations(found.destinations))
    given = given._replace(reason=ask.reason(given.reason, "Why is it released? ", yes=False, json=json))
    entry = client.worklist_show(given.match).entry if given.match else None
    if entry is not None:
        # What it was called by may be another one's when she has read the question.
        given = given._replace(match=entry.id)
    ask.agreed(_question(found, given.to, entry), yes=False, json=json)
    going = [(Patient(each.name, each.id, each.birth_date), each.release) for each in found.held.patients]
    return short, given._replace(images=sum(images for _, images in going), whose=summary(going))


def _page(found: HeldDetail, look: Look) -> RenderableType:
    from fluxctl.render.held import shown  # noqa: PLC0415 - rich, for people only

    return shown(found, look)


def _asked_entry(client: Client, candidates: Sequence[Candidate]) -> str:
    """Return which worklist entry the study belongs to, as a person says; empty for none."""
    if not candidates:
        say("No entry of the worklist comes near it. Others, by their ids: fluxctl worklist list")
    numbers = "".join(f"{number}, " for number in range(1, len(candidates) + 1))
    while True:
        typed = ask.line(
            f"Which entry does it belong to? [{numbers}the id of {'another' * bool(numbers) or 'one'}, none] "
        )
        if typed.lower() in {"none", "n", "no"}:
            return ""
        if typed.isdecimal() and 1 <= int(typed) <= len(candidates):
            return candidates[int(typed) - 1].entry.id
        known = _entry(client, typed) if len(typed) >= _SHORTEST else None
        if known is not None:
            return known.id
        say(
            f"Type {'one of the numbers, ' * bool(numbers)}the id of an entry as fluxctl worklist list has it, or none."
        )


def _entry(client: Client, reference: str) -> Entry | None:
    """Return the entry of the worklist that a person means, None if there is none or several are meant."""
    try:
        return client.worklist_show(reference).entry
    except (NotFound, Ambiguous):
        return None


def _asked_destinations(names: Sequence[str]) -> tuple[str, ...]:
    """Return the destinations that a person names, of those of this site."""
    if not names:
        raise NotFound("this site has no destination", hint="Add one to the profile.")
    while True:
        typed = ask.line(f"To which destinations of this site? [{', '.join(names)}] ").replace(",", " ").split()
        unknown = [name for name in typed if name not in names]
        if typed and not unknown:
            return tuple(dict.fromkeys(typed))
        say(f"{', '.join(unknown)}: no destination of this site." if unknown else "Type a name, or several.")


def _question(found: HeldDetail, to: Sequence[str], entry: Entry | None) -> str:
    """Return the confirmation: patient, study, destination and entry, in words."""
    from fluxctl.render.held import awaited, patient_of, patients_of  # noqa: PLC0415 - rich, for people only
    from fluxctl.render.words import count  # noqa: PLC0415

    study = found.held.study
    going = [(each, each.release) for each in found.held.patients if each.release]
    what = " ".join(part for part in ("/".join(study.modalities), study.description) if part)
    images = count(sum(number for _, number in going), "image")
    words = f"Send {images} of study {study.id} of {patients_of(going)}, {what or 'a study'}"
    own = Patient(study.patient_name, study.patient_id, study.birth_date)
    if several((own, *(Patient(each.name, each.id, each.birth_date) for each, _ in going))):
        words += f" (the study began as one of {patient_of(*own)})"
    if entry is not None:
        words += f", as the study of {awaited(entry)} (entry {entry.id})"
    else:
        words += ", as it is"
    return f"{words}, to {' and '.join(to)}?"
