"""What lies beside the pixels in the bytes of a pixel data element: cut out, or the image is held.

Pixels stay as they are, to the bit. Behind native ones there may be padding and nothing else, and nothing in bits that
are not stored. Compressed frames are walked (`jpeg.py`, `jpeg2000.py`). Those that lost nothing are then written anew
from their pixels (`anew.py`). Those with loss stay as they are encoded: among their entropy-coded data may be bytes
that no decoder reads, and the patient's name and ids are looked for in it. A frame that changes becomes a single
fragment, and the tables that say where frames begin are put right (PS3.5 §A.4, PS3.3 §C.7.6.3.1.8).
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.deidentify.anew import anew, is_reversible, with_lengths
from capacitord.dicom.deidentify.jpeg import walk_jpeg, walk_jpeg_ls
from capacitord.dicom.deidentify.jpeg2000 import walk_j2k
from capacitord.dicom.deidentify.markers import Unclear, Walked
from capacitord.dicom.deidentify.single import NotDeidentified
from capacitord.dicom.deidentify.unused import Samples
from capacitord.dicom.elements import EXPLICIT_LITTLE, Element, item_head, write
from capacitord.dicom.splice import Cut, applied
from capacitord.dicom.transcode import rle
from capacitord.dicom.transcode.decoding import decode
from capacitord.dicom.transcode.encapsulate import (
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    LONGEST_OFFSET,
    PIXEL_DATA,
)
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.frames import fragments, grouped
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
from capacitord.dicom.transcode.syntaxes import DEFLATED_UID, SOURCES
from capacitord.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from capacitord.dicom.deidentify.words import Identity
    from capacitord.dicom.rewriting import Opened
    from capacitord.dicom.transcode.decoding import Pixels

FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
PIXEL_ELEMENTS: Final = frozenset({FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})
TABLES: Final = (EXTENDED_OFFSETS, EXTENDED_LENGTHS)

_FLOAT_BITS: Final = MappingProxyType({FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64})
_HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Photometric interpretations with two samples a pixel in native format (PS3.3 §C.7.6.3.1.2)."""
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


def cleaned(opened: Opened, stay: Collection[int], identity: Identity) -> dict[int, list[Cut]]:
    """Return what is to be cut out of an image, by the element that is in; nothing if there are only pixels.

    `opened` is open to its end; `stay` are the tags of the elements that stay, and `identity` is looked for in what is
    not known to be pixels only. Raises `NotDeidentified`, and what reading the image raises.
    """
    attributes = Attributes(opened.elements)
    found = [element for element in opened.elements if element.tag in PIXEL_ELEMENTS and element.tag in stay]
    tables = [element for element in opened.elements if element.tag in TABLES]
    if len(found) > 1:
        msg = "it has pixel data more than once, and only one can be the image; its device has to send it without"
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
    if len({element.tag for element in tables}) < len(tables):
        msg = "it has a table of its frames more than once; its device has to send it without"
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
    if not found or not found[0].undefined:
        if found and found[0].length:
            _check_native(opened, found[0], attributes)
        return {element.tag: [Cut(element.start, element.start + element.size, b"")] for element in tables}
    try:
        return _Encapsulated(opened, found[0], attributes, identity).cleaned(tables)
    except NotTranscoded as error:
        # Its words are a sentence, and this is the middle of one.
        words = str(error).rstrip(".")
        msg = f"what is in its compressed pixel data cannot be told ({words}); {_INSTEAD}"
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS) from None


def _check_native(opened: Opened, pixels: Element, attributes: Attributes) -> None:
    syntax = opened.image.transfer_syntax_uid
    if syntax.startswith(_STANDARD) and syntax not in _NATIVE:
        msg = (
            f"its pixel data is not compressed, and {syntax_name(syntax)} says that it is, so nobody knows what it is;"
            " its device has to send it anew"
        )
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
    length = _length(pixels, attributes)
    start = pixels.start + pixels.header
    # Which byte of the last word is the padding of an odd length depends on who swapped it.
    behind = opened.pieces(start + length + length % 2, start + pixels.length)
    if not 0 <= length <= pixels.length or any(bytes(piece).strip(b"\0") for piece in behind):
        msg = (
            "its pixel data is not as long as its rows, columns, samples and frames make it, so there may be something"
            " else in it; its device has to send it anew"
        )
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
    samples = Samples(attributes)
    if pixels.tag not in _FLOAT_BITS and samples.has_unused:
        samples.check_bytes(opened.pieces(start, start + length), big=pixels.encoding.big)


