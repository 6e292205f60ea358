"""All destinations of the site: each has its own delivery, and none knows of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from capacitord.api import messages as m
from capacitord.dicom.echo import Echoed, echo
from capacitord.errors import NotFound
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.backoff import DEFAULT, Backoff
from capacitord.site.connections import Connections
from capacitord.site.delivery import Delivery, Note
from capacitord.site.overview import destination_status
from capacitord.site.sender import PASS_CALLING_AE
from capacitord.spool.store import Spool

_OWN_CALLING_AE: Final = "FLUXBOX"
_GRACE: Final = 5.0
_ECHO_PATIENCE: Final = 30.0


class Deliveries:
    """Starts, finds and ends deliveries as the profile names destinations."""

    def __init__(self, spool: Spool, connections: Connections, note: Note, pace: Backoff = DEFAULT) -> None:
        self._spool, self._connections, self._note, self._pace = spool, connections, note, pace
        self._one_change = threading.Lock()
        self._wanted: tuple[dict[str, Destination], int] = ({}, 0)
        # Replaced and never changed, so that whoever looks needs no lock.
        self._running: Mapping[str, Delivery] = {}
        self._ending = False

    def become(self, destinations: Iterable[Destination], profile_version: int) -> None:
        """Deliver to these destinations from now on; one that did not change goes on undisturbed.

        What waits for one that is named no more is kept and says so. Call it in the order in which versions came;
        the return may take as long as an image under way at a destination that changes.
        """
        self._wanted = ({destination.name: destination for destination in destinations}, profile_version)
        with self._one_change:
            if not self._ending:
                # Whoever waited here longer applies what came last, and the others find nothing to do.
                wanted, version = self._wanted
                self._apply(wanted)
                self._explain_unnamed(wanted, version, lambda _: True)

    def _apply(self, wanted: dict[str, Destination]) -> None:
        before = dict(self._running)
        leaving = {name: one for name, one in before.items() if wanted.get(name) != one.destination}
        added = {name: self._begin(destination) for name, destination in wanted.items() if name not in before}
        # One that changes is shown and asked as it was until its successor is there.
        self._publish(wanted, before | added)
        threads = [threading.Thread(target=one.stop, args=(_GRACE,), daemon=True) for one in leaving.values()]
        for thread in threads:
            thread.start()
        for (name, _), thread in zip(leaving.items(), threads, strict=True):
            thread.join()
            if name in wanted:
                self._publish(wanted, {**self._running, name: self._begin(wanted[name])})

    def _begin(self, destination: Destination) -> Delivery:
        delivery = Delivery(self._spool, destination, self._connections, self._note, self._pace)
        delivery.start()
        return delivery

    def _publish(self, order: Iterable[str], running: Mapping[str, Delivery]) -> None:
        self._running = {name: running[name] for name in order if name in running}

    def explain_unnamed(self) -> None:
        """Say of what waits for destinations that the profile does not name why it waits; raises as the ledger does."""
        self._explain_unnamed(*self._wanted, self._spool.ledger.unexplained)

    def _explain_unnamed(
        self, wanted: Mapping[str, Destination], profile_version: int, due: Callable[[str], bool]
    ) -> None:
        for name in set(self._spool.ledger.destinations()) - set(wanted):
            if due(name):
                reason = f"Version {profile_version} of the profile does not name {name}."
                self._spool.ledger.defer(name, reason, None)

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

    def wake(self) -> None:
        """Say that something new waits."""
        for delivery in self._running.values():
            delivery.wake()

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
            enders = [threading.Thread(target=one.stop, args=(grace,), daemon=True) for one in self.all()]
            for ender in enders:
                ender.start()
            for ender in enders:
                ender.join()


def _echo(
    name: str,
    outcome: Outcome,
    *,
    connect: float | None,
    associate: float | None = None,
    answer: float | None = None,
) -> m.Echo:
    ok = outcome.verdict is Verdict.DONE
    hint = "" if ok else "What waits for it stays in the queue. `fluxctl queue flush` tries again at once."
    return m.Echo("fluxctl.destination.echo/1", name, ok, outcome.reason, hint, connect, associate, answer)
