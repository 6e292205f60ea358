"""One frame of an image as it is stored: taken out of the pixel data, decoded, and its unused bits left away."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom import deflated
from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.elements import Element, Encoding, Malformed
from capacitord.dicom.head import HeadReader
from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.level import Level
from capacitord.dicom.transcode.dataset import inflated
from capacitord.dicom.transcode.decoding import decode, decoded_photometric, native_pixels
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.frames import encapsulated_frame
from capacitord.dicom.transcode.layout import (
    BITS_ALLOCATED,
    COLUMNS,
    KNOWN,
    LARGEST_FRAME,
    ROWS,
    SAMPLES_PER_PIXEL,
    SUBSAMPLED,
    Attributes,
    Layout,
    frames_of,
    layout_of,
)
from capacitord.dicom.transcode.syntaxes import SOURCES, Method

Numbers = np.ndarray[Any, Any]

PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXELS: Final = 0x7FE00008
DOUBLE_PIXELS: Final = 0x7FE00009

PARTIAL: Final = "YBR_PARTIAL_422"
RETIRED: Final[Mapping[str, int]] = MappingProxyType({"ARGB": 4, "CMYK": 4, "HSV": 3, PARTIAL: 3})
"""Photometric interpretations of former editions of the standard, and their samples."""

_STEP: Final = 1 << 20
_FLOATS: Final[Mapping[int, tuple[str, int]]] = MappingProxyType({FLOAT_PIXELS: ("f4", 32), DOUBLE_PIXELS: ("f8", 64)})


class Frame(NamedTuple):
    """One frame. `stored` is of shape (rows, columns[, samples]): integers as they are stored, or floats.

    `photometric` is what they mean now; `number` counts from 1. A frame that is not whole ends in zeros.
    """

    stored: Numbers
    photometric: str
    bits: int
    signed: bool
    number: int
    frames: int
    is_whole: bool = True


class Image:
    """An image that was read as far as its pixel data. Raises `NotShown` if it cannot be."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str) -> None:
        self._data = data
        self._uid = transfer_syntax_uid
        if transfer_syntax_uid in deflated.SYNTAXES:
            try:
                self._data = memoryview(inflated(data))
            except NotTranscoded as error:
                raise NotShown(str(error)) from None
        found, self.encoding = _head(self._data, transfer_syntax_uid)
        self._attributes = Attributes(found)
        self.level = Level(found, self.encoding)

    def frame(self, number: int) -> Frame:
        """Return a frame, counted from 1; 0 is the one in the middle. Raises `NotShown`."""
        for tag, (kind, bits) in _FLOATS.items():
            if (element := self._attributes.element(tag)) is not None:
                return self._floats(element, kind, bits, number)
        pixels = self._attributes.element(PIXEL_DATA)
        if pixels is None:
            msg = "It has no pixels: it is a report or a document, say, or an image whose pixels are missing."
            raise NotShown(msg)
        try:
            layout = layout_of(self._attributes, {**KNOWN, **RETIRED})
            number = _chosen(number, layout.frames)
            return self._integers(pixels, layout, number)
        except NotTranscoded as error:
            raise NotShown(str(error)) from None
        except Malformed:
            msg = "The encapsulated pixel data has something between its fragments."
            raise NotShown(msg) from None

    def _integers(self, pixels: Element, layout: Layout, number: int) -> Frame:
        method = SOURCES[self._uid].method if self._uid in SOURCES else None
        if method is None and pixels.undefined:
            msg = f"This box does not read the pixels of {syntax_name(self._uid)}."
            raise NotShown(msg)
        if pixels.undefined != (method not in {Method.NATIVE, None}):
            msg = "The transfer syntax and the pixel data contradict each other in whether it is compressed."
            raise NotShown(msg)
        photometric, is_whole = layout.photometric, True
        if method is None or method is Method.NATIVE:
            stored, is_whole = self._native(pixels, layout, number)
        elif layout.photometric in RETIRED:
            msg = f"The image says that it is {layout.photometric}, and a compressed image cannot be."
            raise NotShown(msg)
        else:
            photometric = decoded_photometric(method, layout)
            value = self._data[pixels.start + pixels.header :]
            stored = decode(encapsulated_frame(value, layout.frames, number - 1), method, layout)
        return Frame(_used(stored, layout), photometric, layout.stored, layout.signed, number, layout.frames, is_whole)

    def _native(self, pixels: Element, layout: Layout, number: int) -> tuple[Numbers, bool]:
        if layout.allocated not in {1, 8, 16, 32}:
            msg = f"Samples of {layout.allocated} bits are not unpacked here."
            raise NotShown(msg)
        if layout.photometric in {"YBR_RCT", "YBR_ICT"}:
            msg = f"The image says that it is {layout.photometric}, and a native image cannot be."
            raise NotShown(msg)
        if layout.allocated == 1:
            return self._bits(pixels, layout, number)
        if layout.photometric == PARTIAL:
            layout = layout._replace(photometric=SUBSAMPLED)
        if layout.photometric == SUBSAMPLED and pixels.length >= layout.rows * layout.columns * 3 * layout.frames:
            # Devices in the field say so of colours that are not subsampled.
            layout = layout._replace(photometric="YBR_FULL")
        if layout.photometric == SUBSAMPLED and layout.columns % 2:
            msg = "The image has subsampled colour and an odd number of columns."
            raise NotShown(msg)
        unit = layout.allocated // 8
        if unit == 1 and pixels.vr == "OW":
            unit = 2
        size = layout.frame_size
        data, is_whole = self._taken(pixels, (number - 1) * size, size, unit)
        return native_pixels(data, layout), is_whole

    def _bits(self, pixels: Element, layout: Layout, number: int) -> tuple[Numbers, bool]:
        """Return samples of 1 bit, the first in the lowest bit; frames follow each other without a gap (PS3.5 §8.1)."""
        if layout.samples != 1:
            msg = "The image has colours of 1 bit."
            raise NotShown(msg)
        count = layout.rows * layout.columns
        first = (number - 1) * count
        start, stop = first // 8, (first + count + 7) // 8
        data, is_whole = self._taken(pixels, start, stop - start, 2 if pixels.vr == "OW" else 1)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[first % 8 : first % 8 + count].reshape(layout.rows, layout.columns), is_whole

    def _floats(self, element: Element, kind: str, bits: int, number: int) -> Frame:
        numbers = [self._attributes.number(tag) or 0 for tag in (ROWS, COLUMNS, SAMPLES_PER_PIXEL, BITS_ALLOCATED)]
        rows, columns, samples, allocated = numbers
        size = rows * columns * bits // 8
        if samples != 1 or allocated != bits or not 0 < size <= LARGEST_FRAME:
            msg = "The pixels are floating-point numbers, and the image contradicts itself in how many."
            raise NotShown(msg)
        try:
            frames = frames_of(self._attributes)
        except NotTranscoded as error:
            raise NotShown(str(error)) from None
        number = _chosen(number, frames)
        data, is_whole = self._taken(element, (number - 1) * size, size, bits // 8)
        stored = np.frombuffer(data, f"<{kind}").reshape(rows, columns)
        return Frame(stored, "MONOCHROME2", bits, True, number, frames, is_whole)

    def _taken(self, element: Element, start: int, size: int, unit: int) -> tuple[memoryview, bool]:
        """Return a part of a native value in Little Endian, and whether it is whole: what is missing is filled with 0.

        Units of so many bytes have an order. Raises `NotShown` if all of it is missing.
        """
        first = element.start + element.header
        aligned = start - start % unit
        length = size + (start - aligned) + -(start + size) % unit
        value = self._data[first : first + element.length]
        part = value[aligned : aligned + length]
        if len(value) <= start:
            msg = f"The pixel data ends after {len(value)} bytes, before this frame begins."
            raise NotShown(msg)
        is_whole = len(value) >= start + size
        if len(part) < length:
            part = memoryview(bytes(part) + bytes(length - len(part)))
        if self.encoding.big and unit > 1:
            part = memoryview(np.frombuffer(part, f">u{unit}").astype(f"<u{unit}").tobytes())
        return part[start - aligned : start - aligned + size], is_whole


def _head(data: memoryview, uid: str) -> tuple[list[Element], Encoding]:
    reader = HeadReader(uid)
    try:
        for start in range(0, len(data), _STEP):
            if reader.feed(data[start : start + _STEP]):
                break
        reader.finish()
    except Malformed as error:
        # The words name tags at most.
        msg = f"The dataset cannot be read as far as its pixels: {error}."
        raise NotShown(msg) from None
    return reader.elements, reader.encoding


def _chosen(number: int, frames: int) -> int:
    if number > frames:
        have = "1 frame" if frames == 1 else f"{frames} frames"
        msg = f"The image has {have}."
        raise NotShown(msg)
    return number or (frames + 1) // 2


def _used(stored: Numbers, layout: Layout) -> Numbers:
    """Return samples without the bits that are not stored, the sign where it belongs (PS3.5 §8.1.1)."""
    above, below = layout.allocated - 1 - layout.high, layout.high - (layout.stored - 1)
    if layout.allocated == 1 or not (above or below):
        return stored
    # Shifting back a number that has a sign fills what is above with it.
    return (stored << above) >> (above + below)
