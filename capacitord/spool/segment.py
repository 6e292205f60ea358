"""Segments: the files that hold sealed objects, one behind the other.

An image below `SMALL` shares a segment with others, so that one sync covers it (and, when several scanners send,
its neighbours too); a larger one is written while it arrives and has a segment of its own. Each object starts at a
multiple of 4096 bytes and describes itself, so a segment needs no index and no trailer: what a crash left
behind is found by looking at those places.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from capacitord.seal.sealed import ALIGNMENT, HEADER_SIZE, ReadAt, read_prefix, room

SMALL = 1 << 20
"""Plain bytes up to which an image shares a segment."""

SEGMENT_SIZE = 64 << 20
"""Size at which a shared segment is closed."""


class Place(NamedTuple):
    """Where an object is: the segment's number, the offset in it, the bytes it takes there."""

    segment: int
    offset: int
    size: int


class Layout:
    """The names of files and folders of one site's spool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalog = root / "catalog.db"
        self.lock = root / "lock"
        self.objects = root / "objects"
        self.incoming = root / "incoming"
        self.corrupt = root / "corrupt"

    def segment(self, number: int) -> Path:
        """Return the path of a segment: its folders hold 256 each."""
        name = f"{number:08x}"
        return self.objects / name[2:4] / name[4:6] / f"{name}.seg"

    def segments(self, first: int = 0) -> list[int]:
        """Return the numbers of all segments on disk from `first` on, without looking into older folders."""
        numbers: list[int] = []
        oldest = f"{first:08x}"
        if not self.objects.is_dir():
            return numbers
        whole = first <= 0xFFFFFF
        for high in self.objects.iterdir():
            if whole and high.name < oldest[2:4]:
                continue
            for low in high.iterdir():
                if whole and (high.name, low.name) < (oldest[2:4], oldest[4:6]):
                    continue
                numbers.extend(int(file.stem, 16) for file in low.glob("????????.seg"))
        return sorted(number for number in numbers if number >= first)


def reader(descriptor: int, offset: int, size: int) -> ReadAt:
    """Return a function that reads within the `size` bytes at `offset` of a file and never beyond."""

    def read_at(where: int, into: memoryview) -> int:
        wanted = min(len(into), size - where)
        done = 0
        while done < wanted:
            got = os.preadv(descriptor, [into[done:wanted]], offset + where + done)
            if got == 0:
                break
            done += got
        return done

    return read_at


def headers(descriptor: int, start: int, stop: int, skip: Callable[[int], int]) -> Iterator[int]:
    """Yield the offsets between `start` and `stop` at which something that looks like an object begins.

    After each, `skip(offset)` says how far to go on: an object's `room` when it proved whole, one alignment when not,
    so that a damaged header or length hides nothing behind it.
    """
    block = memoryview(bytearray(HEADER_SIZE))
    offset = start
    while offset + HEADER_SIZE <= stop:
        got = os.preadv(descriptor, [block], offset)
        if got == HEADER_SIZE and read_prefix(block) is not None:
            yield offset
            offset += max(ALIGNMENT, skip(offset))
        else:
            offset += ALIGNMENT


def room_of(descriptor: int, offset: int) -> int:
    """Return the space the object at `offset` says it takes, or 0 if there is none."""
    block = memoryview(bytearray(HEADER_SIZE))
    os.preadv(descriptor, [block], offset)
    prefix = read_prefix(block)
    return room(prefix.length) if prefix else 0
