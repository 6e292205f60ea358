"""The ledger: what every destination still has to get, and what it answered.

An image waits for a destination from the moment it is filed until that destination's C-STORE response is written
here. Before it is sent it is marked as in doubt, so that after a crash everybody knows which answers may be
lost. Nothing else ever takes an image out of a queue.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from capacitord.model.codes import Coded
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.reasons import Reason
from capacitord.model.states import ACKNOWLEDGED, DELIVERY, AckState, DeliveryState
from capacitord.model.transform import Transform
from capacitord.seal.sealed import room
from capacitord.spool import codebook, deliveries, failover, outbox, resending
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.deliveries import Ended as OneEnded
from capacitord.spool.failover import Failure, Key
from capacitord.spool.filing import ANSWERED, Filing, bounds
from capacitord.spool.outbox import Deed
from capacitord.spool.routed import NOWHERE, Reachable
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects, Stored

_ACK: Final = {
    Verdict.DONE: AckState.DONE,
    Verdict.DONE_WITH_WARNING: AckState.WARNING,
    Verdict.NEEDS_PERSON: AckState.REFUSED,
    Verdict.HELD: AckState.HELD,
}
_PENDING: Final = """
SELECT w.image, w.delivery, d.priority, s.short, i.object_id, i.sop_class, i.sop_uid, i.transfer_syntax, i.calling_ae,
  i.length, NOT i.conflict AND (w.doubt OR w.known), i.segment, i.place, {turn},
  (SELECT changes FROM release r WHERE r.id = i.release)
"""
_NOT_APART: Final = (
    "{delivery} NOT IN (SELECT value FROM json_each(?2)) AND {image} NOT IN (SELECT value FROM json_each(?3))"
)
_DUE_NOT_APART: Final = _NOT_APART.format(delivery="d.id", image="w.image")
_TURNS_NOT_APART: Final = _NOT_APART.format(delivery="t.delivery", image="t.image")
_DUE: Final = (
    _PENDING.format(turn="NULL, NULL")
    + """
FROM delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image JOIN study s ON s.id = d.study
WHERE d.destination = ? AND d.open AND d.waiting > 0 AND {apart} AND NOT i.corrupt {which}
ORDER BY d.priority DESC, d.id, w.image LIMIT ?
"""
)
_TURNS: Final = (
    _PENDING.format(turn="t.before, t.after")
    + """
FROM turn t CROSS JOIN waiting w ON w.delivery = t.delivery AND w.image = t.image JOIN delivery d ON d.id = t.delivery
  JOIN image i ON i.id = t.image JOIN study s ON s.id = d.study
WHERE t.destination = ? AND {apart} AND NOT i.corrupt {which}
ORDER BY t.before, t.haste, t.after, t.delivery, t.image LIMIT ?
"""
)
_FIRST_TURN: Final = """
AND (t.before, t.haste, t.after, t.delivery, t.image) = (
  SELECT o.before, o.haste, o.after, o.delivery, o.image FROM delivery d CROSS JOIN turn o ON o.delivery = d.id
  WHERE d.destination = ?1 AND d.open AND d.waiting > 0 AND d.priority > ?4
    AND {apart}
    AND NOT EXISTS (SELECT 1 FROM image WHERE id = o.image AND corrupt)
  ORDER BY o.before, o.haste, o.after, o.delivery, o.image LIMIT 1
)
"""
_WITHOUT_A_TURN: Final = "AND NOT EXISTS (SELECT 1 FROM turn t WHERE t.delivery = w.delivery AND t.image = w.image)"
_KINDS: Final = """
SELECT sop_class, transfer_syntax FROM (
  SELECT sop_class, transfer_syntax, row_number() OVER () AS place FROM (
    SELECT i.sop_class, i.transfer_syntax FROM {first} LIMIT ?
  )
) GROUP BY 1, 2 ORDER BY min(place)
"""
_AS_THEY_CAME: Final = """
delivery d CROSS JOIN waiting w ON w.delivery = d.id JOIN image i ON i.id = w.image
WHERE d.destination = ? AND d.open AND d.waiting > 0 AND NOT i.corrupt ORDER BY d.priority DESC, d.id, w.image
"""
_IN_TURN: Final = """
turn t CROSS JOIN image i ON i.id = t.image WHERE t.destination = ? AND NOT i.corrupt
ORDER BY t.before, t.haste, t.after, t.delivery, t.image
"""

_Where = tuple[str, str, str]
"""The destination, and what is apart: what every look into a queue takes first."""

Ended = list[OneEnded]
"""Deliveries that came to an end: short study id, destination, state."""


class Pending(NamedTuple):
    """An image that waits for a destination; what a sender needs of it.

    `repeated` says that an earlier attempt may have brought it there already; never so for an image in conflict, for
    what is there under its UID may be the other one. `turn` is its place where attributes decide what leaves first.
    `reconciled` is what writes the attributes of a worklist entry into it, as a person said.
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
    turn: tuple[bytes, bytes] | None = None
    reconciled: Transform | None = None


