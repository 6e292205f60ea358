"""The ledger: what every destination still has to get, and what it answered.

An image waits for a destination from the moment it is filed until that destination's C-STORE response is written
here. Before it is sent it is marked as in doubt, so that after a crash everybody knows which answers may be
lost. Nothing else ever takes an image out of a queue.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Sequence
from typing import NamedTuple

import apsw

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import DELIVERY, AckState, DeliveryState, advance
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import room
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.disk import Disk
from capacitord.spool.filing import STUDY_SHIFT, Filing
from capacitord.spool.segment import Layout, Place
from capacitord.spool.stored import Stored

_ACK = {
    Verdict.DONE: AckState.DONE,
    Verdict.DONE_WITH_WARNING: AckState.WARNING,
    Verdict.NEEDS_PERSON: AckState.REFUSED,
}

_DUE = """
SELECT w.image, w.delivery, d.priority, s.short, i.object_id, i.sop_class, i.sop_uid, i.transfer_syntax, i.calling_ae,
  i.length, NOT i.conflict AND (w.doubt OR w.attempts), i.segment, i.place
FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image JOIN study s ON s.id = d.study
WHERE d.destination = ? AND d.state NOT IN ('delivered', 'confirmed') AND NOT i.corrupt {which}
ORDER BY d.priority DESC, d.id, w.image LIMIT ?
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


def settled_state(waiting: int, refused: int) -> DeliveryState | None:
    """Return the state a delivery has come to, None while images wait: then it is the sender's matter.

    Delivered means that every image was acknowledged. One that was refused needs a person.
    """
    if waiting:
        return None
    return DeliveryState.FAILED if refused else DeliveryState.DELIVERED


