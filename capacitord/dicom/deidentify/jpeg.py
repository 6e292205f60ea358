"""Frames of JPEG and JPEG-LS walked (ISO 10918-1 annex B, ISO 14495-1 annex C).

Comments and the segments of applications hold text: names of programs, of files, of people. Those that say what the
colours are stay as far as they say that. Of the tables those stay that a scan reads. What is hierarchical, has more
than one frame, or a segment in another form than it should have is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.deidentify.markers import (
    MOST_SEGMENTS,
    NO_END,
    TOO_MANY,
    Unclear,
    Walked,
    ended,
    marker_at,
    segment,
    segment_end,
    unknown,
)
from capacitord.dicom.deidentify.tables import Tables
from capacitord.dicom.splice import Cut

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOI: Final = b"\xff\xd8"
_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_ROWS: Final = 0xDC
_RESTARTS: Final = 0xDD
_COMMENT: Final = 0xFE
_APPLICATIONS: Final = range(0xE0, 0xF0)
_LS_PARAMETERS: Final = 0xF8
_LS: Final = 0xF7
_LOSSLESS: Final = frozenset({0xC3, 0xCB})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
_JPEG: Final = frozenset({0xC0, 0xC1, 0xC9}) | _LOSSLESS | _PROGRESSIVE

_JFIF: Final = 0xE0
_SPIFF: Final = 0xE8
_ADOBE: Final = 0xEE
_PLAIN_JFIF: Final = b"JFIF\0\1\1\0\0\1\0\1\0\0"
"""What stays of JFIF's segment, by which decoders know the colours: version 1.1, square pixels, no thumbnail."""
_PLAIN_ADOBE: Final = b"Adobe\0\x64\0\0\0\0"
"""The version and the flags of Adobe's segment; then comes the transform of the colours, one byte."""
_LAST_TRANSFORM: Final = 2
_COLOUR_TRANSFORM: Final = b"mrfx"
"""What some encoders of JPEG-LS name the transform of colours by, which decoders undo."""
_LAST_LS_TRANSFORM: Final = 5

