"""What this box's own networks say of where it is: addresses, gateways, Wi-Fi, DNS suffixes. Nobody else is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from capacitord.location import kernel
from capacitord.location.evidence import Polled, Unseen
from capacitord.model.location import Kind

RESOLVERS: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""Where the search domains are: as this machine is told, and as systemd-resolved was told by the network."""
_MOST: Final = 1 << 16
_WITHIN: Final = 5.0

Found = tuple[tuple[str, ...], str]


def addresses() -> Found:
    """Return this box's addresses, and the words for them. Raises `Unseen` if it has none."""
    found = kernel.addresses()
    if not found:
        raise Unseen("this box has no address in any network", "Is the cable in, or the Wi-Fi up? Look at: ip address")
    return tuple(each.address for each in found), _joined(map(str, found))


def gateways() -> Found:
    """Return the MAC addresses of the default gateways, and the words for them. Raises `Unseen` if none is known."""
    found = kernel.gateways()
    if not found:
        raise Unseen("there is no default gateway", "Look at: ip route")
    words = _joined(f"{each.mac or 'no answer'} ({each.address}, {each.link})" for each in found)
    macs = tuple(each.mac for each in found if each.mac)
    if not macs:
        raise Unseen(f"the default gateway does not answer: {_joined(each.address for each in found)}")
    return macs, words


def networks() -> Found:
    """Return the names of the wireless networks this box is in. Raises `Unseen` if it is in none."""
    found = kernel.wireless()
    if not found:
        raise Unseen("this box is in no wireless network")
    return tuple(each.ssid for each in found), _joined(f"{each.ssid} ({each.link})" for each in found)


def suffixes(files: Iterable[Path] = RESOLVERS) -> Found:
    """Return the search domains of this box. Raises `Unseen` if it has none."""
    found: dict[str, None] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                found.update(dict.fromkeys(search_domains(file.read(_MOST).decode("utf-8", "replace"))))
        except FileNotFoundError:
            continue
    if not found:
        raise Unseen("the network names no DNS suffix")
    return tuple(found), _joined(found)


def search_domains(text: str) -> list[str]:
    """Return the search domains of a resolv.conf(5), in lower case: those of its last `search` or `domain` line."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in {"search", "domain"}:
            found = [name for word in words[1:] if (name := word.strip(".").lower())]
    return found


def plugs(every: float) -> dict[Kind, Polled[tuple[str, ...]]]:
    """Return a source of evidence for each of these kinds, looked at every so many seconds."""
    looks = {
        Kind.SUBNET: addresses,
        Kind.GATEWAY_MAC: gateways,
        Kind.SSID: networks,
        Kind.DNS_SUFFIX: suffixes,
    }
    return {kind: Polled(_in_a_thread(look), every=every, within=_WITHIN) for kind, look in looks.items()}


def _in_a_thread(look: Callable[[], Found]) -> Callable[[], asyncio.Future[Found]]:
    return lambda: asyncio.get_running_loop().run_in_executor(None, look)


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words)
