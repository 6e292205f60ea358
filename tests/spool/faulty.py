"""A disk that writes down what is asked of it, and refuses at a chosen step: for files, and for the catalog."""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

from capacitord.spool.disk import Disk, Space

ROOMY = Space(1 << 40, 256 << 20)
"""So much free space that a shared segment has 4 MiB: a test fills one with five images."""

SEGMENT = 4 << 20


class Call(NamedTuple):
    """Something that was asked of the disk, and of which file or folder."""

    what: str
    path: Path


class FaultyDisk(Disk):
    """The real disk. `fail_at(n)` makes the n-th step from now fail, counted from 1; a write is half done then."""

    def __init__(self, space: Space = ROOMY) -> None:
        self.calls: list[Call] = []
        self.struck: list[Call] = []
        self._space = space
        self._open: dict[int, Path] = {}
        self._left = 0
        self._for_good = False
        self._code = errno.EIO
        self._lock = threading.Lock()

    def fail_at(self, step: int, code: int = errno.EIO, *, for_good: bool = False) -> None:
        self.struck.clear()
        self._left, self._code, self._for_good = step, code, for_good

    def work_again(self) -> None:
        self._left = 0

    def _step(self, what: str, path: Path) -> None:
        with self._lock:
            call = Call(what, path)
            self.calls.append(call)
            if self._left == 0:
                return
            self._left -= 1
            if self._left:
                return
            self._left = 1 if self._for_good else 0
            self.struck.append(call)
        raise OSError(self._code, os.strerror(self._code))

    def create(self, path: Path, *, direct: bool = False) -> int:
        self._step("create", path)
        descriptor = super().create(path, direct=direct)
        self._open[descriptor] = path
        return descriptor

    def open(self, path: Path, *, writing: bool = False) -> int:
        if writing:
            self._step("open", path)
        descriptor = super().open(path, writing=writing)
        self._open[descriptor] = path
        return descriptor

    def open_direct(self, path: Path) -> int:
        self._step("open", path)
        descriptor = super().open_direct(path)
        self._open[descriptor] = path
        return descriptor

    def write(self, descriptor: int, parts: Sequence[memoryview | bytes], offset: int) -> None:
        try:
            self._step("write", self._open[descriptor])
        except OSError:
            super().write(descriptor, [memoryview(parts[0])[: len(parts[0]) // 8192 * 4096]], offset)
            raise
        super().write(descriptor, parts, offset)

    def sync(self, descriptor: int) -> None:
        self._step("sync", self._open[descriptor])
        super().sync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._step("sync folder", folder)
        super().sync_folder(folder)

    def reserve(self, descriptor: int, size: int) -> None:
        self._step("reserve", self._open[descriptor])
        super().reserve(descriptor, size)

    def cut(self, descriptor: int, size: int) -> None:
        self._step("cut", self._open[descriptor])
        super().cut(descriptor, size)

    def rename(self, old: Path, new: Path) -> None:
        self._step("rename", new)
        super().rename(old, new)
        for descriptor, path in self._open.items():
            if path == old:
                self._open[descriptor] = new

    def remove(self, path: Path) -> None:
        self._step("remove", path)
        super().remove(path)

    def make_folder(self, folder: Path) -> None:
        self._step("make folder", folder)
        super().make_folder(folder)

    def space(self, path: Path) -> Space:
        return self._space if self._space.free >= 0 else super().space(path)


class BadSectors(Disk):
    """The real disk, which cannot read some places of some files."""

    def __init__(self) -> None:
        self.bad: set[tuple[Path, int]] = set()
        self._open: dict[int, Path] = {}

    def open(self, path: Path, *, writing: bool = False) -> int:
        descriptor = super().open(path, writing=writing)
        self._open[descriptor] = path
        return descriptor

    def read(self, descriptor: int, into: memoryview, offset: int) -> int:
        path = self._open[descriptor]
        if any(bad == path and offset <= place < offset + len(into) for bad, place in self.bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(descriptor, into, offset)


class FaultyVfs(apsw.VFS):
    """SQLite's own way to the disk, between the encryption and the file; `fail_at` as for `FaultyDisk`.

    Steps are writes, syncs and truncations of the database and its log; `only` may be "write" or "sync".
    """

    _BASE = "unix"

    def __init__(self, name: str) -> None:
        super().__init__(name, self._BASE)
        self.steps = {"write": 0, "sync": 0, "truncate": 0}
        self.struck = 0
        self._left = 0
        self._only = ""
        self._for_good = False
        self._error: type[apsw.Error] = apsw.IOError

    def fail_at(self, step: int, error: type[apsw.Error], *, only: str = "", for_good: bool = False) -> None:
        self.struck = 0
        self._left, self._error, self._only, self._for_good = step, error, only, for_good

    def work_again(self) -> None:
        self._left = 0

    def step(self, what: str) -> None:
        self.steps[what] += 1
        if self._left and self._only in {"", what}:
            self._left -= 1
            if self._left == 0:
                self._left = 1 if self._for_good else 0
                self.struck += 1
                raise self._error

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return _File(self, self._BASE, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, base: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._vfs = vfs

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.step("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.step("sync")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's
        self._vfs.step("truncate")
        super().xTruncate(size)


class ThroughVfs(Disk):
    """The real disk for files; the catalog goes through a VFS."""

    def __init__(self, vfs: str) -> None:
        self.vfs = vfs


@contextmanager
def faulty_catalog() -> Iterator[tuple[Disk, FaultyVfs]]:
    """Give a disk whose files are sound, and the VFS through which its catalog is written."""
    name = f"faulty {secrets.token_hex(8)}"
    vfs = FaultyVfs(name)
    try:
        yield ThroughVfs(f"multipleciphers-{name}"), vfs
    finally:
        vfs.unregister()
