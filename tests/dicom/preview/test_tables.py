"""Lookup tables in datasets: of the modality, of values of interest, of palettes, in every form they have."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian

from capacitord.dicom.preview.failure import NotShown
from capacitord.dicom.preview.lut import expanded
from tests.dicom.preview.kit import Numbers, apart, by_dcmtk, grey, refusal, show, write
from tests.dicom.transcode.kit import BIG_ENDIAN

RAMP: Numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = ("Red", "Green", "Blue")
SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN]


def table(first: int, bits: int, values: list[int], explanation: str = "", vr: str = "US") -> Dataset:
    """Return the item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(values) % 65536, first, bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = values if vr == "US" else struct.pack(f"<{len(values)}H", *values)
    item["LUTData"].VR = vr
    if explanation:
        item.LUTExplanation = explanation
    return item


def for_pydicom(ds: Dataset) -> Dataset:
    """Return a dataset that says in which order its bytes are."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_modality_lut(vr: str, tmp_path: Path) -> None:
    values = [int(1000 * (n / 200) ** 2) for n in range(200)]
    ds = grey(RAMP, ModalityLUTSequence=[table(20, 16, values, vr=vr)], WindowCenter=400, WindowWidth=500)
    ours = show(ds).pixels
    expected = apply_modality_lut(RAMP, for_pydicom(ds)).astype(float)
    assert apart(ours, _windowed(expected, 400, 500)) <= 1
    theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture", "+Wi", "1")
    assert not isinstance(theirs, str), theirs
    assert apart(ours, theirs) <= 1


@pytest.mark.parametrize("first", [-40, 0, 30])
def test_a_voi_lut(first: int, tmp_path: Path) -> None:
    stored = (RAMP.astype(np.int16) - 60) if first < 0 else RAMP.astype(np.uint16)
    values = [int(4095 * (n / 150) ** 0.5) for n in range(150)]
    ds = grey(stored, signed=first < 0, bits=16, VOILUTSequence=[table(first, 12, values, "SOFT")])
    ours = show(ds)
    assert ours.window == "VOI LUT (SOFT)"
    assert apart(ours.pixels, np.floor(apply_voi_lut(stored, ds) / 4095 * 255 + 0.5).astype(np.uint8)) <= 1
    theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture", "+Wl", "1")
    assert not isinstance(theirs, str), theirs
    assert apart(ours.pixels, theirs) <= 1


def test_what_a_voi_lut_is_looked_up_with_has_a_sign_if_it_can_have_one() -> None:
    """PS3.3 §C.11.2.1.1: the unit of a CT is below 0, though what is stored is not."""
    stored = RAMP.astype(np.uint16) * 16
    ds = grey(stored, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=[table(-1000, 8, list(range(0, 256, 2)))])
    shown = show(ds).pixels
    assert shown[0, 0] == 0
    assert shown[1, 15] == shown[-1, -1] == 254
    assert 0 < shown[0, 3] < 254


def test_several_tables_and_windows() -> None:
    ds = grey(RAMP, WindowCenter=100, WindowWidth=50)
    ds.VOILUTSequence = [table(0, 8, [0, 255], "A"), table(0, 8, [255, 0], "B")]
    assert show(ds).window == "VOI LUT (A)"
    assert show(ds, window="B").window == "VOI LUT (B)"
    assert show(ds, window="1").window == "window 100/50"
    ds.VOILUTSequence = [table(0, 8, [0, 255])]
    ds.VOILUTSequence[0].LUTDescriptor = [500, 0, 8]
    assert show(ds).window == "window 100/50"


def test_a_table_of_more_bits_than_it_says() -> None:
    ds = grey(RAMP, VOILUTSequence=[table(0, 8, [n * 16 for n in range(256)])])
    assert apart(show(ds).pixels, RAMP) <= 1


def palette(stored: Numbers, first: int, bits: int, entries: list[list[int]], **attributes: Any) -> Dataset:
    """Return an image in colours of a palette, whose entries are words, or bytes if they have 8 bits."""
    ds = grey(stored, signed=stored.dtype.kind == "i", PhotometricInterpretation="PALETTE COLOR", **attributes)
    code = "B" if bits == 8 else "H"
    for colour, values in zip(COLOURS, entries, strict=True):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [len(values) % 65536, first, bits])
        ds[f"{colour}PaletteColorLookupTableDescriptor"].VR = "SS" if first < 0 else "US"
        data = struct.pack(f"<{len(values)}{code}", *values)
        setattr(ds, f"{colour}PaletteColorLookupTableData", data + b"\0" * (len(data) % 2))
        ds[f"{colour}PaletteColorLookupTableData"].VR = "OW"
    return ds


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("first", [0, 40, -20])
def test_a_palette(bits: int, first: int, tmp_path: Path) -> None:
    stored = RAMP.astype(np.int8 if first < 0 else np.uint8)
    scale = 1 if bits == 8 else 256
    entries = [[scale * (n * step % 256) for n in range(101)] for step in (1, 3, 7)]
    ds = palette(stored, first, bits, entries)
    ours = show(ds).pixels
    places = np.clip(stored.astype(int) - first, 0, 100)
    expected = np.stack([np.array(each)[places] // scale for each in entries], axis=-1)
    assert np.array_equal(ours, expected)
    theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture")
    assert not isinstance(theirs, str), theirs
    assert apart(ours, theirs) <= 1
    assert bits == 8 or np.array_equal(ours, apply_color_lut(stored, for_pydicom(ds)) >> 8)


def test_palettes_that_say_16_bits_and_have_8() -> None:
    ds = palette(RAMP, 0, 16, [list(range(256))] * 3)
    assert np.array_equal(show(ds).pixels[..., 0], RAMP)


def test_a_palette_of_65536_colours() -> None:
    stored = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    ds = palette(stored, 0, 16, [list(range(65536))] * 3)
    assert np.array_equal(show(ds).pixels[..., 2], stored >> 8)


def test_a_palette_of_samples_of_32_bits_is_none() -> None:
    ds = palette(RAMP.astype(np.uint32), 0, 16, [list(range(256))] * 3)
    assert "more bits than a palette can" in refusal(ds)


def test_a_palette_that_is_not_whole_is_not_guessed() -> None:
    ds = palette(RAMP, 0, 16, [list(range(256))] * 3)
    del ds.GreenPaletteColorLookupTableData
    assert "the palette is not whole" in refusal(ds)
    ds.GreenPaletteColorLookupTableData = bytes(400)
    ds.GreenPaletteColorLookupTableDescriptor = [200, 0, 16]
    assert "the palette is not whole" in refusal(ds)
    ds.GreenPaletteColorLookupTableDescriptor = [256, 0, 16]
    ds.GreenPaletteColorLookupTableData = b"\1\2"
    assert "the palette is not whole" in refusal(ds)
    del ds.GreenPaletteColorLookupTableDescriptor
    assert "the palette is not whole" in refusal(ds)


SEGMENTS = [0, 2, 10, 20, 1, 5, 100, 0, 1, 7, 1, 4, 27]
"""Two entries, five on a line to 100, one, and four on a line to 27."""

VALUES = {2, 3, 6, 9, 12}
"""Where in them there are entries, and not kinds or lengths."""


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments(bits: int, syntax: str) -> None:
    """The last segment stands for the second and the third once more, which begin at byte 4 or 8."""
    scale = 1 if bits == 8 else 256
    data = [number * scale if place in VALUES else number for place, number in enumerate(SEGMENTS)]
    packed = struct.pack(f"<{len(data)}{'B' if bits == 8 else 'H'}", *data)
    packed += struct.pack("<BBL", 2, 2, 4) if bits == 8 else struct.pack("<HHL", 2, 2, 8)
    packed += b"\0" * (len(packed) % 2)
    ds = grey(RAMP, PhotometricInterpretation="PALETTE COLOR")
    for colour in COLOURS:
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [18, 0, bits])
        # In Big Endian, bytes are swapped in pairs, whatever they mean (PS3.5 §6.2, OW).
        written = np.frombuffer(packed, "<u2").byteswap().tobytes() if syntax == BIG_ENDIAN else packed
        setattr(ds, f"Segmented{colour}PaletteColorLookupTableData", written)
        ds[f"Segmented{colour}PaletteColorLookupTableData"].VR = "OW"
    ours = show(ds, syntax).pixels.reshape(-1, 3)[:18]
    first = [10, 20, 36, 52, 68, 84, 100, 7, 12, 17, 22, 27]
    assert ours[:, 0].tolist() == pytest.approx([*first, 41, 56, 70, 85, 100, 7], abs=1)
    if syntax != BIG_ENDIAN and bits == 8:
        # Of words, pydicom counts the offset in words, and the standard in bytes.
        theirs = apply_color_lut(np.arange(18, dtype=np.uint8)[None], for_pydicom(ds))[0]
        assert apart(ours, theirs.astype(np.uint8)) <= 1


@given(st.lists(st.integers(0, 65535), max_size=60) | st.lists(st.integers(0, 5), max_size=60), st.integers(1, 600))
def test_any_segments_are_as_many_entries_as_there_should_be_or_none(numbers: list[int], entries: int) -> None:
    try:
        found = expanded(numbers, entries)
    except NotShown:
        return
    assert len(found) == entries
    assert all(0 <= value <= 65535 for value in found)


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [0],
        [0, 3, 1, 2],
        [1, 3, 5],
        [3, 1, 1],
        [0, 1, 9, 1, 0, 5],
        [0, 1, 9, 2, 1, 99, 0],
        [0, 1, 9, 2, 1, 3, 0],
        [0, 1, 9, 2, 1],
        [0, 0] * 10,
        [0, 0, 2, 65535, 0, 0] * 10,
    ],
)
def test_damaged_segments(numbers: list[int]) -> None:
    with pytest.raises(NotShown, match="damaged"):
        expanded(numbers, 100)


def _windowed(values: Numbers, center: float, width: float) -> Numbers:
    shares = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    return np.floor(shares * 255 + 0.5).astype(np.uint8)
