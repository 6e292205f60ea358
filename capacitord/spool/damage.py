"""What happens to an image that is not what was sealed: a copy of the ruins, a mark, and a word to whoever waits."""

from __future__ import annotations

import logging

from capacitord.errors import CapacitordError, DamagedObject, NotFound
from capacitord.model.reasons import Reason
from capacitord.model.states import AckState
from capacitord.seal.sealed import room
from capacitord.spool import closing, deliveries, failover
from capacitord.spool.catalog import Catalog, fetch
from capacitord.spool.filing import ANSWERED, STUDY_SHIFT, Filing
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects

LOG = logging.getLogger(__name__)


class Damage:
    """Looks for damaged images and takes them out of the queues; the rest goes on."""

    def __init__(self, objects: Objects, catalog: Catalog, filing: Filing) -> None:
        self._objects, self._catalog, self._filing = objects, catalog, filing

    def examine(self, image: int) -> str:
        """Read an image through; if it is damaged set it aside and say so in the catalog.

        Returns what is wrong with it, empty if nothing is or if it is not in the spool. What waits for it then needs a
        person. Raises `OutOfSpace` or `StorageFailed` if the copy or the word could not be written.
        """
        with self._catalog.inside() as catalog:
            rows = fetch(
                catalog,
                "SELECT object_id, segment, place, length, (SELECT short FROM study s WHERE s.id = image.id >> 24) "
                "FROM image WHERE id = ? AND here",
                (image,),
            )
        for object_id, segment, offset, length, study in rows:
            place = Place(segment, offset, room(length))
            stored = self._objects.stored(object_id, place, lambda: self._catalog.place(image))
            try:
                for _ in stored.chunks():
                    pass
            except NotFound:
                return ""
            except DamagedObject as damage:
                self._condemn(image, object_id, stored.place, damage.message)
                LOG.error("Image %s of study %s is damaged and set aside.", object_id.hex()[:12], study)  # noqa: TRY400
                return damage.message
        return ""

    def _condemn(self, image: int, object_id: bytes, place: Place, reason: str) -> None:
        """Without room for a copy the image stays where it is, unmarked; those who wait are told in any case."""
        try:
            self._objects.set_aside(object_id, place)
        except CapacitordError:
            self._hold(image, reason, corrupt=False)
            raise
        self._hold(image, reason, corrupt=True)

    def _hold(self, image: int, reason: str, *, corrupt: bool) -> None:
        with self._catalog.change() as catalog:
            if corrupt:
                catalog.execute("UPDATE image SET corrupt = 1 WHERE id = ? AND here", (image,))
            rows = fetch(
                catalog,
                "SELECT w.delivery FROM delivery d JOIN waiting w ON w.delivery = d.id AND w.image = ?1 "
                "WHERE d.study = ?1 >> 24",
                (image,),
            )
            found = [failover.waiting(catalog, (delivery, image)) for (delivery,) in rows]
            for waits in filter(None, found):
                key = (waits.delivery, image)
                words = f"The spool's copy is damaged: {reason}"
                catalog.execute("DELETE FROM waiting WHERE delivery = ? AND image = ?", key)
                catalog.execute(ANSWERED, (*key, AckState.HELD, None, words, "", waits.attempts, 0, None))
                failover.keep(catalog, waits, Reason.DAMAGED)
                deliveries.settle(catalog, self._filing, waits.delivery)
            closing.judge_again(catalog, self._filing, image >> STUDY_SHIFT)
