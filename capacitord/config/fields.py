"""The kinds of values that configuration and profiles have in common, each with its rule."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import pydantic

from capacitord.config import units
from capacitord.config.diagnostics import Finding, Rejected, Rejections, nearest, quoted, suggestion
from capacitord.config.file_names import is_plain
from capacitord.config.schedules import HINT as SCHEDULE_HINT
from capacitord.config.schedules import parse_window
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.errors import Invalid
from capacitord.model import patterns
from capacitord.model.schedule import Window

_Parsed = TypeVar("_Parsed")
_UID: Final = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)


class Table(pydantic.BaseModel):
    """A table of a TOML file: no unknown keys, no conversions, never changed."""

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True
    )


def ae_title(value: str) -> str:
    """Return an AE title as it is.

    PS3.5 §6.2: at most 16 characters of the default repertoire, no backslash or control character, not only spaces.
    """
    if not 1 <= len(value) <= 16:
        msg = "must have 1 to 16 characters"
        raise Rejected(msg, "An AE title is a short name like STM_PACS (PS3.5 §6.2).")
    if not value.isascii() or not value.isprintable() or "\\" in value:
        msg = "has a character that an AE title can't have"
        raise Rejected(msg, "Use letters, digits, spaces and ASCII punctuation, but no backslash (PS3.5 §6.2).")
    if not value.strip():
        msg = "has nothing but spaces"
        raise Rejected(msg, "An AE title is a short name like STM_PACS (PS3.5 §6.2).")
    if value != value.strip():
        msg = "begins or ends with a space"
        raise Rejected(msg, "Leave them out; DICOM ignores them (PS3.5 §6.2).")
    return value


def uid(value: str) -> str:
    """Return a UID as it is (PS3.5 §9.1)."""
    if len(value) > 64 or _UID.fullmatch(value) is None:
        msg = "is not a UID"
        raise Rejected(msg, "A UID is digits and dots, at most 64 of them (PS3.5 §9.1).")
    return value


def transfer_syntax(value: str) -> str:
    """Return the UID of a transfer syntax that is given by its keyword or by its UID."""
    if value in TRANSFER_SYNTAXES:
        return TRANSFER_SYNTAXES[value]
    if value in TRANSFER_SYNTAXES.values():
        return value
    msg = f"{quoted(value)} is not a transfer syntax this box knows"
    raise Rejected(msg, suggestion(value, TRANSFER_SYNTAXES) or 'Write it like "JPEG2000Lossless", or its UID.')


def slug(value: str) -> str:
    """Return an id as it is: lower-case letters, digits and dashes."""
    if _SLUG.fullmatch(value) is None:
        msg = "is not an id"
        raise Rejected(msg, "Use lower-case letters, digits and dashes, at most 64, like st-marys.")
    return value


def text(value: str) -> str:
    """Return a name for people as it is: one line that is not empty."""
    if not value.strip() or not value.isprintable():
        msg = "must be one line of text that is not empty"
        raise Rejected(msg)
    return value


def host(value: str) -> str:
    """Return a host name (RFC 1123 §2.1) or the IP address of one node as it is."""
    name = value.removesuffix(".")
    try:
        ip = ipaddress.ip_address(value)
    except ValueError:
        labels = name.split(".")
        named = len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
        if not named or labels[-1].isdigit():
            msg = "is neither a host name nor an IP address"
            raise Rejected(msg, _host_hint(value)) from None
        return value
    if ip.is_unspecified or ip.is_multicast or value == "255.255.255.255":
        msg = "is an address that no node has"
        raise Rejected(msg, "Write the address at which the node listens.")
    return value


def _host_hint(value: str) -> str:
    bare, colon, port = value.rpartition(":")
    if colon and port.isdigit() and bare:
        return f'Write the port by itself: host = "{bare.strip("[]")[:253]}" and port = {port[:5]}.'
    if value.startswith("[") and value.endswith("]"):
        return "Leave the brackets out."
    return "Write it like pacs.example.org or 10.20.1.10, without a port."


def address(value: str) -> str:
    """Return an IP address of this machine as it is."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        msg = "is not an IP address"
        raise Rejected(msg, 'Write 0.0.0.0 for all of IPv4, "::" for all of IPv6 and IPv4.') from None
    return value


def network(value: str) -> str:
    """Return an address range as it is."""
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        if "host bits" in str(error):
            whole = ipaddress.ip_network(value, strict=False)
            msg = "has bits of a host"
            raise Rejected(msg, f"Write {whole} for the range, or the address by itself for one address.") from None
        msg = "is not an address range"
        raise Rejected(msg, "Write it like 10.20.0.0/16, or 10.20.1.10 for one address.") from None
    return value


