"""The calls to the file system that the spool's promises rest on, in one place, so that tests can make each fail."""

from __future__ import annotations

import errno
import fcntl
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

    vfs: str | None = None
    """The SQLite VFS the catalog is written through; None is SQLite's own."""

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

    def open(self, path: Path, *, writing: bool = False) -> int:
        """Open a file for reading, or for writing in place as well."""
        return os.open(path, (os.O_RDWR if writing else os.O_RDONLY) | os.O_CLOEXEC)

    def open_direct(self, path: Path) -> int:
        """Open a file for writing past the page cache, if its file system can."""
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        return self.open(path, writing=True)

    def read(self, descriptor: int, into: memoryview, offset: int) -> int:
        """Fill `into` from `offset` on; return how many bytes there were."""
        done = 0
        while done < len(into) and (count := os.preadv(descriptor, [into[done:]], offset + done)):
            done += count
        return done

    def write(self, descriptor: int, parts: Sequence[memoryview | bytes], offset: int) -> None:
        """Write all parts one behind the other, from `offset` on."""
        pending = list(parts)
        while pending:
            try:
                done = os.pwritev(descriptor, pending[:64], offset)
            except OSError as error:
                if error.errno != errno.EINVAL or not _made_ordinary(descriptor):
                    raise
                continue
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
        """Make a folder, durable in its parent, which must exist. It is fine if it exists.

        The parent is synced in any case: whoever made the folder before may have been stopped on the way.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(folder.parent)

    def space(self, path: Path) -> Space:
        """Return the size and the free space of the file system that holds `path`."""
        facts = os.statvfs(path)
        return Space(facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize)


def _made_ordinary(descriptor: int) -> bool:
    """Stop transfers past the page cache, as a file system may want larger pieces than ours; False if none were on."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if not flags & os.O_DIRECT:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return True


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
