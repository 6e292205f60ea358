"""Small files that survive a power cut: written aside, synced, renamed, and their folder synced."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from capacitord.errors import CapacitordError, NotFound, OutOfSpace, Refused, StorageFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def failure(error: OSError, path: Path) -> CapacitordError:
    """Return what to tell a person when the disk refused something at `path`."""
    words = f"the disk refused: {os.strerror(error.errno or errno.EIO)}"
    if error.errno in _FULL:
        return OutOfSpace(words, where=str(path), hint="Make room on the disk.")
    return StorageFailed(words, where=str(path), hint="Check the disk, and the owner and mode of this path.")


@contextlib.contextmanager
def typed(path: Path) -> Iterator[None]:
    """Turn what the operating system raises about `path` into an error for people."""
    try:
        yield
    except FileNotFoundError:
        msg = "it does not exist"
        raise NotFound(msg, where=str(path)) from None
    except OSError as error:
        raise failure(error, path) from None


def make_folder(path: Path) -> None:
    """Make a folder that only this user may enter, and make its name last; it may exist already.

    Raises `Refused` if it is another user's or open to others.
    """
    with typed(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent)
        found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        msg = "it is not a folder"
        raise Refused(msg, where=str(path), hint="Move it away.")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        msg = "others may use this folder, and it has to be private"
        raise Refused(msg, where=str(path), hint=f"chown {os.geteuid()} {path}; chmod 700 {path}")


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on stable storage."""
    with typed(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file, whole or not at all; it is on stable storage on return."""
    aside = path.with_name(f".{path.name}.new")
    with typed(path):
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        aside.replace(path)
    sync_folder(path.parent)


def read(path: Path, most: int) -> bytes:
    """Return a file's bytes. Raises `NotFound`, or `StorageFailed` if it is unreadable or longer than `most`."""
    with typed(path), path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        msg = f"it is larger than {most} bytes"
        raise StorageFailed(msg, where=str(path))
    return data
