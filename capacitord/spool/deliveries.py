"""The states of deliveries: moved by the table, settled by what the ledger counts. Call it within a transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import apsw

from capacitord.model.states import DELIVERY, AckState, DeliveryState, advance
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.filing import ENDED, REOPENED, Filing

_REASONS_SHOWN: Final = 3

GIVEN_UP: Final = "The study was discarded after "
"""How the reason of a delivery begins that was given up with its study."""

_SETTLED: Final = "SELECT id FROM delivery WHERE waiting = 0 AND substr(reason, 1, length(?1)) != ?1 AND state IN "
_SEEM_FAILED: Final = _SETTLED + "('failed') AND open AND refused = 0 AND held = 0"
_OF_A_STUDY: Final = _SETTLED + "('failed', 'moved', 'delivered') AND study = ?2"
_HELD_COPIES: Final = """
SELECT DISTINCT a.image FROM delivery d CROSS JOIN ack a ON a.delivery = d.id
WHERE d.study = ? AND d.open AND d.held > 0 AND a.state = 'held' ORDER BY 1
"""
_LEFT_OUT: Final = "DELETE FROM ack WHERE delivery = ? AND state = ? AND image IN (SELECT value FROM json_each(?))"

Ended = tuple[str, str, DeliveryState]
"""A delivery that came to an end: the study's short id, the destination, what it came to."""


def settled_state(waiting: int, refused: int, held: int = 0, moved: int = 0) -> DeliveryState | None:
    """Return the state a delivery has come to, None while images wait: then it is the sender's matter.

    Delivered means that every image was acknowledged. One that was refused or is held needs a person; one that moved
    is owed by another delivery.
    """
    if waiting:
        return None
    if refused or held:
        return DeliveryState.FAILED
    return DeliveryState.MOVED if moved else DeliveryState.DELIVERED


def has_turns(catalog: apsw.Connection) -> bool:
    """Return whether attributes decide what leaves first."""
    return fetch_value(catalog, "SELECT 1 FROM fact WHERE name = 'order'") is not None


def urgencies(catalog: apsw.Connection, studies: Collection[int]) -> dict[str, int]:
    """Return for which destinations something of these studies waits, and how urgent the most urgent is there."""
    sql = (
        "SELECT destination, max(priority) FROM delivery WHERE study IN (SELECT value FROM json_each(?)) "
        "AND open AND waiting > 0 GROUP BY destination"
    )
    return {name: priority for name, priority in fetch(catalog, sql, (json.dumps(list(studies)),))}  # noqa: C416 - typed


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
        "SELECT d.waiting, d.refused, d.held, d.moved, s.short, d.destination FROM delivery d "
        "JOIN study s ON s.id = d.study WHERE d.id = ?",
        (delivery,),
    )
    for waiting, refused, held, moved, short, destination in rows:
        state = settled_state(waiting, refused, held, moved)
        if state is None:
            return None
        become(catalog, filing, delivery, state, _reason(catalog, delivery, refused, held, moved))
        if state is not DeliveryState.FAILED:
            delivered_at = at if state is DeliveryState.DELIVERED else None
            catalog.execute(
                "UPDATE delivery SET delivered_at = ?, delivered_tick = ? WHERE id = ?", (delivered_at, tick, delivery)
            )
        return short, destination, state
    return None


def settle_again(catalog: apsw.Connection, filing: Filing, delivery: int, now: int, tick: float) -> None:
    """Give a delivery that had come to an end the state of the images that are left of it; without any it is gone."""
    study, state, waiting, acks, refused, held, moved, last = fetch(
        catalog,
        "SELECT study, state, waiting, done + warned + refused + held + moved, refused, held, moved, "
        "(SELECT max(at) FROM ack WHERE ack.delivery = delivery.id) FROM delivery WHERE id = ?",
        (delivery,),
    )[0]
    if not waiting and not acks:
        catalog.execute("DELETE FROM delivery WHERE id = ?", (delivery,))
        filing.forget(study)
    elif not waiting and settled_state(waiting, refused, held, moved) is not DeliveryState(state):
        reopen(catalog, filing, delivery, "", now)
        settle(catalog, filing, delivery, last, tick)


