"""Sealing one image while it arrives.

The plain text of an image exists in memory only: its first chunk, for the catalog's facts, and the one that is being
filled. A small image is sealed in memory and
appended to a shared segment; one that outgrows the buffer goes to a file of its own while the rest arrives.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import queue
import threading
from collections.abc import Callable

from capacitord.seal.sealed import (
    ALIGNMENT,
    CHUNK_SIZE,
    HEADER_SIZE,
    PAYLOAD_SIZE,
    ObjectCipher,
    room,
    sealed_size,
)
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import Layout, Place
from capacitord.spool.space import SpaceGuard
from capacitord.spool.stored import Objects

BLOCK_CHUNKS = 8
BLOCK_SIZE = BLOCK_CHUNKS * CHUNK_SIZE
LEAST_ROOM = HEADER_SIZE + BLOCK_SIZE
"""Bytes that have to be free for the smallest image to be begun."""
_BLOCKS_ON_THE_WAY = 3
_LEAST_GROWTH, _MOST_GROWTH = 4 << 20, 64 << 20


class Buffers:
    """What one image needs while it arrives; used again by the next. Blocks are page-aligned for direct transfers."""

    def __init__(self) -> None:
        self.head = memoryview(bytearray(PAYLOAD_SIZE))
        self.plain = memoryview(bytearray(PAYLOAD_SIZE))
        self.small = memoryview(mmap.mmap(-1, LEAST_ROOM))
        self._blocks: list[memoryview] = []

    def blocks(self) -> list[memoryview]:
        """Return the blocks of a large image, made when the first one comes."""
        if not self._blocks:
            self._blocks = [memoryview(mmap.mmap(-1, BLOCK_SIZE)) for _ in range(_BLOCKS_ON_THE_WAY)]
        return self._blocks


class LargeFile:
    """A segment of its own for one large image, written by a thread of its own while the image arrives."""

    def __init__(self, disk: Disk, layout: Layout, object_id: bytes, blocks: list[memoryview]) -> None:
        """Create the file. Raises OSError."""
        self._disk, self._layout = disk, layout
        self.path = layout.incoming / f"{object_id.hex()}.part"
        self.descriptor = disk.create(self.path, direct=True)
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for block in blocks:
            self._free.put(block)
        self._full: queue.SimpleQueue[tuple[memoryview, memoryview, int] | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._reserved = 0
        self._thread = threading.Thread(target=self._write, name="large image", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.close(remove=True)
            raise

    def block(self) -> memoryview:
        """Return an empty block; waits for the disk if all are on the way. Raises OSError if a write failed."""
        block = self._free.get()
        if self._error is not None:
            self._free.put(block)
            raise self._error
        return block

    def put(self, block: memoryview, part: memoryview, offset: int) -> None:
        """Have `part` of `block` written at `offset`; the block comes back by `block`."""
        self._full.put((block, part, offset))

    def _write(self) -> None:
        while (work := self._full.get()) is not None:
            block, part, offset = work
            try:
                if self._error is None:
                    if offset + len(part) > self._reserved:
                        self._reserved += min(max(self._reserved, _LEAST_GROWTH), _MOST_GROWTH)
                        self._disk.reserve(self.descriptor, self._reserved)
                    self._disk.write(self.descriptor, [part], offset)
            except OSError as error:
                self._error = error
            except Exception as error:  # noqa: BLE001 - the association waits for its block, and has to hear of it
                self._error = OSError(errno.EIO, type(error).__name__)
            self._free.put(block)

    def finish(self, header: memoryview, size: int, number: Callable[[], int]) -> int:
        """Write the header, sync everything and give the file its name as segment `number()`, which is returned.

        Raises OSError, and what `number` raises.
        """
        self._full.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._disk.write(self.descriptor, [header], 0)
        self._disk.cut(self.descriptor, size)
        self._disk.sync(self.descriptor)
        segment = number()
        path = self._layout.segment(segment)
        self._disk.rename(self.path, path)
        self.path = path
        self._disk.sync_folder(path.parent)
        return segment

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it if it is not to be kept."""
        if self._thread.is_alive():
            self._full.put(None)
            self._thread.join()
        os.close(self.descriptor)
        if remove:
            with contextlib.suppress(OSError):
                self._disk.remove(self.path)


