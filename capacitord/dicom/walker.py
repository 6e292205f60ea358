"""A dataset walked element by element as it arrives, keeping a few values and skipping the rest by length.

A walk costs a bounded amount of memory and time linear in its bytes, whatever the dataset holds. It reads
Explicit VR Little and Big Endian, Implicit VR Little Endian and deflated datasets (PS3.5 §7.1, §A); sequences and
items may have defined or undefined length (§7.5). Only elements of the dataset itself are kept, not those
inside its sequences.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

LONGEST_VALUE: Final = 1024
"""Bytes of a wanted value that are kept; a longer one counts as absent."""

LONGEST_INFLATED: Final = 64 << 20
"""Bytes a deflated dataset may inflate to before the walk has what it wants."""

DEEPEST_NESTING: Final = 64
"""Open sequences of undefined length; no dataset of the standard comes near."""

_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_UNDEFINED = 0xFFFFFFFF
_DELIMITERS = 0xFFFE
_ITEM = 0xE000
_SEQUENCE_END = 0xE0DD

_Bytes = bytes | bytearray | memoryview


class HeaderError(ValueError):
    """A dataset is not what a C-STORE needs; `offending` names the attributes, if any."""

    def __init__(self, message: str, offending: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.offending = offending


class Unreadable(HeaderError):
    """The bytes cannot be parsed, or lack the UIDs that make them an image of a study."""


class _Encoding(NamedTuple):
    implicit: bool
    element: struct.Struct
    length: struct.Struct


_IMPLICIT_LITTLE = _Encoding(implicit=True, element=struct.Struct("<HHL"), length=struct.Struct("<L"))
_EXPLICIT_LITTLE = _Encoding(implicit=False, element=struct.Struct("<HH2sH"), length=struct.Struct("<L"))
_EXPLICIT_BIG = _Encoding(implicit=False, element=struct.Struct(">HH2sH"), length=struct.Struct(">L"))

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset(
    {
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)


class DatasetWalker:
    """Reads one dataset from its first byte, in pieces of any size.

    `wanted` holds the tags to keep. `feed` it until it returns True or the dataset ends; `values` has what was found.
    A dataset that is not Big Endian has explicit VRs if its first element has one: that tells private transfer
    syntaxes apart, and bears with devices that send Implicit VR where they promised Explicit.
    """

    __slots__ = (
        "_carry",
        "_encoding",
        "_inflated",
        "_inflater",
        "_last_element",
        "_last_group",
        "_open",
        "_skip",
        "_wanted",
        "done",
        "values",
    )

    def __init__(self, transfer_syntax_uid: str, wanted: frozenset[int]) -> None:
        self.values: dict[int, bytes] = {}
        self.done = False
        self._wanted = wanted
        self._last_group, self._last_element = divmod(max(wanted), 0x10000)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if transfer_syntax_uid in _DEFLATED else None
        self._inflated = 0
        self._encoding = _EXPLICIT_BIG if transfer_syntax_uid == _BIG_ENDIAN else None
        self._open: list[_Encoding] = []
        self._carry = b""
        self._skip = 0

    @property
    def inside(self) -> bool:
        """Whether the bytes so far end in the middle of an element or a sequence."""
        return bool(self._carry or self._skip or self._open)

    def feed(self, data: _Bytes) -> bool:
        """Look at the next bytes of the dataset and return whether everything wanted has passed.

        Raises `Unreadable` if they cannot be what the transfer syntax says.
        """
        if self.done:
            return True
        if self._inflater is None:
            return self._feed_plain(data)
        return self._feed_deflated(self._inflater, data)

    def _feed_deflated(self, inflater: zlib._Decompress, data: _Bytes) -> bool:
        while len(data) and not inflater.eof:
            try:
                piece = inflater.decompress(data, 65536)
            except zlib.error as error:
                msg = "the dataset does not inflate"
                raise Unreadable(msg) from error
            self._inflated += len(piece)
            if self._inflated > LONGEST_INFLATED:
                msg = "the dataset inflates beyond bounds before its header ends"
                raise Unreadable(msg)
            if self._feed_plain(piece):
                self._inflater = None
                return True
            data = inflater.unconsumed_tail
        return False

    def _feed_plain(self, data: _Bytes) -> bool:
        start = 0
        if self._skip:
            start = min(self._skip, len(data))
            self._skip -= start
            if start == len(data):
                return False
        if self._carry:
            data = self._carry + bytes(data)
            self._carry = b""
        if self._encoding is None and len(data) >= 8:
            self._encoding = _recognised(bytes(data[4:6]))
        stop = self._walk(data, start, self._encoding) if self._encoding is not None else start
        if not self.done:
            self._carry = bytes(data[stop:])
            self._skip = max(0, stop - len(data))
        return self.done

    def _walk(self, data: _Bytes, position: int, outermost: _Encoding) -> int:
        """Walk whole elements from `position` and return where the next one starts, perhaps beyond the end."""
        end = len(data)
        levels = self._open
        encoding = levels[-1] if levels else outermost
        last_group = self._last_group
        while not self.done and end - position >= 8:
            group, element, vr, length, header = _element(data, position, encoding)
            if header > end - position:
                break
            if levels and group == _DELIMITERS:
                position += 8
                if element == _SEQUENCE_END:
                    levels.pop()
                    encoding = levels[-1] if levels else outermost
                elif element == _ITEM and length != _UNDEFINED:
                    position += length
                continue
            if group >= last_group and not levels and (group > last_group or element > self._last_element):
                self.done = True
            elif length == _UNDEFINED:
                encoding = self._descend(encoding, vr)
                position += header
            else:
                if not levels and length <= LONGEST_VALUE and group << 16 | element in self._wanted:
                    if end - position < header + length:
                        break
                    self._keep(group << 16 | element, bytes(data[position + header : position + header + length]))
                position += header + length
        return position

    def _keep(self, tag: int, value: bytes) -> None:
        # Some devices write an attribute twice; only two values leave open which one counts.
        if self.values.get(tag, value) != value:
            msg = "an attribute stands twice in the dataset, with two values"
            raise Unreadable(msg, (tag,))
        self.values[tag] = value

    def _descend(self, encoding: _Encoding, vr: bytes) -> _Encoding:
        if len(self._open) >= DEEPEST_NESTING:
            msg = "the sequences of the dataset are nested too deeply"
            raise Unreadable(msg)
        # PS3.5 §6.2.2 note 4: the items inside an UN of undefined length are Implicit VR Little Endian.
        inner = _IMPLICIT_LITTLE if vr == b"UN" else encoding
        self._open.append(inner)
        return inner


def _element(data: _Bytes, position: int, encoding: _Encoding) -> tuple[int, int, bytes, int, int]:
    """Return group, element, VR, length of the value, and length of the header, which may be more than there is."""
    if encoding.implicit:
        group, element, length = encoding.element.unpack_from(data, position)
        return group, element, b"", length, 8
    group, element, vr, length = encoding.element.unpack_from(data, position)
    if group == _DELIMITERS:
        return group, element, b"", encoding.length.unpack_from(data, position + 4)[0], 8
    if vr in _SHORT_VRS:
        return group, element, vr, length, 8
    if vr not in _LONG_VRS:
        msg = "an element of the dataset has no valid value representation"
        raise Unreadable(msg)
    if len(data) - position < 12:
        return group, element, vr, 0, 12
    return group, element, vr, encoding.length.unpack_from(data, position + 8)[0], 12


def _recognised(vr: bytes) -> _Encoding:
    return _EXPLICIT_LITTLE if vr in _SHORT_VRS or vr in _LONG_VRS else _IMPLICIT_LITTLE
