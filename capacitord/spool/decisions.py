"""Decisions on where images go that are made after the images were filed, and the turns that go with them.

A decision is filed for an image that has none, and never for another: so it does not matter how often it is made, or
where a crash cuts it short. One under another version of the profile is filed for an image that is held by a decision;
what goes somewhere goes there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import apsw

from capacitord.model.states import StudyState
from capacitord.seal.sealed import room
from capacitord.spool import closing, deliveries, review, together
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import STUDY_SHIFT, Filing
from capacitord.spool.review import Reviewed
from capacitord.spool.routed import REASONS, Routed, Standing
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects, Stored

_WHAT: Final = """
SELECT i.id, i.object_id, i.transfer_syntax, i.length, i.calling_ae, i.called_ae, i.received_at, i.findings, i.segment,
  i.place
"""
_OPEN: Final = (
    _WHAT + "FROM image i WHERE i.routing > 0 AND i.routing = ? AND i.id > ? AND i.here AND NOT i.conflict "
    "ORDER BY i.id LIMIT ?"
)
_OUTDATED: Final = (
    _WHAT + "FROM image i WHERE i.routing > 0 AND i.routing = ? AND i.id > ? AND i.here AND NOT i.conflict "
    "AND i.decided_by != ? ORDER BY i.id LIMIT ?"
)
_OF_CLOSED: Final = (
    "AND NOT EXISTS (SELECT 1 FROM staged WHERE image = i.id) "
    "AND (SELECT s.state FROM study s WHERE s.id = i.id >> 24) != 'receiving' "
)
_UNSORTED: Final = _WHAT + "FROM unsorted u JOIN image i ON i.id = u.image WHERE u.image > ? ORDER BY u.image LIMIT ?"
_STAGED: Final = "EXISTS (SELECT 1 FROM staged WHERE ?1 IS NULL OR version != ?1)"
_WAIT_FOR_OTHERS: Final = " OR ".join(
    f"EXISTS (SELECT 1 FROM image WHERE routing > 0 AND routing = {standing:d})"  # noqa: S608 - of constants
    for standing in together.WAIT_FOR_OTHERS
)
_TURN: Final = """
INSERT OR REPLACE INTO turn (destination, before, haste, after, delivery, image)
SELECT d.destination, ?2, -d.priority, ?3, w.delivery, w.image
FROM delivery d JOIN waiting w ON w.delivery = d.id AND w.image = ?1 WHERE d.study = ?1 >> 24
"""


class Undecided(NamedTuple):
    """An image whose attributes are to be looked at. `received_at` is in nanoseconds since the epoch.

    `findings` is what is wrong with it, as lines of `model.findings`.
    """

    image: int
    object_id: bytes
    transfer_syntax_uid: str
    length: int
    calling_ae: str
    called_ae: str
    received_at: int
    findings: tuple[str, ...]
    stored: Stored

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for. Raises as `Stored.chunks`."""
        return self.stored.chunks()


class Turn(NamedTuple):
    """When an image leaves: what is compared before the priority of its study, and what after it."""

    before: bytes
    after: bytes


class Decided(NamedTuple):
    """What is to be filed of an image: where it goes, None if that is known; its turn, None if none is wanted.

    `reviewed` is what was found for its study on the way: without that, the decision does not count.
    """

    image: int
    received_at: int
    routed: Routed | None
    turn: Turn | None = None
    reviewed: Reviewed | None = None


class Filed(NamedTuple):
    """What came of decisions: for whom something waits in another place because of them.

    `urgencies` is how urgent the most urgent study is for each destination. `again` says that there is more to
    decide: somebody else decided something of a study meanwhile, so that what was decided for it does not count, or
    images of it that were held are to be judged again. `deeds` are in the `outbox` from now on, so many.
    """

    urgencies: Mapping[str, int]
    again: bool = False
    deeds: int = 0


