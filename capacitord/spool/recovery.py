"""Start-up after a crash: what the catalog does not know is read from the sealed objects themselves.

Rows of images are committed a moment after the objects are durable, so a crash can leave acknowledged objects
without a row. Where they can be follows from three orders that are kept while images are taken in:

* A segment's number is gathered for the catalog before its file gets its name, and transactions keep their order.
  So a segment that the catalog does not know has a higher number than all that it knows.
* Objects are filed in the order in which they lie, so those without a row lie behind the last one that has one.
* A segment is called closed after everything in it is filed, so nothing is missing from a closed one.

What is looked at, then, are segments unknown or not closed, behind the last object that has a row. The rest of
the spool is not, which is why a spool of a million images opens at once. Without a catalog every object is read,
and which of two images with one UID is the one to be sent is decided when all are known.
"""

from __future__ import annotations

import contextlib
import enum
import os
from dataclasses import dataclass, field
from typing import Final

from capacitord.errors import DamagedObject
from capacitord.seal.sealed import ALIGNMENT, HEADER_SIZE, Prefix, SealedObject, read_prefix, room
from capacitord.spool import describe
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import Filed, Filing, run
from capacitord.spool.precedence import Precedence
from capacitord.spool.routed import Decide
from capacitord.spool.segment import Place, reader
from capacitord.spool.stored import Objects
from capacitord.spool.twins import Twin, Twins

_BLANK: Final = bytes(HEADER_SIZE)
_ERRORS_IN_A_ROW: Final = 16
"""Places that the disk could not read after which the rest of a segment is not tried."""


class _Found(enum.Enum):
    """What lies where an object could begin."""

    NOTHING = enum.auto()
    OBJECT = enum.auto()
    RUIN = enum.auto()
    UNREADABLE = enum.auto()


