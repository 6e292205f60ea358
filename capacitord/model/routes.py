"""Which destinations an image goes to: the first route whose condition holds, and no other."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from capacitord.model.conditions import ALWAYS, Condition, Reason, Subject, explain, holds


class Priority(enum.StrEnum):
    """What leaves first, the most urgent first."""

    STAT = "stat"
    HIGH = "high"
    ROUTINE = "routine"
    LOW = "low"

    @property
    def rank(self) -> int:
        """A number to sort by: smaller is sooner."""
        return list(Priority).index(self)

    @property
    def urgency(self) -> int:
        """A number that grows with urgency; 0 is routine."""
        return Priority.ROUTINE.rank - self.rank

    @classmethod
    def of(cls, urgency: int) -> Priority:
        """Return which one has this urgency, or comes nearest to it."""
        return min(cls, key=lambda each: abs(each.urgency - urgency))


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """One `[[route]]`.

    Images go to all of `to`. Where one of these can't be reached for `else_after` seconds, or refuses for good, the
    next of `else_to` takes its place, in order.
    """

    to: tuple[str, ...]
    when: Condition = ALWAYS
    else_to: tuple[str, ...] = ()
    else_after: float = 900.0
    priority: Priority = Priority.ROUTINE


class Considered(msgspec.Struct, frozen=True):
    """A route that was looked at, by its number from 0, and whether and why it matched."""

    route: int
    reason: Reason


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image goes. Without a `route` it goes nowhere and is held."""

    considered: tuple[Considered, ...]
    route: int | None = None
    to: tuple[str, ...] = ()
    else_to: tuple[str, ...] = ()
    else_after: float = 0.0
    priority: Priority = Priority.ROUTINE

    @property
    def held(self) -> str:
        """Why the image is held, in a sentence without patient data; empty if it is not."""
        if self.route is not None:
            return ""
        count = len(self.considered)
        return f"no route of the profile matches it ({count} {'was' if count == 1 else 'were'} tried)"


def choose(routes: Sequence[Route], subject: Subject) -> int | None:
    """Return the number of the first route that matches, None if none does; what `decide` says, and faster."""
    return next((number for number, route in enumerate(routes) if holds(route.when, subject)), None)


def decide(routes: Sequence[Route], subject: Subject) -> Decision:
    """Return where an image goes, and why: the route that matches and those before it, which do not."""
    considered: list[Considered] = []
    for number, route in enumerate(routes):
        reason = explain(route.when, subject)
        considered.append(Considered(number, reason))
        if reason.holds:
            return Decision(tuple(considered), number, route.to, route.else_to, route.else_after, route.priority)
    return Decision(tuple(considered))


def stand_ins(decision: Decision, unusable: frozenset[str]) -> tuple[str, ...]:
    """Return where an image goes when some destinations can't be used: each is replaced, in order, by what is left.

    `unusable` names those that could not be reached for `else_after` seconds or refused for good. A destination for
    which no stand-in is left stays, so that the image waits for it.
    """
    spare = [name for name in decision.else_to if name not in unusable and name not in decision.to]
    return tuple(dict.fromkeys(name if name not in unusable or not spare else spare.pop(0) for name in decision.to))
