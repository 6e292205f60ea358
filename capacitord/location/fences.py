"""Where a position stands to the areas of all sites.

Each area is laid on a plane that touches the earth (WGS 84) in its middle, with true distances and directions from
there (azimuthal equidistant): within 50 km they are wrong by a ten-thousandth at most, to other continents by some
thousandths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from capacitord.model.fence import Standing, standing

Numbers = npt.NDArray[np.float64]

_AXIS: Final = 6_378_137.0
"""Half the width of the earth at the equator in metres (WGS 84)."""
_RADIUS: Final = 6_371_008.8
"""Its mean."""
_FLATTENING: Final = 1 / 298.257223563
_E2: Final = _FLATTENING * (2 - _FLATTENING)
_SAG: Final = 0.01
"""Metres that an edge on the plane may lie beside the one on the map."""
_MOST_PIECES: Final = 5_000
"""Of one edge: only of an area that is no facility there would be more."""
_AT_ONCE: Final = 50_000
"""Distances that are in memory at a time."""
_FAR: Final = 40
"""Widths of an area away its hull is as good as the area: too near by a ten-thousandth of the distance at most.

From its hull an edge of that may be nearer than any corner, but by no more than width² / 8 distance.
"""


class Plane(NamedTuple):
    """A plane that touches the earth: where, in metres from its centre, and the directions east and north."""

    middle: Numbers
    directions: Numbers


class Fences:
    """The areas of sites, made ready once to be asked many times."""

    def __init__(self, areas: Mapping[str, Mapping[str, Any] | BaseGeometry]) -> None:
        """Take `areas` by site: each a GeoJSON Polygon or MultiPolygon (RFC 7946), or the same as a shapely geometry.

        Those that cross 180° are cut there in two (RFC 7946 §3.1.9). Raises ValueError, naming the site, for what is
        no area.
        """
        self._lay({site: _laid(_whole(site, area)) for site, area in areas.items()})

    @classmethod
    def usable(cls, areas: Mapping[str, Mapping[str, Any] | BaseGeometry]) -> tuple[Self, dict[str, str]]:
        """Return the same of those of `areas` that are ones, and what is wrong with the others, by site."""
        laid, problems = {}, {}
        for site, area in areas.items():
            try:
                laid[site] = _laid(_whole(site, area))
            except ValueError as error:
                problems[site] = str(error)
        fences = cls({})
        fences._lay(laid)
        return fences, problems

    def _lay(self, laid: Mapping[str, tuple[Plane, BaseGeometry]]) -> None:
        self._middles = np.array([plane.middle for plane, _ in laid.values()]).reshape(-1, 3)
        self._directions = np.array([plane.directions for plane, _ in laid.values()]).reshape(-1, 2, 3)
        self._areas = np.array([area for _, area in laid.values()], dtype=object)
        self._edges = shapely.boundary(self._areas)
        self._hulls = shapely.convex_hull(self._areas)
        bounds = shapely.bounds(self._areas).reshape(-1, 4)
        self._far = _FAR * np.hypot(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
        self.sites = tuple(laid)
        """In the order they were given."""
        shapely.prepare(self._areas)

    def at(self, latitude: float, longitude: float, accuracy: float = 0.0) -> dict[str, Standing]:
        """Return how each area stands to a position in degrees (WGS 84) that is right within `accuracy` metres.

        The accuracy is as the receiver says; what is surely inside keeps `fence.MARGIN` times that from the edge.
        Raises ValueError if there is no such position, or the accuracy is negative or no number.
        """
        return next(self.along([(latitude, longitude)], accuracy))

    def along(self, places: Sequence[tuple[float, float]], accuracy: float = 0.0) -> Iterator[dict[str, Standing]]:
        """Yield the same for each of many positions (latitude, longitude), at a fraction of the time."""
        most = max(1, _AT_ONCE // max(1, len(self.sites)))
        for begin in range(0, len(places), most):
            found = np.array(places[begin : begin + most], dtype=np.float64)
            if not (np.all(np.abs(found) <= (90.0, 180.0)) and accuracy >= 0):
                latitude, longitude = found[0]
                msg = f"there is no position {latitude:g}, {longitude:g} ± {accuracy:g} m"
                raise ValueError(msg)
            for distances in self._distances(found[:, ::-1]).tolist():
                pairs = zip(self.sites, distances, strict=True)
                yield {site: standing(distance, accuracy) for site, distance in pairs}

    def _distances(self, degrees: Numbers) -> Numbers:
        """Return the metres from each position to the edge of each area, positive inside."""
        away = _on_earth(degrees)[:, np.newaxis, :] - self._middles
        points = np.asarray(shapely.points(_flat(away, self._directions)))
        distances: Numbers = -shapely.distance(self._hulls, points)
        near = -distances <= self._far
        which, close = np.nonzero(near)[1], points[near]
        sides = np.where(shapely.intersects(self._areas[which], close), 1, -1)
        distances[near] = shapely.distance(self._edges[which], close) * sides
        return distances


def _whole(site: str, area: Mapping[str, Any] | BaseGeometry) -> BaseGeometry:
    """Return an area in degrees and in one: with longitudes beyond 180°, and not cut there."""
    msg = f"the area of {site} is none"
    try:
        found = shapely.force_2d(shape(dict(area)) if isinstance(area, Mapping) else area)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.GEOSException) as problem:
        raise ValueError(msg) from problem
    corners = shapely.get_coordinates(found)
    right = found.geom_type in {"Polygon", "MultiPolygon"} and len(corners) and np.all(np.abs(corners) <= (180.0, 90.0))
    if not right:
        raise ValueError(msg)
    if not shapely.is_valid(shapely.get_parts(_turned(found))).all():
        raise ValueError(msg)
    return in_one(found)


def in_one(area: BaseGeometry) -> BaseGeometry:
    """Return an area in degrees with what was cut at 180° put together again: its longitudes go on beyond that."""
    west, _, east, _ = area.bounds
    return area if east - west <= 180 else shapely.union_all(shapely.get_parts(_turned(area)))


def _turned(area: BaseGeometry) -> BaseGeometry:
    """Return an area whose longitudes are at most half the earth away from that of its first corner."""
    first = shapely.get_coordinates(area)[0, 0]

    def turn(positions: Numbers) -> Numbers:
        away = positions[:, 0] - first
        turns = np.where(away > 180, -360.0, np.where(away < -180, 360.0, 0.0))
        return np.column_stack([positions[:, 0] + turns, positions[:, 1]])

    return shapely.transform(area, turn)


def _laid(area: BaseGeometry) -> tuple[Plane, BaseGeometry]:
    """Return an area in metres on the plane that touches the earth in its middle."""
    west, south, east, north = area.bounds
    middle = np.array([(west + east) / 2, (south + north) / 2])
    longitude, latitude = np.radians(middle)
    sines, cosines = (math.sin(longitude), math.sin(latitude)), (math.cos(longitude), math.cos(latitude))
    directions = np.array([[-sines[0], cosines[0], 0.0], [-sines[1] * cosines[0], -sines[1] * sines[0], cosines[1]]])
    plane = Plane(_on_earth(middle), directions)

    def ring(line: BaseGeometry) -> Numbers:
        away = _on_earth(_bent(shapely.get_coordinates(line))) - plane.middle
        return _flat(away, plane.directions)

    parts = [
        shapely.Polygon(ring(part.exterior), [ring(hole) for hole in part.interiors])
        for part in shapely.get_parts(area)
    ]
    return plane, shapely.MultiPolygon(parts)


def _bent(corners: Numbers) -> Numbers:
    """Return a ring with so many corners that its edges can be straight on a plane.

    On the map an edge is straight between its longitudes and latitudes (RFC 7946 §3.1.1), which is a bow on the earth.
    """
    begin, along = corners[:-1], np.diff(corners, axis=0)
    angles = np.radians(corners[:, 1])
    steep, wide = (np.maximum(values[:-1], values[1:]) for values in (np.abs(np.sin(angles)), np.cos(angles)))
    east, north = np.abs(np.radians(along)).T
    bow = _AXIS * east * steep * (east * wide + 2 * north) / 8
    pieces = np.clip(np.ceil(np.sqrt(bow / _SAG)), 1, _MOST_PIECES).astype(int)
    edge = np.repeat(np.arange(len(pieces)), pieces)
    fractions = (np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[edge]
    return np.vstack([begin[edge] + along[edge] * fractions[:, np.newaxis], corners[-1:]])


def _on_earth(degrees: Numbers) -> Numbers:
    """Return positions (longitude, latitude) in metres from the earth's centre."""
    longitude, latitude = np.moveaxis(np.radians(degrees), -1, 0)
    across = _AXIS / np.sqrt(1 - _E2 * np.sin(latitude) ** 2)
    wide = across * np.cos(latitude)
    return np.stack(
        [wide * np.cos(longitude), wide * np.sin(longitude), across * (1 - _E2) * np.sin(latitude)], axis=-1
    )


def _flat(away: Numbers, directions: Numbers) -> Numbers:
    """Return where on a plane positions lie that are `away` (in metres) from where it touches the earth."""
    chord = np.linalg.norm(away, axis=-1)
    arc = 2 * _RADIUS * np.arcsin(np.minimum(chord / (2 * _RADIUS), 1.0))
    towards = np.squeeze(directions @ away[..., np.newaxis], axis=-1)
    level = np.linalg.norm(towards, axis=-1)
    stretch: Numbers = np.divide(arc, level, out=np.ones_like(arc), where=level > 0)
    return towards * stretch[..., np.newaxis]
