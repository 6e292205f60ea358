"""One socket and one thread: bytes from the peer into the reader and the receiver, for as long as that is enough.

`Wire.serve` blocks in the kernel and nowhere else, and returns when there is something that only pynetdicom or
the server can do.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

from capacitord.dicom.dialogue import Input
from capacitord.dicom.pdu import DATA_HEADER
from capacitord.dicom.reader import Fragment, PduReader

if TYPE_CHECKING:
    from capacitord.dicom.receive import Receiver

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_ERRORS = select.POLLERR | select.POLLHUP | select.POLLNVAL
_HEADERS = DATA_HEADER.size
_LONG = 32768
"""Bytes from which on a fragment is read past the buffer, which costs a system call and saves a copy."""
_WORTH_BYPASSING = 4096


class Woken(enum.Enum):
    """Why `Wire.serve` came back."""

    WORK = "pynetdicom has something to do"
    OTHER_PDU = "a PDU that is no P-DATA-TF is at the front of the reader"
    LOST = "the peer closed the connection, or it broke"
    IDLE = "nothing came for too long between two messages"
    STALLED = "nothing came for too long inside a message"


class Waker:
    """Lets another thread end a wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)

    def fileno(self) -> int:
        """Return what becomes readable when woken."""
        return self._out.fileno()

    def wake(self) -> None:
        """End the wait, or the next one. Does nothing after `close`."""
        with self._lock, contextlib.suppress(OSError):
            self._in.send(b"\0")

    def clear(self) -> None:
        """Forget that it was woken."""
        with contextlib.suppress(OSError):
            self._out.recv(4096)

    def close(self) -> None:
        """Let go of the descriptors."""
        with self._lock:
            self._in.close()
            self._out.close()


def prepare(sock: socket.socket, stall_timeout: float) -> None:
    """Set an accepted socket up: blocking, with time-outs in the kernel, no Nagle, with keep-alive.

    A time-out of Python's would cost one more system call for every read.
    """
    sock.settimeout(None)
    seconds, fraction = divmod(stall_timeout, 1)
    interval = struct.pack("ll", int(seconds), int(fraction * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Wire:
    """Serves one established association until `serve` returns something but WORK."""

    def __init__(
        self, sock: socket.socket, reader: PduReader, receiver: Receiver, waker: Waker, *, idle_timeout: float
    ) -> None:
        self._socket = sock
        self._reader = reader
        self._receiver = receiver
        self._waker = waker
        self._idle_ms = idle_timeout * 1000
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._poll.register(waker.fileno(), select.POLLIN)

    def serve(self) -> Woken:
        """Serve requests. Raises `ProtocolViolation`, after which nothing more can be served."""
        reader, receiver = self._reader, self._receiver
        while True:
            event = reader.next()
            if event is None:
                woken = self._more()
                if woken is Woken.LOST or woken is Woken.STALLED:
                    receiver.over(Input.LOST)
                if woken is not None:
                    return woken
            elif not isinstance(event, Fragment):
                receiver.over(Input.OTHER_PDU)
                return Woken.OTHER_PDU
            elif receiver.fragment(event):
                return Woken.WORK

    def close(self) -> None:
        """Forget what was begun."""
        self._receiver.close()

    def _more(self) -> Woken | None:
        """Get more bytes; return why there are none."""
        reader, receiver = self._reader, self._receiver
        try:
            if reader.between and receiver.may_wait:
                return self._wait()
            room = reader.room()
            if receiver.takes_directly and reader.fragment_size >= _LONG:
                if reader.fragment_left >= _WORTH_BYPASSING:
                    return self._read_past(reader.fragment_left)
                # The next fragment will be long too: its headers are wanted here, and the rest past the buffer.
                room = room[: reader.fragment_left + _HEADERS]
            count = self._read(room)
        except BlockingIOError:
            return Woken.STALLED
        except OSError:
            return Woken.LOST
        reader.filled(count)
        return None if count else Woken.LOST

    def _read(self, into: memoryview) -> int:
        try:
            return self._socket.recv_into(into, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._acknowledge()
            return self._socket.recv_into(into)

    def _acknowledge(self) -> None:
        """Acknowledge what has come, before waiting for more.

        A sender with Nagle's algorithm holds the rest back until it is acknowledged, and the kernel would do that
        40 ms later. It forgets the option after a while, so it is set each time; it costs a packet, so it is set only
        when there is nothing to read.
        """
        if _QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _read_past(self, left: int) -> Woken | None:
        reader, receiver = self._reader, self._receiver
        control = reader.under_way[1]
        count = self._read(receiver.direct(left))
        if not count:
            return Woken.LOST
        ends = reader.bypass(count)
        receiver.directed(count, control, ends=ends)
        return None

    def _wait(self) -> Woken | None:
        ready = self._poll.poll(self._idle_ms)
        if not ready:
            return Woken.IDLE
        waker = self._waker.fileno()
        if any(descriptor == waker for descriptor, _ in ready):
            self._waker.clear()
            return Woken.WORK
        count = self._socket.recv_into(self._reader.room())
        self._reader.filled(count)
        return None if count else Woken.LOST
