"""Windows and tables: the formulas of the standard, by pydicom and by what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from capacitord.dicom.preview.engine import shown
from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.lut import Lut
from capacitord.dicom.preview.windows import FULL, Function, Range, Voi, Window, chosen, words
from tests.dicom.preview.kit import EXPLICIT, Numbers, apart, grey, refusal, show
from tests.dicom.transcode import kit

CENTERS = st.floats(-4096, 4096).map(lambda number: round(number, 3))
WIDTHS = st.floats(1, 8192).map(lambda number: round(number, 3))
WINDOWS = st.builds(Window, CENTERS, WIDTHS, st.sampled_from(Function))
NUMBERS = np.arange(-5000.0, 5001.0)
LUTS = st.builds(
    lambda first, values: Lut(first, 12, np.array(values, np.uint16)),
    st.integers(-3000, 3000),
    st.lists(st.integers(0, 4095), min_size=1, max_size=300),
)


@given(WINDOWS)
def test_a_window_is_never_beyond_its_ends_and_never_falls(window: Window) -> None:
    shares = window.shares(NUMBERS)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert (np.diff(shares) >= 0).all()


@given(WINDOWS)
def test_the_middle_of_a_window_is_grey(window: Window) -> None:
    if window.function is Function.LINEAR:
        # PS3.3 §C.11.2.1.2.1: half a step below the center, half of all shades are darker.
        shares = window._replace(width=max(2.0, window.width)).shares(np.array([window.center - 0.5]))
    else:
        shares = window.shares(np.array([window.center]))
    assert shares[0] == pytest.approx(0.5)


@given(WINDOWS)
def test_a_window_is_as_pydicom_applies_it(window: Window) -> None:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 16, 0
    # As a decimal string it may have 16 characters.
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = f"{window.center:.6g}", f"{window.width:.6g}", window.function
    same = Window(float(ds.WindowCenter), max(1.0, float(ds.WindowWidth)), window.function)
    with np.errstate(over="ignore"):
        theirs = apply_windowing(NUMBERS, ds) / 65535
    assert np.allclose(same.shares(NUMBERS), theirs, atol=1e-9)


def test_the_standards_example_of_a_window() -> None:
    """PS3.3 §C.11.2.1.2.1 gives the numbers for 2048/4096 and 2048/1."""
    wide = Window(2048, 4096).shares(np.array([0, 4095, 2047.5]))
    assert wide.tolist() == [0.0, 1.0, 0.5]
    assert Window(2048, 1).shares(np.array([2047, 2047.5, 2048])).tolist() == [0.0, 0.0, 1.0]
    exact = Window(2048, 4096, Function.LINEAR_EXACT).shares(np.array([0, 4096, 2048]))
    assert exact.tolist() == [0.0, 1.0, 0.5]


@given(LUTS)
def test_a_table_goes_on_as_it_ends(table: Lut) -> None:
    found = table.looked_up(NUMBERS)
    last = table.first + len(table.values) - 1
    assert (found[table.first > NUMBERS] == table.values[0]).all()
    assert (found[last < NUMBERS] == table.values[-1]).all()
    inside = (table.first <= NUMBERS) & (last >= NUMBERS)
    assert found[inside].tolist() == table.values.tolist()
    assert table.shares(NUMBERS).min() >= 0
    assert table.shares(NUMBERS).max() <= 1


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_range_begins_black_and_ends_white(one: float, other: float) -> None:
    least, most = sorted((one, other))
    shares = Range(least, most).shares(np.array([least, most]))
    assert shares.tolist() == ([0.0, 1.0] if most > least else [0.0, 0.0])


LUNG, BRAIN = Window(-600, 1500, name="LUNG"), Window(40, 80, name="Brain")
TABLE = Lut(0, 12, np.arange(10, dtype=np.uint16), "HARDER")


@pytest.mark.parametrize(
    ("wanted", "windows", "tables", "found"),
    [
        ("", [LUNG, BRAIN], [], LUNG),
        ("", [LUNG], [TABLE], TABLE),
        ("", [], [], None),
        ("2", [LUNG, BRAIN], [TABLE], BRAIN),
        ("brain", [LUNG, BRAIN], [], BRAIN),
        ("harder", [LUNG], [TABLE], TABLE),
        ("40/400", [], [], Window(40, 400)),
        ("-600.5/1.5", [], [], Window(-600.5, 1.5)),
        (FULL, [LUNG], [TABLE], None),
    ],
)
def test_a_window_is_chosen(wanted: str, windows: list[Window], tables: list[Lut], found: Voi | None) -> None:
    assert chosen(wanted, windows, tables) is found or chosen(wanted, windows, tables) == found


@pytest.mark.parametrize("wanted", ["3", "0", "bone", "40/0", "40/0.5", "40", "1e3/2", "40/400/2", "²", " "])
def test_a_window_that_is_not_there_is_no_other_one(wanted: str) -> None:
    with pytest.raises(NotShown, match=r"no such window|width of a window"):
        chosen(wanted, [LUNG, BRAIN], [TABLE])


def test_what_stands_under_a_picture() -> None:
    assert words(LUNG) == "window -600/1500 (LUNG)"
    assert words(Window(40, 80.5, Function.SIGMOID)) == "window 40/80.5 SIGMOID"
    assert (words(TABLE), words(TABLE._replace(name=""))) == ("VOI LUT (HARDER)", "VOI LUT")
    assert words(Range(0, 4095)) == "all values, 0 to 4095"


@pytest.mark.parametrize("name", ["\x9b2J", "A\r\nB", "DOE^JANE", "\x1b$B;3ED", "Größe", "A" * 33])
def test_a_name_that_is_more_than_plain_words_is_not_repeated(name: str) -> None:
    assert words(LUNG._replace(name=name)) == "window -600/1500"
    assert words(TABLE._replace(name=name)) == "VOI LUT"
    assert chosen(name, [LUNG._replace(name=name)], []) is not None


RAMP: Numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_windows_of_an_image() -> None:
    ds = grey(RAMP, WindowCenter=[100, 50], WindowWidth=[21, 0.5], WindowCenterWidthExplanation=["A", "B"])
    assert show(ds).window == "window 100/21 (A)"
    # Of a width below 1 there is no linear window (PS3.3 §C.11.2.1.2).
    assert refusal(ds, window="2").startswith("The image has no such window. Write it as")
    ds.VOILUTFunction = "LINEAR_EXACT"
    assert show(ds, window="B").window == "window 50/0.5 LINEAR_EXACT (B)"
    ds.WindowWidth = [0, 0]
    assert show(ds).window == "all values, 0 to 255"
    del ds.WindowWidth
    assert show(ds).window == "all values, 0 to 255"


def test_a_window_that_is_no_number_is_none() -> None:
    ds = grey(RAMP)
    ds.WindowCenter, ds.WindowWidth = [40, 50], [400, 500]
    for damage in (b"40.0\\NaN ", b"1e9999   ", b"inf\\0    ", b"         "):
        data = kit.encoded(ds).replace(b"40.0\\50.0", damage)
        assert shown(memoryview(data), EXPLICIT).window == "all values, 0 to 255"


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", ""), ("MONOCHROME2", "INVERSE")])
def test_what_is_inverted(photometric: str, shape: str) -> None:
    ds = grey(RAMP, PhotometricInterpretation=photometric)
    if shape:
        ds.PresentationLUTShape = shape
    assert apart(show(ds).pixels, 255 - RAMP) == 0
    ds.PresentationLUTShape = "IDENTITY"
    assert apart(show(ds).pixels, RAMP) == 0


def test_padding_does_not_decide_what_is_black() -> None:
    stored = RAMP.astype(np.int16) - 100
    stored[0] = -2000
    ds = grey(stored, signed=True, PixelPaddingValue=-2000)
    assert show(ds).window == "all values, -84 to 155"
    ds.PixelPaddingRangeLimit = -50
    assert show(ds).window == "all values, -49 to 155"
    ds.PixelPaddingRangeLimit = 32767
    assert show(ds).window == "all values, 0 to 0"
