"""Compressed frames put into an encapsulated pixel data element, a fragment each (PS3.5 §A.4)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from capacitord.dicom.elements import EXPLICIT_LITTLE, item_head, write

PIXEL_DATA: Final = 0x7FE00010
EXTENDED_OFFSETS: Final = 0x7FE00001
EXTENDED_LENGTHS: Final = 0x7FE00002

LONGEST_OFFSET: Final = (1 << 32) - 1

_HEAD: Final = write(PIXEL_DATA, "OB", b"", EXPLICIT_LITTLE)[:-4] + b"\xff\xff\xff\xff"
_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"


class Tables(NamedTuple):
    """Where frames begin: the value of the basic offset table, or the elements of the extended one."""

    basic: bytes
    extended_offsets: bytes = b""
    extended_lengths: bytes = b""


def tables(lengths: Sequence[int]) -> Tables:
    """Return the tables for frames of these lengths in bytes, not counting a byte of padding.

    Where an offset needs more than 32 bits the basic table stays empty (PS3.3 §C.7.6.3.1.8).
    """
    offsets = [0, *itertools.accumulate(8 + length + length % 2 for length in lengths)][:-1]
    count = len(lengths)
    if not offsets or offsets[-1] <= LONGEST_OFFSET:
        return Tables(struct.pack(f"<{count}L", *offsets))
    return Tables(
        b"",
        write(EXTENDED_OFFSETS, "OV", struct.pack(f"<{count}Q", *offsets), EXPLICIT_LITTLE),
        write(EXTENDED_LENGTHS, "OV", struct.pack(f"<{count}Q", *lengths), EXPLICIT_LITTLE),
    )


def encapsulated(frames: Sequence[bytes], basic: bytes) -> list[bytes | memoryview]:
    """Return the pieces of the pixel data element."""
    pieces: list[bytes | memoryview] = [_HEAD + item_head(len(basic), EXPLICIT_LITTLE) + basic]
    for frame in frames:
        pieces.append(item_head(len(frame) + len(frame) % 2, EXPLICIT_LITTLE))
        pieces.append(frame + b"\0" if len(frame) % 2 else frame)
    pieces.append(_END)
    return pieces
