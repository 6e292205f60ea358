"""Making objects durable: small ones in shared segments, several scanners' with one sync.

Threads that want an object written queue up; the first takes the lead, writes and syncs everything that is queued
and files it in the catalog, while the next ones queue behind. No thread of its own, and no waiting when only one
scanner sends.

Recovery rests on three orders that are kept here. A segment's number is in the catalog before its file exists. In a
segment, objects are filed in the order in which they lie. A segment is called closed after everything in it is filed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capacitord.errors import CapacitordError
from capacitord.seal.sealed import ALIGNMENT
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import SEGMENT_SIZE, Layout, Place
from capacitord.spool.spares import Spares

LOG = logging.getLogger(__name__)
_SMALLEST_SEGMENT: Final = 4 << 20
_MOST_A_SECOND: Final = 256 << 20

Filing = Callable[[Place], None]


class _Turn:
    """One object waiting to be durable, if it is not, and filed."""

    __slots__ = ("done", "error", "filed", "place", "sealed")

    def __init__(self, sealed: memoryview, place: Place | None, filed: Filing) -> None:
        self.sealed, self.place, self.filed = sealed, place, filed
        self.done = False
        self.error: Exception | None = None


class SegmentWriter:
    """Appends sealed objects to shared segments. A segment that failed once is never written again."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        first: int,
        *,
        spares: Spares,
        announce: Callable[[int], None],
        close: Callable[[int], None],
    ) -> None:
        """`first` is a number no segment has had; `announce` and `close` tell the catalog of a segment's life."""
        self._disk, self._layout, self._spares = disk, layout, spares
        self._announce, self._close = announce, close
        self._next = first
        self._folder: Path | None = None
        self._numbers = threading.Lock()
        self._queue: list[_Turn] = []
        self._lead = threading.Lock()
        self._queueing = threading.Lock()
        self._descriptor = -1
        self._segment = self._end = self._size = 0
        self._began, self._wanted = 0.0, False
        self._full: list[int] = []

    def number(self) -> int:
        """Return a number for a new segment; the catalog knows of it and its folder is durable.

        Raises OSError, and what the catalog raises.
        """
        with self._numbers:
            number = self._next
            self._announce(number)
            self._next += 1
            folder = self._layout.segment(number).parent
            if folder != self._folder:
                self._disk.make_folder(folder.parent)
                self._disk.make_folder(folder)
                self._folder = folder
            return number

    def append(self, sealed: memoryview, filed: Filing) -> None:
        """Write a sealed object, sync it, then call `filed(place)`; return when all of that is done.

        Its size is a multiple of the alignment, and it lies at a page's start, for transfers past the page cache.
        Raises `OutOfSpace` or `StorageFailed`, or what `filed` raised; then nothing of the object counts.
        """
        self._wait(_Turn(sealed, None, filed))

    def file(self, place: Place, filed: Filing) -> None:
        """File an object that is durable already, in turn with the others."""
        self._wait(_Turn(memoryview(b""), place, filed))

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
        """Bring all turns to an end, whatever happens: who follows has nobody else to do it."""
        try:
            self._write([turn for turn in turns if turn.place is None])
        except Exception as error:  # noqa: BLE001 - it is raised where each turn is waited for
            self._end_segment()
            said = failure(error, "write images to the spool") if isinstance(error, OSError) else error
            for turn in turns:
                if turn.place is None:
                    turn.error = said
        for turn in turns:
            if turn.place is not None:
                try:
                    turn.filed(turn.place)
                except Exception as error:  # noqa: BLE001 - likewise
                    turn.error = error
            turn.done = True
        self._report_full()

    def _write(self, turns: list[_Turn]) -> None:
        """Write and sync as many objects at once as a segment takes."""
        while turns:
            if len(turns[0].sealed) > self._size - self._end:
                self._open_segment()
            fitting: list[_Turn] = []
            end = self._end
            for turn in turns:
                if len(turn.sealed) > self._size - end:
                    break
                fitting.append(turn)
                end += len(turn.sealed)
            self._disk.write(self._descriptor, [turn.sealed for turn in fitting], self._end)
            self._disk.sync(self._descriptor)
            for turn in fitting:
                turn.place = Place(self._segment, self._end, len(turn.sealed))
                self._end += len(turn.sealed)
            turns = turns[len(fitting) :]
            self._want_spare()

    def _open_segment(self) -> None:
        self._end_segment()
        number = self.number()
        path = self._layout.segment(number)
        spare = self._spares.take()
        try:
            if spare is None:
                descriptor, size = self._new_file(path)
            else:
                self._disk.rename(spare, path)
                descriptor, size = self._disk.open_direct(path), SEGMENT_SIZE
            try:
                self._disk.sync_folder(path.parent)
            except BaseException:
                os.close(descriptor)
                raise
        except BaseException:
            for left in (path, *([] if spare is None else [spare])):
                with contextlib.suppress(OSError):
                    self._disk.remove(left)
            raise
        self._descriptor, self._segment, self._end, self._size = descriptor, number, 0, size
        self._began, self._wanted = time.monotonic(), False

    def _new_file(self, path: Path) -> tuple[int, int]:
        size = self._segment_size()
        descriptor = self._disk.create(path, direct=True)
        try:
            self._disk.reserve(descriptor, size)
            self._disk.sync(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, size

    def _want_spare(self) -> None:
        """Ask for a spare when images come steadily, but not so quickly that zeros would be in their way."""
        if not self._wanted and self._end >= self._size // 4:
            self._wanted = True
            if self._end < _MOST_A_SECOND * (time.monotonic() - self._began):
                self._spares.want()

    def _segment_size(self) -> int:
        free = self._disk.space(self._layout.root).free
        return max(_SMALLEST_SEGMENT, min(SEGMENT_SIZE, free // 64)) // ALIGNMENT * ALIGNMENT

    def _end_segment(self) -> None:
        """Give back what the segment did not need, and write no more to it.

        After a failed write or sync nothing is known of what lies behind its last object, and nothing there counts. If
        the disk does not let go of it now, the segment is not called closed, and the next start cuts it.
        """
        if self._descriptor < 0:
            return
        try:
            self._disk.cut(self._descriptor, self._end)
        except OSError:
            LOG.warning("Segment %08x keeps room that it does not need until the next start.", self._segment)
        else:
            self._full.append(self._segment)
        os.close(self._descriptor)
        self._descriptor = -1
        self._end = self._size = 0

    def _report_full(self) -> None:
        """Call the segments closed to which nothing is added any more; if that fails they are looked at later."""
        with contextlib.suppress(CapacitordError):
            for number in self._full:
                self._close(number)
            self._full.clear()

    def finish(self) -> None:
        """Close the segment that is being written; whoever writes next opens another."""
        with self._lead:
            self._end_segment()
            self._report_full()
