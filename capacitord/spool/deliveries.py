"""The states of deliveries: moved by the table, settled by what the ledger counts. Call it within a transaction."""

from __future__ import annotations

import apsw

from capacitord.model.states import DELIVERY, AckState, DeliveryState, advance
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.filing import Filing

Ended = tuple[str, str, DeliveryState]
"""A delivery that came to an end: the study's short id, the destination, what it came to."""


def settled_state(waiting: int, refused: int) -> DeliveryState | None:
    """Return the state a delivery has come to, None while images wait: then it is the sender's matter.

    Delivered means that every image was acknowledged. One that was refused needs a person.
    """
    if waiting:
        return None
    return DeliveryState.FAILED if refused else DeliveryState.DELIVERED


def become(
    catalog: apsw.Connection,
    filing: Filing,
    delivery: int,
    state: DeliveryState,
    reason: str,
) -> None:
    """Give a delivery a state that its table allows, with the reason."""
    study, now = fetch(catalog, "SELECT study, state FROM delivery WHERE id = ?", (delivery,))[0]
    advance(DELIVERY, DeliveryState(now), state)
    catalog.execute(
        "UPDATE delivery SET state = ?, reason = ?, next_try = NULL WHERE id = ?", (state, reason, delivery)
    )
    filing.forget(study)


def settle(
    catalog: apsw.Connection, filing: Filing, delivery: int, at: int | None = None, tick: float | None = None
) -> Ended | None:
    """Give a delivery the state its images have come to, if they have: the last answer came `at`, on the clock `tick`.

    Returns what it came to, None if images still wait or the delivery is not there any more.
    """
    rows = fetch(
        catalog,
        "SELECT d.waiting, d.refused, s.short, d.destination FROM delivery d JOIN study s ON s.id = d.study "
        "WHERE d.id = ?",
        (delivery,),
    )
    for waiting, refused, short, destination in rows:
        state = settled_state(waiting, refused)
        if state is None:
            return None
        become(catalog, filing, delivery, state, _reason(catalog, delivery, refused))
        if state is DeliveryState.DELIVERED:
            catalog.execute(
                "UPDATE delivery SET delivered_at = ?, delivered_tick = ? WHERE id = ?", (at, tick, delivery)
            )
        return short, destination, state
    return None


def _reason(catalog: apsw.Connection, delivery: int, refused: int) -> str:
    if not refused:
        return ""
    said = fetch_value(
        catalog, "SELECT max(reason) FROM ack WHERE delivery = ? AND state = ?", (delivery, AckState.REFUSED)
    )
    return f"{'1 image was' if refused == 1 else f'{refused} images were'} refused: {said}"
