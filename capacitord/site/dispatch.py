"""What a delivery does next: decided here, over facts, without threads, sockets or clocks.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from capacitord.site.circuit import Circuit

WORTH_ANOTHER: Final = 32
"""Images that have to wait for each association there is, before another one is opened beside it."""

EXPLAIN_EVERY: Final = 1.0
"""Seconds at least between two explanations of why new images wait."""

LOOK_AGAIN: Final = 60.0
"""Seconds after which the queue is looked at without being told to: a net below everything else."""


class Task(enum.Enum):
    """What there is to do."""

    END = enum.auto()
    LOOK = enum.auto()
    EXPLAIN = enum.auto()
    WAIT = enum.auto()


@dataclass(frozen=True, slots=True)
class Next:
    """A task; for WAIT the time at which to decide again at the latest."""

    task: Task
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a delivery.

    `news`: images have arrived. `owed`: the queue is to be looked at for another reason. `unexplained`: what waits may
    not say why. `senders` have an association or are about to, `established` of them were accepted, `lingering` of
    them have nothing to send; `most` is how many there may be now, and `more_at` when there may be more again.
    `hindered_until` is set while this box itself is not able to deliver. `rest_ends` is the first end of a rest since
    the last look.
    """

    now: float
    circuit: Circuit
    news: bool = False
    owed: bool = False
    unexplained: bool = False
    stopping: bool = False
    paused: bool = False
    senders: int = 0
    established: int = 0
    lingering: int = 0
    most: int = 1
    looked_at: float = 0.0
    explained_at: float = float("-inf")
    hindered_until: float = float("-inf")
    rest_ends: float | None = None
    more_at: float | None = None

    @property
    def blocked(self) -> bool:
        """Whether no association may be begun now."""
        return self.paused or self.hindered_until > self.now or not self.circuit.may_begin(self.now)


def decide(facts: Facts) -> Next:
    """Return what to do next."""
    if facts.stopping:
        return Next(Task.END)
    if facts.blocked:
        return _while_blocked(facts)
    timed = (facts.rest_ends, facts.more_at, facts.looked_at + LOOK_AGAIN)
    due = facts.news or facts.owed or any(at is not None and at <= facts.now for at in timed)
    if due and _worth_a_look(facts):
        return Next(Task.LOOK)
    if facts.unexplained and not facts.senders:
        return Next(Task.EXPLAIN)
    return Next(Task.WAIT, _earliest(facts, *timed))


def _while_blocked(facts: Facts) -> Next:
    if facts.senders:
        return Next(Task.WAIT, _earliest(facts))
    explain_at = facts.explained_at + EXPLAIN_EVERY if facts.news else None
    if facts.unexplained or (explain_at is not None and explain_at <= facts.now):
        return Next(Task.EXPLAIN)
    if facts.paused:
        return Next(Task.WAIT, _earliest(facts, explain_at))
    return Next(Task.WAIT, _earliest(facts, explain_at, max(facts.hindered_until, facts.circuit.next_try)))


def _worth_a_look(facts: Facts) -> bool:
    """Say whether a look into the queue could lead to anything: those who are busy look for themselves."""
    if not facts.senders or facts.lingering:
        return True
    return facts.senders == facts.established < facts.most


def _earliest(facts: Facts, *times: float | None) -> float:
    later = [at for at in times if at is not None and at > facts.now]
    return min([*later, facts.now + LOOK_AGAIN])


def worth_another(waiting: int, senders: int, established: int, most: int) -> bool:
    """Say whether another association should be opened for images that nobody has in hand.

    One at a time: the first finds out whether the destination answers at all, each other one whether it takes more.
    """
    return senders == established < most and waiting > senders * WORTH_ANOTHER
