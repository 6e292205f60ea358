"""Whether the area of a site is one: explained in the words of a map, with the coordinate that is wrong.

Positions are [longitude, latitude] in degrees (RFC 7946 §3.1.1, WGS 84).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import shapely
from shapely.geometry import shape
from shapely.validation import explain_validity

from capacitord.config.diagnostics import Finding, Rejected
from capacitord.config.fields import timezone
from capacitord.config.positions import Key
from capacitord.config.tables.location import geometry
from capacitord.location.fences import in_one

SMALLEST: Final = 400.0
"""Square metres: less than the coach and the error of its position take."""
LARGEST: Final = 50e6
"""Square metres: more than any facility."""
WIDEST: Final = 50_000.0
"""Metres from one end of a site to the other."""
_EARTH: Final = 6_371_008.8
"""Mean radius in metres."""
_NOTHING: Final = 1e-14
"""Square degrees: less than a square decimetre."""
_KEY: Final[Key] = ("location", "geofence")
_PLACE: Final = re.compile(r"^(.*?)\[([-+0-9.eE]+) ([-+0-9.eE]+)\]$")
_SWAPPED: Final = "Longitude comes first: [longitude, latitude]. Are they swapped?"
_FAR: Final = 60.0
"""Degrees that a site may be away from where the sun says its time zone is."""
_ODD: Final = 25.0
"""Degrees that are seldom, and a sign of swapped coordinates if the other way round it is at most `_NEAR`."""
_NEAR: Final = 20.0

Check = tuple[list[Finding], list[Finding]]
Rings = list[tuple[Key, list[list[float]]]]


def check(tables: Mapping[str, Any]) -> Check:
    """Return what is wrong with the geofence of a profile, and what is worth a warning."""
    location = tables.get("location")
    fence = location.get("geofence") if isinstance(location, Mapping) else None
    try:
        found = geometry(fence)
    except ValueError:
        return [], []  # none, or one that is not built like one, of which the profile's own check speaks
    wrong = [finding for key, ring in _rings(found) for finding in _ring(key, ring)]
    if wrong:
        return wrong, []
    area = shape(found)
    if not area.is_valid:
        return [_crossing(area, found)], []
    area = in_one(area)
    across = _metres_across(area)
    if across > WIDEST:
        words = f"reaches over {across / 1000:.0f} km, further than any facility ({WIDEST / 1000:.0f} km)"
        return [Finding(_KEY, words, "Draw it around the premises only; is a coordinate mistyped?")], []
    size = square_metres(area)
    if size < SMALLEST:
        words = f"is {size:.0f} m², smaller than a coach and the error of its position ({SMALLEST:.0f} m²)"
        return [Finding(_KEY, words, "Draw it around the whole premises.")], []
    if size > LARGEST:
        words = f"is {size / 1e6:.0f} km², larger than any facility ({LARGEST / 1e6:.0f} km²)"
        return [Finding(_KEY, words, "Draw it around the premises only; is a coordinate mistyped?")], []
    return [], list(_elsewhere(area, tables.get("timezone")))


def overlaps(tables: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return which of `others`, profiles by the name to call them, have areas that overlap with that of a profile."""
    here = area_of(tables)
    if here is None:
        return []
    areas = {name: area for name, other in others.items() if (area := area_of(other)) is not None}
    found = [_overlap(name, here, there) for name, there in areas.items()]
    return [finding for finding in found if finding is not None]


def overlapping(sites: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Finding]]:
    """Return which areas of many profiles overlap: the name of one, that of an earlier one, and what to say of it."""
    areas = {name: area for name, tables in sites.items() if (area := area_of(tables)) is not None}
    if not areas:
        return []
    names, shapes = list(areas), list(areas.values())
    meeting = shapely.STRtree(shapes).query(shapes, predicate="intersects").T.tolist()
    pairs = sorted((one, other) for one, other in meeting if other < one)
    found = [(names[one], names[other], _overlap(names[other], shapes[one], shapes[other])) for one, other in pairs]
    return [(one, other, finding) for one, other, finding in found if finding is not None]


def _overlap(name: str, here: Any, there: Any) -> Finding | None:
    """Return what to say of an area that overlaps with that of `name`; None if it is less than a square metre."""
    if not here.intersects(there):
        return None
    common = here.intersection(there)
    if (size := square_metres(common)) < 1:
        return None
    middle = common.representative_point()
    words = f"overlaps with that of {name}: {size:.0f} m² around [{middle.x:.5f}, {middle.y:.5f}]"
    hint = "There the position does not tell the sites apart; draw one smaller, or rely on network evidence."
    return Finding(_KEY, words, hint)


def area_of(tables: Mapping[str, Any]) -> Any | None:
    """Return the area of a profile as a shapely geometry, None if it has none that is right."""
    location = tables.get("location")
    if not isinstance(location, Mapping) or "geofence" not in location or check(tables)[0]:
        return None
    try:
        return shape(geometry(location["geofence"]))
    except ValueError:
        return None


def square_metres(area: Any) -> float:
    """Return the size of an area of at most some kilometres: on a plane that touches the earth there."""
    bounds = area.bounds
    if not bounds or math.isnan(bounds[0]):
        return 0.0
    narrow = math.cos(math.radians((bounds[1] + bounds[3]) / 2))
    degree = math.radians(1) * _EARTH
    return float(area.area) * narrow * degree * degree


def _metres_across(area: Any) -> float:
    """Return the length of the diagonal of what an area fits in."""
    west, south, east, north = area.bounds
    narrow = math.cos(math.radians((south + north) / 2))
    return math.hypot((east - west) * narrow, north - south) * math.radians(1) * _EARTH


