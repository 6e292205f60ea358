"""Taking images in: sealed, synced, filed, in this order, and only then a receipt."""

from __future__ import annotations

import contextlib
import enum
import queue
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from capacitord.errors import CapacitordError
from capacitord.model.image import Arrival, Facts
from capacitord.spool import deliveries, describe
from capacitord.spool.catalog import Catalog
from capacitord.spool.filing import STUDY_SHIFT, Filed, Filing, run
from capacitord.spool.routed import Decide
from capacitord.spool.sealing import Buffers, Sealing
from capacitord.spool.segment import Place
from capacitord.spool.space import SpaceGuard
from capacitord.spool.stored import Objects, SealedCopy
from capacitord.spool.twins import Chunked, OneAtATime, Twin, Twins
from capacitord.spool.writer import SegmentWriter


class Kept(enum.Enum):
    """What became of an image that was taken in."""

    NEW = enum.auto()
    KNOWN = enum.auto()
    CONFLICT = enum.auto()


class Receipt(NamedTuple):
    """The proof that an image is durable and filed. `study` is the short id, `object_id` what is in the spool.

    `urgencies` are the destinations for which it waits, with how urgent its study is there; `later` says that it is
    still to be decided where it goes.
    """

    kept: Kept
    study: str
    object_id: bytes
    urgencies: Mapping[str, int] = MappingProxyType({})
    later: bool = False


