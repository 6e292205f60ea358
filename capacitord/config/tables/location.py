"""`[location]`: how the box knows that it is at this site."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic

from capacitord.config.diagnostics import Finding, Rejected, Rejections, suggestion
from capacitord.config.fields import FILE_NAME, Duration, Table
from capacitord.config.positions import Key
from capacitord.config.tables.evidence import EvidenceTable
from capacitord.model.location import Agreement

MOST_POSITIONS: Final = 20_000
_ENOUGH: Final = 20
"""Positions that are none are told one by one up to here: whoever has more has made one mistake many times."""
_TYPES: Final = {"Polygon": 2, "MultiPolygon": 3}
"""How deeply the lists of positions are nested (RFC 7946 §3.1)."""
_LEVELS: Final = {
    "Polygon": "A Polygon is a list of rings, a ring a list of positions: [[[-87.63, 41.88], …]] (RFC 7946 §3.1.6).",
    "MultiPolygon": "A MultiPolygon is a list of Polygons: [[[[-87.63, 41.88], …]]] (RFC 7946 §3.1.7).",
}
_HINT: Final = 'Write it like { type = "Polygon", coordinates = [[[-87.63, 41.88], …, [-87.63, 41.88]]] } (RFC 7946).'


def geometry(value: object) -> dict[str, Any]:
    """Return a GeoJSON geometry as it is, if it is built like one; what it means is checked in `location`."""
    if not isinstance(value, Mapping):
        msg = "must be a GeoJSON geometry"
        file = f'If it is in a file beside the profile: {{ file = "{value[:80]}" }}.' if isinstance(value, str) else ""
        raise Rejected(msg, file or _HINT)
    if "geometry" in value or "features" in value:
        msg = "must be the geometry only, and not what is around it"
        raise Rejected(
            msg, 'Write what stands behind "geometry"; a whole GeoJSON file can be named: { file = "site.geojson" }.'
        )
    kind = value.get("type")
    hint = "A geometry has type and coordinates (RFC 7946 §3.1), always in WGS 84."
    findings = [Finding((str(name),), "is not known here", hint, at_key=True) for name in value if name not in _PARTS]
    if not isinstance(kind, str) or kind not in _TYPES:
        message = "is missing" if kind is None else "must be Polygon or MultiPolygon"
        findings.append(Finding(("type",), message, suggestion(str(kind), _TYPES) if kind else _HINT))
    if "coordinates" not in value:
        findings.append(Finding(("coordinates",), "is missing", _HINT))
    elif isinstance(kind, str) and kind in _TYPES:
        depth, wanted = _depth(value["coordinates"]), _TYPES[kind] + 1
        if depth not in {0, wanted}:
            words = f"has {depth} levels of brackets, and a {kind} has {wanted}"
            findings.append(Finding(("coordinates",), words, _LEVELS[kind]))
        else:
            findings += _nested(value["coordinates"], _TYPES[kind], ("coordinates",))
    if findings:
        raise Rejections(findings[:_ENOUGH])
    return dict(value)


_FAR: Final = 1e6
"""No coordinate is that large, in degrees or in metres of height."""
_PARTS: Final = ("type", "coordinates", "bbox")


def _depth(value: object) -> int:
    """Return how deeply lists are nested down to the first number; 0 if there is none."""
    for depth in range(6):
        if not isinstance(value, list):
            return depth if _finite(value) else 0
        value = value[0] if value else None
    return 0


def _nested(value: object, depth: int, key: Key) -> list[Finding]:
    """Return what is wrong with lists of positions, `depth` lists deep above the positions' own."""
    if not isinstance(value, list) or not value:
        return [Finding(key, "must be a list that is not empty", _HINT)]
    if depth:
        found: list[Finding] = []
        for number, part in enumerate(value):
            found += _nested(part, depth - 1, (*key, number))
        return found if len(value) <= MOST_POSITIONS else [Finding(key, f"has more than {MOST_POSITIONS} entries")]
    if len(value) not in {2, 3} or not all(_finite(part) for part in value):
        return [Finding(key, "is not a position", "A position is [longitude, latitude] in degrees, as WGS 84.")]
    return []


def _finite(value: object) -> bool:
    # No whole number is beyond a float here: it would be too large to be one, and is no degree.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _FAR and not math.isnan(value)


def _dwell(seconds: float) -> float:
    if not 1 <= seconds <= 3600:
        msg = "must be between one second and one hour"
        raise Rejected(msg, "90s keeps a coach that drives by from counting.")
    return seconds


_POSITION: Final[dict[str, Any]] = {
    "type": "array",
    "description": "A position: [longitude, latitude] in degrees, as WGS 84.",
    "prefixItems": [
        {"type": "number", "minimum": -180, "maximum": 180},
        {"type": "number", "minimum": -90, "maximum": 90},
    ],
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 3,
}
_RINGS: Final[dict[str, Any]] = {
    "type": "array",
    "description": "The outline, and behind it the outlines of holes; each ends where it begins.",
    "items": {"type": "array", "items": _POSITION, "minItems": 4},
    "minItems": 1,
}
_BOX: Final[dict[str, Any]] = {"type": "array", "description": "What it fits in; not looked at."}


def _shape(kind: str, coordinates: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "coordinates"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": kind, "description": "What the coordinates are."},
            "coordinates": coordinates,
            "bbox": _BOX,
        },
    }


_AREAS: Final[dict[str, Any]] = {
    "type": "array",
    "description": "The rings of each area.",
    "items": _RINGS,
    "minItems": 1,
}
GEOMETRY: Final[dict[str, Any]] = {
    "description": "Where the site is: a GeoJSON geometry (RFC 7946, WGS 84), or the file beside the profile it is in.",
    "oneOf": [
        _shape("Polygon", _RINGS),
        _shape("MultiPolygon", _AREAS),
        {
            "type": "object",
            "required": ["file"],
            "additionalProperties": False,
            "properties": {
                "file": {
                    "type": "string",
                    "pattern": f"^{FILE_NAME}$",
                    "description": "A GeoJSON file beside the profile.",
                }
            },
        },
    ],
}
Geometry = Annotated[dict[str, Any], pydantic.BeforeValidator(geometry), pydantic.WithJsonSchema(GEOMETRY)]


class LocationTable(Table):
    """`[location]`: how the box knows that it is at this site."""

    geofence: Geometry | None = None
    """Where the site is: a GeoJSON geometry (RFC 7946, WGS 84)."""
    dwell: Annotated[Duration, pydantic.AfterValidator(_dwell)] = 90.0
    """How long the coach must have been inside before it counts."""
    network: Annotated[Agreement, pydantic.Field(strict=False)] = Agreement.ANY
    """How much of the evidence below must agree with the position."""
    evidence: list[EvidenceTable] = pydantic.Field(default=[], max_length=50)
    """What is so about the network at this site."""