class Decisions:
    """What is still to be decided, and the filing of what was."""

    def __init__(self, catalog: Catalog, filing: Filing, objects: Objects) -> None:
        self._catalog, self._filing, self._objects = catalog, filing, objects

    def open(self, after: int, limit: int, *, whole: bool = False) -> list[Undecided]:
        """Return images of which it is not decided where they go, by id, beyond `after`.

        With `whole`, those of studies that are still receiving are left out, and those that wait for others of their
        study to be decided.
        """
        return self._page(_whole(_OPEN) if whole else _OPEN, (Standing.OPEN, after, limit))

    def outdated(self, version: int, after: int, limit: int, *, whole: bool = False) -> list[Undecided]:
        """Return images that are held by the decision of another version of the profile than this one, by id.

        `whole` as in `open`.
        """
        sql = _whole(_OUTDATED) if whole else _OUTDATED
        # Each by itself is a range of the index.
        held = (standing for standing, reason in REASONS.items() if reason.by_profile)
        found = [image for standing in held for image in self._page(sql, (standing, after, version, limit))]
        return sorted(found, key=lambda image: image.image)[:limit]

    def unsorted(self, after: int, limit: int) -> list[Undecided]:
        """Return images that wait to be sent and whose turn is not known, by id, beyond `after`."""
        return self._page(_UNSORTED, (after, limit))

    def _page(self, sql: str, values: tuple[object, ...]) -> list[Undecided]:
        with self._catalog.read() as catalog:
            return [self._undecided(row) for row in fetch(catalog, sql, values)]

    def _undecided(self, row: tuple[Any, ...]) -> Undecided:
        image, object_id, length = row[0], row[1], row[3]
        place = Place(row[8], row[9], room(length))
        stored = self._objects.stored(object_id, place, lambda: self._catalog.place(image))
        return Undecided._make((*row[:7], tuple(row[7].splitlines()), stored))

    def begin(self, version: int, *, whole: bool) -> bool:
        """Forget decisions of other versions of the profile that wait for those of other images.

        Where images leave as they arrive, it is also decided where those go that wait for others of their study.
        Returns whether there are any.
        """
        waiting = _STAGED if whole else f"{_STAGED} OR {_WAIT_FOR_OTHERS}"
        with self._catalog.read() as catalog:
            if not fetch_value(catalog, f"SELECT {waiting}", (version if whole else None,)):
                return False
        with self._catalog.change() as catalog:
            together.drop(catalog, version if whole else None)
            return False if whole else closing.free_waiting(catalog, self._filing)

    def file(
        self, decided: Sequence[Decided], holds: Callable[[], bool] = lambda: True, *, whole: bool = False
    ) -> Filed:
        """File decisions in one transaction.

        `holds` is asked within it, by when nobody else can file anything: whether they are to be filed at all. With
        `whole`, no decision is filed for an image of a study that is receiving, as another image may just have come,
        and those that send images are kept until all images of the study may leave.
        """
        again = False
        with self._catalog.change() as catalog:
            if not holds():
                return Filed({})
            studies, sorted_studies, deeds = set(), set(), 0
            for each in decided:
                routed = None if whole and _receiving(catalog, each.image) else each.routed
                if routed is not None and each.reviewed is not None:
                    clock = (time.time_ns(), routed.version)
                    if not review.take(catalog, self._filing, each.image >> STUDY_SHIFT, each.reviewed, clock):
                        again = True
                        continue
                    again = again or each.reviewed.reopened
                    deeds += each.reviewed.deed is not None
                if routed is not None and self._take(catalog, each, routed, whole=whole):
                    studies.add(each.image >> STUDY_SHIFT)
                if each.turn is not None:
                    catalog.execute(_TURN, (each.image, each.turn.before, each.turn.after))
                    catalog.execute("DELETE FROM unsorted WHERE image = ?", (each.image,))
                    sorted_studies.add(each.image >> STUDY_SHIFT)
            for study in studies:
                again = self._come_to(catalog, study, whole=whole) or again
            return Filed(deliveries.urgencies(catalog, studies | sorted_studies), again, deeds)

    def leave(self, holds: Callable[[], bool] = lambda: True) -> Filed:
        """Have studies leave of which nothing is to be decided any more but whether they do; `holds` as in `file`.

        That is so where the last image to be decided was damaged or discarded instead.
        """
        with self._catalog.read() as catalog:
            if not together.studies(catalog):
                return Filed({})
        with self._catalog.change() as catalog:
            studies = together.studies(catalog) if holds() else []
            again = [self._come_to(catalog, study, whole=True) for study in studies]
            return Filed(deliveries.urgencies(catalog, studies), any(again))

    def _come_to(self, catalog: apsw.Connection, study: int, *, whole: bool) -> bool:
        """Have a study leave if it may; return whether images of it are to be decided again."""
        for staged in together.leaving(catalog, study) if whole else ():
            file_decision(catalog, self._filing, staged.image, staged.routed, staged.received_at)
        return closing.judge_again(catalog, self._filing, study)

    def _take(self, catalog: apsw.Connection, decided: Decided, routed: Routed, *, whole: bool) -> bool:
        if whole and routed.standing is Standing.DECIDED:
            return together.stage(catalog, decided.image, routed)
        return file_decision(catalog, self._filing, decided.image, routed, decided.received_at)

    def order(self, attributes: Sequence[str]) -> None:
        """Have what waits leave in the order of these attributes; by priority and arrival if there are none.

        Their turns are not known then: `unsorted` has the images.
        """
        wanted = json.dumps(list(attributes)) if attributes else None
        with self._catalog.read() as catalog:
            if fetch_value(catalog, "SELECT value FROM fact WHERE name = 'order'") == wanted:
                return
        with self._catalog.change() as catalog:
            catalog.execute("DELETE FROM turn")
            catalog.execute("DELETE FROM unsorted")
            catalog.execute("DELETE FROM fact WHERE name = 'order'")
            if wanted is not None:
                catalog.execute("INSERT INTO fact VALUES ('order', ?)", (wanted,))
                catalog.execute("INSERT OR IGNORE INTO unsorted SELECT image FROM waiting")


