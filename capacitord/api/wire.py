"""A request as HTTP and back: the one place that knows which field travels where.

Path parameters come from the route's path; all other fields travel in the query (GET) or in a JSON object (POST).
Fields that have their default stay at home.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from capacitord.api.routes import Route
from capacitord.errors import Invalid

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Target(NamedTuple):
    """A request line's two parts and its body, None for none."""

    method: str
    target: str
    body: bytes | None


def path_parameters(route: Route) -> tuple[str, ...]:
    """Return the names of the fields that travel in the route's path."""
    return tuple(_PARAMETER.findall(route.path))


def encode(route: Route, message: msgspec.Struct) -> Target:
    """Return the HTTP form of a request. Raises `Invalid` for a name that no path can hold."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    in_path = {name: _segment(str(fields.pop(name))) for name in path_parameters(route)}
    target = route.path.format(**in_path)
    defaults = _defaults(route.request)
    fields = {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}
    if route.method == "GET":
        query = urlencode({name: _text(value) for name, value in fields.items()})
        return Target("GET", f"{target}?{query}" if query else target, None)
    return Target(route.method, target, msgspec.json.encode(fields))


def decode(
    route: Route, path: Mapping[str, str], query: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> msgspec.Struct:
    """Return the request that HTTP carried: `path` parameters decoded, `query` as pairs, `body` as it came.

    Raises `Invalid` for a field that is unknown, missing, given twice or of the wrong type.
    """
    fields: dict[str, Any] = {}
    if route.method == "GET":
        for name, value in query:
            if name in fields:
                msg = f"{name} is given twice"
                raise Invalid(msg, hint="Give every parameter once.")
            fields[name] = value
    elif body:
        fields = _object(body)
    twice = fields.keys() & path.keys()
    if twice:
        msg = f"{min(twice)} is given in the path and again beside it"
        raise Invalid(msg, hint="Give every parameter once.")
    try:
        request: msgspec.Struct = msgspec.convert(fields | dict(path), route.request, strict=route.method != "GET")
    except msgspec.ValidationError as error:
        msg = f"{route.name}: {error}"
        raise Invalid(msg, hint="The fields of every request are in the OpenAPI document of this daemon.") from None
    return request


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        msg = "the body is not a JSON object"
        raise Invalid(msg, hint="Send the fields of the request as one JSON object.") from None


def _defaults(request: type[msgspec.Struct]) -> dict[str, Any]:
    found = {}
    for field in msgspec.structs.fields(request):
        if not field.required:
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            found[field.name] = msgspec.to_builtins(default)
    return found


def _segment(value: str) -> str:
    if value in {"", ".", ".."}:
        msg = f"{value!r} is not a name"
        raise Invalid(msg, hint="Name it by its id.")
    return quote(value, safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
