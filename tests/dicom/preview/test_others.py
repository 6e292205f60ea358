"""Every file that pydicom ships, shown as DCMTK and pydicom show it, or not, with a reason."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from capacitord.dicom.preview.engine import NotShown, Shown, picture, shown
from capacitord.dicom.preview.png import decoded
from capacitord.dicom.transcode.syntaxes import SOURCES, Method
from tests.dicom.preview.kit import DCMJ2PNM, DCML2PNM, Numbers, apart, by_dcmtk
from tests.dicom.transcode.decoders import GDCMCONV
from tests.images import Image, every

pytestmark = pytest.mark.peers

WITHOUT = "It has no pixels: "
UNREADABLE = {
    "GDCMJ2K_TextGBR.dcm": "does not begin as a JPEG 2000 codestream does",
    "J2K_pixelrep_mismatch.dcm": "whether samples have a sign",
    "JPEG2000-embedded-sequence-delimiter.dcm": "another size",
    "badVR.dcm": "Number of Frames is not a number",
    "meta_missing_tsyntax.dcm": "does not say its Samples per Pixel",
    "nested_priv_SQ.dcm": "does not say its Samples per Pixel",
    "no_meta.dcm": "ends inside an element",
    "rtplan_truncated.dcm": "ends inside an element",
}
SWAPPED_BY_DCMTK = {"rtdose_expb.dcm", "rtdose_expb_1frame.dcm"}
"""Samples of 32 bits in Big Endian: DCMTK swaps words of 16. We show what their Little Endian twins show."""

CUT_OFF = {"SC_rgb_jpeg.dcm", "MR_truncated.dcm"}
"""DCMTK reads to their end, which is not there, and makes no picture."""


def found(image: Image) -> Shown | str:
    try:
        return shown(memoryview(image.dataset()), image.transfer_syntax_uid)
    except NotShown as error:
        return str(error)


def readable() -> list[tuple[Image, Shown]]:
    return [(image, picture) for image in every() if isinstance(picture := found(image), Shown)]


def test_it_is_shown_or_a_reason_is_said() -> None:
    for image in every():
        one = found(image)
        if isinstance(one, Shown):
            assert image.path.name not in UNREADABLE
            assert one.pixels.dtype == np.uint8
            assert one.is_whole is (image.path.name != "MR_truncated.dcm")
            continue
        assert UNREADABLE.get(image.path.name, WITHOUT) in one
        assert one.endswith(".")
    assert len(readable()) > 85


def test_a_picture_is_within_its_bounds() -> None:
    for image, whole in readable():
        data = memoryview(image.dataset())
        small = picture(data, image.transfer_syntax_uid, size=48)
        assert decoded(small.png).shape[:2] == (small.height, small.width)
        assert max(small.height, small.width) <= 48
        assert (small.rows, small.columns, small.frame, small.frames) == (*whole.pixels.shape[:2], *whole[1:3])


def test_it_is_as_dcmtk_shows_it(tmp_path: Path) -> None:
    compared = 0
    for image, ours in readable():
        if image.path.name in SWAPPED_BY_DCMTK | CUT_OFF:
            continue
        theirs = _by_dcmtk(image, ours, tmp_path)
        assert not isinstance(theirs, str), (image.path.name, theirs)
        assert apart(ours.pixels, theirs) <= 1, image.path.name
        compared += 1
    assert compared > 80


def _by_dcmtk(image: Image, ours: Shown, folder: Path) -> Numbers | str:
    method = SOURCES[image.transfer_syntax_uid].method
    path = image.path
    if method is Method.JPEG_2000:
        path = folder / "native.dcm"
        subprocess.run([GDCMCONV, "--raw", image.path, path], capture_output=True, check=True, timeout=60)
    how = {"window": ["+Wi", "1"], "all": ["+Wm"], "": []}[ours.window.partition(" ")[0].rstrip(",")]
    program = DCML2PNM if method is Method.JPEG_LS else DCMJ2PNM
    return by_dcmtk(path, folder / "picture.pnm", "+F", str(ours.frame), *how, program=program)


def test_big_endian_samples_of_32_bits_are_those_of_little_endian() -> None:
    by_name = {image.path.name: one for image, one in readable()}
    for big, little in (("rtdose_expb.dcm", "rtdose.dcm"), ("rtdose_expb_1frame.dcm", "rtdose_1frame.dcm")):
        assert np.array_equal(by_name[big].pixels, by_name[little].pixels)


def test_it_is_as_pydicom_shows_it() -> None:
    compared = 0
    for image, ours in readable():
        if SOURCES[image.transfer_syntax_uid].method not in {Method.NATIVE, Method.RLE} or not ours.is_whole:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(image.path, force=True)
            ds.file_meta.TransferSyntaxUID = UID(image.transfer_syntax_uid)
            theirs = _by_pydicom(ds, ours)
        assert apart(ours.pixels, theirs) <= 1, image.path.name
        compared += 1
    assert compared > 60


def _by_pydicom(ds: pydicom.Dataset, ours: Shown) -> Numbers:
    stored = pixel_array(ds, index=ours.frame - 1, raw=True)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        return np.asarray(apply_color_lut(stored, ds) >> 8, np.uint8)
    if ds.PhotometricInterpretation.startswith("YBR"):
        return np.asarray(convert_color_space(stored, ds.PhotometricInterpretation, "RGB"), np.uint8)
    if ds.SamplesPerPixel == 3:
        return np.asarray(stored >> (ds.BitsStored - 8), np.uint8)
    grey = _grey_by_pydicom(ds, stored)
    return 255 - grey if ds.PhotometricInterpretation == "MONOCHROME1" else grey


def _grey_by_pydicom(ds: pydicom.Dataset, stored: Numbers) -> Numbers:
    values = apply_modality_lut(stored, ds)
    if "WindowCenter" not in ds:
        return _bytes(values, values.min(), values.max())
    # A windowed value is again one of those that the stored bits can be, in the modality's unit.
    slope, intercept = float(ds.get("RescaleSlope") or 1), float(ds.get("RescaleIntercept") or 0)
    least = -(1 << ds.BitsStored - 1) if ds.PixelRepresentation else 0
    most = least + (1 << ds.BitsStored) - 1
    return _bytes(apply_voi_lut(values, ds), least * slope + intercept, most * slope + intercept)


def _bytes(values: Numbers, least: float, most: float) -> Numbers:
    if most <= least:
        return np.zeros(values.shape, np.uint8)
    shares = (values.astype(float) - least) / (most - least)
    return np.asarray(np.clip(np.floor(shares * 255 + 0.5), 0, 255), np.uint8)
