"""Where an image goes, as whoever knows the routes says it to the spool, and what the spool keeps of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.model.image import Arrival, Facts
from capacitord.model.reasons import UNCHANGEABLE, WORDS
from capacitord.model.reasons import Reason as Why


class Standing(enum.IntEnum):
    """What became of the question where an image goes; everything above `OPEN` is held, and `REASONS` says why.

    The numbers are in catalogs: they are never given another meaning. Below zero, the same number stands for an image
    that was held so and is set aside now. An image in conflict is `DECIDED`, to go nowhere; set aside it is a
    `DUPLICATE`.
    """

    DECIDED = 0
    OPEN = 1
    NO_ROUTE = 2
    UNREADABLE = 3
    UNKNOWN_DESTINATION = 4
    INVALID = 5
    MISSING = 6
    TOGETHER = 7
    TRANSFORM_FAILED = 8
    DUPLICATE = 9
    UNMATCHED = 10
    AMBIGUOUS = 11
    CONFLICT = 12


class Reason(NamedTuple):
    """Why images are held: a word for programs, a sentence, and the next step of a person (`{study}` is the short id).

    Another version of the profile decides again, if that is what they are held by (`by_profile`).
    """

    word: str
    sentence: str
    next_step: str
    by_profile: bool = True


def _reason(why: Why, *, by_profile: bool = True) -> Reason:
    return Reason(why.value, *WORDS[why], by_profile)


REASONS: Final[Mapping[Standing, Reason]] = MappingProxyType(
    {
        Standing.NO_ROUTE: _reason(Why.NO_ROUTE),
        Standing.UNREADABLE: _reason(Why.UNREADABLE),
        Standing.UNKNOWN_DESTINATION: _reason(Why.UNKNOWN_DESTINATION),
        Standing.INVALID: _reason(Why.INVALID),
        Standing.MISSING: _reason(Why.MISSING_IMAGES, by_profile=False),
        Standing.TOGETHER: _reason(Why.TOGETHER, by_profile=False),
        Standing.TRANSFORM_FAILED: Reason(Why.TRANSFORM_FAILED.value, *UNCHANGEABLE),
        Standing.DUPLICATE: _reason(Why.DUPLICATE, by_profile=False),
        Standing.UNMATCHED: _reason(Why.UNMATCHED, by_profile=False),
        Standing.AMBIGUOUS: _reason(Why.AMBIGUOUS, by_profile=False),
        Standing.CONFLICT: _reason(Why.CONFLICT, by_profile=False),
    }
)
"""Of each standing that holds images."""


class Routed(NamedTuple):
    """A decision, made under a version of the profile.

    `route` counts from 1; None stands for every destination of a profile without routes. `priority` grows with
    urgency, 0 is routine. An image that is held has a `standing` above `OPEN`, a reason in words, and goes nowhere. One
    that follows a person's release has that `release`.
    """

    version: int
    to: tuple[str, ...] = ()
    route: int | None = None
    else_to: tuple[str, ...] = ()
    else_after: float = 0.0
    priority: int = 0
    standing: Standing = Standing.DECIDED
    held: str = ""
    release: int | None = None


Decide = Callable[[Facts, Arrival], Routed | None]
"""Says where an image goes by what is known while it is filed; None if that takes its attributes, and comes later."""

BY_A_PERSON: Final = 0
"""The route of an image that a person has sent somewhere."""

UNMATCHED_ROUTE: Final = -1
"""The route of an image that nothing matches and that the profile sends somewhere all the same."""


class Reachable(NamedTuple):
    """What is known of destinations when another one has to stand in for one of them.

    `named` are those that may be sent to at all. `unusable` are those of them that take nothing now: paused, or
    failing, and for how many seconds (infinite for paused).
    """

    named: Collection[str]
    unusable: dict[str, float]


NOWHERE: Final = Reachable((), {})


def stand_in(
    spare: Sequence[str], taken: Collection[str], reachable: Reachable, patience: float, *, waits: bool
) -> str | None:
    """Return who stands in for a destination, None if it is to stay: the first of `spare` that may.

    It is none that the image was sent to or waits for already (`taken`), and none that has been failing for longer
    than the `patience` of the image's own route. Where the image cannot go on to wait where it is, as it was refused
    there, the first that may be sent to at all is better than nobody.
    """
    free = [name for name in spare if name in reachable.named and name not in taken]
    ready = [name for name in free if reachable.unusable.get(name, 0.0) < patience]
    if ready:
        return ready[0]
    return free[0] if free and not waits else None