class Apart(NamedTuple):
    """What is left out of a look into a queue: whole deliveries, and single images of others.

    They are passed over in the catalog: what is left out costs next to nothing, however much it is.
    """

    deliveries: Collection[int] = ()
    images: Collection[int] = ()

    def values(self) -> tuple[str, str]:
        """Return both as the queries take them."""
        return json.dumps(list(self.deliveries)), json.dumps(list(self.images))


NOTHING_APART: Final = Apart()


class Doubt(enum.IntEnum):
    """What is known of the last attempt to send an image that waits. A start-up makes the second the third."""

    NONE = 0
    HANDED_OUT = 1
    UNANSWERED = 2


class Answer(NamedTuple):
    """What became of one image at one destination, `at` in nanoseconds since the epoch.

    `coded` are the codes that were sent there, if it was de-identified; `profile_version` is the version under which
    the copy was made, or was not: None where no profile had a say.
    """

    image: int
    delivery: int
    outcome: Outcome
    at: int
    coded: Coded | None = None
    profile_version: int | None = None


class Recorded(NamedTuple):
    """What came of answers: the deliveries that ended with them, and who stands in for others from now on."""

    ended: Ended
    stand_ins: frozenset[str]


class Backlog(NamedTuple):
    """What waits for one destination. `oldest` is in nanoseconds since the epoch, None if nothing waits."""

    images: int
    bytes: int
    studies: int
    doubtful: int
    refused: int
    held: int
    delivered: int
    oldest: int | None


