"""Connections to others, by whatever resolves their names: that may take long, and must hold up nobody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from capacitord.location.own_address import is_loopback, is_own

Resolve = Callable[[str, int], Awaitable[Sequence[tuple[Any, ...]]]]
"""Returns addresses of a host and a port as `socket.getaddrinfo` gives them. Raises `OSError`, or `UnicodeError`."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(
    resolve: Resolve, host: str, port: int, context: ssl.SSLContext | None = None, *, own: bool = False
) -> Streams:
    """Connect to the first address of a host that answers, over TLS with a `context`. Raises `OSError`.

    This box itself is no host elsewhere, though a network may give it the address of one; unless its `own` will do.

    A server of many names is told which one is meant (RFC 6066 §3), as it shows each its own certificate.
    """
    name = host if context is not None else None
    try:
        found = await resolve(host, port)
    except UnicodeError:
        found = ()
    failure = OSError(f"there is no host {host}")
    for *_, address in found:
        if not (own or is_loopback(address[0])) and is_own(address):
            failure = OSError(f"{address[0]} is an address of this box itself")
            continue
        try:
            return await asyncio.open_connection(address[0], port, ssl=context, server_hostname=name)
        except OSError as error:
            failure = error
    raise failure
