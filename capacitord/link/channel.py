"""Packets with descriptors over a Unix socket pair (SOCK_SEQPACKET): one packet is one message.

A message that is longer than a packet travels in a sealed memory file whose descriptor comes with a packet of its own:
the one who reads it knows that it changes no more.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
from typing import Generic, TypeVar

import msgspec

MAX_PACKET = 1 << 17
MAX_MESSAGE = 1 << 24
_MAX_DESCRIPTORS = 4
_ENCLOSED = b"enclosed"
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK

Outgoing = TypeVar("Outgoing")
Arriving = TypeVar("Arriving")


class LinkClosed(Exception):
    """The other process is gone or has closed its end."""


class LinkBroken(Exception):
    """The other process sent what is not a message: too long, not of the contract, or the wrong descriptors."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends, with buffers that hold a whole packet."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_PACKET)
    return ends


class Channel(Generic[Outgoing, Arriving]):
    """One end of the link. Sending is safe from several threads, as a packet goes out whole or not at all."""

    def __init__(self, sock: socket.socket, arriving: object) -> None:
        self._socket = sock
        self._decoder: msgspec.json.Decoder[Arriving] = msgspec.json.Decoder(arriving)
        self._encoder = msgspec.json.Encoder()

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._socket.fileno()

    def send(self, message: Outgoing, descriptor: int | None = None) -> None:
        """Send one message, and a descriptor that the caller keeps and may close afterwards.

        Raises `LinkClosed` if nobody is there any more; BlockingIOError on a full non-blocking socket; `LinkBroken`
        for a message that is too long.
        """
        packet = self._encoder.encode(message)
        if len(packet) <= MAX_PACKET:
            self._send(packet, descriptor)
            return
        if len(packet) > MAX_MESSAGE or descriptor is not None:
            msg = f"{type(message).__name__} takes {len(packet)} bytes, more than a message may"
            raise LinkBroken(msg)
        enclosed = _enclose(packet)
        try:
            self._send(_ENCLOSED, enclosed)
        finally:
            os.close(enclosed)

    def _send(self, packet: bytes, descriptor: int | None) -> None:
        try:
            if descriptor is None:
                self._socket.send(packet, socket.MSG_NOSIGNAL)
            else:
                socket.send_fds(self._socket, [packet], [descriptor], socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise LinkClosed from gone

    def receive(self) -> tuple[Arriving, int | None]:
        """Return the next message and the descriptor that came with it, which is the caller's to close.

        A process that has no descriptor left gets the message without: the kernel has closed what came with it.
        Raises `LinkClosed` at the end, `LinkBroken` on what is no message, BlockingIOError when nothing is there.
        """
        width = array.array("i").itemsize
        try:
            packet, ancillary, flags, _ = self._socket.recvmsg(
                MAX_PACKET, socket.CMSG_SPACE(_MAX_DESCRIPTORS * width), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError as gone:
            raise LinkClosed from gone
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % width])
        if not packet:
            raise LinkClosed
        whole = not flags & socket.MSG_TRUNC and len(descriptors) <= 1
        if whole and packet == _ENCLOSED and descriptors:
            packet = _disclose(descriptors.pop())
        try:
            message = self._decoder.decode(packet) if whole else None
        except msgspec.MsgspecError:
            message = None
        if message is None:
            for descriptor in descriptors:
                os.close(descriptor)
            msg = "a packet is not one message of the link with at most one descriptor"
            raise LinkBroken(msg)
        return message, descriptors[0] if descriptors else None

    def close(self) -> None:
        """Close this end; the other sees the end of the link."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _enclose(packet: bytes) -> int:
    """Return the descriptor of a memory file that holds a message and can't be changed."""
    descriptor = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(packet)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _disclose(descriptor: int) -> bytes:
    """Return what a memory file holds; nothing if it is none, or longer than a message may be, or not sealed."""
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        size = os.fstat(descriptor).st_size
        if seals & _SEALS != _SEALS or size > MAX_MESSAGE:
            return b""
        return os.pread(descriptor, size, 0)
    except OSError:
        # Only memory files have seals, and only they are read: nothing else could be read without waiting. It may be
        # a folder, too, which cannot even be opened as a file.
        return b""
    finally:
        os.close(descriptor)
