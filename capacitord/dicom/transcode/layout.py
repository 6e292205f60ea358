"""What a dataset says of its pixels (PS3.3 §C.7.6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from capacitord.dicom.elements import Element, Encoding
from capacitord.dicom.transcode.failure import NotTranscoded

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
PLANAR_CONFIGURATION: Final = 0x00280006
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PIXEL_REPRESENTATION: Final = 0x00280103

MOST_FRAMES: Final = 1 << 20
LARGEST_FRAME: Final = 1 << 28
"""Bytes of one frame when it is unpacked; the largest of whole-slide scanners and detectors stay below."""

SUBSAMPLED: Final = "YBR_FULL_422"

KNOWN: Final[Mapping[str, int]] = MappingProxyType(
    {
        "MONOCHROME1": 1,
        "MONOCHROME2": 1,
        "PALETTE COLOR": 1,
        "RGB": 3,
        "YBR_FULL": 3,
        SUBSAMPLED: 3,
        "YBR_RCT": 3,
        "YBR_ICT": 3,
    }
)
"""Photometric interpretations and their samples per pixel (PS3.3 §C.7.6.3.1.2)."""


class Attributes:
    """The top level of a dataset, for looking up short values."""

    def __init__(self, elements: Iterable[Element]) -> None:
        self._by_tag = {element.tag: element for element in elements}

    def __contains__(self, tag: int) -> bool:
        return tag in self._by_tag

    def element(self, tag: int) -> Element | None:
        """Return the element, None if there is none."""
        return self._by_tag.get(tag)

    def number(self, tag: int) -> int | None:
        """Return the first value of an unsigned 16-bit number, None if there is none."""
        element = self._by_tag.get(tag)
        if element is None or element.vr not in {"US", "SS", "UN", ""} or len(element.value) < 2:
            return None
        return int.from_bytes(element.value[:2], order_of(element.encoding))

    def text(self, tag: int) -> str:
        """Return a value of letters and digits without padding, empty if there is none."""
        element = self._by_tag.get(tag)
        return "" if element is None else element.value.decode("latin-1").strip(" \0")


def order_of(encoding: Encoding) -> Literal["big", "little"]:
    """Return the byte order as `int` calls it."""
    return "big" if encoding.big else "little"


class Layout(NamedTuple):
    """How the pixels of an image are laid out."""

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    allocated: int
    stored: int
    high: int
    signed: bool
    frames: int

    @property
    def frame_size(self) -> int:
        """Bytes of one frame in native format; the bits of several frames of 1 bit may share a byte."""
        if self.photometric == SUBSAMPLED:
            return self.rows * self.columns * 2
        return (self.rows * self.columns * self.samples * self.allocated + 7) // 8

    @property
    def aligned(self) -> bool:
        """Whether the bits that are stored are the lowest ones."""
        return self.high == self.stored - 1


def layout_of(attributes: Attributes, known: Mapping[str, int] = KNOWN) -> Layout:
    """Return the layout, of one of the photometric interpretations that are `known`.

    Raises `NotTranscoded` if it is not said, contradicts itself, or is none that is known.
    """
    photometric = attributes.text(PHOTOMETRIC_INTERPRETATION)
    samples = _needed(attributes, SAMPLES_PER_PIXEL, "Samples per Pixel")
    if known.get(photometric) != samples:
        msg = (
            "The image has a photometric interpretation that is not known here, or does not fit its samples per pixel."
        )
        raise NotTranscoded(msg)
    found = Layout(
        rows=_needed(attributes, ROWS, "Rows"),
        columns=_needed(attributes, COLUMNS, "Columns"),
        samples=samples,
        photometric=photometric,
        planar=samples > 1 and attributes.number(PLANAR_CONFIGURATION) == 1,
        allocated=_needed(attributes, BITS_ALLOCATED, "Bits Allocated"),
        stored=_needed(attributes, BITS_STORED, "Bits Stored"),
        high=_needed(attributes, HIGH_BIT, "High Bit"),
        signed=_needed(attributes, PIXEL_REPRESENTATION, "Pixel Representation") == 1,
        frames=frames_of(attributes),
    )
    if not found.rows or not found.columns:
        msg = "The image has no rows or no columns."
        raise NotTranscoded(msg)
    if not 1 <= found.stored <= found.allocated <= 64 or not found.stored - 1 <= found.high < found.allocated:
        msg = "Bits Allocated, Bits Stored and High Bit contradict each other."
        raise NotTranscoded(msg)
    if found.frame_size > LARGEST_FRAME:
        msg = f"A frame has more than {LARGEST_FRAME >> 20} MiB."
        raise NotTranscoded(msg)
    return found


def _needed(attributes: Attributes, tag: int, name: str) -> int:
    value = attributes.number(tag)
    if value is None:
        msg = f"The image does not say its {name}."
        raise NotTranscoded(msg)
    return value


def frames_of(attributes: Attributes) -> int:
    """Return how many frames the image says it has, one if it does not say. Raises `NotTranscoded`."""
    text = attributes.text(NUMBER_OF_FRAMES)
    if not text:
        return 1
    first = text.split("\\")[0].strip()
    if not (first.isascii() and first.isdecimal() and len(first) <= 12 and 1 <= int(first) <= MOST_FRAMES):
        msg = "Number of Frames is not a number, or out of bounds."
        raise NotTranscoded(msg)
    return int(first)
