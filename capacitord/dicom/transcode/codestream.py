"""What the head of a compressed frame says of it, read before a decoder believes it.

JPEG (ISO 10918-1 annex B), JPEG-LS (ISO 14495-1 annex C) and JPEG 2000 (ISO 15444-1 annex A).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from capacitord.dicom.transcode.failure import NotTranscoded

_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_LOSSY_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_READ_FRAMES: Final = _LOSSY_FRAMES | {0xC3, 0xF7}
_OTHER_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - _READ_FRAMES - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_JFIF: Final = 0xE0
_SPIFF: Final = 0xE8
_ADOBE: Final = 0xEE
_CODING_STYLE: Final = 0x52
_START_OF_TILE: Final = 0x90
_MOST_SEGMENTS: Final = 4096


class Head(NamedTuple):
    """One frame as its codestream describes it.

    `process` is the marker of a JPEG frame (0xC0 …, 0xF7), 0 for JPEG 2000. `colour` is "RGB" or "YBR" where the
    stream itself says so, by a marker of JFIF or Adobe. `transformed` is the component transform of JPEG 2000.
    """

    process: int
    bits: int
    rows: int
    columns: int
    components: int
    signed: bool = False
    colour: str = ""
    transformed: bool = False


def jpeg_head(data: bytes | memoryview) -> Head:
    """Return the head of a JPEG or JPEG-LS frame. Raises `NotTranscoded`."""
    colour = ""
    frame: Head | None = None
    for marker, body in _segments(data):
        if marker == _JFIF and body.startswith(b"JFIF\0"):
            colour = colour or "YBR"
        elif marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12:
            colour = "RGB" if body[11] == 0 else "YBR"
        elif marker in _READ_FRAMES:
            frame = _jpeg_frame(marker, body)
        elif marker in _OTHER_FRAMES:
            msg = "A frame is in a process of JPEG that is not read here."
            raise NotTranscoded(msg)
        elif marker == _START_OF_SCAN and frame is not None:
            return frame._replace(colour=colour if frame.components == 3 else "")
    raise NotTranscoded(_JPEG_DAMAGED)


def _segments(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment, up to the first scan."""
    if bytes(data[:2]) != _SOI:
        msg = "A frame does not begin as JPEG does."
        raise NotTranscoded(msg)
    position = 2
    for _ in range(_MOST_SEGMENTS):
        if len(data) < position + 4 or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, bytes(data[position + 4 : position + 2 + length])
        if marker == _START_OF_SCAN:
            return
        position += 2 + length


def _jpeg_frame(marker: int, body: bytes) -> Head:
    if len(body) < 6:
        raise NotTranscoded(_JPEG_DAMAGED)
    bits, rows, columns, components = struct.unpack_from(">BHHB", body)
    return Head(marker, bits, rows, columns, components)


def j2k_head(data: bytes | memoryview) -> Head:
    """Return the head of a JPEG 2000 codestream. Raises `NotTranscoded`."""
    if bytes(data[:4]) != _SOC_SIZ:
        msg = "A frame does not begin as a JPEG 2000 codestream does."
        raise NotTranscoded(msg)
    if len(data) < 45:
        raise NotTranscoded(_J2K_DAMAGED)
    length, _, x1, y1, x0, y0, tile_x, tile_y, _, _, components = struct.unpack_from(">HHLLLLLLLLH", data, 4)
    if length != 38 + 3 * components or len(data) < 4 + length or x1 <= x0 or y1 <= y0 or not tile_x or not tile_y:
        raise NotTranscoded(_J2K_DAMAGED)
    each = {bytes(data[42 + 3 * n : 45 + 3 * n]) for n in range(components)}
    if len(each) != 1 or next(iter(each))[1:] != b"\1\1":
        msg = "The components of a JPEG 2000 frame differ in precision or resolution."
        raise NotTranscoded(msg)
    precision = next(iter(each))[0]
    return Head(
        process=0,
        bits=(precision & 0x7F) + 1,
        rows=y1 - y0,
        columns=x1 - x0,
        components=components,
        signed=precision >= 0x80,
        transformed=_is_transformed(data, 4 + length),
    )


def _is_transformed(data: bytes | memoryview, position: int) -> bool:
    for _ in range(_MOST_SEGMENTS):
        if len(data) < position + 9 or data[position] != 0xFF or data[position + 1] == _START_OF_TILE:
            break
        if data[position + 1] == _CODING_STYLE:
            return data[position + 8] != 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise NotTranscoded(_J2K_DAMAGED)


_JPEG_DAMAGED: Final = "The head of a JPEG frame is damaged."
_J2K_DAMAGED: Final = "The head of a JPEG 2000 frame is damaged."


def without_spiff(data: bytes) -> bytes:
    """Return a JPEG-LS frame without the directory of SPIFF, which is no part of it in DICOM (PS3.5 §8.2.3)."""
    position = 2
    while data[position : position + 2] == bytes((0xFF, _SPIFF)):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data[:2] + data[position:]


def as_extended(data: bytes) -> bytes:
    """Return a baseline JPEG frame as one of process 2, of which baseline is a part."""
    position = 2
    while data[position + 1] not in _LOSSY_FRAMES:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data[: position + 1] + b"\xc1" + data[position + 2 :] if data[position + 1] == 0xC0 else data
