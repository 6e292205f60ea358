"""Taking images in: sealed, synced, filed, in this order, and only then a receipt."""

from __future__ import annotations

import contextlib
import enum
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from capacitord.model.image import Arrival, Facts
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import SealedObject
from capacitord.spool import describe
from capacitord.spool.catalog import Catalog, fetch_value
from capacitord.spool.disk import Disk
from capacitord.spool.filing import Filed, Filing, run
from capacitord.spool.sealing import Buffers, Sealing
from capacitord.spool.segment import Layout, Place
from capacitord.spool.space import SpaceGuard
from capacitord.spool.stored import Chunked, Stored, Twin, Twins
from capacitord.spool.writer import SegmentWriter


class Kept(enum.Enum):
    """What became of an image that was taken in."""

    NEW = enum.auto()
    KNOWN = enum.auto()
    CONFLICT = enum.auto()


class Receipt(NamedTuple):
    """The proof that an image is durable and filed. `study` is the short id."""

    kept: Kept
    study: str
    object_id: bytes


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


class _OneAtATime:
    """Lets the second of two images with the same SOP Instance UID wait until the first is filed or gone."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, uid: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: uid not in self._busy)
            self._busy.add(uid)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(uid)
                self._changed.notify_all()


class _SealedCopy:
    """A small image that is sealed in memory and not on the disk yet."""

    def __init__(self, key: SiteKey, whole: memoryview) -> None:
        self._key, self._whole = key, whole

    def _read_at(self, offset: int, into: memoryview, /) -> int:
        part = self._whole[offset : offset + len(into)]
        into[: len(part)] = part
        return len(part)

    def chunks(self) -> Iterator[memoryview]:
        return SealedObject(self._key, self._read_at).chunks()


class Admission:
    """The way in, used by all associations at once."""

    def __init__(  # noqa: PLR0917 - made in one place only
        self,
        key: SiteKey,
        disk: Disk,
        layout: Layout,
        catalog: Catalog,
        filing: Filing,
        writer: SegmentWriter,
        space: SpaceGuard,
        destinations: Callable[[Facts], tuple[str, ...]],
    ) -> None:
        self._key, self._disk, self._layout = key, disk, layout
        self._catalog, self._filing, self._writer, self._space = catalog, filing, writer, space
        self._destinations = destinations
        self._twins = Twins(key, disk, layout)
        self._once = _OneAtATime()
        self._idle: queue.SimpleQueue[Buffers] = queue.SimpleQueue()
        self._receiving: dict[str, float] = {}
        self._receiving_lock = threading.Lock()

    def begin(self, arrival: Arrival) -> Incoming:
        """Begin to take an image in. Raises `OutOfSpace` when the disk is down to its reserve."""
        try:
            buffers = self._idle.get_nowait()
        except queue.Empty:
            buffers = Buffers()
        try:
            object_id = secrets.token_bytes(16)
            sealing = Sealing(self._key, object_id, buffers, self._disk, self._layout, self._space)
        except BaseException:
            self._idle.put(buffers)
            raise
        return Incoming(sealing, arrival, self._keep, lambda: self._idle.put(buffers))

    def _keep(self, sealing: Sealing, facts: Facts, arrival: Arrival) -> Receipt:
        header = sealing.finish(describe.encode(facts, arrival))
        with self._once.holding(facts.sop_instance_uid):
            if sealing.large is None:
                return self._keep_small(sealing, header, facts, arrival)
            place = sealing.store_large(header, self._writer.number())
            return self._keep_large(sealing, place, facts, arrival)

    def _keep_small(self, sealing: Sealing, whole: memoryview, facts: Facts, arrival: Arrival) -> Receipt:
        twin = self._twin(facts, _SealedCopy(self._key, whole))
        if twin is Twin.SAME:
            return Receipt(Kept.KNOWN, self._filing.short_id(facts.study_uid), sealing.object_id)
        study: list[str] = []
        self._writer.append(whole, lambda place: study.append(self._file(sealing, place, facts, arrival, twin)))
        return _receipt(sealing, twin, study[0])

    def _keep_large(self, sealing: Sealing, place: Place, facts: Facts, arrival: Arrival) -> Receipt:
        twin = self._twin(facts, Stored(self._key, self._disk, self._layout, place))
        if twin is Twin.SAME:
            return Receipt(Kept.KNOWN, self._filing.short_id(facts.study_uid), sealing.object_id)
        study: list[str] = []
        self._writer.file(place, lambda at: study.append(self._file(sealing, at, facts, arrival, twin)))
        receipt = _receipt(sealing, twin, study[0])
        sealing.close(keep=True)
        return receipt

    def _twin(self, facts: Facts, image: Chunked) -> Twin:
        with self._catalog.inside() as catalog:
            known = fetch_value(
                catalog, "SELECT 1 FROM image WHERE sop_uid = ? AND purged_at IS NULL", (facts.sop_instance_uid,)
            )
        if known is None:
            return Twin.NONE
        self._catalog.settle()
        with self._catalog.read() as catalog:
            return self._twins.look(catalog, facts, image)

    def _file(self, sealing: Sealing, place: Place, facts: Facts, arrival: Arrival, twin: Twin) -> str:
        conflict = twin is Twin.OTHER
        destinations = self._destinations(facts)
        image = Filed(sealing.object_id, place, sealing.length, facts, arrival, destinations, conflict=conflict)
        with self._catalog.inside() as catalog:
            try:
                plan = self._filing.plan(catalog, image)
                if sealing.large is not None:
                    plan.statements.append(("INSERT INTO segment (id, closed) VALUES (?, 1)", (place.segment,)))
                self._catalog.gather(lambda writer: run(writer, plan.statements))
            except BaseException:
                self._filing.forget()
                raise
            with self._receiving_lock:
                self._receiving[plan.study] = time.monotonic()
        return plan.study

    def expect(self, studies: Iterable[str]) -> None:
        """Take notice of studies, by short id, that were arriving when the spool was closed."""
        with self._receiving_lock:
            self._receiving.update(dict.fromkeys(studies, time.monotonic()))

    def receiving(self) -> dict[str, float]:
        """Return the studies that are arriving, by short id, with the monotonic time of their last image."""
        with self._receiving_lock:
            return dict(self._receiving)

    def close(self, study: str, last: float) -> bool:
        """Take a study as arrived unless an image came after `last`; call it with the catalog held."""
        with self._receiving_lock:
            if self._receiving.get(study, last + 1) > last:
                return False
            del self._receiving[study]
            return True


def _receipt(sealing: Sealing, twin: Twin, study: str) -> Receipt:
    return Receipt(Kept.CONFLICT if twin is Twin.OTHER else Kept.NEW, study, sealing.object_id)
