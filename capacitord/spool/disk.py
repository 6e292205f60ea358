"""The calls to the file system that the spool's promises rest on, in one place, so that tests can make each fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed


class Space(NamedTuple):
    """A file system's size and what is free of it for us, in bytes."""

    total: int
    free: int


class Disk:
    """The real disk. Every method raises OSError; `failure` turns that into words."""

    def create(self, path: Path, *, direct: bool = False) -> int:
        """Create a file that must not exist yet, readable by us only, and return its descriptor.

        `direct` asks for transfers past the page cache; a file system that can't gets ordinary ones.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if direct:
            try:
                return os.open(path, flags | os.O_DIRECT, 0o600)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                path.unlink(missing_ok=True)
        return os.open(path, flags, 0o600)

    def open(self, path: Path) -> int:
        """Open a file for reading and writing in place."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, parts: Sequence[memoryview | bytes], offset: int) -> None:
        """Write all parts one behind the other, from `offset` on."""
        pending = list(parts)
        while pending:
            done = os.pwritev(descriptor, pending[:64], offset)
            offset += done
            while pending and done >= len(pending[0]):
                done -= len(pending[0])
                del pending[0]
            if done:
                pending[0] = memoryview(pending[0])[done:]

    def sync(self, descriptor: int) -> None:
        """Return when what was written, and what is needed to read it again, is on stable storage."""
        os.fdatasync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in a folder are on stable storage."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def reserve(self, descriptor: int, size: int) -> None:
        """Give the file blocks for `size` bytes now, so that later writes find room."""
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                raise
            os.ftruncate(descriptor, size)

    def cut(self, descriptor: int, size: int) -> None:
        """Make the file end at `size`."""
        os.ftruncate(descriptor, size)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its name in place of whatever had it."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file; it is fine if it is gone."""
        path.unlink(missing_ok=True)

    def make_folder(self, folder: Path) -> None:
        """Make a folder with its parents, each durable in its parent; it is fine if it exists."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(folder.parent)

    def space(self, path: Path) -> Space:
        """Return the size and the free space of the file system that holds `path`."""
        facts = os.statvfs(path)
        return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)


def failure(error: OSError, what: str) -> CapacitordError:
    """Return the error that says in our words what an OSError means for whoever wanted `what` done."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return OutOfSpace(
            f"The disk is full: could not {what}.",
            hint="Restore the links to the destinations, or add space; delivered images are purged on their own.",
        )
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return StorageFailed(
        f"The disk refused: could not {what} ({name}).",
        hint="Nothing that depended on it was acknowledged. Check the disk (`dmesg`, SMART) and replace it.",
    )
