"""How much there is to read in a dataset, counted before any of it is made into something that takes memory.

An empty item has eight bytes, and takes some hundred once it is read: what an image costs is decided by how many
elements and items it has, on all levels, rather than by its bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from capacitord.dicom.elements import (
    ITEM,
    ITEM_END,
    ITEM_TAGS,
    SEQUENCE_END,
    UNDEFINED,
    Encoding,
    Header,
    Malformed,
    header,
    inner,
)

MOST_READ: Final = 200_000
"""Elements and items of one dataset, on all levels. An object of 5,000 frames has little more than half of that."""

MOST_WALKED: Final = 1_200_000
"""The same and delimiters, each once for every sequence and item of undefined length that it has around it."""

_ENDS: Final = frozenset({ITEM_END, SEQUENCE_END})
_SEQUENCE_VRS: Final = frozenset({"SQ", "UN", ""})


class _Region(NamedTuple):
    """Where a sequence or an item ends; `stop` is that of what is around it if only a delimiter says so."""

    stop: int
    encoding: Encoding
    is_undefined: bool
    is_item: bool


class Tally:
    """Counts what was found in one dataset. Raises `Malformed` as soon as that is too much to be read."""

    def __init__(self) -> None:
        self.read = 0
        self.walked = 0

    def add(self, read: int = 1, walked: int = 1) -> None:
        """Count some more."""
        self.read += read
        self.walked += walked
        self.check(0)
        if self.walked > MOST_WALKED:
            raise Malformed(_TOO_DEEP)

    def check(self, more: int) -> None:
        """Raise `Malformed` if so many more than were counted are too many."""
        if self.read + more > MOST_READ:
            raise Malformed(_TOO_MANY)

    def look_into(self, data: bytes | bytearray, start: int, found: Header, encoding: Encoding) -> None:
        """Count what is below an element of the top level, whose value, of a known end, begins at `start`.

        What is malformed is passed by as those pass it by who read it: it hides nothing that they would read.
        """
        if not _is_sequence(data, start, found):
            return
        regions = [_Region(start + found.length, inner(found.vr, encoding), is_undefined=False, is_item=False)]
        position, undefined = start, 0
        while regions:
            region = regions[-1]
            if position >= region.stop:
                undefined -= regions.pop().is_undefined
                continue
            below = _header_in(data, position, region)
            if below is None:
                position = region.stop
                continue
            self.add(0 if below.tag in _ENDS else 1, 1 + undefined)
            position += below.size
            if below.tag in _ENDS:
                if not region.is_undefined:
                    position = region.stop
                elif below.tag == SEQUENCE_END or region.is_item:
                    undefined -= _leave(regions, is_item=below.tag == ITEM_END)
            elif (within := _region_of(data, position, below, region)) is not None:
                regions.append(within)
                undefined += within.is_undefined
            else:
                # One that is longer than what it is part of is the last that is read there.
                position = min(position + below.length, region.stop)


def _region_of(data: bytes | bytearray, start: int, found: Header, around: _Region) -> _Region | None:
    """Return the sequence or item that begins at `start`, None if the value has neither or does not fit."""
    is_item = found.tag == ITEM
    encoding = inner(found.vr, around.encoding)
    if found.length == UNDEFINED:
        return _Region(around.stop, encoding, is_undefined=True, is_item=is_item)
    if found.length > around.stop - start or not (is_item or _is_sequence(data, start, found)):
        return None
    return _Region(start + found.length, encoding, is_undefined=False, is_item=is_item)


def _is_sequence(data: bytes | bytearray, start: int, found: Header) -> bool:
    """Whether somebody may look for items in a value."""
    return found.vr in _SEQUENCE_VRS and bytes(data[start : start + 4]) in ITEM_TAGS and found.length >= 8


def _header_in(data: bytes | bytearray, position: int, region: _Region) -> Header | None:
    try:
        found = header(data, position, region.encoding)
    except Malformed:
        return None
    return found if found is not None and position + found.size <= region.stop else None


def _leave(regions: list[_Region], *, is_item: bool) -> int:
    """Drop the region that a delimiter ends, and those within that lack theirs; return how many."""
    count = 0
    while regions and regions[-1].is_undefined:
        count += 1
        if regions.pop().is_item == is_item:
            break
    return count


_TOO_MANY: Final = f"it has more than {MOST_READ:,} elements and items"
_TOO_DEEP: Final = "it has too many elements and items too deep within one another"
