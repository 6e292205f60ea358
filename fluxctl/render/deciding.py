"""What was decided of a study, by matching or by a person, in a sentence or two."""

from __future__ import annotations

from capacitord.api.messages import Decided
from capacitord.model.matching import MatchKey
from capacitord.model.review import State
from fluxctl.render.look import Look
from fluxctl.render.words import clock, one_line

_WORDS = {
    MatchKey.ACCESSION_NUMBER: "accession number",
    MatchKey.STUDY_INSTANCE_UID: "study UID",
    MatchKey.PATIENT_ID: "patient id",
    MatchKey.PATIENT_NAME: "name",
    MatchKey.PATIENT_BIRTH_DATE: "birth date",
    MatchKey.PATIENT_SEX: "sex",
    MatchKey.MODALITY: "modality",
    MatchKey.SCHEDULED_DATE: "date",
    MatchKey.SCHEDULED_STATION: "station",
    MatchKey.SCHEDULED_STEP: "step id",
    MatchKey.REQUESTED_PROCEDURE: "procedure id",
    MatchKey.STUDY_DESCRIPTION: "description",
}


_STATES: dict[str, str] = {State.LET_THROUGH: "unmatched, and let through"}
"""What a person calls a state of review, where that is not its own word."""


def word(key: str) -> str:
    """Return what a person calls a key of matching."""
    return _WORDS[MatchKey(key)] if key in list(MatchKey) else key


def said(found: Decided, look: Look) -> str:
    """Return what matching found for a study, or what a person decided, in a sentence or two."""
    when = clock(found.at, look)
    if found.state == "released":
        text = one_line(f"Released by {found.by} {when} to {', '.join(found.destinations)}: {found.reason}")
        return f"{text.rstrip('.')}. It goes as worklist entry {found.entry} says." if found.reconciled else text
    version = f"version {found.profile_version} of the profile"
    listed = "" if found.listed_at is None else f", on the list of {clock(found.listed_at, look)}"
    if found.entry:
        rule = " and ".join(map(word, found.rule))
        if found.steps:
            entries = f"{', '.join(found.steps[:-1])} and {found.steps[-1]}"
            return (
                f"Matched {when} with an order by {rule} ({version}{listed}). "
                f"Worklist entries {entries} are its steps, and the study does not say which one it is."
            )
        return f"Matched {when} with worklist entry {found.entry} by {rule} ({version}{listed})."
    text = f"Judged {when}: {_STATES.get(found.state, found.state)} ({version}{listed})."
    if found.suggestion:
        return f"{text} Entry {found.suggestion} matches since."
    return f"{text} {_against(found)}" if found.fields else text


def _against(found: Decided) -> str:
    """Return in what a study is another patient's than entries of its own order are, or its images are each other's."""
    fields = " and ".join(map(word, found.fields))
    if not found.candidates:
        return f"Its images differ in {fields}."
    entries = " and ".join(found.candidates)
    if found.state == State.AMBIGUOUS:
        rule = " and ".join(map(word, found.rule))
        return f"Entries {entries} have its {rule}; one fits its patient, and another differs in {fields}."
    return f"Its order is that of entry {entries}, and it differs from that in {fields}."
