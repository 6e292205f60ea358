"""What a delivery knows at one moment: who is sending, what has gone wrong, and what it owes whom.

`dispatch` decides by the facts that are drawn from it. Nothing here waits or does I/O. Times are seconds of one
monotonic clock, given by the caller, who also sees to it that one thread at a time is here.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final, NamedTuple

from capacitord.model.outcome import Outcome
from capacitord.site import backoff
from capacitord.site import circuit as circuits
from capacitord.site.backoff import Backoff
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.dispatch import Facts
from capacitord.site.sender import Finish, Sender

_CROWDED: Final = 60.0
_REFUSING: Final = 10.0
"""Seconds at most until a destination that can be reached and refuses everything is offered an image again."""
_HINDERED: Final = Backoff(base=1.0, cap=30.0)


class State(NamedTuple):
    """How a destination is doing.

    `hindrance` is what keeps this box from delivering, empty if nothing does; `hindered_until` is when it is tried
    again, a time of the monotonic clock.
    """

    paused: bool
    circuit: Circuit
    hindrance: str
    senders: tuple[Sender, ...]
    hindered_until: float = float("-inf")


class Situation:
    """The situation of one destination's delivery. It begins with everything to be done.

    `associations` is how many there may be at once, `pace` how soon it is tried again after it failed.
    """

    def __init__(self, associations: int, pace: Backoff, now: float) -> None:
        self.circuit = Circuit()
        self.senders: list[Sender] = []
        # Until the ledger has said whether an operator paused it, nothing is sent.
        self.paused = True
        self.begun = self.stopping = False
        self.news = self.owed = self.unexplained = True
        self.hindrance, self.hindered_until = "", float("-inf")
        self.dealt = False
        """Whether the peer has dealt with an image since the start."""
        self.refusing = False
        """Whether the peer, when it failed last, could be reached and took nothing."""
        self._looked_at, self._explained_at = now, float("-inf")
        self._hindrances = 0
        self._associations, self._pace = associations, pace
        self._crowd, self._more_at = associations, float("-inf")
        self._random = random.SystemRandom()

    @property
    def looked_at(self) -> float:
        """When the queue was looked at last."""
        return self._looked_at

    def facts(self, now: float, rest_ends: float | None = None, *, trouble: bool) -> Facts:
        """Return what is decided by; `trouble` says that the ledger takes no answers."""
        return Facts(
            now=now,
            circuit=self.circuit,
            news=self.news,
            owed=self.owed,
            unexplained=self.unexplained,
            stopping=self.stopping,
            paused=self.paused,
            senders=len(self.senders),
            established=sum(sender.is_established for sender in self.senders),
            lingering=sum(sender.lingers for sender in self.senders),
            most=self._crowd if now < self._more_at else self._associations,
            looked_at=self._looked_at,
            explained_at=self._explained_at,
            hindered_until=float("inf") if trouble else self.hindered_until,
            rest_ends=rest_ends,
            more_at=self._more_at if self._more_at > self._looked_at else None,
        )

    def state(self, now: float, trouble: str, trouble_until: float) -> State:
        """Return how the destination is doing; `trouble` is why the ledger takes no answers, empty if it does."""
        hindrance, until = self.hindrance if self.hindered_until > now else "", self.hindered_until
        if trouble:
            hindrance, until = trouble, trouble_until
        return State(self.paused and self.begun, self.circuit, hindrance, tuple(self.senders), until)

    # --- what is done -----------------------------------------------------------------------------

    def begins(self, *, paused: bool) -> None:
        """Take notice of what the ledger remembers, unless an operator has said something since."""
        if not self.begun:
            self.paused, self.begun = paused, True

    def pauses(self, *, paused: bool) -> None:
        """Take notice that an operator paused it, or had it go on."""
        self.paused, self.begun = paused, True
        self.owed = self.unexplained = True

    def looks(self, now: float) -> None:
        """Take notice that the queue is looked at."""
        self.news = self.owed = False
        self._looked_at = now

    def explains(self, now: float) -> bool:
        """Take notice that what waits is told why; return whether that was asked for."""
        asked = self.unexplained
        self.owed |= self.news
        self.news = self.unexplained = False
        self._explained_at = now
        return asked

    def hastened(self, now: float) -> None:
        """Take notice that everything is to be tried now, whatever has gone wrong."""
        self.circuit = circuits.hastened(self.circuit, now)
        self.hindered_until = self._more_at = float("-inf")
        self.owed = True

    def began(self, sender: Sender, now: float) -> None:
        """Take notice of another association."""
        self.circuit = circuits.began(self.circuit, now)
        self.senders.append(sender)

    # --- what comes of it -------------------------------------------------------------------------

    def hindered(self, words: str, now: float) -> bool:
        """Take notice that this box itself cannot deliver for a while; return whether it could until now."""
        self._hindrances += 1
        self.hindrance = words
        self.hindered_until = now + backoff.next_delay(self._hindrances, self._random, _HINDERED)
        self.owed = True
        return self._hindrances == 1

    def unhindered(self) -> None:
        """Take notice that this box can deliver."""
        self._hindrances = 0

    def answers(self) -> bool:
        """Take notice that the peer deals with images; return whether something speaks against it still.

        Needs no care of the caller, so that an image costs next to nothing.
        """
        self.unhindered()
        self.dealt = True
        return bool(self.circuit.failures) or self.circuit.state is not CircuitState.CLOSED

    def succeeded(self) -> None:
        """Take notice that nothing speaks against the destination any more."""
        self.circuit = circuits.succeeded(self.circuit)
        self.owed = True

    def finished(self, sender: Sender, finish: Finish, now: float) -> bool:
        """Take notice that an association is over; return whether that is held against the destination."""
        self.senders.remove(sender)
        self.owed = self.unexplained = True
        failed = finish.failure is not None and self._fails(sender, finish, finish.failure, now)
        if not failed:
            self.circuit = circuits.abandoned(self.circuit, now)
        return failed

    def _fails(self, sender: Sender, finish: Finish, outcome: Outcome, now: float) -> bool:
        """Hold a failure against the destination, if it is one of its own; return whether it is."""
        beside = sum(other.is_established for other in self.senders)
        if beside and not sender.is_established:
            # It takes images on the others: so it is not down, it takes no more associations.
            self._crowd, self._more_at = beside, now + _CROWDED
            return False
        if self.circuit.state is not CircuitState.HALF_OPEN and not self.circuit.may_begin(now):
            # Several associations ended of one cause, and one of them was counted.
            return False
        # Perhaps it refuses only what has waited until now: what comes next is not to wait for that.
        self.refusing = finish.refusing
        pace = sooner(self._pace) if finish.refusing else self._pace
        delay = backoff.next_delay(self.circuit.failures + 1, self._random, pace)
        self.circuit = circuits.failed(self.circuit, now, outcome, delay)
        return True


def sooner(pace: Backoff) -> Backoff:
    """Return the pace at which a destination is tried that can be reached and refuses everything."""
    return replace(pace, cap=max(pace.base, min(pace.cap, _REFUSING)))
