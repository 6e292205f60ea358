"""What waits for a destination, and why, in the words of the control socket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from capacitord.api import messages as m
from capacitord.site.circuit import CircuitState
from capacitord.site.delivery import Delivery
from capacitord.site.reporting import PAUSED
from capacitord.site.rests import Rest
from capacitord.site.situation import State
from capacitord.spool.ledger import Backlog
from capacitord.spool.store import Spool
from capacitord.spool.studies import Elsewhere

_SHOWN: Final[Mapping[CircuitState, m.CircuitState]] = MappingProxyType(
    {
        CircuitState.CLOSED: m.CircuitState.CLOSED,
        CircuitState.OPEN: m.CircuitState.OPEN,
        CircuitState.HALF_OPEN: m.CircuitState.PROBING,
    }
)


_LATELY: Final = timedelta(days=1)
_NOT_TRIED: Final = "Nothing waits for it, so it is not tried."


def destination_status(spool: Spool, delivery: Delivery) -> m.DestinationStatus:
    """Return what waits for a destination, what happens there, and why. Raises what the ledger raises."""
    destination, state = delivery.destination, delivery.state()
    backlog = spool.ledger.backlog(destination.name)
    rate = delivery.feed.rate()
    reason, next_try = why(state, delivery.feed.resting(), time.monotonic(), waits=backlog.images > 0)
    last_success = _when(spool.ledger.last_success(destination.name))
    return m.DestinationStatus(
        name=destination.name,
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        circuit=_SHOWN[state.circuit.state],
        paused=state.paused,
        reason=reason,
        next_try=None if next_try is None else datetime.fromtimestamp(time.time() + next_try, UTC),
        last_success=last_success,
        waiting_images=backlog.images,
        waiting_bytes=backlog.bytes,
        waiting_studies=backlog.studies,
        oldest=_when(backlog.oldest),
        doubtful_images=backlog.doubtful,
        refused_images=backlog.refused,
        held_images=backlog.held,
        delivered_images=backlog.delivered,
        rate=rate,
        eta=_eta(backlog, rate),
        transfers=tuple(found for sender in state.senders if (found := sender.transfer()) is not None),
        elsewhere=worth_telling(spool.studies.elsewhere(destination.name), last_success, datetime.now(UTC)),
    )


def worth_telling(found: Elsewhere | None, last_success: datetime | None, now: datetime) -> m.Elsewhere | None:
    """Return what went elsewhere, if that was within a day or since the destination took anything; None if not."""
    if found is None:
        return None
    last = datetime.fromtimestamp(found.last / 1e9, UTC)
    over = last_success is not None and last < last_success and last < now - _LATELY
    return None if over else m.Elsewhere(found.images, last, found.short, found.reason)


def why(state: State, resting: Mapping[int, Rest], now: float, *, waits: bool = True) -> tuple[str, float | None]:
    """Return why a destination does not get what waits for it, and in how many seconds it is tried again.

    Empty and None if nothing is in the way, None also if it is tried now or a person has to act first. Where nothing
    `waits`, nothing is tried either, and what went wrong last may be long over.
    """
    if state.paused:
        return PAUSED, None
    if state.hindrance:
        return state.hindrance, max(0.0, state.hindered_until - now)
    if state.circuit.failures and not waits:
        return f"{_NOT_TRIED} The last time: {state.circuit.reason}", None
    if state.circuit.failures:
        trying = state.circuit.state is CircuitState.HALF_OPEN
        return state.circuit.reason, None if trying else max(0.0, state.circuit.next_try - now)
    if resting:
        first = min(resting.values(), key=lambda rest: rest.until)
        return first.reason, max(0.0, first.until - now)
    return "", None


def queue_row(status: m.DestinationStatus, ages: m.AgeBuckets) -> m.QueueRow:
    """Return a destination's status as a row of the queue."""
    return m.QueueRow(
        destination=status.name,
        paused=status.paused,
        circuit=status.circuit,
        reason=status.reason,
        next_try=status.next_try,
        studies=status.waiting_studies,
        images=status.waiting_images,
        bytes=status.waiting_bytes,
        doubtful=status.doubtful_images,
        refused=status.refused_images,
        held=status.held_images,
        ages=ages,
        elsewhere=status.elsewhere,
    )


def unnamed_row(name: str, backlog: Backlog, ages: m.AgeBuckets, version: int) -> m.QueueRow:
    """Return what waits for a destination that this version of the profile does not name, as a row of the queue."""
    return m.QueueRow(
        destination=name,
        paused=False,
        circuit=m.CircuitState.CLOSED,
        reason=f"Version {version} of the profile does not name {name}: import one that does, or send the studies "
        "elsewhere with fluxctl resend.",
        next_try=None,
        studies=backlog.studies,
        images=backlog.images,
        bytes=backlog.bytes,
        doubtful=backlog.doubtful,
        refused=backlog.refused,
        ages=ages,
        held=backlog.held,
        named=False,
    )


def _when(nanoseconds: int | None) -> datetime | None:
    return None if nanoseconds is None else datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _eta(backlog: Backlog, rate: float) -> float | None:
    if not backlog.images:
        return 0.0
    return backlog.bytes / rate if rate > 0 else None
