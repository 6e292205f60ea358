"""The elements of a dataset found in its bytes as they come in, with all values but the large ones.

By default that ends where the pixel data begins, so that a few KiB of an image of GiBs are looked at.
"""

from __future__ import annotations

from typing import Final

from capacitord.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM_TAGS,
    UNDEFINED,
    Descent,
    Element,
    Encoding,
    Header,
    Malformed,
    Sequel,
    descent,
    header,
    recognised,
)
from capacitord.dicom.tally import Tally

FIRST_PIXELS: Final = 0x7FE00008
LAST_PIXELS: Final = 0x7FE00010
"""The attributes that hold pixels (PS3.5 §8): Float, Double Float and integer Pixel Data."""

LARGEST_KEPT: Final = 1 << 20
"""Bytes of a value that are kept; of a longer one, only that it is there and where. Sequences are always kept."""

LONGEST_HEAD: Final = 32 << 20
"""Bytes of values that are kept in all. How many elements and items there may be, `tally` says."""

_STEP: Final = 1 << 20
"""Bytes that are looked at before they are counted: more than that is not copied of a dataset that has too much."""

_IMPLICIT_UID: Final = "1.2.840.10008.1.2"
_BIG_ENDIAN_UID: Final = "1.2.840.10008.1.2.2"
_SEQUENCE_VRS: Final = frozenset({"SQ", "UN", ""})


class HeadReader:
    """Reads one dataset from its first byte, in pieces of any size.

    `feed` it until that returns True or the dataset ends, then `finish`. With `whole` it goes on behind the pixel
    data, to the end. A dataset that is not Big Endian has explicit VRs if its first element has one, as when it is
    received.
    """

    def __init__(self, transfer_syntax_uid: str, *, whole: bool = False) -> None:
        self.elements: list[Element] = []
        self.end = 0
        self._whole = whole
        self._uid = transfer_syntax_uid
        self._encoding = EXPLICIT_BIG if transfer_syntax_uid == _BIG_ENDIAN_UID else None
        self._buffer = bytearray()
        self._base = 0
        self._next = 0
        self._kept = 0
        self._tally = Tally()
        self._open: tuple[int, Header, Descent] | None = None
        self._before = Sequel()
        self._unchecked = 0
        self._done = False

    @property
    def encoding(self) -> Encoding:
        """How the elements of the dataset are written."""
        if self._encoding is not None:
            return self._encoding
        return IMPLICIT_LITTLE if self._uid == _IMPLICIT_UID else EXPLICIT_LITTLE

    def feed(self, data: bytes | memoryview) -> bool:
        """Look at the next bytes and return whether no more are needed. Raises `Malformed`."""
        if not self._buffer and self._next >= self._base + len(data):
            self._base += len(data)
            return self._done
        if len(data) > _STEP:
            pieces = memoryview(data)
            return any(self.feed(pieces[start : start + _STEP]) for start in range(0, len(data), _STEP))
        self._buffer += data
        if self._encoding is None and self._base == 0 and len(self._buffer) >= 8:
            self._encoding = recognised(self._buffer)
        if self._encoding is not None:
            while not self._done and self._step(self._encoding):
                pass
            self._forget()
        return self._done

    def finish(self) -> None:
        """Take note that there are no more bytes. Raises `Malformed` if that is in the middle of an element."""
        self.end = self._next
        if not self._done and (self._open is not None or self._next != self._base + len(self._buffer)):
            msg = "the dataset ends inside an element"
            raise Malformed(msg)
        if not self._done and self._buffer:
            msg = "the dataset has something behind its last element"
            raise Malformed(msg)

    def _step(self, encoding: Encoding) -> bool:
        """Walk over one element, or as far into it as its bytes are there; return whether that was all of it."""
        if self._open is not None:
            return self._go_on()
        start = self._next
        found = header(self._buffer, start - self._base, encoding)
        if found is None:
            return False
        if start >= self._unchecked:
            self._before.check(found)
            self._unchecked = start + 1
        if found.tag >> 16 == 0xFFFE:
            msg = "a delimiter stands where an element should"
            raise Malformed(msg)
        is_pixels = FIRST_PIXELS <= found.tag <= LAST_PIXELS
        if not self._whole and found.tag >= FIRST_PIXELS:
            self._done = True
            self._add_left_out(start, found, 0)
            return True
        if found.length == UNDEFINED:
            self._open = start, found, descent(found, encoding)
            self._next = start + found.size
            return True
        kept = not is_pixels
        if kept and found.length > LARGEST_KEPT and found.vr != "SQ":
            first = start - self._base + found.size
            if found.vr in _SEQUENCE_VRS and len(self._buffer) < first + 4:
                return False
            kept = found.vr in _SEQUENCE_VRS and bytes(self._buffer[first : first + 4]) in ITEM_TAGS
        if not kept:
            self._next = start + found.size + found.length
            self._add_left_out(start, found, found.size + found.length)
            return True
        return self._take(start, found, found.size + found.length, undefined=False)

    def _go_on(self) -> bool:
        if self._open is None or self._next - self._base > len(self._buffer):
            return False
        start, found, descent = self._open
        at, ended = descent.walk(self._buffer, self._next - self._base)
        self._next = self._base + at
        kept = self._is_kept(found)
        if kept and self._kept + self._next - start > LONGEST_HEAD:
            raise Malformed(_TOO_LONG)
        if kept:
            self._tally.check(descent.steps)
        if not ended:
            return False
        self._open = None
        if not kept:
            self._add_left_out(start, found, self._next - start)
            return True
        return self._take(start, found, self._next - start, undefined=True)

    def _is_kept(self, found: Header) -> bool:
        return found.vr in _SEQUENCE_VRS and not FIRST_PIXELS <= found.tag <= LAST_PIXELS

    def _take(self, start: int, found: Header, size: int, *, undefined: bool) -> bool:
        if self._kept + size > LONGEST_HEAD:
            raise Malformed(_TOO_LONG)
        at = start - self._base
        if at + size > len(self._buffer):
            return False
        length = size - found.size - (8 if undefined else 0)
        self._tally.look_into(self._buffer, at + found.size, found._replace(length=length), self.encoding)
        data = bytes(memoryview(self._buffer)[at : at + size])
        self._kept += size
        self._next = start + size
        self._add(Element(found.tag, found.vr, self.encoding, start, found.size, length, size, undefined, data))
        return True

    def _add_left_out(self, start: int, found: Header, size: int) -> None:
        undefined = found.length == UNDEFINED
        self._add(Element(found.tag, found.vr, self.encoding, start, found.size, found.length, size, undefined, None))

    def _add(self, element: Element) -> None:
        self._tally.add()
        self.elements.append(element)

    def _forget(self) -> None:
        """Drop the bytes that nothing needs any more."""
        needed = self._next if self._open is None or not self._is_kept(self._open[1]) else self._open[0]
        count = min(max(needed - self._base, 0), len(self._buffer))
        if self._done:
            count = len(self._buffer)
        del self._buffer[:count]
        self._base += count


_TOO_LONG: Final = f"the attributes of the dataset have more than {LONGEST_HEAD >> 20} MiB"
