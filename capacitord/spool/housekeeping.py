"""Letting go of images: purges with proof of delivery, discards on a person's word, space given back to the disk."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import apsw

from capacitord.errors import DamagedObject, OutOfSpace, PartlyDone, Refused, TryAgain
from capacitord.model.states import STUDY, DeliveryState, StudyState, advance
from capacitord.seal.sealed import room
from capacitord.spool import deliveries, outbox
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.damage import Damage
from capacitord.spool.disk import failure
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.outbox import Deed
from capacitord.spool.retention import Candidate, Candidates, Share, comes_free
from capacitord.spool.routed import Standing
from capacitord.spool.segment import Place
from capacitord.spool.space import Ballast
from capacitord.spool.stored import Objects
from capacitord.spool.writer import SegmentWriter

_ZEROS: Final = bytes(1 << 20)
_SEGMENTS_AT_ONCE: Final = 8

_CANDIDATES: Final = """
SELECT s.id, max(d.delivered_tick)
FROM study s JOIN delivery d ON d.study = s.id
WHERE s.bytes > s.conflict_bytes AND s.bytes > s.conflict_bytes + s.held_bytes AND NOT s.unrouted
GROUP BY s.id HAVING NOT max(d.waiting > 0 OR d.refused > 0 OR d.held > 0) AND max(d.delivered_tick) IS NOT NULL
"""

_PROVEN: Final = """
image.id BETWEEN ?1 AND ?2 AND here AND NOT routing
  AND NOT EXISTS (SELECT 1 FROM delivery d JOIN waiting w ON w.delivery = d.id AND w.image = image.id
                  WHERE d.study = ?3)
  AND EXISTS (SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = image.id
              WHERE d.study = ?3 AND a.state IN ('done', 'warning'))
  AND NOT EXISTS (SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = image.id
                  WHERE d.study = ?3 AND a.state IN ('refused', 'held'))
"""
_PURGE: Final = "UPDATE image SET purged_at = ?4 WHERE {proven}"

_LOOSE: Final = "4 * (filled - bytes) > filled"
"""Segments of which what is left is moved, as `retention.comes_free` has it."""
_GIVEN_BACK: Final = "NOT unclear AND NOT EXISTS (SELECT 1 FROM wipe WHERE wipe.segment = segment.id)"
"""Segments that are removed when nothing is left in them."""
_LEAVING: Final = """
SELECT filled, bytes FROM segment WHERE removed < 2 AND filled > bytes AND {given_back}
"""
_SHARES: Final = """
SELECT segment, sum(length), bytes, filled FROM image JOIN segment ON segment.id = image.segment
WHERE {proven} AND {given_back} GROUP BY segment
"""
_LOOSE_AND_OPEN: Final = """
SELECT 1 FROM segment WHERE NOT closed AND filled > 0 AND {loose}
"""
_SCATTERED: Final = """
SELECT i.id, i.object_id, i.segment, i.place, i.length FROM image i WHERE i.here AND i.segment IN
  (SELECT id FROM segment WHERE closed AND removed = 0 AND images > 0 AND {loose} AND {given_back}
   ORDER BY bytes LIMIT ?)
