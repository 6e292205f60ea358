"""Data elements and sequence items as they lie in the bytes of a dataset (PS3.5 §7.1, §7.5), and back into bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDEFINED: Final = 0xFFFFFFFF
DEEPEST_NESTING: Final = 64
"""Sequences within sequences that are followed; no dataset of the standard comes near."""

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
ITEM_TAGS: Final = frozenset({b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"})
"""How an item begins, in either byte order."""

_DELIMITERS: Final = 0xFFFE

LONG_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT_VRS: Final = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI"}
    | {"UL", "US"}
)
_SIZES: Final = {vr.encode(): (vr, 12) for vr in LONG_VRS} | {vr.encode(): (vr, 8) for vr in SHORT_VRS}

LONGEST_SHORT: Final = 0xFFFE
"""Bytes of a value whose length is written in 16 bits."""


class Malformed(ValueError):
    """The bytes are not a dataset of this transfer syntax, as far as they were looked at."""


class Encoding(NamedTuple):
    """How elements are written. Implicit VR is always Little Endian."""

    implicit: bool
    big: bool

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return ">" if self.big else "<"


IMPLICIT_LITTLE: Final = Encoding(implicit=True, big=False)
EXPLICIT_LITTLE: Final = Encoding(implicit=False, big=False)
EXPLICIT_BIG: Final = Encoding(implicit=False, big=True)

_IMPLICIT: Final = struct.Struct("<HHL")
_EXPLICIT: Final = {False: struct.Struct("<HH2sH"), True: struct.Struct(">HH2sH")}
_LONG: Final = {False: struct.Struct("<L"), True: struct.Struct(">L")}


class Header(NamedTuple):
    """What stands before a value. `vr` is empty in Implicit VR; `size` is its own length in bytes.

    Where the VR that was written is none of the standard, `vr` is UN and `odd` has it (see `odd_header`).
    """

    tag: int
    vr: str
    length: int
    size: int
    odd: bytes = b""


class Element(NamedTuple):
    """One element of a level. `start` is where it begins there; `data` is all of it, None if it was not kept.

    Its value has `length` bytes, not counting the delimiter of an `undefined` length; `size` counts all.
    """

    tag: int
    vr: str
    encoding: Encoding
    start: int
    header: int
    length: int
    size: int
    undefined: bool
    data: bytes | None

    @property
    def value(self) -> bytes:
        """The bytes of its value, which were kept."""
        return b"" if self.data is None else self.data[self.header : self.header + self.length]


class Item(NamedTuple):
    """One item of a sequence: its header, its elements, and the delimiter of an undefined length."""

    head: bytes
    content: bytes
    tail: bytes


def recognised(data: bytes | bytearray) -> Encoding:
    """Return which Little Endian encoding a dataset that begins so is in: one with a VR has Explicit VR."""
    return EXPLICIT_LITTLE if bytes(data[4:6]) in _SIZES else IMPLICIT_LITTLE


def header(data: bytes | bytearray | memoryview, position: int, encoding: Encoding) -> Header | None:
    """Return the header at `position`, None if it is cut off. Raises `Malformed`.

    Of one that is `odd` the extent is certain only if what follows is as it should be (`is_certain`).
    """
    left = len(data) - position
    if left < 8:
        return None
    if encoding.implicit:
        group, element, length = _IMPLICIT.unpack_from(data, position)
        return Header(group << 16 | element, "", length, 8)
    group, element, vr, length = _EXPLICIT[encoding.big].unpack_from(data, position)
    if group == _DELIMITERS:
        return Header(group << 16 | element, "", _LONG[encoding.big].unpack_from(data, position + 4)[0], 8)
    found = _SIZES.get(vr)
    if found is None:
        long = _LONG[encoding.big].unpack_from(data, position + 8)[0] if left >= 12 else 0
        extent = odd_extent(vr, length, long)
        if extent is None:
            msg = f"({group:04X},{element:04X}) has no valid value representation"
            raise Malformed(msg)
        return None if left < extent[1] else Header(group << 16 | element, "UN", *extent, odd=vr)
    if found[1] == 12:
        if left < 12:
            return None
        length = _LONG[encoding.big].unpack_from(data, position + 8)[0]
    return Header(group << 16 | element, found[0], length, found[1])


def odd_extent(vr: bytes, short: int, long: int) -> tuple[int, int] | None:
    """Return the length of a value whose VR is none of the standard, and that of its header; None if nobody knows.

    `short` are the two bytes behind the VR, and `long` the four behind those. VRs that a later edition may add are two
    capital letters, two zero bytes, and a length of 32 bits (PS3.5 §6.2, §7.1.2). Devices that know no VR write
    question marks, blanks or zeros, and a length of 16 bits. So DCMTK reads them, too.
    """
    if not (vr.isalpha() and vr.isupper()):
        return short, 8
    return None if short or long == UNDEFINED else (long, 12)


def is_certain(before: int, odd_before: bytes, tag: int, odd: bytes) -> bool:
    """Whether an element follows one with an odd VR as it should, so that the extent of that one was the right one.

    It has a greater tag (PS3.5 §7.1) and a VR, or the same odd one within a group; or it is the end of an item.
    """
    if tag in {ITEM_END, SEQUENCE_END}:
        return True
    return tag > before and tag >> 16 != _DELIMITERS and (not odd or (odd == odd_before and tag >> 16 == before >> 16))


def explicit_items(data: bytes | bytearray | memoryview, position: int, around: Encoding) -> bool | None:
    """Say whether an item inside UN of undefined length is in Explicit VR like what is `around`; None if it is cut off.

    It should be in Implicit VR (PS3.5 §6.2.2 note 4), and some devices differ. The item's first element begins at
    `position`; only if it is one in Explicit VR, and is followed by another one or by the end of the item, it is taken
    for that.
    """
    if len(data) - position < 6:
        return None
    if around.implicit or bytes(data[position + 4 : position + 6]) not in _SIZES:
        return False
    first = header(data, position, around)
    if first is None:
        return None
    if first.length == UNDEFINED:
        found = bytes(data[position + first.size : position + first.size + 4])
        return None if len(found) < 4 else found in ITEM_TAGS
    if first.length > LONGEST_SHORT:
        return False
    behind = position + first.size + first.length
    if len(data) - behind < 8:
        return None
    group, element, vr, _ = _EXPLICIT[around.big].unpack_from(data, behind)
    tag = group << 16 | element
    return tag in {ITEM_END, SEQUENCE_END} or (tag > first.tag and vr in _SIZES)


def inner(vr: str, encoding: Encoding) -> Encoding:
    """Return how the items of a sequence are encoded (PS3.5 §6.2.2 note 4: those of UN in Implicit VR)."""
    return IMPLICIT_LITTLE if vr == "UN" else encoding


class Sequel:
    """Looks at one header after the other: one behind an odd VR says whether the extent of that was the right one."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: Header | None = None

    def check(self, found: Header) -> None:
        """Take note of the next header. Raises `Malformed` if it cannot be what follows."""
        before = self._before
        if before is not None and not is_certain(before.tag, before.odd, found.tag, found.odd):
            msg = f"({before.tag >> 16:04X},{before.tag & 0xFFFF:04X}) has no valid value representation"
            raise Malformed(msg)
        self._before = found if found.odd else None


