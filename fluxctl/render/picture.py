"""A PNG file drawn in a terminal: by kitty's graphics protocol, as sixels, in half blocks, or in characters.

Drawn here by hand, as the libraries for it ask the terminal when they are imported, and print while they draw.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
from rich.color import Color, ColorSystem
from rich.style import Style

from capacitord.dicom.preview import png
from capacitord.dicom.preview.scaling import Size, scaled
from fluxctl.graphics import Graphics, Screen

Numbers = np.ndarray[Any, Any]

BELOW: Final = 4
"""Lines of a screen that are left for what stands around a picture."""

_ENLARGED: Final = 4.0
"""A small picture is drawn so many times as large at most, where pixels can be addressed."""

_WIDEST_SIXEL: Final = 1000
"""Pixels of a side; some terminals cut off what is larger."""

_CHUNK: Final = 4096
_RAMP: Final = " .:-=+*#%@"
_LEVELS: Final = (6, 7, 6)
"""Shades of red, green and blue in sixels: 252 colours, as many terminals have 256."""

_GREYS: Final = 100
_BAND: Final = 6
_RUN: Final = re.compile(rb"(.)\1{3,}", re.DOTALL)
_LUMINANCE: Final = np.array([0.299, 0.587, 0.114], np.float32)


def wanted(screen: Screen) -> int:
    """Return how many pixels of a side a screen can show at most: what to ask the box for."""
    most = _room(screen)
    return max(16, most.width, most.height)


def drawn(data: bytes, screen: Screen) -> bytes:
    """Return what to write to a terminal to draw a PNG file, lines and all; the cursor is below it then.

    Raises `ValueError` if it is no PNG file of grey or RGB with 8 bits.
    """
    picture = png.decoded(data)
    rows, columns = picture.shape[:2]
    match screen.graphics:
        case Graphics.KITTY:
            across = -(-_fitted(columns, rows, screen, _ENLARGED).width // screen.cell[0])
            return b"".join(_kitty(data, across)) + b"\n"
        case Graphics.SIXEL:
            return sixels(scaled(picture, _fitted(columns, rows, screen, _ENLARGED))) + b"\n"
        case Graphics.BLOCKS:
            system = ColorSystem.TRUECOLOR if screen.true_colour else ColorSystem.EIGHT_BIT
            return _blocks(scaled(picture, _fitted(columns, rows, screen, 1.0)), system).encode()
        case Graphics.SHADES:
            return _characters(scaled(picture, _fitted(columns, rows, screen, 1.0))).encode()


def _room(screen: Screen) -> Size:
    """Return the pixels that a screen has for a picture: of half blocks two in a character, one above the other."""
    lines = max(4, screen.rows - BELOW)
    if screen.graphics in {Graphics.BLOCKS, Graphics.SHADES}:
        return Size(screen.columns, lines * 2)
    most = _WIDEST_SIXEL if screen.graphics is Graphics.SIXEL else 1 << 12
    return Size(min(most, screen.columns * screen.cell[0]), min(most, lines * screen.cell[1]))


def _fitted(columns: int, rows: int, screen: Screen, enlarged: float) -> Size:
    most = _room(screen)
    share = min(enlarged, most.width / columns, most.height / rows)
    return Size(max(1, round(columns * share)), max(1, round(rows * share)))


def _kitty(data: bytes, columns: int) -> Iterator[bytes]:
    """Yield a picture as kitty's graphics protocol has it: inside the stream, no file, and no answer wanted."""
    text = base64.standard_b64encode(data)
    for start in range(0, len(text), _CHUNK):
        first = b"a=T,f=100,t=d,q=2,c=%d," % columns if not start else b""
        yield b"\x1b_G%sm=%d;%s\x1b\\" % (first, start + _CHUNK < len(text), text[start : start + _CHUNK])


def sixels(picture: Numbers) -> bytes:
    """Return a picture of 8 bits as sixels (DEC STD 070, section 9), background and size given."""
    numbers, palette = _registers(picture)
    rows, columns = numbers.shape
    out = [b'\x1bP0;1;0q"1;1;%d;%d' % (columns, rows)]
    defined: set[int] = set()
    for top in range(0, rows, _BAND):
        band = numbers[top : top + _BAND]
        weights = (1 << np.arange(len(band), dtype=np.uint8))[:, None]
        lines = []
        for number in np.unique(band).tolist():
            bits = ((band == number) * weights).sum(axis=0, dtype=np.uint8) + 63
            colour = b"#%d" % number
            if number not in defined:
                defined.add(number)
                colour += b";2;%d;%d;%d" % palette[number] + colour
            lines.append(colour + _RUN.sub(_repeated, bits.tobytes().rstrip(b"?")))
        out.append(b"$".join(lines) + b"-")
    out.append(b"\x1b\\")
    return b"".join(out)


def _repeated(run: re.Match[bytes]) -> bytes:
    return b"!%d%s" % (len(run[0]), run[1])


def _registers(picture: Numbers) -> tuple[Numbers, list[tuple[int, int, int]]]:
    """Return the number of a colour for each pixel, and the colours in percent."""
    if picture.ndim == 2:
        grey = (picture.astype(np.uint16) * _GREYS + 127) // 255
        return grey, [(level, level, level) for level in range(_GREYS + 1)]
    red, green, blue = ((picture[..., n].astype(np.uint16) * (_LEVELS[n] - 1) + 127) // 255 for n in range(3))
    palette = [
        (r * 100 // (_LEVELS[0] - 1), g * 100 // (_LEVELS[1] - 1), b * 100 // (_LEVELS[2] - 1))
        for r in range(_LEVELS[0])
        for g in range(_LEVELS[1])
        for b in range(_LEVELS[2])
    ]
    return (red * _LEVELS[1] + green) * _LEVELS[2] + blue, palette


def _blocks(picture: Numbers, system: ColorSystem) -> str:
    """Return two pixels in each character: the upper half in the letter's colour, the lower in the background's."""
    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    if len(colours) % 2:
        colours = np.concatenate([colours, np.zeros_like(colours[:1])])
    lines = []
    for upper, lower in zip(colours[::2].tolist(), colours[1::2].tolist(), strict=True):
        cells = (_cell(tuple(above), tuple(below), system) for above, below in zip(upper, lower, strict=True))
        lines.append("".join(cells) + "\n")
    return "".join(lines)


@lru_cache(maxsize=4096)
def _cell(above: tuple[int, int, int], below: tuple[int, int, int], system: ColorSystem) -> str:
    style = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
    return style.render("▀", color_system=system)


def _characters(picture: Numbers) -> str:
    """Return a character for two pixels, one above the other, the fuller the brighter."""
    grey = picture @ _LUMINANCE if picture.ndim == 3 else picture.astype(np.float32)
    if len(grey) % 2:
        grey = np.concatenate([grey, grey[-1:]])
    levels = ((grey[::2] + grey[1::2]) / 2 * len(_RAMP) / 256).astype(int)
    return "".join("".join(_RAMP[level] for level in line).rstrip() + "\n" for line in levels.tolist())
