"""Who stands in for a destination that cannot be reached: since when each one fails, and the move to others.

How long a destination has been failing is counted while the spool is open, by a clock that nobody sets, and outlives a
restart. But nothing moves before it has failed in this life as well: it may be back. It is forgotten when nothing
waits for it and it is due to be tried: nobody tries it then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from capacitord.model.routes import Priority
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.delivery import Delivery
from capacitord.spool.failover import FIRST, Failure, Key, Moved, Prospects
from capacitord.spool.ledger import Ended
from capacitord.spool.routed import Reachable
from capacitord.spool.store import Spool

_LONGEST: Final = 5.0
"""Seconds for which one look moves images of one destination."""

_IN_VAIN: Final = 60.0
"""Seconds after which a queue is looked through again of which nothing could move, though nothing seems to differ."""

LOG = logging.getLogger(__name__)


class _Look(NamedTuple):
    """A look through the queue of a destination that fails: what it depended on, where it is, whether it did good.

    `began` is monotonic. The next page lies `beyond`, unless the look has `ended`.
    """

    prospects: Prospects
    began: float
    beyond: Key = FIRST
    moved: bool = False
    ended: bool = False

    def after(self, moved: Moved) -> _Look:
        """Return the look as it is after another page."""
        return self._replace(
            beyond=moved.after or FIRST, moved=self.moved or moved.images > 0, ended=moved.after is None
        )


class StandIns:
    """Moves what waits for destinations that fail, as far as routes say so. `deliveries` are those in force now."""

    def __init__(
        self,
        spool: Spool,
        deliveries: Callable[[], Iterable[Delivery]],
        moved: Callable[[str, int, frozenset[str], Ended], None],
        wake: Callable[[int], None],
    ) -> None:
        """Call `moved` with where from, how many images, where to, and what ended with that; `wake` after it."""
        self._spool, self._deliveries, self._moved, self._wake = spool, deliveries, moved, wake
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._remembered: set[str] = set()
        self._anew: set[str] = set()
        self._looks: dict[str, _Look] = {}

    def begins_anew(self, name: str) -> None:
        """Forget how long a destination has been failing: its address, or what else it is, was changed."""
        with self._lock:
            self._anew.add(name)

    def reachable(self) -> Reachable:
        """Return what is known of all destinations."""
        named, unusable, now = [], {}, self._spool.tick()
        for delivery in self._deliveries():
            destination, state = delivery.destination, delivery.state()
            if destination.barred or not delivery.goes_on:
                continue
            named.append(destination.name)
            if state.paused:
                unusable[destination.name] = float("inf")
            elif _is_known_to_fail(state.circuit):
                unusable[destination.name] = now - self._since.get(destination.name, now)
        return Reachable(named, unusable)

    def wake(self) -> None:
        """Say that images went from one destination to another."""
        self._wake(Priority.STAT.urgency)

    def look(self) -> None:
        """Take notice of who fails, and let others stand in where it has lasted. Raises what the ledger raises."""
        for delivery in self._deliveries():
            self._note(delivery)
        for delivery in self._deliveries():
            name = delivery.destination.name
            since = self._since.get(name)
            state = delivery.state()
            if since is None or state.paused or delivery.destination.barred:
                continue
            if delivery.goes_on and _is_known_to_fail(state.circuit):
                self._stand_in(delivery, self._spool.tick() - since)

    def _note(self, delivery: Delivery) -> None:
        """Remember since when a destination fails, or that it does not any more."""
        name, circuit = delivery.destination.name, delivery.state().circuit
        failing = bool(circuit.failures)
        with self._lock:
            anew = name in self._anew
        since = None if anew else self._known_since(name)
        if (failing or since is not None) and not _is_known_to_fail(circuit):
            # Where nothing waits nobody tries it, so nobody knows whether it is back.
            forgotten = self._spool.ledger.urgency(name) is None
            failing = failing and not forgotten
            if forgotten and since is not None:
                self._spool.ledger.failing(name, None)
                since = None
        if failing and since is None:
            since = self._spool.tick()
            self._spool.ledger.failing(name, since)
        elif not failing and (anew or (since is not None and delivery.dealt)):
            self._spool.ledger.failing(name, None)
            since = None
        with self._lock:
            self._anew.discard(name)
            if since is None:
                self._since.pop(name, None)
            else:
                self._since[name] = since

    def _known_since(self, name: str) -> float | None:
        if name not in self._remembered:
            since = self._spool.ledger.failing_since(name)
            self._remembered.add(name)
            if since is not None:
                self._since[name] = since
        return self._since.get(name)

    def _stand_in(self, delivery: Delivery, failing: float) -> None:
        name = delivery.destination.name
        began = time.monotonic()
        clocks = (time.time_ns(), self._spool.tick())
        failure = Failure(name, failing, "took nothing" if delivery.refusing else "could not be reached")
        reachable = self.reachable()
        look = self._next_look(failure, reachable)
        if look is None:
            return
        with delivery.feed.at_rest() as in_hand:
            for moved in self._spool.ledger.stand_in(failure, reachable, clocks, apart=in_hand, beyond=look.beyond):
                look = look.after(moved)
                if moved.images:
                    delivery.feed.went_elsewhere(moved.keys)
                    self._moved(name, moved.images, moved.to, moved.ended)
                    self.wake()
                if time.monotonic() - began > _LONGEST:
                    # The rest is for the next look: others wait for the upkeep as well.
                    break
        self._looks[name] = look

    def _next_look(self, failure: Failure, reachable: Reachable) -> _Look | None:
        """Return where to go on with moving what waits for a destination, None if it would be in vain."""
        now, found = time.monotonic(), self._spool.ledger.prospects(failure, reachable)
        known = self._looks.get(failure.destination)
        if not found.ready:
            self._looks.pop(failure.destination, None)
            return None
        if known is not None and known.prospects.ready == found.ready:
            if not known.ended:
                return known
            if not known.moved and known.prospects.queue == found.queue and now - known.began < _IN_VAIN:
                return None
        return _Look(found, now)


def _is_known_to_fail(circuit: Circuit) -> bool:
    """Return whether a destination failed when it was tried last, and is not to be tried yet.

    One for which nothing waited is not tried: so what comes for it finds out whether it is back.
    """
    return (
        circuit.failures > 0 and not circuit.may_begin(time.monotonic()) and circuit.state is not CircuitState.HALF_OPEN
    )


def told(name: str, images: int, to: Iterable[str]) -> str:
    """Return in words what went from a destination to others."""
    what = "1 image that waited" if images == 1 else f"{images} images that waited"
    goes = "goes" if images == 1 else "go"
    return f"{what} for {name} {goes} to {' and '.join(sorted(to))} instead."
