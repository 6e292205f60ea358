"""All destinations of the site: each has its own delivery, and none knows of the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.dicom.echo import Echoed, echo
from capacitord.errors import NotFound, TryAgain
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.routes import Priority
from capacitord.site.backoff import DEFAULT, Backoff
from capacitord.site.connections import Connections
from capacitord.site.delivery import Delivery, Note
from capacitord.site.overview import destination_status
from capacitord.site.preparation.preparation import Preparation
from capacitord.site.sender import PASS_CALLING_AE
from capacitord.site.stand_ins import StandIns, told
from capacitord.spool.ledger import Ended
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_OWN_CALLING_AE: Final = "FLUXBOX"
_GRACE: Final = 5.0
_ECHO_PATIENCE: Final = 30.0


class _Wanted(NamedTuple):
    """Where a version of the profile has images delivered, by name."""

    destinations: dict[str, Destination]
    version: int


class Deliveries:
    """Starts, finds and ends deliveries as the profile names destinations."""

    def __init__(
        self,
        spool: Spool,
        connections: Connections,
        preparation: Preparation,
        note: Note,
        pace: Backoff = DEFAULT,
        *,
        queued: Callable[[], None] = lambda: None,
    ) -> None:
        """`queued` is called when images wait that waited elsewhere or not at all, so that they get their turns."""
        self.queued = queued
        self._spool, self._connections, self._preparation = spool, connections, preparation
        self._note, self._pace = note, pace
        self._one_change = threading.Lock()
        self._wanted = self._in_force = _Wanted({}, 0)
        # Those that have to end, and have not; what a version does not name must not go on being delivered.
        self._leaving: list[Delivery] = []
        # Replaced and never changed, so that whoever looks needs no lock.
        self._running: Mapping[str, Delivery] = {}
        self._ending = False
        self._stand_ins = StandIns(spool, self.all, self._moved, self._wake_for_moved)

    @property
    def version(self) -> int:
        """The version of the profile that says where to deliver."""
        return self._wanted.version

    def want(self, destinations: Iterable[Destination], profile_version: int) -> None:
        """Take note of where to deliver from now on; `become` does it. Call it in the order in which versions came."""
        self._wanted = _Wanted({destination.name: destination for destination in destinations}, profile_version)

    @property
    def behind(self) -> bool:
        """Whether something is wanted that is not in force yet."""
        return self._in_force is not self._wanted and not self._ending

    @property
    def changing(self) -> bool:
        """Whether somebody is at it."""
        return self._one_change.locked()

    def become(self) -> None:
        """Put in force what was wanted last; a destination that did not change goes on undisturbed.

        What waits for one that is named no more is kept and says so. The return may take as long as an image under
        way at a destination that changes. Raises `CapacitordError`, and goes on from there when it is called again.
        """
        with self._one_change:
            while self.behind:
                wanted = self._wanted
                self._apply(wanted.destinations)
                self._explain_unnamed(wanted, lambda _: True)
                self._look_again(wanted)
                self._in_force = wanted

    def _apply(self, wanted: dict[str, Destination]) -> None:
        running = self._running
        self._leaving += [
            one
            for name, one in running.items()
            if one not in self._leaving and (wanted.get(name) != one.destination or not one.goes_on)
        ]
        # One that changes is shown and asked as it was until its successor is there.
        self._publish(wanted, running)
        for name, destination in wanted.items():
            if name not in running:
                self._publish(wanted, {**self._running, name: self._begin(destination)})
        for ended in _stopped(self._leaving, _GRACE):
            self._leaving.remove(ended)
            name = ended.destination.name
            self._stand_ins.begins_anew(name)
            if name in wanted:
                self._publish(wanted, {**self._running, name: self._begin(wanted[name])})

    def _begin(self, destination: Destination) -> Delivery:
        try:
            delivery = Delivery(
                self._spool,
                destination,
                self._connections,
                self._preparation,
                self._note,
                pace=self._pace,
                stand_ins=self._stand_ins,
            )
            delivery.start()
        except RuntimeError as error:
            raise TryAgain("This box has no room for another thread.", hint="It is tried again by itself.") from error
        return delivery

    def _publish(self, order: Iterable[str], running: Mapping[str, Delivery]) -> None:
        self._running = {name: running[name] for name in order if name in running}

    def explain_unnamed(self) -> None:
        """Say of what waits for destinations that the profile does not name why it waits; raises as the ledger does."""
        self._explain_unnamed(self._wanted, self._spool.ledger.unexplained)

    def _explain_unnamed(self, wanted: _Wanted, due: Callable[[str], bool]) -> None:
        for name in set(self._spool.ledger.destinations()) - set(wanted.destinations):
            if due(name):
                reason = f"Version {wanted.version} of the profile does not name {name}."
                self._spool.ledger.defer(name, reason, None)

    def look_again(self) -> None:
        """Have the profile in force look at what this box held under another version; raises as the ledger does.

        An association that worked by the version before may have held something after `become`.
        """
        if not self._ending:
            self._look_again(self._wanted)

    def _look_again(self, wanted: _Wanted) -> None:
        found = 0
        for name in wanted.destinations:
            images = self._spool.ledger.look_again(name, wanted.version, time.time_ns())
            if images:
                what = "1 image" if images == 1 else f"{images} images"
                LOG.info("Version %d of the profile looks again at %s held for %s.", wanted.version, what, name)
            found += images
        if found:
            self.queued()
            self.wake(Priority.STAT.urgency)

    def all(self) -> list[Delivery]:
        """Return all deliveries, in the profile's order."""
        return list(self._running.values())

    def one(self, name: str) -> Delivery:
        """Return the delivery to a destination. Raises `NotFound` with the names there are."""
        running = self._running
        delivery = running.get(name)
        if delivery is None:
            raise NotFound(
                f"This site has no destination {name!r}.",
                hint="List them with `fluxctl destination list`.",
                candidates=tuple(running),
            )
        return delivery

    def select(self, name: str) -> list[Delivery]:
        """Return one delivery by name, or all for `ALL`."""
        return self.all() if name == m.ALL else [self.one(name)]

    def pause(self, name: str, *, paused: bool) -> None:
        """Stop sending to a destination, or go on. Raises `NotFound`, and what the ledger raises."""
        delivery: Delivery | None = self.one(name)
        done: Delivery | None = None
        while delivery is not None and delivery is not done:
            delivery.pause(paused=paused)
            # One that took its place meanwhile may have asked the ledger before.
            done, delivery = delivery, self._running.get(name)

    def wake(self, priority: int = 0) -> None:
        """Say that something new waits, and how urgent it is."""
        for delivery in self._running.values():
            delivery.wake(priority)

    def _wake_for_moved(self, priority: int) -> None:
        self.queued()
        self.wake(priority)

    def stand_in(self) -> None:
        """Let others stand in for destinations that cannot be reached. Raises what the ledger raises."""
        if not self._ending:
            self._stand_ins.look()

    def _moved(self, name: str, images: int, to: frozenset[str], ended: Ended) -> None:
        words = told(name, images, to)
        LOG.warning("%s", words)
        self._note("delivery-moved", words, "", name)
        for study, destination, _ in ended:
            LOG.info("Study %s waits for %s no more.", study, destination)

    def status(self) -> tuple[m.DestinationStatus, ...]:
        """Return what waits for each destination, and why."""
        return tuple(destination_status(self._spool, delivery) for delivery in self.all())

    def echo(self, name: str) -> m.Echo:
        """Verify a destination now, apart from its queue and its circuit."""
        destination = self.one(name).destination
        patience = min(destination.response_timeout, _ECHO_PATIENCE)
        destination = msgspec.structs.replace(destination, response_timeout=patience)
        connection = self._connections.open(name, destination.connect_timeout)
        if isinstance(connection, Outcome):
            return _echo(name, connection, connect=None)
        own = destination.calling_ae_title
        result = echo(connection.socket, destination, _OWN_CALLING_AE if own == PASS_CALLING_AE else own)
        if isinstance(result, Echoed):
            return _echo(
                name,
                result.outcome,
                connect=connection.seconds,
                associate=result.negotiation,
                answer=result.round_trip,
            )
        return _echo(name, result.outcome, connect=connection.seconds)

    def stop(self, grace: float) -> None:
        """End all deliveries; images under way may finish within `grace` seconds."""
        self._ending = True
        with self._one_change:
            for _ in _stopped({*self.all(), *self._leaving}, grace):
                pass


def _stopped(deliveries: Iterable[Delivery], grace: float) -> Iterator[Delivery]:
    """End deliveries, all at once, and yield each of them once it has ended."""
    ending: list[tuple[Delivery, threading.Thread]] = []
    for one in list(deliveries):
        thread = threading.Thread(target=one.stop, args=(grace,), name=f"end {one.destination.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No room for another thread: one after the other, then.
            one.stop(grace)
        ending.append((one, thread))
    for one, thread in ending:
        if thread.ident is not None:
            thread.join()
        yield one


def _echo(
    name: str,
    outcome: Outcome,
    *,
    connect: float | None,
    associate: float | None = None,
    answer: float | None = None,
) -> m.Echo:
    ok = outcome.verdict is Verdict.DONE
    hint = "" if ok else f"What waits for it stays in the queue. `fluxctl queue flush {name}` tries again at once."
    return m.Echo("fluxctl.destination.echo/1", name, ok, outcome.reason, hint, connect, associate, answer)