"""


class Housekeeping:
    """Takes images out of the spool. Nothing leaves but what a transaction proves may leave."""

    def __init__(  # noqa: PLR0917 - made in one place only
        self,
        objects: Objects,
        catalog: Catalog,
        filing: Filing,
        writer: SegmentWriter,
        damage: Damage,
        ballast: Ballast,
    ) -> None:
        self._objects, self._catalog, self._filing = objects, catalog, filing
        self._writer, self._damage, self._ballast = writer, damage, ballast
        self._cramped = False

    def examine(self, image: int) -> str:
        """Read an image through; return what is wrong with it, empty if nothing is. See `Damage.examine`."""
        return self._damage.examine(image)

    def candidates(self, *, urgent: bool = False) -> Candidates:
        """Return the studies that every destination has in full and whose images are still here, and what leaves.

        When it is `urgent` nothing is waited for that was purged before and has to be moved first.
        """
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _CANDIDATES)
            leaving = sum(
                comes_free(filled, living, cramped=self._cramped or urgent)
                for filled, living in fetch(catalog, _LEAVING.format(given_back=_GIVEN_BACK))
            )
        return Candidates([Candidate._make(row) for row in rows], leaving, self._shares, cramped=self._cramped)

    def _shares(self, study: int) -> list[Share]:
        """Return where the images of a study are that may leave."""
        with self._catalog.read() as catalog:
            sql = _SHARES.format(proven=_PROVEN, given_back=_GIVEN_BACK)
            return [Share._make(row) for row in fetch(catalog, sql, (*bounds(study), study))]

    def purge(self, study: int, now: int) -> int:
        """Purge the images of a study that all who were to get them acknowledged; return how many.

        The proof is read in the transaction that purges: it was decided where the image goes, somebody acknowledged
        it, nobody waits for it, nobody refused it, and it is held from nobody. Where another destination stands in, it
        is that one's to say.
        """
        with self._catalog.change() as catalog:
            catalog.execute(_PURGE.format(proven=_PROVEN), (*bounds(study), study, now))
            return catalog.changes()

    def discard(self, study: int, now: int, reason: str, tell: Callable[[int], Deed] | None = None) -> int:
        """Give a study up on a person's word: its images are overwritten and gone; return how many.

        Raises `Refused` if it was discarded before, or images of it wait for a person: then she discards what is held,
        and can have it back for a while. Raises `TryAgain` while images of it are arriving, and `PartlyDone` if
        something could not be overwritten yet: the next start tries again. `tell` says what the audit log is to have
        of it.
        """
        with self._catalog.change() as catalog:
            state = StudyState(fetch_value(catalog, "SELECT state FROM study WHERE id = ?", (study,)))
            if state is StudyState.DISCARDED:
                raise Refused("This study was discarded before.", hint="There is nothing left to discard.")
            if state is StudyState.RECEIVING:
                raise TryAgain(
                    "Images of this study are arriving.", hint="Wait until the scanner has finished and try again."
                )
            _demand_not_awaited(catalog, study)
            advance(STUDY, state, StudyState.DISCARDED)
            for segment, offset, length in fetch(
                catalog,
                "SELECT segment, place, length FROM image WHERE id BETWEEN ? AND ? AND purged_at IS NULL",
                bounds(study),
            ):
                _to_wipe(catalog, Place(segment, offset, room(length)))
            catalog.execute(
                "UPDATE image SET purged_at = ? WHERE id BETWEEN ? AND ? AND purged_at IS NULL", (now, *bounds(study))
            )
            count = catalog.changes()
            # It is not asked any more where they go.
            catalog.execute(
                "UPDATE image SET routing = ? WHERE id BETWEEN ? AND ? AND routing != 0",
                (Standing.DECIDED, *bounds(study)),
            )
            catalog.execute("DELETE FROM set_aside WHERE study = ?", (study,))
            for delivery, acknowledged in fetch(
                catalog, "SELECT id, done + warned FROM delivery WHERE study = ? AND open", (study,)
            ):
                self._give_up(catalog, delivery, acknowledged)
            catalog.execute(
                "UPDATE study SET state = ?, reason = ? WHERE id = ?", (StudyState.DISCARDED, reason, study)
            )
            self._filing.forget(study)
            if tell is not None:
                outbox.add(catalog, tell(count))
        self.wipe()
        return count

    def discard_set_aside(self, study: int, now: int, tick: float) -> int:
        """Give up what a person set aside of a study and nobody wants back; return how many images.

        That is none before its time by the retention clock, which is `tick` now: somebody may have had it back and
        discarded it once more. Raises `PartlyDone` as `discard` does.
        """
        aside = "id BETWEEN ? AND ? AND purged_at IS NULL AND routing < 0"
        with self._catalog.change() as catalog:
            if fetch_value(catalog, "SELECT 1 FROM set_aside WHERE study = ? AND due <= ?", (study, tick)) is None:
                return 0
            for segment, offset, length in fetch(
                catalog,
                f"SELECT segment, place, length FROM image WHERE {aside}",  # noqa: S608 - of constants
                bounds(study),
            ):
                _to_wipe(catalog, Place(segment, offset, room(length)))
            catalog.execute(
                f"UPDATE image SET purged_at = ?, routing = ? WHERE {aside}",  # noqa: S608 - of constants
                (now, Standing.DECIDED, *bounds(study)),
            )
            count = catalog.changes()
            catalog.execute("DELETE FROM set_aside WHERE study = ?", (study,))
            catalog.execute(
                "UPDATE study SET reason = replace(reason, ' It can still be had back.', '') WHERE id = ?", (study,)
            )
        self.wipe()
        return count

    def _give_up(self, catalog: apsw.Connection, delivery: int, acknowledged: int) -> None:
        """End a delivery that is not done: what was acknowledged stays known, the rest is forgotten."""
        catalog.execute("DELETE FROM waiting WHERE delivery = ?", (delivery,))
        catalog.execute("DELETE FROM ack WHERE delivery = ? AND state IN ('refused', 'held')", (delivery,))
        if acknowledged:
            reason = f"{deliveries.GIVEN_UP}{acknowledged} of its images had been acknowledged."
            deliveries.become(catalog, self._filing, delivery, DeliveryState.FAILED, reason)
        else:
            catalog.execute("DELETE FROM ack WHERE delivery = ?", (delivery,))
            catalog.execute("DELETE FROM delivery WHERE id = ?", (delivery,))

    def wipe(self) -> None:
        """Overwrite what was discarded and is not overwritten yet. Raises `PartlyDone` if the disk refuses."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, "SELECT segment, place, size FROM wipe ORDER BY segment, place")
        refused = 0
        for segment, group in itertools.groupby((Place(*row) for row in rows), key=lambda place: place.segment):
            places = list(group)
            try:
                self._overwrite(self._objects.layout.segment(segment), places)
            except OSError:
                refused += 1
                continue
            with self._catalog.change() as catalog:
                # These and no others: somebody else may have discarded more of this segment meanwhile.
                for place in places:
                    catalog.execute("DELETE FROM wipe WHERE segment = ? AND place = ?", (segment, place.offset))
        if refused:
            raise PartlyDone(
                f"The disk refused to overwrite discarded images in {refused} of the spool's files.",
                hint="They are given up all the same; the next start overwrites them. Check the disk (`dmesg`, SMART).",
            )

    def _overwrite(self, path: Path, places: Iterable[Place]) -> None:
        try:
            descriptor = self._objects.disk.open(path, writing=True)
        except FileNotFoundError:
            return
        try:
            for place in places:
                for start in range(0, place.size, len(_ZEROS)):
                    size = min(len(_ZEROS), place.size - start)
                    self._objects.disk.write(descriptor, [memoryview(_ZEROS)[:size]], place.offset + start)
            self._objects.disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def release_segments(self) -> int:
        """Remove the segments in which nothing is left; return how many. Raises `StorageFailed`.

        One in which something could not be read is moved to `corrupt/` instead: it may hold what nobody has seen.
        """
        with self._catalog.change() as catalog:
            catalog.execute(
                "UPDATE segment SET removed = 1 WHERE closed AND removed = 0 AND images = 0 "
                "AND NOT EXISTS (SELECT 1 FROM wipe WHERE wipe.segment = segment.id)"
            )
            leaving = dict(fetch(catalog, "SELECT id, unclear FROM segment WHERE removed = 1"))
        if leaving:
            self._remove(leaving)
        self._ballast.take()
        return len(leaving)

    def _remove(self, segments: Mapping[int, int]) -> None:
        """Remove files, or keep unclear ones; until that is durable the catalog says that they are leaving."""
        layout = self._objects.layout
        disk, paths = self._objects.disk, {number: layout.segment(number) for number in segments}
        try:
            for number, path in paths.items():
                if not segments[number]:
                    disk.remove(path)
                elif path.exists():
                    disk.rename(path, layout.corrupt / path.name)
            for folder in {layout.corrupt, *(path.parent for path in paths.values())}:
                if folder.exists():
                    disk.sync_folder(folder)
        except OSError as error:
            raise failure(error, "remove an empty segment") from error
        with self._catalog.change() as catalog:
            for number in paths:
                catalog.execute("UPDATE segment SET removed = 2 WHERE id = ?", (number,))

    def compact(self, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Move what is left in loosely filled segments to new ones; return how many images moved.

        `goes_on` is asked before each image, so that whoever waits knows that it gets on, and can end it. Raises
        `OutOfSpace` if there is no room to move them in, `StorageFailed`, and `PartlyDone` as `wipe` does.
        """
        self._end_loose_segment()
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _SCATTERED.format(loose=_LOOSE, given_back=_GIVEN_BACK), (_SEGMENTS_AT_ONCE,))
        try:
            moved = sum(
                self._move(image, object_id, Place(segment, offset, room(length)))
                for image, object_id, segment, offset, length in rows
                if goes_on()
            )
        except OutOfSpace:
            self._cramped = True
            raise
        self._cramped = False
        if moved:
            # What was kept for images that are to come would otherwise be missing from what was to come free.
            self._writer.finish()
        return moved

    def _end_loose_segment(self) -> None:
        """End the segment that is being written if much of it has left: else it would stay until it is full."""
        with self._catalog.read() as catalog:
            loose = fetch_value(catalog, _LOOSE_AND_OPEN.format(loose=_LOOSE))
        if loose:
            self._writer.finish()
            self._catalog.settle()

    def _move(self, image: int, object_id: bytes, old: Place) -> bool:
        """Copy a sealed object as it is: it does not depend on where it lies. One that is damaged is set aside."""
        sealed = memoryview(mmap.mmap(-1, old.size))
        try:
            self._objects.read_sealed(object_id, old, sealed)
        except DamagedObject:
            self.examine(image)
            return False

        left = False

        def filed(new: Place) -> None:
            nonlocal left
            with self._catalog.change() as catalog:
                catalog.execute(
                    "UPDATE image SET segment = ?, place = ? WHERE id = ? AND segment = ? AND here",
                    (new.segment, new.offset, image, old.segment),
                )
                left = not catalog.changes()
                if left:
                    _to_wipe(catalog, new)

        self._writer.append(sealed, filed)
        if left:
            # Whoever discarded it meanwhile was told that it is gone.
            self.wipe()
        return True

    def images(self, after: int, limit: int) -> list[tuple[int, str, str, int]]:
        """Return (id, object id, short study id, length) of images that are here, by id, beyond `after`."""
        with self._catalog.read() as catalog:
            return [
                (image, object_id.hex(), short, length)
                for image, object_id, short, length in fetch(
                    catalog,
                    "SELECT i.id, i.object_id, s.short, i.length FROM image i JOIN study s ON s.id = i.id >> 24 "
                    "WHERE i.id > ? AND i.here ORDER BY i.id LIMIT ?",
                    (after, limit),
                )
            ]


def _demand_not_awaited(catalog: apsw.Connection, study: int) -> None:
    """Raise `Refused` if images of a study wait for a person, or can be had back by her."""
    short, held = fetch(catalog, "SELECT short, held FROM study WHERE id = ?", (study,))[0]
    if held:
        raise Refused(
            "Images of this study wait for a person, so they are discarded by the patient's name.",
            where=f"study {short}",
            hint=f"Discard what is held, which can be undone for a day: `fluxctl held discard {short}`.",
        )
    if fetch_value(catalog, "SELECT 1 FROM set_aside WHERE study = ?", (study,)) is not None:
        raise Refused(
            "Images of this study were discarded, and can still be had back.",
            where=f"study {short}",
            hint=f"Have them back first: `fluxctl held restore {short}`. Or wait until they are overwritten.",
        )


def _to_wipe(catalog: apsw.Connection, place: Place) -> None:
    """Note that a place is to be overwritten: the note outlives a crash, and the place is never used again."""
    catalog.execute("INSERT OR IGNORE INTO wipe (segment, place, size) VALUES (?, ?, ?)", place)
