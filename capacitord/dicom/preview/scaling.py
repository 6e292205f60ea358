"""A picture made smaller by the mean of what falls together, each axis by itself; larger by repeating."""

from __future__ import annotations

import itertools
from typing import Any, Final, NamedTuple

import numpy as np

Numbers = np.ndarray[Any, Any]

_OBLONG: Final = 16.0
"""A pixel that is said to be longer than so many times its width is not believed."""


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int


def fitted(width: int, height: int, most: Size, tallness: float = 1.0) -> Size:
    """Return the size of a picture within `most`, never larger than it is.

    `tallness` is how many times a pixel is as tall as it is wide: then the shorter side is drawn out.
    """
    if not 1 / _OBLONG <= tallness <= _OBLONG:
        tallness = 1.0
    true_width, true_height = width * max(1.0, 1 / tallness), height * max(1.0, tallness)
    share = min(1.0, most.width / true_width, most.height / true_height)
    return Size(max(1, round(true_width * share)), max(1, round(true_height * share)))


def scaled(picture: Numbers, size: Size) -> Numbers:
    """Return a picture of 8 bits, shape (rows, columns[, 3]), in another size."""
    rows, columns = picture.shape[:2]
    if (columns, rows) == size:
        return picture
    across = _places(columns, size.width)
    down = _places(rows, size.height)
    out = np.empty((size.height, size.width, *picture.shape[2:]), np.uint8)
    for place, (top, bottom) in enumerate(itertools.pairwise(down)):
        line = picture[top : max(bottom, top + 1)].sum(axis=0, dtype=np.uint64)
        sums = np.add.reduceat(line, across[:-1], axis=0)
        counts = np.maximum(np.diff(across), 1) * max(bottom - top, 1)
        counts = counts.reshape(-1, *[1] * (picture.ndim - 2)).astype(np.uint64)
        out[place] = (sums + counts // 2) // counts
    return out


def _places(length: int, wanted: int) -> Numbers:
    """Return where each of `wanted` parts of an axis begins, and where the last ends; a part may be repeated."""
    return np.arange(wanted + 1, dtype=np.int64) * length // wanted