def _rings(found: Mapping[str, Any]) -> Rings:
    polygons = found["coordinates"] if found["type"] == "MultiPolygon" else [found["coordinates"]]
    many = found["type"] == "MultiPolygon"
    return [
        ((*_KEY, "coordinates", *((number,) if many else ()), place), ring)
        for number, polygon in enumerate(polygons)
        for place, ring in enumerate(polygon)
    ]


def _ring(key: Key, ring: Sequence[Sequence[float]]) -> Iterator[Finding]:
    """Yield what is wrong with one ring by itself."""
    odd = [number for number, position in enumerate(ring) if len(position) != len(ring[0])]
    if odd:
        words = f"a position of {len(ring[odd[0]])} numbers among others of {len(ring[0])}"
        yield Finding((*key, odd[0]), words, "Give each [longitude, latitude], and write degrees with a point: 41.886.")
        return
    outside = [number for number, position in enumerate(ring) if not _on_earth(position)]
    if outside:
        position = ring[outside[0]]
        hint = _SWAPPED if _on_earth(position[1::-1]) else "Degrees: -180 to 180 east, -90 to 90 north."
        words = f"{_text(position)} is nowhere: the latitude {position[1]:g} is beyond a pole"
        if abs(position[0]) > 180:
            words = f"{_text(position)} is nowhere: the longitude {position[0]:g} is beyond 180°"
        yield Finding((*key, outside[0]), words, hint)
        return
    if list(ring[0][:2]) != list(ring[-1][:2]):
        words = f"the ring is not closed: it begins at {_text(ring[0])} and ends at {_text(ring[-1])}"
        yield Finding((*key, len(ring) - 1), words, f"Add {_text(ring[0])} at its end.")
        return
    if len({tuple(position[:2]) for position in ring}) < 3:
        yield Finding(key, "the ring has fewer than three corners", "Give it at least three and the first one again.")
        return
    if _is_flat(ring):
        yield Finding(key, "the ring has no area: all its corners are on one line", "Go round the premises.")
        return
    if any(abs(a[0] - b[0]) > 180 for a, b in pairwise(ring)):
        yield Finding(key, "the ring goes round the world", "At 180° cut it in two: a MultiPolygon (RFC 7946 §3.1.9).")


def _is_flat(ring: Sequence[Sequence[float]]) -> bool:
    return bool(shapely.LineString([position[:2] for position in ring]).convex_hull.area < _NOTHING)


def _on_earth(position: Sequence[float]) -> bool:
    return abs(position[0]) <= 180 and abs(position[1]) <= 90


def _text(position: Sequence[float]) -> str:
    return f"[{position[0]:.12g}, {position[1]:.12g}]" if len(position) > 1 else str(list(position))


_EXPLAINED: Final = {
    "Self-intersection": "the outline crosses itself at {place}",
    "Ring Self-intersection": "the outline touches itself at {place}",
    "Hole lies outside shell": "a hole lies outside of the outline, at {place}",
    "Nested holes": "a hole lies within another one, at {place}",
    "Nested shells": "one part lies within another one, at {place}",
    "Interior is disconnected": "holes cut the area in pieces, at {place}",
    "Duplicate Rings": "a ring is there twice, at {place}",
}


def _crossing(area: Any, found: Mapping[str, Any]) -> Finding:
    """Return why an area is none, with the coordinate, at the ring that passes there."""
    said = explain_validity(area)
    parts = _PLACE.match(said)
    if parts is None:
        return Finding(_KEY, f"is not an area: {said}")
    point = shapely.Point(float(parts[2]), float(parts[3]))
    place = f"[{point.x:.9g}, {point.y:.9g}]"
    if (
        parts[1].strip() == "Self-intersection"
        and found["type"] == "MultiPolygon"
        and all(part.is_valid for part in area.geoms)
    ):
        return Finding((*_KEY, "coordinates"), f"two parts overlap at {place}", "Draw them as one, or apart.")
    words = _EXPLAINED.get(parts[1].strip(), f"is not an area: {parts[1].strip().lower()} at {{place}}")
    rings = _rings(found)
    key = min(rings, key=lambda each: shapely.LineString([p[:2] for p in each[1]]).distance(point))[0]
    hint = "Go round the premises in one direction, corner by corner."
    return Finding(key, words.format(place=place), hint)


def _elsewhere(area: Any, zone: object) -> Iterator[Finding]:
    """Yield that an area lies where the clocks can't be those of the site's zone."""
    middle = area.centroid
    try:
        now = datetime.now(ZoneInfo(timezone(str(zone))))
    except Rejected:
        return
    # Summer time puts the clocks further from the sun.
    standard = (now.utcoffset() or timedelta()) - (now.dst() or timedelta())
    expected = standard.total_seconds() / 240
    away = _away(middle.x, expected)
    swapped = abs(middle.x) <= 90 and _away(middle.y, expected) <= min(_FAR if away > _FAR else _NEAR, away)
    if away <= _FAR and not (away > _ODD and swapped):
        return
    words = f"lies around [{middle.x:.2f}, {middle.y:.2f}], where no clock shows the time of {zone}"
    if away <= _FAR:
        words = f"lies around [{middle.x:.2f}, {middle.y:.2f}], far from where clocks show the time of {zone}"
    yield Finding(_KEY, words, _SWAPPED if swapped else "Check the coordinates and the time zone.")


def _away(longitude: float, expected: float) -> float:
    return abs((longitude - expected + 180) % 360 - 180)
