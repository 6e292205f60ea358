"""What lies beside the pixels goes or holds the image; the pixels stay, as programs that are not ours decode them."""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.deidentify.markers import Unclear, Walked, walk_j2k, walk_jpeg, walk_jpeg_ls
from capacitord.dicom.outgoing import Came, Keys, Recipe, changed
from capacitord.dicom.splice import applied
from capacitord.dicom.transcode.syntaxes import SOURCES, Method
from capacitord.model.deidentify import Deidentification
from tests.dicom.transcode import decoders, kit
from tests.dicom.transcode.decoders import BASELINE, EXPLICIT, IMPLICIT, J2K, JPEG_LS, RLE, SV1
from tests.dicom.transform.kit import Received, whole
from tests.images import shipped

KEYS = Keys(b"h" * 32, b"c" * 32)
NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
CAME = Came("SCANNER", "FLUXBOX", NOW)
RESEARCH = Recipe("research", "UTC", deidentifications=(Deidentification(),))
NAME = b"Muster^Erika"
COMPRESSED = {**kit.LOSSLESS, **kit.LOSSY}
WALKED = [uid for uid in COMPRESSED if uid != RLE]
KIND = kit.Kind(rows=20, columns=30, allocated=8, stored=8, frames=3)
WORD_KIND = KIND._replace(allocated=16, stored=12)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def is_j2k(uid: str) -> bool:
    return SOURCES[uid].method in {Method.JPEG_2000, Method.HTJ2K}


def walk(uid: str, frame: bytes) -> Walked:
    if is_j2k(uid):
        return walk_j2k(frame)
    return walk_jpeg_ls(frame) if SOURCES[uid].method is Method.JPEG_LS else walk_jpeg(frame)


def bare(uid: str, frame: bytes) -> bytes:
    """Return a frame without anything beside its pixels, and without padding."""
    walked = walk(uid, frame)
    return applied(frame[: walked.end], [cut for cut in walked.cuts if cut.stop <= walked.end])


def with_comment(uid: str, frame: bytes, text: bytes = NAME) -> bytes:
    """Return a frame with a comment near its beginning."""
    if is_j2k(uid):
        end = 4 + int.from_bytes(frame[4:6], "big")
        return frame[:end] + segment(0x64, b"\0\1" + text) + frame[end:]
    return frame[:2] + segment(0xFE, text) + segment(0xE1, b"Exif\0\0" + text) + frame[2:]


def source(uid: str, kind: kit.Kind = KIND, **attributes: Any) -> Dataset:
    """Return a compressed image of several frames that says that there is no writing in it."""
    said = {"BurnedInAnnotation": "NO", "PatientName": NAME.decode(), "PatientID": "PAT-4711"} | attributes
    native = kit.image(kind, **said)
    return kit.read(native if uid == EXPLICIT else kit.transcoded(native, EXPLICIT, COMPRESSED[uid])[1])


def frames_of(dataset: Dataset) -> list[bytes]:
    return list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))


def put(dataset: Dataset, value: bytes) -> Dataset:
    dataset.PixelData = value
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def left(dataset: Dataset, uid: str) -> Dataset:
    """Return what leaves for a destination whose images are de-identified."""
    data = kit.encoded(dataset, uid)
    if uid != kit.DEFLATED:
        return kit.read(left_of(data, uid), uid)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return kit.read(zlib.decompress(left_of(deflater.compress(data) + deflater.flush(), uid), -zlib.MAX_WBITS))


def left_of(data: bytes, uid: str) -> bytes:
    return whole(changed(Received(uid, data), "1.2.3", RESEARCH, CAME, keys=KEYS, now=NOW).image)


def reason(dataset: Dataset, uid: str) -> str:
    with pytest.raises(NotDeidentified) as held:
        left(dataset, uid)
    assert NAME.decode() not in str(held.value)
    return held.value.reason


