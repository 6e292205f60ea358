"""Bits of samples that are not stored: zero, or copies of the sign, or there is something else in them.

Before there was Overlay Data, devices kept overlays in these bits (PS3.5 §8.1.2, retired), and a byte of text fits in
those of every sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capacitord.dicom.deidentify.single import NotDeidentified
from capacitord.dicom.transcode.layout import BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION
from capacitord.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capacitord.dicom.transcode.layout import Attributes

_WHOLE: Final = frozenset({8, 16, 32, 64})


class Samples:
    """How the samples of one image lie in the bits allocated for them.

    Raises `NotDeidentified` if there are bits that are not stored, and it cannot be told which ones.
    """

    def __init__(self, attributes: Attributes) -> None:
        allocated = attributes.number(BITS_ALLOCATED) or 0
        stored = attributes.number(BITS_STORED) or allocated
        said = attributes.number(HIGH_BIT)
        high = stored - 1 if said is None else said
        self.has_unused = stored != allocated
        if not self.has_unused:
            return
        if allocated not in _WHOLE or not 1 <= stored <= high + 1 <= allocated:
            msg = (
                "its Bits Allocated, Bits Stored and High Bit leave open which bits are its pixels; its device has to"
                " send it anew"
            )
            raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)
        self.bytes = allocated // 8
        self._below = (1 << high + 1 - stored) - 1
        self._above = (1 << allocated) - (1 << high + 1)
        self._sign = 1 << high if attributes.number(PIXEL_REPRESENTATION) == 1 else 0

    def check(self, samples: np.ndarray[Any, Any]) -> None:
        """Raise `NotDeidentified` if there is something in the unused bits of these samples, which have no sign."""
        if not self.has_unused or not samples.size:
            return
        kind = samples.dtype.type
        unused = samples & kind(self._below | self._above)
        if not unused.any():
            return
        is_sign = (unused == kind(self._above)) & ((samples & kind(self._sign)) != 0)
        if not np.all((unused == 0) | is_sign):
            msg = (
                "there is something in the bits of its samples that are not stored, as overlays in unused bits are,"
                " and it may be text; its device has to send it anew, with these bits zero"
            )
            raise NotDeidentified(msg, Reason.UNCLEAR_PIXELS)

    def check_bytes(self, pieces: Iterable[bytes | memoryview], *, big: bool) -> None:
        """Look at native samples in pieces of any length. Raises as `check` does."""
        kind = np.dtype(f"{'>' if big else '<'}u{self.bytes}")
        rest = b""
        for piece in pieces:
            data = rest + bytes(piece)
            whole = len(data) // self.bytes * self.bytes
            self.check(np.frombuffer(data[:whole], kind).astype(kind.newbyteorder("=")))
            rest = data[whole:]