def subnet(value: str) -> str:
    """Return an address range as it is: one that some place can be told from others by."""
    found = ipaddress.ip_network(network(value))
    if found.prefixlen == 0 or found.is_loopback:
        msg = "holds an address of every machine"
        raise Rejected(msg, "Write the range that is this site's, like 10.20.0.0/16.")
    return value


def timezone(value: str) -> str:
    """Return the name of a time zone, which means the same on every machine."""
    first = value.partition("/")[0]
    try:
        if first in _LOCAL:
            raise zoneinfo.ZoneInfoNotFoundError(value)  # noqa: TRY301 - one way out for all that is no zone
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{quoted(value)} is not a time zone this machine knows"
        raise Rejected(msg, _zone_hint(value)) from None
    return value


_LOCAL: Final = frozenset({"localtime", "posixrules", "Factory", "posix", "right"})
"""Files beside the zones: what they mean hangs on the machine, or counts leap seconds."""


def _zone_hint(value: str) -> str:
    """Return the zone that may be meant: by its name, or by that of its city."""
    usual = 'Zones are named by a city, like "America/Chicago" or "Europe/London" (IANA).'
    if len(value) <= len("UTC-06:00") and not value.islower() and value.upper() == value:
        return usual  # an abbreviation, such as CST, is that of several zones
    zones = sorted(zoneinfo.available_timezones() - _LOCAL)
    cities = {zone.rpartition("/")[2]: zone for zone in zones}
    city = nearest(value.replace(" ", "_"), cities, alike=0.8) if "/" not in value else ""
    near = cities[city] if city else nearest(value, zones) if "/" in value else ""
    return f"Did you mean {near}?" if near else usual


def mac(value: str) -> str:
    """Return a MAC address (IEEE 802) in lower case, with colons."""
    if _MAC.fullmatch(value) is None:
        digits = re.sub(r"[.: -]", "", value).lower()
        example = ":".join(re.findall("..", digits)) if re.fullmatch(r"[0-9a-f]{12}", digits) else "00:11:22:33:44:55"
        msg = "is not a MAC address"
        raise Rejected(msg, f"Write it like {example}.")
    found = value.lower().replace("-", ":")
    if int(found[:2], 16) & 1 or not int(found.replace(":", ""), 16):
        msg = "is a group's MAC address or none at all"
        raise Rejected(msg, "A gateway has an address of its own: look at `ip neighbour`.")
    return found


def ssid(value: str) -> str:
    """Return the name of a wireless network as it is: at most 32 octets (IEEE 802.11)."""
    if not 1 <= len(value.encode()) <= 32:
        msg = "must have 1 to 32 octets"
        raise Rejected(msg, "An SSID is the name of a wireless network, capitals and all.")
    return value


def url(value: str) -> str:
    """Return the URL of a DICOMweb service as it is."""
    hint = "Write it like https://dicom.example.org/studies."
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        msg = "is not a URL"
        raise Rejected(msg, hint) from None
    if parts.scheme == "http":
        msg = "would send images in the clear"
        raise Rejected(msg, "Use https.")
    if parts.scheme != "https" or not parts.hostname or not value.isascii() or not value.isprintable() or " " in value:
        msg = "is not a URL"
        raise Rejected(msg, hint)
    if parts.username is not None or parts.query or parts.fragment:
        msg = "has a user name, a query or a fragment"
        raise Rejected(msg, "Leave them out; a token goes into a file of its own: token_file.")
    host(parts.hostname)
    return value


def file_name(value: str) -> str:
    """Return the name of a file that lies beside the profile, or below, as it is."""
    path = PurePosixPath(value)
    if not value.isprintable() or not path.name or len(value) > 255:
        msg = "is not the name of a file"
        raise Rejected(msg, "Write it like st-marys-ca.pem.")
    if path.is_absolute() or ".." in path.parts:
        msg = "leads out of the folder of the profile"
        raise Rejected(msg, "Put the file beside the profile, and name it without a path.")
    if not is_plain(value):
        msg = "is hidden, or not written plainly"
        raise Rejected(msg, "Write it like st-marys-ca.pem.")
    return value


def each_once(values: list[str], *, shown: Callable[[str], str] = quoted) -> list[str]:
    """Return a list as it is, in which nothing is twice; `shown` writes what is."""
    twice = [
        Finding((number,), f"{shown(value)} is in this list already", "Leave one of them out.")
        for number, value in enumerate(values)
        if value in values[:number]
    ]
    if twice:
        raise Rejections(twice)
    return values


