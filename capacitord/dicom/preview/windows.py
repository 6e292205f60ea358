"""Which stored values are black and which are white: windows and tables of values of interest (PS3.3 §C.11.2)."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.level import Level
from capacitord.dicom.preview.lut import Lut, lut

Numbers = np.ndarray[Any, Any]

CENTER: Final = 0x00281050
WIDTH: Final = 0x00281051
EXPLANATION: Final = 0x00281055
FUNCTION: Final = 0x00281056
VOI_LUT: Final = 0x00283010

FULL: Final = "full"
"""Instead of a window: from the least to the greatest value of the frame."""

_NUMBER: Final = r"[-+]?\d{1,12}(?:\.\d{1,6})?"
_CUSTOM: Final = re.compile(rf"({_NUMBER})/({_NUMBER})")
_PLAIN: Final = re.compile(r"[A-Za-z0-9 _.,/+-]{1,32}")
"""Names that are repeated. Others are in some character set, or more than a name, and this stands in a file."""

_STEEPEST: Final = 700.0


class Function(enum.StrEnum):
    """How values become brightness (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Window(NamedTuple):
    """A window; `width` is at least 1 for LINEAR, and more than 0 for others."""

    center: float
    width: float
    function: Function = Function.LINEAR
    name: str = ""

    def shares(self, numbers: Numbers) -> Numbers:
        """Return the brightness of each number, from 0 for black to 1 for white."""
        if self.function is Function.SIGMOID:
            with np.errstate(over="ignore"):
                steep = np.clip(-4.0 * (numbers - self.center) / self.width, -_STEEPEST, _STEEPEST)
                return 1.0 / (1.0 + np.exp(steep))
        if self.function is Function.LINEAR_EXACT:
            return np.clip((numbers - self.center) / self.width + 0.5, 0.0, 1.0)
        above = numbers - (self.center - 0.5)
        if self.width == 1:
            return (above > 0).astype(float)
        return np.clip(above / (self.width - 1) + 0.5, 0.0, 1.0)

    @property
    def words(self) -> str:
        """What it is called under a picture."""
        kind = "" if self.function is Function.LINEAR else f" {self.function}"
        return f"window {self.center:.10g}/{self.width:.10g}{kind}{_by_name(self.name)}"


class Range(NamedTuple):
    """From the least to the greatest value."""

    least: float
    most: float

    def shares(self, numbers: Numbers) -> Numbers:
        """Return the brightness of each number, from 0 for black to 1 for white."""
        if self.most <= self.least:
            return np.zeros(numbers.shape)
        return np.clip((numbers - self.least) / (self.most - self.least), 0.0, 1.0)

    @property
    def words(self) -> str:
        """What it is called under a picture."""
        return f"all values, {self.least:.10g} to {self.most:.10g}"


Voi = Window | Lut


def windows(level: Level) -> list[Window]:
    """Return the windows of a dataset or an item; what cannot be one is left out."""
    said = level.text(FUNCTION)
    function = Function(said) if said in {*Function} else Function.LINEAR
    names = itertools.chain(level.texts(EXPLANATION), itertools.repeat(""))
    found = zip(level.decimals(CENTER), level.decimals(WIDTH), names, strict=False)
    return [Window(center, width, function, name) for center, width, name in found if _may_be(width, function)]


def _may_be(width: float, function: Function) -> bool:
    return width >= 1 if function is Function.LINEAR else width > 0


def tables(level: Level, *, signed: bool) -> list[Lut]:
    """Return the tables of values of interest of a dataset or an item."""
    return [found for item in level.items(VOI_LUT) if (found := lut(item, signed=signed)) is not None]


def chosen(wanted: str, found: Sequence[Window], luts: Sequence[Lut]) -> Voi | None:
    """Return what is asked for, None for the whole range of values. Raises `NotShown` if there is no such window.

    `wanted` is the number of a window, counted from 1; the name of a window or table; CENTER/WIDTH; "full"; or empty:
    then it is the first table if there is one, as its makers took the trouble, else the first window.
    """
    if not wanted:
        return luts[0] if luts else found[0] if found else None
    if wanted == FULL:
        return None
    custom = _CUSTOM.fullmatch(wanted)
    if custom is not None:
        return _custom(float(custom[1]), float(custom[2]))
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 4:
        if 1 <= int(wanted) <= len(found):
            return found[int(wanted) - 1]
    elif (named := _named(wanted, (*found, *luts))) is not None:
        return named
    ways = f"Name it by a number from 1 to {len(found)}, or as" if len(found) > 1 else "Write it as"
    msg = f"The image has no such window. {ways} CENTER/WIDTH, such as 40/400."
    raise NotShown(msg)


def _named(wanted: str, found: Iterable[Voi]) -> Voi | None:
    return next((each for each in found if each.name.casefold() == wanted.casefold()), None)


def _custom(center: float, width: float) -> Window:
    if width < 1:
        msg = "The width of a window is 1 at least."
        raise NotShown(msg)
    return Window(center, width)


def words(voi: Voi | Range) -> str:
    """Return what is written under a picture."""
    if isinstance(voi, Lut):
        return f"VOI LUT{_by_name(voi.name)}"
    return voi.words


def _by_name(name: str) -> str:
    return f" ({name})" if _PLAIN.fullmatch(name) else ""
