"""Whether there is room for another image: the reserve is never touched, the warning comes before it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from capacitord.errors import OutOfSpace
from capacitord.spool.disk import Disk, Space, failure

_LOOK_AGAIN_SECONDS = 0.25


class SpaceGuard:
    """Refuses images when the disk is down to its reserve. Looks at the disk a few times a second at most."""

    def __init__(self, disk: Disk, folder: Path, reserve: int, warning: int) -> None:
        self.reserve, self.warning = reserve, warning
        self._disk, self._folder = disk, folder
        self._lock = threading.Lock()
        self._space = disk.space(folder)
        self._taken = 0
        self._looked_at = time.monotonic()

    def now(self) -> Space:
        """Return the file system's size and free space as of a moment ago. Raises `StorageFailed`."""
        with self._lock:
            self._look()
            return Space(self._space.total, max(0, self._space.free - self._taken))

    def take(self, size: int) -> None:
        """Count `size` bytes about to be written.

        Raises `OutOfSpace` when that would touch the reserve, `StorageFailed` if the disk does not answer.
        """
        with self._lock:
            self._look()
            if self._space.free - self._taken - size < self.reserve:
                raise OutOfSpace(
                    "The disk is down to its reserve, so no image is taken in.",
                    hint="Restore the links to the destinations; delivered images are purged on their own.",
                )
            self._taken += size

    def _look(self) -> None:
        if time.monotonic() - self._looked_at > _LOOK_AGAIN_SECONDS:
            try:
                self._space, self._taken = self._disk.space(self._folder), 0
            except OSError as error:
                raise failure(error, "ask the disk for its free space") from error
            self._looked_at = time.monotonic()
