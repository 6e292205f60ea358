"""What pictures the terminal can show. It is asked, once, and has a moment to answer.

Kitty's graphics protocol is found by a query that shows nothing, sixel by attribute 4 of the primary device
attributes (DA1). That question goes last: a terminal answers in order, and all but the oldest answer it.
"""

from __future__ import annotations

import enum
import os
import re
import select
import termios
import time
import tty
from collections.abc import Mapping
from typing import Final, NamedTuple

PATIENCE: Final = 1.0
"""Seconds for the answer, which may have a slow line to come by."""

QUESTION: Final = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
"""Whether it takes a picture of one pixel, how large a character is in pixels, and what kind of terminal it is."""

_KITTY: Final = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_CELL: Final = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_DEVICE: Final = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL: Final = b"4"
_LONGEST: Final = 4096
_KITTY_NAMES: Final = frozenset({"xterm-kitty", "xterm-ghostty"})
_PLAIN_NAMES: Final = frozenset({"", "dumb", "linux", "vt100", "vt220"})


class Graphics(enum.Enum):
    """How a picture is shown, the best first."""

    KITTY = "kitty"
    SIXEL = "sixel"
    BLOCKS = "half blocks"
    SHADES = "characters"


class Screen(NamedTuple):
    """What a picture has to fit into. `cell` is the width and the height of a character in pixels."""

    graphics: Graphics
    columns: int
    rows: int
    cell: tuple[int, int]
    true_colour: bool = False


class Answer(NamedTuple):
    """What a terminal said of itself; `cell` is empty if it did not say. It `is_whole` when nothing more will come."""

    kitty: bool = False
    sixel: bool = False
    cell: tuple[int, int] | None = None
    is_whole: bool = False


USUAL_CELL: Final = (10, 20)
_USUAL: Final = os.terminal_size((80, 24))


def understood(data: bytes) -> Answer:
    """Return what the bytes say that a terminal sent."""
    device, cell = _DEVICE.search(data), _CELL.search(data)
    size = (int(cell[2]), int(cell[1])) if cell is not None else (0, 0)
    return Answer(
        kitty=_KITTY.search(data) is not None,
        sixel=device is not None and _SIXEL in device[1].split(b";")[1:],
        cell=size if min(size) > 0 else None,
        is_whole=device is not None,
    )


def screen(size: os.terminal_size, environment: Mapping[str, str], answer: Answer, *, unicode: bool) -> Screen:
    """Return what a terminal of this size can show, by its environment and what it answered."""
    name = environment.get("TERM", "")
    if answer.kitty or name in _KITTY_NAMES:
        graphics = Graphics.KITTY
    elif answer.sixel:
        graphics = Graphics.SIXEL
    elif not unicode or environment.get("NO_COLOR") or name in _PLAIN_NAMES:
        graphics = Graphics.SHADES
    else:
        graphics = Graphics.BLOCKS
    true_colour = environment.get("COLORTERM", "") in {"truecolor", "24bit"} or name.endswith("-direct")
    return Screen(
        graphics, size.columns or _USUAL.columns, size.lines or _USUAL.lines, answer.cell or USUAL_CELL, true_colour
    )


def here(environment: Mapping[str, str], *, unicode: bool) -> Screen:
    """Return what the terminal at standard output can show."""
    answer = Answer()
    if environment.get("TERM", "") not in _PLAIN_NAMES:
        answer = _asked(PATIENCE)
    return screen(os.get_terminal_size(1), environment, answer, unicode=unicode)


def _asked(patience: float) -> Answer:
    """Return what the terminal says of itself, as far as it does within so many seconds."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return Answer()
    try:
        # In the background, the first change of the terminal's settings would stop this process.
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return Answer()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal, termios.TCSANOW)
            os.write(terminal, QUESTION)
            return _heard(terminal, time.monotonic() + patience)
        finally:
            # Some show what they do not understand, and some answer late: neither is to be seen.
            os.write(terminal, b"\r\x1b[K")
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    except (OSError, termios.error):
        return Answer()
    finally:
        os.close(terminal)


def _heard(terminal: int, until: float) -> Answer:
    data = b""
    while not understood(data).is_whole and len(data) < _LONGEST:
        if not select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0]:
            break
        data += os.read(terminal, _LONGEST)
    return understood(data)
