"""Other destinations that stand in for one that cannot be reached, or refuses an image for good.

An image moves in one transaction: it is not owed by the one any more, and it waits for the other, with what is left of
those who may stand in. Call all of this within a transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import apsw

from capacitord.model.outcome import Outcome
from capacitord.model.reasons import Reason
from capacitord.model.states import AckState
from capacitord.spool import deliveries
from capacitord.spool.catalog import fetch
from capacitord.spool.deliveries import Ended
from capacitord.spool.filing import ANSWERED, STUDY_SHIFT, Filing
from capacitord.spool.routed import Reachable, stand_in

Key = tuple[int, int]
"""A delivery's id and an image's."""

FIRST: Final[Key] = (-1, -1)
"""Before all that waits."""

_AT_ONCE: Final = 200
_UNANSWERED: Final = 2
_WAITS: Final = (
    "SELECT w.delivery, w.image, d.destination, d.priority, w.bytes, w.since, w.attempts, w.doubt, w.known, w.else_to, "
)
_WAITING: Final = (
    _WAITS + "w.else_after FROM waiting w JOIN delivery d ON d.id = w.delivery WHERE w.delivery = ? AND w.image = ?"
)
_PATIENCES: Final = """
SELECT DISTINCT w.else_to, w.else_after FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id
WHERE d.destination = ?1 AND d.open AND d.waiting > 0 AND w.else_to != '' AND w.else_after <= ?2
"""
_QUEUE: Final = """
SELECT total(waiting), total(done + warned + refused + held + moved), max(id) FROM delivery
WHERE destination = ? AND open AND waiting > 0
"""
_IMPATIENT: Final = (
    _WAITS
    + """w.else_after FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id
WHERE d.destination = ? AND d.open AND d.waiting > 0 AND w.else_to != '' AND w.else_after <= ?
  AND (d.id, w.image) > (?, ?)
ORDER BY d.id, w.image LIMIT ?
"""
)
_KEPT: Final = """
UPDATE ack SET else_to = ?3, else_after = ?4, since = ?5, may_be_there = ?6, held = ?7
WHERE delivery = ?1 AND image = ?2
"""
_TAKEN: Final = """
SELECT d.destination FROM delivery d WHERE d.study = ?1 >> 24
  AND (EXISTS (SELECT 1 FROM waiting w WHERE w.delivery = d.id AND w.image = ?1)
       OR EXISTS (SELECT 1 FROM ack a WHERE a.delivery = d.id AND a.image = ?1))
