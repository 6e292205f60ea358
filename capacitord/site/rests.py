"""Who has to let others go first at a destination: images it refused for now, and studies full of such images.

A destination that says *later* to one image may take the next. So the image rests, longer each time, and after that
it goes when nothing else is there to go. Three images of a study in a row, and the same is true of the whole study.
Three studies in a row, and it is the destination that takes nothing: that is for its circuit. Whatever goes well
ends the row.

Nothing here waits, reads a clock or does I/O. Times are seconds of one monotonic clock, given by the caller.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, NamedTuple

FIRST: Final = 5.0
"""Seconds of the first rest; each following one is twice as long."""

LONGEST: Final = 900.0
IN_A_ROW: Final = 3


class Turn(enum.Enum):
    """When an image may go."""

    NOW = enum.auto()
    BEHIND_OTHERS = enum.auto()
    LATER = enum.auto()


class Rest(NamedTuple):
    """Why a study or some of its images rest, and until when."""

    reason: str
    until: float


class Resting(NamedTuple):
    """Whole studies and single images that have to let others go first, by delivery and by delivery and image."""

    studies: frozenset[int]
    images: frozenset[tuple[int, int]]

    def has(self, delivery: int, image: int) -> bool:
        """Say whether an image is among them."""
        return delivery in self.studies or (delivery, image) in self.images


@dataclass(slots=True)
class _Image:
    until: float
    times: int
    reason: str


@dataclass(slots=True)
class _Study:
    row: set[int] = field(default_factory=set)
    times: int = 0
    until: float = float("-inf")
    reason: str = ""


class Rests:
    """The rests at one destination. A study is named by its delivery's number, an image by its own."""

    def __init__(self) -> None:
        self._images: dict[tuple[int, int], _Image] = {}
        self._studies: dict[int, _Study] = {}
        self._row: set[int] = set()

    def refused(self, delivery: int, image: int, reason: str, now: float) -> bool:
        """Let an image rest that was refused for now; return whether nothing at all seems to be taken."""
        known = self._images.setdefault((delivery, image), _Image(now, 0, reason))
        known.times, known.reason = known.times + 1, reason
        known.until = now + _length(known.times)
        study = self._studies.setdefault(delivery, _Study())
        study.row.add(image)
        study.reason = reason
        if len(study.row) >= IN_A_ROW:
            study.times += 1
            study.until = now + _length(study.times)
        self._row.add(delivery)
        return len(self._row) >= IN_A_ROW

    def broke_off(self, delivery: int, image: int, reason: str, now: float, *, suspect: bool) -> None:
        """Take notice that an association ended in the middle of an image.

        Unless the image is `suspect` the link is taken to be at fault, once. The second time it is refused.
        """
        if suspect or (delivery, image) in self._images:
            self.refused(delivery, image, reason, now)
        else:
            self._images[delivery, image] = _Image(now, 0, reason)

    def went_well(self, delivery: int, image: int) -> bool:
        """Take notice that the destination has dealt with an image: no row goes on beyond it.

        Returns whether others of its study may go because of that.
        """
        self._images.pop((delivery, image), None)
        self._row.clear()
        return self._studies.pop(delivery, None) is not None

    def forget(self, delivery: int, image: int) -> bool:
        """Forget an image that does not wait any more, and its study's rest if no other image is why it rests.

        Returns whether others of its study may go because of that.
        """
        self._images.pop((delivery, image), None)
        study = self._studies.get(delivery)
        if study is not None:
            study.row.discard(image)
        if study is None or study.row:
            return False
        del self._studies[delivery]
        return True

    def turn(self, delivery: int, image: int, now: float) -> Turn:
        """Return when an image may go. Nobody waits behind others for longer than the longest rest."""
        until = float("-inf")
        study, known = self._studies.get(delivery), self._images.get((delivery, image))
        if study is not None:
            until = study.until
        if known is not None and known.times:
            until = max(until, known.until)
        if until > now:
            return Turn.LATER
        return Turn.BEHIND_OTHERS if until > now - LONGEST else Turn.NOW

    def later(self, now: float) -> Resting:
        """Return all whose turn is `LATER`."""
        return self._until(now)

    def not_now(self, now: float) -> Resting:
        """Return all whose turn is not `NOW`."""
        return self._until(now - LONGEST)

    def _until(self, after: float) -> Resting:
        studies = frozenset(delivery for delivery, study in self._studies.items() if study.until > after)
        images = (key for key, image in self._images.items() if image.times and image.until > after)
        return Resting(studies, frozenset(key for key in images if key[0] not in studies))

    def ends(self, after: float) -> float | None:
        """Return when the first rest ends that goes on beyond `after`; None if none does."""
        ends = (rest.until for rests in (self._images, self._studies) for rest in rests.values())
        return min((end for end in ends if end > after), default=None)

    def by_study(self, now: float) -> dict[int, Rest]:
        """Return which deliveries have images that rest, with the last reason and the first end."""
        found: dict[int, Rest] = {}
        for (delivery, _), image in self._images.items():
            if image.until > now:
                before = found.get(delivery)
                until = image.until if before is None else min(before.until, image.until)
                found[delivery] = Rest(image.reason, until)
        for delivery, study in self._studies.items():
            if study.until > now:
                found[delivery] = Rest(study.reason, study.until)
        return found

    def hasten(self, now: float) -> None:
        """End every rest, so that all is tried again: behind what was never refused, or that would wait once more."""
        for rests in (self._images, self._studies):
            for rest in rests.values():
                rest.until = min(rest.until, now)
        self._row.clear()


def _length(times: int) -> float:
    return float(min(LONGEST, FIRST * 2 ** min(times - 1, 20)))
