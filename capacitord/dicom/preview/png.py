"""Pictures of 8 bits as PNG, and back."""

from __future__ import annotations

from typing import Any, Final

import imagecodecs
import numpy as np

Numbers = np.ndarray[Any, Any]

_LEVEL: Final = 4
"""Of deflate: more takes longer and makes little of noise."""


def encoded(picture: Numbers) -> bytes:
    """Return a picture, shape (rows, columns[, 3]), as a PNG file."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=_LEVEL))


def decoded(data: bytes) -> Numbers:
    """Return a PNG file as a picture, shape (rows, columns[, 3]). Raises `ValueError` if it is not grey or RGB."""
    try:
        found = np.asarray(imagecodecs.png_decode(data))
    except (RuntimeError, ValueError) as error:
        raise ValueError("it is damaged, or no PNG file") from error
    if found.dtype != np.uint8 or found.ndim not in {2, 3} or found.shape[2:] not in {(), (3,)}:
        raise ValueError("it is neither grey nor RGB of 8 bits")
    return found
