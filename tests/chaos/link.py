"""The inside of a link that breaks on demand. Everything here runs in one event loop; `proxy` steers it."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

_PIECE = 256 * 1024
_SLICES_PER_SECOND = 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Way(enum.Enum):
    """A direction: up is from who connects to who listens, from scanner to PACS."""

    UP = "up"
    DOWN = "down"


class Ending(enum.Enum):
    """How a cut looks to both ends. A reset may overtake bytes that were not read yet, as on a real link."""

    RESET = "reset"
    CLOSE = "close"


@dataclass
class Counters:
    """What has passed since the link was made. `up` and `down` are bytes handed on."""

    connections: int = 0
    open: int = 0
    unreachable: int = 0
    cuts: int = 0
    corrupted: int = 0
    up: int = 0
    down: int = 0


@dataclass
class Armed:
    """The faults armed for one direction; distances are in bytes still to come, over all connections."""

    cut_in: int | None = None
    ending: Ending = Ending.RESET
    flip_in: int | None = None
    bit: int = 0


@dataclass(eq=False)
class _Connection:
    near: socket.socket
    far: socket.socket
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        return self.near, self.far


class Link:
    """A listening port whose connections lead to `target`, and the faults that wait for their bytes."""

    def __init__(self, target: tuple[str, int], listen_port: int) -> None:
        self.target = target
        self.rate: float | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.armed = {way: Armed() for way in Way}
        self._counters = Counters()
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        # This socket never listens. It keeps the port from everybody else while connections are refused.
        self._reservation = _bound(listen_port)
        self.port: int = self._reservation.getsockname()[1]
        self._listener: socket.socket | None = None

    def listen(self) -> None:
        """Take connections."""
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(128)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def refuse(self) -> None:
        """Take no connections: the kernel refuses them."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def cut(self, how: Ending) -> int:
        """End all connections and return how many there were."""
        connections = list(self._open)
        for connection in connections:
            await self._end(connection, how)
        self._counters.cuts += len(connections)
        return len(connections)

    def counters(self) -> Counters:
        """Return a copy of the counters."""
        return replace(self._counters, open=len(self._open))

    async def close(self) -> None:
        """End everything and give the port back."""
        await self.refuse()
        await self.cut(Ending.RESET)
        for task in list(self._tasks):
            await _ended(task)
        self._reservation.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end(self, connection: _Connection, how: Ending) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        # The event loop must have let go of a descriptor before the kernel may give its number away again.
        for task in connection.tasks:
            await _ended(task)
        for end in connection.sockets:
            if how is Ending.RESET:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            # Whoever knocked has gone again.
            return
        connection = _Connection(near, socket.socket())
        self._open.add(connection)
        self._counters.connections += 1
        for end in connection.sockets:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.tasks = [self._spawn(self._connect(connection))]

    async def _connect(self, connection: _Connection) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(connection.far, self.target)
        except OSError:
            self._counters.unreachable += 1
            await self._end(connection, Ending.RESET)
            return
        connection.tasks = [self._spawn(self._carry(connection, way)) for way in Way]

    async def _carry(self, connection: _Connection, way: Way) -> None:
        """Carry one direction until its end, or until anything breaks; then the other end learns of it."""
        loop = asyncio.get_running_loop()
        source, sink = connection.sockets if way is Way.UP else connection.sockets[::-1]
        buffer = memoryview(bytearray(_PIECE))
        try:
            while count := await loop.sock_recv_into(source, buffer):
                for piece in self._slices(buffer[:count]):
                    await self.flowing.wait()
                    if await self._hand_on(sink, piece, way):
                        self._counters.cuts += 1
                        await self._end(connection, self.armed[way].ending)
                        return
            await self.flowing.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            await self.flowing.wait()
            await self._end(connection, Ending.RESET)
            return
        if all(task.done() or task is asyncio.current_task() for task in connection.tasks):
            await self._end(connection, Ending.CLOSE)

    def _slices(self, data: memoryview) -> Iterator[memoryview]:
        """Yield the data in one piece, or on a slow link in pieces that take a twentieth of a second each."""
        while data:
            size = len(data) if self.rate is None else max(1, int(self.rate / _SLICES_PER_SECOND))
            yield data[:size]
            data = data[size:]

    async def _hand_on(self, sink: socket.socket, data: memoryview, way: Way) -> bool:
        """Pass bytes on with the faults armed for this way; return whether the connection is to be cut."""
        armed = self.armed[way]
        cutting = armed.cut_in is not None and len(data) >= armed.cut_in
        if armed.cut_in is not None:
            data = data[: armed.cut_in]
            armed.cut_in = None if cutting else armed.cut_in - len(data)
        if armed.flip_in is not None:
            flipping = armed.flip_in < len(data)
            if flipping:
                data[armed.flip_in] ^= 1 << armed.bit
                self._counters.corrupted += 1
            armed.flip_in = None if flipping else armed.flip_in - len(data)
        await asyncio.get_running_loop().sock_sendall(sink, data)
        self._count(way, len(data))
        if self.rate is not None and not cutting:
            await asyncio.sleep(len(data) / self.rate)
        return cutting

    def _count(self, way: Way, count: int) -> None:
        if way is Way.UP:
            self._counters.up += count
        else:
            self._counters.down += count


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task and wait until it has, unless it is the one that asks."""
    if task is not asyncio.current_task():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound
