"""From the bytes of an image to a picture of one of its frames.

What a dataset says decides what memory and time this takes, within the bounds of a frame (`LARGEST_FRAME`). It is
done in a process that may run out of both.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.preview import png
from capacitord.dicom.preview.colours import red_green_blue
from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.grey import Groups, grey
from capacitord.dicom.preview.level import Level
from capacitord.dicom.preview.lut import palette
from capacitord.dicom.preview.pixels import Image
from capacitord.dicom.preview.scaling import Size, fitted, scaled

__all__ = ["NotShown", "Picture", "Shown", "picture", "shown"]

Numbers = np.ndarray[Any, Any]

_MONOCHROME: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PIXEL_MEASURES: Final = 0x00289110
_ASPECT_RATIO: Final = 0x00280034
_SPACINGS: Final = (0x00280030, 0x00181164, 0x00182010)
"""Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing: between rows, then between columns."""


class Shown(NamedTuple):
    """A frame in its own size: `pixels` of 8 bits, shape (rows, columns) if grey or (rows, columns, 3) if RGB.

    `frame` counts from 1; `window` says in words how shades were chosen, empty for colours; `tallness` is how many
    times a pixel is as tall as it is wide. If it is not whole, pixels are missing at its end, and black or so instead.
    """

    pixels: Numbers
    frame: int
    frames: int
    window: str
    tallness: float
    is_whole: bool = True


class Picture(NamedTuple):
    """A picture as a PNG file; `width` and `height` are its own, `rows` and `columns` those of the image."""

    png: bytes
    width: int
    height: int
    rows: int
    columns: int
    frame: int
    frames: int
    window: str
    is_whole: bool


def shown(data: memoryview, transfer_syntax_uid: str, *, frame: int = 0, window: str = "") -> Shown:
    """Return one frame of an image, counted from 1, as a person would see it; 0 is the one in the middle.

    `data` is the dataset without file meta information. `window` is as `windows.chosen` has it. Raises `NotShown`.
    """
    image = Image(data, transfer_syntax_uid)
    found = image.frame(frame)
    words = ""
    if found.photometric in _MONOCHROME:
        pixels, words = grey(found, image.level, window)
    elif found.photometric == "PALETTE COLOR":
        pixels = palette(image.level, signed=found.signed).painted(found.stored)
    else:
        pixels = red_green_blue(found)
    return Shown(pixels, found.number, found.frames, words, tallness(image.level, found.number), found.is_whole)


def picture(data: memoryview, transfer_syntax_uid: str, *, size: int, frame: int = 0, window: str = "") -> Picture:
    """Return a picture of at most `size` by `size` pixels. Raises `NotShown`; for the rest see `shown`."""
    found = shown(data, transfer_syntax_uid, frame=frame, window=window)
    rows, columns = found.pixels.shape[:2]
    wanted = fitted(columns, rows, Size(size, size), found.tallness)
    file = png.encoded(scaled(found.pixels, wanted))
    return Picture(
        file, wanted.width, wanted.height, rows, columns, found.frame, found.frames, found.window, found.is_whole
    )


def tallness(top: Level, frame: int) -> float:
    """Return how many times a pixel is as tall as it is wide, 1 if that is not said (PS3.3 §C.7.6.3.1.7)."""
    measures = Groups(top, frame).macro(_PIXEL_MEASURES)
    for level, tags in ((top, (_ASPECT_RATIO,)), (measures, _SPACINGS), (top, _SPACINGS)):
        for tag in tags:
            sides = level.decimals(tag)
            if len(sides) == 2 and min(sides) > 0:
                return sides[0] / sides[1]
    return 1.0
