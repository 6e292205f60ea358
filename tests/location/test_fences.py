"""Where positions stand to areas, measured against the geodesics of geographiclib."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings

from capacitord.location.fences import Fences
from capacitord.model.fence import Standing, Where, standing
from tests.location.test_geofence import square

EARTH = Geodesic.WGS84


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def parts(*polygons: Any) -> dict[str, Any]:
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in polygons]}


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def metres(latitude: float, longitude: float, other: list[float]) -> float:
    return float(EARTH.Inverse(latitude, longitude, other[1], other[0], Geodesic.DISTANCE)["s12"])


def to_edges(latitude: float, longitude: float, ring: list[list[float]]) -> float:
    """Return the metres to the nearest point of a ring, each edge straight in degrees, by a search along it."""
    nearest = math.inf
    for (ax, ay), (bx, by) in pairwise(ring):

        def far(part: float, a: tuple[float, float] = (ax, ay), b: tuple[float, float] = (bx, by)) -> float:
            place = [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])]
            return metres(latitude, longitude, place)

        low, high = 0.0, 1.0
        for _ in range(40):
            third = (high - low) / 3
            if far(low + third) < far(high - third):
                high -= third
            else:
                low += third
        nearest = min(nearest, far(0.0), far(1.0), far((low + high) / 2))
    return nearest


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-180, 179.9),
    st.floats(-88, 87.5),
    st.floats(50, 25_000),
    st.floats(0, 360),
    st.floats(0, 50_000),
)
def test_distances_are_those_on_the_earth(west: float, south: float, side: float, towards: float, far: float) -> None:
    degrees = math.degrees(side / 6_371_000)
    east = min(west + degrees / math.cos(math.radians(south)), 180.0)
    ring = box(west, south, east, south + degrees)
    middle = ((west + east) / 2, south + degrees / 2)
    there = EARTH.Direct(middle[1], middle[0], towards, far)
    latitude, longitude = there["lat2"], there["lon2"]
    found = Fences({"a": polygon(ring)}).at(latitude, longitude)["a"]
    expected = to_edges(latitude, longitude, ring)
    assert abs(found.distance) == pytest.approx(expected, rel=1e-3, abs=0.05)
    if expected > 1:
        inside = west < longitude < east and south < latitude < south + degrees
        assert found.where is (Where.INSIDE if inside else Where.OUTSIDE)


@pytest.mark.parametrize("place", [(51.5, -0.1), (-33.9, 18.4), (35.7, 139.7), (-41.0, 72.4), (89.0, 10.0)])
def test_a_site_at_the_other_end_of_the_world_is_as_far_as_it_is(place: tuple[float, float]) -> None:
    ring = square(-87.63, 41.88, 0.01)
    found = Fences({"a": polygon(ring)}).at(*place)["a"]
    assert found.where is Where.OUTSIDE
    assert -found.distance == pytest.approx(to_edges(*place, ring), rel=1e-2)


def test_the_opposite_end_of_the_world_has_a_distance() -> None:
    found = Fences({"a": polygon(box(-0.01, -0.01, 0.01, 0.01))}).at(0.0, 180.0)["a"]
    assert found.where is Where.OUTSIDE
    assert -found.distance == pytest.approx(math.pi * 6_371_000, rel=0.01)


def test_a_circle_is_surely_inside_when_all_of_it_is() -> None:
    fences = Fences({"a": polygon(square(-87.63, 41.88, 0.01))})
    latitude, longitude = 41.885, -87.6299
    edge = fences.at(latitude, longitude)["a"].distance
    assert edge == pytest.approx(8.3, abs=0.1)
    reach = edge / 1.5
    assert fences.at(latitude, longitude, reach - 0.01)["a"].where is Where.INSIDE
    assert fences.at(latitude, longitude, reach)["a"].where is Where.MAYBE
    assert fences.at(latitude, longitude, edge + 5000)["a"].where is Where.MAYBE
    outside = -87.6301
    assert fences.at(latitude, outside, reach - 0.01)["a"].where is Where.OUTSIDE
    assert fences.at(latitude, outside, reach + 0.01)["a"].where is Where.MAYBE
    assert fences.at(latitude, outside, math.inf)["a"].where is Where.MAYBE


def test_on_the_edge_is_on_no_side() -> None:
    assert standing(0.0, 0.0).where is Where.MAYBE
    assert standing(-3.0, 2.0) == Standing(Where.MAYBE, -3.0)
    assert standing(3.0, 2.0) == Standing(Where.MAYBE, 3.0)
    for distance, accuracy in [(math.nan, 0.0), (1.0, math.nan), (1.0, -1.0)]:
        with pytest.raises(ValueError, match="no distance"):
            standing(distance, accuracy)


def test_a_hole_is_outside_and_its_edge_is_near() -> None:
    fences = Fences({"a": polygon(square(7.0, 50.0, 0.01), square(7.004, 50.004, 0.002))})
    in_the_hole = fences.at(50.005, 7.005)["a"]
    assert in_the_hole.where is Where.OUTSIDE
    assert -in_the_hole.distance == pytest.approx(to_edges(50.005, 7.005, square(7.004, 50.004, 0.002)), rel=1e-4)
    beside = fences.at(50.005, 7.0035)["a"]
    assert beside.where is Where.INSIDE
    assert beside.distance == pytest.approx(metres(50.005, 7.0035, [7.004, 50.005]), rel=1e-4)
    assert fences.at(50.005, 7.0035, 40.0)["a"].where is Where.MAYBE


def test_the_nearest_of_several_parts_counts() -> None:
    fences = Fences({"a": parts(square(7.0, 50.0, 0.002), square(7.01, 50.0, 0.002))})
    assert fences.at(50.001, 7.001)["a"].where is Where.INSIDE
    assert fences.at(50.001, 7.011)["a"].where is Where.INSIDE
    between = fences.at(50.001, 7.0095)["a"]
    assert between.where is Where.OUTSIDE
    assert -between.distance == pytest.approx(metres(50.001, 7.0095, [7.01, 50.001]), rel=1e-4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("south", [-16.8, 0.0, 70.0])
def test_an_area_cut_at_180_degrees_is_one(order: tuple[int, int], south: float) -> None:
    north = south + 0.01
    both = [box(179.99, south, 180.0, north), box(-180.0, south, -179.99, north)]
    fences = Fences({"a": parts(*(both[number] for number in order))})
    whole = box(179.99, south, 180.01, north)
    for longitude in (179.992, 179.9999, 180.0, -180.0, -179.9999, -179.992):
        found = fences.at(south + 0.004, longitude, 20.0)["a"]
        assert found.where is Where.INSIDE, longitude
        assert found.distance == pytest.approx(to_edges(south + 0.004, longitude % 360, whole), rel=1e-3)
    for longitude in (179.98, -179.98):
        found = fences.at(south + 0.004, longitude, 20.0)["a"]
        assert found.where is Where.OUTSIDE
        assert -found.distance == pytest.approx(to_edges(south + 0.004, longitude % 360, whole), rel=1e-3)


def test_a_circle_over_180_degrees_reaches_an_area_behind_it() -> None:
    fences = Fences(
        {"east": polygon(box(179.99, -17.0, 180.0, -16.99)), "west": polygon(square(-179.999, -17.0, 0.01))}
    )
    found = fences.at(-16.995, 179.9995, 30.0)
    assert found["east"].where is Where.INSIDE
    assert found["west"].where is Where.OUTSIDE
    assert found["west"].distance == pytest.approx(-metres(-16.995, 179.9995, [-179.999, -16.995]), rel=1e-3)
    assert {each.where for each in fences.at(-16.995, 179.9995, 400.0).values()} == {Where.MAYBE}


def test_beside_the_pole_an_area_is_where_it_is() -> None:
    ring = box(-60.0, 89.90, 60.0, 89.95)
    fences = Fences({"a": polygon(ring)})
    for latitude, longitude, where in [
        (89.92, 0.0, Where.INSIDE),
        (89.92, 59.0, Where.INSIDE),
        (89.94999, 0.0, Where.INSIDE),
        (89.96, 0.0, Where.OUTSIDE),
        (90.0, 12.0, Where.OUTSIDE),
        (89.92, 180.0, Where.OUTSIDE),
    ]:
        found = fences.at(latitude, longitude)["a"]
        assert found.where is where
        assert abs(found.distance) == pytest.approx(to_edges(latitude, longitude, ring), rel=1e-3, abs=0.02)


def test_many_positions_are_as_each_of_them() -> None:
    fences = Fences({"a": polygon(square(7.0, 50.0, 0.01)), "b": polygon(square(7.02, 50.0, 0.01))})
    places = [(50.005, 6.99 + number * 0.00002) for number in range(2500)]
    found = list(fences.along(places, 20.0))
    assert len(found) == 2500
    for number in range(0, 2500, 100):
        assert found[number] == fences.at(*places[number], 20.0)
    with pytest.raises(ValueError, match="there is no position"):
        list(fences.along([(50.0, 7.0), (91.0, 7.0)]))


def test_positions_that_are_none_are_refused() -> None:
    fences = Fences({"a": polygon(square(7.0, 50.0, 0.01))})
    for latitude, longitude, accuracy in [
        (90.1, 0.0, 0.0),
        (0.0, 180.1, 0.0),
        (math.nan, 0.0, 0.0),
        (0.0, math.inf, 0.0),
        (0.0, 0.0, -1.0),
        (0.0, 0.0, math.nan),
    ]:
        with pytest.raises(ValueError, match="there is no position"):
            fences.at(latitude, longitude, accuracy)


@pytest.mark.parametrize(
    "area",
    [
        {},
        {"type": "Point", "coordinates": [7.0, 50.0]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[7.0, 50.0]]]},
        {"type": "Polygon", "coordinates": [[[7.0, 91.0], [7.1, 50.0], [7.0, 50.1], [7.0, 91.0]]]},
        polygon([[7.0, 50.0], [7.1, 50.1], [7.1, 50.0], [7.0, 50.1], [7.0, 50.0]]),
        shapely.Point(7.0, 50.0),
    ],
    ids=str,
)
def test_what_is_no_area_is_refused_by_name(area: Any) -> None:
    with pytest.raises(ValueError, match="the area of lakeside is none"):
        Fences({"lakeside": area})


def test_geometries_are_taken_as_they_are_and_heights_are_left_out() -> None:
    ring = [[*position, 180.0] for position in square(7.0, 50.0, 0.01)]
    fences = Fences({"shapely": shapely.Polygon(ring), "geojson": polygon(ring)})
    found = fences.at(50.005, 7.005)
    assert fences.sites == tuple(found) == ("shapely", "geojson")
    assert found["shapely"] == found["geojson"]
    assert Fences({}).at(0.0, 0.0) == {}


def test_an_outline_of_20000_corners_takes_less_than_a_millisecond() -> None:
    angles = np.linspace(0, 2 * np.pi, 20_001)
    reach = 0.02 * (1 + 0.05 * np.sin(50 * angles))
    ring = np.column_stack([-87.63 + reach * np.cos(angles), 41.88 + reach * np.sin(angles)])
    ring[-1] = ring[0]
    fences = Fences({"a": polygon(ring.tolist())})
    assert fences.at(41.88, -87.63)["a"].where is Where.INSIDE
    took = []
    for number in range(30):
        begun = time.perf_counter()
        fences.at(41.88 + number * 0.001, -87.63)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.001
