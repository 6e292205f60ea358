"""When a study counts as arrived, and whether its images wait for that: decided here, over facts.

Quiet time closes a study after nothing came for so long. Evidence (a storage commitment request, or an MPPS that is
over) closes it at once where it names exactly the images that are here. Where it names others as well, or not all that
are here, or none, they get as long as quiet time takes before the study is closed without them.

Where whole studies only leave, closing is not all: while one image of a study cannot leave, no other does
(`why_together`). A person decides on that image, or another version of the profile does where that is what holds it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from capacitord.model.delivery import Send


class Event(enum.StrEnum):
    """What tells that a study is complete."""

    COMMITMENT = "commitment"
    MPPS = "mpps"
    QUIET = "quiet"


class Completeness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What closes a study, whichever comes first, and whether only whole studies leave.

    `quiet` is in seconds; None is the box's own.
    """

    closes: tuple[Event, ...] = (Event.QUIET,)
    quiet: float | None = None
    send: Send = Send.IMAGE

    @property
    def whole(self) -> bool:
        """Whether nothing of a study leaves before it is complete."""
        return self.send is Send.STUDY


BY_QUIET: Final = Completeness()


class Witness(NamedTuple):
    """What was said of a study by one kind of evidence, all of it together.

    `over` is false while an MPPS is in progress. Of the images that are `named` some are `missing`; of those that are
    here some are `unnamed`.
    """

    event: Event
    over: bool
    named: int
    missing: int
    unnamed: int

    @property
    def satisfied(self) -> bool:
        """Whether exactly the images are here that it names."""
        return self.over and self.named > 0 and not self.missing and not self.unnamed


class Obstacles(NamedTuple):
    """How many images of a study cannot leave with the others.

    They are `held` for what is in them or what matching found; they came `twice`, with other content, and nobody has
    said which it is; or they were `damaged` before anybody got them.
    """

    held: int = 0
    twice: int = 0
    damaged: int = 0


def why_together(obstacles: Obstacles) -> str:
    """Return why the other images of a study wait, where whole studies only leave; empty if they may leave."""
    found = [
        f"{_images(number)} of the study {'is' if number == 1 else 'are'} {what}"
        for number, what in (
            (obstacles.held, "held"),
            (obstacles.twice, "in conflict with another of the same UID"),
            (obstacles.damaged, "damaged"),
        )
        if number
    ]
    return f"{' and '.join(found)}, and whole studies only are sent" if found else ""


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def closed_by(rules: Completeness, idle: float, box_quiet: float, witnesses: Sequence[Witness]) -> Event | None:
    """Return what closes a study now, None if nothing does.

    `idle` is since when nothing came of it, neither an image nor evidence, and `box_quiet` what the box takes for
    quiet, both in seconds.
    """
    heard = [witness for witness in witnesses if witness.event in rules.closes]
    for witness in heard:
        if witness.satisfied:
            return witness.event
    if idle < (box_quiet if rules.quiet is None else rules.quiet):
        return None
    if Event.QUIET in rules.closes:
        return Event.QUIET
    return next((witness.event for witness in heard if witness.over), None)
