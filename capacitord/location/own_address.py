"""Whether an address is this box's own: networks give it others, and one may be that of a destination elsewhere."""

from __future__ import annotations

import ipaddress
from typing import Any

from capacitord.location import kernel


def is_own(address: tuple[Any, ...]) -> bool:
    """Return whether whoever connects to a socket address at this moment reaches this machine, as the kernel routes.

    The address is as `socket.getaddrinfo` gives it. Blocks for a moment. If the kernel does not say, it counts as the
    box's own: nothing is sent to one of which nobody knows whose it is.
    """
    found = _plain(address[0])
    try:
        return found.is_unspecified or kernel.is_local(str(found), address[3] if len(address) > 3 else 0)
    except OSError:
        return True


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine whatever the network: another program here may be meant by it."""
    return _plain(address).is_loopback


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found