def _whole(sql: str) -> str:
    return sql.replace("ORDER BY", _OF_CLOSED + "ORDER BY")


def _receiving(catalog: apsw.Connection, image: int) -> bool:
    state = fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (image >> STUDY_SHIFT,))
    return bool(state == StudyState.RECEIVING)


def file_decision(catalog: apsw.Connection, filing: Filing, image: int, routed: Routed, now: int) -> bool:
    """File where an image goes, unless that was decided; return whether it was not. Call it within a transaction.

    `now` is since when it waits, in nanoseconds since the epoch.
    """
    catalog.execute(
        "UPDATE image SET routing = ?2, route = ?3, decided_by = ?4, held = ?5, release = ?7 "
        "WHERE id = ?1 AND here AND NOT conflict AND (routing = ?6 OR (routing > ?6 AND decided_by != ?4))",
        (image, routed.standing, routed.route, routed.version, routed.held, Standing.OPEN, routed.release),
    )
    if not catalog.changes():
        return False
    for destination in routed.to:
        delivery = filing.delivery(catalog, image >> STUDY_SHIFT, destination, now, priority=routed.priority)
        # A person may have sent it there before it was decided.
        catalog.execute(
            "INSERT OR IGNORE INTO waiting (delivery, image, bytes, since, else_to, else_after) "
            "SELECT ?1, id, length, ?3, ?4, ?5 FROM image WHERE id = ?2 "
            "AND NOT EXISTS (SELECT 1 FROM ack WHERE delivery = ?1 AND image = ?2)",
            (delivery, image, now, " ".join(routed.else_to), routed.else_after),
        )
        if catalog.changes():
            deliveries.reopen(catalog, filing, delivery, "A late image arrived.", now)
    return True