class Ledger:
    """The queue and the acknowledgements of one site. Every change is on stable storage when it returns."""

    def __init__(self, catalog: Catalog, filing: Filing, key: SiteKey, disk: Disk, layout: Layout) -> None:
        self._catalog, self._filing = catalog, filing
        self._key, self._disk, self._layout = key, disk, layout

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
        rows = fetch(catalog, _DUE.format(which=which), (*values, limit))
        return [
            Pending._make(
                (
                    *row[:10],
                    bool(row[10]),
                    Stored(self._key, self._disk, self._layout, Place(row[11], row[12], room(row[9]))),
                )
            )
            for row in rows
        ]

    def kinds(self, destination: str, most: int) -> list[tuple[str, str, int]]:
        """Return (SOP class, transfer syntax, images) of what waits for a destination, most frequent first.

        Only the `most` images that are to leave first are looked at, so that a long queue costs no more.
        """
        with self._catalog.read() as catalog:
            return [
                (sop_class, syntax, count)
                for sop_class, syntax, count in fetch(
                    catalog,
                    "SELECT sop_class, transfer_syntax, count(*) AS n FROM (SELECT i.sop_class, i.transfer_syntax "
                    "FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image "
                    "WHERE d.destination = ? AND d.state NOT IN ('delivered', 'confirmed') AND NOT i.corrupt "
                    "ORDER BY d.priority DESC, d.id, w.image LIMIT ?) GROUP BY 1, 2 ORDER BY n DESC, 1, 2",
                    (destination, most),
                )
            ]

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
                self._become(delivery, DeliveryState.SENDING, reason)
        return waiting

    def not_sent(self, images: Sequence[Pending]) -> None:
        """Take back `sending` for images that did not leave after all; doubt from an earlier attempt stays."""
        with self._catalog.change() as catalog:
            for image in images:
                catalog.execute(
                    "UPDATE waiting SET doubt = ? WHERE delivery = ? AND image = ? AND doubt = ?",
                    (Doubt.NONE, image.delivery, image.image, Doubt.HANDED_OUT),
                )

    def record(self, answers: Sequence[Answer], tick: float) -> list[tuple[str, str, DeliveryState]]:
        """Write down what destinations answered; `tick` is the retention clock.

        Returns (study, destination, state) of the deliveries that came to an end with it.
        """
        ended: list[tuple[str, str, DeliveryState]] = []
        with self._catalog.change() as catalog:
            for answer in answers:
                key = (answer.delivery, answer.image)
                attempts = fetch_value(catalog, "SELECT attempts FROM waiting WHERE delivery = ? AND image = ?", key)
                if attempts is None:
                    continue
                outcome = answer.outcome
                if outcome.verdict is Verdict.LATER:
                    catalog.execute(
                        "UPDATE waiting SET attempts = attempts + 1, doubt = ? WHERE delivery = ? AND image = ?",
                        (Doubt.UNANSWERED if outcome.status is None else Doubt.NONE, *key),
                    )
                    continue
                catalog.execute("DELETE FROM waiting WHERE delivery = ? AND image = ?", key)
                state = _ACK[outcome.verdict]
                values = (*key, state, outcome.status, outcome.reason, outcome.comment, attempts + 1, answer.at)
                catalog.execute("INSERT OR REPLACE INTO ack VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            for delivery in {answer.delivery for answer in answers}:
                last = max(answer.at for answer in answers if answer.delivery == delivery)
                end = self._settle(delivery, last, tick)
                if end is not None:
                    ended.append(end)
        return ended

    def _settle(self, delivery: int, at: int, tick: float) -> tuple[str, str, DeliveryState] | None:
        """Give a delivery the state its images have come to, if they have."""
        with self._catalog.inside() as catalog:
            if fetch_value(catalog, "SELECT 1 FROM delivery WHERE id = ?", (delivery,)) is None:
                # The study was discarded while its last images were on their way.
                return None
            waiting = fetch_value(catalog, "SELECT count(*) FROM waiting WHERE delivery = ?", (delivery,))
            refused = fetch(
                catalog,
                "SELECT count(*), max(reason) FROM ack WHERE delivery = ? AND state = ?",
                (delivery, AckState.REFUSED),
            )[0]
            state = settled_state(waiting, refused[0])
            if state is None:
                return None
            count = "1 image was" if refused[0] == 1 else f"{refused[0]} images were"
            reason = "" if state is DeliveryState.DELIVERED else f"{count} refused: {refused[1]}"
            self._become(delivery, state, reason)
            if state is DeliveryState.DELIVERED:
                catalog.execute(
                    "UPDATE delivery SET delivered_at = ?, delivered_tick = ?, next_try = NULL WHERE id = ?",
                    (at, tick, delivery),
                )
            short, destination = fetch(
                catalog,
                "SELECT s.short, d.destination FROM delivery d JOIN study s ON s.id = d.study WHERE d.id = ?",
                (delivery,),
            )[0]
            return short, destination, state

    def _become(self, delivery: int, state: DeliveryState, reason: str, next_try: int | None = None) -> None:
        with self._catalog.inside() as catalog:
            study, destination, now = fetch(
                catalog, "SELECT study, destination, state FROM delivery WHERE id = ?", (delivery,)
            )[0]
            advance(DELIVERY, DeliveryState(now), state)
            catalog.execute(
                "UPDATE delivery SET state = ?, reason = ?, next_try = ? WHERE id = ?",
                (state, reason, next_try, delivery),
            )
            self._filing.note_delivery(study, destination, state)

    def defer(self, destination: str, reason: str, next_try: int | None, *, only: Container[int] | None = None) -> None:
        """Say of all that waits for a destination why it waits, and until when (None: until a person acts).

        `only` limits it to some deliveries.
        """
        with self._catalog.change() as catalog:
            for delivery in self._open_deliveries(destination):
                if only is not None and delivery not in only:
                    continue
                if fetch_value(catalog, "SELECT 1 FROM waiting WHERE delivery = ? LIMIT 1", (delivery,)):
                    self._become(delivery, DeliveryState.DEFERRED, reason, next_try)

    def unexplained(self, destination: str) -> bool:
        """Return whether something waits for a destination as if it could leave at any moment."""
        with self._catalog.read() as catalog:
            sql = "SELECT 1 FROM delivery WHERE destination = ? AND state IN ('queued', 'sending') LIMIT 1"
            return fetch_value(catalog, sql, (destination,)) is not None

    def _open_deliveries(self, destination: str) -> list[int]:
        with self._catalog.inside() as catalog:
            sql = "SELECT id FROM delivery WHERE destination = ? AND state NOT IN ('delivered', 'confirmed', 'failed')"
            return [delivery for (delivery,) in fetch(catalog, sql, (destination,))]

    def requeue(self, destination: str) -> None:
        """Say of all that waits for a destination that it may leave now."""
        with self._catalog.change():
            for delivery in self._open_deliveries(destination):
                self._become(delivery, DeliveryState.QUEUED, "")

    def backlog(self, destination: str) -> Backlog:
        """Return what waits for a destination and what it got."""
        with self._catalog.read() as catalog:
            images, size, studies, doubtful = fetch(
                catalog,
                "SELECT count(*), total(w.bytes), count(DISTINCT w.delivery), total(w.doubt = 2) FROM delivery d "
                "CROSS JOIN waiting w ON w.delivery = d.id WHERE d.destination = ? "
                "AND d.state NOT IN ('delivered', 'confirmed')",
                (destination,),
            )[0]
            oldest = fetch_value(
                catalog,
                "SELECT min(i.received_at) FROM delivery d JOIN image i ON i.id = "
                "(SELECT min(image) FROM waiting WHERE delivery = d.id) "
                "WHERE d.destination = ? AND d.state NOT IN ('delivered', 'confirmed')",
                (destination,),
            )
            delivered, refused = fetch(
                catalog,
                "SELECT total(a.state != 'refused'), total(a.state = 'refused') FROM delivery d "
                "JOIN ack a ON a.delivery = d.id WHERE d.destination = ?",
                (destination,),
            )[0]
        return Backlog(images, int(size), studies, int(doubtful), int(refused), int(delivered), oldest)

    def progress(self, delivery: int) -> tuple[int, int]:
        """Return how many images of a delivery were acknowledged, and how many it has."""
        with self._catalog.read() as catalog:
            waiting = fetch_value(catalog, "SELECT count(*) FROM waiting WHERE delivery = ?", (delivery,))
            answered = fetch_value(catalog, "SELECT count(*) FROM ack WHERE delivery = ?", (delivery,))
        return int(answered), int(waiting + answered)

    def resend(self, study: int, destinations: Sequence[str], image: int | None, now: int) -> int:
        """Put a study, or one image of it, into the queues again, whatever was answered; return how many images.

        Images that are purged or damaged cannot be sent again and are not counted.
        """
        count = 0
        with self._catalog.change() as catalog:
            low, high = (image, image) if image is not None else bounds(study)
            for destination in destinations:
                delivery = self._delivery(study, destination, now)
                rows = fetch(
                    catalog,
                    "SELECT id, length FROM image WHERE id BETWEEN ? AND ? AND purged_at IS NULL AND NOT corrupt "
                    "AND (? OR NOT conflict)",
                    (low, high, image is not None),
                )
                for number, length in rows:
                    key = (delivery, number)
                    before = fetch_value(catalog, "SELECT attempts FROM ack WHERE delivery = ? AND image = ?", key)
                    catalog.execute("DELETE FROM ack WHERE delivery = ? AND image = ?", key)
                    catalog.execute(
                        "INSERT OR IGNORE INTO waiting (delivery, image, bytes, attempts) VALUES (?, ?, ?, ?)",
                        (*key, length, before or 0),
                    )
                count += len(rows)
                if rows:
                    self._become(delivery, DeliveryState.QUEUED, "Sent again by an operator.")
                    catalog.execute(
                        "UPDATE delivery SET delivered_at = NULL, delivered_tick = NULL, queued_at = ? WHERE id = ?",
                        (now, delivery),
                    )
        return count

    def _delivery(self, study: int, destination: str, now: int) -> int:
        """Return the delivery of a study to a destination, made if there is none."""
        with self._catalog.inside() as catalog:
            key = (study, destination)
            sql = "SELECT id FROM delivery WHERE study = ? AND destination = ?"
            found: int | None = fetch_value(catalog, sql, key)
            if found is None:
                catalog.execute(
                    "INSERT INTO delivery (study, destination, state, reason, queued_at) VALUES (?, ?, ?, '', ?)",
                    (*key, DeliveryState.QUEUED, now),
                )
                self._filing.forget()
                found = int(fetch_value(catalog, sql, key))
            return found

    def destinations(self) -> list[str]:
        """Return the names of all destinations for which something waits."""
        with self._catalog.read() as catalog:
            sql = "SELECT DISTINCT destination FROM delivery WHERE state NOT IN ('delivered', 'confirmed')"
            return [name for (name,) in fetch(catalog, sql)]

    def paused(self) -> set[str]:
        """Return the destinations an operator has paused."""
        with self._catalog.read() as catalog:
            return {name for (name,) in fetch(catalog, "SELECT name FROM destination WHERE paused")}

    def pause(self, destination: str, *, paused: bool) -> None:
        """Remember that a destination is paused, or that it is not; it outlives a restart."""
        with self._catalog.change() as catalog:
            catalog.execute(
                "INSERT INTO destination (name, paused) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET paused = ?",
                (destination, int(paused), int(paused)),
            )

    def last_success(self, destination: str) -> int | None:
        """Return when a destination acknowledged an image last, in nanoseconds since the epoch."""
        with self._catalog.read() as catalog:
            value: int | None = fetch_value(
                catalog,
                "SELECT max(a.at) FROM delivery d JOIN ack a ON a.delivery = d.id WHERE d.destination = ?",
                (destination,),
            )
        return value


def bounds(study: int) -> tuple[int, int]:
    """Return the lowest and the highest id an image of a study can have."""
    return study << STUDY_SHIFT, ((study + 1) << STUDY_SHIFT) - 1
