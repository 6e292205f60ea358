"""Three sites of one box, and what positions and tracks come to at them. Names are invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from capacitord.api.geofence import (
    AreasChecked,
    Doubt,
    Mapped,
    Position,
    SiteArea,
    SiteAreas,
    Spot,
    Stood,
    Tested,
    Track,
    Visit,
)
from capacitord.model.fence import Where
from tests.fluxctl.samples import NOW


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    """Return the ring of a rectangle."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def polygon(*rings: Any) -> dict[str, Any]:
    """Return rings as a Polygon."""
    return {"type": "Polygon", "coordinates": list(rings)}


ST_MARYS = SiteArea(
    "st-marys",
    "St. Mary's Hospital",
    "America/Chicago",
    polygon(box(-87.630, 41.880, -87.620, 41.886), box(-87.626, 41.882, -87.624, 41.884)),
    active=True,
)
LAKESIDE = SiteArea(
    "lakeside",
    "Lakeside Clinic",
    "America/Chicago",
    {
        "type": "MultiPolygon",
        "coordinates": [
            [[[-87.612, 41.884], [-87.606, 41.884], [-87.609, 41.889], [-87.612, 41.884]]],
            [box(-87.604, 41.885, -87.602, 41.887)],
        ],
    },
    dwell=120.0,
)
NORTH = SiteArea("north", "North Imaging", "America/Chicago", None)
DAMAGED = SiteArea("west", "", "", None, problem="the profile of west is not what was imported")
BOX = Position(41.8851, -87.6278, 12.0, NOW - timedelta(seconds=4))
AREAS = SiteAreas("fluxctl.geofence.list/1", (LAKESIDE, ST_MARYS, NORTH), position=BOX)

IN_ST_MARYS = Stood("st-marys", "St. Mary's Hospital", Where.INSIDE, 84.0, 90.0)
BY_LAKESIDE = Stood("lakeside", "Lakeside Clinic", Where.OUTSIDE, -1310.0, 120.0)
NORTHERN = Stood("north", "North Imaging", None, None, 90.0)
TESTED = Tested(
    12.0,
    "It is surely inside st-marys, 84 m from the edge.",
    position=BOX,
    chosen="st-marys",
    sites=(IN_ST_MARYS, BY_LAKESIDE, NORTHERN),
)
UNSURE = Tested(
    100.0,
    "It is 84 m inside of the edge of st-marys, and right within 100 m: not sure.",
    position=BOX,
    sites=(
        Stood("st-marys", "St. Mary's Hospital", Where.MAYBE, 84.0, 90.0),
        BY_LAKESIDE,
        Stood("west", "", None, None, 90.0, "the profile of west is not what was imported"),
    ),
)
CONFLICT = Tested(
    12.0,
    "It is surely inside lakeside and st-marys: their areas overlap there.",
    conflict=True,
    position=BOX,
    sites=(IN_ST_MARYS, Stood("lakeside", "Lakeside Clinic", Where.INSIDE, 20.0, 120.0)),
)


def at(hours: int, minutes: int, seconds: int = 0) -> datetime:
    """Return a time of the day that the track is of."""
    return datetime(2025, 11, 21, hours, minutes, seconds, tzinfo=UTC)


TRACKED = Tested(
    10.0,
    "1 arrival, and 1 stay shorter than the dwell.",
    track=Track("monday.gpx", 3411, at(13, 2), at(20, 1), 340.0, 2, 1),
    visits=(
        Visit("lakeside", at(13, 20), at(13, 20, 25), 25.0, 120.0),
        Visit(
            "st-marys",
            at(13, 41),
            at(18, 59, 58),
            90.0,
            90.0,
            opened=at(13, 42, 30),
            left=at(19, 0),
            closed=at(19, 5),
        ),
    ),
)
CHECKED = AreasChecked(
    ("lakeside", "st-marys"),
    ("north",),
    (
        Doubt(
            "st-marys",
            "the area overlaps with that of lakeside: 41200 m² around [-87.62000, 41.88000]",
            "There the position does not tell the sites apart; draw one smaller, or rely on network evidence.",
            "lakeside",
        ),
    ),
    (
        Spot("loading dock", 41.8851, -87.6278, ("st-marys",)),
        Spot("gate", 41.8851, -87.6178, (), "st-marys", 183.0),
        Spot("bridge", 41.88, -87.62, ("lakeside", "st-marys")),
    ),
)
WELL = AreasChecked(("lakeside", "st-marys"), (), (), ())
GAP = AreasChecked(("lakeside", "st-marys"), (), (), CHECKED.spots[:2])
MAPPED = Mapped(AREAS.sites, BOX)
