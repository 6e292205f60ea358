"""All destinations of the site: each has its own delivery, and none knows of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from capacitord.api import messages as m
from capacitord.dicom.echo import Echoed, echo
from capacitord.errors import NotFound
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.connections import Connections
from capacitord.site.delivery import PASS_CALLING_AE, Delivery, Note
from capacitord.spool.store import Spool

_OWN_CALLING_AE = "FLUXBOX"
_GRACE = 5.0


class Deliveries:
    """Starts, finds and ends deliveries as the profile names destinations."""

    def __init__(self, spool: Spool, connections: Connections, note: Note) -> None:
        self._spool, self._connections, self._note = spool, connections, note
        self._lock, self._one_change = threading.Lock(), threading.Lock()
        self._running: dict[str, Delivery] = {}

    def become(self, destinations: Iterable[Destination], profile_version: int) -> None:
        """Deliver to these destinations from now on; one that did not change goes on undisturbed.

        What waits for one that is named no more is kept and says so.
        """
        with self._one_change:
            self._become({destination.name: destination for destination in destinations}, profile_version)

    def _become(self, wanted: dict[str, Destination], profile_version: int) -> None:
        with self._lock:
            leaving = [
                self._running.pop(name)
                for name, delivery in list(self._running.items())
                if wanted.get(name) != delivery.destination
            ]
        for delivery in leaving:
            delivery.stop(_GRACE)
        with self._lock:
            for name, destination in wanted.items():
                if name not in self._running:
                    self._running[name] = Delivery(self._spool, destination, self._connections, self._note)
        for name in set(self._spool.ledger.destinations()) - set(wanted):
            self._spool.ledger.defer(name, f"Version {profile_version} of the profile does not name {name}.", None)

    def all(self) -> list[Delivery]:
        """Return all deliveries, in the profile's order."""
        with self._lock:
            return list(self._running.values())

    def one(self, name: str) -> Delivery:
        """Return the delivery to a destination. Raises `NotFound` with the names there are."""
        with self._lock:
            delivery = self._running.get(name)
            names = tuple(self._running)
        if delivery is None:
            raise NotFound(
                f"This site has no destination {name!r}.",
                hint="List them with `fluxctl destination list`.",
                candidates=names,
            )
        return delivery

    def select(self, name: str) -> list[Delivery]:
        """Return one delivery by name, or all for `ALL`."""
        return self.all() if name == m.ALL else [self.one(name)]

    def wake(self) -> None:
        """Say that something new waits."""
        for delivery in tuple(self._running.values()):
            delivery.wake()

    def status(self) -> tuple[m.DestinationStatus, ...]:
        """Return what waits for each destination, and why."""
        return tuple(delivery.status() for delivery in self.all())

    def echo(self, name: str) -> m.Echo:
        """Verify a destination now, apart from its queue and its circuit."""
        destination = self.one(name).destination
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
        enders = [threading.Thread(target=delivery.stop, args=(grace,)) for delivery in self.all()]
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
