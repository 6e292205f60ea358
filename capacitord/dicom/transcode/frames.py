"""Pixel data taken apart into frames, which stay where they are (PS3.5 §8.1, §A.4; PS3.3 §C.7.6.3.1.8)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from capacitord.dicom.elements import EXPLICIT_LITTLE, ITEM, SEQUENCE_END, UNDEFINED, header
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import SUBSAMPLED, Layout

Piece = bytes | memoryview

_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
"""How a frame begins: SOI of JPEG and JPEG-LS, SOC and SIZ of JPEG 2000."""


def native_frames(value: memoryview, layout: Layout) -> list[memoryview]:
    """Return the frames of native pixel data. Raises `NotTranscoded` if there is less or more than there should be."""
    if layout.photometric == SUBSAMPLED and layout.columns % 2:
        msg = "The image has subsampled colour and an odd number of columns."
        raise NotTranscoded(msg)
    size = layout.frame_size
    expected = size * layout.frames
    if len(value) < expected:
        msg = f"The pixel data has {len(value)} bytes, and {layout.frames} frames of this size have {expected}."
        raise NotTranscoded(msg)
    rest = value[expected:]
    if len(rest) >= size or any(rest):
        msg = "There is something behind the last frame of the pixel data."
        raise NotTranscoded(msg)
    return [value[number * size : (number + 1) * size] for number in range(layout.frames)]


class Fragment:
    """One fragment: where its item begins behind the offset table, and what is in it."""

    __slots__ = ("data", "start")

    def __init__(self, start: int, data: memoryview) -> None:
        self.start = start
        self.data = data


def fragments(value: memoryview) -> tuple[memoryview, list[Fragment]]:
    """Return the basic offset table and the fragments of encapsulated pixel data. Raises `NotTranscoded`."""
    found: list[memoryview] = []
    starts: list[int] = []
    position = 0
    while position < len(value):
        head = header(value, position, EXPLICIT_LITTLE)
        if head is None or head.tag not in {ITEM, SEQUENCE_END}:
            msg = "The encapsulated pixel data has something between its fragments."
            raise NotTranscoded(msg)
        if head.tag == SEQUENCE_END:
            break
        start = position + head.size
        if head.length == UNDEFINED or start + head.length > len(value):
            msg = "The encapsulated pixel data ends inside a fragment."
            raise NotTranscoded(msg)
        starts.append(position)
        found.append(value[start : start + head.length])
        position = start + head.length
    if len(found) < 2:
        msg = "The encapsulated pixel data has no fragments."
        raise NotTranscoded(msg)
    return found[0], [Fragment(start - starts[1], data) for start, data in zip(starts[1:], found[1:], strict=True)]


def encapsulated_frames(value: memoryview, frames: int) -> list[Piece]:
    """Return each frame of encapsulated pixel data; only one of several fragments is copied.

    Raises `NotTranscoded` if it cannot be told which fragments are which frame's.
    """
    table, each = fragments(value)
    groups = grouped(table, each, frames)
    return [group[0].data if len(group) == 1 else b"".join(part.data for part in group) for group in groups]


def encapsulated_frame(value: memoryview, frames: int, number: int) -> Piece:
    """Return one frame of encapsulated pixel data, counted from 0; the others are not copied. Raises as above."""
    group = grouped(*fragments(value), frames)[number]
    return group[0].data if len(group) == 1 else b"".join(part.data for part in group)


def grouped(table: memoryview, each: Sequence[Fragment], frames: int) -> list[list[Fragment]]:
    """Return the fragments of each frame. Raises `NotTranscoded` if it cannot be told which are whose."""
    if frames == 1:
        return [list(each)]
    if len(each) == frames:
        return [[fragment] for fragment in each]
    if len(each) > frames:
        groups = _by(_offsets(table), each)
        if len(groups) == frames:
            return groups
        begins = [part.start for part in each if bytes(part.data[:4]).startswith(_STARTS)]
        groups = _by(begins, each)
        if len(groups) == frames:
            return groups
    msg = f"It cannot be told which of the {len(each)} fragments belong to which of the {frames} frames."
    raise NotTranscoded(msg)


def _offsets(table: memoryview) -> list[int]:
    return [offset for (offset,) in struct.iter_unpack("<L", table[: len(table) // 4 * 4])]


def _by(begins: Sequence[int], each: Sequence[Fragment]) -> list[list[Fragment]]:
    """Return the fragments, a group from each of `begins` on; none if these are not where fragments begin."""
    known = {part.start: number for number, part in enumerate(each)}
    numbers = [known.get(offset, -1) for offset in begins]
    if not numbers or numbers[0] != 0 or any(a >= b for a, b in itertools.pairwise(numbers)):
        return []
    return [list(each[a:b]) for a, b in itertools.pairwise([*numbers, len(each)])]
