"""Asking the kernel by netlink (RFC 3549): dumps, and the attributes in them. What is not understood is passed over."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

ROUTE: Final = 0
GENERIC: Final = 16
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = 2
_DONE: Final = 3
_REQUEST: Final = 0x1
_DUMP: Final = 0x300
_MOST: Final = 1 << 22
"""Bytes of one answer: tens of thousands of neighbours."""
_PATIENCE: Final = 2.0


class Message(NamedTuple):
    """One message of the kernel: its type, and what is behind its header."""

    kind: int
    body: bytes


def ask(protocol: int, kind: int, body: bytes, *, dump: bool = True) -> list[Message]:
    """Return the kernel's answer to one request. Blocks, for some seconds at most. Raises `OSError`."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as kernel:
        kernel.settimeout(_PATIENCE)
        kernel.bind((0, 0))
        flags = _REQUEST | (_DUMP if dump else 0)
        kernel.sendto(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body, (0, 0))
        found: list[Message] = []
        size = 0
        while size < _MOST:
            data, (sender, _) = kernel.recvfrom(1 << 17)
            if sender:  # not the kernel
                continue
            size += len(data)
            for message in messages(data):
                if message.kind == _DONE:
                    return found
                if message.kind == _ERROR:
                    _raise(message.body)
                    return found
                found.append(message)
                if not dump:
                    return found
        return found


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram, up to the first that is cut off."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield Message(kind, data[at + _HEADER.size : at + length])
        at += _aligned(length)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return attributes by their types, up to the first that is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute as it is sent."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _raise(body: bytes) -> None:
    number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if number > 0:
        raise OSError(number, os.strerror(number))
