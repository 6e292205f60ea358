"""What a delivery says: in the ledger why what waits is waiting, and to whoever listens what has become of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.model.states import DeliveryState
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.dispatch import Facts
from capacitord.site.rests import Rest
from capacitord.spool.ledger import Ended, Ledger

LOG = logging.getLogger(__name__)

PAUSED: Final = "Paused by an operator."
_ENDS: Final[Mapping[DeliveryState, str]] = MappingProxyType(
    {
        DeliveryState.DELIVERED: "was delivered",
        DeliveryState.FAILED: "needs a person",
        DeliveryState.MOVED: "went elsewhere in part",
    }
)

Note = Callable[[str, str, str, str], None]
"""Called with (reference, message, short study id, destination)."""


class Reporting:
    """Says for one destination what is worth saying. For any thread."""

    def __init__(self, destination: str, ledger: Ledger, note: Note) -> None:
        self._name, self._ledger, self._note = destination, ledger, note

    def rests(self, resting: Mapping[int, Rest]) -> None:
        """Say of deliveries why they rest. Raises what the ledger raises."""
        for delivery, rest in resting.items():
            self._ledger.defer(self._name, rest.reason, _wall_clock(rest.until), only=[delivery])

    def blocked(self, facts: Facts, hindrance: str, until: float, *, asked: bool) -> None:
        """Say of all that waits what keeps it from leaving, unless that was said and nobody has `asked` again.

        `hindrance` is what keeps this box from delivering, if it is that, and `until` when it is tried again. Raises
        what the ledger raises.
        """
        if not asked and not self._ledger.unexplained(self._name):
            return
        if facts.paused:
            self._ledger.defer(self._name, PAUSED, None)
        elif facts.hindered_until > facts.now:
            self._ledger.defer(self._name, hindrance, _wall_clock(max(until, facts.now)))
        else:
            self._ledger.defer(self._name, facts.circuit.reason, _wall_clock(facts.circuit.next_try))

    def answers_again(self) -> None:
        """Tell that the destination does what it did not."""
        LOG.info("%s answers again.", self._name)
        self._note("destination-up", f"{self._name} answers again.", "", self._name)

    def failed(self, circuit: Circuit, waits: float) -> None:
        """Tell that the destination failed; it is tried again in `waits` seconds."""
        LOG.warning("%s: %s Next try in %.0f s.", self._name, circuit.reason, waits)
        tripped = circuit.state is CircuitState.OPEN
        self._note("destination-down" if tripped else "destination-trouble", circuit.reason, "", self._name)

    def ended(self, ended: Ended) -> None:
        """Tell of deliveries that came to an end."""
        for study, destination, state in ended:
            LOG.info("Study %s to %s: %s", study, destination, state)
            self._note(f"delivery-{state}", f"Study {study} to {destination} {_ENDS[state]}.", study, destination)


def _wall_clock(monotonic: float) -> int:
    """Return a time of the monotonic clock in nanoseconds since the epoch."""
    return time.time_ns() + int((monotonic - time.monotonic()) * 1e9)