class Descent:
    """Finds the end of a value of undefined length, step by step as its bytes come in. `steps` counts what is in it."""

    __slots__ = ("_before", "_levels", "_undecided", "steps")

    def __init__(self, encoding: Encoding, around: Encoding | None = None) -> None:
        """Begin where items in `encoding` begin; `around` is that of what the value is part of if its VR is UN."""
        self._levels = [encoding]
        self._undecided: dict[int, Encoding] = {} if around is None else {0: around}
        self._before = Sequel()
        self.steps = 0

    def walk(self, data: bytes | bytearray, position: int) -> tuple[int, bool]:
        """Walk on from `position`; return where it stopped, perhaps beyond the data, and whether that is the end.

        Raises `Malformed`.
        """
        while (found := self._header(data, position)) is not None:
            self._before.check(found)
            position += found.size
            self.steps += found.tag not in {ITEM_END, SEQUENCE_END}
            if found.tag == SEQUENCE_END:
                self._levels.pop()
                if not self._levels:
                    return position, True
            elif found.tag >> 16 == _DELIMITERS:
                if found.length != UNDEFINED:
                    position += found.length
            elif found.length != UNDEFINED:
                position += found.length
            elif len(self._levels) >= DEEPEST_NESTING:
                msg = "the sequences are nested too deeply"
                raise Malformed(msg)
            else:
                self._descend(found)
        return position, False

    def _descend(self, found: Header) -> None:
        around = self._levels[-1]
        self._undecided.pop(len(self._levels), None)
        if found.vr == "UN":
            self._undecided[len(self._levels)] = around
        self._levels.append(inner(found.vr, around))

    def _header(self, data: bytes | bytearray, position: int) -> Header | None:
        """Return the next header; the first element of UN tells how it is written."""
        level = len(self._levels) - 1
        found = header(data, position, self._levels[-1])
        if found is None or level not in self._undecided or found.tag >> 16 == _DELIMITERS:
            return found
        explicit = explicit_items(data, position, self._undecided[level])
        if explicit is None:
            return None
        around = self._undecided.pop(level)
        if explicit:
            self._levels[-1] = around
            return header(data, position, around)
        return found


