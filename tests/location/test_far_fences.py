"""Far from an area its hull is asked, and near it the area itself: nobody sees where one begins and the other ends."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from capacitord.location.fences import Fences
from capacitord.model.fence import Where

WEST, SOUTH, SIDE = -87.63, 41.88, 0.004
Ring = list[list[float]]


def box(west: float, south: float, east: float, north: float) -> Ring:
    """Return a box of a yard that is 4 wide and 4 high, with its corner at 0, 0."""
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return [[WEST + SIDE * x / 4, SOUTH + SIDE * y / 4] for x, y in corners]


def polygon(ring: Ring) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": [ring]}


YARD = [[0, 0], [4, 0], [4, 4], [3, 4], [3, 1], [1, 1], [1, 4], [0, 4], [0, 0]]
"""A yard that is open to the north: three wings, each of which is its own hull."""
WHOLE = Fences({"yard": polygon([[WEST + SIDE * x / 4, SOUTH + SIDE * y / 4] for x, y in YARD])})
WINGS = Fences({str(w): polygon(box(*w)) for w in ((0, 0, 1, 4), (0, 0, 4, 1), (3, 0, 4, 4))})


@given(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([0.5, 3.0, 30.0, 60.0, 300.0]))
@example(0.0, 0.1, 0.5)
@example(0.0, 1.0, 3.0)
@example(0.0, 1.0, 60.0)
@example(0.5, 0.0, 0.5)
def test_an_area_is_as_far_as_the_nearest_of_its_wings(east: float, north: float, widths: float) -> None:
    place = SOUTH + SIDE * (0.5 + widths * north), WEST + SIDE * (0.5 + widths * east)
    found, wings = WHOLE.at(*place)["yard"], WINGS.at(*place).values()
    if found.where is Where.OUTSIDE:
        assert found.distance == pytest.approx(max(wing.distance for wing in wings), rel=3e-4, abs=0.05)
    else:
        # Which side an edge is of that it stands on is a matter of the last digit.
        assert max(wing.distance for wing in wings) > -0.001


def test_what_is_no_area_is_left_out_by_name() -> None:
    fences, problems = Fences.usable({"lakeside": {"type": "Polygon"}, "st-marys": polygon(box(0, 0, 1, 1))})
    assert fences.sites == ("st-marys",)
    assert problems == {"lakeside": "the area of lakeside is none"}
