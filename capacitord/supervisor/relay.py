"""Requests that the runtime of the open site answers, relayed without being read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import msgspec

from capacitord.api.routes import Form, Route
from capacitord.errors import TryAgain, Unanswered
from capacitord.link.messages import Call, CallHead, ToRuntime
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.peers import Peer

_HEAD: Final = 1 << 16
_MOST: Final = 1 << 20
_PIECE: Final = 1 << 18
_LOOK: Final = 0.25


class Runtime(Protocol):
    """What a relay needs of the runtime that runs."""

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        ...

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send it a message; raises `CapacitordError` if there is none."""
        ...


class GivenUp(TryAgain):
    """Whoever asked hung up before there was an answer."""

    reference = "given-up"


_PERHAPS: Final = "no answer came, so it may have been done all the same"
"""What the audit log says of a change that the runtime was asked for."""


class CutOff(Exception):
    """The runtime went away in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose head has come. `pieces` yields its body and raises `CutOff` if that is not whole."""

    head: CallHead
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def ask(
    runtime: Runtime,
    route: Route,
    request: msgspec.Struct,
    peer: Peer,
    bounds: Bounds,
    *,
    gone: Callable[[], bool],
    deed: str = "",
) -> AsyncIterator[Answer]:
    """Ask the runtime and give its answer. Raises `TryAgain` if there is none, `Unanswered` if it ends or is silent.

    `gone` tells whether whoever asked has hung up: then `GivenUp` is raised, and the runtime does not begin any more.
    `deed` is the id by which the audit log has it begun, if it has.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with theirs:
            body = msgspec.Raw(msgspec.json.encode(request))
            until = time.monotonic() + bounds.call_head
            runtime.send(Call(route.name, body, peer.uid, peer.user, until, deed or None), theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours, limit=_HEAD)
    except BaseException:
        ours.close()
        raise
    try:
        head = await _head(reader, bounds, gone)
        async with aclosing(_body(reader, head, runtime, bounds)) as pieces:
            yield Answer(head, pieces)
    finally:
        writer.transport.abort()


def whole(body: bytes) -> Answer:
    """Return an answer in JSON that is all there, as if a runtime had given it."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return Answer(CallHead(HTTPStatus.OK, Form.JSON.value, length=len(body)), pieces())


async def body_of(answer: Answer, most: int = _MOST) -> bytes:
    """Return a body that is for the supervisor itself. Raises `CutOff` if it is not whole, or longer than `most`."""
    found = bytearray()
    async for piece in answer.pieces:
        found += piece
        if len(found) > most:
            raise CutOff
    return bytes(found)


async def _head(reader: asyncio.StreamReader, bounds: Bounds, gone: Callable[[], bool]) -> CallHead:
    try:
        async with asyncio.timeout(bounds.call_head):
            line = await _line(reader, gone)
        return msgspec.json.decode(line, type=CallHead)
    except TimeoutError:
        msg = f"the site's runtime did not answer within {bounds.call_head:g} s"
    except (asyncio.IncompleteReadError, ConnectionError):
        msg = "the site's runtime ended before it answered"
    except (asyncio.LimitOverrunError, msgspec.DecodeError):
        msg = "the site's runtime gave an answer that is none"
    hint = "See why: fluxctl status. What was to be changed may have been done: look at it before you try again."
    unanswered = Unanswered(msg, hint=hint)
    unanswered.done = _PERHAPS
    raise unanswered


async def _line(reader: asyncio.StreamReader, gone: Callable[[], bool]) -> bytes:
    reading = asyncio.ensure_future(reader.readuntil(b"\n"))
    try:
        while not (await asyncio.wait({reading}, timeout=_LOOK))[0]:
            if gone():
                given_up = GivenUp("whoever asked has hung up")
                given_up.done = _PERHAPS
                raise given_up
        return await reading
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await reading


async def _body(
    reader: asyncio.StreamReader, head: CallHead, runtime: Runtime, bounds: Bounds
) -> AsyncGenerator[bytes, None]:
    passed = 0
    while True:
        try:
            async with asyncio.timeout(bounds.call_silence):
                piece = await reader.read(_PIECE)
        except (TimeoutError, ConnectionError):
            raise CutOff from None
        if not piece:
            break
        passed += len(piece)
        yield piece
    # The end of a stream looks the same whether its writer finished or was killed.
    whole = runtime.connected if head.length is None else passed == head.length
    if not whole:
        raise CutOff
