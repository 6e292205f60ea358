"""The ledger: what every destination still has to get, and what it answered.

An image waits for a destination from the moment it is filed until that destination's C-STORE response is written
here. Before it is sent it is marked as in doubt, so that after a crash everybody knows which answers may be
lost. Nothing else ever takes an image out of a queue.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import apsw

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import ACKNOWLEDGED, DELIVERY, AckState, DeliveryState
from capacitord.seal.sealed import room
from capacitord.spool import deliveries
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.deliveries import Ended
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects, Stored

_ACK: Final = {
    Verdict.DONE: AckState.DONE,
    Verdict.DONE_WITH_WARNING: AckState.WARNING,
    Verdict.NEEDS_PERSON: AckState.REFUSED,
}
_DUE: Final = """
SELECT w.image, w.delivery, d.priority, s.short, i.object_id, i.sop_class, i.sop_uid, i.transfer_syntax, i.calling_ae,
  i.length, NOT i.conflict AND (w.doubt OR w.known), i.segment, i.place
FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image JOIN study s ON s.id = d.study
WHERE d.destination = ? AND d.open AND d.waiting > 0 AND NOT i.corrupt {which}
ORDER BY d.priority DESC, d.id, w.image LIMIT ?
"""
_KINDS: Final = """
SELECT sop_class, transfer_syntax FROM (
  SELECT sop_class, transfer_syntax, row_number() OVER () AS place FROM (
    SELECT i.sop_class, i.transfer_syntax
    FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image
    WHERE d.destination = ? AND d.open AND d.waiting > 0 AND NOT i.corrupt
    ORDER BY d.priority DESC, d.id, w.image LIMIT ?
  )
) GROUP BY 1, 2 ORDER BY min(place)
"""


class Pending(NamedTuple):
    """An image that waits for a destination; what a sender needs of it.

    `repeated` says that an earlier attempt may have brought it there already; never so for an image in conflict, for
    what is there under its UID may be the other one.
    """

    image: int
    delivery: int
    priority: int
    study: str
    object_id: bytes
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    length: int
    repeated: bool
    stored: Stored


class Doubt(enum.IntEnum):
    """What is known of the last attempt to send an image that waits. A start-up makes the second the third."""

    NONE = 0
    HANDED_OUT = 1
    UNANSWERED = 2


class Answer(NamedTuple):
    """What became of one image at one destination, `at` in nanoseconds since the epoch."""

    image: int
    delivery: int
    outcome: Outcome
    at: int


class Backlog(NamedTuple):
    """What waits for one destination. `oldest` is in nanoseconds since the epoch, None if nothing waits."""

    images: int
    bytes: int
    studies: int
    doubtful: int
    refused: int
    delivered: int
    oldest: int | None


class Ledger:
    """The queue and the acknowledgements of one site. Every change is on stable storage when it returns."""

    def __init__(self, catalog: Catalog, filing: Filing, objects: Objects) -> None:
        self._catalog, self._filing, self._objects = catalog, filing, objects

    def due(self, destination: str, limit: int, *, beyond: Pending | None = None) -> list[Pending]:
        """Return the next images for a destination in the order they should leave: priority, study, arrival.

        `beyond` is the last image of the page before. An image of a study that became more urgent meanwhile is found
        by beginning again.
        """
        with self._catalog.read() as catalog:
            if beyond is None:
                return self._due(catalog, "", (destination,), limit)
            page = self._due(
                catalog,
                "AND d.priority = ? AND d.id = ? AND w.image > ?",
                (destination, beyond.priority, beyond.delivery, beyond.image),
                limit,
            )
            if len(page) < limit:
                values = (destination, beyond.priority, beyond.delivery)
                page += self._due(catalog, "AND d.priority = ? AND d.id > ?", values, limit - len(page))
            if len(page) < limit:
                page += self._due(catalog, "AND d.priority < ?", (destination, beyond.priority), limit - len(page))
        return page

    def _due(self, catalog: apsw.Connection, which: str, values: tuple[object, ...], limit: int) -> list[Pending]:
        # Three conditions instead of one over all three columns: each is a range of the index, so that a page costs
        # the same wherever it is in the queue.
        return [self._pending(row) for row in fetch(catalog, _DUE.format(which=which), (*values, limit))]

    def _pending(self, row: tuple[Any, ...]) -> Pending:
        image, object_id, length = row[0], row[4], row[9]
        place = Place(row[11], row[12], room(length))
        stored = self._objects.stored(object_id, place, lambda: self._catalog.place(image))
        return Pending._make((*row[:10], bool(row[10]), stored))

    def kinds(self, destination: str, most: int) -> list[tuple[str, str]]:
        """Return (SOP class, transfer syntax) of what waits for a destination, in the order it is to leave.

        Only the `most` images that are to leave first are looked at, so that a long queue costs no more.
        """
        with self._catalog.read() as catalog:
            return [(sop_class, syntax) for sop_class, syntax in fetch(catalog, _KINDS, (destination, most))]

    def sending(self, images: Sequence[Pending], reason: str) -> list[Pending]:
        """Write down that these images are about to be sent; return those that still wait, which may be.

        Until an answer is recorded, or `not_sent` takes it back, a crash leaves them in doubt.
        """
        waiting = []
        with self._catalog.change() as catalog:
            for image in images:
                catalog.execute(
                    "UPDATE waiting SET doubt = max(doubt, ?) WHERE delivery = ? AND image = ?",
                    (Doubt.HANDED_OUT, image.delivery, image.image),
                )
                if catalog.changes():
                    waiting.append(image)
            for delivery in {image.delivery for image in waiting}:
                deliveries.become(catalog, self._filing, delivery, DeliveryState.SENDING, reason)
        return waiting

    def not_sent(self, images: Sequence[Pending]) -> None:
        """Take back `sending` for images that did not leave after all; doubt from an earlier attempt stays."""
        with self._catalog.change() as catalog:
            for image in images:
                catalog.execute(
                    "UPDATE waiting SET doubt = ? WHERE delivery = ? AND image = ? AND doubt = ?",
                    (Doubt.NONE, image.delivery, image.image, Doubt.HANDED_OUT),
                )

    def record(self, answers: Sequence[Answer], tick: float) -> list[Ended]:
        """Write down what destinations answered; `tick` is the retention clock.

        An answer for an image that does not wait any more changes nothing. Returns the deliveries that came to an
        end with it.
        """
        last: dict[int, int] = {}
        ended = []
        with self._catalog.change() as catalog:
            for answer in answers:
                if self._take(catalog, answer):
                    last[answer.delivery] = max(answer.at, last.get(answer.delivery, 0))
            for delivery, at in last.items():
                end = deliveries.settle(catalog, self._filing, delivery, at, tick)
                if end is not None:
                    ended.append(end)
        return ended

    @staticmethod
    def _take(catalog: apsw.Connection, answer: Answer) -> bool:
        """Write one answer down; return whether the image waits no more because of it."""
        key, outcome = (answer.delivery, answer.image), answer.outcome
        attempts = fetch_value(catalog, "SELECT attempts FROM waiting WHERE delivery = ? AND image = ?", key)
        if attempts is None:
            return False
        if outcome.verdict is Verdict.LATER:
            catalog.execute(
                "UPDATE waiting SET attempts = attempts + 1, known = max(known, doubt = 2), doubt = ? "
                "WHERE delivery = ? AND image = ?",
                (Doubt.UNANSWERED if outcome.status is None else Doubt.NONE, *key),
            )
            return False
        state = _ACK[outcome.verdict]
        catalog.execute("DELETE FROM waiting WHERE delivery = ? AND image = ?", key)
        catalog.execute(
            "INSERT INTO ack VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, state, outcome.status, outcome.reason, outcome.comment, attempts + 1, answer.at),
        )
        if state in ACKNOWLEDGED:
            catalog.execute(
                "INSERT INTO destination (name, last_success) SELECT destination, ?2 FROM delivery WHERE id = ?1 "
                "ON CONFLICT (name) DO UPDATE SET last_success = max(ifnull(last_success, 0), excluded.last_success)",
                (answer.delivery, answer.at),
            )
        return True

    def defer(
        self, destination: str, reason: str, next_try: int | None, *, only: Collection[int] | None = None
    ) -> None:
        """Say of all that waits for a destination why it waits, and until when (None: until a person acts).

        `only` limits it to some deliveries.
        """
        self._move(destination, DeliveryState.DEFERRED, reason, next_try, only)

    def requeue(self, destination: str) -> None:
        """Say of all that waits for a destination that it may leave now."""
        self._move(destination, DeliveryState.QUEUED, "", None, None)

    def _move(
        self, destination: str, state: DeliveryState, reason: str, next_try: int | None, only: Collection[int] | None
    ) -> None:
        """Give deliveries that wait a state, those from which the table leads there."""
        before = json.dumps([now for now in DeliveryState if now is state or state in DELIVERY[now]])
        chosen = None if only is None else json.dumps(list(only))
        with self._catalog.change() as catalog:
            catalog.execute(
                "UPDATE delivery SET state = ?1, reason = ?2, next_try = ?3 "
                "WHERE destination = ?4 AND open AND waiting > 0 AND state IN (SELECT value FROM json_each(?5)) "
                "AND (?6 IS NULL OR id IN (SELECT value FROM json_each(?6)))",
                (state, reason, next_try, destination, before, chosen),
            )

    def unexplained(self, destination: str) -> bool:
        """Return whether something waits for a destination as if it could leave at any moment."""
        with self._catalog.read() as catalog:
            sql = "SELECT 1 FROM delivery WHERE destination = ? AND open AND state IN (?, ?) LIMIT 1"
            return fetch_value(catalog, sql, (destination, DeliveryState.QUEUED, DeliveryState.SENDING)) is not None

    def backlog(self, destination: str) -> Backlog:
        """Return what waits for a destination and what it got."""
        with self._catalog.read() as catalog:
            images, size, studies, doubtful, refused, delivered = fetch(
                catalog,
                "SELECT total(waiting), total(waiting_bytes), total(waiting > 0), total(doubtful), total(refused), "
                "total(done + warned) FROM delivery WHERE destination = ?",
                (destination,),
            )[0]
            oldest = fetch_value(
                catalog,
                "SELECT min((SELECT since FROM waiting WHERE delivery = d.id ORDER BY image LIMIT 1)) FROM delivery d "
                "WHERE d.destination = ? AND d.open AND d.waiting > 0",
                (destination,),
            )
        return Backlog(int(images), int(size), int(studies), int(doubtful), int(refused), int(delivered), oldest)

    def progress(self, delivery: int) -> tuple[int, int]:
        """Return how many images of a delivery were answered for, and how many it has."""
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT done + warned + refused, done + warned + refused + waiting FROM delivery WHERE id = ?",
                (delivery,),
            )
        return rows[0] if rows else (0, 0)

    def resend(self, study: int, destinations: Sequence[str], image: int | None, now: int) -> int:
        """Put a study, or one image of it, into the queues again, whatever was answered; return how many images.

        Images that are purged or damaged cannot be sent again and are not counted. One in conflict is sent only
        if it is named.
        """
        low, high = bounds(study) if image is None else (image, image)
        with self._catalog.change() as catalog:
            images = fetch(
                catalog,
                "SELECT id, length FROM image WHERE id BETWEEN ? AND ? AND id >> 24 = ? AND here "
                "AND (? OR NOT conflict)",
                (low, high, study, image is not None),
            )
            for destination in destinations if images else ():
                self._resend(catalog, self._filing.delivery(catalog, study, destination, now), images, now)
        return len(images) * len(destinations)

    def _resend(self, catalog: apsw.Connection, delivery: int, images: list[tuple[int, int]], now: int) -> None:
        for image, length in images:
            key = (delivery, image)
            answered = fetch(catalog, "SELECT attempts, state FROM ack WHERE delivery = ? AND image = ?", key)
            attempts, known = (answered[0][0], answered[0][1] in ACKNOWLEDGED) if answered else (0, False)
            catalog.execute("DELETE FROM ack WHERE delivery = ? AND image = ?", key)
            waits = fetch_value(catalog, "SELECT 1 FROM waiting WHERE delivery = ? AND image = ?", key)
            if not waits:
                catalog.execute(
                    "INSERT INTO waiting (delivery, image, bytes, since, attempts, known) VALUES (?, ?, ?, ?, ?, ?)",
                    (*key, length, now, attempts, int(known)),
                )
        deliveries.become(catalog, self._filing, delivery, DeliveryState.QUEUED, "Sent again by an operator.")
        catalog.execute(
            "UPDATE delivery SET delivered_at = NULL, delivered_tick = NULL, queued_at = ? WHERE id = ?",
            (now, delivery),
        )

    def destinations(self) -> list[str]:
        """Return the names of all destinations for which something waits or was refused."""
        with self._catalog.read() as catalog:
            return [name for (name,) in fetch(catalog, "SELECT DISTINCT destination FROM delivery WHERE open")]

    def paused(self) -> set[str]:
        """Return the destinations an operator has paused."""
        with self._catalog.read() as catalog:
            return {name for (name,) in fetch(catalog, "SELECT name FROM destination WHERE paused")}

    def pause(self, destination: str, *, paused: bool) -> None:
        """Remember that a destination is paused, or that it is not; it outlives a restart."""
        with self._catalog.change() as catalog:
            catalog.execute(
                "INSERT INTO destination (name, paused) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET paused = ?2",
                (destination, int(paused)),
            )

    def last_success(self, destination: str) -> int | None:
        """Return when a destination acknowledged an image last, in nanoseconds since the epoch."""
        with self._catalog.read() as catalog:
            value: int | None = fetch_value(
                catalog, "SELECT last_success FROM destination WHERE name = ?", (destination,)
            )
        return value
