"""The supervisor's end of the link to a runtime, on the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from capacitord.errors import TryAgain
from capacitord.link.channel import Channel, LinkBroken, LinkClosed
from capacitord.link.messages import FromRuntime, ToRuntime

MAX_WAITING: Final = 256
_BATCH: Final = 64
_AGAIN: Final = 0.25
"""Seconds between two tries to send while the kernel takes nothing."""

Received: TypeAlias = Callable[[FromRuntime], None]
Ended: TypeAlias = Callable[[str], None]


class RuntimeLink:
    """Sends without blocking, and calls `received` for each message and `ended`, once, with a reason or "".

    `ended` with "" is the runtime's own closing; a reason says how it broke the contract.
    """

    def __init__(self, sock: socket.socket, received: Received, ended: Ended) -> None:
        sock.setblocking(False)
        self._channel: Channel[ToRuntime, FromRuntime] = Channel(sock, FromRuntime)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._received = received
        self._ended = ended
        self._waiting: deque[tuple[ToRuntime, int | None]] = deque()
        self._open = True
        self._loop.add_reader(self._channel.fileno(), self._readable)

    @property
    def connected(self) -> bool:
        """Whether the runtime still holds its end; asked of the kernel, as the event loop may learn it later."""
        if not self._open:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send a message now, or as soon as the runtime has read others; the caller keeps the descriptor.

        Raises `LinkClosed` after the end, and `TryAgain` while the runtime leaves too many messages unread or the
        kernel takes none.
        """
        if not self._open:
            raise LinkClosed
        if not self._waiting:
            try:
                self._channel.send(message, descriptor)
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._writable)
            except OSError as error:
                msg = f"the site's runtime cannot be told anything: {error.strerror}"
                raise TryAgain(msg, hint="Try again in a minute.") from None
            else:
                return
        if len(self._waiting) >= MAX_WAITING:
            msg = "the site's runtime does not read its messages"
            raise TryAgain(msg, hint="It is restarted if that goes on. Try again in a minute.")
        self._waiting.append((message, os.dup(descriptor) if descriptor is not None else None))

    def close(self) -> None:
        """Close this end, which tells the runtime to finish and exit."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._drop_waiting()
        self._channel.close()

    def break_off(self, reason: str) -> None:
        """End the link because the runtime broke its contract in a way that only its user can see."""
        self._end(reason)

    def drain(self) -> None:
        """Take in all that has arrived; for a runtime that is gone, that is all there will be."""
        while self._open and self._take_one():
            pass

    def _readable(self) -> None:
        for _ in range(_BATCH):
            if not (self._open and self._take_one()):
                return

    def _take_one(self) -> bool:
        """Take in one message; return whether there was one and another may follow."""
        try:
            message, descriptor = self._channel.receive()
        except BlockingIOError:
            return False
        except LinkClosed:
            self._end("")
            return False
        except LinkBroken as wrong:
            self._end(str(wrong))
            return False
        if descriptor is not None:
            os.close(descriptor)
            self._end("it sent a descriptor, which no message of a runtime carries")
            return False
        self._received(message)
        return True

    def _writable(self) -> None:
        while self._waiting:
            message, descriptor = self._waiting[0]
            try:
                self._channel.send(message, descriptor)
            except BlockingIOError:
                return
            except LinkClosed:
                # What the runtime said before it went is still to be read.
                self._drop_waiting()
                break
            except OSError:
                # No memory, or too many descriptors on their way: the socket stays writable, so it is left alone.
                self._loop.remove_writer(self._channel.fileno())
                self._loop.call_later(_AGAIN, self._rearm)
                return
            self._waiting.popleft()
            if descriptor is not None:
                os.close(descriptor)
        self._loop.remove_writer(self._channel.fileno())

    def _rearm(self) -> None:
        if self._open:
            self._loop.add_writer(self._channel.fileno(), self._writable)

    def _drop_waiting(self) -> None:
        while self._waiting:
            _, descriptor = self._waiting.popleft()
            if descriptor is not None:
                os.close(descriptor)

    def _end(self, reason: str) -> None:
        if self._open:
            self.close()
            self._ended(reason)