def held_copies(catalog: apsw.Connection, study: int) -> list[int]:
    """Return the images of a study of which this box does not send a copy to some destination, in their order."""
    return [image for (image,) in fetch(catalog, _HELD_COPIES, (study,))]


def leave_out(
    catalog: apsw.Connection, filing: Filing, study: int, images: Iterable[int], clocks: tuple[int, float]
) -> Iterator[tuple[str, int]]:
    """Forget on a person's word the copies of images that this box does not send; yield destinations and how many.

    What was acknowledged stays known, and what waits goes on to wait. A delivery of which nothing is left is gone.
    `clocks` are the time in nanoseconds since the epoch and the retention clock.
    """
    now, tick = clocks
    chosen = json.dumps(list(images))
    held = fetch(catalog, "SELECT id, destination, refused FROM delivery WHERE study = ? AND open AND held", (study,))
    for delivery, destination, refused in held:
        catalog.execute(_LEFT_OUT, (delivery, AckState.HELD, chosen))
        count = catalog.changes()
        if not count:
            continue
        if refused:
            # It stays as it is, but for its reason.
            reopen(catalog, filing, delivery, "", now)
            settle(catalog, filing, delivery)
        else:
            settle_again(catalog, filing, delivery, now, tick)
        filing.forget(study)
        yield destination, count


def settle_replaced(catalog: apsw.Connection, filing: Filing, now: int, tick: float, study: int | None = None) -> None:
    """Settle the deliveries from which damaged images went as good copies came: of a study, or all that seem failed.

    A delivery that was given up with its study stays so. `now` is in nanoseconds since the epoch, `tick` the retention
    clock.
    """
    sql = _OF_A_STUDY if study is not None else _SEEM_FAILED
    for (delivery,) in fetch(catalog, sql, (GIVEN_UP, *([] if study is None else [study]))):
        settle_again(catalog, filing, delivery, now, tick)


def _reason(catalog: apsw.Connection, delivery: int, refused: int, held: int, moved: int) -> str:
    parts = []
    if refused:
        what = f"{'1 image was' if refused == 1 else f'{refused} images were'} refused"
        parts.append(_with_reasons(catalog, delivery, AckState.REFUSED, what, refused))
    if held:
        parts.append(_with_reasons(catalog, delivery, AckState.HELD, f"{_images(held)} held back by this box", held))
    if moved:
        rows = _reasons(catalog, delivery, AckState.MOVED)[:_REASONS_SHOWN]
        parts += [f"{_images(number)} {reason[:1].lower()}{reason[1:]}" for number, reason in rows]
    return " ".join(parts)


def _with_reasons(catalog: apsw.Connection, delivery: int, state: AckState, what: str, images: int) -> str:
    """Return what became of images with each reason and how many it is of, the most frequent first."""
    rows = _reasons(catalog, delivery, state)
    if len(rows) == 1:
        return f"{what}: {rows[0][1]}"
    shown = rows[:_REASONS_SHOWN]
    told = [f"{_images(number)}: {reason}" for number, reason in shown]
    if len(rows) > len(shown):
        more, left = len(rows) - len(shown), images - sum(number for number, _ in shown)
        told.append(f"{_images(left)}: {'another reason' if more == 1 else f'{more} more reasons'}.")
    return f"{what}. {' '.join(told)}"


def _reasons(catalog: apsw.Connection, delivery: int, state: AckState) -> list[tuple[int, str]]:
    sql = "SELECT count(*), reason FROM ack WHERE delivery = ? AND state = ? GROUP BY reason ORDER BY 1 DESC, 2"
    return [(int(number), str(reason)) for number, reason in fetch(catalog, sql, (delivery, state))]


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"