def regex(value: str) -> str:
    """Return a regular expression as it is."""
    try:
        patterns.compiled(value)
    except Invalid as error:
        raise Rejected(error.message, error.hint) from None
    return value


def _read(parse: Callable[[str], _Parsed], words: str, hint: str) -> Callable[[Any], _Parsed]:
    def convert(value: Any) -> _Parsed:
        if not isinstance(value, str):
            raise Rejected(words, hint)
        try:
            return parse(value)
        except Invalid as error:
            raise Rejected(error.message, error.hint) from None

    return convert


def _of(kind: Callable[[str], str]) -> pydantic.AfterValidator:
    return pydantic.AfterValidator(kind)


def written(example: str, pattern: str = "") -> pydantic.WithJsonSchema:
    """Return what an editor is told of a value that is written as a text."""
    return _schema(pattern, examples=[example])


def _schema(pattern: str = "", **more: Any) -> pydantic.WithJsonSchema:
    return pydantic.WithJsonSchema({"type": "string", **({"pattern": f"^(?:{pattern})$"} if pattern else {}), **more})


def _units(names: Iterable[str]) -> str:
    return rf"[0-9]+(?:\.[0-9]+)?\s?(?:{'|'.join(names)})"


_DAY: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DAYS: Final = rf"{_DAY}(?:\s*-\s*{_DAY})?(?:\s*,\s*{_DAY}(?:\s*-\s*{_DAY})?)*"
_HOURS: Final = r"[0-2]?[0-9]:[0-5][0-9]\s*-\s*[0-2]?[0-9]:[0-5][0-9]"
WINDOW: Final = rf"\s*(?:{_DAYS}\s*)?{_HOURS}\s*|\s*{_DAYS}\s*"
"""Of what form a window of time is."""
FILE_NAME: Final = r"(?!/)(?!(?:.*/)?\.\.(?:/|$)).+"
DURATION: Final = rf"{_units(units.SECONDS)}(?:\s?{_units(units.SECONDS)})*"
_AE: Final = r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?"
_RANGE: Final = "[0-9A-Fa-f:.]+(?:/[0-9.]+)?"
_HOST: Final = r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,253}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z]+)?"
Duration = Annotated[
    float,
    pydantic.BeforeValidator(_read(units.parse_duration, "must be a duration", units.DURATION_HINT)),
    written("1h30m", DURATION),
]
Size = Annotated[
    int,
    pydantic.BeforeValidator(_read(units.parse_size, "must be a size", units.SIZE_HINT)),
    written("200 MB", _units(units.SIZES)),
]
Rate = Annotated[
    int,
    pydantic.BeforeValidator(_read(units.parse_rate, "must be a rate", units.RATE_HINT)),
    written("8 Mbit/s", _units(units.RATES)),
]
Space = Annotated[
    units.Space,
    pydantic.BeforeValidator(_read(units.parse_space, "must be a size or a share", units.SPACE_HINT)),
    written("5%"),
]
TimeWindow = Annotated[
    Window,
    pydantic.BeforeValidator(_read(parse_window, "must be a window of time", SCHEDULE_HINT)),
    written("Mon-Fri 19:00-06:00", WINDOW),
]
AeTitle = Annotated[str, _of(ae_title), _schema(_AE)]
Uid = Annotated[str, _of(uid)]
TransferSyntax = Annotated[
    str,
    _of(transfer_syntax),
    pydantic.WithJsonSchema(
        {"type": "string", "anyOf": [{"enum": list(TRANSFER_SYNTAXES)}, {"enum": list(TRANSFER_SYNTAXES.values())}]}
    ),
]
Slug = Annotated[str, _of(slug), _schema(_SLUG.pattern)]
Text = Annotated[str, pydantic.Field(max_length=200), _of(text), _schema(r".*\S.*", maxLength=200)]
Host = Annotated[str, _of(host), _schema(_HOST)]
Address = Annotated[str, _of(address)]
Network = Annotated[str, _of(network), _schema(_RANGE)]
Subnet = Annotated[str, _of(subnet), _schema(_RANGE)]
Timezone = Annotated[str, _of(timezone), _schema("[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")]
Mac = Annotated[str, _of(mac), _schema("(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")]
Ssid = Annotated[str, _of(ssid), _schema(minLength=1, maxLength=32)]
Url = Annotated[str, _of(url), _schema("https://[^ ?#@]+")]
FileName = Annotated[str, _of(file_name), _schema(FILE_NAME)]
Regex = Annotated[str, _of(regex)]
Port = Annotated[int, pydantic.Field(ge=1, le=65535)]
