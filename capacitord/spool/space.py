"""Whether there is room for another image: the reserve is never touched, the warning comes before it."""

from __future__ import annotations

from pathlib import Path

from capacitord.errors import OutOfSpace
from capacitord.spool.disk import Disk, Space, failure


class SpaceGuard:
    """Refuses images when the disk is down to its reserve."""

    def __init__(self, disk: Disk, folder: Path, reserve: int, warning: int) -> None:
        self.reserve, self.warning = reserve, warning
        self._disk, self._folder = disk, folder

    def now(self) -> Space:
        """Return the file system's size and free space. Raises `StorageFailed`."""
        try:
            return self._disk.space(self._folder)
        except OSError as error:
            raise failure(error, "ask the disk for its free space") from error

    def check(self, size: int) -> None:
        """Raise `OutOfSpace` if writing `size` more bytes would touch the reserve."""
        if self.now().free - size < self.reserve:
            raise OutOfSpace(
                "The disk is down to its reserve, so no image is taken in.",
                hint="Restore the links to the destinations; delivered images are purged on their own.",
            )