@dataclass
class Report:
    """What a start-up found. `notes` are sentences for the log, free of patient data.

    `recovered` images were filed, `removed` files and places held what was never finished, `corrupt` objects were not
    whole and have a copy in `corrupt/`.
    """

    images: int = 0
    recovered: int = 0
    removed: int = 0
    corrupt: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class Recovery:
    """Looks at the segments that may hold more than the catalog knows, and files what it finds."""

    def __init__(
        self,
        objects: Objects,
        catalog: Catalog,
        filing: Filing,
        twins: Twins,
        *,
        decide: Decide,
        report: Report,
    ) -> None:
        self._objects, self._catalog, self._filing, self._twins = objects, catalog, filing, twins
        self._decide, self._report = decide, report
        self._anew = False
        self._unfinished = 0

    def run(self) -> int:
        """File what is not filed and close all segments; return the first number that no segment has had.

        Raises OSError, and what the catalog raises.
        """
        with self._catalog.inside() as catalog:
            self._anew = fetch_value(catalog, "SELECT 1 FROM fact WHERE name = 'begun anew'") is not None
            newest = fetch_value(catalog, "SELECT max(id) FROM segment")
            unclosed = [number for (number,) in fetch(catalog, "SELECT id FROM segment WHERE NOT closed ORDER BY id")]
        newest = -1 if newest is None else newest
        unknown = self._objects.layout.segments(newest + 1)
        for number in (*unclosed, *unknown):
            self._look_at(number)
        if self._anew:
            Precedence(self._objects, self._catalog, self._filing, decide=self._decide).settle()
        if self._unfinished:
            self._report.removed += self._unfinished
            self._report.notes.append(
                f"{self._unfinished} images were being written when this box stopped, and no scanner was told Success "
                "for them; a copy of what there is lies in corrupt/."
            )
        with self._catalog.change() as catalog:
            catalog.execute("UPDATE segment SET closed = 1 WHERE NOT closed")
        return max([newest, *unknown]) + 1

    def _look_at(self, number: int) -> None:
        descriptor = self._objects.open(number)
        if descriptor is None:
            return
        self._catalog.gather(
            lambda catalog: run(catalog, [("INSERT OR IGNORE INTO segment (id) VALUES (?)", (number,))])
        )
        try:
            with self._catalog.inside() as catalog:
                rows = fetch(catalog, "SELECT place, length FROM image WHERE segment = ?", (number,))
            end = max((place + room(length) for place, length in rows), default=0)
            self._walk(number, descriptor, end)
        finally:
            os.close(descriptor)

    def _walk(self, number: int, descriptor: int, start: int) -> None:
        """Look at each place where an object could begin.

        Behind a whole object the next one can begin; one that is not whole hides nothing that lies behind it. What is
        not whole behind the last row was never synced, so nobody was told Success for it, and it needs no room. That
        cannot be known without the catalog's rows: then it stays where it is.
        """
        size = os.fstat(descriptor).st_size
        offset, end, unread, in_a_row, unclear = start, start, 0, 0, False
        while offset + HEADER_SIZE <= size and in_a_row < _ERRORS_IN_A_ROW:
            found, step = self._examine(number, descriptor, offset, size)
            unreadable, ruin = found is _Found.UNREADABLE, found is _Found.RUIN
            unread, in_a_row = (unread + 1, in_a_row + 1) if unreadable else (unread, 0)
            unclear = unclear or (ruin and self._anew)
            if found is _Found.OBJECT or (ruin and self._anew):
                end = offset + step
            offset += step
        if unread or unclear:
            self._keep(number)
        if end < size and not unread:
            # It was given room for images that never came.
            with contextlib.suppress(OSError):
                self._objects.cut(number, end)
        if unread:
            self._report.notes.append(
                f"Parts of segment {number:08x} cannot be read by the disk; images may be lost there. Check the disk."
            )

    def _keep(self, number: int) -> None:
        """Take care that a segment in which something could not be read is never deleted."""
        self._catalog.gather(lambda catalog: run(catalog, [("UPDATE segment SET unclear = 1 WHERE id = ?", (number,))]))

    def _examine(self, number: int, descriptor: int, offset: int, size: int) -> tuple[_Found, int]:
        """Return what begins at a place, and how far behind it the next thing can begin. A whole object is filed."""
        block = memoryview(bytearray(HEADER_SIZE))
        try:
            self._objects.disk.read(descriptor, block, offset)
        except OSError:
            return _Found.UNREADABLE, ALIGNMENT
        prefix = read_prefix(block)
        if prefix is None:
            return (_Found.NOTHING if bytes(block) == _BLANK else _Found.RUIN), ALIGNMENT
        place = Place(number, offset, min(room(prefix.length), size - offset))
        found = self._adopt(descriptor, place, prefix)
        return found, place.size if found is _Found.OBJECT else ALIGNMENT

    def _adopt(self, descriptor: int, place: Place, prefix: Prefix) -> _Found:
        """File the object at a place if it is whole.

        Of one that is not a copy is kept in any case: disks have been known to lie.
        """
        objects = self._objects
        try:
            sealed = SealedObject(objects.key, reader(objects.disk, descriptor, place.offset, place.size))
            for _ in sealed.chunks():
                pass
            described = describe.decode(sealed.description)
        except OSError:
            objects.set_aside(prefix.object_id, place)
            self._report.corrupt += 1
            return _Found.UNREADABLE
        except DamagedObject:
            objects.set_aside(prefix.object_id, place)
            if self._anew:
                self._report.corrupt += 1
            else:
                self._unfinished += 1
            return _Found.RUIN
        self._file(Filed(sealed.object_id, place, sealed.length, described.facts, described.arrival, None))
        return _Found.OBJECT

    def _file(self, image: Filed) -> None:
        """File an image, unless it is in the spool already and was sent again, or is a copy of one that is filed."""
        if self._is_copy(image):
            return
        found = self._twins.look(image.facts, image.length, self._objects.stored(image.object_id, image.place))
        if found.twin is Twin.SAME:
            return
        image = image._replace(
            routed=self._decide(image.facts, image.arrival),
            conflict=found.twin is Twin.OTHER,
            replaces=found.ruins,
        )
        with self._catalog.inside() as catalog:
            plan = self._filing.plan(catalog, image)
            self._catalog.gather(lambda writer: run(writer, plan.statements))
        self._report.recovered += 1

    def _is_copy(self, image: Filed) -> bool:
        """Say whether this very object has a row: it was being moved. One whose row is gone is wiped, not filed."""
        key = (image.facts.sop_instance_uid, image.object_id)
        with self._catalog.inside() as catalog:
            rows = fetch(catalog, "SELECT purged_at FROM image WHERE sop_uid = ? AND object_id = ?", key)
        if rows and all(purged_at is not None for (purged_at,) in rows):
            place = image.place
            self._catalog.gather(
                lambda catalog: run(catalog, [("INSERT OR IGNORE INTO wipe VALUES (?, ?, ?)", tuple(place))])
            )
        return bool(rows)
