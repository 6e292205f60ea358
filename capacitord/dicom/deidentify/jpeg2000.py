"""Codestreams of JPEG 2000 and its high-throughput part walked (ISO 15444-1 annex A, ISO 15444-15 annex A).

Comments go, and so do the segments that only help a decoder to find its way: lengths of tiles and packets, where
components lie, and which profile was meant. All others have the length and the numbers that the standard gives them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.deidentify.markers import (
    MOST_SEGMENTS,
    NO_END,
    TOO_MANY,
    Unclear,
    Walked,
    ended,
    marker_at,
    segment_end,
    unknown,
)
from capacitord.dicom.splice import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_CAPABILITIES: Final = 0x50
_CODING: Final = 0x52
_COMPONENT_CODING: Final = 0x53
_QUANTIZATION: Final = 0x5C
_COMPONENT_QUANTIZATION: Final = 0x5D
_REGION: Final = 0x5E
_ORDER: Final = 0x5F
_START_OF_TILE: Final = 0x90
_START_OF_DATA: Final = 0x93
_LEFT_OUT: Final = frozenset({0x55, 0x57, 0x58, 0x59, 0x63, 0x64})
"""TLM, PLM, PLT, CPF, CRG and COM: no decoder needs them for the pixels."""
_TILE: Final = bytes((0xFF, _START_OF_TILE))
_END: Final = b"\xff\xd9"
_TILE_HEADER: Final = 12

_HIGH_THROUGHPUT: Final = 0x00020000
_MOST_LEVELS: Final = 32
_MOST_BITS: Final = 38
_MOST_TILES: Final = 65535
_LAST_ORDER: Final = 4
_FEW_COMPONENTS: Final = 257
"""Of fewer than these the number of one takes a byte."""
_DERIVED, _EXPOUNDED = 1, 2


class _Size(NamedTuple):
    """What the codestream says of its size: how many components it has, and how many tiles."""

    components: int
    tiles: int


class _Header:
    """The segments of the main header or of that of a tile, and what they say that others have to fit."""

    def __init__(self, size: _Size, main: _Header | None = None) -> None:
        self._size = size
        self._seen: set[tuple[int, int]] = set()
        self._is_main = main is None
        # Of the transform, by component; -1 stands for those that have none of their own.
        self.levels: dict[int, int] = dict(main.levels) if main is not None else {}
        self._quantizations: list[tuple[int, bytes]] = []

    def take(self, marker: int, body: bytes) -> None:
        """Take a segment. Raises `Unclear` unless it is known and in its form."""
        number, rest = self._component(marker, body)
        is_known = {
            _CAPABILITIES: self._is_main and body[:4] == _HIGH_THROUGHPUT.to_bytes(4, "big") and len(body) == 6,
            _CODING: len(body) >= 5 and self._is_coding(body[0], body[1:5], body[5:]),
            _COMPONENT_CODING: len(rest) >= 1 and rest[0] <= 1 and self._is_style(rest[0], rest[1:]),
            _QUANTIZATION: len(body) >= 1,
            _COMPONENT_QUANTIZATION: len(rest) >= 1,
            _REGION: len(rest) == 2 and rest[0] == 0 and rest[1] <= _MOST_BITS + _MOST_LEVELS,
            _ORDER: self._is_order(body),
        }.get(marker, False)
        if not is_known or (marker, number) in self._seen:
            raise Unclear(unknown(marker))
        self._seen.add((marker, number))
        if marker == _CODING:
            self.levels[-1] = body[5]
        elif marker == _COMPONENT_CODING:
            self.levels[number] = rest[1]
        elif marker in {_QUANTIZATION, _COMPONENT_QUANTIZATION}:
            self._quantizations.append((number, rest))

    def check(self) -> None:
        """Raise `Unclear` unless there are as many steps of quantization as the levels of the transform take."""
        for number, body in self._quantizations:
            own = self.levels.get(number, self.levels.get(-1, -1))
            # The default one is for the component that has most levels, too.
            levels = max(self.levels.values(), default=-1) if number < 0 else own
            if not _is_quantization(body, levels):
                raise Unclear(unknown(_QUANTIZATION if number < 0 else _COMPONENT_QUANTIZATION))

    def _component(self, marker: int, body: bytes) -> tuple[int, bytes]:
        """Return which component a segment is about, -1 if it is about all, and its body behind that."""
        if marker not in {_COMPONENT_CODING, _COMPONENT_QUANTIZATION, _REGION}:
            return -1, body
        width = 1 if self._size.components < _FEW_COMPONENTS else 2
        number = int.from_bytes(body[:width], "big")
        if len(body) < width or number >= self._size.components:
            raise Unclear(unknown(marker))
        return number, body[width:]

    def _is_coding(self, style: int, all_components: bytes, rest: bytes) -> bool:
        order, layers, transform = struct.unpack(">BHB", all_components)
        return style < 8 and order <= _LAST_ORDER and layers > 0 and transform <= 1 and self._is_style(style & 1, rest)

    def _is_style(self, has_precincts: int, body: bytes) -> bool:
        """Whether this is the coding style of a component: levels, code-blocks, transform, sizes of precincts."""
        if len(body) < 5:
            return False
        levels, width, height, style, transform = body[:5]
        are_blocks = width <= 8 and height <= 8 and width + height <= 8 and style < 0x80
        room = levels + 1 if has_precincts else 0
        return levels <= _MOST_LEVELS and are_blocks and transform <= 1 and len(body) == 5 + room

    def _is_order(self, body: bytes) -> bool:
        narrow = self._size.components < _FEW_COMPONENTS
        form = struct.Struct(">BBHBBB" if narrow else ">BHHBHB")
        if not body or len(body) % form.size:
            return False
        return all(
            first < last <= _MOST_LEVELS + 1 and layers > 0 and order <= _LAST_ORDER and start < self._size.components
            for first, start, layers, last, _, order in form.iter_unpack(body)
        )


def _is_quantization(body: bytes, levels: int) -> bool:
    kind, steps = body[0] & 0x1F, body[1:]
    if levels < 0:
        return False
    if kind == _DERIVED:
        return len(steps) == 2
    if kind == _EXPOUNDED:
        return len(steps) == 2 * (3 * levels + 1)
    # The exponents have five bits, and the others are none.
    return kind == 0 and len(steps) == 3 * levels + 1 and not any(step & 7 for step in steps)


def walk_j2k(data: bytes) -> Walked:
    """Return what is to be cut out of a codestream of JPEG 2000. Raises `Unclear`."""
    if not data.startswith(_SOC_SIZ):
        msg = "does not begin as a JPEG 2000 codestream does, and may be in a file of its own"
        raise Unclear(msg)
    position = segment_end(data, 2)
    size = _size(data[6:position])
    cuts: list[Cut] = []
    main = _Header(size)
    position = _walk_header(data, position, _START_OF_TILE, main, cuts)
    parts: dict[int, tuple[int, int]] = {}
    while data.startswith(_TILE, position):
        _count_part(data, position, size, parts)
        position = _tile_part(data, position, main, size, cuts)
    if data.startswith(_END, position):
        return ended(data, position + 2, cuts)
    if data[position:].strip(b"\0"):
        raise Unclear(NO_END)
    # Some encoders leave out the marker of the end, and the lengths of the tiles tell it all the same.
    return ended(data, position, cuts)


def _size(body: bytes) -> _Size:
    """Return what a segment SIZ says. Raises `Unclear` unless it is in its form."""
    if len(body) >= 36 and len(body) == 36 + 3 * int.from_bytes(body[34:36], "big"):
        x1, y1, x0, y0, width, height, tile_x, tile_y, components = struct.unpack_from(">8LH", body, 2)
        is_image = x0 < x1 and y0 < y1 and width > 0 and height > 0 and tile_x <= x0 and tile_y <= y0 and components
        if is_image and all(map(_is_component, struct.iter_unpack("3B", body[36:]))):
            tiles = -(-(x1 - tile_x) // width) * -(-(y1 - tile_y) // height)
            if tiles <= _MOST_TILES:
                return _Size(components, tiles)
    raise Unclear(unknown(_SOC_SIZ[-1]))


def _is_component(numbers: tuple[int, ...]) -> bool:
    precision, *apart = numbers
    return precision & 0x7F < _MOST_BITS and all(1 <= each <= 4 for each in apart)


def _segments(data: bytes, position: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment up to the marker `last`, and where it begins and ends."""
    for _ in range(MOST_SEGMENTS):
        marker = marker_at(data, position)
        if marker == last:
            yield marker, position, position + 2
            return
        stop = segment_end(data, position)
        yield marker, position, stop
        position = stop
    raise Unclear(TOO_MANY)


