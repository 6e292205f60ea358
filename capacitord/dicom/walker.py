"""A dataset walked element by element as it arrives, keeping a few values and skipping the rest by length.

A walk costs a bounded amount of memory and time linear in its bytes, whatever the dataset holds. It reads
Explicit VR Little and Big Endian, Implicit VR Little Endian and deflated datasets (PS3.5 §7.1, §A); sequences and
items may have defined or undefined length (§7.5). An element whose VR is none is walked over where its extent is
certain (`elements.odd_extent`), and so are items in Explicit VR inside UN (`elements.explicit_items`). Only elements of
the dataset itself are kept, not those inside its sequences.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

from capacitord.dicom import elements
from capacitord.dicom.elements import explicit_items, is_certain, odd_extent

LONGEST_VALUE: Final = 1024
"""Bytes of a wanted value that are kept; a longer one counts as absent."""

LONGEST_INFLATED: Final = 64 << 20
"""Bytes a deflated dataset may inflate to before the walk has what it wants."""

DEEPEST_NESTING: Final = 64
"""Open sequences of undefined length; no dataset of the standard comes near."""

_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_NO_ODD_VRS = _LONG_VRS | _SHORT_VRS | {b""}
_UNDEFINED = 0xFFFFFFFF
_DELIMITERS = 0xFFFE
_ITEM = 0xE000
_SEQUENCE_END = 0xE0DD
_ITEM_GROUP = b"\xfe\xff"

_NO_VR = "an element of the dataset has no valid value representation"

_Bytes = bytes | bytearray | memoryview


class HeaderError(ValueError):
    """A dataset is not what a C-STORE needs."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreadable(HeaderError):
    """The bytes cannot be parsed, or say two things."""


class _Encoding(NamedTuple):
    implicit: bool
    element: struct.Struct
    length: struct.Struct