class Sealing:
    """An image being sealed while it arrives, before anything is known of what it is."""

    def __init__(self, objects: Objects, object_id: bytes, buffers: Buffers, space: SpaceGuard) -> None:
        """Begin an image. Raises `OutOfSpace` if there is no room for a small one."""
        space.check(LEAST_ROOM)
        self.object_id = object_id
        self._cipher = ObjectCipher(objects.key, object_id)
        self._disk, self._layout, self._buffers, self._space = objects.disk, objects.layout, buffers, space
        self._chunk, self._filled, self._number = buffers.head, 0, 0
        self._large: LargeFile | None = None
        self._block = buffers.small[HEADER_SIZE:]
        self._block_chunks = 0

    @property
    def head(self) -> memoryview:
        """The first bytes of the dataset, up to one chunk of them."""
        return self._buffers.head[: self._filled if self._number == 0 else PAYLOAD_SIZE]

    @property
    def length(self) -> int:
        """How many bytes of the dataset have arrived."""
        return self._number * PAYLOAD_SIZE + self._filled

    @property
    def large(self) -> LargeFile | None:
        """The file of its own, if the image outgrew the buffer."""
        return self._large

    def space(self) -> memoryview:
        """Return where the next bytes of the dataset belong; never empty."""
        return self._chunk[self._filled :]

    def advance(self, count: int) -> None:
        """Take notice that `count` bytes were put into `space()`. Raises `OutOfSpace`, `StorageFailed`."""
        self._filled += count
        if self._filled == PAYLOAD_SIZE:
            self._seal(final=False)
            self._chunk, self._filled, self._number = self._buffers.plain, 0, self._number + 1

    def write(self, data: memoryview) -> None:
        """Take in bytes that are in memory already. Raises `OutOfSpace`, `StorageFailed`."""
        while data:
            into = self.space()
            count = min(len(into), len(data))
            into[:count] = data[:count]
            self.advance(count)
            data = data[count:]

    def _seal(self, *, final: bool) -> None:
        if self._block_chunks == BLOCK_CHUNKS:
            self._next_block()
        at = self._block_chunks * CHUNK_SIZE
        self._cipher.seal_chunk(self._number, self._chunk[: self._filled], self._block[at:], final=final)
        self._block_chunks += 1

    def _next_block(self) -> None:
        self._space.check(BLOCK_SIZE)
        try:
            if self._large is None:
                self._large = LargeFile(self._disk, self._layout, self.object_id, self._buffers.blocks())
                self._disk.write(self._large.descriptor, [self._block], HEADER_SIZE)
            else:
                self._large.put(self._block, self._block, self._offset())
            self._block = self._large.block()
        except OSError as error:
            raise failure(error, "write an image to the spool") from error
        self._block_chunks = 0

    def _offset(self) -> int:
        """Where the block in hand belongs in the object: it ends with the chunk that was sealed last."""
        return HEADER_SIZE + (self._number - self._block_chunks) * CHUNK_SIZE

    def finish(self, description: bytes) -> memoryview:
        """Seal the last chunk and the header; return the object if it is small, else what has its header's size.

        For a large image everything but the header is on its way to the file afterwards; see `store_large`.
        """
        self._seal(final=True)
        length, size = self.length, sealed_size(self.length)
        header = self._buffers.small[:HEADER_SIZE]
        header[:] = self._cipher.seal_header(length, description)
        if self._large is None:
            whole = self._buffers.small[: room(length)]
            whole[size:] = bytes(len(whole) - size)
            return whole
        tail = size - HEADER_SIZE - (self._number + 1 - self._block_chunks) * CHUNK_SIZE
        part = self._block[: -(-tail // ALIGNMENT) * ALIGNMENT]
        part[tail:] = bytes(len(part) - tail)
        self._large.put(self._block, part, HEADER_SIZE + (self._number + 1 - self._block_chunks) * CHUNK_SIZE)
        return header

    def store_large(self, header: memoryview, number: Callable[[], int]) -> Place:
        """Make a large image durable as segment `number()`; return its place.

        Raises `OutOfSpace`, `StorageFailed`, and what `number` raises.
        """
        size = room(self.length)
        if self._large is None:
            raise AssertionError
        try:
            return Place(self._large.finish(header, size, number), 0, size)
        except OSError as error:
            raise failure(error, "write an image to the spool") from error

    def close(self, *, keep: bool) -> None:
        """Let go of the file; unless it is to be kept nothing of the image stays on the disk."""
        if self._large is not None:
            self._large.close(remove=not keep)
            self._large = None
