"""Whether the area of a site is one, and what is said of one that is not."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.config import profile
from capacitord.location import geofence
from tests.config.test_profile import SMALL

SQUARE = [[-87.63, 41.88], [-87.62, 41.88], [-87.62, 41.886], [-87.63, 41.886], [-87.63, 41.88]]


def fence(*rings: Any, kind: str = "Polygon") -> dict[str, Any]:
    return {"timezone": "America/Chicago", "location": {"geofence": {"type": kind, "coordinates": list(rings)}}}


def square(west: float, south: float, side: float) -> list[list[float]]:
    return [[west, south], [west + side, south], [west + side, south + side], [west, south + side], [west, south]]


def test_an_area_is_taken() -> None:
    assert geofence.check(fence(SQUARE)) == ([], [])
    assert geofence.check(
        fence(SQUARE, [[-87.628, 41.882], [-87.626, 41.882], [-87.626, 41.884], [-87.628, 41.882]])
    ) == (
        [],
        [],
    )
    assert geofence.check(fence([SQUARE], [square(-87.61, 41.88, 0.01)], kind="MultiPolygon")) == ([], [])
    assert geofence.check({}) == ([], [])
    assert geofence.check(fence([[*position, 180.0] for position in SQUARE])) == ([], [])


def test_an_area_cut_at_180_degrees_is_one_facility() -> None:
    east, west = square(179.995, -16.8, 0.005), square(-180.0, -16.8, 0.005)
    tables = {**fence([east], [west], kind="MultiPolygon"), "timezone": "Pacific/Fiji"}
    assert geofence.check(tables) == ([], [])
    assert geofence.square_metres(geofence.area_of(tables)) == pytest.approx(
        2 * 0.005**2 * 111_195**2 * 0.957, rel=1e-2
    )
    assert "swapped" not in str(geofence.check({**tables, "timezone": "Pacific/Auckland"}))
    far = fence([east], [square(-179.4, -16.8, 0.005)], kind="MultiPolygon")
    assert "reaches over 65 km" in geofence.check(far)[0][0].message


BOW_TIE = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]
LATITUDE_FIRST = [[latitude, longitude] for longitude, latitude in SQUARE]
HOLE_ELSEWHERE = square(-80.0, 41.0, 0.001)


@pytest.mark.parametrize(
    ("rings", "key", "words", "hint"),
    [
        ([BOW_TIE], (0,), "the outline crosses itself at [-87.625, 41.883]", "one direction"),
        ([SQUARE[:-1]], (0, 3), "not closed: it begins at [-87.63, 41.88] and ends at [-87.63, 41.886]", "Add [-87.63"),
        ([[SQUARE[0], SQUARE[1], SQUARE[0]]], (0,), "fewer than three corners", ""),
        ([[[7.0, 91.0], *SQUARE]], (0, 0), "the latitude 91 is beyond a pole", "Are they swapped?"),
        ([[[190.0, 95.0], *SQUARE]], (0, 0), "the longitude 190 is beyond 180°", "-180 to 180"),
        ([[[91.0, 181.0], *SQUARE]], (0, 0), "is nowhere", "Degrees"),
        ([[*SQUARE[:2], [-87.62, 41.0, 886.0], *SQUARE[3:]]], (0, 2), "of 3 numbers among others of 2", "with a point"),
        ([SQUARE, HOLE_ELSEWHERE], (1,), "a hole lies outside of the outline", ""),
        (
            [square(179.9, 0.0, 0.1), [[-179.9, 0], [179.9, 0], [179.9, 1], [-179.9, 0]]],
            (1,),
            "round the world",
            "180°",
        ),
    ],
)
def test_what_is_no_ring_is_explained_where_it_is(rings: Any, key: tuple[int, ...], words: str, hint: str) -> None:
    (finding,), _ = geofence.check(fence(*rings))
    assert finding.key == ("location", "geofence", "coordinates", *key)
    assert words in finding.message
    assert hint in finding.hint


def test_parts_that_lie_within_each_other_are_explained() -> None:
    inner = square(-87.628, 41.882, 0.001)
    (finding,), _ = geofence.check(fence([SQUARE], [inner], kind="MultiPolygon"))
    assert "one part lies within another one" in finding.message
    assert finding.key[:4] == ("location", "geofence", "coordinates", 1)


@pytest.mark.parametrize(("side", "words"), [(0.0001, "smaller than a coach"), (0.2, "larger than any facility")])
def test_areas_that_are_no_facility_are_refused(side: float, words: str) -> None:
    (finding,), _ = geofence.check(fence(square(-87.63, 41.88, side)))
    assert words in finding.message
    assert finding.key == ("location", "geofence")


def test_latitude_before_longitude_is_suspected_by_the_clock() -> None:
    tables = fence([[51.5, -0.12], [51.51, -0.12], [51.51, -0.11], [51.5, -0.12]])
    tables["timezone"] = "UTC"
    (warning,) = geofence.check(tables)[1]
    assert "far from where clocks show the time of UTC" in warning.message
    assert "swapped" in warning.hint
    assert geofence.check({**fence(square(-0.12, 51.5, 0.01)), "timezone": "UTC"}) == ([], [])
    tables["timezone"] = "Asia/Tokyo"
    (warning,) = geofence.check(tables)[1]
    assert "where no clock shows the time of Asia/Tokyo" in warning.message
    swapped = fence([[35.68, 139.76], [35.69, 139.76], [35.69, 139.77], [35.68, 139.76]])
    assert "swapped" in geofence.check(swapped)[0][0].hint
    chicago = fence([[41.88, -87.63], [41.98, -87.63], [41.98, -87.62], [41.88, -87.63]])
    (warning,) = geofence.check(chicago)[1]
    assert "swapped" in warning.hint


@pytest.mark.parametrize(
    ("west", "south", "zone"),
    [
        (-0.12, 51.5, "Europe/London"),
        (-8.5, 42.8, "Europe/Madrid"),
        (13.4, 52.5, "Europe/Berlin"),
        (-87.63, 41.88, "America/Chicago"),
        (76.0, 39.5, "Asia/Shanghai"),
        (-166.5, 64.5, "America/Anchorage"),
        (47.0, 47.1, "Asia/Almaty"),
    ],
)
def test_a_place_in_its_zone_is_not_suspected_and_the_same_one_swapped_is(west: float, south: float, zone: str) -> None:
    assert geofence.check({**fence(square(west, south, 0.003)), "timezone": zone})[1] == []
    swapped = [[south, west], [south + 0.003, west], [south + 0.003, west + 0.003], [south, west]]
    wrong, warnings = geofence.check({**fence(swapped), "timezone": zone})
    # In the west of Kazakhstan and of Spain neither way round is far from what the clocks say.
    assert any("swapped" in finding.hint for finding in (*wrong, *warnings)) is (zone not in UNTOLD)


UNTOLD = frozenset({"Asia/Almaty", "Europe/Madrid"})


@pytest.mark.parametrize(
    ("rings", "kind", "words"),
    [
        ([[SQUARE[0], SQUARE[1], [-87.61, 41.88], SQUARE[0]]], "Polygon", "no area: all its corners are on one line"),
        (
            [[*SQUARE[:-1], [-87.6300000001, 41.88]]],
            "Polygon",
            "begins at [-87.63, 41.88] and ends at [-87.6300000001, 41.88]",
        ),
        ([[SQUARE], [square(-87.625, 41.88, 0.003)]], "MultiPolygon", "two parts overlap at [-87.6"),
        ([[SQUARE], [square(-7.62, 41.88, 0.003)]], "MultiPolygon", "km, further than any facility (50 km)"),
    ],
)
def test_what_no_facility_looks_like(rings: Any, kind: str, words: str) -> None:
    found = fence(*rings, kind=kind)
    (finding,), _ = geofence.check(found)
    assert words in finding.message


def test_the_height_of_a_corner_does_not_open_a_ring() -> None:
    assert geofence.check(fence([[*position, float(number)] for number, position in enumerate(SQUARE)])) == ([], [])


@pytest.mark.parametrize(
    ("written", "key", "words", "hint"),
    [
        (f"{{ type = 'Polygon', coordinates = {SQUARE} }}", "coordinates", "2 levels of brackets", "list of rings"),
        (f"{{ type = 'MultiPolygon', coordinates = [{SQUARE}] }}", "coordinates", "3 levels", "list of Polygons"),
        ("{ type = 'Feature', geometry = {} }", "", "the geometry only", "site.geojson"),
        ("'site.geojson'", "", "must be a GeoJSON geometry", '{ file = "site.geojson" }'),
        (f"{{ type = 'Polygon', crs = 1, coordinates = [{SQUARE}] }}", "crs", "is not known here", "WGS 84"),
        ("{ file = 'x.geojson', type = 'Polygon' }", "file", "does not go with type", "Leave one"),
        (
            f"{{ type = 'Polygon', coordinates = [[[{'9' * 400}, 1], [1, 2], [3, 4], [1, 1]]] }}",
            "coordinates[0][0]",
            "is not a position",
            "degrees",
        ),
    ],
)
def test_what_is_not_built_like_an_area_is_one_mistake(written: str, key: str, words: str, hint: str) -> None:
    text = f"{SMALL}[location]\nnetwork = 'none'\ngeofence = {written}\n"
    (problem,) = profile.check(text, "p.toml", further=geofence.check).problems
    assert problem.key == f"location.geofence{'.' if key else ''}{key}"
    assert words in problem.message
    assert hint in problem.hint


def test_what_is_wrong_has_its_place_in_the_file() -> None:
    text = f"{SMALL}[location]\nnetwork = 'none'\ngeofence = {{ type = 'Polygon', coordinates = [\n  {BOW_TIE},\n] }}\n"
    found = profile.check(text, "p.toml", further=geofence.check)
    (problem,) = found.problems
    assert (problem.line, problem.column, problem.key) == (15, 3, "location.geofence.coordinates[0]")


@given(st.floats(-179, 178), st.floats(-80, 80), st.floats(0.001, 0.02))
def test_a_size_is_that_on_the_globe(west: float, south: float, side: float) -> None:
    tables = fence(square(west, south, side))
    area = geofence.area_of(tables)
    if area is None:
        return
    radius = 6_371_008.8
    band = radius**2 * math.radians(side) * abs(math.sin(math.radians(south + side)) - math.sin(math.radians(south)))
    assert geofence.square_metres(area) == pytest.approx(band, rel=1e-3)


def test_areas_that_overlap_are_named_with_a_place_in_both() -> None:
    here = fence(square(-87.63, 41.88, 0.01))
    others = {
        "lakeside": fence(square(-87.625, 41.885, 0.01)),
        "beside": fence(square(-87.62, 41.88, 0.01)),
        "far": fence(square(-80.0, 41.88, 0.01)),
        "broken": fence(BOW_TIE),
        "nowhere": {"location": {}},
    }
    (finding,) = geofence.overlaps(here, others)
    assert "overlaps with that of lakeside" in finding.message
    assert "around [-87.62250, 41.88750]" in finding.message
    assert geofence.overlaps({}, others) == []


def test_of_many_areas_those_that_overlap_are_found_once() -> None:
    sites = {f"s{n}": fence(square(-87.0 + 0.01 * (n % 40), 41.0 + 0.01 * (n // 40), 0.01)) for n in range(1000)}
    assert geofence.overlapping(sites) == []
    sites |= {"across": fence(square(-86.995, 41.005, 0.01)), "broken": fence(BOW_TIE), "none": {}}
    found = geofence.overlapping(sites)
    assert [(one, other) for one, other, _ in found] == [("across", name) for name in ("s0", "s1", "s40", "s41")]
    for _, other, finding in found:
        assert geofence.overlaps(sites["across"], {other: sites[other]}) == [finding]


@given(
    st.recursive(
        st.none() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "coordinates"]), inner),
        max_leaves=20,
    )
    | st.lists(
        st.lists(st.lists(st.floats(-200, 200), min_size=2, max_size=2), min_size=1, max_size=6), min_size=1, max_size=3
    )
)
def test_anything_is_an_area_or_refused(coordinates: Any) -> None:
    problems, warnings = geofence.check(
        fence(*coordinates) if isinstance(coordinates, list) else {"location": coordinates}
    )
    for finding in (*problems, *warnings):
        assert finding.message
        json.dumps(finding.key)
