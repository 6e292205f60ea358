"""Start-up after a crash: what the catalog does not know is read from the sealed objects themselves.

Rows of images are committed a moment after the objects are durable, so a power cut can leave objects without rows,
always behind the last one that has a row in their segment. Those places are looked at; the rest of the spool
is not, which is why a spool of a million images opens at once. Without a catalog every object is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from capacitord.errors import DamagedObject, WrongKey
from capacitord.model.image import Facts
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import SealedObject, room
from capacitord.spool import describe
from capacitord.spool.catalog import Catalog, fetch
from capacitord.spool.disk import Disk
from capacitord.spool.filing import Filed, Filing, run
from capacitord.spool.segment import Layout, Place, headers, reader, room_of
from capacitord.spool.stored import Twin, Twins, set_aside, stored

_ROWS_AT_ONCE = 500


@dataclass
class Report:
    """What a start-up found. `notes` are sentences for the log, free of patient data."""

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
        key: SiteKey,
        disk: Disk,
        layout: Layout,
        catalog: Catalog,
        filing: Filing,
        *,
        destinations: Callable[[Facts], tuple[str, ...]],
        report: Report,
    ) -> None:
        self._key, self._disk, self._layout = key, disk, layout
        self._catalog, self._filing = catalog, filing
        self._destinations, self._report = destinations, report
        self._twins = Twins(key, disk, layout)
        self._found: list[tuple[bytes, Place, int, describe.Description]] = []

    def run(self) -> int:
        """File what is not filed and close all segments; return the first number that no segment has had."""
        with self._catalog.inside() as catalog:
            known = dict(fetch(catalog, "SELECT id, removed FROM segment"))
            closed = {number for (number,) in fetch(catalog, "SELECT id FROM segment WHERE closed")}
        newest = max(known, default=-1)
        open_ones = [number for number in known if number not in closed and not known[number]]
        unknown = self._layout.segments(newest + 1)
        for number in sorted({*open_ones, *unknown}):
            self._look_at(number)
        self._file()
        with self._catalog.change() as catalog:
            for number in unknown:
                catalog.execute("INSERT OR IGNORE INTO segment (id) VALUES (?)", (number,))
            catalog.execute("UPDATE segment SET closed = 1 WHERE NOT closed")
        return max([newest, *unknown]) + 1

    def _look_at(self, number: int) -> None:
        path = self._layout.segment(number)
        if not path.exists():
            return
        with self._catalog.inside() as catalog:
            rows = fetch(catalog, "SELECT place, length, object_id FROM image WHERE segment = ?", (number,))
        known = {bytes(object_id) for _, _, object_id in rows}
        end = max((place + room(length) for place, length, _ in rows), default=0)
        descriptor = self._disk.open(path)
        try:
            size = os.fstat(descriptor).st_size
            whole: dict[int, int] = {}
            for offset in headers(descriptor, end, size, lambda at: whole.get(at, 0)):
                whole[offset] = self._adopt(number, descriptor, offset, size, known)
        finally:
            os.close(descriptor)

    def _adopt(self, number: int, descriptor: int, offset: int, size: int, known: set[bytes]) -> int:
        """File the object at `offset` if it is whole; return the room it takes, 0 if it is not."""
        space = room_of(descriptor, offset)
        place = Place(number, offset, min(space, size - offset))
        try:
            sealed = SealedObject(self._key, reader(descriptor, offset, place.size))
        except WrongKey:
            raise
        except DamagedObject:
            self._report.removed += 1
            return 0
        if sealed.object_id in known:
            return space
        try:
            for _ in sealed.chunks():
                pass
            described = describe.decode(sealed.description)
        except DamagedObject:
            # The power may have gone while it was written. It may also have been whole once, so it is kept.
            set_aside(self._disk, self._layout, sealed.object_id, place)
            self._report.corrupt += 1
            return 0
        known.add(sealed.object_id)
        self._found.append((sealed.object_id, place, sealed.length, described))
        if len(self._found) >= _ROWS_AT_ONCE:
            self._file()
        return space

    def _file(self) -> None:
        """File what was found. An image that is in the spool already, and was sent again, is not filed twice."""
        for object_id, place, length, described in self._found:
            facts = described.facts
            with self._catalog.change() as catalog:
                twin = self._twins.look(catalog, facts, stored(self._key, self._disk, self._layout, place))
                if twin is Twin.SAME:
                    continue
                conflict = twin is Twin.OTHER
                image = Filed(object_id, place, length, facts, described.arrival, self._destinations(facts), conflict)
                run(catalog, self._filing.plan(catalog, image).statements)
            self._report.recovered += 1
        self._found.clear()
