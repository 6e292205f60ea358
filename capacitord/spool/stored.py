"""Images that are in the spool: opening them, setting damaged ones aside."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from capacitord.errors import DamagedObject, NotFound
from capacitord.model.image import Arrival
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import SealedObject
from capacitord.spool import describe
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import Layout, Place, reader

_PIECE = 1 << 20
_SECTOR = 4096

Locate = Callable[[], Place | None]
"""Says where an object is now; None if it is not in the spool any more."""


class Stored:
    """A sealed image in its segment. Opening costs a file descriptor, held only while chunks are read."""

    __slots__ = ("_locate", "_objects", "object_id", "place")

    def __init__(self, objects: Objects, object_id: bytes, place: Place, locate: Locate) -> None:
        self._objects, self.object_id, self.place, self._locate = objects, object_id, place, locate

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for.

        Raises `DamagedObject` at the first byte that is not what was sealed or that the disk cannot read,
        `NotFound` if the image has left the spool, `StorageFailed` if its file cannot be opened.
        """
        with self._opened() as (descriptor, place):
            try:
                read_at = reader(self._objects.disk, descriptor, place.offset, place.size)
                yield from SealedObject(self._objects.key, read_at, self.object_id).chunks()
            except OSError as error:
                raise self._unreadable(error) from error

    def arrival(self) -> Arrival:
        """Return how the image came in, from its sealed header. Raises as `chunks` does."""
        with self._opened() as (descriptor, place):
            try:
                read_at = reader(self._objects.disk, descriptor, place.offset, place.size)
                sealed = SealedObject(self._objects.key, read_at, self.object_id)
            except OSError as error:
                raise self._unreadable(error) from error
        return describe.decode(sealed.description).arrival

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, Place]]:
        """Open the segment; if it is gone the image was moved, or has left, since its place was looked up."""
        descriptor = self._objects.open(self.place.segment)
        if descriptor is None:
            place = self._locate()
            if place is None:
                raise NotFound("The image is not in the spool any more.", hint="There is nothing to do.")
            self.place = place
            descriptor = self._objects.open(place.segment)
        if descriptor is None:
            raise DamagedObject(
                f"Segment {self.place.segment:08x} is gone.",
                where=f"object {self.object_id.hex()}",
                hint="Somebody removed a file of the spool; run `fluxctl doctor --verify`.",
            )
        try:
            yield descriptor, self.place
        finally:
            os.close(descriptor)

    def _unreadable(self, error: OSError) -> DamagedObject:
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        return DamagedObject(
            f"The disk cannot read it ({name}).",
            where=f"object {self.object_id.hex()}",
            hint="Check the disk (`dmesg`, SMART) and replace it; then `fluxctl doctor --verify`.",
        )


class SealedCopy:
    """A sealed image in memory."""

    def __init__(self, key: SiteKey, whole: memoryview, object_id: bytes | None = None) -> None:
        self._key, self._whole, self._object_id = key, whole, object_id

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset chunk by chunk, each valid until the next is asked for. Raises `DamagedObject`."""
        return SealedObject(self._key, self._read_at, self._object_id).chunks()

    def _read_at(self, offset: int, into: memoryview, /) -> int:
        part = self._whole[offset : offset + len(into)]
        into[: len(part)] = part
        return len(part)


class Objects:
    """The sealed objects of a spool as files: what is where is the catalog's matter."""

    def __init__(self, key: SiteKey, disk: Disk, layout: Layout) -> None:
        self.key, self.disk, self.layout = key, disk, layout

    def stored(self, object_id: bytes, place: Place, locate: Locate | None = None) -> Stored:
        """Return the image at a place; `locate` finds it if it was moved before it is read."""
        return Stored(self, object_id, place, locate or (lambda: place))

    def open(self, segment: int) -> int | None:
        """Open a segment for reading; None if it is not there. Raises `StorageFailed`."""
        try:
            return self.disk.open(self.layout.segment(segment))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(error, "read an image from the spool") from error

    def cut(self, segment: int, size: int) -> None:
        """Make a segment's file end at `size`. Raises OSError."""
        descriptor = self.disk.open(self.layout.segment(segment), writing=True)
        try:
            self.disk.cut(descriptor, size)
        finally:
            os.close(descriptor)

    def read_sealed(self, object_id: bytes, place: Place, into: memoryview) -> None:
        """Read a whole object as it lies into memory. Raises `DamagedObject` if it is not what was sealed."""
        descriptor = self.open(place.segment)
        if descriptor is not None:
            try:
                with contextlib.suppress(OSError):
                    self.disk.read(descriptor, into, place.offset)
            finally:
                os.close(descriptor)
        for _ in SealedCopy(self.key, into, object_id).chunks():
            pass

    def set_aside(self, object_id: bytes, place: Place) -> None:
        """Copy a damaged object as it is into `corrupt/`, durably, as far as the disk can read it.

        Raises `OutOfSpace` or `StorageFailed`.
        """
        path = self.layout.corrupt / f"{object_id.hex()}.seal"
        if path.exists():
            return
        source = self.open(place.segment)
        if source is None:
            return
        try:
            self._copy(source, place, path)
            self.disk.sync_folder(self.layout.corrupt)
        except OSError as error:
            raise failure(error, "set a damaged object aside") from error
        finally:
            os.close(source)

    def _copy(self, source: int, place: Place, path: Path) -> None:
        part = path.with_suffix(".part")
        self.disk.remove(part)
        target = self.disk.create(part)
        try:
            for start in range(0, place.size, _PIECE):
                piece = memoryview(bytearray(min(_PIECE, place.size - start)))
                self._read_what_can_be(source, piece, place.offset + start)
                self.disk.write(target, [piece], start)
            self.disk.sync(target)
        finally:
            os.close(target)
        self.disk.rename(part, path)

    def _read_what_can_be(self, source: int, piece: memoryview, offset: int) -> None:
        try:
            self.disk.read(source, piece, offset)
        except OSError:
            for start in range(0, len(piece), _SECTOR):
                with contextlib.suppress(OSError):
                    self.disk.read(source, piece[start : start + _SECTOR], offset + start)
