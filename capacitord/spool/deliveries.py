"""The states of deliveries: moved by the table, settled by what the ledger counts. Call it within a transaction."""

from __future__ import annotations

from typing import Final

import apsw

from capacitord.model.states import DELIVERY, AckState, DeliveryState, advance
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.filing import ENDED, REOPENED, Filing

_REASONS_SHOWN: Final = 3

Ended = tuple[str, str, DeliveryState]
"""A delivery that came to an end: the study's short id, the destination, what it came to."""


def settled_state(waiting: int, refused: int, moved: int = 0) -> DeliveryState | None:
    """Return the state a delivery has come to, None while images wait: then it is the sender's matter.

    Delivered means that every image was acknowledged. One that was refused needs a person; one that moved is owed by
    another delivery.
    """
    if waiting:
        return None
    if refused:
        return DeliveryState.FAILED
    return DeliveryState.MOVED if moved else DeliveryState.DELIVERED


def has_turns(catalog: apsw.Connection) -> bool:
    """Return whether attributes decide what leaves first."""
    return fetch_value(catalog, "SELECT 1 FROM fact WHERE name = 'order'") is not None


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


def reopen(catalog: apsw.Connection, filing: Filing, delivery: int, reason: str, now: int) -> None:
    """Have a delivery go on that had come to an end: another image waits for it."""
    for study, state in fetch(catalog, "SELECT study, state FROM delivery WHERE id = ?", (delivery,)):
        if DeliveryState(state) in ENDED:
            following = advance(DELIVERY, DeliveryState(state), DeliveryState.QUEUED)
            catalog.execute(REOPENED, (following, reason, now, delivery))
            filing.forget(study)


def settle(
    catalog: apsw.Connection, filing: Filing, delivery: int, at: int | None = None, tick: float | None = None
) -> Ended | None:
    """Give a delivery the state its images have come to, if they have: the last answer came `at`, on the clock `tick`.

    Returns what it came to, None if images still wait or the delivery is not there any more.
    """
    rows = fetch(
        catalog,
        "SELECT d.waiting, d.refused, d.moved, s.short, d.destination FROM delivery d JOIN study s ON s.id = d.study "
        "WHERE d.id = ?",
        (delivery,),
    )
    for waiting, refused, moved, short, destination in rows:
        state = settled_state(waiting, refused, moved)
        if state is None:
            return None
        become(catalog, filing, delivery, state, _reason(catalog, delivery, refused, moved))
        if state is not DeliveryState.FAILED:
            delivered_at = at if state is DeliveryState.DELIVERED else None
            catalog.execute(
                "UPDATE delivery SET delivered_at = ?, delivered_tick = ? WHERE id = ?", (delivered_at, tick, delivery)
            )
        return short, destination, state
    return None


def _reason(catalog: apsw.Connection, delivery: int, refused: int, moved: int) -> str:
    parts = []
    if refused:
        said = fetch_value(
            catalog, "SELECT max(reason) FROM ack WHERE delivery = ? AND state = ?", (delivery, AckState.REFUSED)
        )
        parts.append(f"{'1 image was' if refused == 1 else f'{refused} images were'} refused: {said}")
    if moved:
        rows = fetch(
            catalog,
            "SELECT count(*), reason FROM ack WHERE delivery = ? AND state = ? GROUP BY reason ORDER BY 1 DESC LIMIT ?",
            (delivery, AckState.MOVED, _REASONS_SHOWN),
        )
        parts += [f"{_images(number)} {reason[:1].lower()}{reason[1:]}" for number, reason in rows]
    return " ".join(parts)


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"
