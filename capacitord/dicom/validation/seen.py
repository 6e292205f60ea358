"""What is known of an image when its rules are applied, and the attributes that they look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
MODALITY: Final = 0x00080060
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
SAMPLES: Final = 0x00280002
PHOTOMETRIC: Final = 0x00280004
FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
PIXELS_ELSEWHERE: Final = 0x00287FE0
"""Pixel Data Provider URL."""
FLOAT_PIXELS: Final = 0x7FE00008
DOUBLE_PIXELS: Final = 0x7FE00009
PIXELS: Final = 0x7FE00010

BEHIND_HEADER: Final = frozenset(
    {ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXELS_ELSEWHERE, FLOAT_PIXELS - 1}
)
"""What the rules look at that stands behind Number of Frames; the last is where the pixels begin."""

IN_HEADER: Final = frozenset({SAMPLES, PHOTOMETRIC, FRAMES})

_STANDARD: Final = "1.2.840.10008."
"""How every UID of the standard begins."""


class Pixels(NamedTuple):
    """The pixels as they passed by. `length` is what their element says, None if it is undefined (compressed).

    `present` is how many bytes of that were there, None if it is not known. `fragments`, `offsets`, `beginning`,
    `ended` and `broken` are those of `FragmentsReader`.
    """

    tag: int
    length: int | None
    present: int | None = None
    fragments: int = 0
    offsets: int = 0
    beginning: bytes = b""
    ended: bool = True
    broken: bool = False


class Seen(NamedTuple):
    """What is known of an image.

    `values` are attributes of its top level as they are encoded, in `order`. `unreadable` says why the attributes up
    to Number of Frames cannot be read, and `odd` why those behind them cannot; both are empty as a rule. `pixels` is
    None if it has none, or if they were not reached: of an image that `is_whole` it has none.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    values: Mapping[int, bytes]
    order: Literal["big", "little"] = "little"
    unreadable: str = ""
    odd: str = ""
    cut_off: str = ""
    pixels: Pixels | None = None
    is_whole: bool = False

    def text(self, tag: int) -> str:
        """Return a value of letters and digits without padding, empty if there is none."""
        return self.values.get(tag, b"").decode("latin-1").strip("\0 ")

    def number(self, tag: int) -> int | None:
        """Return an unsigned 16-bit number, None if there is none."""
        value = self.values.get(tag, b"")
        return int.from_bytes(value[:2], self.order) if len(value) >= 2 else None

    @property
    def is_of_the_standard(self) -> bool:
        """Whether its SOP class is: one with another may describe its pixels as it likes."""
        return self.sop_class_uid.startswith(_STANDARD)

    @property
    def has_standard_syntax(self) -> bool:
        """Whether its transfer syntax is of the standard: what one with another has for pixels is its own affair."""
        return self.transfer_syntax_uid.startswith(_STANDARD)
