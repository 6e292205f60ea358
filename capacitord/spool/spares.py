"""Spare segments: files of zeros, made ahead, because a write to blocks that were written before syncs sooner.

A file system has to remember of a block that was only reserved that it now holds something, and a sync waits for
that as well. A spare has its place and its zeros on stable storage before it gets its name; recovery sees in it
what it sees in any segment, nothing behind the last object.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import threading
from pathlib import Path
from typing import Final

from capacitord.spool.disk import Disk
from capacitord.spool.segment import SEGMENT_SIZE, Layout

SUFFIX: Final = ".spare"
_PIECE: Final = 1 << 20
_ROOMY: Final = 8 * SEGMENT_SIZE


class Spares:
    """Has one spare segment at hand when it was asked for in time; a thread of its own writes the zeros."""

    def __init__(self, disk: Disk, layout: Layout, reserve: int) -> None:
        """`reserve` is what has to stay free on the disk."""
        self._disk, self._layout, self._reserve = disk, layout, reserve
        self._ready: Path | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def want(self) -> None:
        """Have a spare made, unless there is one or one is under way. Returns at once."""
        with self._lock:
            if self._ready is None and self._thread is None and not self._closing.is_set():
                thread = threading.Thread(target=self._make, name="spare segment", daemon=True)
                # No thread to be had: the next segment is made the other way.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def take(self) -> Path | None:
        """Return a spare of `SEGMENT_SIZE` zeros, synced, for the caller to rename; None if there is none."""
        with self._lock:
            spare, self._ready = self._ready, None
            return spare

    def close(self) -> None:
        """End the thread, and remove what nobody took."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        spare = self.take()
        if spare is not None:
            with contextlib.suppress(OSError):
                self._disk.remove(spare)

    def _make(self) -> None:
        path = self._layout.incoming / f"{secrets.token_hex(8)}{SUFFIX}"
        made = False
        # Without a spare the next segment is made the other way, and whoever writes to it learns what is wrong.
        with contextlib.suppress(OSError):
            made = self._disk.space(path.parent).free > self._reserve + _ROOMY and self._fill(path)
        if not made:
            with contextlib.suppress(OSError):
                self._disk.remove(path)
        with self._lock:
            self._ready = path if made else None
            self._thread = None

    def _fill(self, path: Path) -> bool:
        zeros = memoryview(mmap.mmap(-1, _PIECE))
        descriptor = self._disk.create(path, direct=True)
        try:
            self._disk.reserve(descriptor, SEGMENT_SIZE)
            for offset in range(0, SEGMENT_SIZE, _PIECE):
                if self._closing.is_set():
                    return False
                self._disk.write(descriptor, [zeros], offset)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        return True
