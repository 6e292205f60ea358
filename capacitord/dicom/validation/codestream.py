"""What the beginning of a compressed frame says it is, for comparing it with what the image says.

JPEG (ISO 10918-1 annex B), JPEG-LS (ISO 14495-1 annex C) and JPEG 2000 (ISO 15444-1 annex A). Unlike in
`transcode.codestream` nothing here has to be good enough for a decoder: what is not understood is left alone.
"""

from __future__ import annotations

import enum
import struct
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
_START_OF_SCAN: Final = 0xDA
_SOI: Final = b"\xff\xd8"
_J2K: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  "
_MOST_SEGMENTS: Final = 64
_MOST_RLE_SEGMENTS: Final = 15


def look(data: bytes) -> Look | None:
    """Return what a frame is that begins like this, None if it begins like nothing known here."""
    if data[:4] == _J2K:
        return _jpeg_2000(data)
    if data[:8] == _JP2:
        return Look(Codec.JPEG_2000)
    if data[:2] == _SOI:
        return _jpeg(data)
    # A header of RLE is 64 bytes, and its first segment stands behind it (PS3.5 §G.5).
    if len(data) >= 64 and 1 <= int.from_bytes(data[:4], "little") <= _MOST_RLE_SEGMENTS and data[4:8] == b"\x40\0\0\0":
        return Look(Codec.RLE)
    return None


def _jpeg(data: bytes) -> Look:
    """Return what JPEG and JPEG-LS say; where the head of the frame is too far behind for us, it may be either."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        if len(data) < position + 10 or data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker in _FRAMES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, position + 4)
            codec = Codec.JPEG_LS if marker == _JPEG_LS_FRAME else Codec.JPEG
            return Look(codec, marker, rows, columns, samples, bits)
        if marker == _START_OF_SCAN:
            break
        # Fill bytes may stand before a marker (ISO 10918-1 §B.1.1.2).
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return Look(None)


def _jpeg_2000(data: bytes) -> Look:
    if len(data) < 43:
        return Look(Codec.JPEG_2000)
    _, capabilities, x1, y1, x0, y0 = struct.unpack_from(">HHLLLL", data, 4)
    samples = int.from_bytes(data[40:42], "big")
    process = HIGH_THROUGHPUT if capabilities & 0x4000 else 0
    if x1 <= x0 or y1 <= y0:
        return Look(Codec.JPEG_2000, process)
    return Look(Codec.JPEG_2000, process, y1 - y0, x1 - x0, samples, (data[42] & 0x7F) + 1)