_IMPLICIT_LITTLE = _Encoding(implicit=True, element=struct.Struct("<HHL"), length=struct.Struct("<L"))
_EXPLICIT_LITTLE = _Encoding(implicit=False, element=struct.Struct("<HH2sH"), length=struct.Struct("<L"))
_EXPLICIT_BIG = _Encoding(implicit=False, element=struct.Struct(">HH2sH"), length=struct.Struct(">L"))
_NAMES = {
    _IMPLICIT_LITTLE: elements.IMPLICIT_LITTLE,
    _EXPLICIT_LITTLE: elements.EXPLICIT_LITTLE,
    _EXPLICIT_BIG: elements.EXPLICIT_BIG,
}

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset(
    {
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)


class Stop(NamedTuple):
    """The element that a walk stopped at, without entering it: `place` is where in the dataset its value begins.

    `length` is 0xFFFFFFFF where it is undefined, and `vr` empty in Implicit VR.
    """

    tag: int
    vr: bytes
    length: int
    place: int


class DatasetWalker:
    """Reads one dataset from its first byte, in pieces of any size.

    `wanted` holds the tags to keep, and `further` those behind them that are welcome as well. `feed` it until it
    returns True or the dataset ends; `values` has what was found. `past` says that all of `wanted` is behind it. It
    stops at the first element behind the last tag of all: `stopped` is that element, `rest` what of the last bytes is
    behind its header, valid as long as they are. A dataset that is not Big Endian has explicit VRs if its first element
    has one: that tells private transfer syntaxes apart, and bears with devices that send Implicit VR where they said
    Explicit.
    """

    __slots__ = (
        "_carry",
        "_encoding",
        "_fed",
        "_inflated",
        "_inflater",
        "_last",
        "_last_of_all",
        "_odd",
        "_open",
        "_skip",
        "_undecided",
        "_wanted",
        "done",
        "is_deflated",
        "past",
        "rest",
        "stopped",
        "values",
    )

    def __init__(self, transfer_syntax_uid: str, wanted: frozenset[int], further: frozenset[int] = frozenset()) -> None:
        self.values: dict[int, bytes] = {}
        self.done = self.past = False
        self.stopped: Stop | None = None
        self.rest = memoryview(b"")
        self._wanted = wanted | further
        self._last, self._last_of_all = max(wanted), max(self._wanted)
        self._fed = 0
        self.is_deflated = transfer_syntax_uid in _DEFLATED
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if self.is_deflated else None
        self._inflated = 0
        self._encoding = _EXPLICIT_BIG if transfer_syntax_uid == _BIG_ENDIAN else None
        self._open: list[_Encoding] = []
        self._undecided: dict[int, _Encoding] = {}
        self._odd: tuple[int, bytes] | None = None
        self._carry = b""
        self._skip = 0

    @property
    def inside(self) -> bool:
        """Whether the bytes so far end in the middle of an element or a sequence."""
        return bool(self._carry or self._skip or self._open)

    @property
    def big(self) -> bool:
        """Whether numbers are in big endian order."""
        return self._encoding is _EXPLICIT_BIG

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
                # What follows in this piece is plain, and what follows it is not.
                self.rest = memoryview(b"")
                return True
            data = inflater.unconsumed_tail
        return False

    def _feed_plain(self, data: _Bytes) -> bool:
        start, place = 0, self._fed
        self._fed += len(data)
        if self._skip:
            start = min(self._skip, len(data))
            self._skip -= start
            if start == len(data):
                return False
        if self._carry:
            place -= len(self._carry)
            data = self._carry + bytes(data)
            self._carry = b""
        if self._encoding is None and len(data) >= 8:
            self._encoding = _recognised(bytes(data[4:6]))
        stop = self._walk(data, start, self._encoding) if self._encoding is not None else start
        if self.stopped is not None:
            self.stopped = self.stopped._replace(place=place + stop)
            self.rest = memoryview(data)[stop:]
            return True
        self._carry = bytes(data[stop:])
        self._skip = max(0, stop - len(data))
        return False

    def _walk(  # noqa: C901, PLR0912, PLR0915 - a call for each element would cost as much as the rest
        self, data: _Bytes, position: int, outermost: _Encoding
    ) -> int:
        """Walk whole elements from `position` and return where the next one starts, perhaps beyond the end.

        Of the one it stops at, that is where its value starts.
        """
        end = len(data)
        levels, wanted, last = self._open, self._wanted, self._last
        encoding = levels[-1] if levels else outermost
        unpack = encoding.element.unpack_from
        explicit = not encoding.implicit
        while end - position >= 8:
            header = 0
            if explicit:
                # Most elements are like this, so they take the short way; `_element` has the whole one.
                group, element, vr, length = unpack(data, position)
                header = 8 if vr in _SHORT_VRS and group != _DELIMITERS else 0
            if not header:
                if self._undecided and len(levels) in self._undecided:
                    decided = self._decided(data, position, encoding)
                    if decided is None:
                        break
                    encoding = decided
                    unpack, explicit = encoding.element.unpack_from, not encoding.implicit
                group, element, vr, length, header = _element(data, position, encoding)
                if header > end - position:
                    break
                self._follow(group << 16 | element, vr)
            elif self._odd is not None:
                self._follow(group << 16 | element, vr)
            if levels:
                if group == _DELIMITERS:
                    position += 8
                    if element == _SEQUENCE_END:
                        levels.pop()
                        encoding = levels[-1] if levels else outermost
                        unpack, explicit = encoding.element.unpack_from, not encoding.implicit
                    elif element == _ITEM and length != _UNDEFINED:
                        position += length
                    continue
            else:
                tag = group << 16 | element
                if tag > last:
                    self.past = True
                    last = self._last = self._last_of_all
                    if tag > last:
                        self.done = True
                        self.stopped = Stop(tag, vr, length, 0)
                        return position + header
                if tag in wanted and length <= LONGEST_VALUE:
                    if end - position < header + length:
                        break
                    self._keep(tag, bytes(data[position + header : position + header + length]))
            position += header
            if length == _UNDEFINED:
                encoding = self._descend(encoding, vr)
                unpack, explicit = encoding.element.unpack_from, not encoding.implicit
            else:
                position += length
        return position

    def _keep(self, tag: int, value: bytes) -> None:
        # Some devices write an attribute twice; only two values leave open which one counts.
        if self.values.get(tag, value) != value:
            msg = "an attribute stands twice in the dataset, with two values"
            raise Unreadable(msg)
        self.values[tag] = value

    def _descend(self, encoding: _Encoding, vr: bytes) -> _Encoding:
        if len(self._open) >= DEEPEST_NESTING:
            msg = "the sequences of the dataset are nested too deeply"
            raise Unreadable(msg)
        # PS3.5 §6.2.2 note 4: the items inside an UN of undefined length are Implicit VR Little Endian.
        inner = _IMPLICIT_LITTLE if vr == b"UN" else encoding
        self._open.append(inner)
        self._undecided.pop(len(self._open), None)
        if vr == b"UN":
            self._undecided[len(self._open)] = encoding
        return inner

    def _decided(self, data: _Bytes, position: int, encoding: _Encoding) -> _Encoding | None:
        """Return how the items inside UN are encoded, which their first element tells; None if it is cut off."""
        if bytes(data[position : position + 2]) == _ITEM_GROUP:
            return encoding
        around = self._undecided[len(self._open)]
        explicit = explicit_items(data, position, _NAMES[around])
        if explicit is None:
            return None
        del self._undecided[len(self._open)]
        if explicit:
            self._open[-1] = around
        return self._open[-1]

    def _follow(self, tag: int, vr: bytes) -> None:
        """Take note of a VR that is none, and see that what is behind one is what should be there."""
        before, odd = self._odd, b"" if vr in _NO_ODD_VRS else vr
        if before is not None and not is_certain(*before, tag, odd):
            raise Unreadable(_NO_VR)
        self._odd = (tag, odd) if odd else None


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
        return group, element, vr, *_odd(data, position, encoding, vr, length)
    if len(data) - position < 12:
        return group, element, vr, 0, 12
    return group, element, vr, encoding.length.unpack_from(data, position + 8)[0], 12


def _odd(data: _Bytes, position: int, encoding: _Encoding, vr: bytes, short: int) -> tuple[int, int]:
    """Return the length of a value whose VR is none of the standard, and that of its header."""
    long = encoding.length.unpack_from(data, position + 8)[0] if len(data) - position >= 12 else 0
    extent = odd_extent(vr, short, long)
    if extent is None:
        raise Unreadable(_NO_VR)
    return extent


def _recognised(vr: bytes) -> _Encoding:
    return _EXPLICIT_LITTLE if vr in _SHORT_VRS or vr in _LONG_VRS else _IMPLICIT_LITTLE
