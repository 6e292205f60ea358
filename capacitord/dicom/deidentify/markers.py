"""Compressed frames walked segment by segment: what no decoder needs for the pixels is cut out, and nothing else.

JPEG (ISO 10918-1 annex B), JPEG-LS (ISO 14495-1 annex C) and JPEG 2000 with its high-throughput part (ISO 15444-1
annex A). Comments and the segments of applications hold text: names of programs, of files, of people. Two of the latter
say what the colours are, have a form without any text, and stay in that. A frame with a segment that is not known here
is refused, since nobody can tell what is in it.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.splice import Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_STARTS: Final = (_SOI + b"\xff", _SOC_SIZ)

_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_JPEG_COMMENT: Final = 0xFE
_APPLICATIONS: Final = range(0xE0, 0xF0)
_JFIF: Final = 0xE0
_SPIFF: Final = 0xE8
_ADOBE: Final = 0xEE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}

_JFIF_LENGTH: Final = 12
"""Bytes of JFIF's segment up to the size of its thumbnail, of which there is none then."""
_ADOBE_LENGTH: Final = 12
_SPIFF_LENGTH: Final = 30
_SPIFF_END: Final = b"\0\0\0\1\xff\xd8"
_COLOUR_TRANSFORM: Final = b"mrfx"
"""What some encoders of JPEG-LS name the transform of colours by, which decoders undo."""