def _walk_header(data: bytes, position: int, last: int, header: _Header, cuts: list[Cut]) -> int:
    """Walk over the segments up to the marker `last`, and return where that is."""
    for marker, start, stop in _segments(data, position, last):
        if marker == last:
            position = start
        elif marker not in _LEFT_OUT:
            header.take(marker, data[start + 4 : stop])
        elif cuts and cuts[-1].stop == start and not cuts[-1].data:
            cuts[-1] = Cut(cuts[-1].start, stop, b"")
        else:
            cuts.append(Cut(start, stop, b""))
    header.check()
    return position


def _count_part(data: bytes, start: int, size: _Size, parts: dict[int, tuple[int, int]]) -> None:
    """Count a part of a tile. Raises `Unclear` unless it is the next one of a tile that there is."""
    if segment_end(data, start) != start + _TILE_HEADER:
        raise Unclear(unknown(_START_OF_TILE))
    tile, _, part, count = struct.unpack_from(">HLBB", data, start + 4)
    following, promised = parts.get(tile, (0, 0))
    promised = promised or count
    if tile >= size.tiles or part != following or count not in {0, promised} or (promised and part >= promised):
        msg = "has a part of a tile that does not belong to it"
        raise Unclear(msg)
    parts[tile] = following + 1, promised


def _tile_part(data: bytes, start: int, main: _Header, size: _Size, cuts: list[Cut]) -> int:
    """Walk over a part of a tile, and return where it ends."""
    length = int.from_bytes(data[start + 6 : start + 10], "big")
    inside: list[Cut] = []
    begin = _walk_header(data, start + _TILE_HEADER, _START_OF_DATA, _Header(size, main), inside) + 2
    end = start + length
    if not length:
        # The last one may go on to the end, whose marker is in no data (ISO 15444-1 §A.4.2).
        end = data.find(_END, begin)
    if not begin <= end <= len(data):
        raise Unclear(NO_END)
    if inside and length:
        shorter = length + sum(cut.growth for cut in inside)
        cuts.append(Cut(start + 6, start + 10, shorter.to_bytes(4, "big")))
    cuts += inside
    return end