@pytest.mark.peers
@pytest.mark.parametrize("uid", COMPRESSED)
def test_other_programs_decode_the_same_pixels(uid: str, tmp_path: Path) -> None:
    dataset = source(uid)
    datasets = {"before": dataset, "after": source(uid)}
    if uid != RLE:
        told = put(datasets["after"], encapsulate([with_comment(uid, frame) for frame in frames_of(dataset)]))
        assert NAME in told.PixelData
    datasets["after"] = left(datasets["after"], uid)
    files = []
    for name, each in datasets.items():
        data = kit.encoded(each, uid)
        files.append(decoders.write(tmp_path / name, each.SOPClassUID, each.SOPInstanceUID, uid, data))
    assert NAME not in data
    assert decoders.decoded(files[0], uid) == decoders.decoded(files[1], uid)


@pytest.mark.parametrize("uid", WALKED)
@given(data=st.data())
def test_only_what_is_no_part_of_the_pixels_is_cut_out(uid: str, data: st.DataObject) -> None:
    dataset = source(uid)
    before = [bare(uid, frame) for frame in frames_of(dataset)]
    text = data.draw(st.binary(max_size=40).map(lambda noise: NAME + noise.replace(b"\xff", b"")))
    ends = st.sampled_from([b"", b"\0", b"\0\0\0", NAME])
    told = [with_comment(uid, frame, text) + data.draw(ends) if data.draw(st.booleans()) else frame for frame in before]
    told = [frame + b"\0" * (len(frame) % 2) for frame in told]
    if data.draw(st.booleans()):
        value, offsets, lengths = encapsulate_extended(told)
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    else:
        value = encapsulate(told, fragments_per_frame=data.draw(st.integers(1, 3)), has_bot=data.draw(st.booleans()))
    after = left(put(dataset, value), uid)
    assert NAME not in after.PixelData
    found = list(generate_frames(after.PixelData, number_of_frames=3))
    assert [bare(uid, frame) for frame in found] == before
    assert [frame.rstrip(b"\0") for frame in found] == [frame.rstrip(b"\0") for frame in before]
    if "ExtendedOffsetTable" in after:
        table = after.ExtendedOffsetTable, after.ExtendedOffsetTableLengths
        assert [frame.rstrip(b"\0") for frame in generate_frames(after.PixelData, extended_offsets=table)] == before


@pytest.mark.parametrize("uid", WALKED)
def test_what_has_nothing_beside_its_pixels_stays_as_it_is(uid: str) -> None:
    dataset = source(uid)
    put(dataset, encapsulate([bare(uid, frame) for frame in frames_of(dataset)]))
    before = kit.encoded(dataset, uid)
    pixels = before[before.index(b"\xe0\x7f\x10\0") :]
    assert left_of(before, uid).endswith(pixels)


def test_tables_are_put_right_where_they_said_something_else() -> None:
    dataset = source(SV1)
    right = struct.unpack("<3L", bytes(dataset.PixelData[8:20]))
    for table in (b"Muster^Erika", b"Muster^Erika" * 3):
        value = bytes(dataset.PixelData)
        changed_value = value[:4] + struct.pack("<L", len(table)) + table + value[20:]
        after = left(put(source(SV1), changed_value), SV1)
        assert struct.unpack("<3L", bytes(after.PixelData[8:20])) == right
    assert left(put(source(SV1), b"\xfe\xff\0\xe0\0\0\0\0" + value[20:]), SV1).PixelData[4:8] == b"\0\0\0\0"
    extended = source(SV1)
    extended.ExtendedOffsetTable, extended.ExtendedOffsetTableLengths = NAME * 2, NAME * 2
    after = left(extended, SV1)
    assert struct.unpack("<3Q", after.ExtendedOffsetTable) == right
    assert struct.unpack("<3Q", after.ExtendedOffsetTableLengths) == tuple(
        len(bare(SV1, frame)) for frame in frames_of(extended)
    )
    alone = source(SV1)
    alone.ExtendedOffsetTableLengths = NAME * 2
    assert "ExtendedOffsetTableLengths" not in left(alone, SV1)
    native = source(EXPLICIT)
    native.ExtendedOffsetTable = NAME * 2
    assert "ExtendedOffsetTable" not in left(native, EXPLICIT)


