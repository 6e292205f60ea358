"""Connections to others, by whatever resolves their names: that may take long, and must hold up nobody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Resolve = Callable[[str, int], Awaitable[Sequence[tuple[Any, ...]]]]
"""Returns addresses of a host and a port as `socket.getaddrinfo` gives them. Raises `OSError`, or `UnicodeError`."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(resolve: Resolve, host: str, port: int, context: ssl.SSLContext | None = None) -> Streams:
    """Connect to the first address of a host that answers, over TLS with a `context`. Raises `OSError`."""
    try:
        found = await resolve(host, port)
    except UnicodeError:
        found = ()
    failure = OSError(f"there is no host {host}")
    for *_, address in found:
        try:
            return await asyncio.open_connection(address[0], port, ssl=context)
        except OSError as error:
            failure = error
    raise failure
