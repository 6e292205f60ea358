"""HTTP on the control socket: connections are counted by user, idle ones end, and what is not HTTP is told so."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from typing import Final

from aiohttp import web

from capacitord.errors import Problem
from capacitord.supervisor import http
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.peers import credentials

_log = logging.getLogger(__name__)
_QUIET: Final = logging.Logger("aiohttp", level=logging.CRITICAL + 1)  # noqa: LOG001 - no configuration may turn it on
"""aiohttp's own words about broken requests quote them, and a request may name a patient's study."""

_SHARE: Final = 4
"""One user gets this part of all connections at most."""


class HttpServer:
    """Serves an application on a listening Unix socket."""

    def __init__(self, app: web.Application, bounds: Bounds) -> None:
        self._bounds = bounds
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=bounds.grace_margin)
        self._server: asyncio.AbstractServer | None = None
        self._connections: Counter[int] = Counter()

    async def start(self, listener: socket.socket) -> None:
        """Begin to answer."""
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_unix_server(self._connection, sock=listener)

    async def stop(self) -> None:
        """Take no more connections, let answers that have begun finish within the margin, and end."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        manager = self._runner.server
        if manager is None:
            raise ConnectionAbortedError
        return _Connection(manager, self._connections, self._bounds)


class _Connection(web.RequestHandler):
    __slots__ = ("_bounds", "_connections", "_uid")

    def __init__(self, manager: web.Server, connections: Counter[int], bounds: Bounds) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            tcp_keepalive=False,
            keepalive_timeout=bounds.idle,
            lingering_time=1.0,
            logger=_QUIET,
            access_log=_QUIET,
            auto_decompress=False,
        )
        self._connections = connections
        self._bounds = bounds
        self._uid: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection, or turn it away."""
        uid, _ = credentials(transport.get_extra_info("socket"))
        most = self._bounds.connections
        if self._connections.total() >= most or self._connections[uid] >= max(1, most // _SHARE):
            _log.warning("too many connections: uid %d has %d", uid, self._connections[uid])
            _turn_away(transport)
            return
        self._uid = uid
        self._connections[uid] += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count a connection's end."""
        if self._uid is not None:
            self._connections[self._uid] -= 1
            self._uid = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature, here and below
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer what is not HTTP as everything else is answered."""
        problem = Problem("invalid", "this is not a request of HTTP/1.1 that this interface takes", exit_code=7)
        response = web.Response(body=http.refusal(problem), status=status, content_type="application/json")
        response.force_close()
        return response


def _turn_away(transport: asyncio.BaseTransport) -> None:
    problem = Problem("try-again", "too many connections", hint="End some of them, or try again soon.", exit_code=75)
    body = http.refusal(problem)
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    transport.set_protocol(asyncio.Protocol())
    if isinstance(transport, asyncio.Transport):
        transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    transport.close()
