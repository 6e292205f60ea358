"""Whether an address is this box's own: networks give it others, and one may be that of a destination elsewhere."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any


def is_own(family: socket.AddressFamily, address: tuple[Any, ...]) -> bool:
    """Return whether a socket address is one of this machine at this moment, as `socket.getaddrinfo` gives it.

    The kernel says so, and nothing is sent. If it does not say, the address counts as the box's own: nothing is sent to
    one of which nobody knows whose it is.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine whatever the network: another program here may be meant by it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    return found.is_loopback
