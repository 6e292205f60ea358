"""Pictures as they are drawn: each kind of terminal's bytes taken apart again by a reader of its own."""

from __future__ import annotations

import base64
import os
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api.preview import Pictured
from capacitord.api.schemas import Previewed
from capacitord.dicom.preview import png
from fluxctl.graphics import QUESTION, USUAL_CELL, Answer, Graphics, Screen, screen, understood
from fluxctl.render.page import draw
from fluxctl.render.picture import drawn, sixels, wanted
from fluxctl.render.preview import caption, written
from tests.fluxctl.pages import LOOK
from tests.fluxctl.picture_samples import COLOURS, COLOURS_PNG, GREY, GREY_PNG, PICTURED

Numbers = np.ndarray[Any, Any]
SIZE = os.terminal_size((80, 40))
KITTY, SIXEL, BLOCKS, SHADES = (Screen(each, 80, 40, (10, 20)) for each in Graphics)


def test_a_terminal_is_understood() -> None:
    assert understood(b"") == Answer()
    assert understood(b"\x1b[?62;4;22c") == Answer(sixel=True, is_whole=True)
    assert understood(b"\x1b[?64;1;2c").sixel is False
    # Its first number is what it is, not what it can.
    assert understood(b"\x1b[?4c").sixel is False
    whole = understood(b"typed\x1b_Gi=31;OK\x1b\\\x1b[6;18;9t\x1b[?62c")
    assert whole == Answer(kitty=True, cell=(9, 18), is_whole=True)
    assert understood(b"\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\\x1b[?62c").kitty is False
    assert understood(b"\x1b[6;0;0t").cell is None


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_is_typed_meanwhile_is_no_harm(before: bytes, after: bytes) -> None:
    understood(before + b"\x1b[?62;4c" + after)
    assert understood(before.replace(b"\x1b", b"") + b"\x1b[?62;4c").sixel


def test_what_is_asked_shows_nothing() -> None:
    """Each question is a sequence that a terminal which does not know it swallows whole (ECMA-48 §5.6, §5.4)."""
    assert re.fullmatch(rb"(\x1b_[^\x1b]*\x1b\\|\x1b\[[0-9;?]*[a-z])+", QUESTION)


@pytest.mark.parametrize(
    ("environment", "answer", "unicode", "found"),
    [
        ({"TERM": "xterm-256color"}, Answer(kitty=True, sixel=True), True, Graphics.KITTY),
        ({"TERM": "xterm-kitty"}, Answer(), True, Graphics.KITTY),
        ({"TERM": "xterm-256color"}, Answer(sixel=True), True, Graphics.SIXEL),
        ({"TERM": "xterm-256color"}, Answer(), True, Graphics.BLOCKS),
        ({"TERM": "xterm-256color"}, Answer(), False, Graphics.SHADES),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, Answer(), True, Graphics.SHADES),
        ({"TERM": "dumb"}, Answer(), True, Graphics.SHADES),
        ({}, Answer(), True, Graphics.SHADES),
    ],
)
def test_what_a_terminal_can(environment: dict[str, str], answer: Answer, unicode: bool, found: Graphics) -> None:
    assert screen(SIZE, environment, answer, unicode=unicode).graphics is found


def test_colours_and_cells() -> None:
    plain = screen(SIZE, {"TERM": "xterm"}, Answer(), unicode=True)
    assert (plain.true_colour, plain.cell) == (False, USUAL_CELL)
    full = screen(SIZE, {"TERM": "xterm", "COLORTERM": "truecolor"}, Answer(cell=(8, 16)), unicode=True)
    assert (full.true_colour, full.cell) == (True, (8, 16))


def test_a_terminal_that_does_not_say_its_size_has_the_usual_one() -> None:
    unknown = screen(os.terminal_size((0, 0)), {"TERM": "xterm"}, Answer(), unicode=True)
    assert (unknown.columns, unknown.rows) == (80, 24)


def test_kitty_gets_the_file_itself_in_pieces() -> None:
    rough = np.random.default_rng(1).integers(0, 256, (200, 300), np.uint8)
    data = png.encoded(rough)
    out = drawn(data, KITTY)
    assert out.endswith(b"\x1b\\\n")
    pieces = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", out)
    assert b"".join(b"\x1b_G%s;%s\x1b\\" % piece for piece in pieces) + b"\n" == out
    assert base64.b64decode(b"".join(text for _, text in pieces)) == data
    assert max(len(text) for _, text in pieces) <= 4096
    # No file is named, and no answer is wanted, which would look like typing.
    assert pieces[0][0] == b"a=T,f=100,t=d,q=2,c=80,m=1"
    assert [keys for keys, _ in pieces[1:]] == [b"m=1"] * (len(pieces) - 2) + [b"m=0"]


def test_kitty_draws_what_is_small_not_too_large() -> None:
    assert b",c=26," in drawn(GREY_PNG, KITTY)
    assert b",c=80," in drawn(png.encoded(np.zeros((300, 3000), np.uint8)), KITTY)


