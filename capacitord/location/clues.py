"""What was seen of the network, compared with what a profile asks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final, NamedTuple

from capacitord.location.evidence import Observation
from capacitord.location.probes import Probed
from capacitord.model.location import Clue, Kind, Says, Wanted

_LABELS: Final[Mapping[Kind, str]] = {
    Kind.SUBNET: "subnet",
    Kind.GATEWAY_MAC: "gateway",
    Kind.SSID: "Wi-Fi",
    Kind.DNS_SUFFIX: "DNS suffix",
    Kind.ECHO: "C-ECHO",
    Kind.ENDPOINT: "endpoint",
}


class Seen(NamedTuple):
    """What this box sees of its own networks, and what others answered."""

    local: Mapping[Kind, Observation[tuple[str, ...]]]
    probes: Mapping[Wanted, Observation[Probed]]


def label(kind: Kind) -> str:
    """Return what people call a kind of evidence."""
    return _LABELS[kind]


def clue(wanted: Wanted, seen: Seen) -> Clue:
    """Return what a piece of evidence says. What is not seen says nothing; only another certificate speaks against."""
    name = f"{label(wanted.kind)} {wanted.value}"
    if wanted.kind in {Kind.ECHO, Kind.ENDPOINT}:
        probe = seen.probes.get(wanted, Observation(problem="nobody asks it"))
        if probe.value is None:
            return Clue(wanted, Says.NOTHING, f"{name}: {probe.problem}")
        return Clue(wanted, probe.value.says, f"{name}: {probe.words}")
    found = seen.local.get(wanted.kind, Observation(problem="not looked at"))
    if found.value is None:
        return Clue(wanted, Says.NOTHING, f"{name}: {found.problem}")
    match = next((value for value in found.value if agrees(wanted, value)), None)
    if match is None:
        return Clue(wanted, Says.NOTHING, f"{name}: this box has {found.words}")
    more = f": {match} is in it" if wanted.kind is Kind.SUBNET else ""
    return Clue(wanted, Says.FOR, f"{name}{more}")


def agrees(wanted: Wanted, value: str) -> bool:
    """Tell whether something that was seen is what a profile asks for."""
    match wanted.kind:
        case Kind.SUBNET:
            network, address = ipaddress.ip_network(wanted.value), ipaddress.ip_address(value)
            return network.version == address.version and address in network
        case Kind.GATEWAY_MAC | Kind.SSID:
            return value == wanted.value
        case Kind.DNS_SUFFIX:
            return value == wanted.value or value.endswith(f".{wanted.value}")
        case Kind.ECHO | Kind.ENDPOINT:
            return False
