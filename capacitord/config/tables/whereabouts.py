"""`[location]` of the box: what it finds out by where it is."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NamedTuple

import pydantic

from capacitord.config.diagnostics import Rejected
from capacitord.config.fields import Duration, Table, host
from capacitord.model.presence import LEAVE_AFTER

_METRES: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s?(m|km)", re.ASCII)
_METRES_HINT: Final = 'Write it like "100 m", or 100.'
_GPSD_HINT: Final = 'Write it like "127.0.0.1:2947": where gpsd listens.'
LEAST_ERROR: Final = 1.0
MOST_ERROR: Final = 1000.0
"""Metres. A position that may be further off than that tells no two sites apart."""


class HostPort(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host_port(value: Any) -> HostPort:
    if isinstance(value, HostPort):
        return value
    name, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        msg = "must be a host and a port"
        raise Rejected(msg, _GPSD_HINT)
    if ":" in name and not (name.startswith("[") and name.endswith("]")):
        msg = "has an IPv6 address without brackets"
        raise Rejected(msg, 'Write it like "[::1]:2947".')
    return HostPort(host(name.removeprefix("[").removesuffix("]")), int(port))


def _metres(value: Any) -> float:
    metres = float("nan")
    if isinstance(value, str) and (found := _METRES.fullmatch(value)) is not None:
        metres = float(found[1]) * (1000 if found[2] == "km" else 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        metres = float(value)
    if not LEAST_ERROR <= metres <= MOST_ERROR:
        msg = "must be a length between 1 m and 1 km"
        raise Rejected(msg, _METRES_HINT)
    return metres


def _between(least: float, most: float, words: str) -> pydantic.AfterValidator:
    def check(seconds: float) -> float:
        if not least <= seconds <= most:
            msg = f"must be between {words}"
            raise Rejected(msg)
        return seconds

    return pydantic.AfterValidator(check)


def _device(value: str) -> str:
    if not value.startswith("/") or not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
        msg = "is not the path of a device"
        raise Rejected(msg, 'Write it as gpsd names it, like "/dev/ttyUSB0".')
    return value


class WhereaboutsTable(Table):
    """`[location]`: whether the box follows what it finds out of where it is, and how it does."""

    follow: bool = True
    """Whether the site is chosen by evidence, on a box that has profiles with evidence. Otherwise a person does."""
    gpsd: Annotated[HostPort, pydantic.BeforeValidator(_host_port)] | None = None
    """Where gpsd listens; without it this box has no GPS."""
    device: Annotated[str, pydantic.Field(max_length=200), pydantic.AfterValidator(_device)] | None = None
    """The one receiver of gpsd to listen to; all of them without it."""
    max_age: Annotated[Duration, _between(2, 300, "two seconds and five minutes")] = 10.0
    """A position that is older is none."""
    max_error: Annotated[float, pydantic.BeforeValidator(_metres)] = 100.0
    """A position that may be further off than so many metres, by what the receiver says, is none.

    Geofences are kept clear of by 1.5 times what it says.
    """
    leave_after: Annotated[Duration, _between(1, 3600, "one second and one hour")] = LEAVE_AFTER
    """How long the evidence must say that the box is elsewhere before it leaves a site."""
    poll: Annotated[Duration, _between(1, 60, "one second and one minute")] = 5.0
    """How often it looks at the network."""
