"""What the kernel says of this box's networks: links, addresses, gateways with their MAC addresses, Wi-Fi.

All of it blocks for a moment, needs no privilege, and raises `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from capacitord.location import netlink
from capacitord.location.netlink import Message, attributes

_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=8BI")
_HOP: Final = struct.Struct("=HBBi")
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")
_GENERIC: Final = struct.Struct("=BBH")
_NEW_LINK, _GET_LINK = 16, 18
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_NEW_ROUTE, _GET_ROUTE = 24, 26
_NEW_NEIGHBOUR, _GET_NEIGHBOUR = 28, 30
_UP_AND_RUNNING: Final = 0x1 | 0x40
_LOOPBACK: Final = 0x8
_UNSETTLED: Final = 0x40 | 0x08
"""IFA_F_TENTATIVE and IFA_F_DADFAILED: not known yet, or known not, to be this box's alone."""
_GLOBAL_ENOUGH: Final = 253
"""RT_SCOPE_LINK: from here on an address says nothing of where it is."""
_MAIN_TABLE, _UNICAST, _LOCAL = 254, 1, 2
_TO, _OUT_BY = 1, 4
"""RTA_DST and RTA_OIF."""
_KNOWN: Final = 0x02 | 0x08 | 0x10 | 0x80
"""REACHABLE, DELAY, PROBE and PERMANENT. A STALE entry may be that of the network before; it is asked again first."""
_STATION: Final = 2
_DISCARD: Final = 9


class Address(NamedTuple):
    """An address of this box, on a link that runs."""

    link: str
    address: str
    prefix: int

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix} ({self.link})"


class Gateway(NamedTuple):
    """A default gateway; `mac` is empty while nobody has answered for its address."""

    link: str
    address: str
    mac: str


class Wireless(NamedTuple):
    """A wireless network that this box is in."""

    link: str
    ssid: str


def running(answer: Iterable[Message]) -> dict[int, str]:
    """Return the names of the links that are up and have a carrier, by their numbers; not the loopback."""
    found = {}
    for kind, body in answer:
        if kind == _NEW_LINK and len(body) >= _LINK.size:
            _, _, index, flags, _ = _LINK.unpack_from(body)
            name = attributes(body[_LINK.size :]).get(3, b"").rstrip(b"\0").decode("ascii", "replace")
            if flags & _UP_AND_RUNNING == _UP_AND_RUNNING and not flags & _LOOPBACK:
                found[index] = name
    return found


def addresses_in(answer: Iterable[Message], links: Mapping[int, str]) -> Iterator[Address]:
    """Yield the addresses on these links that say something of where they are."""
    for kind, body in answer:
        if kind != _NEW_ADDRESS or len(body) < _ADDRESS.size:
            continue
        _, prefix, flags, scope, index = _ADDRESS.unpack_from(body)
        found = attributes(body[_ADDRESS.size :])
        packed = found.get(2, found.get(1, b""))
        if index in links and scope < _GLOBAL_ENOUGH and not flags & _UNSETTLED and len(packed) in {4, 16}:
            yield Address(links[index], str(ipaddress.ip_address(packed)), prefix)


def default_routes(answer: Iterable[Message]) -> Iterator[tuple[int, str]]:
    """Yield the default gateways: the number of the link, and the address."""
    for kind, body in answer:
        if kind != _NEW_ROUTE or len(body) < _ROUTE.size:
            continue
        family, length, _, _, table, _, _, type_, _ = _ROUTE.unpack_from(body)
        if family not in {socket.AF_INET, socket.AF_INET6} or length or table != _MAIN_TABLE or type_ != _UNICAST:
            continue
        found = attributes(body[_ROUTE.size :])
        yield from _hop(found.get(4, b""), found)
        hops = found.get(9, b"")
        while len(hops) >= _HOP.size:
            size, _, _, index = _HOP.unpack_from(hops)
            if not _HOP.size <= size <= len(hops):
                break
            yield from _hop(struct.pack("=i", index), attributes(hops[_HOP.size : size]))
            hops = hops[(size + 3) & ~3 :]