@pytest.mark.parametrize("uid", [SV1, J2K, RLE])
def test_a_frame_that_cannot_be_walked_holds_the_image(uid: str) -> None:
    dataset = source(uid)
    first, *rest = frames_of(dataset)
    for damaged in (first[: len(first) // 2], b"\0\0\0\x0cjP  " + first, NAME):
        assert "not compressed, it can pass" in reason(put(dataset, encapsulate([damaged, *rest])), uid)
    assert "cannot be told" in reason(put(dataset, encapsulate([first, *rest, *rest])), uid)
    assert "cannot be told" in reason(put(dataset, encapsulate([first])), uid)


def test_more_than_the_pixels_in_a_frame_of_rle_holds_the_image() -> None:
    dataset = source(RLE)
    first, *rest = frames_of(dataset)
    left(dataset, RLE)
    for hidden in (first + NAME, first[:12] + NAME + first[24:], first + b"\x03Erik"):
        assert "cannot be told" in reason(put(dataset, encapsulate([hidden, *rest])), RLE)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.110", "1.2.3.4.5"])
def test_compression_that_is_not_known_holds_the_image(uid: str) -> None:
    dataset = put(source(SV1), encapsulate(frames_of(source(SV1))))
    assert "in which this box cannot look for text" in reason(dataset, uid)


def test_a_second_image_behind_the_first_is_not_thrown_away() -> None:
    dataset = source(SV1)
    first, *rest = frames_of(dataset)
    assert "another one behind it" in reason(put(dataset, encapsulate([first + first, *rest])), SV1)


@pytest.mark.parametrize("uid", [EXPLICIT, IMPLICIT, kit.BIG_ENDIAN, kit.DEFLATED])
def test_something_behind_native_pixels_holds_the_image(uid: str) -> None:
    kind = KIND._replace(rows=3, columns=5, frames=1)
    dataset = source(EXPLICIT, kind)
    assert len(dataset.PixelData) == 16
    assert left(dataset, uid).PixelData == dataset.PixelData
    dataset.PixelData += bytes(4)
    assert left(dataset, uid).PixelData == dataset.PixelData
    dataset.PixelData += NAME
    assert "not as long as its rows" in reason(dataset, uid)
    dataset.PixelData = bytes(8)
    assert "not as long as its rows" in reason(dataset, uid)
    del dataset.Rows
    assert "not as long as its rows" in reason(dataset, uid)


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (kit.Kind(rows=3, columns=7, frames=3), 126),
        (kit.Kind(rows=4, columns=6, samples=3, photometric="RGB", allocated=8, stored=8), 72),
        (kit.Kind(rows=4, columns=6, samples=3, photometric="YBR_FULL_422", allocated=8, stored=8), 48),
        (kit.Kind(rows=4, columns=6, samples=3, photometric="YBR_FULL_422", allocated=8, stored=8), 72),
    ],
)
def test_native_pixels_are_as_long_as_their_attributes_say(kind: kit.Kind, length: int) -> None:
    dataset = source(EXPLICIT, kind)
    dataset.PixelData = b"\1" * length
    assert left(dataset, EXPLICIT).PixelData == dataset.PixelData
    dataset.PixelData = b"\1" * (length + 2)
    assert "not as long as its rows" in reason(dataset, EXPLICIT)


def test_single_bits_and_floating_point_numbers() -> None:
    dataset = source(EXPLICIT, KIND._replace(rows=3, columns=5, frames=3))
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.PixelData = b"\1" * 6
    left(dataset, EXPLICIT)
    dataset.PixelData = b"\1" * 8
    assert "not as long as its rows" in reason(dataset, EXPLICIT)
    for name, size in (("FloatPixelData", 4), ("DoubleFloatPixelData", 8)):
        numbers = source(EXPLICIT, KIND._replace(rows=3, columns=5, frames=1))
        del numbers.PixelData
        setattr(numbers, name, b"\1" * 15 * size)
        assert getattr(left(numbers, EXPLICIT), name) == b"\1" * 15 * size
        setattr(numbers, name, b"\1" * 16 * size)
        assert "not as long as its rows" in reason(numbers, EXPLICIT)


