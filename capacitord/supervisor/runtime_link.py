"""The supervisor's end of the link to a process that it started, on the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Generic

from capacitord.errors import TryAgain
from capacitord.link.channel import Arriving, Channel, LinkBroken, LinkClosed, Outgoing
from capacitord.link.messages import FromRuntime, ToRuntime

MAX_WAITING: Final = 256
_BATCH: Final = 64
_AGAIN: Final = 0.25
"""Seconds between two tries to send while the kernel takes nothing."""


class Link(Generic[Outgoing, Arriving]):
    """Sends without blocking, and calls `received` for each message and `ended`, once, with a reason or "".

    `ended` with "" is the other process's own closing; a reason says how it broke the contract. `arriving` is what its
    messages are, `who` how people call it.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: Callable[[Arriving], None],
        ended: Callable[[str], None],
        *,
        arriving: object,
        who: str,
    ) -> None:
        sock.setblocking(False)
        self._channel: Channel[Outgoing, Arriving] = Channel(sock, arriving)
        self._who = who
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._received = received
        self._ended = ended
        self._waiting: deque[tuple[Outgoing, int | None]] = deque()
        self._open = True
        self._loop.add_reader(self._channel.fileno(), self._readable)

    @property
    def connected(self) -> bool:
        """Whether the other process still holds its end; asked of the kernel, as the event loop may learn it later."""
        if not self._open:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, message: Outgoing, descriptor: int | None = None) -> None:
        """Send a message now, or as soon as others were read; the caller keeps the descriptor.

        Raises `LinkClosed` after the end, and `TryAgain` while too many messages are left unread or the kernel takes
        none.
        """
        if not self._open:
            raise LinkClosed
        if not self._waiting:
            try:
                self._channel.send(message, descriptor)
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._writable)
            except OSError as error:
                msg = f"{self._who} cannot be told anything: {error.strerror}"
                raise TryAgain(msg, hint="Try again in a minute.") from None
            else:
                return
        if len(self._waiting) >= MAX_WAITING:
            msg = f"{self._who} does not read its messages"
            raise TryAgain(msg, hint="It is restarted if that goes on. Try again in a minute.")
        self._waiting.append((message, os.dup(descriptor) if descriptor is not None else None))

    def close(self) -> None:
        """Close this end, which tells the other process to finish and exit."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._drop_waiting()
        self._channel.close()

    def break_off(self, reason: str) -> None:
        """End the link because the other process broke its contract in a way that only its user can see."""
        self._end(reason)

    def drain(self) -> None:
        """Take in all that has arrived; for a process that is gone, that is all there will be."""
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
            self._end("it sent a descriptor, which none of its messages carries")
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
                # What the other process said before it went is still to be read.
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


class RuntimeLink(Link[ToRuntime, FromRuntime]):
    """The link to a site's runtime."""

    def __init__(
        self, sock: socket.socket, received: Callable[[FromRuntime], None], ended: Callable[[str], None]
    ) -> None:
        super().__init__(sock, received, ended, arriving=FromRuntime, who="the site's runtime")
