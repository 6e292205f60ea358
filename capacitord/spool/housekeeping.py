"""Letting go of images: purges with proof of delivery, discards on a person's word, space given back to the disk."""

from __future__ import annotations

import os

from capacitord.errors import CapacitordError, DamagedObject, Refused, TryAgain
from capacitord.model.states import STUDY, StudyState, advance
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import room
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.disk import Disk, failure
from capacitord.spool.filing import Filing
from capacitord.spool.ledger import bounds
from capacitord.spool.retention import Candidate
from capacitord.spool.segment import Layout, Place
from capacitord.spool.stored import Stored, set_aside
from capacitord.spool.writer import SegmentWriter

_ZEROS = bytes(1 << 16)
_PURGEABLE = """
UPDATE image SET purged_at = ? WHERE id BETWEEN ? AND ? AND purged_at IS NULL AND NOT corrupt
  AND EXISTS (SELECT 1 FROM delivery WHERE study = ?)
  AND NOT EXISTS (
    SELECT 1 FROM delivery d LEFT JOIN ack a ON a.delivery = d.id AND a.image = image.id
    WHERE d.study = ? AND (a.state IS NULL OR a.state = 'refused')
  )
"""


class Housekeeping:
    """Takes images out of the spool. Nothing leaves but what a transaction proves may leave."""

    def __init__(  # noqa: PLR0917 - made in one place only
        self, key: SiteKey, disk: Disk, layout: Layout, catalog: Catalog, filing: Filing, writer: SegmentWriter
    ) -> None:
        self._key, self._disk, self._layout = key, disk, layout
        self._catalog, self._filing, self._writer = catalog, filing, writer

    def candidates(self) -> list[Candidate]:
        """Return the studies that every destination has in full and whose images are still here."""
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT d.study, max(d.delivered_tick), (SELECT total(length) FROM image i WHERE i.id BETWEEN "
                "d.study << 24 AND ((d.study + 1) << 24) - 1 AND i.purged_at IS NULL AND NOT i.corrupt "
                "AND NOT i.conflict) AS held "
                "FROM delivery d WHERE d.delivered_tick IS NOT NULL GROUP BY d.study HAVING held > 0 "
                "AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.study = d.study "
                "AND o.state NOT IN ('delivered', 'confirmed'))",
            )
        return [Candidate(study, tick, int(size)) for study, tick, size in rows]

    def purge(self, study: int, now: int) -> int:
        """Purge the images of a study that every destination acknowledged; return how many.

        The proof (an acknowledgement of each destination) is read in the same transaction that purges.
        """
        with self._catalog.change() as catalog:
            before = catalog.total_changes()
            catalog.execute(_PURGEABLE, (now, *bounds(study), study, study))
            return catalog.total_changes() - before

    def discard(self, study: int, now: int, reason: str) -> int:
        """Give a study up on a person's word: its images are overwritten and gone; return how many.

        Raises `TryAgain` while images of it are arriving.
        """
        with self._catalog.change() as catalog:
            state = StudyState(fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (study,)))
            if state is StudyState.DISCARDED:
                raise Refused("This study was discarded before.", hint="There is nothing left to discard.")
            if state is StudyState.RECEIVING:
                raise TryAgain(
                    "Images of this study are arriving.", hint="Wait until the scanner has finished and try again."
                )
            advance(STUDY, state, StudyState.DISCARDED)
            rows = fetch(
                catalog,
                "SELECT segment, place, length FROM image WHERE id BETWEEN ? AND ? AND purged_at IS NULL",
                bounds(study),
            )
            catalog.execute(
                "UPDATE image SET purged_at = ? WHERE id BETWEEN ? AND ? AND purged_at IS NULL", (now, *bounds(study))
            )
            catalog.execute("DELETE FROM waiting WHERE delivery IN (SELECT id FROM delivery WHERE study = ?)", (study,))
            catalog.execute("DELETE FROM delivery WHERE study = ? AND delivered_at IS NULL", (study,))
            catalog.execute(
                "UPDATE study SET state = ?, reason = ? WHERE id = ?", (StudyState.DISCARDED, reason, study)
            )
            self._filing.forget()
        for segment, offset, length in rows:
            self._overwrite(Place(segment, offset, room(length)))
        return len(rows)

    def _overwrite(self, place: Place) -> None:
        path = self._layout.segment(place.segment)
        try:
            descriptor = self._disk.open(path)
            try:
                for offset in range(0, place.size, len(_ZEROS)):
                    size = min(len(_ZEROS), place.size - offset)
                    self._disk.write(descriptor, [_ZEROS[:size]], place.offset + offset)
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise failure(error, "overwrite a discarded image") from error

    def release_segments(self) -> int:
        """Remove the segments in which nothing is left; return how many."""
        with self._catalog.change() as catalog:
            rows = fetch(
                catalog,
                "SELECT id FROM segment WHERE closed AND NOT removed AND id != ? AND NOT EXISTS "
                "(SELECT 1 FROM image WHERE segment = segment.id AND purged_at IS NULL)",
                (self._writer.current,),
            )
            empty = [number for (number,) in rows]
            for number in empty:
                catalog.execute("UPDATE segment SET removed = 1 WHERE id = ?", (number,))
        for number in empty:
            try:
                self._disk.remove(self._layout.segment(number))
            except OSError as error:
                raise failure(error, "remove an empty segment") from error
        return len(empty)

    def compact(self) -> int:
        """Move what is left in mostly empty segments to new ones and remove them; return how many images moved."""
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT segment FROM image WHERE segment IN (SELECT id FROM segment WHERE closed AND NOT removed) "
                "AND segment != ? GROUP BY segment "
                "HAVING 2 * total(CASE WHEN purged_at IS NULL THEN length END) < total(length) LIMIT 8",
                (self._writer.current,),
            )
        return sum(self._empty_segment(number) for (number,) in rows)

    def _empty_segment(self, number: int) -> int:
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT id, place, length FROM image WHERE segment = ? AND purged_at IS NULL AND NOT corrupt",
                (number,),
            )
        for image, offset, length in rows:
            self._move(image, Place(number, offset, room(length)))
        return len(rows)

    def _move(self, image: int, old: Place) -> None:
        """Copy a sealed object as it is: it does not depend on where it lies."""
        sealed = memoryview(bytearray(old.size))
        try:
            descriptor = os.open(self._layout.segment(old.segment), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.preadv(descriptor, [sealed], old.offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise failure(error, "read an image from the spool") from error

        def filed(new: Place) -> None:
            with self._catalog.change() as catalog:
                catalog.execute(
                    "UPDATE image SET segment = ?, place = ? WHERE id = ?", (new.segment, new.offset, image)
                )

        self._writer.append(sealed, filed)

    def examine(self, image: int) -> str:
        """Read an image through; if it is damaged set it aside and say so in the catalog.

        Returns what is wrong with it, empty if nothing is. What waits for it then needs a person.
        """
        with self._catalog.read() as catalog:
            rows = fetch(
                catalog,
                "SELECT object_id, segment, place, length FROM image "
                "WHERE id = ? AND purged_at IS NULL AND NOT corrupt",
                (image,),
            )
        for object_id, segment, offset, length in rows:
            place = Place(segment, offset, room(length))
            try:
                for _ in Stored(self._key, self._disk, self._layout, place).chunks():
                    pass
            except DamagedObject as damage:
                self._condemn(image, bytes(object_id), place, damage)
                return damage.message
        return ""

    def _condemn(self, image: int, object_id: bytes, place: Place, damage: CapacitordError) -> None:
        set_aside(self._disk, self._layout, object_id, place)
        with self._catalog.change() as catalog:
            catalog.execute("UPDATE image SET corrupt = 1 WHERE id = ?", (image,))
            rows = fetch(catalog, "SELECT delivery, attempts FROM waiting WHERE image = ?", (image,))
            for delivery, attempts in rows:
                catalog.execute(
                    "INSERT OR REPLACE INTO ack VALUES (?, ?, 'refused', NULL, ?, '', ?, 0)",
                    (delivery, image, f"The spool's copy is damaged: {damage.message}", attempts),
                )
            catalog.execute("DELETE FROM waiting WHERE image = ?", (image,))

    def images(self, after: int, limit: int) -> list[tuple[int, str, str, int]]:
        """Return (id, object id, short study id, length) of images that are here, by id, beyond `after`."""
        with self._catalog.read() as catalog:
            return [
                (image, object_id.hex(), short, length)
                for image, object_id, short, length in fetch(
                    catalog,
                    "SELECT i.id, i.object_id, s.short, i.length FROM image i JOIN study s ON s.id = i.id >> 24 "
                    "WHERE i.id > ? AND i.purged_at IS NULL AND NOT i.corrupt ORDER BY i.id LIMIT ?",
                    (after, limit),
                )
            ]
