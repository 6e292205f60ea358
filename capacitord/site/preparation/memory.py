"""Datasets in memory files: they never touch a disk, and sealed ones do not change under whoever reads them."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable

from capacitord.errors import DamagedObject

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class NotSealed(ValueError):
    """A descriptor is not that of a sealed memory file of the length that was said."""


def sealed(pieces: Iterable[bytes | memoryview], length: int) -> int:
    """Return the descriptor of a memory file that holds these pieces, `length` bytes in all.

    Raises `DamagedObject` if they are not as many, what reading them raises, and OSError if there is no room.
    """
    descriptor = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size = 0
        for piece in pieces:
            rest = memoryview(piece)
            size += len(rest)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        _check(size, length)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(size: int, length: int) -> None:
    if size != length:
        msg = f"An image has {size} bytes, and {length} were announced."
        raise DamagedObject(msg, hint="`fluxctl doctor --verify` says what else is damaged.")


def mapped(descriptor: int, length: int) -> memoryview:
    """Return the contents of a sealed memory file, which stay as long as somebody looks at them.

    The descriptor is closed. Raises `NotSealed`.
    """
    try:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:
            seals = 0
        if seals & _SEALS != _SEALS or os.fstat(descriptor).st_size != length:
            msg = "no sealed memory file of that length"
            raise NotSealed(msg)
        # An empty file cannot be mapped.
        return memoryview(mmap.mmap(descriptor, length, prot=mmap.PROT_READ) if length else b"")
    finally:
        os.close(descriptor)
