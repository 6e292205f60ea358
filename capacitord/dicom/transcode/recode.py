"""Elements written anew in another native encoding: with or without VR, in the other byte order (PS3.5 §7.1, §A)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import DEEPEST_NESTING, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Element, Encoding, Malformed
from capacitord.dicom.head import LAST_PIXELS
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import BITS_ALLOCATED, PIXEL_REPRESENTATION, order_of
from capacitord.dicom.transform.level import dataset_of, known_vr, public_vr

_UNITS: Final = {"AT": 2, "OW": 2, "SS": 2, "US": 2} | {"FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4}
_LONG_UNITS: Final = {"FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}
_UNIT: Final = _UNITS | _LONG_UNITS
"""Bytes of a number of each VR whose byte order matters (PS3.5 §7.3)."""

_WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
_WAVEFORM_GROUP: Final = 0x5400
_PIECE: Final = 1 << 20

Piece = bytes | memoryview


class Recoder:
    """Writes elements of a dataset in another encoding, Little Endian.

    `data` is the whole dataset; values too large to have been kept are taken from there.
    """

    def __init__(self, data: memoryview, target: Encoding) -> None:
        self._data = data
        self._target = target

    def recoded(self, elements: Sequence[Element]) -> Iterator[tuple[int, list[Piece]]]:
        """Yield the tag and the pieces of each element of the top level; group lengths are left out.

        Raises `Malformed`, and `NotTranscoded` for what cannot be written.
        """
        yield from self._level(elements, signed=False, depth=0)

    def _level(self, elements: Sequence[Element], *, signed: bool, depth: int) -> Iterator[tuple[int, list[Piece]]]:
        if depth > DEEPEST_NESTING:
            msg = "the sequences are nested too deeply"
            raise Malformed(msg)
        level = _Level(elements, signed=signed)
        for element in elements:
            if element.tag & 0xFFFF:
                yield element.tag, self._element(element, level, depth)

    def _element(self, element: Element, level: _Level, depth: int) -> list[Piece]:
        vr = element.vr or level.vr(element)
        if vr == "SQ" and not element.vr and element.value and element.value[:4] not in encoded.ITEM_TAGS:
            # A private dictionary may be wrong of what stands here.
            vr = "UN"
        if vr == "UN" and element.undefined:
            # What is inside is Implicit VR Little Endian in any dataset (PS3.5 §6.2.2 note 4).
            return [self._undefined_head(element, vr), element.value, _SEQUENCE_END]
        if vr == "SQ":
            return self._sequence(element, level, depth)
        if element.undefined:
            msg = "Compressed pixel data stands where a native one belongs."
            raise NotTranscoded(msg)
        return self._plain(element.tag, vr, element.encoding, self._value(element))

    def _value(self, element: Element) -> memoryview:
        if element.data is not None:
            return memoryview(element.value)
        start = element.start + element.header
        return self._data[start : start + element.length]

    def _plain(self, tag: int, vr: str, source: Encoding, value: memoryview) -> list[Piece]:
        unit = _UNIT.get(vr, 1)
        if source.big and unit > 1 and len(value) % unit:
            msg = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has a length that does not fit its value representation"
            raise Malformed(msg)
        if len(value) > encoded.LONGEST_SHORT and vr not in encoded.LONG_VRS and not self._target.implicit:
            # PS3.5 §6.2.2: what is too long for a length of 16 bits is written as UN.
            vr = "UN"
        head = encoded.write(tag, vr, b"", self._target)
        if vr in encoded.LONG_VRS or self._target.implicit:
            head = encoded.with_length(head, len(value), self._target)
        else:
            head = head[:-2] + len(value).to_bytes(2, "little")
        return [head, *(swapped(value, unit) if source.big and unit > 1 else [value] if value else [])]

    def _sequence(self, element: Element, level: _Level, depth: int) -> list[Piece]:
        source = encoded.inner(element.vr, element.encoding)
        items, rest = encoded.items(element.value, source)
        if rest:
            msg = "a sequence has something behind its last item"
            raise Malformed(msg)
        value = b"".join(self._item(item, source, level, depth) for item in items)
        if element.undefined:
            return [self._undefined_head(element, "SQ"), value, _SEQUENCE_END]
        return [
            encoded.with_length(encoded.write(element.tag, "SQ", b"", self._target), len(value), self._target),
            value,
        ]

    def _undefined_head(self, element: Element, vr: str) -> bytes:
        return encoded.with_length(encoded.write(element.tag, vr, b"", self._target), encoded.UNDEFINED, self._target)

    def _item(self, item: encoded.Item, source: Encoding, level: _Level, depth: int) -> bytes:
        inside = list(encoded.elements(item.content, source))
        written = self._level(inside, signed=level.signed, depth=depth + 1)
        content = b"".join(piece for _, pieces in written for piece in pieces)
        if item.tail:
            return encoded.item_head(encoded.UNDEFINED, EXPLICIT_LITTLE) + content + _ITEM_END
        return encoded.write_item(content, EXPLICIT_LITTLE)


class _Level:
    """What the VRs of one level depend on where they are not written (PS3.5 §A.1)."""

    def __init__(self, elements: Sequence[Element], *, signed: bool) -> None:
        self._by_tag = {element.tag: element for element in elements}
        self._dataset: Dataset | None = None
        said = self._number(PIXEL_REPRESENTATION)
        self.signed = signed if said is None else said == 1

    def vr(self, element: Element) -> str:
        """Return the VR of an element that was written without; UN if nobody knows."""
        said = public_vr(element.tag)
        if said == "US or SS":
            return "SS" if self.signed else "US"
        if said == "OB or OW":
            return "OB" if self._is_bytes(element.tag) else "OW"
        if " or " in said:
            return "OW"
        if self._dataset is None:
            self._dataset = dataset_of(self._by_tag.values(), IMPLICIT_LITTLE)
        return known_vr(self._dataset, element.tag) or ("SQ" if element.undefined else "UN")

    def _is_bytes(self, tag: int) -> bool:
        """PS3.5 §A.2: samples of at most 8 bits are written as bytes."""
        allocated = {LAST_PIXELS: BITS_ALLOCATED}.get(tag)
        if tag >> 16 == _WAVEFORM_GROUP:
            allocated = _WAVEFORM_BITS_ALLOCATED
        bits = None if allocated is None else self._number(allocated)
        return bits is not None and bits <= 8

    def _number(self, tag: int) -> int | None:
        element = self._by_tag.get(tag)
        if element is None or len(element.value) < 2:
            return None
        return int.from_bytes(element.value[:2], order_of(element.encoding))


def swapped(value: memoryview, unit: int) -> Iterable[bytes]:
    """Yield a value with the bytes of each number of `unit` bytes in reverse, in pieces."""
    for start in range(0, len(value), _PIECE):
        yield np.frombuffer(value[start : start + _PIECE], f"u{unit}").byteswap().tobytes()


_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ITEM_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0"
