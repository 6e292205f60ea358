"""A dataset as its elements lie in memory, and one that is being written: what did not change is not copied."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from capacitord.dicom import deflated
from capacitord.dicom.elements import Element, Encoding, Malformed
from capacitord.dicom.head import HeadReader
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import Attributes
from capacitord.dicom.transcode.recode import Recoder

Piece = bytes | memoryview

LARGEST_INFLATED: Final = 256 << 20
"""Bytes a deflated dataset may have; such are reports rather than images."""

_STEP: Final = 1 << 20
_ICON_SIGNS: Final = (b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff", b"\xe0\x7f\x10\x00OW\0\0\xff\xff\xff\xff")


class Opened:
    """A dataset that was read from its first to its last element. Raises `NotTranscoded` if it cannot be."""

    def __init__(self, data: memoryview | bytes, transfer_syntax_uid: str) -> None:
        self.data = memoryview(data).cast("B") if isinstance(data, memoryview) else memoryview(data)
        if transfer_syntax_uid in deflated.SYNTAXES:
            self.data = memoryview(inflated(self.data))
        reader = HeadReader(transfer_syntax_uid, whole=True)
        try:
            for start in range(0, len(self.data), _STEP):
                reader.feed(self.data[start : start + _STEP])
            reader.finish()
        except Malformed as error:
            # The words name tags at most.
            msg = f"The dataset cannot be read to its end: {error}."
            raise NotTranscoded(msg) from None
        self.encoding: Encoding = reader.encoding
        self.elements: Sequence[Element] = list(_each_once(reader.elements))
        self.attributes = Attributes(self.elements)

    def value(self, element: Element) -> memoryview:
        """Return the value of an element, kept or not; without its delimiter if its length is undefined."""
        start = element.start + element.header
        length = element.size - element.header - 8 if element.undefined else element.length
        return self.data[start : start + length]

    @property
    def has_compressed_icon(self) -> bool:
        """Whether there is compressed pixel data inside a sequence, which a change of syntax would leave behind."""
        return any(
            sign in element.data
            for element in self.elements
            if element.data is not None and element.vr in {"SQ", "UN", ""}
            for sign in _ICON_SIGNS
        )


def _each_once(elements: Iterable[Element]) -> Iterator[Element]:
    """Yield the elements; some devices write an attribute twice, and only two values leave open which one counts."""
    found: dict[int, Element] = {}
    for element in elements:
        earlier = found.setdefault(element.tag, element)
        if earlier is element:
            yield element
        elif element.data is None or element.data != earlier.data:
            msg = "The dataset has an attribute twice, with two values."
            raise NotTranscoded(msg)


def inflated(data: memoryview) -> bytes:
    """Return a deflated dataset as it is written out. Raises `NotTranscoded` if it is damaged or too large."""
    gathered = bytearray()
    try:
        for piece in deflated.inflated([data]):
            gathered += piece
            if len(gathered) > LARGEST_INFLATED:
                msg = f"The dataset inflates to more than {LARGEST_INFLATED >> 20} MiB."
                raise NotTranscoded(msg)
    except Malformed:
        msg = "The dataset is damaged: it does not inflate."
        raise NotTranscoded(msg) from None
    return bytes(gathered)


class Draft:
    """A dataset to be written in `target`, which begins as a copy of one that was opened.

    Raises `NotTranscoded` if that cannot be written in this encoding.
    """

    def __init__(self, opened: Opened, target: Encoding, *, without: Iterable[int] = ()) -> None:
        self.encoding = target
        self._data = opened.data
        self._changed: set[int] = set()
        self._written: dict[int, list[Piece]] = {}
        self._kept: dict[int, tuple[int, int]] = {}
        left_out = set(without)
        elements = [element for element in opened.elements if element.tag not in left_out]
        self._changed.update(tag >> 16 for tag in left_out)
        if opened.encoding == target:
            self._kept = {element.tag: (element.start, element.start + element.size) for element in elements}
            return
        try:
            self._written = dict(Recoder(opened.data, target).recoded(elements))
        except Malformed as error:
            msg = f"The dataset cannot be written in another encoding: {error}."
            raise NotTranscoded(msg) from None

    def element(self, tag: int) -> bytes | None:
        """Return an element as it will be written, None if there is none."""
        if tag in self._kept:
            start, stop = self._kept[tag]
            return bytes(self._data[start:stop])
        pieces = self._written.get(tag)
        return None if pieces is None else b"".join(pieces)

    def put(self, tag: int, pieces: Iterable[Piece]) -> None:
        """Write an element, in place of the one that is there if there is one."""
        self._kept.pop(tag, None)
        self._written[tag] = list(pieces)
        self._changed.add(tag >> 16)

    def pieces(self) -> list[Piece]:
        """Return the bytes of the dataset; what lies side by side in the original is one piece.

        The group length of a group that changed is left out (PS3.5 §7.2: it is retired).
        """
        wrong = {group << 16 for group in self._changed}
        tags = sorted((self._kept.keys() | self._written.keys()) - wrong)
        out: list[Piece] = []
        start = stop = 0
        for tag in tags:
            if tag in self._kept and self._kept[tag][0] == stop != start:
                stop = self._kept[tag][1]
                continue
            if stop > start:
                out.append(self._data[start:stop])
            start, stop = self._kept.get(tag, (0, 0))
            out += self._written.get(tag, ())
        if stop > start:
            out.append(self._data[start:stop])
        return list(itertools.filterfalse(lambda piece: not len(piece), out))