def descent(found: Header, encoding: Encoding) -> Descent:
    """Return what finds the end of a value of undefined length; `encoding` is that of the header."""
    return Descent(inner(found.vr, encoding), encoding if found.vr == "UN" else None)


def elements(data: bytes, encoding: Encoding) -> Iterator[Element]:
    """Yield the elements that `data` consists of. Raises `Malformed`."""
    position, before = 0, Sequel()
    while position < len(data):
        found = header(data, position, encoding)
        if found is None:
            msg = "a dataset ends inside an element"
            raise Malformed(msg)
        before.check(found)
        yield (element := _whole(data, position, found, encoding))
        position += element.size


def _whole(data: bytes, start: int, found: Header, encoding: Encoding) -> Element:
    if found.tag >> 16 == _DELIMITERS:
        msg = "a delimiter stands where an element should"
        raise Malformed(msg)
    undefined = found.length == UNDEFINED
    stop = start + found.size + found.length
    if undefined:
        stop, ended = descent(found, encoding).walk(data, start + found.size)
        if not ended:
            msg = f"({found.tag >> 16:04X},{found.tag & 0xFFFF:04X}) has no end"
            raise Malformed(msg)
    if stop > len(data):
        msg = f"({found.tag >> 16:04X},{found.tag & 0xFFFF:04X}) is longer than what it is part of"
        raise Malformed(msg)
    length = stop - start - found.size - (8 if undefined else 0)
    return Element(found.tag, found.vr, encoding, start, found.size, length, stop - start, undefined, data[start:stop])


def items(value: bytes, encoding: Encoding) -> tuple[list[Item], bytes]:
    """Return the items a sequence's value consists of, and what is behind the last one. Raises `Malformed`."""
    found: list[Item] = []
    position = 0
    while position < len(value):
        head = header(value, position, encoding)
        if head is None or head.tag not in {ITEM, SEQUENCE_END}:
            msg = "a sequence has something between its items"
            raise Malformed(msg)
        if head.tag == SEQUENCE_END:
            break
        start = position + 8
        stop = _item_end(value, start, encoding) if head.length == UNDEFINED else start + head.length
        if stop > len(value):
            msg = "an item is longer than its sequence"
            raise Malformed(msg)
        tail = 8 if head.length == UNDEFINED else 0
        found.append(Item(value[position:start], value[start : stop - tail], value[stop - tail : stop]))
        position = stop
    return found, value[position:]


def _item_end(value: bytes, start: int, encoding: Encoding) -> int:
    position, before = start, Sequel()
    while (found := header(value, position, encoding)) is not None:
        before.check(found)
        if found.tag == ITEM_END:
            return position + 8
        position += _whole(value, position, found, encoding).size
    msg = "an item has no end"
    raise Malformed(msg)


def write(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    """Return an element with a value of even length. Raises `Malformed` if its length cannot be written."""
    if encoding.implicit:
        return _IMPLICIT.pack(tag >> 16, tag & 0xFFFF, len(value)) + value
    short = _EXPLICIT[encoding.big].pack
    if vr in LONG_VRS:
        return short(tag >> 16, tag & 0xFFFF, vr.encode(), 0) + _LONG[encoding.big].pack(len(value)) + value
    if len(value) > LONGEST_SHORT:
        msg = f"{len(value)} bytes are more than an element with the VR {vr} can hold in Explicit VR"
        raise Malformed(msg)
    return short(tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def write_undefined(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    """Return an element of undefined length whose value consists of items."""
    head = write(tag, vr, b"", encoding)[:-4] + b"\xff\xff\xff\xff"
    return head + value + struct.pack(f"{encoding.order}HHL", SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0)


def write_item(content: bytes, encoding: Encoding) -> bytes:
    """Return an item of defined length."""
    return item_head(len(content), encoding) + content


def item_head(length: int, encoding: Encoding) -> bytes:
    """Return the header of an item."""
    return struct.pack(f"{encoding.order}HHL", ITEM >> 16, ITEM & 0xFFFF, length)


def with_length(head: bytes, length: int, encoding: Encoding) -> bytes:
    """Return the header of a sequence with another length; that always takes the last four bytes."""
    return head[:-4] + _LONG[encoding.big].pack(length)
