"""Compressed pixels as they pass by (PS3.5 §A.4): how many fragments there are, and how the first one begins."""

from __future__ import annotations

import struct
from typing import Final

LONGEST_BEGINNING: Final = 4096
"""Bytes of the first fragment that are looked at: the head of a codestream is in them, unless it carries a lot else."""

_ITEM: Final = struct.Struct("<HHL")
_UNDEFINED: Final = 0xFFFFFFFF


class FragmentsReader:
    """Reads the value of encapsulated Pixel Data from its first byte, in pieces of any size, by lengths only.

    `feed` it until it returns True. `offsets` is the number of entries of the Basic Offset Table, `fragments` how many
    with any bytes there are behind it, and `beginning` the first bytes of the first of these. `ended` says that the
    sequence delimiter was met, `broken` that something else stands where an item should.
    """

    __slots__ = ("_carry", "_items", "_keep", "_skip", "beginning", "broken", "ended", "fragments", "offsets")

    def __init__(self) -> None:
        self.offsets = self.fragments = 0
        self.beginning = b""
        self.ended = self.broken = False
        self._items = self._skip = self._keep = 0
        self._carry = b""

    @property
    def done(self) -> bool:
        """Whether nothing more is to be looked at."""
        return self.ended or self.broken

    @property
    def inside(self) -> bool:
        """Whether the bytes so far end in the middle of a fragment or of its header."""
        return bool(self._carry or self._skip)

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Look at the next bytes and return whether no more are needed."""
        if self.done:
            return True
        if self._carry:
            data = self._carry + bytes(data)
            self._carry = b""
        position, end = 0, len(data)
        while not self.done:
            if self._skip:
                step = min(self._skip, end - position)
                if self._keep:
                    self.beginning += bytes(data[position : position + min(step, self._keep)])
                    self._keep -= min(step, self._keep)
                position += step
                self._skip -= step
            if end - position < _ITEM.size or self._skip:
                self._carry = bytes(data[position:])
                break
            self._begin(*_ITEM.unpack_from(data, position))
            position += _ITEM.size
        return self.done

    def _begin(self, group: int, element: int, length: int) -> None:
        if group == 0xFFFE and element == 0xE0DD:
            self.ended = True
        elif group != 0xFFFE or element != 0xE000 or length == _UNDEFINED:
            self.broken = True
        else:
            self._items += 1
            self._skip = length
            if self._items == 1:
                self.offsets = length // 4
            elif length:
                self.fragments += 1
                self._keep = min(length, LONGEST_BEGINNING) if self.fragments == 1 else 0
