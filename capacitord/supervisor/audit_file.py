"""The audit log's two files: its lines, and a head that says how far they go."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from capacitord.errors import CapacitordError
from capacitord.supervisor import files
from capacitord.supervisor.chain import MAX_LINE, START, Finding, Head, entry_in


class AuditFile:
    """The files in one folder. All methods block on the disk, and raise `StorageFailed` or `OutOfSpace`."""

    def __init__(self, folder: Path) -> None:
        self._log, self._head = folder / "log.jsonl", folder / "head"

    def begin(self) -> None:
        """Make the files, unless they are there."""
        files.make_folder(self._log.parent)
        if not self._log.exists():
            if self.head() is None:
                self.set_head(Head())
            self.append(b"")
            files.sync_folder(self._log.parent)

    def append(self, line: bytes) -> int:
        """Add a line, whole or not at all; return the size of the log before it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with files.typed(self._log):
            handle = os.open(self._log, flags, 0o600)
            try:
                before = os.fstat(handle).st_size
                try:
                    _write(handle, line)
                    os.fsync(handle)
                except OSError:
                    os.ftruncate(handle, before)
                    raise
            finally:
                os.close(handle)
        return before

    def cut(self, size: int) -> None:
        """Take off what is beyond a size."""
        with files.typed(self._log), self._log.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def head(self) -> Head | None:
        """Return what the head file says, None if it is missing or not what was written."""
        try:
            return msgspec.json.decode(files.read(self._head, 1 << 12), type=Head)
        except (CapacitordError, msgspec.DecodeError):
            return None

    def set_head(self, head: Head) -> None:
        """Have the head file say this."""
        files.replace(self._head, msgspec.json.encode(head))

    def end(self) -> Finding:
        """Return what the last whole line says, without reading the rest."""
        with files.typed(self._log), self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * MAX_LINE))
            tail = file.read()
        whole, newline, torn = tail.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2] + newline
        if not newline:
            return Finding(Head(), START, 0, len(torn), "")
        entry = entry_in(last)
        if entry is None:
            return Finding(Head(), START, 0, 0, "the last line is not what was written")
        return Finding(Head(entry.number, entry.digest), entry.previous, size - len(torn), len(torn), "")

    def size(self) -> int:
        """Return how many bytes the log has."""
        with files.typed(self._log):
            return self._log.stat().st_size

    def lines(self, size: int) -> Iterator[bytes]:
        """Return the lines within the first so many bytes, with their ends."""
        with files.typed(self._log), self._log.open("rb") as file:
            while size and (line := file.readline(min(MAX_LINE, size))):
                size -= len(line)
                yield line

    def backwards(self) -> Iterator[bytes]:
        """Return the lines, the last one first. Raises `NotFound` if somebody took the log away."""
        with files.typed(self._log), self._log.open("rb") as file:
            position, rest = file.seek(0, os.SEEK_END), b""
            while position:
                step = min(position, MAX_LINE)
                position -= step
                file.seek(position)
                *lines, rest = reversed((file.read(step) + rest).split(b"\n"))
                yield from (line + b"\n" for line in lines if line)
            if rest:
                yield rest + b"\n"


def _write(handle: int, line: bytes) -> None:
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
