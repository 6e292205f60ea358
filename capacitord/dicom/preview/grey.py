"""Stored values as shades of grey: modality LUT, VOI LUT, presentation LUT, in this order (PS3.3 §C.11, PS3.4 §N.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.preview.level import Level
from capacitord.dicom.preview.lut import Lut, lut
from capacitord.dicom.preview.pixels import Frame
from capacitord.dicom.preview.windows import Range, Voi, chosen, tables, windows, words

Numbers = np.ndarray[Any, Any]

_INTERCEPT: Final = 0x00281052
_SLOPE: Final = 0x00281053
_MODALITY_LUT: Final = 0x00283000
_PADDING: Final = 0x00280120
_PADDING_LIMIT: Final = 0x00280121
_SHAPE: Final = 0x20500020
_SHARED: Final = 0x52009229
_PER_FRAME: Final = 0x52009230
_PIXEL_VALUES: Final = 0x00289145
_FRAME_VOI: Final = 0x00289132

_BLOCK: Final = 1 << 20
"""Samples that are looked at at once, so that what is between takes little memory."""


class Rescale(NamedTuple):
    """The modality's own unit: slope times the stored value, and the intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def of(self, stored: Numbers) -> Numbers:
        """Return stored values in that unit."""
        return stored.astype(np.float64) * self.slope + self.intercept


class Tabled(NamedTuple):
    """The modality's own unit by a table."""

    table: Lut

    def of(self, stored: Numbers) -> Numbers:
        """Return stored values in that unit."""
        return self.table.looked_up(stored).astype(np.float64)


class Shading(NamedTuple):
    """How stored values become shades."""

    modality: Rescale | Tabled
    voi: Voi | Range
    inverted: bool

    def shades(self, stored: Numbers) -> Numbers:
        """Return the shade of each stored value, 8 bits."""
        shares = self.voi.shares(self.modality.of(stored))
        if self.inverted:
            shares = 1.0 - shares
        return np.floor(shares * 255.0 + 0.5).astype(np.uint8)


class Groups:
    """The functional groups that apply to one frame (PS3.3 §C.7.6.16); the dataset itself stands in for them."""

    def __init__(self, top: Level, frame: int) -> None:
        """`frame` counts from 1."""
        self._levels = [level for level in (top.item(_PER_FRAME, frame - 1), top.item(_SHARED)) if level is not None]
        self._top = top

    def macro(self, tag: int) -> Level:
        """Return the item of a functional group macro, else the dataset."""
        for level in self._levels:
            found = level.item(tag)
            if found is not None:
                return found
        return self._top


def grey(frame: Frame, top: Level, wanted: str) -> tuple[Numbers, str]:
    """Return the shades of a frame and what window they have, in words. Raises `NotShown` for an unknown window."""
    groups = Groups(top, frame.number)
    modality = _modality(groups.macro(_PIXEL_VALUES), signed=frame.signed)
    voi_level = groups.macro(_FRAME_VOI)
    luts = tables(voi_level, signed=_may_be_negative(modality, signed=frame.signed))
    found = chosen(wanted, windows(voi_level), luts)
    voi = _range(frame, top, modality) if found is None else found
    shading = Shading(modality, voi, is_inverted(frame.photometric, top.text(_SHAPE)))
    return _shaded(frame.stored, shading), words(voi)


def is_inverted(photometric: str, shape: str) -> bool:
    """Whether the greatest value is black. The shape says so where there is one (PS3.3 §C.11.6.1.2)."""
    if shape in {"IDENTITY", "INVERSE"}:
        return shape == "INVERSE"
    return photometric == "MONOCHROME1"


def _may_be_negative(modality: Rescale | Tabled, *, signed: bool) -> bool:
    """Whether what a VOI LUT is looked up with has a sign (PS3.3 §C.11.2.1.1): it is in the modality's unit."""
    return isinstance(modality, Rescale) and (signed or min(modality) < 0)


def _modality(level: Level, *, signed: bool) -> Rescale | Tabled:
    item = level.item(_MODALITY_LUT)
    table = None if item is None else lut(item, signed=signed)
    if table is not None:
        return Tabled(table)
    slope, intercept = level.decimals(_SLOPE), level.decimals(_INTERCEPT)
    if not slope or not slope[0]:
        return Rescale()
    return Rescale(slope[0], intercept[0] if intercept else 0.0)


def _range(frame: Frame, top: Level, modality: Rescale | Tabled) -> Range:
    """Return the least and the greatest value of a frame, without those that pad it (PS3.3 §C.7.5.1.1.2)."""
    padding = top.words(_PADDING, signed=frame.signed)[:1]
    limit = top.words(_PADDING_LIMIT, signed=frame.signed)[:1]
    least, most = np.inf, -np.inf
    for part in _distinct(frame.stored):
        kept = part[np.isfinite(part)]
        if padding:
            kept = kept[(kept < min(padding + limit)) | (kept > max(padding + limit))]
        if kept.size:
            values = modality.of(kept)
            least, most = min(least, float(values.min())), max(most, float(values.max()))
    return Range(least, most) if least <= most else Range(0.0, 0.0)


def _distinct(stored: Numbers) -> Iterator[Numbers]:
    """Yield the values there are, perhaps more than once."""
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        yield from _blocks(stored)
        return
    plain = _unsigned(stored)
    seen = np.zeros(1 << 8 * stored.dtype.itemsize, bool)
    seen[plain] = True
    yield np.flatnonzero(seen).astype(plain.dtype).view(stored.dtype)


def _shaded(stored: Numbers, shading: Shading) -> Numbers:
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        parts = [shading.shades(np.nan_to_num(part, posinf=0.0, neginf=0.0)) for part in _blocks(stored)]
        return np.concatenate(parts).reshape(stored.shape)
    plain = _unsigned(stored)
    every = np.arange(1 << 8 * stored.dtype.itemsize, dtype=plain.dtype).view(stored.dtype)
    found: Numbers = shading.shades(every)[plain]
    return found


def _unsigned(stored: Numbers) -> Numbers:
    return np.ascontiguousarray(stored).view(f"<u{stored.dtype.itemsize}")


def _blocks(stored: Numbers) -> Iterator[Numbers]:
    flat = stored.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]
