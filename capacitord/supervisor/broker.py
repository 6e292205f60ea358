"""Connections for a runtime that cannot make any: to the destinations of its site's profile and to nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from capacitord.location.own_address import is_loopback, is_own
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict

_WORDS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ECONNREFUSED: "the connection was refused: nothing listens on that port",
        errno.EHOSTUNREACH: "the host cannot be reached from here",
        errno.ENETUNREACH: "there is no route to the network of the host",
        errno.ENETDOWN: "the network is down",
        errno.ECONNRESET: "the host reset the connection",
        errno.ETIMEDOUT: "the host did not answer in time",
        errno.EADDRNOTAVAIL: "this box does not have the source address that the profile names",
        errno.EACCES: "this box's firewall does not allow the connection",
        errno.EPERM: "this box's firewall does not allow the connection",
    }
)


Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""As `socket.getaddrinfo` gives them."""


class Connection(NamedTuple):
    """What came of trying: a connected socket or a failure, and the seconds it took."""

    socket: socket.socket | None
    failure: Outcome | None
    seconds: float


MOST_LOOKUPS: Final = 64
"""Names that are looked up at once for whoever asks."""
Lookups: TypeAlias = set[threading.Thread]


async def connect(
    destination: Destination, lookups: Lookups | None = None, own_ports: Collection[int] = ()
) -> Connection:
    """Connect to a destination within its time-out, trying each address of its host in turn.

    `lookups` are those that are going on for whoever asks; see `resolve`. Nothing leads back into this box: not to an
    address that it has on a network, and by a loopback address not to `own_ports`, where it takes images in itself.
    """
    if destination.barred:
        return Connection(None, later(f"{destination.name}: {destination.barred}."), 0.0)
    started = time.monotonic()
    try:
        async with asyncio.timeout(destination.connect_timeout):
            found = meant(destination.host, await resolve(destination.host, destination.port, lookups))
        elsewhere = [each for each in found if not _is_this_box(each[4], own_ports)]
        if found and not elsewhere:
            return Connection(None, later(_itself(destination)), time.monotonic() - started)
        connected, words = await _first_that_answers(elsewhere, destination, started + destination.connect_timeout)
    except TimeoutError:
        connected, words = None, f"its name was not resolved within {destination.connect_timeout:g} s"
    except socket.gaierror as error:
        connected, words = None, f"its name could not be resolved ({error.strerror})"
    except (OSError, UnicodeError) as error:
        connected, words = None, f"its name could not be resolved ({error})"
    seconds = time.monotonic() - started
    if connected is None:
        return Connection(None, later(f"{destination.host} port {destination.port}: {words}."), seconds)
    return Connection(connected, None, seconds)


async def resolve(host: str, port: int, lookups: Lookups | None = None) -> Sequence[Address]:
    """Return the addresses of a host. Raises `socket.gaierror`, or what else the resolver raises.

    A name that nobody answers for holds a thread for as long as the resolver likes, so each lookup has a thread of
    its own: it delays no other lookup, and not the end of this process. There are no more than `MOST_LOOKUPS` among
    `lookups`, so that nobody who asks again and again takes all threads.
    """
    try:
        return _numeric(host, port)
    except socket.gaierror:
        pass
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()

    def settle(found: Sequence[Address] | Exception) -> None:
        if answer.done():
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found: Sequence[Address] | Exception
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found)

    thread = threading.Thread(target=look_up, name="resolver", daemon=True)
    if lookups is not None:
        lookups.difference_update([each for each in lookups if not each.is_alive()])
        if len(lookups) >= MOST_LOOKUPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
        lookups.add(thread)
    thread.start()
    return await answer


def meant(host: str, found: Sequence[Address]) -> Sequence[Address]:
    """Return those of a host's addresses that a profile can mean by it. Raises `OSError` if there are none.

    A name is what the network of the moment says it is, and one that leads back into this box would reach what
    listens for this box alone. Whoever means this box writes its address, or "localhost".
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return found
    with contextlib.suppress(socket.gaierror, UnicodeError):
        _numeric(host, 0)
        return found
    elsewhere = [each for each in found if not _leads_back(each[4][0])]
    if found and not elsewhere:
        msg = "it means this box itself; if that is right, let the profile say 127.0.0.1"
        raise OSError(msg)
    return elsewhere


def _is_this_box(address: tuple[Any, ...], own_ports: Collection[int]) -> bool:
    """Return whether whoever connects there reaches this box, as the network of the moment has it.

    Another program of this machine has a loopback address, which no network gives it.
    """
    return address[1] in own_ports if is_loopback(address[0]) else is_own(address)


def _itself(destination: Destination) -> str:
    where = f"{destination.host} port {destination.port}"
    return f"{where}: on the network where it is now that is this box itself, so nothing is sent there."


def _leads_back(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    return found.is_loopback or found.is_unspecified or found.is_multicast


def _numeric(host: str, port: int) -> Sequence[Address]:
    """Return the address that is written instead of a name. Raises `socket.gaierror` if it is a name."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def later(reason: str) -> Outcome:
    """Return the outcome of an attempt that may go better another time."""
    return Outcome(verdict=Verdict.LATER, reason=reason)


async def _first_that_answers(
    found: Sequence[Address], destination: Destination, deadline: float
) -> tuple[socket.socket | None, str]:
    """Return a connection, or what the last attempt said. Each address gets its share of the time that is left."""
    source = destination.source_address
    usable = [each for each in found if not source or (each[0] == socket.AF_INET6) is (":" in source)]
    words = "its name has no address that can be reached from here"
    for index, (family, kind, protocol, _, address) in enumerate(usable):
        candidate = socket.socket(family, kind, protocol)
        candidate.setblocking(False)
        try:
            if source:
                candidate.bind((source, 0))
            async with asyncio.timeout((deadline - time.monotonic()) / (len(usable) - index)):
                await asyncio.get_running_loop().sock_connect(candidate, address)
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            candidate.setblocking(True)
        except TimeoutError:
            candidate.close()
            words = f"the host did not answer within {destination.connect_timeout:g} s"
        except OSError as error:
            candidate.close()
            words = _WORDS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO).lower()
        except BaseException:
            candidate.close()
            raise
        else:
            return candidate, ""
    return None, words
