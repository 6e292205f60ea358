"""The steps on a disk that the key store is made of, and nothing else.

They are a seam: the store takes a `Disk`, and a test gives it one that stops, fails or forgets unsynced writes
at a chosen step.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from capacitord.errors import CapacitordError, DamagedObject, NotFound, OutOfSpace, Refused, StorageFailed, TryAgain
from capacitord.seal.envelope import LARGEST_FILE


class Disk(Protocol):
    """Files of one owner in directories of one owner.

    Every method raises `StorageFailed` (or `OutOfSpace`) where the disk refuses, and `NotFound` where what it
    needs is missing.
    """

    def names(self, directory: Path) -> tuple[str, ...]:
        """Return the sorted names in `directory`; none if it does not exist. `Refused` if others may enter it."""
        ...

    def read(self, path: Path) -> bytes:
        """Return a file's bytes. `Refused` if others may read it, `DamagedObject` if it is far too large."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make a directory that only its owner may enter, unless it is there. `sync` of its parent makes it last."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """Make a new file that only its owner may read, and sync it. Its name lasts after `sync` of its directory."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or a directory in one step, replacing a file. It lasts after `sync` of the directory."""
        ...

    def sync(self, directory: Path) -> None:
        """Return when the names in `directory` are on stable storage."""
        ...

    def shred(self, path: Path) -> None:
        """Overwrite a file where it lies, sync it, and remove its name."""
        ...

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        ...

    def hold(self, directory: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from holding `directory` meanwhile; `TryAgain` if one does already."""
        ...


class LocalDisk:
    """The disk of this machine."""

    def names(self, directory: Path) -> tuple[str, ...]:
        """See `Disk`."""
        with contextlib.suppress(NotFound), _opened(directory, os.O_RDONLY | os.O_DIRECTORY) as handle:
            _check_private(directory, os.fstat(handle), mode="700")
            return tuple(sorted(entry.name for entry in os.scandir(handle)))
        return ()

    def read(self, path: Path) -> bytes:
        """See `Disk`."""
        with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as handle:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                msg = "This is not a file."
                raise DamagedObject(msg, where=str(path), hint="Remove it; this program did not put it there.")
            _check_private(path, found, mode="600")
            data = os.read(handle, LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            msg = "This is far too large for a key file."
            raise DamagedObject(msg, where=str(path), hint="Put the file back from a backup.")
        return data

    def make_directory(self, path: Path) -> None:
        """See `Disk`."""
        with _typed(path):
            path.mkdir(mode=0o700, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """See `Disk`."""
        with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as handle:
            _write_all(handle, data)
            os.fsync(handle)

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk`."""
        with _typed(old):
            old.replace(new)

    def sync(self, directory: Path) -> None:
        """See `Disk`."""
        with _opened(directory, os.O_RDONLY | os.O_DIRECTORY) as handle:
            os.fsync(handle)

    def shred(self, path: Path) -> None:
        """See `Disk`."""
        with _opened(path, os.O_WRONLY) as handle:
            _write_all(handle, bytes(os.fstat(handle).st_size))
            os.fsync(handle)
            path.unlink()

    def remove_directory(self, path: Path) -> None:
        """See `Disk`."""
        with _typed(path):
            path.rmdir()

    @contextlib.contextmanager
    def hold(self, directory: Path) -> Iterator[None]:
        """See `Disk`."""
        with _opened(directory, os.O_RDONLY | os.O_DIRECTORY) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                msg = "Another process is working on the keys."
                raise TryAgain(msg, where=str(directory), hint="Wait for it to finish.") from None
            try:
                yield
            finally:
                # Until its exec a program that is being started has a copy of the descriptor, and with it the lock.
                fcntl.flock(handle, fcntl.LOCK_UN)


def storage_error(error: OSError, path: Path) -> CapacitordError:
    """Return what the disk's refusal of a step on `path` means to a person."""
    if error.errno == errno.ENOENT:
        return NotFound("There is no such file.", where=str(path), hint="See which keys there are: fluxctl key status")
    words = f"The disk refused: {os.strerror(error.errno or errno.EIO)}."
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpace(words, where=str(path), hint="Free some space and try again.")
    return StorageFailed(words, where=str(path), hint="Check the disk and its permissions.")


@contextlib.contextmanager
def _typed(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from None


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    with _typed(path):
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield handle
        finally:
            os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _check_private(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        msg = f"This belongs to another user (uid {found.st_uid}), and this program runs as uid {os.geteuid()}."
        hint = f"Run the command as its owner, or give it to this one: chown {os.geteuid()} {path}"
        raise Refused(msg, where=str(path), hint=hint)
    if stat.S_IMODE(found.st_mode) & 0o077:
        msg = f"Others may read this (mode {stat.S_IMODE(found.st_mode):04o}), and it guards the keys."
        hint = f"chmod {mode} {path}; if others had access, make a new box key too: fluxctl key rotate"
        raise Refused(msg, where=str(path), hint=hint)
