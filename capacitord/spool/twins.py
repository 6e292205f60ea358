"""The same image twice: known again, in conflict, or at last a good copy of a damaged one."""

from __future__ import annotations

import contextlib
import enum
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from capacitord.errors import DamagedObject, NotFound, StorageFailed
from capacitord.model.image import Facts
from capacitord.seal.sealed import room
from capacitord.spool.catalog import Catalog, fetch
from capacitord.spool.damage import Damage
from capacitord.spool.segment import Place
from capacitord.spool.stored import Objects


class Chunked(Protocol):
    """A dataset in chunks of the sealed format's size."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for."""
        ...


class Twin(enum.Enum):
    """Whether the spool has an image with this SOP Instance UID."""

    NONE = enum.auto()
    SAME = enum.auto()
    OTHER = enum.auto()


class Found(NamedTuple):
    """What the spool has. `object_id` is that of the same image.

    `ruins` are the ids of damaged images that the new one replaces: they had its UID, its length and its syntax,
    and more cannot be known of them.
    """

    twin: Twin
    object_id: bytes = b""
    ruins: tuple[int, ...] = ()


class OneAtATime:
    """Lets the second of two images with the same SOP Instance UID wait until the first is filed or gone."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, uid: str) -> Iterator[None]:
        """Hold a UID while the block runs; waits for whoever holds it."""
        with self._changed:
            self._changed.wait_for(lambda: uid not in self._busy)
            self._busy.add(uid)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(uid)
                self._changed.notify_all()


class Twins:
    """Finds out whether an image is in the spool already. Compares what is stored, so no digest can mislead it."""

    def __init__(self, objects: Objects, catalog: Catalog, damage: Damage) -> None:
        self._objects, self._catalog, self._damage = objects, catalog, damage

    def look(self, facts: Facts, length: int, image: Chunked) -> Found:
        """Return what the spool has of an image with these facts, of `length` bytes and with this content.

        What a person discarded does not count, though it can still be had back: the scanner sends it for a reason.
        A stored image that proves to be damaged is set aside at once. Raises `StorageFailed` if `image` itself
        can't be read back, and what the catalog raises.
        """
        with self._catalog.inside() as catalog:
            known = fetch(
                catalog,
                "SELECT id, object_id, segment, place, corrupt, transfer_syntax = ? AND length = ? FROM image "
                "WHERE sop_uid = ? AND purged_at IS NULL AND routing >= 0",
                (facts.transfer_syntax_uid, length, facts.sop_instance_uid),
            )
        twin, ruins = Twin.NONE, []
        for number, object_id, segment, offset, corrupt, alike in known:
            if not alike:
                twin = twin if corrupt else Twin.OTHER
                continue
            same = None if corrupt else self._same(number, object_id, Place(segment, offset, room(length)), image)
            if same:
                return Found(Twin.SAME, object_id)
            if same is None:
                ruins.append(number)
            else:
                twin = Twin.OTHER
        return Found(twin, ruins=tuple(ruins))

    def _same(self, number: int, object_id: bytes, place: Place, image: Chunked) -> bool | None:
        """Return whether the image is the stored one; None if that is damaged or has just left the spool."""
        stored = self._objects.stored(object_id, place, lambda: self._catalog.place(number))
        try:
            return same_bytes(stored.chunks(), image.chunks())
        except NotFound:
            return None
        except DamagedObject as error:
            if self._damage.examine(number):
                return None
            raise StorageFailed(
                "What was just written cannot be read back.", hint="Check the disk (`dmesg`, SMART) and replace it."
            ) from error


def same_bytes(one: Iterator[memoryview], other: Iterator[memoryview]) -> bool:
    """Return whether two datasets are the same, byte for byte; both come in chunks of one size."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return False
    return next(one, None) is None and next(other, None) is None
