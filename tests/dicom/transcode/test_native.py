"""From one native encoding to another: every VR, private elements, nested sequences, and both byte orders."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from capacitord.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, elements, write, write_item, write_undefined
from capacitord.dicom.transcode.engine import NotTranscoded
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import EXPLICIT, IMPLICIT, J2K, RLE
from tests.dicom.transcode.kit import (
    BIG_ENDIAN,
    DEFLATED,
    LOSSLESS,
    Kind,
    dataset,
    encoded,
    image,
    native,
    pixels,
    read,
    transcoded,
)

VALUES: dict[int, tuple[str, object]] = {
    0x00080001: ("UL", 70000),
    0x00080060: ("CS", "OT"),
    0x00081163: ("FD", [0.5, 1e300]),
    0x00081195: ("UI", "1.2.3.4"),
    0x00089459: ("FL", 1.5),
    0x00100030: ("DA", "20240229"),
    0x00101010: ("AS", "042Y"),
    0x00104000: ("LT", "some text"),
    0x00186020: ("SL", [-7, 70000]),
    0x00189219: ("SS", -3),
    0x00200013: ("IS", "12"),
    0x00280009: ("AT", [0x00181063, 0x00181065]),
    0x00281052: ("DS", "-1024"),
    0x0040A120: ("DT", "20240229081500"),
    0x00420011: ("OB", b"\1\2\3\4"),
    0x00660016: ("OF", b"\0\0\x80\x3f\0\0\0\x40"),
    0x00660022: ("OD", b"\0\0\0\0\0\0\xf0\x3f"),
    0x00660040: ("OL", b"\1\0\0\0\2\0\0\0"),
    0x00720082: ("SV", -(1 << 40)),
    0x00720083: ("UV", 1 << 40),
    0x0008002A: ("DT", "2024"),
    0x00287FE0: ("UR", "https://example.org/"),
}


def _rich() -> Dataset:
    """A dataset with an element of each kind, at the top level and in a sequence in a sequence."""
    ds = dataset(Kind(rows=4, columns=6, stored=12, signed=True), bytes(range(48)))
    for tag, (vr, value) in VALUES.items():
        ds[tag] = DataElement(Tag(tag), vr, value)
    ds.SmallestImagePixelValue = -5
    ds["SmallestImagePixelValue"].VR = "SS"
    inner, outer = Dataset(), Dataset()
    for tag, (vr, value) in VALUES.items():
        inner[tag] = DataElement(Tag(tag), vr, value)
    inner.PixelPaddingValue = -2000
    inner["PixelPaddingValue"].VR = "SS"
    inner.add_new(0x00110010, "LO", "NOBODY KNOWS")
    inner.add_new(0x00111001, "LO", "a value")
    outer.ReferencedSeriesSequence = [inner, inner]
    ds.ReferencedStudySequence = [outer]
    ds.add_new(0x00090010, "LO", "GEMS_PETD_01")
    ds.add_new(0x00091001, "LO", "a known private one")
    ds.add_new(0x60003000, "OW", b"\1\0\2\0")
    return ds


@pytest.mark.parametrize("form", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("wanted", [IMPLICIT, EXPLICIT])
def test_every_value_is_the_same_afterwards(form: str, wanted: str) -> None:
    ds = _rich()
    if form == BIG_ENDIAN:
        swap = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8"}
        for each in (ds, ds.ReferencedStudySequence[0].ReferencedSeriesSequence[0]):
            for element in each:
                if element.VR in swap:
                    element.value = np.frombuffer(element.value, swap[element.VR]).byteswap().tobytes()
    source = encoded(ds, EXPLICIT if form == DEFLATED else form)
    if form == DEFLATED:
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        source = squeeze.compress(source) + squeeze.flush()
    written, data = transcoded(source, form, Compression(wanted))
    assert not written.lossy
    expected = _rich()
    if form == IMPLICIT:
        # Nobody can tell how a private element of an unknown creator was meant.
        for item in expected.ReferencedStudySequence[0].ReferencedSeriesSequence:
            item[0x00111001] = DataElement(Tag(0x00111001), "UN", b"a value ")
    assert data == encoded(expected, wanted)


@pytest.mark.parametrize("form", [EXPLICIT, IMPLICIT])
def test_the_same_syntax_is_the_same_bytes(form: str) -> None:
    source = encoded(_rich(), form)
    written, data = transcoded(source, form, Compression(form))
    assert data == source
    assert len(written.dataset) == 1


def test_group_lengths_are_left_out_where_they_would_be_wrong() -> None:
    body = encoded(_rich())
    length = write(0x00080000, "UL", struct.pack("<L", 4242), EXPLICIT_LITTLE)
    _, data = transcoded(length + body, EXPLICIT, Compression(IMPLICIT))
    assert data == encoded(_rich(), IMPLICIT)
    kept = transcoded(length + body, EXPLICIT, Compression(RLE))[1]
    assert kept.startswith(length)


def test_sequences_of_unknown_vr_are_left_as_they_are() -> None:
    inside = write_item(write(0x00080100, "", b"CODE", IMPLICIT_LITTLE), IMPLICIT_LITTLE)
    unknown = write_undefined(0x00091010, "UN", inside, EXPLICIT_LITTLE)
    for target, head in ((IMPLICIT, "<HHL"), (EXPLICIT, "")):
        _, data = transcoded(unknown, EXPLICIT, Compression(target))
        assert data == (struct.pack(head, 9, 0x1010, 0xFFFFFFFF) + unknown[12:] if head else unknown)


def test_a_value_too_long_for_its_vr_becomes_unknown() -> None:
    text = b"1\\" * 40000
    _, data = transcoded(write(0x00281052, "", text, IMPLICIT_LITTLE), IMPLICIT, Compression(EXPLICIT))
    assert data == write(0x00281052, "UN", text, EXPLICIT_LITTLE)


def test_private_elements_get_the_vr_that_their_creator_gave_them() -> None:
    blocks = {0x0009: b"GEMS_PETD_01", 0x0011: b"GEMS_PETD_01", 0x0013: b"NOBODY"}
    source = b"".join(
        write(group << 16 | 0x0010, "", creator, IMPLICIT_LITTLE)
        + write(group << 16 | 0x1001, "", b"ab", IMPLICIT_LITTLE)
        for group, creator in blocks.items()
    )
    _, data = transcoded(source, IMPLICIT, Compression(EXPLICIT))
    # The second one is a sequence by the dictionary, but nothing like it is in it.
    assert [element.vr for element in elements(data, EXPLICIT_LITTLE)] == ["LO", "LO", "LO", "UN", "LO", "UN"]


@pytest.mark.parametrize("wanted", [EXPLICIT, IMPLICIT, RLE, J2K])
@pytest.mark.parametrize("allocated", [8, 16])
def test_pixels_in_words_of_big_endian_are_swapped(allocated: int, wanted: str) -> None:
    kind = Kind(rows=5, columns=6, allocated=allocated, stored=allocated)
    data = native(kind, pixels(kind))
    ds = dataset(kind, np.frombuffer(data, "u2").byteswap().tobytes())
    ds["PixelData"].VR = "OW"
    _, out = transcoded(encoded(ds, BIG_ENDIAN), BIG_ENDIAN, Compression(wanted))
    back = out if wanted in {EXPLICIT, IMPLICIT} else transcoded(out, wanted, Compression(EXPLICIT))[1]
    assert read(back, wanted if wanted == IMPLICIT else EXPLICIT).PixelData == data


def test_pixels_of_big_endian_that_can_be_read_in_two_ways_are_refused() -> None:
    kind = Kind(rows=4, columns=4, allocated=32, stored=32)
    with pytest.raises(NotTranscoded, match="two ways"):
        transcoded(encoded(dataset(kind, bytes(64)), BIG_ENDIAN), BIG_ENDIAN, Compression(EXPLICIT))


@pytest.mark.parametrize("wanted", [EXPLICIT, IMPLICIT])
def test_a_segmentation_of_one_bit_stays_as_it_is(wanted: str) -> None:
    kind = Kind(rows=16, columns=16, allocated=8, stored=8)
    source = dataset(kind, bytes(range(32)), BitsAllocated=1, BitsStored=1, HighBit=0)
    form = IMPLICIT if wanted == EXPLICIT else EXPLICIT
    _, data = transcoded(encoded(source, form), form, Compression(wanted))
    assert read(data, wanted).PixelData == bytes(range(32))


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_pixels_are_passed_on_and_not_compressed(keyword: str) -> None:
    ds = _rich()
    del ds.PixelData
    setattr(ds, keyword, bytes(range(48)))
    _, data = transcoded(encoded(ds), EXPLICIT, Compression(IMPLICIT))
    assert data == encoded(ds, IMPLICIT)
    for uid in LOSSLESS:
        with pytest.raises(NotTranscoded, match="floating-point"):
            transcoded(encoded(ds), EXPLICIT, LOSSLESS[uid])


def test_a_dataset_without_pixels_is_passed_on_and_not_compressed() -> None:
    ds = _rich()
    del ds.PixelData
    with pytest.raises(NotTranscoded, match="no pixels"):
        transcoded(encoded(ds), EXPLICIT, Compression(J2K))
    assert transcoded(encoded(ds), EXPLICIT, Compression(IMPLICIT))[1] == encoded(ds, IMPLICIT)
    # What has no pixels may be in a syntax of compressed ones all the same: it is Explicit VR Little Endian.
    assert transcoded(encoded(ds), J2K, Compression(EXPLICIT))[1] == encoded(ds)


def test_a_compressed_icon_keeps_the_image_in_its_syntax() -> None:
    icon = write_item(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 2
                      + b"\xfe\xff\xdd\xe0\0\0\0\0", EXPLICIT_LITTLE)  # fmt: skip
    ds = image(Kind(rows=8, columns=8))
    source = ds[: ds.index(b"\xe0\x7f\x10\x00OW")] + write(0x00880200, "SQ", icon, EXPLICIT_LITTLE)
    source += ds[ds.index(b"\xe0\x7f\x10\x00OW") :]
    with pytest.raises(NotTranscoded, match="inside a sequence"):
        transcoded(source, EXPLICIT, Compression(J2K))


def test_an_attribute_that_stands_twice() -> None:
    element = write(0x00080060, "CS", b"CT", EXPLICIT_LITTLE)
    other = write(0x00080060, "CS", b"MR", EXPLICIT_LITTLE)
    assert transcoded(element * 2, EXPLICIT, Compression(IMPLICIT))[1] == write(0x00080060, "", b"CT", IMPLICIT_LITTLE)
    with pytest.raises(NotTranscoded, match="twice"):
        transcoded(element + other, EXPLICIT, Compression(IMPLICIT))
