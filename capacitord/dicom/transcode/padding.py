"""Samples that are no part of the picture: those equal to Pixel Padding Value (PS3.3 §C.7.5.1.1.2).

That value, and nothing else, says which these are. After loss some of them could have become picture, and some of the
picture padding: an image may be compressed with loss only if the very same samples are padding before and after.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import Attributes, Layout

PIXEL_PADDING_VALUE: Final = 0x00280120
PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280121

Pixels = np.ndarray[Any, Any]


class Padding(NamedTuple):
    """The samples from `least` to `most`, both included."""

    least: int
    most: int

    def check(self, before: Pixels, after: Pixels) -> None:
        """Raise `NotTranscoded` unless the same samples of a frame are padding before and after."""
        if not np.array_equal(self._are(before), self._are(after)):
            msg = (
                "Samples equal to Pixel Padding Value (0028,0120) would not be the same ones after loss, so that other"
                " parts of the image would count as its background; without loss they stay."
            )
            raise NotTranscoded(msg)

    def _are(self, pixels: Pixels) -> Pixels:
        # Bounds of 32 bits, since they may lie outside of what a sample can be.
        samples = pixels.astype(np.int32)
        return (samples >= self.least) & (samples <= self.most)


def padding_of(attributes: Attributes, layout: Layout) -> Padding | None:
    """Return which samples of an image are padding, None if it does not say, or has colours, to which it cannot apply.

    Raises `NotTranscoded` if what it says cannot be read.
    """
    ends = [
        _sample(attributes, tag, layout)
        for tag in (PIXEL_PADDING_VALUE, PIXEL_PADDING_RANGE_LIMIT)
        if layout.samples == 1 and _is_said(attributes, tag)
    ]
    if not ends:
        return None
    return Padding(min(ends), max(ends))


def _is_said(attributes: Attributes, tag: int) -> bool:
    element = attributes.element(tag)
    return element is not None and element.length > 0


def _sample(attributes: Attributes, tag: int, layout: Layout) -> int:
    number = attributes.number(tag)
    if number is None:
        msg = "The Pixel Padding Value (0028,0120) of the image cannot be read, and loss could change what is padding."
        raise NotTranscoded(msg)
    if not layout.signed:
        return number
    # Some devices write it as a sample is stored, others as a number of 16 bits.
    bits = 16 if number >> 15 else layout.stored
    return number - (1 << bits) if number >> bits - 1 & 1 else number