class Incoming:
    """One image on its way in: fill `space` and `advance`, or `write`; in the end `commit` or `abandon`."""

    def __init__(self, sealing: Sealing, arrival: Arrival, keep: _Keep, done: Callable[[], None]) -> None:
        self._sealing, self._arrival, self._keep, self._done = sealing, arrival, keep, done
        self.space, self.advance, self.write = sealing.space, sealing.advance, sealing.write
        self._open = True

    @property
    def head(self) -> memoryview:
        """The first plain bytes of the dataset, up to one chunk of them."""
        return self._sealing.head

    @property
    def length(self) -> int:
        """How many bytes of the dataset have arrived."""
        return self._sealing.length

    def commit(self, facts: Facts) -> Receipt:
        """Make the image durable and file it. Raises `OutOfSpace` or `StorageFailed`; then it does not count."""
        try:
            return self._keep(self._sealing, facts, self._arrival)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Forget what was not committed; nothing of it stays. Does nothing after `commit`."""
        if self._open:
            self._open = False
            self._sealing.close(keep=False)
            self._done()


_Keep = Callable[[Sealing, Facts, Arrival], Receipt]


class Admission:
    """The way in, used by all associations at once."""

    def __init__(  # noqa: PLR0917 - made in one place only
        self,
        objects: Objects,
        catalog: Catalog,
        filing: Filing,
        writer: SegmentWriter,
        space: SpaceGuard,
        twins: Twins,
        *,
        decide: Decide,
        tick: Callable[[], float],
    ) -> None:
        """`tick` is the retention clock."""
        self._tick = tick
        self._objects, self._catalog, self._filing = objects, catalog, filing
        self._writer, self._space, self._twins, self._decide = writer, space, twins, decide
        self._once = OneAtATime()
        self._idle: queue.SimpleQueue[Buffers] = queue.SimpleQueue()
        self._receiving: dict[str, float] = {}

    def begin(self, arrival: Arrival) -> Incoming:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        try:
            buffers = self._idle.get_nowait()
        except queue.Empty:
            buffers = Buffers()
        try:
            sealing = Sealing(self._objects, secrets.token_bytes(16), buffers, self._space)
        except BaseException:
            self._idle.put(buffers)
            raise
        return Incoming(sealing, arrival, self._keep, lambda: self._idle.put(buffers))

    def _keep(self, sealing: Sealing, facts: Facts, arrival: Arrival) -> Receipt:
        whole = sealing.finish(describe.encode(facts, arrival))
        with self._once.holding(facts.sop_instance_uid):
            if sealing.large is None:
                copy = SealedCopy(self._objects.key, whole)
                return self._judge(sealing, facts, arrival, copy, lambda filed: self._writer.append(whole, filed))
            place = sealing.store_large(whole, self._writer.number)
            stored = self._objects.stored(sealing.object_id, place)
            receipt = self._judge(sealing, facts, arrival, stored, lambda filed: self._writer.file(place, filed))
            sealing.close(keep=receipt.kept is not Kept.KNOWN)
            return receipt

    def _judge(
        self,
        sealing: Sealing,
        facts: Facts,
        arrival: Arrival,
        image: Chunked,
        store: Callable[[Callable[[Place], None]], None],
    ) -> Receipt:
        """Have the image stored and filed by `store`, unless the spool has it."""
        found = self._twins.look(facts, sealing.length, image)
        if found.twin is Twin.SAME:
            return Receipt(Kept.KNOWN, self._filing.short_id(facts.study_uid), found.object_id)
        conflict = found.twin is Twin.OTHER
        study: str = ""
        urgencies: Mapping[str, int] = {}
        later = False

        def filed(place: Place) -> None:
            nonlocal study, urgencies, later
            study, urgencies, later = self._file(
                Filed(sealing.object_id, place, sealing.length, facts, arrival, None, conflict, found.ruins),
                alone=sealing.large is not None,
            )

        store(filed)
        if found.ruins:
            self._settle(found.ruins, arrival.received_at)
        if conflict:
            return Receipt(Kept.CONFLICT, study, sealing.object_id)
        return Receipt(Kept.NEW, study, sealing.object_id, urgencies, later)

    def _settle(self, ruins: Iterable[int], now: int) -> None:
        """Have the deliveries say what they have come to without damaged images, of which a good copy has come.

        The copy is filed: if this fails, the next start does it.
        """
        with contextlib.suppress(CapacitordError), self._catalog.change() as catalog:
            for study in {ruin >> STUDY_SHIFT for ruin in ruins}:
                deliveries.settle_replaced(catalog, self._filing, now, self._tick(), study)

    def _file(self, image: Filed, *, alone: bool) -> tuple[str, Mapping[str, int], bool]:
        """File an image that is durable; one that is `alone` in its segment closes it.

        Returns the study, for whom it waits and how urgently, and whether that is still to be decided.

        It is decided here, with the catalog held: whoever changes what decides and then looks into the catalog finds
        everything that was decided before.
        """
        with self._catalog.inside() as catalog:
            image = image._replace(routed=self._decide(image.facts, image.arrival))
            plan = self._filing.plan(catalog, image)
            if alone:
                plan.statements.append(("UPDATE segment SET closed = 1 WHERE id = ?", (image.place.segment,)))
            self._catalog.gather(lambda writer: run(writer, plan.statements))
            self._receiving[plan.study] = time.monotonic()
        return plan.study, plan.urgencies, plan.later

    def expect(self, studies: Iterable[str]) -> None:
        """Take notice of studies, by short id, that were arriving when the spool was closed."""
        with self._catalog.inside():
            self._receiving.update(dict.fromkeys(studies, time.monotonic()))

    def touch(self, studies: Iterable[str]) -> None:
        """Take notice that something was said of studies, by UID; it matters for those that are arriving."""
        with self._catalog.inside():
            for short in map(self._filing.short_id, studies):
                if short in self._receiving:
                    self._receiving[short] = time.monotonic()

    def arriving(self) -> list[tuple[str, float]]:
        """Return the studies that are arriving, by short id, and when something of each came last (monotonic)."""
        with self._catalog.inside():
            return list(self._receiving.items())

    def close(self, study: str, since: float) -> bool:
        """Take a study as arrived unless an image came after `since`; call it with the catalog held."""
        if self._receiving.get(study, since + 1) > since:
            return False
        del self._receiving[study]
        return True