def _hop(link: bytes, found: Mapping[int, bytes]) -> Iterator[tuple[int, str]]:
    via = found.get(18, b"")  # RTA_VIA: a gateway of the other family, with its family before it
    packed = found.get(5, via[2:])
    if len(link) == 4 and len(packed) in {4, 16}:
        yield struct.unpack("=i", link)[0], str(ipaddress.ip_address(packed))


def neighbours_in(answer: Iterable[Message]) -> dict[tuple[int, str], str]:
    """Return the MAC addresses that are known to be so now, by link and address."""
    found = {}
    for kind, body in answer:
        if kind != _NEW_NEIGHBOUR or len(body) < _NEIGHBOUR.size:
            continue
        _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
        parts = attributes(body[_NEIGHBOUR.size :])
        packed, mac = parts.get(1, b""), parts.get(2, b"")
        if state & _KNOWN and len(packed) in {4, 16} and len(mac) == 6 and any(mac):
            found[index, str(ipaddress.ip_address(packed))] = mac.hex(":")
    return found


def networks_in(answer: Iterable[Message], links: Mapping[int, str]) -> Iterator[Wireless]:
    """Yield the wireless networks that these links are in, as stations: not what this box itself offers as one."""
    for _, body in answer:
        found = attributes(body[_GENERIC.size :])
        index, kind, ssid = found.get(3, b""), found.get(5, b""), found.get(52, b"")
        if len(index) != 4 or len(kind) != 4 or not ssid or struct.unpack("=I", kind)[0] != _STATION:
            continue
        number = struct.unpack("=I", index)[0]
        if number in links:
            yield Wireless(links[number], ssid.decode("utf-8", "replace"))


def links() -> dict[int, str]:
    """Return the names of the links that run, by their numbers."""
    return running(netlink.ask(netlink.ROUTE, _GET_LINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)))


def addresses() -> list[Address]:
    """Return the addresses of this box that say something of where it is."""
    answer = netlink.ask(netlink.ROUTE, _GET_ADDRESS, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    return sorted(addresses_in(answer, links()))


def gateways() -> list[Gateway]:
    """Return the default gateways, of both families, on links that run.

    Each is sent an empty datagram, so that the kernel finds out now whose MAC address it is.
    """
    known = links()
    routes = netlink.ask(netlink.ROUTE, _GET_ROUTE, _ROUTE.pack(socket.AF_UNSPEC, *[0] * 8))
    found = dict.fromkeys(each for each in default_routes(routes) if each[0] in known)
    for index, address in found:
        _nudge(index, address)
    answer = netlink.ask(netlink.ROUTE, _GET_NEIGHBOUR, _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    macs = neighbours_in(answer)
    return [Gateway(known[index], address, macs.get((index, address), "")) for index, address in found]


def is_local(address: str, link: int = 0) -> bool:
    """Return whether what is sent to an address stays on this machine, as it routes now; `link` is that of its scope.

    What it has no route to is elsewhere.
    """
    packed = ipaddress.ip_address(address).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    wanted = netlink.attribute(_TO, packed) + (netlink.attribute(_OUT_BY, struct.pack("=i", link)) if link else b"")
    body = _ROUTE.pack(family, 8 * len(packed), *[0] * 7) + wanted
    try:
        answer = netlink.ask(netlink.ROUTE, _GET_ROUTE, body, dump=False)
    except OSError as error:
        if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
            return False
        raise
    return any(kind == _NEW_ROUTE and _ROUTE.unpack_from(found)[7] == _LOCAL for kind, found in answer)


def _nudge(index: int, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    to = (address, _DISCARD, 0, index) if family == socket.AF_INET6 else (address, _DISCARD)
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as nudge:
        nudge.setblocking(False)
        nudge.sendto(b"", to)


def wireless() -> list[Wireless]:
    """Return the wireless networks this box is in. A box without any wireless interface is in none."""
    name = netlink.attribute(2, b"nl80211\0")
    try:
        answer = netlink.ask(netlink.GENERIC, 16, _GENERIC.pack(3, 1, 0) + name, dump=False)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    number = attributes(answer[0].body[_GENERIC.size :]).get(1, b"") if answer else b""
    if len(number) != 2:
        return []
    family = struct.unpack("=H", number)[0]
    return sorted(networks_in(netlink.ask(netlink.GENERIC, family, _GENERIC.pack(5, 0, 0)), links()))
