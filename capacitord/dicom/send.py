"""The requestor's end of an association over a connected socket: whole PDUs out, strictly bounded PDUs in.

One thread owns a `Line`; only `interrupt` may be called from another. The socket does not block: where it would, the
line waits for room to write and for bytes to read at once, so that a peer's abort is noticed in the middle of a
large image. Every way it can end is an `AssociationEnded`; after that the line is of no more use.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING, Final

from capacitord.dicom import classify, commands, negotiate
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Agreement, Proposal, agree
from capacitord.dicom.fragments import Buffer, MalformedMessage, gather
from capacitord.dicom.pdu import PDU_HEADER, AbortReason, AbortSource, PduType, abort_pdu
from capacitord.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

FAREWELL: Final = 0.5
"""Seconds an aborted peer gets to close its side, so that it reads the A-ABORT before the connection is reset."""

LONGEST_RELEASE: Final = 10.0
"""Seconds a release may take; everything is answered by then, so nothing is lost by not waiting longer."""

SHORTEST_BOUND: Final = 16384
"""Bytes an answering PDU may always have, however little was asked for."""

_MOST_DRAINED = 1 << 20
_RECEIVE = 65536
_INT = struct.Struct("i")
_RESET = struct.pack("ii", 1, 0)
_TYPES = frozenset(PduType)
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class AssociationEnded(Exception):
    """The association is over, other than by our release: how, and what that means for what was under way."""

    def __init__(self, how: End, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.how = how
        self.outcome = outcome


class Line:
    """One association's connection.

    `peer` is the AE title to name in words; `timeout` bounds, in seconds, how long the peer may be silent when it is
    its turn, and how long it may take no data; `longest` is the longest P-DATA-TF that was announced.
    `sent` counts the bytes handed to the kernel so far, `overheard` those of data that came in the middle of a release.
    """

    def __init__(self, connection: socket.socket, peer: str, timeout: float, longest: int) -> None:
        connection.setblocking(False)
        self.peer = peer
        self.sent = 0
        self.overheard = 0
        self._socket = connection
        self._timeout = timeout
        self._longest = max(longest, SHORTEST_BOUND)
        self._inbox = bytearray()
        self._deadline = 0.0
        self._inside_pdu = False
        self._interrupted = False
        self._closing = threading.Lock()
        self._is_tcp = connection.family in {socket.AF_INET, socket.AF_INET6}
        if self._is_tcp:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)
        self._either = select.poll()
        self._either.register(connection, select.POLLIN | select.POLLOUT)

    def associate(self, called: str, calling: str, proposal: Proposal, max_pdu: int) -> tuple[Agreement, int]:
        """Negotiate an association; return what the peer accepted and the longest P-DATA-TF it takes (0: any).

        Raises `Invalid` for a bad AE title before anything is sent, and `AssociationEnded`.
        """
        request = negotiate.associate_request(called, calling, proposal, max_pdu)
        self.write([request], len(request))
        self._start_waiting()
        kind, body = self._read_pdu(negotiate.LONGEST_ANSWER)
        try:
            if kind == PduType.ASSOCIATE_AC:
                acceptance = negotiate.read_acceptance(body)
                return agree(proposal, acceptance.answers), acceptance.max_pdu
            if kind == PduType.ASSOCIATE_RJ:
                rejection = negotiate.read_rejection(body)
                self.close()
                raise AssociationEnded(End.REJECTED, classify.rejection(self.peer, calling, *rejection))
        except negotiate.MalformedPdu:
            raise self.give_up(End.PROTOCOL, AbortReason.INVALID_PARAMETER) from None
        raise self._unexpected(kind, body)

    def write(self, buffers: Sequence[Buffer], total: int) -> None:
        """Send whole PDUs, `total` bytes in all, without joining their parts. Raises `AssociationEnded`."""
        self._inside_pdu = True
        while True:
            try:
                count = self._socket.sendmsg(buffers)
            except BlockingIOError:
                self._wait_for_room()
                continue
            except OSError:
                raise self._lost() from None
            self.sent += count
            if count == total:
                break
            total -= count
            buffers = _after(buffers, count)
        self._inside_pdu = False

    def has_unread(self) -> bool:
        """Say whether the peer was heard to say something before it was its turn."""
        return bool(self._inbox)

    def listen(self) -> None:
        """Hear what the peer has said by now. Raises `AssociationEnded` if that was an abort, or if it closed."""
        if not self._inbox and self._readable.poll(0):
            self._receive()
            self._look_for_abort()

    def on_its_way(self) -> int:
        """Return how many of our bytes the peer's kernel has not acknowledged yet."""
        try:
            return int(_INT.unpack(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(_INT.size)))[0])
        except OSError:
            return 0

    def expect_silence(self) -> None:
        """Raise `AssociationEnded` if the peer said something behind its last answer, or closed meanwhile."""
        if not self._inbox and self._readable.poll(0):
            self._receive()
        if self._inbox:
            self._look_for_abort()
            how = End.RELEASED if self._inbox[0] == PduType.RELEASE_RQ else End.PROTOCOL
            raise self.give_up(how, AbortReason.UNEXPECTED_PDU)

    def read_command(self, context_id: int) -> commands.Command:
        """Return the next command set, which must come on `context_id` and alone.

        The time-out runs from here, and starts again as long as our own bytes are still on their way. Raises
        `AssociationEnded`.
        """
        self._start_waiting()
        gathered = bytearray()
        while True:
            kind, body = self._read_pdu(self._longest)
            if kind != PduType.DATA_TF:
                raise self._unexpected(kind, body)
            try:
                if gather(gathered, body, context_id):
                    return commands.decode(gathered)
            except (MalformedMessage, commands.MalformedCommand):
                raise self.give_up(End.PROTOCOL, AbortReason.INVALID_PARAMETER) from None

    def read_data(self) -> bytes:
        """Return the body of the next P-DATA-TF, whatever is in it. The time-out runs as for `read_command`.

        Raises `AssociationEnded`.
        """
        self._start_waiting()
        kind, body = self._read_pdu(self._longest)
        if kind != PduType.DATA_TF:
            raise self._unexpected(kind, body)
        return body

    def release(self) -> bool:
        """End the association in good order and close; return whether the peer took part (PS3.8 §7.2)."""
        self._timeout = min(self._timeout, LONGEST_RELEASE)
        ignored = 0
        try:
            self.write([negotiate.RELEASE_RQ], len(negotiate.RELEASE_RQ))
            self._start_waiting()
            while ignored < _MOST_DRAINED:
                kind, body = self._read_pdu(self._longest)
                if kind == PduType.RELEASE_RP:
                    self.close()
                    return True
                if kind == PduType.RELEASE_RQ:
                    # Both asked at once: the requestor answers first (PS3.8 §7.2.2.7).
                    self.write([negotiate.RELEASE_RP], len(negotiate.RELEASE_RP))
                elif kind == PduType.DATA_TF:
                    self.overheard += len(body)
                else:
                    raise self._unexpected(kind, body)
                ignored += len(body) + PDU_HEADER.size
        except AssociationEnded:
            return False
        self.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PDU)
        return False

    def give_up(self, how: End, reason: AbortReason | None = None) -> AssociationEnded:
        """Abort and close; return the error to raise. Without a `reason` we abort as the user of the service."""
        if self._interrupted:
            how = End.STOPPED
        elif not self._inside_pdu:
            # In the middle of a PDU an A-ABORT would be taken for a part of the image.
            with contextlib.suppress(OSError):
                self._say_goodbye(reason)
        self._drop()
        return AssociationEnded(how, classify.ended(self.peer, how))

    def interrupt(self) -> None:
        """Make whatever the owning thread is doing here end at once, with `End.STOPPED`. For any thread."""
        self._interrupted = True
        with self._closing, contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection without another word."""
        # Under the lock `interrupt` cannot meet a descriptor that is somebody else's by now.
        with self._closing:
            self._socket.close()

    def _start_waiting(self) -> None:
        self._deadline = time.monotonic() + self._timeout

    def _read_pdu(self, longest: int) -> tuple[int, bytes]:
        self._fill(PDU_HEADER.size)
        kind, length = PDU_HEADER.unpack_from(self._inbox)
        if kind not in _TYPES:
            raise self.give_up(End.PROTOCOL, AbortReason.UNRECOGNIZED_PDU)
        if length > longest:
            raise self.give_up(End.PROTOCOL, AbortReason.INVALID_PARAMETER)
        end = PDU_HEADER.size + length
        self._fill(end)
        body = bytes(self._inbox[PDU_HEADER.size : end])
        del self._inbox[:end]
        return kind, body

    def _fill(self, size: int) -> None:
        on_its_way: int | None = None
        while len(self._inbox) < size:
            left = self._deadline - time.monotonic()
            if left > 0 and self._poll(self._readable, left):
                self._receive()
                continue
            before, on_its_way = on_its_way, self.on_its_way()
            if on_its_way == 0 or (before is not None and on_its_way >= before):
                raise self.give_up(End.NO_ANSWER)
            # A slow link still carries what we wrote: the peer cannot answer yet.
            self._start_waiting()

    def _receive(self) -> None:
        try:
            received = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            raise self._closed()
        self._inbox += received

    def _poll(self, poll: select.poll, seconds: float) -> int:
        """Return the events that came within `seconds`, 0 if none did."""
        if self._is_tcp and _QUICKACK is not None:
            # A peer that leaves Nagle's algorithm on waits for our acknowledgement before it sends the rest of
            # its answer; acknowledged late, each answer would take 40 ms. The option holds only for a while.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        events = poll.poll(max(1, int(seconds * 1000)))
        if self._interrupted:
            raise self.give_up(End.STOPPED)
        return events[0][1] if events else 0

    def _wait_for_room(self) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            # What came early is kept, up to a bound; then it waits in the kernel.
            listening = len(self._inbox) < _RECEIVE
            left = deadline - time.monotonic()
            events = self._poll(self._either if listening else self._writable(), left) if left > 0 else 0
            if not events:
                raise self.give_up(End.STALLED)
            if events & select.POLLIN and listening:
                self._receive()
                self._look_for_abort()
            if events & select.POLLOUT:
                return
            if events & (select.POLLERR | select.POLLHUP):
                raise self._lost()

    def _writable(self) -> select.poll:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return poll

    def _look_for_abort(self) -> None:
        position = 0
        while len(self._inbox) - position >= PDU_HEADER.size:
            kind, length = PDU_HEADER.unpack_from(self._inbox, position)
            position += PDU_HEADER.size + length
            if kind == PduType.ABORT:
                raise self._aborted(bytes(self._inbox[position - length : position]))

    def _lost(self) -> AssociationEnded:
        """Return why nothing can be written any more: a peer may have said so before it closed."""
        while True:
            try:
                received = self._socket.recv(_RECEIVE)
            except OSError:
                break
            if not received or len(self._inbox) >= _MOST_DRAINED:
                break
            self._inbox += received
        try:
            self._look_for_abort()
        except AssociationEnded as ended:
            return ended
        return self._closed()

    def _closed(self) -> AssociationEnded:
        self._drop()
        how = End.STOPPED if self._interrupted else End.CLOSED
        return AssociationEnded(how, classify.ended(self.peer, how))

    def _aborted(self, body: bytes) -> AssociationEnded:
        self._drop()
        try:
            outcome = classify.abort(self.peer, *negotiate.read_abort(body))
        except negotiate.MalformedPdu:
            outcome = classify.ended(self.peer, End.ABORTED)
        return AssociationEnded(End.ABORTED, outcome)

    def _unexpected(self, kind: int, body: bytes) -> AssociationEnded:
        if kind == PduType.ABORT:
            return self._aborted(body)
        how = End.RELEASED if kind == PduType.RELEASE_RQ else End.PROTOCOL
        return self.give_up(how, AbortReason.UNEXPECTED_PDU)

    def _say_goodbye(self, reason: AbortReason | None) -> None:
        """Send an A-ABORT, and give the peer a moment to read it and close (PS3.8 §9.2)."""
        if reason is None:
            self._socket.send(abort_pdu(AbortSource.SERVICE_USER))
        else:
            self._socket.send(abort_pdu(AbortSource.SERVICE_PROVIDER, reason))
        self._socket.shutdown(socket.SHUT_WR)
        drained, deadline = 0, time.monotonic() + FAREWELL
        while drained < _MOST_DRAINED and (left := deadline - time.monotonic()) > 0:
            if self._readable.poll(int(left * 1000) + 1):
                received = len(self._socket.recv(_RECEIVE))
                if not received:
                    return
                drained += received

    def _drop(self) -> None:
        """Close, and throw away what is still in the kernel's buffer, which nobody should get any more."""
        if self.on_its_way():
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()


def _after(buffers: Sequence[Buffer], count: int) -> list[Buffer]:
    """Return what is left of `buffers` after their first `count` bytes."""
    for index, buffer in enumerate(buffers):
        if count < len(buffer):
            return [memoryview(buffer)[count:], *buffers[index + 1 :]]
        count -= len(buffer)
    return []
