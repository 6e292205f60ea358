"""How a position stands to the area of a site."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

MARGIN: Final = 1.5
"""By how much an accuracy estimate is widened. Between walls, and for a minute or two at a time, receivers are wrong by
more than they say, and every fix of that time by the same."""


class Where(enum.StrEnum):
    """Whether a position is in an area, as far as its accuracy lets one say.

    `INSIDE` and `OUTSIDE` are sure: the whole circle of `MARGIN` times the accuracy estimate lies on that side. `MAYBE`
    is neither.
    """

    INSIDE = "inside"
    MAYBE = "maybe"
    OUTSIDE = "outside"


class Standing(msgspec.Struct, frozen=True):
    """Where a position is, and how far the nearest edge is away in metres: positive inside, negative outside."""

    where: Where
    distance: float


def standing(distance: float, accuracy: float) -> Standing:
    """Return how a position that is right within `accuracy` metres stands to an edge in `distance` (positive inside).

    The circle around it is `MARGIN` times as wide. One that touches the edge is on no side. Raises ValueError for what
    is no distance, or no accuracy.
    """
    if math.isnan(distance) or not accuracy >= 0:
        msg = f"{distance:g} m ± {accuracy:g} m is no distance"
        raise ValueError(msg)
    if distance > MARGIN * accuracy:
        return Standing(Where.INSIDE, distance)
    if distance < -MARGIN * accuracy:
        return Standing(Where.OUTSIDE, distance)
    return Standing(Where.MAYBE, distance)
