"""Studies that wait for a person, as the control socket tells them. All of it but the requests holds patient data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from capacitord.api.messages import Answer, Decided, Message, Operator, Reason, Secret, Study
from capacitord.api.worklist import Entry
from capacitord.errors import Problem


class ListHeld(Message, frozen=True):
    """Which to list: the oldest first, `limit` at most; `after` is the `next` of the last page."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200
    after: str = ""


class Release(Message, frozen=True):
    """Send what is held of a study to destinations of this site. With `match`, as the study of that worklist entry.

    An empty `match` is refused: whoever asks by a program, and has no entry, has asked for something else.
    `mixed` says that a person knows and wants that images of several patients are in one study then. Without it that is
    refused: where the held images are of several, or, without `match`, of another one than the rest. `images` is how
    many she was shown, None if she was shown none: if it is another number now, that is refused as well. So it is if
    they are of others than she was shown: `whose` is the `capacitord.model.patient.summary` of these, empty if she was
    shown nobody.
    """

    study: str
    destinations: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    reason: Reason
    match: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    operator: Operator = ""
    mixed: bool = False
    images: int | None = None
    whose: Annotated[str, msgspec.Meta(max_length=64)] = ""

    def __repr__(self) -> str:
        return f"Release({', '.join(self.destinations)})"


class DiscardHeld(Message, frozen=True):
    """Discard what is held of a patient in a study; it can be had back for a while.

    `patient_name` repeats the patient's name, as `capacitord.model.patient.to_type` asks for it.
    """

    study: str
    reason: Reason
    patient_name: Secret
    operator: Operator = ""


class RestoreHeld(Message, frozen=True):
    """Have back what was discarded of a study."""

    study: str
    operator: Operator = ""


class Candidate(Answer, frozen=True):
    """An entry that a study may belong to, with the keys in which it agrees and differs (`MatchKey`)."""

    entry: Entry
    agreeing: tuple[str, ...]
    differing: tuple[str, ...]
    suggested: bool = False


class HeldPatient(Answer, frozen=True):
    """A patient of images that wait, as these say it, and how many `images` of that patient wait for a person.

    `release` of them are what a release would send, and `discard` what a discard in this patient's name is about.
    """

    name: str
    id: str
    birth_date: str
    images: int
    release: int
    discard: int


class Held(Answer, frozen=True):
    """A study that waits (`held_for` says why), and the nearest entries of the worklist, the nearest first.

    All of the entries share with it an id, an accession number, a Study Instance UID, or name and birth date, or came
    into question by the rules of the profile; `more` counts those that are left out here. `said` is what its images say
    they are, by the keys of matching, one for each that differs. `patients` are those of the images that wait: they may
    be others than the study's first image said. A list has a few of both; `more_said` and `more_patients` count those
    that it leaves out.
    """

    study: Study
    candidates: tuple[Candidate, ...] = ()
    said: tuple[dict[str, str], ...] = ()
    patients: tuple[HeldPatient, ...] = ()
    more: int = 0
    more_said: int = 0
    more_patients: int = 0


class HeldList(Answer, frozen=True):
    """A page of studies that wait; `next` is empty on the last one. `destinations` are those of this site."""

    schema: str
    held: tuple[Held, ...]
    total: int
    destinations: tuple[str, ...] = ()
    next: str = ""


class Line(Answer, frozen=True):
    """One key of matching: what the images say, what each candidate says, and whether these agree.

    Values are as they were written, and compared without what does not count in them. A candidate's `agrees` is None
    where one of the two says nothing, and False where images differ among each other in who the patient is.
    """

    key: str
    study: str
    entries: tuple[str, ...]
    agrees: tuple[bool | None, ...]


class HeldDetail(Answer, frozen=True):
    """A study that waits, side by side with its candidates, and what a person decided of it before.

    `refusal` is why a release would be refused now. What was discarded of it can be had back until `restorable_until`,
    if the box stays on: time for which it is off does not count, so it may be later, and never earlier. None if nothing
    was discarded.
    """

    schema: str
    held: Held
    lines: tuple[Line, ...]
    destinations: tuple[str, ...]
    decided: Decided | None = None
    restorable_until: datetime | None = None
    refusal: Problem | None = None
