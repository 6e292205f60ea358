"""Segments: the files that hold sealed objects, one behind the other.

A small image shares a segment with others, so that one sync covers it (and, when several scanners send, its
neighbours too); a larger one is written while it arrives and has a segment of its own. Each object starts at a
multiple of 4096 bytes and describes itself, so a segment needs no index and no trailer: what a crash left
behind is found by looking at those places.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from capacitord.seal.sealed import ReadAt
from capacitord.spool.disk import Disk

SEGMENT_SIZE = 64 << 20
"""Size at which a shared segment is closed."""

_PAIR: Final = re.compile("[0-9a-f]{2}")
_NAME: Final = re.compile("([0-9a-f]{8}).seg")
_FOLDERS: Final = 1 << 24
"""Segments after which the names of the folders begin again."""


class Place(NamedTuple):
    """Where an object is: the segment's number, the offset in it, the bytes it takes there."""

    segment: int
    offset: int
    size: int


class Layout:
    """The names of files and folders of one site's spool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.format = root / "format"
        self.catalog = root / "catalog.db"
        self.suspect = root / "catalog.damaged"
        self.ballast = root / "ballast"
        self.lock = root / "lock"
        self.objects = root / "objects"
        self._objects = str(self.objects)
        self.incoming = root / "incoming"
        self.corrupt = root / "corrupt"

    def segment(self, number: int) -> Path:
        """Return the path of a segment: its folders hold 256 each."""
        name = f"{number:08x}"
        return Path(f"{self._objects}/{name[2:4]}/{name[4:6]}/{name}.seg")

    def segments(self, first: int = 0) -> list[int]:
        """Return the numbers of all segments on disk from `first` on, without looking into older folders."""
        oldest = self.segment(first).parent if first < _FOLDERS else self.objects
        numbers = []
        for high in _folders(self.objects):
            if high < oldest.parent:
                continue
            for low in _folders(high):
                if low >= oldest:
                    names = (_NAME.fullmatch(file.name) for file in low.iterdir())
                    numbers += [int(name[1], 16) for name in names if name]
        return sorted(number for number in numbers if number >= first)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _PAIR.fullmatch(path.name) and path.is_dir()]


def reader(disk: Disk, descriptor: int, offset: int, size: int) -> ReadAt:
    """Return a function that reads within the `size` bytes at `offset` of a file and never beyond."""

    def read_at(where: int, into: memoryview) -> int:
        return disk.read(descriptor, into[: max(0, size - where)], offset + where)

    return read_at
