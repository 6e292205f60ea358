"""What a profile would do with images: the answers of `profile try` and `study explain`.

They hold patient data: the values of attributes before and after, and those that conditions looked at.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Final

from capacitord.api.messages import Ack, Answer, Decided, Message, Study
from capacitord.model.conditions import Reason

_ITEM: Final = re.compile(r"\[\d+\]")


class Fate(enum.StrEnum):
    """What becomes of an image at one destination."""

    LEAVES = "leaves"
    HELD = "held"
    BARRED = "barred"


class Syntax(Answer, frozen=True):
    """A transfer syntax: its UID and what people call it."""

    uid: str
    name: str


class TriedRoute(Answer, frozen=True):
    """A route that was looked at, by its place in the profile, counted from 1.

    `decisive` are the conditions that made it match or not; `reason` is all of its condition, as a tree.
    """

    route: int
    matches: bool
    decisive: tuple[Reason, ...]
    reason: Reason


class Changed(Answer, frozen=True):
    """An attribute that was changed, by which operation of which transform; `transform` is empty if none did it.

    `tag` is "(0010,0020)", within sequences that of each step with its item from 1: "(0040,0275)[1].(0040,1001)".
    `before` is None if it was not there, `after` if it is there no more.
    """

    tag: str
    name: str
    before: str | None
    after: str | None
    transform: str
    operation: str


class Skipped(Answer, frozen=True):
    """An operation that could not be carried out, and that the profile lets an image go without."""

    transform: str
    operation: str
    attribute: str
    reason: str


class Leaving(Answer, frozen=True):
    """The copy of an image for one destination.

    `stands_in` names it as one of `else_to`, which gets the image only in place of another. `reason` says why it is
    held, or why nothing is sent there. `changes` are all that were made since it was received, inbound ones too.
    It leaves in `transfer_syntax`, with a dataset of `bytes`, if the destination accepts that; `otherwise` are those
    it is offered in after that, in order. They were written to see whether they can be, unless the image is too large
    to see that at once: then they are `untried`. `not_otherwise` says why it is held where the destination accepts none
    of these, but a syntax it cannot be written in. `unlisted`: the profile does not list the syntax it leaves in.
    `remark` says why it leaves otherwise than the profile asks for first.
    """

    destination: str
    ae_title: str
    fate: Fate
    reason: str = ""
    stands_in: bool = False
    deidentified: bool = False
    as_received: bool = False
    changes: tuple[Changed, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    transfer_syntax: Syntax | None = None
    otherwise: tuple[Syntax, ...] = ()
    bytes: int | None = None
    remark: str = ""
    not_otherwise: str = ""
    untried: bool = False
    unlisted: bool = False


class Trial(Answer, frozen=True):
    """What a profile would do with one image that came like this. `local` is when, on the wall clock of the site.

    It goes to all of `to`; `else_to` may stand in for them, in order. `route` counts from 1; it is None in a profile
    that sends every image everywhere, and -1 for what nothing on the worklist matches, where such images go all the
    same. `findings` say what is wrong with it. `reconciled` is what a worklist entry
    changes in every copy, where a person has released its study with one. An image that is `held` goes nowhere, for
    that reason. `destinations` are those that were asked for, of both.
    """

    sop_class: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    transfer_syntax: Syntax
    bytes: int
    calling_ae_title: str
    called_ae_title: str
    local: datetime
    inbound: tuple[Changed, ...] = ()
    inbound_skipped: tuple[Skipped, ...] = ()
    reconciled: tuple[Changed, ...] = ()
    findings: tuple[str, ...] = ()
    routes: tuple[TriedRoute, ...] = ()
    route: int | None = None
    held: str = ""
    to: tuple[str, ...] = ()
    else_to: tuple[str, ...] = ()
    priority: str = ""
    destinations: tuple[Leaving, ...] = ()

    @property
    def leaves(self) -> bool:
        """Whether it leaves for every destination of its route; those that may stand in do not count."""
        return not self.held and all(each.fate is Fate.LEAVES for each in self.destinations if not each.stands_in)

    @property
    def likeness(self) -> Hashable:
        """What is equal for images that are dealt with alike, whatever their values and sizes."""
        return (
            self.transfer_syntax.uid,
            _alike((*self.inbound, *self.reconciled), self.inbound_skipped),
            tuple((tried.route, tried.matches, tuple(each.what for each in tried.decisive)) for tried in self.routes),
            (self.held, self.findings),
            (self.to, self.else_to, self.priority),
            tuple(_leaving_alike(each) for each in self.destinations),
        )


def _leaving_alike(leaving: Leaving) -> Hashable:
    return (
        leaving.destination,
        leaving.fate,
        leaving.reason,
        leaving.stands_in,
        leaving.deidentified,
        _alike(() if leaving.deidentified else leaving.changes, leaving.skipped),
        leaving.transfer_syntax,
        (leaving.otherwise, leaving.not_otherwise, leaving.untried, leaving.unlisted),
        leaving.remark,
    )


def _alike(changes: Iterable[Changed], skipped: Iterable[Skipped]) -> Hashable:
    """Return what was changed by what. De-identification takes away whatever there is, so it is not asked."""
    done = frozenset((_ITEM.sub("", each.tag), each.transform, each.operation) for each in changes)
    return done, frozenset((each.attribute, each.transform, each.operation, each.reason) for each in skipped)


# --- profile try --------------------------------------------------------------------------------------


class TriedFile(Answer, frozen=True):
    """A file and what became of it: a trial, or a `problem` in words. `written` are the files it was written to.

    Files whose images are dealt with alike have the same `group`, counted from 1.
    """

    file: str
    problem: str = ""
    remark: str = ""
    group: int | None = None
    trial: Trial | None = None
    written: tuple[str, ...] = ()


class ProfileTrial(Answer, frozen=True):
    """What a profile would do with the images of these files. Files that are not DICOM have a problem.

    `made_up_key` says that hashes and pseudonyms are made with a key of this run, so that those of the box differ.
    """

    file: str
    id: str
    name: str
    version: int
    timezone: str
    made_up_key: bool
    files: tuple[TriedFile, ...]


# --- study explain ------------------------------------------------------------------------------------


class Explain(Message, frozen=True):
    """Say what was decided for a study and why; `image` asks for one image, by the beginning of its id or UID."""

    study: str
    image: str = ""


class Recorded(Answer, frozen=True):
    """What was decided for an image, and what became of it so far; the fields are those of `messages.Image`."""

    profile_version: int
    route: int | None = None
    routing: str = ""
    held: str = ""
    acks: tuple[Ack, ...] = ()


class Explained(Answer, frozen=True):
    """Images of a study that are dealt with alike, and one of them as an example.

    `opened` of the `images` were looked into. They are sent as the worklist `entry` says, if there is one. `trial` is
    what the profile in force would do with the example now, None if it cannot be read; then `problem` says why.
    """

    images: int
    opened: int
    series: tuple[str, ...]
    object_id: str
    recorded: Recorded
    trial: Trial | None = None
    problem: str = ""
    entry: str = ""


class StudyExplained(Answer, frozen=True):
    """What was decided for the images of a study, and what version `version` of the profile would do now.

    `unopened` images are those of kinds beyond the bound on how many are looked into. `awaited` says why none is
    matched with the worklist yet of those that are not decided, empty if that keeps them from nothing.
    """

    schema: str
    study: Study
    version: int
    groups: tuple[Explained, ...]
    unopened: int = 0
    decided: Decided | None = None
    awaited: str = ""


class Groups:
    """Numbers from 1 for what is alike, in the order in which it is met."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def number(self, likeness: Hashable) -> int:
        """Return the number of a likeness, a new one if it was not met before."""
        return self._numbers.setdefault(likeness, len(self._numbers) + 1)
