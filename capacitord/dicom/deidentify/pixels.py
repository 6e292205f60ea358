"""What lies beside the pixels in the bytes of a pixel data element: cut out, or the image is held.

Pixels stay as they are, to the bit. Behind native ones there may be padding and nothing else, or the image is held.
Compressed frames are walked (`markers.py`); one that is cut becomes a single fragment, and the tables that say where
frames begin are put right (PS3.5 §A.4, PS3.3 §C.7.6.3.1.8). What a codec would decode is never looked at.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.deidentify.markers import Unclear, Walked, walk_j2k, walk_jpeg, walk_jpeg_ls
from capacitord.dicom.deidentify.single import NotDeidentified
from capacitord.dicom.elements import EXPLICIT_LITTLE, Element, item_head, write
from capacitord.dicom.splice import Cut, applied
from capacitord.dicom.transcode import rle
from capacitord.dicom.transcode.encapsulate import (
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    LONGEST_OFFSET,
    PIXEL_DATA,
)
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.frames import Fragment, fragments, grouped
from capacitord.dicom.transcode.layout import (
    BITS_ALLOCATED,
    COLUMNS,
    PHOTOMETRIC_INTERPRETATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    Attributes,
    frames_of,
    layout_of,
)
from capacitord.dicom.transcode.syntaxes import DEFLATED_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from capacitord.dicom.rewriting import Opened

FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
PIXEL_ELEMENTS: Final = frozenset({FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})
TABLES: Final = (EXTENDED_OFFSETS, EXTENDED_LENGTHS)

_FLOAT_BITS: Final = MappingProxyType({FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64})
_HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Photometric interpretations with two samples a pixel in native format; some devices write three all the same."""
_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_RLE: Final = "1.2.840.10008.1.2.5"
_JPEG_FAMILY: Final = "1.2.840.10008.1.2.4."
_WALKS: Final[Mapping[str, Callable[[bytes], Walked]]] = MappingProxyType(
    {
        **{f"{_JPEG_FAMILY}{process}": walk_jpeg for process in (*range(50, 67), 70)},
        **dict.fromkeys((_JPEG_FAMILY + "80", _JPEG_FAMILY + "81"), walk_jpeg_ls),
        **{f"{_JPEG_FAMILY}{process}": walk_j2k for process in (90, 91, 92, 93, 201, 202, 203)},
    }
)
_NATIVE: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED_UID})
_STANDARD: Final = "1.2.840.10008."

_INSTEAD: Final = "sent by its device with its pixels not compressed, it can pass"


def cleaned(opened: Opened, stay: Collection[int]) -> dict[int, list[Cut]]:
    """Return what is to be cut out of an image, by the element that is in; nothing if there are only pixels.

    `opened` is open to its end; `stay` are the tags of the elements that stay. Raises `NotDeidentified`, and what
    reading the image raises.
    """
    attributes = Attributes(opened.elements)
    found = [element for element in opened.elements if element.tag in PIXEL_ELEMENTS and element.tag in stay]
    tables = [element for element in opened.elements if element.tag in TABLES]
    if len(found) > 1:
        msg = "it has pixel data more than once, and only one can be the image; its device has to send it without"
        raise NotDeidentified(msg)
    if not found or not found[0].undefined:
        if found and found[0].length:
            _check_native(opened, found[0], attributes)
        return {element.tag: [Cut(element.start, element.start + element.size, b"")] for element in tables}
    try:
        return _Encapsulated(opened, found[0], attributes).cleaned(tables)
    except NotTranscoded as error:
        # Its words are a sentence, and this is the middle of one.
        words = str(error).rstrip(".")
        msg = f"what is in its compressed pixel data cannot be told ({words}); {_INSTEAD}"
        raise NotDeidentified(msg) from None


def _check_native(opened: Opened, pixels: Element, attributes: Attributes) -> None:
    syntax = opened.image.transfer_syntax_uid
    if syntax.startswith(_STANDARD) and syntax not in _NATIVE:
        msg = (
            f"its pixel data is not compressed, and {syntax_name(syntax)} says that it is, so nobody knows what it is;"
            " its device has to send it anew"
        )
        raise NotDeidentified(msg)
    length = max((each for each in _lengths(pixels, attributes) if each <= pixels.length), default=-1)
    start = pixels.start + pixels.header
    # Which byte of the last word is the padding of an odd length depends on who swapped it.
    if length < 0 or any(opened.between(start + length + length % 2, start + pixels.length)):
        msg = (
            "its pixel data is not as long as its rows, columns, samples and frames make it, so there may be something"
            " else in it; its device has to send it anew"
        )
        raise NotDeidentified(msg)


