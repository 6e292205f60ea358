"""The kinds of values that configuration and profiles have in common, each with its rule."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, TypeVar

import pydantic

from capacitord.config import units
from capacitord.config.diagnostics import Rejected, suggestion
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.errors import Invalid

_Parsed = TypeVar("_Parsed")
_UID: Final = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)


class Table(pydantic.BaseModel):
    """A table of a TOML file: no unknown keys, no conversions, never changed.

    `LATER` lists keys that a later version will know, with what they are about.
    """

    LATER: ClassVar[Mapping[str, str]] = MappingProxyType({})
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


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
    msg = f"{value!r} is not a transfer syntax this box knows"
    raise Rejected(msg, suggestion(value, TRANSFER_SYNTAXES))


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
    """Return a host name (RFC 1123 §2.1) or an IP address as it is."""
    name = value.removesuffix(".")
    try:
        ipaddress.ip_address(value)
    except ValueError:
        labels = name.split(".")
        named = len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
        if not named or labels[-1].isdigit():
            msg = "is neither a host name nor an IP address"
            raise Rejected(msg, "Write it like pacs.example.org or 10.20.1.10, without a port.") from None
    return value


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
        words = "has bits of a host" if "host bits" in str(error) else "is not an address range"
        raise Rejected(words, "Write it like 10.20.0.0/16, or 10.20.1.10 for one address.") from None
    return value


def timezone(value: str) -> str:
    """Return the name of a time zone that this machine knows."""
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{value!r} is not a time zone this machine knows"
        raise Rejected(msg, suggestion(value, zoneinfo.available_timezones())) from None
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


Duration = Annotated[
    float, pydantic.BeforeValidator(_read(units.parse_duration, "must be a duration", units.DURATION_HINT))
]
Size = Annotated[int, pydantic.BeforeValidator(_read(units.parse_size, "must be a size", units.SIZE_HINT))]
Space = Annotated[
    units.Space, pydantic.BeforeValidator(_read(units.parse_space, "must be a size or a share", units.SPACE_HINT))
]
AeTitle = Annotated[str, _of(ae_title)]
Uid = Annotated[str, _of(uid)]
TransferSyntax = Annotated[str, _of(transfer_syntax)]
Slug = Annotated[str, _of(slug)]
Text = Annotated[str, pydantic.Field(max_length=200), _of(text)]
Host = Annotated[str, _of(host)]
Address = Annotated[str, _of(address)]
Network = Annotated[str, _of(network)]
Timezone = Annotated[str, _of(timezone)]
Port = Annotated[int, pydantic.Field(ge=1, le=65535)]