class Ledger:
    """The queue and the acknowledgements of one site. Every change is on stable storage when it returns."""

    def __init__(self, catalog: Catalog, filing: Filing, objects: Objects) -> None:
        self._catalog, self._filing, self._objects = catalog, filing, objects

    def due(
        self, destination: str, limit: int, *, beyond: Pending | None = None, apart: Apart = NOTHING_APART
    ) -> list[Pending]:
        """Return the next images for a destination in the order they should leave: priority, study, arrival.

        `beyond` is the last image of the page before, `apart` what is passed over. An image of a study that became
        more urgent meanwhile is found by beginning again.
        """
        where = (destination, *apart.values())
        with self._catalog.read() as catalog:
            if not deliveries.has_turns(catalog):
                return self._due(catalog, where, limit, beyond, "")
            page = self._turns(catalog, where, limit, beyond)
            if len(page) < limit:
                last = beyond if beyond is not None and beyond.turn is None else None
                page += self._due(catalog, where, limit - len(page), last, _WITHOUT_A_TURN)
        return page

    def more_urgent(self, destination: str, priority: int, *, apart: Apart = NOTHING_APART) -> Pending | None:
        """Return which image leaves first of all that is more urgent than `priority`, None if nothing is.

        What is `apart` is passed over.
        """
        where, which = (destination, *apart.values()), "AND d.priority > ?"
        with self._catalog.read() as catalog:
            found: list[Pending] = []
            if deliveries.has_turns(catalog):
                first = _FIRST_TURN.format(apart=_NOT_APART.format(delivery="d.id", image="o.image"))
                sql = _TURNS.format(apart=_TURNS_NOT_APART, which=first)
                found = self._pendings(catalog, sql, (*where, priority, 1))
                which += f" {_WITHOUT_A_TURN}"
            if not found:
                sql = _DUE.format(apart=_DUE_NOT_APART, which=which)
                found = self._pendings(catalog, sql, (*where, priority, 1))
        return found[0] if found else None

    def _turns(self, catalog: apsw.Connection, where: _Where, limit: int, beyond: Pending | None) -> list[Pending]:
        """Return a page of what has its turn."""
        if beyond is None:
            return self._pendings(catalog, _TURNS.format(apart=_TURNS_NOT_APART, which=""), (*where, limit))
        if beyond.turn is None:
            return []
        which = "AND (t.before, t.haste, t.after, t.delivery, t.image) > (?, ?, ?, ?, ?)"
        before, after = beyond.turn
        values = (*where, before, -beyond.priority, after, beyond.delivery, beyond.image, limit)
        return self._pendings(catalog, _TURNS.format(apart=_TURNS_NOT_APART, which=which), values)

    def _due(
        self, catalog: apsw.Connection, where: _Where, limit: int, beyond: Pending | None, which: str
    ) -> list[Pending]:
        """Return a page in the order of arrival."""
        if beyond is None:
            return self._pendings(catalog, _DUE.format(apart=_DUE_NOT_APART, which=which), (*where, limit))
        priority, delivery, image = beyond.priority, beyond.delivery, beyond.image
        page: list[Pending] = []
        # Three conditions instead of one over all three columns: each is a range of the index, so that a page costs
        # the same wherever it is in the queue.
        for condition, values in (
            ("AND d.priority = ? AND d.id = ? AND w.image > ?", (priority, delivery, image)),
            ("AND d.priority = ? AND d.id > ?", (priority, delivery)),
            ("AND d.priority < ?", (priority,)),
        ):
            if len(page) < limit:
                sql = _DUE.format(apart=_DUE_NOT_APART, which=f"{condition} {which}")
                page += self._pendings(catalog, sql, (*where, *values, limit - len(page)))
        return page

    def _pendings(self, catalog: apsw.Connection, sql: str, values: tuple[object, ...]) -> list[Pending]:
        return [self._pending(row) for row in fetch(catalog, sql, values)]

    def _pending(self, row: tuple[Any, ...]) -> Pending:
        image, object_id, length, turn, changes = row[0], row[4], row[9], row[13:15], row[15]
        place = Place(row[11], row[12], room(length))
        stored = self._objects.stored(object_id, place, lambda: self._catalog.place(image))
        reconciled = None if changes is None else msgspec.json.decode(changes, type=Transform)
        return Pending._make((*row[:10], bool(row[10]), stored, None if turn[0] is None else turn, reconciled))

    def urgency(self, destination: str) -> int | None:
        """Return the priority of the most urgent study of which something waits for a destination, None if none."""
        with self._catalog.read() as catalog:
            found: int | None = fetch_value(
                catalog,
                "SELECT priority FROM delivery WHERE destination = ? AND open AND waiting > 0 "
                "ORDER BY priority DESC LIMIT 1",
                (destination,),
            )
        return found

    def kinds(self, destination: str, most: int) -> list[tuple[str, str]]:
        """Return (SOP class, transfer syntax) of what waits for a destination, in the order it is to leave.

        Only the `most` images that are to leave first are looked at, so that a long queue costs no more.
        """
        with self._catalog.read() as catalog:
            first = [_AS_THEY_CAME] if not deliveries.has_turns(catalog) else [_IN_TURN, _AS_THEY_CAME]
            rows = (row for each in first for row in fetch(catalog, _KINDS.format(first=each), (destination, most)))
            return list(dict.fromkeys((sop_class, syntax) for sop_class, syntax in rows))

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

    def record(self, answers: Sequence[Answer], tick: float, reachable: Reachable = NOWHERE) -> Recorded:
        """Write down what destinations answered, or what was not sent to them; `tick` is the retention clock.

        An answer for an image that does not wait any more changes nothing. One that was refused for good goes to the
        next destination that may stand in, by what is `reachable`. Whatever was answered, the codes that were sent
        are kept: the destination may have them.
        """
        last: dict[int, int] = {}
        ended, stand_ins = [], set()
        with self._catalog.change() as catalog:
            codebook.keep(catalog, ((answer.image, answer.coded) for answer in answers))
            for answer in answers:
                instead = self._refused(catalog, answer, reachable)
                if instead is not None:
                    stand_ins.add(instead)
                if instead is not None or self._take(catalog, answer):
                    last[answer.delivery] = max(answer.at, last.get(answer.delivery, 0))
            for delivery, at in last.items():
                end = deliveries.settle(catalog, self._filing, delivery, at, tick)
                if end is not None:
                    ended.append(end)
        return Recorded(ended, frozenset(stand_ins))

    def _refused(self, catalog: apsw.Connection, answer: Answer, reachable: Reachable) -> str | None:
        """Let another destination stand in for one that refused an image for good; return which, None if none does.

        Only what the peer itself answered counts: what this box cannot send, it cannot send elsewhere.
        """
        outcome = answer.outcome
        if not outcome.is_refusal:
            return None
        waits = failover.waiting(catalog, (answer.delivery, answer.image))
        return (
            None
            if waits is None
            else failover.after_refusal(
                catalog, self._filing, waits, failover.Refusal(outcome, answer.at, answer.profile_version), reachable
            )
        )

    def stand_in(
        self,
        failure: Failure,
        reachable: Reachable,
        clocks: tuple[int, float],
        *,
        apart: Collection[Key] = (),
        beyond: Key = failover.FIRST,
    ) -> Iterator[failover.Moved]:
        """Let others stand in for a destination that fails, as far as routes say so, from `beyond` on.

        What it has in hand (`apart`) stays. `clocks` are the time in nanoseconds since the epoch and the retention
        clock. Yields what was done, a transaction each, also if nothing moved: so the caller can end it at any page.
        """
        after: Key | None = beyond
        while after is not None:
            with self._catalog.change() as catalog:
                moved = failover.move(catalog, self._filing, failure, reachable, clocks, apart, after)
            after = moved.after
            yield moved

    def prospects(self, failure: Failure, reachable: Reachable) -> failover.Prospects:
        """Return what the next `stand_in` for a destination depends on; without any of it changed it does the same."""
        with self._catalog.read() as catalog:
            return failover.prospects(catalog, failure, reachable)

    def failing_since(self, destination: str) -> float | None:
        """Return since when a destination has been failing, on the retention clock; None if it is not."""
        with self._catalog.read() as catalog:
            value: float | None = fetch_value(
                catalog, "SELECT failing_since FROM destination WHERE name = ?", (destination,)
            )
        return value

    def failing(self, destination: str, since: float | None) -> None:
        """Remember since when a destination has been failing, or that it is not; it outlives a restart."""
        with self._catalog.change() as catalog:
            catalog.execute(
                "INSERT INTO destination (name, failing_since) VALUES (?1, ?2) "
                "ON CONFLICT (name) DO UPDATE SET failing_since = ?2",
                (destination, since),
            )

    @staticmethod
    def _take(catalog: apsw.Connection, answer: Answer) -> bool:
        """Write one answer down; return whether the image waits no more because of it."""
        key, outcome = (answer.delivery, answer.image), answer.outcome
        waits = failover.waiting(catalog, key)
        if waits is None:
            return False
        if outcome.verdict is Verdict.LATER:
            catalog.execute(
                "UPDATE waiting SET attempts = attempts + 1, known = max(known, doubt = 2), doubt = ?, last = ? "
                "WHERE delivery = ? AND image = ?",
                (Doubt.UNANSWERED if outcome.status is None else Doubt.NONE, outcome.reason, *key),
            )
            return False
        state = _ACK[outcome.verdict]
        catalog.execute("DELETE FROM waiting WHERE delivery = ? AND image = ?", key)
        attempts = waits.attempts + (state is not AckState.HELD)
        catalog.execute(
            ANSWERED,
            (*key, state, outcome.status, outcome.reason, outcome.comment, attempts, answer.at, answer.profile_version),
        )
        if state is AckState.HELD:
            # Another version of the profile may send it, and others may have to stand in then.
            failover.keep(catalog, waits, outcome.held or Reason.NOT_PREPARED)
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
            images, size, studies, doubtful, refused, held, delivered = fetch(
                catalog,
                "SELECT total(waiting), total(waiting_bytes), total(waiting > 0), total(doubtful), total(refused), "
                "total(held), total(done + warned) FROM delivery WHERE destination = ?",
                (destination,),
            )[0]
            oldest = fetch_value(
                catalog,
                "SELECT min((SELECT since FROM waiting WHERE delivery = d.id ORDER BY image LIMIT 1)) FROM delivery d "
                "WHERE d.destination = ? AND d.open AND d.waiting > 0",
                (destination,),
            )
        return Backlog(
            int(images), int(size), int(studies), int(doubtful), int(refused), int(held), int(delivered), oldest
        )

    def progress(self, delivery: int) -> tuple[int, int]:
        """Return how many images of a delivery were answered for, and how many it has."""
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT done + warned + refused + held, done + warned + refused + held + waiting FROM delivery "
                "WHERE id = ?",
                (delivery,),
            )
        return rows[0] if rows else (0, 0)

    def recipients(self, study: int, image: int | None) -> list[str]:
        """Return the destinations that a study, or one image of it, was to go to. See `resending.recipients`."""
        with self._catalog.read() as catalog:
            return resending.recipients(catalog, study, image)

    def has_images(self, study: int) -> bool:
        """Return whether something of a study is here that could be sent."""
        with self._catalog.read() as catalog:
            sql = "SELECT 1 FROM image WHERE id BETWEEN ? AND ? AND here LIMIT 1"
            return fetch_value(catalog, sql, bounds(study)) is not None

    def resend(
        self,
        study: int,
        destinations: Sequence[str],
        image: int | None,
        now: int,
        *,
        chosen: bool = True,
        matches: bool = True,
        tell: Callable[[int], Deed] | None = None,
    ) -> int:
        """Put a study, or one image of it, into the queues again, whatever was answered; return how many images.

        Images that are purged or damaged cannot be sent again and are not counted. One in conflict is sent only
        if it is named. Where a person has `chosen` the destinations, images that are held go there as well, and are
        held no more; else each destination gets again what it was to get.

        A person chooses nothing for a study of which it is not known whose it is: that raises `Refused`, since it takes
        a release. Where the profile `matches` studies, the same holds for what matching never looked at, and an image
        that came again as one of another patient is not sent at all. It raises `TryAgain` while it is not decided where
        its images go. `tell` says what the audit log is to have of it, if anything is sent.
        """
        with self._catalog.change() as catalog:
            count = resending.resend(
                catalog, self._filing, study, destinations, image, now, chosen=chosen, matches=matches
            )
            if count and tell is not None:
                outbox.add(catalog, tell(count))
        return count

    def look_again(self, destination: str, profile_version: int, now: int) -> int:
        """Put into a destination's queue again what this box held under another version of the profile.

        Returns how many images; a page of them is put there in one transaction, so that reception does not wait long.
        What is damaged or gone stays as it is.
        """
        with self._catalog.read() as catalog:
            found = resending.held_before(catalog, destination, profile_version)
        count = 0
        for delivery in found:
            beyond: int | None = -1
            while beyond is not None:
                with self._catalog.change() as catalog:
                    page, beyond = resending.look_again(catalog, self._filing, delivery, profile_version, now, beyond)
                count += page
        return count

    def destinations(self) -> list[str]:
        """Return the names of all destinations for which something waits, was refused or is held."""
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
