"""One level of a dataset, for looking up what a picture depends on. What cannot be read counts as not there."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterable
from typing import Final

from capacitord.dicom.elements import Element, Encoding, Malformed, elements, inner, items

_FLOATS: Final = {"FD": "d", "FL": "f"}


class Level:
    """The elements of a dataset or of an item of a sequence. The first of two with one tag counts."""

    def __init__(self, found: Iterable[Element], encoding: Encoding) -> None:
        self._by_tag: dict[int, Element] = {}
        for element in found:
            self._by_tag.setdefault(element.tag, element)
        self.encoding = encoding

    def value(self, tag: int) -> bytes:
        """Return the bytes of a value, empty if there are none or too many to be kept."""
        element = self._by_tag.get(tag)
        return b"" if element is None else element.value

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return the values of a text without padding; none if it is empty."""
        text = self.value(tag).decode("latin-1")
        return tuple(part.strip(" \0") for part in text.split("\\")) if text.strip(" \0\\") else ()

    def text(self, tag: int) -> str:
        """Return the first value of a text, empty if there is none."""
        return next(iter(self.texts(tag)), "")

    def decimals(self, tag: int) -> tuple[float, ...]:
        """Return numbers written as text (DS, IS), or as FD or FL; none if one of them is not a finite number."""
        element = self._by_tag.get(tag)
        kind = _FLOATS.get(element.vr) if element is not None else None
        found: tuple[float, ...] = ()
        with contextlib.suppress(ValueError):
            found = self._unpacked(tag, kind) if kind else tuple(map(float, self.texts(tag)))
        return found if all(map(math.isfinite, found)) else ()

    def words(self, tag: int, *, signed: bool = False) -> tuple[int, ...]:
        """Return numbers of 16 bits (US, SS, OW)."""
        return self._unpacked(tag, "h" if signed else "H")

    def _unpacked(self, tag: int, kind: str) -> tuple[int, ...]:
        value = self.value(tag)
        count = len(value) // struct.calcsize(kind)
        return struct.unpack_from(f"{self.encoding.order}{count}{kind}", value)

    def items(self, tag: int) -> list[Level]:
        """Return the items of a sequence."""
        return [self._item(content) for content in self._contents(tag)]

    def item(self, tag: int, number: int = 0) -> Level | None:
        """Return one item of a sequence, counted from 0; None if there are not so many. The others are not read."""
        contents = self._contents(tag)
        return self._item(contents[number]) if number < len(contents) else None

    def _contents(self, tag: int) -> list[bytes]:
        try:
            return [item.content for item in items(self.value(tag), self._inside(tag))[0]]
        except Malformed:
            return []

    def _item(self, content: bytes) -> Level:
        encoding = self.encoding
        with contextlib.suppress(Malformed):
            return Level(list(elements(content, encoding)), encoding)
        return Level((), encoding)

    def _inside(self, tag: int) -> Encoding:
        element = self._by_tag.get(tag)
        return self.encoding if element is None else inner(element.vr, self.encoding)
