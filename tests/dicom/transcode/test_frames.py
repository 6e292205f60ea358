"""Frames put into fragments and found in them again, however they were cut (PS3.5 §A.4)."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames, parse_basic_offsets

from capacitord.dicom.elements import EXPLICIT_LITTLE, elements
from capacitord.dicom.transcode.encapsulate import EXTENDED_LENGTHS, EXTENDED_OFFSETS, encapsulated, tables
from capacitord.dicom.transcode.engine import NotTranscoded
from capacitord.dicom.transcode.frames import encapsulated_frames, native_frames
from capacitord.dicom.transcode.layout import Layout
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import EXPLICIT, J2K, JPEG_LS, RLE
from tests.dicom.transcode.kit import Kind, encoded, image, native, pixels, read, transcoded

ITEM = b"\xfe\xff\x00\xe0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def item(data: bytes) -> bytes:
    return ITEM + struct.pack("<L", len(data)) + data


def value(frames: list[bytes], basic: bytes) -> bytes:
    """Return the value of the element that frames are put into."""
    return b"".join(encapsulated(frames, basic))[12:]


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12))
def test_what_is_put_in_is_found_by_us_and_by_pydicom(frames: list[bytes]) -> None:
    found = tables([len(frame) for frame in frames])
    data = value(frames, found.basic)
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    assert [bytes(frame) for frame in encapsulated_frames(memoryview(data), len(frames))] == padded
    assert list(generate_frames(data, number_of_frames=len(frames))) == padded
    assert parse_basic_offsets(data) == [0, *itertools.accumulate(8 + len(frame) for frame in padded)][:-1]


def test_offsets_beyond_32_bits_go_into_the_extended_table() -> None:
    fits = tables([1 << 31, (1 << 31) - 18, 10])
    assert (fits.basic, fits.extended_offsets) == (struct.pack("<3L", 0, (1 << 31) + 8, (1 << 32) - 2), b"")
    lengths = [1 << 31, (1 << 31) - 15, 11]
    found = tables(lengths)
    offsets = next(elements(found.extended_offsets, EXPLICIT_LITTLE))
    counts = next(elements(found.extended_lengths, EXPLICIT_LITTLE))
    assert found.basic == b""
    assert (offsets.tag, offsets.vr, offsets.value) == (
        EXTENDED_OFFSETS,
        "OV",
        struct.pack("<3Q", 0, (1 << 31) + 8, (1 << 32) + 2),
    )
    assert (counts.tag, counts.vr, counts.value) == (EXTENDED_LENGTHS, "OV", struct.pack("<3Q", *lengths))


def test_an_image_has_a_basic_offset_table() -> None:
    _, data = transcoded(image(Kind(frames=3)), EXPLICIT, Compression(J2K))
    offsets = parse_basic_offsets(read(data).PixelData)
    assert len(offsets) == 3
    assert offsets[0] == 0


def test_an_old_extended_table_does_not_survive() -> None:
    kind = Kind(frames=2)
    _, data = transcoded(image(kind), EXPLICIT, Compression(JPEG_LS))
    ds = read(data)
    ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = bytes(16), bytes(16)
    for wanted in (EXPLICIT, J2K):
        _, again = transcoded(encoded(ds), JPEG_LS, Compression(wanted))
        assert "ExtendedOffsetTable" not in read(again)
        assert "ExtendedOffsetTableLengths" not in read(again)


@pytest.mark.parametrize("uid", [RLE, JPEG_LS, J2K])
def test_one_frame_in_many_fragments(uid: str) -> None:
    kind = Kind()
    _, data = transcoded(image(kind), EXPLICIT, Compression(uid))
    frame = next(generate_frames(read(data).PixelData, number_of_frames=1))
    cut = b"".join(item(frame[start : start + 100]) for start in range(0, len(frame), 100))
    ds = read(data)
    ds.PixelData = item(b"") + cut
    ds["PixelData"].is_undefined_length = True
    _, back = transcoded(encoded(ds), uid, Compression(EXPLICIT))
    assert read(back).PixelData == native(kind, pixels(kind))


SOI = b"\xff\xd8\xff"


def test_several_frames_in_many_fragments() -> None:
    first, second = [SOI + b"1", b"2222"], [SOI + b"3", b"44", b"55"]
    cut = b"".join(map(item, first + second))
    expected = [b"".join(first), b"".join(second)]
    for table in (struct.pack("<2L", 0, 24), b"", struct.pack("<2L", 0, 7)):
        assert encapsulated_frames(memoryview(item(table) + cut + END), 2) == expected


@pytest.mark.parametrize(
    ("data", "frames", "why"),
    [
        (b"", 1, "no fragments"),
        (item(b""), 1, "no fragments"),
        (item(b"") + b"\x08\x00\x05\x00CS\x02\x00AB", 1, "between"),
        (item(b"") + ITEM + b"\xff\xff\xff\xff", 1, "ends inside"),
        (item(b"") + ITEM + b"\x10\0\0\0abcd", 1, "ends inside"),
        (item(b"") + item(b"ab") * 2, 3, "cannot be told"),
        (item(b"") + item(b"ab") * 3, 2, "cannot be told"),
        (item(struct.pack("<2L", 10, 0)) + item(b"ab") * 3, 2, "cannot be told"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(data: bytes, frames: int, why: str) -> None:
    with pytest.raises(NotTranscoded, match=why):
        encapsulated_frames(memoryview(data), frames)


@pytest.mark.parametrize(
    ("rest", "is_fine"), [(b"", True), (b"\0", True), (b"\0" * 11, True), (b"\1", False), (bytes(12), False)]
)
def test_what_stands_behind_the_last_native_frame(rest: bytes, is_fine: bool) -> None:
    layout = Layout(3, 4, 1, "MONOCHROME2", False, 8, 8, 7, False, 2)
    data = memoryview(bytes(range(24)) + rest)
    if is_fine:
        assert [bytes(frame) for frame in native_frames(data, layout)] == [bytes(range(12)), bytes(range(12, 24))]
    else:
        with pytest.raises(NotTranscoded, match="behind the last frame"):
            native_frames(data, layout)
    with pytest.raises(NotTranscoded, match="frames of this size"):
        native_frames(memoryview(bytes(23)), layout)
