"""Lookup tables: of the modality, of values of interest, of the colours of a palette (PS3.3 §C.11.1, §C.7.6.3.1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.level import Level

Numbers = np.ndarray[Any, Any]

DESCRIPTOR: Final = 0x00283002
DATA: Final = 0x00283006
EXPLANATION: Final = 0x00283003
_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED: Final = (0x00281221, 0x00281222, 0x00281223)
_MOST_ENTRIES: Final = 1 << 16

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_MOST_SEGMENTS: Final = 1 << 17


class Lut(NamedTuple):
    """A table: `values` of `bits`, of which the first stands for the stored value `first`."""

    first: int
    bits: int
    values: Numbers
    name: str = ""

    def looked_up(self, numbers: Numbers) -> Numbers:
        """Return what stands for each number; what is beyond an end of the table has the value at that end."""
        places = np.clip(np.rint(numbers) - self.first, 0, len(self.values) - 1)
        found: Numbers = self.values[places.astype(np.intp)]
        return found

    def shares(self, numbers: Numbers) -> Numbers:
        """Return what stands for each number, from 0 for black to 1 for white."""
        return self.looked_up(numbers) / ((1 << self.bits) - 1)


def lut(level: Level, *, signed: bool) -> Lut | None:
    """Return the table of an item of a sequence, None if there is none that is whole.

    `signed` is whether the numbers that are looked up can be less than 0.
    """
    said = _descriptor(level, DESCRIPTOR, signed=signed)
    if said is None:
        return None
    entries, first, bits = said
    values = _entries(level, DATA, entries, bits)
    if values is None or not 1 <= bits <= 16:
        return None
    # Some say 8 bits and have 12.
    needed = int(values.max()).bit_length()
    return Lut(first, max(bits, needed), values, level.text(EXPLANATION))


class Palette(NamedTuple):
    """The colours that stored values stand for: `colours` is of shape (entries, 3), 8 bits each."""

    first: int
    colours: Numbers

    def painted(self, stored: Numbers) -> Numbers:
        """Return the colour of each stored value; one beyond the table has that at its end. Raises `NotShown`."""
        if stored.dtype.itemsize > 2:
            msg = "The colours of the image are in a palette, and its samples have more bits than a palette can."
            raise NotShown(msg)
        plain = np.ascontiguousarray(stored).view(f"<u{stored.dtype.itemsize}")
        every = np.arange(1 << 8 * stored.dtype.itemsize, dtype=plain.dtype).view(stored.dtype).astype(np.int64)
        found: Numbers = self.colours[np.clip(every - self.first, 0, len(self.colours) - 1)][plain]
        return found


def palette(level: Level, *, signed: bool) -> Palette:
    """Return the palette of an image (PS3.3 §C.7.9). Raises `NotShown`."""
    descriptors = [_descriptor(level, tag, signed=signed) for tag in _DESCRIPTORS]
    said = descriptors[0]
    # They have as many entries each, of as many bits, for the same numbers.
    if said is None or any(each != said for each in descriptors):
        raise NotShown(_NO_PALETTE)
    entries, first, bits = said
    columns = []
    for data, segmented in zip(_DATA, _SEGMENTED, strict=True):
        if level.value(segmented):
            values: Numbers | None = np.array(expanded(_numbers(level, segmented, bits), entries), np.uint16)
        else:
            values = _entries(level, data, entries, bits)
        if values is None:
            raise NotShown(_NO_PALETTE)
        columns.append(_eight_bits(values, bits))
    return Palette(first, np.stack(columns, axis=-1))


def _descriptor(level: Level, tag: int, *, signed: bool) -> tuple[int, int, int] | None:
    """Return the number of entries, the first number, and the bits of an entry (PS3.3 §C.11.1.1)."""
    plain = level.words(tag)
    if len(plain) < 3:
        return None
    first = level.words(tag, signed=signed)[1]
    return plain[0] or _MOST_ENTRIES, first, plain[2]


def _entries(level: Level, tag: int, entries: int, bits: int) -> Numbers | None:
    """Return the entries of a table, None if there are too few. Those of 8 bits may be packed, or have a word each."""
    value = level.value(tag)
    if bits <= 8 and entries <= len(value) < 2 * entries:
        words = np.frombuffer(value, "<u2" if not level.encoding.big else ">u2", len(value) // 2)
        return words.astype("<u2").view(np.uint8)[:entries].astype(np.uint16)
    if len(value) < 2 * entries:
        return None
    return np.frombuffer(value, ">u2" if level.encoding.big else "<u2", entries).astype(np.uint16)


def _numbers(level: Level, tag: int, bits: int) -> Sequence[int]:
    return level.words(tag) if bits > 8 else _as_bytes(level, tag)


def _as_bytes(level: Level, tag: int) -> bytes:
    if not level.encoding.big:
        return level.value(tag)
    words = level.words(tag)
    return struct.pack(f"<{len(words)}H", *words)


def _eight_bits(values: Numbers, bits: int) -> Numbers:
    """Return the entries of a palette with 8 bits each. Some say 16 bits and have 8."""
    if bits > 8 and values.max() > 255:
        return (values >> 8).astype(np.uint8)
    return (values & 0xFF).astype(np.uint8)


def expanded(numbers: Sequence[int], entries: int) -> list[int]:
    """Return the entries that segments stand for (PS3.3 §C.7.9.2). Raises `NotShown` if they are not as many.

    The offset of an indirect segment counts bytes from the beginning, whatever the size of a number.
    """
    size = 1 if isinstance(numbers, bytes) else 2
    found: list[int] = []
    position = steps = 0
    while len(found) < entries and position + 1 < len(numbers):
        if numbers[position] == _INDIRECT:
            width = 4 // size
            copies, low = numbers[position + 1], numbers[position + 2 : position + 2 + width]
            if len(low) < width:
                raise NotShown(_DAMAGED)
            inside = sum(number << 8 * size * place for place, number in enumerate(low)) // size
            position += 2 + width
            for _ in range(copies):
                steps += 1
                inside = _direct(numbers, inside, found, entries)
        else:
            position = _direct(numbers, position, found, entries)
        steps += 1
        if steps > _MOST_SEGMENTS:
            raise NotShown(_DAMAGED)
    if len(found) < entries:
        raise NotShown(_DAMAGED)
    return found[:entries]


def _direct(numbers: Sequence[int], position: int, found: list[int], entries: int) -> int:
    """Add the entries of one discrete or linear segment, and return where the next begins."""
    head = numbers[position : position + 2]
    if len(head) < 2:
        raise NotShown(_DAMAGED)
    kind, length = head
    room = entries - len(found)
    taken = 1 if kind == _LINEAR else length
    values = numbers[position + 2 : position + 2 + taken]
    if len(values) < taken or kind not in {_DISCRETE, _LINEAR}:
        raise NotShown(_DAMAGED)
    if kind == _DISCRETE:
        found.extend(values[:room])
    elif not found or not length:
        raise NotShown(_DAMAGED)
    else:
        start, stop = found[-1], values[0]
        found.extend(start + (stop - start) * step // length for step in range(1, min(length, room) + 1))
    return position + 2 + taken


_NO_PALETTE: Final = "The colours of the image are in a palette, and the palette is not whole."
_DAMAGED: Final = "The palette of the image is in segments, and they are damaged."
