"""Making objects durable: small ones in shared segments, several scanners' with one sync.

Threads that want an object written queue up; the first takes the lead, writes and syncs everything that is queued
and files it in the catalog, while the next ones queue behind. No thread of its own, and no waiting when only one
scanner sends.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from capacitord.errors import CapacitordError
from capacitord.seal.sealed import ALIGNMENT
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import SEGMENT_SIZE, Layout, Place


class _Turn:
    """One object waiting to be durable and filed."""

    __slots__ = ("done", "error", "filed", "place", "sealed")

    def __init__(self, sealed: memoryview | None, place: Place | None, filed: Callable[[Place], None]) -> None:
        self.sealed, self.place, self.filed = sealed, place, filed
        self.done = False
        self.error: CapacitordError | None = None


class SegmentWriter:
    """Appends sealed objects to shared segments. A segment that failed once is never written again."""

    def __init__(self, disk: Disk, layout: Layout, first: int, announce: Callable[[int], None]) -> None:
        """`first` is a number no segment has had; `announce(number)` is told of each new one."""
        self._disk, self._layout, self._announce = disk, layout, announce
        self._next = first
        self._numbers = threading.Lock()
        self._queue: list[_Turn] = []
        self._queueing = threading.Lock()
        self._lead = threading.Lock()
        self._descriptor = -1
        self._segment = self._end = self._size = 0

    @property
    def current(self) -> int:
        """The number of the segment that is open for writing, -1 if none is."""
        return self._segment if self._descriptor >= 0 else -1

    def number(self) -> int:
        """Return a number for a new segment."""
        with self._numbers:
            self._next += 1
            return self._next - 1

    def append(self, sealed: memoryview, filed: Callable[[Place], None]) -> None:
        """Write a sealed object whose size is a multiple of the alignment, sync it, then call `filed(place)`.

        Returns when all of that is done. Raises `OutOfSpace` or `StorageFailed`, or what `filed` raised; then
        nothing of the object counts.
        """
        self._wait(_Turn(sealed, None, filed))

    def file(self, place: Place, filed: Callable[[Place], None]) -> None:
        """File an object that is durable already, in turn with the others."""
        self._wait(_Turn(None, place, filed))

    def _wait(self, turn: _Turn) -> None:
        with self._queueing:
            self._queue.append(turn)
        with self._lead:
            if not turn.done:
                with self._queueing:
                    turns, self._queue = self._queue, []
                self._serve(turns)
        if turn.error is not None:
            raise turn.error

    def _serve(self, turns: list[_Turn]) -> None:
        try:
            self._write([turn for turn in turns if turn.sealed is not None])
        except OSError as error:
            self._abandon_segment()
            said = failure(error, "write images to the spool")
            for turn in turns:
                if turn.sealed is not None:
                    turn.error, turn.done = said, True
        for turn in turns:
            if turn.done or turn.place is None:
                continue
            try:
                turn.filed(turn.place)
            except CapacitordError as error:
                turn.error = error
            turn.done = True

    def _write(self, turns: list[_Turn]) -> None:
        start, parts, offset = 0, [memoryview(b"")][:0], self._end
        for turn in turns:
            sealed = turn.sealed
            if sealed is None:
                continue
            if self._descriptor < 0 or offset + len(sealed) > self._size:
                self._flush(parts, start)
                self._open_segment()
                parts, start, offset = [], 0, 0
            if not parts:
                start = offset
            parts.append(sealed)
            turn.place = Place(self._segment, offset, len(sealed))
            offset += len(sealed)
        self._flush(parts, start)
        self._end = offset

    def _flush(self, parts: list[memoryview], start: int) -> None:
        if parts:
            self._disk.write(self._descriptor, parts, start)
            self._disk.sync(self._descriptor)
            self._end = start + sum(map(len, parts))

    def _open_segment(self) -> None:
        self.finish()
        size = self._segment_size()
        number = self.number()
        path = self._layout.segment(number)
        self._disk.make_folder(path.parent)
        descriptor = self._disk.create(path)
        try:
            self._disk.reserve(descriptor, size)
            self._disk.sync(descriptor)
            self._disk.sync_folder(path.parent)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                self._disk.remove(path)
            raise
        self._descriptor, self._segment, self._end, self._size = descriptor, number, 0, size
        self._announce(number)

    def _segment_size(self) -> int:
        free = self._disk.space(self._layout.root).free
        return max(4 << 20, min(SEGMENT_SIZE, free // 64)) // ALIGNMENT * ALIGNMENT

    def _abandon_segment(self) -> None:
        """After a failed write or sync nothing is known of what the segment's end holds: never touch it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def finish(self) -> None:
        """Close the segment that is being written, giving back what it did not need."""
        with contextlib.suppress(OSError):
            if self._descriptor >= 0:
                self._disk.cut(self._descriptor, self._end)
        self._abandon_segment()
