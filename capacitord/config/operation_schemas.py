"""What editors are told of the operations of a transform."""

from __future__ import annotations

from typing import Any, Final

from capacitord.config.fields import FILE_NAME
from capacitord.model.transform import Repertoire

_ATTRIBUTE: Final[dict[str, Any]] = {"type": "string", "pattern": r"^(?:\*\*\.)?[A-Z0-9(][^\s].*$"}
"""A keyword, a tag, or a path of them."""
_VALUE: Final[dict[str, Any]] = {"type": ["string", "number"]}


def _table(value: dict[str, Any]) -> dict[str, Any]:
    """Return a table of attributes, each with what is done to it."""
    return {"type": "object", "minProperties": 1, "propertyNames": _ATTRIBUTE, "additionalProperties": value}


def _parts(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


_LISTED: Final[dict[str, Any]] = {"type": "array", "items": _ATTRIBUTE, "minItems": 1}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_SET: Final = _table(
    {
        "anyOf": [
            _VALUE,
            _parts(
                {
                    "value": {**_VALUE, "description": 'The value; "{PatientID}" in it is that of another attribute.'},
                    "vr": {
                        "type": "string",
                        "pattern": "^[A-Z]{2}$",
                        "description": "The VR, for an attribute that no dictionary knows.",
                    },
                },
                "value",
            ),
        ]
    }
)
_REPLACE: Final = _table(
    _parts(
        {
            "pattern": {**_TEXT, "maxLength": 1000, "description": "An RE2 expression."},
            "with": {**_TEXT, "description": r"What replaces it; \1 is its first group."},
        },
        "pattern",
    )
)
_OTHERWISE: Final[dict[str, Any]] = {
    "default": {**_TEXT, "description": "What every other value becomes."},
    "strict": {"type": "boolean", "description": "Whether any other value fails the transform."},
}
_VALUES: Final[dict[str, Any]] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": _TEXT,
    "description": "Values, and what they become.",
}
_FILE: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": f"^{FILE_NAME}$",
    "description": "A CSV file beside the profile: a value and what it becomes on each row.",
}
_MAP: Final = _table(
    {"anyOf": [_parts({"table": _VALUES, **_OTHERWISE}, "table"), _parts({"file": _FILE, **_OTHERWISE}, "file")]}
)
_CLEAN: Final = _table(
    _parts(
        {
            "repertoire": {"enum": list(Repertoire), "description": 'The characters that stay; without it "ascii".'},
            "replacement": {
                **_TEXT,
                "description": "What another one becomes if nothing is like it; without it, nothing.",
            },
        }
    )
)
_HASH: Final = _table(
    _parts({"length": {"type": "integer", "minimum": 8, "maximum": 52, "description": "In characters; without it 16."}})
)
OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    "set": _SET,
    "set_missing": _SET,
    "remove": _LISTED,
    "copy": _table(_ATTRIBUTE),
    "replace": _REPLACE,
    "map": _MAP,
    "clean": {"anyOf": [_LISTED, _CLEAN]},
    "hash": {"anyOf": [_LISTED, _HASH]},
    "prefix": _table(_TEXT),
    "suffix": _table(_TEXT),
}
