"""Images with one SOP Instance UID and different content: which of them is delivered, after a catalog was lost.

While a catalog lives, the one that was filed first is delivered, and later ones are in conflict with it. A new catalog
is filled in the order in which objects lie, and that changes when images are moved. So the one that arrived first
takes precedence in the end, by the time in its sealed header and then by its object id, wherever it lies.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

import apsw

from capacitord.errors import DamagedObject
from capacitord.seal.sealed import SealedObject, room
from capacitord.spool import describe
from capacitord.spool.catalog import Catalog, fetch
from capacitord.spool.decisions import file_decision
from capacitord.spool.describe import Description
from capacitord.spool.filing import STUDY_SHIFT, Filing
from capacitord.spool.routed import Decide, Standing
from capacitord.spool.segment import reader
from capacitord.spool.stored import Objects

_TWINS: Final = """
SELECT id, object_id, segment, place, length, received_at, conflict FROM image WHERE sop_uid = ? AND here
ORDER BY received_at, object_id
"""
_NOBODY: Final = "DELETE FROM waiting WHERE image = ?1 AND delivery IN (SELECT id FROM delivery WHERE study = ?2)"
_EMPTY: Final = """
DELETE FROM delivery WHERE study = ?1 AND waiting = 0
  AND NOT EXISTS (SELECT 1 FROM ack WHERE ack.delivery = delivery.id)
"""


class _Twin(NamedTuple):
    image: int
    object_id: bytes
    segment: int
    place: int
    length: int
    received_at: int
    conflict: int

    @property
    def study(self) -> int:
        return self.image >> STUDY_SHIFT


class Precedence:
    """Puts conflicts in the order of arrival, in a catalog that was filled anew and of which nothing was sent yet."""

    def __init__(self, objects: Objects, catalog: Catalog, filing: Filing, *, decide: Decide) -> None:
        self._objects, self._catalog, self._filing, self._decide = objects, catalog, filing, decide

    def settle(self) -> None:
        """Let the first of all images with the same UID be the one that waits to be sent.

        Raises what the catalog raises. If its header cannot be read again everything stays as it is, and
        `fluxctl doctor --verify` tells of it.
        """
        with self._catalog.inside() as catalog:
            uids = fetch(catalog, "SELECT DISTINCT sop_uid FROM image WHERE conflict AND here")
        for (uid,) in uids:
            with self._catalog.change() as catalog:
                first, *others = [_Twin._make(row) for row in fetch(catalog, _TWINS, (uid,))]
                preferred = [twin for twin in others if not twin.conflict]
                described = self._description(first) if preferred else None
                if described is not None:
                    for twin in preferred:
                        self._withdraw(catalog, twin)
                    self._prefer(catalog, first, described)

    def _withdraw(self, catalog: apsw.Connection, twin: _Twin) -> None:
        """Call an image a conflict: nobody gets it unless a person says so."""
        catalog.execute(_NOBODY, (twin.image, twin.study))
        catalog.execute(_EMPTY, (twin.study,))
        catalog.execute(
            "UPDATE image SET routing = ?, route = NULL, decided_by = NULL, held = '' WHERE id = ?",
            (Standing.DECIDED, twin.image),
        )
        self._mark(catalog, twin, conflict=1)

    def _prefer(self, catalog: apsw.Connection, twin: _Twin, described: Description) -> None:
        """Take an image that was called a conflict for one that is to be sent."""
        self._mark(catalog, twin, conflict=0)
        catalog.execute("UPDATE image SET routing = ? WHERE id = ?", (Standing.OPEN, twin.image))
        routed = self._decide(described.facts, described.arrival)
        if routed is not None:
            file_decision(catalog, self._filing, twin.image, routed, twin.received_at)

    def _mark(self, catalog: apsw.Connection, twin: _Twin, *, conflict: int) -> None:
        """Change the mark and what is counted by it: no trigger does, for it changes nowhere else."""
        catalog.execute("UPDATE image SET conflict = ? WHERE id = ?", (conflict, twin.image))
        change = conflict - twin.conflict
        catalog.execute(
            "UPDATE study SET conflicts = conflicts + ?1, conflict_bytes = conflict_bytes + ?1 * ?2 WHERE id = ?3",
            (change, twin.length, twin.study),
        )
        self._filing.forget(twin.study)

    def _description(self, twin: _Twin) -> Description | None:
        descriptor = self._objects.open(twin.segment)
        if descriptor is None:
            return None
        try:
            read_at = reader(self._objects.disk, descriptor, twin.place, room(twin.length))
            return describe.decode(SealedObject(self._objects.key, read_at, twin.object_id).description)
        except (DamagedObject, OSError):
            return None
        finally:
            os.close(descriptor)
