"""The tables of a JPEG frame: those that no scan reads are left out (ISO 10918-1 §B.2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capacitord.dicom.deidentify.markers import segment
from capacitord.dicom.splice import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

_HUFFMAN: Final = 0xC4
_ARITHMETIC: Final = 0xCC
_QUANTIZATION: Final = 0xDB
_LENGTHS: Final = 16


class _Table:
    """One table of a segment, with the byte that says which one it is, and whether a scan reads it."""

    __slots__ = ("data", "is_read")

    def __init__(self, data: bytes) -> None:
        self.data, self.is_read = data, False


class Tables:
    """The tables of one frame as they come, each in force until another one takes its place."""

    MARKERS: Final = frozenset({_HUFFMAN, _ARITHMETIC, _QUANTIZATION})

    def __init__(self) -> None:
        self._segments: list[tuple[int, int, int, list[_Table]]] = []
        self._in_force: dict[tuple[int, int], _Table] = {}
        self._quantized: set[int] = set()

    def add(self, marker: int, body: bytes, start: int) -> bool:
        """Take the tables of a segment that begins at `start`; return whether they fill it."""
        found = [_Table(data) for data in _apart(marker, body)]
        if not found or sum(len(table.data) for table in found) != len(body):
            return False
        for table in found:
            # The upper half of the byte in front is the width of numbers of quantization, and no part of a name.
            name = table.data[0] & 15 if marker == _QUANTIZATION else table.data[0]
            self._in_force[marker, name] = table
        self._segments.append((marker, start, start + 4 + len(body), found))
        return True

    def quantizes(self, number: int, component: int) -> None:
        """Mark a table of quantization as read by a component, if it is there."""
        if component not in self._quantized:
            # Decoders keep the one that is in force where a component has its first scan.
            self._quantized.add(component)
            table = self._in_force.get((_QUANTIZATION, number))
            if table is not None:
                table.is_read = True

    def codes(self, kind: int, number: int, most: int, *, arithmetic: bool) -> bool:
        """Mark a table of codes as read; return whether it is in its form, or missing.

        `kind` is 0 for differences and 1 for coefficients, of which none has more than `most` bits.
        """
        marker = _ARITHMETIC if arithmetic else _HUFFMAN
        table = self._in_force.get((marker, kind << 4 | number))
        if table is None or table.is_read:
            return True
        table.is_read = True
        if arithmetic:
            value = table.data[1]
            return 1 <= value <= 63 if kind else value & 15 <= value >> 4
        return _is_code(table.data, kind, most)

    def cuts(self) -> Iterator[Cut]:
        """Yield what is to be cut so that only tables stay that are read."""
        for marker, start, stop, found in self._segments:
            if not all(table.is_read for table in found):
                left = b"".join(table.data for table in found if table.is_read)
                yield Cut(start, stop, segment(marker, left) if left else b"")


def _apart(marker: int, body: bytes) -> Iterator[bytes]:
    """Yield the tables of a segment; together they are shorter than it if there is something else in it."""
    position = 0
    while position < len(body):
        if marker == _QUANTIZATION:
            length = 129 if body[position] >> 4 else 65
        elif marker == _HUFFMAN:
            length = 1 + _LENGTHS + sum(body[position + 1 : position + 1 + _LENGTHS])
        else:
            length = 2
        table = body[position : position + length]
        if len(table) != length or table[0] >> 4 > 1 or table[0] & 15 > 3:
            return
        yield table
        position += length


def _is_code(table: bytes, kind: int, most: int) -> bool:
    """Whether a table of Huffman has codes for what there can be, and for each once."""
    counts, symbols = table[1 : 1 + _LENGTHS], table[1 + _LENGTHS :]
    room = sum(count << _LENGTHS - length for length, count in enumerate(counts, 1))
    if room > 1 << _LENGTHS or len(set(symbols)) != len(symbols):
        return False
    # Of a coefficient the upper half is the run of zeros before it.
    return all((symbol & 15 if kind else symbol) <= most for symbol in symbols)
