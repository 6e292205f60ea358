"""How many positions a second are held against all areas of a large fleet, and how long those take to load.

An answer says of every site on which side of its fence the position is, in metres on the earth. The naive ways are
shapely's own: each polygon in degrees in turn, and a tree of them. They say only which polygons the position is in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from shapely.geometry import shape

from capacitord.location.fences import Fences
from capacitord.model.fence import Where

CORNERS: Final = 500
_REACH: Final = 0.003
"""Degrees from the middle of an area to its outline: some 300 m."""

Place = tuple[float, float]
Areas = dict[str, dict[str, Any]]


class Asked(NamedTuple):
    """A way to ask: how long the areas took to load in seconds, and how to get the sites that a place is in."""

    load: float
    inside: Callable[[Place], set[str]]


def fleet(sites: int) -> tuple[Areas, list[Place]]:
    """Return areas strewn over half a continent, and places to ask for: in every second case one in an area."""
    chance = np.random.default_rng(5)
    middles = np.column_stack([chance.uniform(30, 48, sites), chance.uniform(-120, -70, sites)])
    areas = {f"site-{number}": _area(*middle) for number, middle in enumerate(middles)}
    elsewhere = np.column_stack([chance.uniform(30, 48, sites), chance.uniform(-120, -70, sites)])
    places = [tuple(map(float, place)) for pair in zip(middles, elsewhere, strict=True) for place in pair]
    return areas, [(place[0], place[1]) for place in places]


def _area(latitude: float, longitude: float) -> dict[str, Any]:
    """Return a star with round wings, so that its outline is no hull."""
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    reach = _REACH * (1 + 0.3 * np.sin(5 * angles))
    east, north = reach * np.cos(angles) / math.cos(math.radians(latitude)), reach * np.sin(angles)
    ring = np.column_stack([longitude + east, latitude + north]).tolist()
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def _ours(areas: Areas) -> Asked:
    began = time.perf_counter()
    fences = Fences(areas)
    load = time.perf_counter() - began
    return Asked(load, lambda place: {site for site, found in fences.at(*place).items() if found.where is Where.INSIDE})


def _in_turn(areas: Areas) -> Asked:
    began = time.perf_counter()
    shapes = {site: shape(area) for site, area in areas.items()}
    load = time.perf_counter() - began

    def inside(place: Place) -> set[str]:
        point = shapely.Point(place[1], place[0])
        return {site for site, each in shapes.items() if each.contains(point)}

    return Asked(load, inside)


def _by_tree(areas: Areas) -> Asked:
    began = time.perf_counter()
    sites = list(areas)
    tree = shapely.STRtree([shape(area) for area in areas.values()])
    load = time.perf_counter() - began
    return Asked(load, lambda place: {sites[n] for n in tree.query(shapely.Point(place[1], place[0]), "within")})


def _in_turn_with_distance(areas: Areas) -> Asked:
    began = time.perf_counter()
    shapes = {site: shape(area) for site, area in areas.items()}
    edges = {site: each.boundary for site, each in shapes.items()}
    load = time.perf_counter() - began

    def inside(place: Place) -> set[str]:
        point = shapely.Point(place[1], place[0])
        stood = {site: (each.contains(point), edges[site].distance(point)) for site, each in shapes.items()}
        return {site for site, (within, _) in stood.items() if within}

    return Asked(load, inside)


OURS: Final = "box: side and metres"
WAYS: Final[Mapping[str, Callable[[Areas], Asked]]] = {
    OURS: _ours,
    "shapely in turn: side and degrees": _in_turn_with_distance,
    "shapely in turn: side": _in_turn,
    "shapely's tree: side": _by_tree,
}


def rate(asked: Asked, places: list[Place], seconds: float) -> float:
    """Return how many places a second are answered, asked for about so many seconds."""
    began = time.perf_counter()
    number = 0
    while (took := time.perf_counter() - began) < seconds or number < 2:
        asked.inside(places[number % len(places)])
        number += 1
    return number / took


def agree(ways: Mapping[str, Asked], places: list[Place]) -> None:
    """Fail unless all ways put the places into the same areas."""
    for place in places:
        found = {name: asked.inside(place) for name, asked in ways.items()}
        assert len({frozenset(each) for each in found.values()}) == 1, (place, found)
