"""Images that are in the spool: opening them, comparing them, setting damaged ones aside."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from typing import Protocol

import apsw

from capacitord.errors import DamagedObject
from capacitord.model.image import Facts
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import SealedObject, room
from capacitord.spool.catalog import fetch
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import Layout, Place, reader

_COPY_SIZE = 1 << 20


class Stored:
    """A sealed image in its segment. Opening costs a file descriptor, held only while chunks are read."""

    def __init__(self, key: SiteKey, disk: Disk, layout: Layout, place: Place) -> None:
        self._key, self._disk, self._layout, self.place = key, disk, layout, place

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for.

        Raises `DamagedObject` at the first byte that is not what was sealed, `StorageFailed` if the disk can't read.
        """
        try:
            descriptor = os.open(self._layout.segment(self.place.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DamagedObject(
                f"Segment {self.place.segment:08x} is gone.",
                hint="Somebody removed a file of the spool; run `fluxctl doctor --verify`.",
            ) from error
        except OSError as error:
            raise failure(error, "read an image from the spool") from error
        try:
            read_at = reader(descriptor, self.place.offset, self.place.size)
            yield from SealedObject(self._key, read_at).chunks()
        except OSError as error:
            raise failure(error, "read an image from the spool") from error
        finally:
            os.close(descriptor)


def stored(key: SiteKey, disk: Disk, layout: Layout, place: Place) -> Stored:
    """Return the image at a place."""
    return Stored(key, disk, layout, place)


def same_bytes(one: Iterator[memoryview], other: Iterator[memoryview]) -> bool:
    """Return whether two images have the same dataset, byte for byte; both come in chunks of one size."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return False
    return next(one, None) is None and next(other, None) is None


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


class Twins:
    """Finds out whether an image is in the spool already. Compares what is stored, so no digest can mislead it."""

    def __init__(self, key: SiteKey, disk: Disk, layout: Layout) -> None:
        self._key, self._disk, self._layout = key, disk, layout

    def look(self, catalog: apsw.Connection, facts: Facts, image: Chunked) -> Twin:
        """Return whether an image with these facts and this content is stored: the same, another one, or none."""
        rows = fetch(
            catalog,
            "SELECT segment, place, length, transfer_syntax FROM image "
            "WHERE sop_uid = ? AND NOT corrupt AND purged_at IS NULL",
            (facts.sop_instance_uid,),
        )
        found = Twin.NONE
        for segment, offset, length, syntax in rows:
            kept = Stored(self._key, self._disk, self._layout, Place(segment, offset, room(length)))
            try:
                if syntax == facts.transfer_syntax_uid and same_bytes(kept.chunks(), image.chunks()):
                    return Twin.SAME
            except DamagedObject:
                continue
            found = Twin.OTHER
        return found


def set_aside(disk: Disk, layout: Layout, object_id: bytes, place: Place) -> None:
    """Copy a damaged object as it is into `corrupt/`, durably. Raises `OutOfSpace` or `StorageFailed`."""
    path = layout.corrupt / f"{object_id.hex()}.seal"
    if path.exists():
        return
    try:
        source = os.open(layout.segment(place.segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = disk.create(path)
            try:
                done = 0
                while done < place.size:
                    part = os.pread(source, min(_COPY_SIZE, place.size - done), place.offset + done)
                    if not part:
                        break
                    disk.write(target, [part], done)
                    done += len(part)
                disk.sync(target)
            finally:
                os.close(target)
            disk.sync_folder(layout.corrupt)
        finally:
            os.close(source)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(error, "set a damaged object aside") from error