def _length(pixels: Element, attributes: Attributes) -> int:
    """Return how many bytes native pixel data has without padding, -1 if that cannot be told.

    Three samples a pixel where the colours say two could be two and a text, so that they are not taken for pixels.
    """
    rows, columns = attributes.number(ROWS), attributes.number(COLUMNS)
    samples = attributes.number(SAMPLES_PER_PIXEL) or 1
    bits = _FLOAT_BITS.get(pixels.tag) or attributes.number(BITS_ALLOCATED)
    if not rows or not columns or not bits:
        return -1
    if attributes.text(PHOTOMETRIC_INTERPRETATION) in _HALVED:
        samples = 2
    try:
        count = rows * columns * frames_of(attributes)
    except NotTranscoded:
        return -1
    return (count * samples * bits + 7) // 8


class _Encapsulated:
    """Compressed pixel data of one image."""

    def __init__(self, opened: Opened, pixels: Element, attributes: Attributes, identity: Identity) -> None:
        self._opened, self._pixels, self._attributes, self._identity = opened, pixels, attributes, identity
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
            frame = b"".join(fragment.data for fragment in group)
            after = self._after(frame)
            size = group[-1].start + 8 + len(group[-1].data) - group[0].start
            if not frame.startswith(after) or any(frame[len(after) :]):
                start = base + group[0].start
                even = after + b"\0" * (len(after) % 2)
                cuts.append(Cut(start, start + size, item_head(len(even), EXPLICIT_LITTLE) + even))
                size = 8 + len(even)
            starts.append(starts[-1] + size)
            lengths.append(len(after))
        found = {self._pixels.tag: [*self._basic(table, starts[:-1]), *cuts]}
        for element, numbers in zip(tables, (starts[:-1], lengths), strict=False):
            found[element.tag] = self._extended(element, numbers, has_both=len(tables) == len(TABLES))
        return found

    def _after(self, frame: bytes) -> bytes:
        """Return a frame as it may leave, without padding."""
        syntax = self._opened.image.transfer_syntax_uid
        if syntax == _RLE:
            return self._checked_rle(frame)
        walk = _WALKS.get(syntax)
        if walk is None:
            msg = f"its pixels are in {syntax_name(syntax)}, in which this box cannot look for text; {_INSTEAD}"
            raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
        after = _walked(walk, frame)
        if self._is_reversible(syntax):
            layout = layout_of(self._attributes)
            pixels = decode(after, SOURCES[syntax].method, layout)
            self._check_bits(pixels)
            # The encoders of JPEG 2000 name themselves in a comment.
            return with_lengths(_walked(walk, anew(after, syntax, layout, pixels)), syntax)
        if self._identity.is_in_noise(after):
            msg = f"the patient's name or an id seems to be in a frame of its compressed pixel data; {_INSTEAD}"
            raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
        return after

    def _is_reversible(self, syntax: str) -> bool:
        return is_reversible(syntax, self._attributes.text(PHOTOMETRIC_INTERPRETATION))

    def _check_bits(self, pixels: Pixels) -> None:
        Samples(self._attributes).check(pixels.view(f"<u{pixels.dtype.itemsize}"))

    def _checked_rle(self, data: bytes) -> bytes:
        """Decode a frame, which fails if it has more than its pixels. Raises `NotTranscoded`."""
        layout = layout_of(self._attributes)
        self._check_bits(rle.decode(data, layout))
        count = layout.samples * layout.allocated // 8
        if any(data[4 * (count + 1) : rle.HEADER_LENGTH]):
            msg = "There is something in the header of a frame."
            raise NotTranscoded(msg)
        return data

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


def _walked(walk: Callable[[bytes], Walked], frame: bytes) -> bytes:
    """Return a frame without what is to be cut out of it, and without padding. Raises `NotDeidentified`."""
    try:
        walked = walk(frame)
    except Unclear as error:
        msg = f"a frame of its compressed pixel data {error}; {_INSTEAD}"
        raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS) from None
    return applied(frame[: walked.end], [cut for cut in walked.cuts if cut.stop <= walked.end])


def large_value(opened: Opened) -> Callable[[int], bytes]:
    """Return what reads the value of an element of the top level that was too large to be kept.

    In the order in which they stand all of them are read in one pass.
    """
    by_tag = {element.tag: element for element in opened.elements}
    forward = opened.forward()

    def read(tag: int) -> bytes:
        element = by_tag[tag]
        start = element.start + element.header
        return bytes(forward.between(start, start + element.length))

    return read
