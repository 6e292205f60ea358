"""The way to a PACS, which can be slow and can break: `python -m capacitord.demo.link PORT`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Final

import msgspec

from capacitord.api.demo import Broken, Cut, LinkOrder, Listening, Restore, Slow
from capacitord.demo.role import Role

PIECE: Final = 8192
"""Bytes that go through at once; with small buffers, what the sender has sent is what the PACS has got."""
ORDERS: Final = msgspec.json.Decoder(LinkOrder)
_RESET: Final = struct.pack("ii", 1, 0)


class Link:
    """A relay in front of a port of 127.0.0.1. Everything runs in one event loop; orders come through `obey`."""

    def __init__(self, role: Role, target: int) -> None:
        self._role, self._target = role, target
        self._rate = 0
        self._cut_inside: int | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._relaying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        # It never listens: while the link is cut it keeps the port, so that nobody else is given it.
        self._place = _bound(0)

    async def open(self) -> None:
        """Take connections."""
        listener = _bound(self._place.getsockname()[1])
        self._server = await asyncio.start_server(self._accepted, sock=listener, limit=PIECE)

    async def obey(self, order: LinkOrder) -> None:
        """Do what is ordered."""
        match order:
            case Slow():
                self._rate = order.rate
            case Cut(inside=0):
                self._cut(0)
            case Cut():
                self._cut_inside = order.inside
            case Restore():
                await self.open()

    async def run(self) -> None:
        """Serve until there can be no more orders."""
        await self.open()
        self._role.report(Listening(self._place.getsockname()[1]))
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            for order in self._role.orders(ORDERS):
                asyncio.run_coroutine_threadsafe(self.obey(order), loop).result()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=listen, daemon=True).start()
        await ended.wait()
        self._break()
        await asyncio.gather(*self._relaying)

    def _accepted(self, box: asyncio.StreamReader, to_box: asyncio.StreamWriter) -> None:
        relaying = asyncio.get_running_loop().create_task(self._relay(box, to_box))
        self._relaying.add(relaying)
        relaying.add_done_callback(self._relaying.discard)

    async def _relay(self, box: asyncio.StreamReader, to_box: asyncio.StreamWriter) -> None:
        with self._held(to_box), contextlib.suppress(OSError):
            pacs, to_pacs = await asyncio.open_connection("127.0.0.1", self._target, limit=PIECE)
            with self._held(to_pacs):
                message = _Message()
                # The link may have been cut while it connected.
                if not to_box.is_closing():
                    await asyncio.gather(self._forth(box, to_pacs, message), _back(pacs, to_box, message))

    @contextlib.contextmanager
    def _held(self, end: asyncio.StreamWriter) -> Iterator[None]:
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)
            end.close()

    async def _forth(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, message: _Message) -> None:
        with _passing_on_the_end(sink):
            while piece := await source.read(PIECE):
                if self._rate:
                    await asyncio.sleep(len(piece) / self._rate)
                if self._cut_inside is not None and message.size >= self._cut_inside:
                    self._cut(message.size)
                    return
                message.size += len(piece)
                sink.write(piece)
                await sink.drain()

    def _cut(self, inside: int) -> None:
        self._cut_inside = None
        self._break()
        self._role.report(Broken(inside))

    def _break(self) -> None:
        """Refuse connections from now on, and reset those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._ends:
            with contextlib.suppress(OSError):  # it may be closed already, and nobody has looked since
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class _Message:
    """How many bytes have gone to the PACS since it said something: how far into a message it is."""

    def __init__(self) -> None:
        self.size = 0


async def _back(source: asyncio.StreamReader, sink: asyncio.StreamWriter, message: _Message) -> None:
    with _passing_on_the_end(sink):
        while piece := await source.read(PIECE):
            message.size = 0
            sink.write(piece)
            await sink.drain()


@contextlib.contextmanager
def _passing_on_the_end(sink: asyncio.StreamWriter) -> Iterator[None]:
    """End one way as the other end ended it: in order, or not."""
    try:
        yield
        sink.write_eof()
    except OSError:
        sink.transport.abort()


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
    found.bind(("127.0.0.1", port))
    return found


def main() -> None:
    """Be the link to the port that is given."""
    asyncio.run(Link(Role(sys.stdin.buffer, sys.stdout.buffer), int(sys.argv[1])).run())


if __name__ == "__main__":
    main()
