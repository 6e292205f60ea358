"""`[[location.evidence]]`: what is so about the network at a site and nowhere else."""

from __future__ import annotations

import re
from typing import Annotated, Final

import pydantic

from capacitord.config.diagnostics import Rejected
from capacitord.config.fields import Host, Mac, Port, Ssid, Subnet, Table, host
from capacitord.config.tables.node import NodeTable

_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}", re.ASCII)
_DIGEST_HINT: Final = "Ask for it: openssl x509 -in certificate.pem -noout -fingerprint -sha256"


def _suffix(value: str) -> str:
    """Return the name of a domain (RFC 1123 §2.1) in lower case, without dots around it."""
    name = value.strip(".").lower()
    if ":" in name or name.rpartition(".")[2].isdigit():
        msg = "is not the name of a domain"
        raise Rejected(msg, "Write it like stm.example.")
    host(name)
    return name


def _digest(value: str) -> str:
    """Return the SHA-256 of a certificate as 64 lower-case digits."""
    if _DIGEST.fullmatch(value) is None:
        msg = "is not a SHA-256 digest"
        raise Rejected(msg, _DIGEST_HINT)
    return value.replace(":", "").lower()


DnsSuffix = Annotated[
    str,
    pydantic.AfterValidator(_suffix),
    pydantic.WithJsonSchema({"type": "string", "pattern": r"^\.?[0-9A-Za-z_][0-9A-Za-z_.-]{0,252}$"}),
]
Digest = Annotated[
    str,
    pydantic.AfterValidator(_digest),
    pydantic.WithJsonSchema({"type": "string", "pattern": f"^(?:{_DIGEST.pattern})$"}),
]


class EndpointTable(Table):
    """`endpoint`: something that listens in the network of the site."""

    host: Host
    """Its host name or IP address."""
    port: Port
    """Its TCP port."""
    certificate_sha256: Digest | None = None
    """The SHA-256 of the certificate it shows over TLS. Without it, that it takes a TCP connection is enough."""


class EvidenceTable(Table):
    """`[[location.evidence]]`: something about the network that is so at this site and nowhere else.

    Each has exactly one key.
    """

    model_config = pydantic.ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    subnet: Subnet | None = None
    """An address of this box lies in it."""
    gateway_mac: Mac | None = None
    """The default gateway has this MAC address."""
    ssid: Ssid | None = None
    """This box is in the wireless network of that name."""
    dns_suffix: DnsSuffix | None = None
    """A search domain of this box is this one, or below it."""
    echo: NodeTable | None = None
    """This node answers a C-ECHO."""
    endpoint: EndpointTable | None = None
    """This listens, and shows this certificate."""
