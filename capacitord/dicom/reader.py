"""Bytes of an established association in, fragments out (PS3.8 §9.3.5). Pure: it never touches a socket.

The reader owns one buffer of fixed size. Whoever has the socket asks for `room()`, puts bytes there, says how
many by `filled()`, and takes events by `next()` until there are none. When most of a fragment is still to
come, it need not pass through the buffer: `fragment_left` says how many bytes of `fragment_size` are missing, and
`bypass(n)` that `n` of them went elsewhere.

======== ======================== ===============================================
state    what comes next          leaves it
======== ======================== ===============================================
BETWEEN  the header of a PDU      with a P-DATA-TF header to VALUES
VALUES   the header of a PDV      with a PDV header to FRAGMENT (or, empty, on)
FRAGMENT bytes of a fragment      with the last one to VALUES, or BETWEEN
======== ======================== ===============================================

A PDU of any other type is reported and left in the buffer for the one who knows what to do with it.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from capacitord.dicom.pdu import LAST, PDU_HEADER, PDV_HEADER, AbortReason, PduType

BUFFER_SIZE: Final = 65536
_TYPES = frozenset(PduType)


class ProtocolViolation(Exception):
    """The peer sent what PS3.8 does not allow; `reason` goes into the A-ABORT."""

    def __init__(self, message: str, reason: AbortReason) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class ReaderState(enum.Enum):
    """What the reader expects next."""

    BETWEEN = enum.auto()
    VALUES = enum.auto()
    FRAGMENT = enum.auto()


class Fragment(NamedTuple):
    """Bytes of one PDV: a piece of its fragment. `ends` tells the PDV's last piece, valid until `room()` is asked."""

    context_id: int
    control: int
    data: memoryview
    ends: bool

    @property
    def last(self) -> bool:
        """Whether it completes its command set or data set."""
        return self.ends and bool(self.control & LAST)


class OtherPdu(NamedTuple):
    """The header of a PDU that is no P-DATA-TF; its bytes are still in the buffer."""

    type: int
    length: int


class PduReader:
    """Cuts a stream of bytes into fragments and other PDUs, holding at most `size` of them."""

    __slots__ = (
        "_buffer",
        "_context_id",
        "_control",
        "_end",
        "_pdu_left",
        "_start",
        "_view",
        "fragment_left",
        "fragment_size",
        "state",
    )

    def __init__(self, size: int = BUFFER_SIZE) -> None:
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._pdu_left = 0
        self._context_id = self._control = 0
        self.fragment_left = self.fragment_size = 0
        self.state = ReaderState.BETWEEN

    @property
    def buffered(self) -> int:
        """How many bytes have arrived and were not looked at."""
        return self._end - self._start

    @property
    def between(self) -> bool:
        """Whether everything that arrived was taken, and it ended with a PDU."""
        return self.state is ReaderState.BETWEEN and self._start == self._end

    @property
    def under_way(self) -> tuple[int, int]:
        """Context id and control of the fragment of which `fragment_left` bytes are missing."""
        return self._context_id, self._control

    def room(self) -> memoryview:
        """Return where the next bytes may be put; never empty, because headers are all that is ever waited for."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start:
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, left
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Take note that the first `count` bytes of `room()` are there."""
        self._end += count

    def take(self, count: int) -> bytes:
        """Remove and return up to `count` bytes that have arrived, unlooked at."""
        stop = min(self._start + count, self._end)
        taken = bytes(self._view[self._start : stop])
        self._start = stop
        return taken

    def peek(self, count: int) -> bytes:
        """Return up to `count` bytes that have arrived, and leave them there."""
        return bytes(self._view[self._start : min(self._start + count, self._end)])

    def bypass(self, count: int) -> bool:
        """Take note that `count` bytes of the fragment went past the buffer; return whether that completes it.

        The buffer must be empty, and `count` at most `fragment_left`.
        """
        self.fragment_left -= count
        self._pdu_left -= count
        if self.fragment_left:
            return False
        self._leave_fragment()
        return True

    def next(self) -> Fragment | OtherPdu | None:
        """Return the next event, or None if more bytes are needed. Raises `ProtocolViolation`."""
        if self.state is ReaderState.BETWEEN:
            if self._end - self._start < 6:
                return None
            kind, length = PDU_HEADER.unpack_from(self._buffer, self._start)
            if kind != PduType.DATA_TF:
                return self._other(kind, length)
            if length < 6:
                msg = "a P-DATA-TF PDU is too short for a presentation data value"
                raise ProtocolViolation(msg, AbortReason.INVALID_PARAMETER)
            self._start += 6
            self._pdu_left = length
            self.state = ReaderState.VALUES
        if self.state is ReaderState.VALUES:
            if self._end - self._start < 6:
                return None
            length, self._context_id, self._control = PDV_HEADER.unpack_from(self._buffer, self._start)
            if not 2 <= length <= self._pdu_left - 4:
                msg = "a presentation data value does not fit its PDU"
                raise ProtocolViolation(msg, AbortReason.INVALID_PARAMETER)
            self._start += 6
            self._pdu_left -= 6
            self.fragment_left = self.fragment_size = length - 2
            self.state = ReaderState.FRAGMENT
        return self._fragment()

    def _other(self, kind: int, length: int) -> OtherPdu:
        if kind not in _TYPES:
            msg = "a PDU is of no known type"
            raise ProtocolViolation(msg, AbortReason.UNRECOGNIZED_PDU)
        return OtherPdu(kind, length)

    def _fragment(self) -> Fragment | None:
        start = self._start
        count = min(self.fragment_left, self._end - start)
        if count == 0 and self.fragment_left:
            return None
        self._start = start + count
        self._pdu_left -= count
        self.fragment_left -= count
        ends = self.fragment_left == 0
        if ends:
            self._leave_fragment()
        return Fragment(self._context_id, self._control, self._view[start : start + count], ends)

    def _leave_fragment(self) -> None:
        if self._pdu_left == 0:
            self.state = ReaderState.BETWEEN
        elif self._pdu_left >= 6:
            self.state = ReaderState.VALUES
        else:
            msg = "a P-DATA-TF PDU ends inside the header of a presentation data value"
            raise ProtocolViolation(msg, AbortReason.INVALID_PARAMETER)