def _lengths(pixels: Element, attributes: Attributes) -> set[int]:
    """Return how many bytes native pixel data may have without padding, none if that cannot be told."""
    rows, columns = attributes.number(ROWS), attributes.number(COLUMNS)
    samples = attributes.number(SAMPLES_PER_PIXEL) or 1
    bits = _FLOAT_BITS.get(pixels.tag) or attributes.number(BITS_ALLOCATED)
    if not rows or not columns or not bits:
        return set()
    try:
        count = rows * columns * frames_of(attributes)
    except NotTranscoded:
        return set()
    each = {samples, 2} if attributes.text(PHOTOMETRIC_INTERPRETATION) in _HALVED else {samples}
    return {(count * samples * bits + 7) // 8 for samples in each}


class _Encapsulated:
    """Compressed pixel data of one image."""

    def __init__(self, opened: Opened, pixels: Element, attributes: Attributes) -> None:
        self._opened, self._pixels, self._attributes = opened, pixels, attributes
        self._first = pixels.start + pixels.header

    def cleaned(self, tables: Sequence[Element]) -> dict[int, list[Cut]]:
        """Return what is to be cut out, by element. Raises `NotDeidentified` or `NotTranscoded`."""
        whole = self._opened.between(self._first, self._pixels.start + self._pixels.size)
        if not whole.endswith(_END):
            msg = "There is something in the end of the pixel data."
            raise NotTranscoded(msg)
        table, each = fragments(memoryview(whole)[: -len(_END)])
        groups = grouped(table, each, frames_of(self._attributes))
        base = self._first + 8 + len(table)
        starts, lengths, cuts = [0], [], []
        for group in groups:
            walked = self._walk(b"".join(fragment.data for fragment in group))
            start, stop = group[0].start, group[-1].start + 8 + len(group[-1].data)
            size, length = stop - start, walked.end
            if walked.cuts:
                inside = [cut for cut in walked.cuts if cut.stop <= walked.end]
                length += sum(cut.growth for cut in inside)
                size = 8 + length + length % 2
                cuts += _shortened(group, inside, walked.end, length, base)
            starts.append(starts[-1] + size)
            lengths.append(length)
        found = {self._pixels.tag: [*self._basic(table, starts[:-1]), *cuts]}
        for element, numbers in zip(tables, (starts[:-1], lengths), strict=False):
            found[element.tag] = self._extended(element, numbers, has_both=len(tables) == len(TABLES))
        return found

    def _walk(self, data: bytes) -> Walked:
        syntax = self._opened.image.transfer_syntax_uid
        if syntax == _RLE:
            return self._walk_rle(data)
        walk = _WALKS.get(syntax)
        if walk is None:
            msg = f"its pixels are in {syntax_name(syntax)}, in which this box cannot look for text; {_INSTEAD}"
            raise NotDeidentified(msg)
        try:
            return walk(data)
        except Unclear as error:
            msg = f"a frame of its compressed pixel data {error}; {_INSTEAD}"
            raise NotDeidentified(msg) from None

    def _walk_rle(self, data: bytes) -> Walked:
        """Decode a frame, which fails if it has more than its pixels. Raises `NotTranscoded`."""
        layout = layout_of(self._attributes)
        rle.decode(data, layout)
        count = layout.samples * layout.allocated // 8
        if any(data[4 * (count + 1) : rle.HEADER_LENGTH]):
            msg = "There is something in the header of a frame."
            raise NotTranscoded(msg)
        return Walked([], len(data))

    def _basic(self, table: memoryview, starts: Sequence[int]) -> list[Cut]:
        right = struct.pack(f"<{len(starts)}L", *starts) if starts[-1] <= LONGEST_OFFSET else b""
        if not len(table) or table == right:
            return []
        return [Cut(self._first, self._first + 8 + len(table), item_head(len(right), EXPLICIT_LITTLE) + right)]

    def _extended(self, element: Element, numbers: Sequence[int], *, has_both: bool) -> list[Cut]:
        right = write(element.tag, "OV", struct.pack(f"<{len(numbers)}Q", *numbers), element.encoding)
        stop = element.start + element.size
        if has_both and self._opened.between(element.start, stop) == right:
            return []
        return [Cut(element.start, stop, right if has_both else b"")]


def _shortened(group: Sequence[Fragment], inside: Sequence[Cut], end: int, length: int, base: int) -> list[Cut]:
    """Return what to cut of the fragments of a frame, which begin at `base`, so that it is one with `length` bytes.

    `inside` is what to cut out of its codestream, which ends at `end`.
    """
    start = base + group[0].start
    stop = base + group[-1].start + 8 + len(group[-1].data)
    head, padding = item_head(length + length % 2, EXPLICIT_LITTLE), b"\0" * (length % 2)
    if len(group) > 1:
        data = b"".join(fragment.data for fragment in group)[:end]
        return [Cut(start, stop, head + applied(data, inside) + padding)]
    first = start + 8
    moved = (Cut(first + cut.start, first + cut.stop, cut.data) for cut in inside)
    return [Cut(start, first, head), *moved, Cut(first + end, stop, padding)]


def large_value(opened: Opened) -> Callable[[int], bytes]:
    """Return what reads the value of an element of the top level that was too large to be kept."""
    by_tag = {element.tag: element for element in opened.elements}

    def read(tag: int) -> bytes:
        element = by_tag[tag]
        start = element.start + element.header
        return bytes(opened.between(start, start + element.length))

    return read
