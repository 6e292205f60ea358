"""Every layout of pixels that a frame can have: shown as DCMTK shows it, or as it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from capacitord.dicom.preview.engine import NotShown, picture, shown
from capacitord.dicom.preview.scaling import Size, fitted, scaled
from tests.dicom.preview.kit import EXPLICIT, Numbers, apart, by_dcmtk, grey, refusal, show, write
from tests.dicom.transcode import kit
from tests.dicom.transcode.kit import BIG_ENDIAN, Kind

SYNTAXES = ["1.2.840.10008.1.2", EXPLICIT, BIG_ENDIAN]
GREYS = [
    Kind(),
    Kind(stored=12),
    Kind(stored=12, dirty=True),
    Kind(stored=12, high=13, dirty=True),
    Kind(stored=12, signed=True, dirty=True),
    Kind(stored=10, high=15, signed=True, dirty=True),
    Kind(allocated=8, stored=8),
    Kind(allocated=8, stored=8, signed=True),
    Kind(allocated=32, stored=32),
    Kind(allocated=32, stored=24, signed=True, dirty=True),
    Kind(photometric="MONOCHROME1"),
    Kind(frames=3),
]
COLOURS = [
    Kind(samples=3, photometric="RGB", allocated=8, stored=8),
    Kind(samples=3, photometric="RGB", allocated=8, stored=8, planar=True),
    Kind(samples=3, photometric="RGB", allocated=16, stored=12, frames=2),
    Kind(samples=3, photometric="YBR_FULL", allocated=8, stored=8),
    Kind(samples=3, photometric="YBR_FULL", allocated=8, stored=8, planar=True, frames=3),
    Kind(samples=4, photometric="CMYK", allocated=8, stored=8),
    Kind(samples=3, photometric="HSV", allocated=8, stored=8),
]
ALIKE = {"YBR_FULL": 2, "YBR_FULL_422": 2, "HSV": 8}
"""DCMTK computes these colours in whole numbers; pydicom, and we, in fractions."""


@pytest.mark.parametrize("kind", [*GREYS, *COLOURS], ids=str)
def test_native_pixels_are_as_dcmtk_shows_them(kind: Kind, tmp_path: Path) -> None:
    pixels = kit.pixels(kind)
    if kind.photometric == "CMYK":
        # What is more ink than paper takes, it wraps around.
        pixels //= 2
    ds = kit.dataset(kind, kit.native(kind, pixels))
    for frame in range(1, kind.frames + 1):
        ours = show(ds, frame=frame)
        options = ("+F", str(frame), *(("+Wm",) if kind.samples == 1 else ()))
        theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture", *options)
        assert not isinstance(theirs, str), theirs
        assert apart(ours.pixels, theirs) <= ALIKE.get(kind.photometric, 1)


@pytest.mark.parametrize("kind", [kind for kind in [*GREYS, *COLOURS] if kind.allocated <= 16], ids=str)
def test_the_encoding_makes_no_difference(kind: Kind) -> None:
    data = kit.native(kind, kit.pixels(kind))
    plain = show(kit.dataset(kind, data)).pixels
    assert np.array_equal(show(kit.dataset(kind, data), SYNTAXES[0]).pixels, plain)
    big = kit.dataset(kind, data if kind.allocated == 8 else np.frombuffer(data, "<u2").byteswap().tobytes())
    assert np.array_equal(show(big, BIG_ENDIAN).pixels, plain)


@pytest.mark.parametrize("uid", kit.LOSSLESS)
@pytest.mark.parametrize("kind", [GREYS[4], COLOURS[0], Kind(frames=5), Kind(allocated=8, stored=8)], ids=str)
def test_what_is_compressed_is_shown_as_it_was(uid: str, kind: Kind) -> None:
    ds = kit.dataset(kind, kit.native(kind, kit.pixels(kind)))
    _, data = kit.transcoded(kit.encoded(ds), EXPLICIT, kit.LOSSLESS[uid])
    for frame in {1, kind.frames}:
        assert np.array_equal(shown(memoryview(data), uid, frame=frame).pixels, show(ds, frame=frame).pixels)


def test_only_the_wanted_frame_is_decoded() -> None:
    kind = Kind(frames=3)
    uid = next(iter(kit.LOSSLESS))
    _, data = kit.transcoded(kit.image(kind), EXPLICIT, kit.LOSSLESS[uid])
    broken = bytearray(data)
    # The head of the first frame's RLE segments.
    at = broken.index(b"\x02\0\0\0\x40\0\0\0")
    broken[at] = 9
    assert shown(memoryview(bytes(broken)), uid, frame=3).frame == 3
    with pytest.raises(NotShown, match="damaged"):
        shown(memoryview(bytes(broken)), uid, frame=1)


def test_the_frame_in_the_middle() -> None:
    for frames, middle in ((1, 1), (2, 1), (3, 2), (30, 15)):
        kind = Kind(rows=2, columns=2, frames=frames)
        found = show(kit.dataset(kind, kit.native(kind, kit.pixels(kind))))
        assert (found.frame, found.frames) == (middle, frames)
    assert refusal(kit.dataset(kind, kit.native(kind, kit.pixels(kind))), frame=31) == "The image has 30 frames."


def test_colours_before_which_something_stands() -> None:
    kind = Kind(samples=4, photometric="ARGB", allocated=8, stored=8)
    pixels = kit.pixels(kind)
    assert np.array_equal(show(kit.dataset(kind, kit.native(kind, pixels))).pixels, pixels[0, ..., 1:])


def test_subsampled_colours(tmp_path: Path) -> None:
    kind = Kind(rows=8, columns=10, samples=3, photometric="YBR_FULL_422", allocated=8, stored=8)
    random = np.random.default_rng(1)
    data = random.integers(0, 256, 8 * 10 * 2, np.uint8).tobytes()
    ds = kit.dataset(kind, data)
    theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture")
    assert not isinstance(theirs, str), theirs
    assert apart(show(ds).pixels, theirs) <= ALIKE["YBR_FULL_422"]
    ds.PhotometricInterpretation = "YBR_PARTIAL_422"
    theirs = by_dcmtk(write(ds, tmp_path / "image"), tmp_path / "picture")
    assert not isinstance(theirs, str), theirs
    assert apart(show(ds).pixels, theirs) <= 2
    ds.Columns = 9
    assert "odd number of columns" in refusal(ds)


def test_colours_that_are_said_to_be_subsampled_and_are_not() -> None:
    kind = Kind(rows=8, columns=9, samples=3, photometric="YBR_FULL", allocated=8, stored=8, frames=2)
    ds = kit.dataset(kind, kit.native(kind, kit.pixels(kind)))
    right = show(ds)
    ds.PhotometricInterpretation = "YBR_FULL_422"
    assert right.is_whole
    assert np.array_equal(show(ds).pixels, right.pixels)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_samples_of_one_bit(syntax: str) -> None:
    random = np.random.default_rng(2)
    bits = random.integers(0, 2, (3, 5, 7), np.uint8)
    data = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    data += b"\0" * (len(data) % 2)
    ds = kit.dataset(Kind(rows=5, columns=7, frames=3, allocated=1, stored=1), data)
    for frame in (1, 2, 3):
        assert np.array_equal(show(ds, syntax, frame=frame).pixels, bits[frame - 1] * 255)


@pytest.mark.parametrize(("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floats(keyword: str, kind: str) -> None:
    values = np.linspace(-1, 1, 24).astype(kind).reshape(2, 3, 4)
    values[1, 2, 3] = np.nan
    ds = grey(np.zeros((3, 4), np.uint8), NumberOfFrames=2, BitsAllocated=8 * values.dtype.itemsize)
    for gone in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, gone)
    setattr(ds, keyword, values.tobytes())
    assert show(ds, frame=1).pixels.ravel().tolist() == np.floor(np.arange(12) * 255 / 11 + 0.5).tolist()
    assert show(ds, frame=2).pixels[0, 0] == 0
    ds.Rows = 6
    assert "before this frame begins" in refusal(ds, frame=2)
    ds.BitsAllocated = 16
    assert "contradicts itself" in refusal(ds)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_frame_that_is_not_whole_says_so(syntax: str) -> None:
    kind = Kind(rows=4, columns=4, frames=2)
    ds = kit.dataset(kind, kit.native(kind, kit.pixels(kind))[:-2])
    assert show(ds, syntax, frame=1).is_whole
    assert not show(ds, syntax, frame=2).is_whole
    ds.PixelData = ds.PixelData[:32]
    assert refusal(ds, syntax, frame=2) == "The pixel data ends after 32 bytes, before this frame begins."


def test_what_is_no_image() -> None:
    ds = grey(np.zeros((2, 2), np.uint8))
    ds.BitsAllocated = 12
    assert "12 bits" in refusal(ds)
    ds.PhotometricInterpretation = "MONOCHROME3"
    assert "photometric interpretation" in refusal(ds)
    del ds.PixelData
    assert refusal(ds).startswith("It has no pixels: ")
    data = kit.encoded(grey(np.zeros((2, 2), np.uint8)))[:-16] + b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
    video = memoryview(data + b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0")
    with pytest.raises(NotShown, match="does not read the pixels of MPEG2"):
        shown(video, "1.2.840.10008.1.2.4.100")


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"BitsStored": 17}, "Bits Allocated, Bits Stored and High Bit contradict each other."),
        ({"HighBit": 8}, "Bits Allocated, Bits Stored and High Bit contradict each other."),
        ({"SamplesPerPixel": 3}, "or does not fit its samples per pixel."),
        ({"PhotometricInterpretation": "RGB"}, "or does not fit its samples per pixel."),
    ],
)
def test_what_contradicts_itself_says_why_it_is_not_shown(attributes: Mapping[str, object], why: str) -> None:
    ds = grey(np.zeros((2, 2), np.uint8))
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    assert refusal(ds).endswith(why)


def test_an_image_without_its_pixels_says_so() -> None:
    ds = grey(np.zeros((2, 2), np.uint8))
    del ds.PixelData
    assert refusal(ds) == "It has no pixels: it is a report or a document, say, or an image whose pixels are missing."


@pytest.mark.parametrize("data", [b"\1\2" * 40, b"\xff\xd8" + b"\1\2" * 40])
def test_junk_that_is_called_jpeg_says_so(data: bytes) -> None:
    ds = grey(np.zeros((2, 2), np.uint8))
    ds.PixelData = encapsulate([data])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    assert "JPEG" in refusal(ds, "1.2.840.10008.1.2.4.50")


# --- functional groups


def enhanced(stored: Numbers) -> Dataset:
    """Return a multi-frame image whose frames have their own windows and units."""
    kind = Kind(stored.shape[1], stored.shape[2], frames=len(stored))
    ds = kit.dataset(kind, stored.tobytes())
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [1, 0.5]
    shared.PixelValueTransformationSequence = [_unit(1, -1000)]
    shared.FrameVOILUTSequence = [_window(40, 400)]
    for number in range(len(stored)):
        frame = Dataset()
        if number == 1:
            frame.PixelValueTransformationSequence = [_unit(2, 0)]
            frame.FrameVOILUTSequence = [_window(100, 50, "SIGMOID")]
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = frames
    return ds


def _unit(slope: float, intercept: float) -> Dataset:
    item = Dataset()
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = slope, intercept, "HU"
    return item


def _window(center: float, width: float, function: str = "") -> Dataset:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = center, width
    if function:
        item.VOILUTFunction = function
    return item


@pytest.mark.parametrize("syntax", SYNTAXES[:2])
def test_functional_groups(syntax: str) -> None:
    stored = np.arange(3 * 16 * 8, dtype=np.uint16).reshape(3, 16, 8) * 5
    ds = enhanced(stored)
    first, second, last = (show(ds, syntax, frame=frame) for frame in (1, 2, 3))
    assert (first.window, second.window, last.window) == ("window 40/400", "window 100/50 SIGMOID", "window 40/400")
    single = grey(stored[1], WindowCenter=100, WindowWidth=50, VOILUTFunction="SIGMOID", RescaleSlope=2)
    single.RescaleIntercept = 0
    assert np.array_equal(second.pixels, show(single).pixels)
    assert first.tallness == second.tallness == 2


# --- sizes


@pytest.mark.parametrize(
    ("attribute", "sides", "size"),
    [
        ("PixelAspectRatio", [2, 1], (10, 32)),
        ("PixelAspectRatio", [1, 2], (20, 16)),
        ("PixelSpacing", [0.5, 0.25], (10, 32)),
        ("ImagerPixelSpacing", [0.1, 0.1], (10, 16)),
        ("PixelSpacing", [0, 1], (10, 16)),
        ("PixelSpacing", [100, 1], (10, 16)),
        ("PixelSpacing", [1], (10, 16)),
    ],
)
def test_pixels_that_are_no_squares(attribute: str, sides: list[float], size: tuple[int, int]) -> None:
    ds = grey(np.zeros((16, 10), np.uint8))
    setattr(ds, attribute, sides if attribute != "PixelAspectRatio" else [str(side) for side in sides])
    made = picture(memoryview(kit.encoded(ds)), EXPLICIT, size=1024)
    assert (made.width, made.height) == size
    assert (made.columns, made.rows) == (10, 16)


def test_a_picture_is_fitted() -> None:
    assert fitted(4000, 3000, Size(1024, 1024)) == (1024, 768)
    assert fitted(100, 30000, Size(1024, 1024)) == (3, 1024)
    assert fitted(1, 30000, Size(1024, 1024)) == (1, 1024)
    assert fitted(64, 64, Size(1024, 1024)) == (64, 64)
    assert fitted(100, 100, Size(50, 80), tallness=2.0) == (40, 80)


def test_a_smaller_picture_is_the_mean() -> None:
    random = np.random.default_rng(3)
    whole = random.integers(0, 256, (60, 90), np.uint8)
    means = whole.reshape(20, 3, 30, 3).mean(axis=(1, 3))
    assert np.abs(scaled(whole, Size(30, 20)) - means).max() <= 0.5
    colours = np.stack([whole, 255 - whole, whole // 2], axis=-1)
    assert np.abs(scaled(colours, Size(30, 20))[..., 0] - means).max() <= 0.5
    odd = scaled(whole, Size(37, 11))
    assert odd.shape == (11, 37)
    assert abs(float(odd.mean()) - float(whole.mean())) < 2
    twice = scaled(whole, Size(180, 120))
    assert np.array_equal(twice[::2, ::2], whole)
    assert np.array_equal(twice[1::2, 1::2], whole)