def test_pixel_data_twice_holds_the_image() -> None:
    dataset = source(EXPLICIT)
    dataset.FloatPixelData = bytes(4 * 20 * 30 * 3)
    assert "more than once" in reason(dataset, EXPLICIT)


def test_native_pixels_where_the_syntax_says_they_are_compressed_hold_the_image() -> None:
    dataset = source(EXPLICIT)
    data = kit.encoded(dataset, EXPLICIT)
    with pytest.raises(NotDeidentified, match="says that it is"):
        left_of(data, SV1)
    with pytest.raises(NotDeidentified, match="in which this box cannot look for text"):
        left_of(kit.encoded(source(SV1), SV1), EXPLICIT)


# --- segments

JPEG = bare(BASELINE, frames_of(source(BASELINE))[0])
LS = bare(JPEG_LS, frames_of(source(JPEG_LS))[0])
CODESTREAM = bare(J2K, frames_of(source(J2K))[0])
JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
ADOBE = b"Adobe\0\x64\0\0\0\0\1"


@pytest.mark.parametrize(
    ("body", "marker", "stays"),
    [
        (JFIF, 0xE0, JFIF),
        (JFIF[:12] + b"\1\1abc", 0xE0, JFIF),
        (JFIF + NAME, 0xE0, JFIF),
        (JFIF[:10], 0xE0, None),
        (b"JFXX\0\x13" + NAME, 0xE0, None),
        (ADOBE, 0xEE, ADOBE),
        (ADOBE + NAME, 0xEE, ADOBE),
        (ADOBE[:8], 0xEE, None),
        (b"ICC_PROFILE\0\1\1" + NAME, 0xE2, None),
        (b"http://ns.adobe.com/xap/1.0/\0" + NAME, 0xE1, None),
        (NAME, 0xFE, None),
        (b"", 0xFE, None),
        (b"SPIFF\0" + NAME, 0xE8, None),
    ],
)
def test_segments_of_colours_stay_without_text_and_all_others_go(body: bytes, marker: int, stays: bytes | None) -> None:
    clean = bare(BASELINE, JPEG)
    first = applied(JPEG, walk_jpeg(JPEG).cuts)
    assert first == clean
    told = clean[:2] + segment(marker, body) + clean[2:]
    expected = clean[:2] + (segment(marker, stays) if stays is not None else b"") + clean[2:]
    assert bare(BASELINE, told) == expected


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        (b"mrfx\2", True),
        (b"mrfx\2" + NAME, False),
        (b"SPIFF\0" + bytes(24), True),
        (b"SPIFF\0" + bytes(24) + NAME, False),
        (b"\0\0\0\1\xff\xd8", True),
        (b"\0\0\0\2" + NAME, False),
    ],
)
def test_spiff_in_jpeg_ls_stays_as_a_head_and_a_directory_holds(body: bytes, *, stays: bool) -> None:
    told = LS[:2] + segment(0xE8, body) + LS[2:]
    if stays:
        assert walk_jpeg_ls(told).cuts == []
    else:
        with pytest.raises(Unclear, match="SPIFF"):
            walk_jpeg_ls(told)


@pytest.mark.parametrize("marker", [0x01, 0x02, 0xC8, 0xD0, 0xD8, 0xF0, 0xFD])
def test_segments_that_are_not_known_hold(marker: int) -> None:
    with pytest.raises(Unclear):
        walk_jpeg(JPEG[:2] + segment(marker, NAME) + JPEG[2:])


@pytest.mark.parametrize("marker", [0xC0, 0xC4, 0xDA, 0xDB, 0xDC, 0xDD])
def test_segments_that_are_longer_than_they_should_be_hold(marker: int) -> None:
    with pytest.raises(Unclear, match="longer than it should be"):
        walk_jpeg(JPEG[:2] + segment(marker, bytes(70) + NAME) + JPEG[2:])