def by_sixels(data: bytes) -> Numbers:
    """Return the picture that sixels draw, in percent of red, green and blue (DEC STD 070 §9)."""
    found = re.fullmatch(rb'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', data, re.DOTALL)
    assert found is not None
    columns, rows = int(found[1]), int(found[2])
    picture = np.full((-(-rows // 6) * 6, columns, 3), -1)
    colours: dict[int, tuple[int, ...]] = {}
    x = y = number = 0
    for token in re.finditer(rb"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)(.)|([?-~])|([$-])", found[3], re.DOTALL):
        if token[1]:
            number = int(token[1])
            if token[2]:
                colours[number] = tuple(int(part) for part in token.groups()[1:4])
        elif token[8]:
            x, y = 0, y + 6 * (token[8] == b"-")
        else:
            count, letter = (int(token[5]), token[6]) if token[5] else (1, token[7])
            for bit in range(6):
                if (letter[0] - 63) >> bit & 1:
                    picture[y + bit, x : x + count] = colours[number]
            x += count
            assert x <= columns
    assert (picture[rows:] == -1).all()
    return picture[:rows]


SMALL = st.tuples(st.integers(1, 20), st.integers(1, 30), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())


@given(SMALL)
def test_sixels_are_the_picture(how: tuple[int, int, int, bool, bool]) -> None:
    rows, columns, seed, coloured, smooth = how
    random = np.random.default_rng(seed)
    picture = random.integers(0, 256, (rows, columns, *([3] if coloured else [])), np.uint8)
    if smooth:
        picture = np.broadcast_to(picture[:1], picture.shape).astype(np.uint8)
    found = by_sixels(sixels(picture))
    assert (found >= 0).all()
    expected = picture if coloured else np.repeat(picture[..., None], 3, axis=-1)
    assert np.abs(found * 2.55 - expected).max() <= (26 if coloured else 2)


def test_sixels_fit_the_terminal() -> None:
    out = drawn(png.encoded(np.zeros((2000, 3000), np.uint8)), SIXEL)
    assert out.startswith(b'\x1bP0;1;0q"1;1;800;533')
    assert drawn(GREY_PNG, SIXEL).startswith(b'\x1bP0;1;0q"1;1;256;192')


CELL = re.compile("\x1b\\[38;2;(\\d+);(\\d+);(\\d+);48;2;(\\d+);(\\d+);(\\d+)m▀\x1b\\[0m")


@pytest.mark.parametrize(("data", "picture"), [(GREY_PNG, GREY), (COLOURS_PNG, COLOURS)])
def test_half_blocks_are_two_pixels_each(data: bytes, picture: Numbers) -> None:
    out = drawn(data, BLOCKS._replace(true_colour=True)).decode()
    lines = out.splitlines()
    cells = [[tuple(map(int, cell)) for cell in CELL.findall(line)] for line in lines]
    found = np.array(cells).reshape(len(lines), -1, 2, 3).transpose(0, 2, 1, 3).reshape(2 * len(lines), -1, 3)
    expected = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    assert np.array_equal(found, expected)
    assert not CELL.sub("", out).strip("\n")


def test_half_blocks_of_256_colours() -> None:
    out = drawn(GREY_PNG, BLOCKS).decode()
    assert re.fullmatch(r"(?:\x1b\[38;5;\d+;48;5;\d+m▀\x1b\[0m|\n)+", out)
    assert out.count("\n") == 24


def test_an_odd_line_is_filled_up() -> None:
    out = drawn(png.encoded(np.full((3, 2), 255, np.uint8)), BLOCKS._replace(true_colour=True)).decode()
    assert out.splitlines()[1].startswith("\x1b[38;2;255;255;255;48;2;0;0;0m")


def test_characters_are_fuller_the_brighter() -> None:
    picture = np.repeat(np.linspace(0, 255, 10).astype(np.uint8)[None], 4, axis=0)
    assert drawn(png.encoded(picture), SHADES) == b" .:-=+*#%@\n" * 2
    assert drawn(COLOURS_PNG, SHADES).isascii()


@pytest.mark.parametrize("at", [KITTY, SIXEL, BLOCKS, SHADES], ids=lambda at: at.graphics.value)
def test_what_is_no_picture_is_not_drawn(at: Screen) -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n", GREY_PNG[:-30]):
        with pytest.raises(ValueError, match="damaged"):
            drawn(data, at)


def test_no_more_is_asked_for_than_can_be_shown() -> None:
    assert wanted(BLOCKS) == 80
    assert wanted(SIXEL) == 800
    assert wanted(KITTY._replace(columns=1000)) == 4096


def test_what_stands_below() -> None:
    assert draw(caption(PICTURED), LOOK) == "CT series 2, image 57 (0f02ab120f02) · 64 by 48 · window 40/400 (BRAIN)\n"
    frames = Pictured("3f2a9c", "0f02ab12" * 4, "US", None, None, 15, 1200, 480, 640, "")
    assert draw(caption(frames), LOOK) == "US series, image (0f02ab120f02) · 640 by 480 · frame 15 of 1,200\n"
    cut = draw(caption(msgspec.structs.replace(frames, is_whole=False)), LOOK)
    assert "NOT WHOLE: the pixel data ends early" in " ".join(cut.split())
    hostile = draw(caption(Pictured("3f", "0f", "CT", 1, 1, 1, 1, 2, 2, "window 1/2 (\x1b[2J)")), LOOK)
    assert "\x1b" not in hostile
    done = draw(written(Previewed(PICTURED, "/home/kim/a.png", 2048)), LOOK)
    assert done.startswith("✔ A picture is in /home/kim/a.png\nCT series 2")
