"""Whether there is room for another image, and room for the catalog when there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from capacitord.errors import OutOfSpace
from capacitord.spool.disk import Disk, Space, failure

BALLAST_SIZE: Final = 16 << 20
"""Bytes that are kept for the catalog: deliveries are recorded and images purged even on a disk that others filled."""


class Ballast:
    """A file of nothing, thrown away when the catalog finds no room: so that a full disk can be emptied again."""

    def __init__(self, disk: Disk, path: Path, reserve: int) -> None:
        self._disk, self._path, self._reserve = disk, path, reserve

    def take(self) -> None:
        """Take ballast on, if there is none and room enough above the reserve. Never fails."""
        with contextlib.suppress(OSError):
            if self._path.exists() or self._disk.space(self._path.parent).free < self._reserve + 2 * BALLAST_SIZE:
                return
            descriptor = self._disk.create(self._path)
            try:
                self._disk.reserve(descriptor, BALLAST_SIZE)
            except OSError:
                self._disk.remove(self._path)
            finally:
                os.close(descriptor)

    def throw(self) -> None:
        """Give the room to whoever needs it. Never fails."""
        with contextlib.suppress(OSError):
            self._disk.remove(self._path)

    def lighten(self) -> None:
        """Throw the ballast if there is hardly any other room. Never fails."""
        with contextlib.suppress(OSError):
            if self._disk.space(self._path.parent).free < BALLAST_SIZE:
                self.throw()


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