def test_fill_and_restart_markers_are_no_segments() -> None:
    assert walk_jpeg(JPEG[:2] + b"\xff\xff" + JPEG[2:]).cuts == []
    at = JPEG.index(b"\xff\xda")
    start = at + 2 + int.from_bytes(JPEG[at + 2 : at + 4], "big")
    assert walk_jpeg(JPEG[:start] + b"\xff\xd0\xff\x00" + JPEG[start:]).cuts == []
    told = walk_jpeg(JPEG[:-2] + segment(0xFE, NAME) + JPEG[-2:])
    assert [(cut.stop - cut.start, cut.data) for cut in told.cuts] == [(len(NAME) + 4, b"")]


def test_a_frame_needs_its_pixels() -> None:
    for nothing in (b"\xff\xd8\xff\xd9", b"\xff\xd8" + segment(0xFE, NAME) + b"\xff\xd9" + JPEG, b"", b"\xff\xd8"):
        with pytest.raises(Unclear):
            walk_jpeg(nothing)
    with pytest.raises(Unclear):
        walk_j2k(CODESTREAM[:60])


def tile_at(codestream: bytes) -> int:
    return codestream.index(b"\xff\x90\0\x0a")


def test_a_comment_within_a_tile_goes_and_its_length_is_put_right() -> None:
    at = tile_at(CODESTREAM)
    told = CODESTREAM[: at + 12] + segment(0x64, b"\0\1" + NAME) + CODESTREAM[at + 12 :]
    length = int.from_bytes(told[at + 6 : at + 10], "big")
    if length:
        told = told[: at + 6] + (length + len(NAME) + 6).to_bytes(4, "big") + told[at + 10 :]
    assert bare(J2K, told) == CODESTREAM
    with pytest.raises(Unclear, match="elsewhere"):
        walk_j2k(told[:at] + segment(0x55, bytes(6)) + told[at:])


def test_a_tile_may_go_on_to_the_end_and_the_end_may_be_missing() -> None:
    at = tile_at(CODESTREAM)
    open_end = CODESTREAM[: at + 6] + bytes(4) + CODESTREAM[at + 10 :]
    assert walk_j2k(open_end) == Walked([], len(CODESTREAM))
    assert walk_j2k(CODESTREAM[:-2]).cuts == []
    with pytest.raises(Unclear):
        walk_j2k(open_end[:-2])
    with pytest.raises(Unclear):
        walk_j2k(CODESTREAM[:-2] + NAME)


@pytest.mark.parametrize("uid", WALKED)
@given(data=st.data())
def test_damaged_frames_are_refused_by_their_own_error_or_walked_to_nothing(uid: str, data: st.DataObject) -> None:
    frame = bytearray(with_comment(uid, {SV1: JPEG, JPEG_LS: LS}.get(uid) or frames_of(source(uid))[0]))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        walked = walk(uid, bytes(frame))
    except Unclear:
        return
    again = walk(uid, applied(bytes(frame), walked.cuts))
    assert again.cuts == []


@pytest.mark.peers
def test_files_of_other_programs_lose_nothing_of_their_pixels(tmp_path: Path) -> None:
    walked = 0
    for number, image in enumerate(shipped()):
        uid = image.transfer_syntax_uid
        if uid not in WALKED or image.path.name == "GDCMJ2K_TextGBR.dcm":
            continue
        dataset = kit.read(image.dataset())
        frames = frames_of(dataset)
        after = [applied(frame, walk(uid, frame).cuts) for frame in frames]
        assert all(not walk(uid, frame).cuts for frame in after)
        walked += 1
        if after == frames or SOURCES[uid].may_lose:
            continue
        data = [decoders.write(tmp_path / f"{number}.before", "1.2", "1.2.3", uid, image.dataset())]
        put(dataset, encapsulate(after))
        data.append(decoders.write(tmp_path / f"{number}.after", "1.2", "1.2.3", uid, kit.encoded(dataset, uid)))
        assert decoders.decoded(data[0], uid) == decoders.decoded(data[1], uid), image.path.name
    assert walked > 20
