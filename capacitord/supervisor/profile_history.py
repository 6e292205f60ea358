"""When each version of a site's profile came into force: lines that are only ever added."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from capacitord.api.messages import Activation
from capacitord.errors import NotFound
from capacitord.supervisor import files

_LARGEST: Final = 1 << 26


class Line(Activation, frozen=True):
    """An activation, and the digests of the files beside the profile; None where they were not kept."""

    files: Mapping[str, str] | None = None


class History:
    """The lines in one file. One caller at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[list[Line], int]:
        """Return the lines, oldest first, and how many can't be read. One that a crash cut short is none."""
        try:
            data = files.read(self._path, _LARGEST)
        except NotFound:
            return [], 0
        found, unreadable = [], 0
        whole, _, _ = data.rpartition(b"\n")
        for line in filter(None, whole.split(b"\n")):
            try:
                found.append(msgspec.json.decode(line, type=Line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                unreadable += 1
        return found, unreadable

    def add(self, *lines: Line) -> None:
        """Add lines; they are on stable storage on return. Raises `StorageFailed` or `OutOfSpace`."""
        if not lines:
            return
        new = not self._path.exists()
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with files.typed(self._path):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "r+b") as file:
                # What a crash left of a line is written over.
                end = file.seek(0, os.SEEK_END)
                file.seek(0)
                kept = file.read(end).rfind(b"\n") + 1
                file.seek(kept)
                file.write(text)
                file.truncate()
                file.flush()
                os.fsync(handle)
        if new:
            files.sync_folder(self._path.parent)
