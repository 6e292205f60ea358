"""The OpenAPI 3.1 document of the control socket, made from the routes and their types and from nothing else."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from capacitord import __version__
from capacitord.api import wire
from capacitord.api.messages import Refusal
from capacitord.api.routes import ROUTES, Form, Route

PATH: Final = "/v1/openapi.json"
_REFUSALS: Final = {
    400: "The request, or the profile in it, is wrong.",
    403: "The peer's groups do not allow it, or the key does not fit.",
    404: "What was named does not exist.",
    405: "The path does not take this method.",
    408: "The request did not arrive in time.",
    409: "A safety rule says no, or the box key is not available.",
    413: "The request is too large.",
    500: "It failed.",
    503: "It cannot be done now, and may be done later.",
}
_ABOUT: Final = (
    "HTTP/1.1 and JSON on a Unix socket. The peer's credentials decide what it may do. Fields are only ever added. "
    "Streams are lines of JSON (application/x-ndjson), each of the type that x-line names."
)


def document() -> dict[str, Any]:
    """Return the document as plain data."""
    kinds: list[Any] = [Refusal]
    for route in ROUTES:
        kinds.append(route.request)
        if route.form in {Form.JSON, Form.NDJSON}:
            kinds.append(route.response)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operation = _operation(route, found, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "capacitord", "version": __version__, "description": _ABOUT},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components},
    }


def _operation(route: Route, found: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    shape = components[route.request.__name__]
    in_path = wire.path_parameters(route)
    elsewhere = {name: schema for name, schema in shape["properties"].items() if name not in in_path}
    required = [name for name in shape.get("required", ()) if name not in in_path]
    parameters = [_parameter(name, "path", shape["properties"][name], required=True) for name in in_path]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": shape.get("description", ""),
        "x-permission": route.permission.value,
    }
    if route.method == "GET":
        parameters += [
            _parameter(name, "query", schema, required=name in required) for name, schema in elsewhere.items()
        ]
    elif elsewhere:
        body = {"type": "object", "properties": elsewhere, "required": required, "additionalProperties": False}
        operation["requestBody"] = {"required": bool(required), "content": {"application/json": {"schema": body}}}
    if parameters:
        operation["parameters"] = parameters
    operation["responses"] = {"200": _success(route, found)} | {
        str(status): _refusal(words) for status, words in _REFUSALS.items()
    }
    if route.is_audited:
        operation["description"] += " It is written to the audit log."
    return operation


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _success(route: Route, found: dict[int, Any]) -> dict[str, Any]:
    match route.form:
        case Form.JSON:
            content: dict[str, Any] = {"schema": found[id(route.response)]}
        case Form.NDJSON:
            content = {"schema": {"type": "string"}, "x-line": found[id(route.response)]}
        case Form.TAR | Form.PNG:
            content = {"schema": {"type": "string", "contentEncoding": "binary"}}
    return {"description": route.summary, "content": {route.form.value: content}}


def _refusal(words: str) -> dict[str, Any]:
    return {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