"""


class Waits(NamedTuple):
    """An image that waits for a destination. `doubt`, `known` and times are as in the catalog."""

    delivery: int
    image: int
    destination: str
    priority: int
    bytes: int
    since: int
    attempts: int
    doubt: int
    known: int
    else_to: str
    else_after: float

    @property
    def may_be_there(self) -> bool:
        """Whether an earlier attempt, one that is over, may have brought it there."""
        return bool(self.known) or self.doubt == _UNANSWERED


class Refusal(NamedTuple):
    """What a destination said of an image for good, `at` nanoseconds since the epoch; see `ledger.Answer`."""

    outcome: Outcome
    at: int
    profile_version: int | None


class Failure(NamedTuple):
    """A destination that has been failing for so many seconds; `why` says in words what it did, like "took nothing"."""

    destination: str
    seconds: float
    why: str = "could not be reached"


class Moved(NamedTuple):
    """What went from a destination to others: how many images and where, what ended with that, and where to go on.

    `after` is None at the end of its queue. `keys` are the images that went.
    """

    images: int
    to: frozenset[str]
    ended: list[Ended]
    after: Key | None
    keys: frozenset[Key] = frozenset()


class Prospects(NamedTuple):
    """What moving depends on: who may stand in for whom by each patience that is over, and what waits."""

    ready: frozenset[tuple[str, str]]
    queue: tuple[int, ...]


def waiting(catalog: apsw.Connection, key: Key) -> Waits | None:
    """Return what is known of an image that waits for a destination; None if it does not."""
    rows = fetch(catalog, _WAITING, key)
    return Waits._make(rows[0]) if rows else None


def keep(catalog: apsw.Connection, waits: Waits, why: Reason) -> None:
    """Keep with what was written down of an image that is held why it is, and what it is to wait with once more.

    One that is damaged is held from every profile.
    """
    values = (waits.delivery, waits.image, waits.else_to, waits.else_after, waits.since)
    catalog.execute(_KEPT, (*values, int(waits.may_be_there), why))


def prospects(catalog: apsw.Connection, failure: Failure, reachable: Reachable) -> Prospects:
    """Return what moving from a destination that fails depends on; nobody is `ready` if nothing can move."""
    ready = {
        (f"{spare} {patience}", name)
        for spare, patience in fetch(catalog, _PATIENCES, (failure.destination, failure.seconds))
        for name in spare.split()
        if stand_in([name], (), reachable, patience, waits=True) is not None
    }
    return Prospects(frozenset(ready), fetch(catalog, _QUEUE, (failure.destination,))[0])


def after_refusal(
    catalog: apsw.Connection, filing: Filing, waits: Waits, refusal: Refusal, reachable: Reachable
) -> str | None:
    """Let another destination stand in for one that refused an image for good; return which, None if none may."""
    name = _who(catalog, waits, reachable, stays=False)
    if name is not None:
        reason = f"Went to {name} instead: {refusal.outcome.reason}"
        _move(catalog, filing, waits, name, reason, refusal.at, refusal)
    return name


def move(  # noqa: PLR0917 - one decision over everything that is known
    catalog: apsw.Connection,
    filing: Filing,
    failure: Failure,
    reachable: Reachable,
    clocks: tuple[int, float],
    apart: Collection[Key],
    after: Key,
) -> Moved:
    """Move a page of what waits for a destination that fails, beyond `after`; see `Ledger.stand_in`."""
    values = (failure.destination, failure.seconds, *after, _AT_ONCE)
    page = [Waits._make(row) for row in fetch(catalog, _IMPATIENT, values)]
    now, tick = clocks
    to, keys = set(), set()
    for waits in page:
        name = None if (waits.delivery, waits.image) in apart else _who(catalog, waits, reachable, stays=True)
        if name is not None:
            words = f"{failure.destination} {failure.why} for {_span(waits.else_after)}"
            reason = f"Went to {name} instead: {words}."
            _move(catalog, filing, waits, name, reason, now)
            to.add(name)
            keys.add((waits.delivery, waits.image))
    ends = (
        deliveries.settle(catalog, filing, delivery, now, tick)
        for delivery in sorted({delivery for delivery, _ in keys})
    )
    following = (page[-1].delivery, page[-1].image) if len(page) == _AT_ONCE else None
    ended = [end for end in ends if end is not None]
    return Moved(len(keys), frozenset(to), ended, following, frozenset(keys))


def _who(catalog: apsw.Connection, waits: Waits, reachable: Reachable, *, stays: bool) -> str | None:
    """Return who stands in; where nobody ever will, it is not asked again."""
    spare = waits.else_to.split()
    taken = {name for (name,) in fetch(catalog, _TAKEN, (waits.image,))} if spare else set()
    name = stand_in(spare, taken, reachable, waits.else_after, waits=stays)
    if spare and taken.issuperset(spare):
        catalog.execute(
            "UPDATE waiting SET else_to = '' WHERE delivery = ? AND image = ?", (waits.delivery, waits.image)
        )
    return name


def _move(  # noqa: PLR0917 - one change with everything that belongs to it
    catalog: apsw.Connection,
    filing: Filing,
    waits: Waits,
    name: str,
    reason: str,
    now: int,
    refusal: Refusal | None = None,
) -> None:
    """Have `name` owe an image instead of the destination it waited for."""
    key = (waits.delivery, waits.image)
    # An attempt whose answer was lost is one: the image may be there.
    attempts = waits.attempts + (refusal is not None or waits.doubt > 0)
    status, comment, version = None, "", None
    if refusal is not None:
        status, comment, version = refusal.outcome.status, refusal.outcome.comment, refusal.profile_version
    catalog.execute("DELETE FROM waiting WHERE delivery = ? AND image = ?", key)
    catalog.execute(
        ANSWERED,
        (*key, AckState.MOVED, status, reason, comment, attempts, now, version),
    )
    # A refusal answers the attempt under way. Without one, any doubt is of an attempt that is over.
    may_be_there = waits.may_be_there or (refusal is None and waits.doubt > 0)
    catalog.execute("UPDATE ack SET may_be_there = ? WHERE delivery = ? AND image = ?", (int(may_be_there), *key))
    other = filing.delivery(catalog, waits.image >> STUDY_SHIFT, name, now, priority=waits.priority)
    rest = " ".join(spare for spare in waits.else_to.split() if spare != name)
    catalog.execute(
        "INSERT INTO waiting (delivery, image, bytes, since, else_to, else_after) VALUES (?, ?, ?, ?, ?, ?)",
        (other, waits.image, waits.bytes, waits.since, rest, waits.else_after),
    )
    deliveries.reopen(catalog, filing, other, f"Stands in for {waits.destination}.", now)


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 7200 and whole % 3600 == 0:
        return f"{whole // 3600} h"
    return f"{whole // 60} min" if whole >= 120 and whole % 60 == 0 else f"{whole} s"