_FILL: Final = re.compile(rb"\xff*(?=\xff)")
_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_AFTER_LS_SCAN: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""The next marker behind entropy-coded data, in which a byte of ones is followed by one that makes it none."""
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])")
_MOST_COMPONENTS: Final = 4
_LAST_COEFFICIENT: Final = 63


def walk_jpeg(data: bytes) -> Walked:
    """Return what is to be cut out of a frame of JPEG in any process but JPEG-LS. Raises `Unclear`."""
    return _Walk(data, ls=False).walked()


def walk_jpeg_ls(data: bytes) -> Walked:
    """Return what is to be cut out of a frame of JPEG-LS. Raises `Unclear`."""
    return _Walk(data, ls=True).walked()


class _Frame(NamedTuple):
    """What the frame header says; `quantizations` are the tables of its components, by the names of these."""

    marker: int
    bits: int
    rows: int
    quantizations: Mapping[int, int]


class _Walk:
    """One frame being walked."""

    def __init__(self, data: bytes, *, ls: bool) -> None:
        self._data = data
        self._ls = ls
        self._cuts: list[Cut] = []
        self._tables = Tables()
        self._frame: _Frame | None = None
        self._scans = 0
        self._between: set[int] = set()
        """Markers that may stand once before a scan, and did."""
        self._interval = 0
        self._done: dict[tuple[int, int], int] = {}
        """To which bit each coefficient of each component was sent, by both."""

    def walked(self) -> Walked:
        """Return what is to be cut out. Raises `Unclear`."""
        data = self._data
        if not data.startswith(_SOI):
            msg = "does not begin as JPEG does"
            raise Unclear(msg)
        position = len(_SOI)
        for _ in range(MOST_SEGMENTS):
            found = _FILL.match(data, position)
            position = found.end() if found else position
            marker = marker_at(data, position)
            if marker == _END_OF_IMAGE:
                break
            position = self._segment(marker, position)
        else:
            raise Unclear(TOO_MANY)
        if self._frame is None or not self._scans:
            msg = "ends before its pixels begin"
            raise Unclear(msg)
        return ended(data, position + 2, [*self._cuts, *self._tables.cuts()])

    def _segment(self, marker: int, position: int) -> int:
        """Take a segment, and return where the next one is."""
        stop = segment_end(self._data, position)
        body = self._data[position + 4 : stop]
        if marker == _COMMENT or marker in _APPLICATIONS:
            kept = self._kept(marker, body)
            if kept != self._data[position:stop]:
                self._cut(position, stop, kept)
        elif marker in Tables.MARKERS and not self._ls:
            if not self._tables.add(marker, body, position):
                raise Unclear(unknown(marker))
        elif self._frame is None and marker in ({_LS} if self._ls else _JPEG):
            self._frame = self._read_frame(marker, body)
        elif not self._is_taken(marker, body):
            raise Unclear(unknown(marker))
        return self._scan_end(stop) if marker == _START_OF_SCAN else stop

    def _is_taken(self, marker: int, body: bytes) -> bool:
        if marker == _START_OF_SCAN:
            return self._is_scan(body)
        if marker == _ROWS:
            return self._are_rows(body)
        if marker == _RESTARTS:
            return self._are_restarts(body)
        return marker == _LS_PARAMETERS and self._ls and self._are_parameters(body)

    def _cut(self, start: int, stop: int, kept: bytes) -> None:
        last = self._cuts[-1] if self._cuts else None
        if last is not None and last.stop == start and not (last.data or kept):
            self._cuts[-1] = Cut(last.start, stop, b"")
        else:
            self._cuts.append(Cut(start, stop, kept))

    def _kept(self, marker: int, body: bytes) -> bytes:
        """Return what stays of a comment or of a segment of an application: without text, or nothing."""
        if marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= len(_PLAIN_JFIF):
            return segment(marker, _PLAIN_JFIF)
        if marker == _ADOBE and body.startswith(b"Adobe") and len(body) > len(_PLAIN_ADOBE):
            return segment(marker, _PLAIN_ADOBE + self._transform(body[len(_PLAIN_ADOBE)], _LAST_TRANSFORM))
        if marker == _SPIFF and self._ls and body.startswith(_COLOUR_TRANSFORM) and len(body) == 5:
            return segment(marker, _COLOUR_TRANSFORM + self._transform(body[4], _LAST_LS_TRANSFORM))
        return b""

    def _transform(self, number: int, last: int) -> bytes:
        if number > last:
            msg = "has a transform of colours that this box does not know"
            raise Unclear(msg)
        return bytes((number,))

    def _read_frame(self, marker: int, body: bytes) -> _Frame:
        """Return what a frame header says. Raises `Unclear` unless it is in its form."""
        count = body[5] if len(body) >= 6 else 0
        if not 1 <= count <= _MOST_COMPONENTS or len(body) != 6 + 3 * count:
            raise Unclear(unknown(marker))
        each = [tuple(body[start : start + 3]) for start in range(6, len(body), 3)]
        names = {name: table for name, _, table in each}
        are_good = all(1 <= at >> 4 <= 4 and 1 <= at & 15 <= 4 and table <= 3 for _, at, table in each)
        bits = body[0]
        is_depth = 2 <= bits <= 16 if marker in _LOSSLESS | {_LS} else bits == 8 or (bits == 12 and marker != 0xC0)
        if not are_good or not is_depth or len(names) != count:
            raise Unclear(unknown(marker))
        return _Frame(marker, bits, int.from_bytes(body[1:3], "big"), names)

    def _is_scan(self, body: bytes) -> bool:
        """Take the header of a scan, and mark the tables that it reads; return whether it is in its form."""
        frame = self._frame
        count = body[0] if body else 0
        if frame is None or not 1 <= count <= _MOST_COMPONENTS or len(body) != 4 + 2 * count:
            return False
        each = {body[at]: body[at + 1] for at in range(1, 1 + 2 * count, 2)}
        if len(each) != count or not each.keys() <= frame.quantizations.keys():
            return False
        self._scans += 1
        self._between.clear()
        if frame.marker == _LS:
            # The tables are those of colours, which have no place in DICOM; then come NEAR and the interleaving.
            is_form = not any(each.values()) and body[-2] <= 2 and body[-1] <= 15
            return is_form and self._is_next(each, range(1), 0, 0)
        are_tables = all(tables >> 4 <= 3 and tables & 15 <= 3 for tables in each.values())
        return are_tables and self._is_part(frame, each, *body[-3:])

    def _is_part(self, frame: _Frame, each: Mapping[int, int], first: int, last: int, bits: int) -> bool:
        """Whether a scan of these coefficients, to this bit, is one that there is, and reads tables in their form."""
        if frame.marker in _LOSSLESS:
            is_form = 1 <= first <= 7 and last == 0 and bits <= 15
            return is_form and self._is_next(each, range(1), 0, 0) and self._reads(each, dc=True, ac=False)
        if frame.marker not in _PROGRESSIVE:
            # Decoders read no other ones, and some devices write 0 for the last.
            is_form = not first and not bits and last in {0, _LAST_COEFFICIENT}
            return is_form and self._is_next(each, range(1), 0, 0) and self._reads(each, dc=True, ac=True)
        high, low = bits >> 4, bits & 15
        is_form = first <= last <= _LAST_COEFFICIENT and bool(first) == bool(last) and not (first and len(each) > 1)
        if not is_form or low > 13 or (high and high != low + 1):
            return False
        is_next = self._is_next(each, range(first, last + 1), high, low)
        return is_next and self._reads(each, dc=not first and not high, ac=bool(first))

    def _is_next(self, names: Mapping[int, int], coefficients: range, high: int, low: int) -> bool:
        """Whether no coefficient of these components was sent up to that bit before, or to another one."""
        keys = [(name, number) for name in names for number in coefficients]
        if any(self._done.get(key, 0) != high or (not high and key in self._done) for key in keys):
            return False
        self._done.update(dict.fromkeys(keys, low))
        return True

    def _reads(self, each: Mapping[int, int], *, dc: bool, ac: bool) -> bool:
        """Mark the tables that a scan reads, and return whether they are in their form."""
        frame = self._frame
        if frame is None:
            return False
        is_dct = frame.marker not in _LOSSLESS
        for name in each if is_dct else ():
            self._tables.quantizes(frame.quantizations[name], name)
        is_arithmetic = frame.marker > 0xC8
        wanted = [(0, tables >> 4) for tables in each.values() if dc]
        wanted += [(1, tables & 15) for tables in each.values() if ac]
        sizes = (16, 16) if not is_dct else (11, 10) if frame.bits == 8 else (15, 14)
        return all(self._tables.codes(kind, number, sizes[kind], arithmetic=is_arithmetic) for kind, number in wanted)

    def _are_rows(self, body: bytes) -> bool:
        """Whether this says, once and behind the first scan, how many rows there are, and no other number."""
        is_first = self._scans == 1 and not self._between and len(body) == 2
        self._between.add(_ROWS)
        return is_first and self._frame is not None and self._frame.rows in {0, int.from_bytes(body, "big")}

    def _are_restarts(self, body: bytes) -> bool:
        is_first = _RESTARTS not in self._between
        self._between.add(_RESTARTS)
        self._interval = int.from_bytes(body, "big")
        return is_first and 2 <= len(body) <= (4 if self._ls else 2)

    def _are_parameters(self, body: bytes) -> bool:
        """Whether these are parameters of JPEG-LS in their order (ISO 14495-1 §C.2.4.1.1)."""
        is_first = _LS_PARAMETERS not in self._between and self._frame is not None
        self._between.add(_LS_PARAMETERS)
        if not is_first or len(body) != 11 or body[0] != 1 or self._frame is None:
            return False
        most, *thresholds, reset = (int.from_bytes(body[at : at + 2], "big") for at in range(1, 11, 2))
        most = most or (1 << self._frame.bits) - 1
        given = [each for each in thresholds if each]
        return (
            most < 1 << self._frame.bits
            and given == sorted(given)
            and max([0, *given]) <= most
            and (reset == 0 or 3 <= reset <= max(255, most))
        )

    def _scan_end(self, start: int) -> int:
        """Return where entropy-coded data ends. Raises `Unclear` if there are restarts in it that nobody announced."""
        found = (_AFTER_LS_SCAN if self._ls else _AFTER_SCAN).search(self._data, start)
        if found is None:
            raise Unclear(NO_END)
        for number, restart in enumerate(_RESTART.finditer(self._data, start, found.start())):
            if not self._interval or restart[1][0] & 7 != number & 7:
                msg = "has restarts in its pixels that it does not announce"
                raise Unclear(msg)
        return found.start()
