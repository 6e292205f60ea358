"""What the beginning of a compressed frame says it is, for comparing it with what the image says.

JPEG (ISO 10918-1 annex B), JPEG-LS (ISO 14495-1 annex C) and JPEG 2000 (ISO 15444-1 annex A). Unlike in
`transcode.codestream` nothing here has to be good enough for a decoder: what is beyond the beginning is left alone.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Codec(enum.StrEnum):
    """Families of codecs: a decoder of one can make nothing of another."""

    JPEG = "JPEG"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    RLE = "RLE"


class Look(NamedTuple):
    """A frame as its beginning has it. None and zero stand for what that does not tell.

    `process` is the marker of a JPEG frame (0xC0 …), of JPEG 2000 0, or 1 if it is the high-throughput one.
    """

    codec: Codec | None
    process: int | None = None
    rows: int = 0
    columns: int = 0
    samples: int = 0
    bits: int = 0


HIGH_THROUGHPUT: Final = 1
_JPEG_LS_FRAME: Final = 0xF7
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS_FRAME}
_BEFORE_FRAME: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xDE, 0xDF, 0xFE, *range(0xE0, 0xFE)})
"""Segments that may stand before the head of a frame: tables, applications' own, comments, extensions."""
_SOI: Final = b"\xff\xd8"
_J2K: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  "
_MOST_SEGMENTS: Final = 64
_MOST_RLE_SEGMENTS: Final = 15
_RLE_HEADER: Final = struct.Struct("<16L")
_RLE_STARTS: Final = tuple(struct.pack("<LL", count, _RLE_HEADER.size) for count in range(1, _MOST_RLE_SEGMENTS + 1))

_STARTS: Final[Mapping[Codec, tuple[bytes, ...]]] = MappingProxyType(
    {
        Codec.JPEG: (_SOI + b"\xff",),
        Codec.JPEG_LS: (_SOI + b"\xff",),
        Codec.JPEG_2000: (_J2K, _JP2),
        Codec.RLE: _RLE_STARTS,
    }
)


def begins_like(codec: Codec, data: bytes) -> bool:
    """Say whether a frame of this codec may begin like this, as far as `data` goes."""
    return any(data[: len(start)] == start[: len(data)] for start in _STARTS[codec])


def look(data: bytes, *, whole: bool = False) -> Look | None:
    """Return what a frame is that begins like this, None if it begins like nothing known here.

    `whole` says that there is no more of the frame than this, so that a head that is not in it is nowhere.
    """
    if data[:4] == _J2K:
        return _jpeg_2000(data, whole=whole)
    if data[:8] == _JP2:
        return Look(Codec.JPEG_2000)
    if data[:2] == _SOI:
        return _jpeg(data, whole=whole)
    return Look(Codec.RLE) if _is_rle(data) else None


def _is_rle(data: bytes) -> bool:
    """Whether this begins with a header of RLE: 64 bytes, and the segments behind it in their order (PS3.5 §G.5)."""
    if len(data) < _RLE_HEADER.size or not begins_like(Codec.RLE, data):
        return False
    count, *offsets = _RLE_HEADER.unpack_from(data)
    used = offsets[:count]
    return used == sorted(used)


def _jpeg(data: bytes, *, whole: bool) -> Look | None:
    """Return what JPEG and JPEG-LS say; where the head of the frame is too far behind for us, it may be either."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        if len(data) < position + 10:
            return None if whole else Look(None)
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker in _FRAMES:
            length, bits, rows, columns, samples = struct.unpack_from(">HBHHB", data, position + 2)
            if length != 8 + 3 * samples or not samples or not columns:
                return None
            codec = Codec.JPEG_LS if marker == _JPEG_LS_FRAME else Codec.JPEG
            return Look(codec, marker, rows, columns, samples, bits)
        # Fill bytes may stand before a marker (ISO 10918-1 §B.1.1.2).
        if marker == 0xFF:
            position += 1
        elif marker in _BEFORE_FRAME:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        else:
            return None
    return Look(None)


def _jpeg_2000(data: bytes, *, whole: bool) -> Look | None:
    if len(data) < 43:
        return None if whole else Look(Codec.JPEG_2000)
    length, capabilities, x1, y1, x0, y0 = struct.unpack_from(">HHLLLL", data, 4)
    samples = int.from_bytes(data[40:42], "big")
    if length != 38 + 3 * samples or not samples or x1 <= x0 or y1 <= y0:
        return None
    process = HIGH_THROUGHPUT if capabilities & 0x4000 else 0
    return Look(Codec.JPEG_2000, process, y1 - y0, x1 - x0, samples, (data[42] & 0x7F) + 1)