_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_AFTER_LS_SCAN: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""The next marker behind entropy-coded data, in which a byte of ones is followed by one that makes it none."""


class Unclear(Exception):
    """A frame cannot be walked to its end. The message is the end of a sentence that begins with "a frame"."""


class Walked(NamedTuple):
    """What is to be cut out of a frame, in order, and where its codestream ends before that."""

    cuts: list[Cut]
    end: int


def walk_jpeg(data: bytes) -> Walked:
    """Return what is to be cut out of a frame of JPEG in any process but JPEG-LS. Raises `Unclear`."""
    return _walk_jpeg(data, ls=False)


def walk_jpeg_ls(data: bytes) -> Walked:
    """Return what is to be cut out of a frame of JPEG-LS. Raises `Unclear`."""
    return _walk_jpeg(data, ls=True)


def _walk_jpeg(data: bytes, *, ls: bool) -> Walked:
    if not data.startswith(_SOI):
        msg = "does not begin as JPEG does"
        raise Unclear(msg)
    after_scan = _AFTER_LS_SCAN if ls else _AFTER_SCAN
    cuts: list[Cut] = []
    position, scans, frames = len(_SOI), 0, 0
    while (marker := _marker(data, position)) != _END_OF_IMAGE:
        if marker == 0xFF:
            position += 1
            continue
        stop = _segment_end(data, position)
        body = data[position + 4 : stop]
        if marker == _JPEG_COMMENT or marker in _APPLICATIONS:
            kept = _kept(marker, body, ls=ls)
            if kept != data[position:stop]:
                cuts.append(Cut(position, stop, kept))
        elif not _is_exact(marker, body):
            raise Unclear(_unknown(marker))
        position = stop
        frames += marker in _FRAMES
        if marker == _START_OF_SCAN:
            scans += 1
            found = after_scan.search(data, position)
            if found is None:
                raise Unclear(_NO_END)
            position = found.start()
    if not frames or not scans:
        msg = "ends before its pixels begin"
        raise Unclear(msg)
    return _ended(data, position + 2, cuts)


def _marker(data: bytes, position: int) -> int:
    if len(data) < position + 2 or data[position] != 0xFF:
        raise Unclear(_NO_END)
    return data[position + 1]


def _segment_end(data: bytes, position: int) -> int:
    stop = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not position + 4 <= stop <= len(data):
        raise Unclear(_NO_END)
    return stop


def _kept(marker: int, body: bytes, *, ls: bool) -> bytes:
    """Return what stays of a comment or of a segment of an application: without text, or nothing."""
    if marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= _JFIF_LENGTH + 2:
        return _segment(marker, body[:_JFIF_LENGTH] + b"\0\0")
    if marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= _ADOBE_LENGTH:
        return _segment(marker, body[:_ADOBE_LENGTH])
    if marker != _SPIFF or not ls:
        return b""
    if body.startswith(_COLOUR_TRANSFORM) and len(body) == len(_COLOUR_TRANSFORM) + 1:
        return _segment(marker, body)
    if body == _SPIFF_END or (body.startswith(b"SPIFF\0") and len(body) == _SPIFF_LENGTH):
        return _segment(marker, body)
    msg = "has a directory of SPIFF, which may say anything"
    raise Unclear(msg)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _is_frame(body: bytes) -> bool:
    return len(body) >= 6 and len(body) == 6 + 3 * body[5]


def _is_scan(body: bytes) -> bool:
    return len(body) >= 1 and len(body) == 4 + 2 * body[0]


def _are_huffman_tables(body: bytes) -> bool:
    position = 0
    while position + 17 <= len(body):
        position += 17 + sum(body[position + 1 : position + 17])
    return position == len(body)


def _are_quantization_tables(body: bytes) -> bool:
    position = 0
    while position < len(body):
        position += 129 if body[position] >> 4 else 65
    return position == len(body)


_EXACT: Final[Mapping[int, Callable[[bytes], bool]]] = MappingProxyType(
    {
        **dict.fromkeys(_FRAMES, _is_frame),
        0xC4: _are_huffman_tables,
        0xCC: lambda body: len(body) % 2 == 0 and len(body) <= 64,
        _START_OF_SCAN: _is_scan,
        0xDB: _are_quantization_tables,
        0xDC: lambda body: len(body) == 2,
        0xDD: lambda body: 2 <= len(body) <= 4,
        0xDE: _is_frame,
        0xDF: lambda body: len(body) == 1,
        0xF8: lambda body: len(body) == 11 and body[0] == 1,
    }
)
"""Whether a segment, by its marker, is as long as what it says takes, so that there is room for nothing else."""


def _is_exact(marker: int, body: bytes) -> bool:
    check = _EXACT.get(marker)
    return check is not None and check(body)


_SIZE: Final = 0x51
_LENGTHS_OF_TILES: Final = 0x55
_J2K_COMMENT: Final = 0x64
_START_OF_TILE: Final = 0x90
_START_OF_DATA: Final = 0x93
_TILE: Final = bytes((0xFF, _START_OF_TILE))
_J2K_END: Final = b"\xff\xd9"
_TILE_HEADER: Final = 12
_J2K_SEGMENTS: Final = frozenset(
    {0x50, _SIZE, 0x52, 0x53, _LENGTHS_OF_TILES, 0x57, 0x58, 0x59, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x63}
)
"""CAP, SIZ, COD, COC, TLM, PLM, PLT, CPF, QCD, QCC, RGN, POC, PPM, PPT and CRG."""


def walk_j2k(data: bytes) -> Walked:
    """Return what is to be cut out of a codestream of JPEG 2000. Raises `Unclear`."""
    if not data.startswith(_SOC_SIZ):
        msg = "does not begin as a JPEG 2000 codestream does, and may be in a file of its own"
        raise Unclear(msg)
    cuts: list[Cut] = []
    markers: set[int] = set()
    position = _j2k_header(data, 2, _START_OF_TILE, cuts, markers)
    while data.startswith(_TILE, position):
        position = _tile_part(data, position, cuts, has_lengths=_LENGTHS_OF_TILES in markers)
    if data.startswith(_J2K_END, position):
        return _ended(data, position + 2, cuts)
    if data[position:].strip(b"\0"):
        raise Unclear(_NO_END)
    # Some encoders leave out the marker of the end, and the lengths of the tiles tell it all the same.
    return _ended(data, position, cuts)


def _j2k_header(data: bytes, position: int, last: int, cuts: list[Cut], markers: set[int]) -> int:
    """Walk over the segments up to the marker `last`, and return where that is."""
    while (marker := _marker(data, position)) != last:
        stop = _segment_end(data, position)
        if marker == _J2K_COMMENT:
            cuts.append(Cut(position, stop, b""))
        elif marker not in _J2K_SEGMENTS or (marker == _SIZE and not _is_size(data[position + 4 : stop])):
            raise Unclear(_unknown(marker))
        markers.add(marker)
        position = stop
    return position


def _is_size(body: bytes) -> bool:
    return len(body) >= 36 and len(body) == 36 + 3 * int.from_bytes(body[34:36], "big")


def _tile_part(data: bytes, start: int, cuts: list[Cut], *, has_lengths: bool) -> int:
    """Walk over a part of a tile, and return where it ends."""
    if _segment_end(data, start) != start + _TILE_HEADER:
        raise Unclear(_unknown(_START_OF_TILE))
    length = int.from_bytes(data[start + 6 : start + 10], "big")
    inside: list[Cut] = []
    begin = _j2k_header(data, start + _TILE_HEADER, _START_OF_DATA, inside, set()) + 2
    if inside and has_lengths:
        msg = "has a comment within a tile, whose length stands elsewhere too"
        raise Unclear(msg)
    end = start + length
    if not length:
        # The last one may go on to the end, whose marker is in no data (ISO 15444-1 §A.4.2).
        end = data.find(_J2K_END, begin)
    if not begin <= end <= len(data):
        raise Unclear(_NO_END)
    if inside and length:
        shorter = length + sum(cut.growth for cut in inside)
        cuts.append(Cut(start + 6, start + 10, shorter.to_bytes(4, "big")))
    cuts += inside
    return end


def _ended(data: bytes, end: int, cuts: list[Cut]) -> Walked:
    """Return the cuts, with one for what stands behind the codestream unless that is padding."""
    if data[end:].strip(b"\0"):
        if any(start in data[end:] for start in _STARTS):
            msg = "has another one behind it"
            raise Unclear(msg)
        cuts.append(Cut(end, len(data), b""))
    return Walked(cuts, end)


def _unknown(marker: int) -> str:
    return f"has a segment (FF{marker:02X}) that this box does not know, or that is longer than it should be"


_NO_END: Final = "is damaged, or has no end"
