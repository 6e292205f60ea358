"""What lies beside the pixels goes or holds the image; the pixels stay, as programs that are not ours decode them."""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from capacitord.dicom.deidentify.engine import NotDeidentified
from capacitord.dicom.deidentify.jpeg import walk_jpeg, walk_jpeg_ls
from capacitord.dicom.deidentify.jpeg2000 import walk_j2k
from capacitord.dicom.deidentify.markers import Unclear, Walked
from capacitord.dicom.deidentify.pixels import large_value
from capacitord.dicom.outgoing import Came, Keys, Recipe, changed
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.splice import applied
from capacitord.dicom.transcode.syntaxes import SOURCES, Method
from capacitord.model.deidentify import Deidentification
from tests.dicom.transcode import decoders, kit
from tests.dicom.transcode.decoders import BASELINE, EXPLICIT, HTJ2K, IMPLICIT, J2K, JPEG_LS, RLE, SV1
from tests.dicom.transform.kit import Received, whole
from tests.images import shipped

KEYS = Keys(b"h" * 32, b"c" * 32)
NOW = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
CAME = Came("SCANNER", "FLUXBOX", NOW)
RESEARCH = Recipe("research", "UTC", deidentifications=(Deidentification(),))
NAME = b"Muster^Erika"
RPCL = "1.2.840.10008.1.2.4.202"
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
        (kit.Kind(rows=4, columns=6, samples=3, photometric="YBR_PARTIAL_422", allocated=8, stored=8), 48),
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
        (b"SPIFF\0" + NAME + bytes(12), False),
        (b"\0\0\0\1\xff\xd8", False),
        (b"\0\0\0\2" + NAME, False),
    ],
)
def test_of_applications_in_jpeg_ls_the_transform_of_colours_stays(body: bytes, *, stays: bool) -> None:
    told = LS[:2] + segment(0xE8, body) + LS[2:]
    assert bare(JPEG_LS, told) == (told if stays else LS)


@pytest.mark.parametrize("marker", [0x01, 0x02, 0xC8, 0xD0, 0xD8, 0xF0, 0xFD])
def test_segments_that_are_not_known_hold(marker: int) -> None:
    with pytest.raises(Unclear):
        walk_jpeg(JPEG[:2] + segment(marker, NAME) + JPEG[2:])


@pytest.mark.parametrize("marker", [0xC0, 0xC4, 0xDA, 0xDB, 0xDC, 0xDD])
def test_segments_that_are_longer_than_they_should_be_hold(marker: int) -> None:
    with pytest.raises(Unclear, match="not in the form"):
        walk_jpeg(JPEG[:2] + segment(marker, bytes(70) + NAME) + JPEG[2:])


def test_fill_and_restart_markers_are_no_segments() -> None:
    assert walk_jpeg(JPEG[:2] + b"\xff\xff" + JPEG[2:]).cuts == []
    at = JPEG.index(b"\xff\xda")
    start = at + 2 + int.from_bytes(JPEG[at + 2 : at + 4], "big")
    announced = JPEG[:2] + segment(0xDD, b"\0\1") + JPEG[2:start]
    assert walk_jpeg(announced + b"\xff\xd0\xff\x00\xff\xd1" + JPEG[start:]).cuts == []
    for others in (announced + b"\xff\xd1", announced + b"\xff\xd0" * 2, JPEG[:start] + b"\xff\xd0"):
        with pytest.raises(Unclear, match="does not announce"):
            walk_jpeg(others + JPEG[start:])
    told = walk_jpeg(JPEG[:-2] + segment(0xFE, NAME) + JPEG[-2:])
    assert [(cut.stop - cut.start, cut.data) for cut in told.cuts] == [(len(NAME) + 4, b"")]


def tile_at(codestream: bytes) -> int:
    return codestream.index(b"\xff\x90\0\x0a")


def at_main(body: bytes, marker: int) -> bytes:
    """Return the codestream with a segment in its main header."""
    end = 4 + int.from_bytes(CODESTREAM[4:6], "big")
    return CODESTREAM[:end] + segment(marker, body) + CODESTREAM[end:]


def longer(marker: int, room: bytes = NAME) -> bytes:
    """Return the codestream with something behind what a segment of its main header says."""
    at = CODESTREAM.index(bytes((0xFF, marker)))
    stop = at + 2 + int.from_bytes(CODESTREAM[at + 2 : at + 4], "big")
    return CODESTREAM[:at] + segment(marker, CODESTREAM[at + 4 : stop] + room) + CODESTREAM[stop:]


def in_tile(inside: bytes = b"", behind: bytes = b"") -> bytes:
    """Return the codestream with something in the header of its tile, or behind its packets."""
    at = tile_at(CODESTREAM)
    length = int.from_bytes(CODESTREAM[at + 6 : at + 10], "big")
    told = (length + len(inside) + len(behind)).to_bytes(4, "big")
    head = CODESTREAM[: at + 6] + told + CODESTREAM[at + 10 : at + 12]
    return head + inside + CODESTREAM[at + 12 : at + length] + behind + CODESTREAM[at + length :]


@pytest.mark.parametrize(
    "told",
    [
        *(pytest.param(at_main(NAME, marker), id=f"main {marker:X}") for marker in (0x55, 0x57, 0x58, 0x59, 0x63)),
        pytest.param(in_tile(segment(0x58, b"\0" + NAME)), id="PLT"),
        pytest.param(at_main(bytes(6), 0x55).replace(b"\xff\x90", segment(0x64, NAME) + b"\xff\x90", 1), id="TLM"),
    ],
)
def test_segments_that_help_to_find_the_way_go(told: bytes) -> None:
    assert bare(J2K, told) == CODESTREAM


@pytest.mark.parametrize(
    "told",
    [
        *(pytest.param(longer(marker), id=f"longer {marker:X}") for marker in (0x51, 0x52, 0x5C)),
        *(pytest.param(at_main(b"\0" + NAME, marker), id=f"{marker:X}") for marker in (0x53, 0x5D, 0x5E, 0x5F)),
        *(pytest.param(at_main(NAME, marker), id=f"main {marker:X}") for marker in (0x50, 0x60, 0x61, 0x74)),
        pytest.param(in_tile(segment(0x61, b"\0" + NAME)), id="PPT"),
        pytest.param(at_main(CODESTREAM[4:45][2:], 0x51), id="second SIZ"),
    ],
)
def test_segments_of_jpeg_2000_in_another_form_hold(told: bytes) -> None:
    with pytest.raises(Unclear, match="not in the form"):
        walk_j2k(told)


@pytest.mark.parametrize("index", [b"\0\7", b"\0\0"])
def test_a_part_of_a_tile_that_does_not_belong_to_it_holds(index: bytes) -> None:
    part = b"\xff\x90\0\x0a" + index + (14 + len(NAME)).to_bytes(4, "big") + b"\1\1\xff\x93" + NAME
    with pytest.raises(Unclear, match="part of a tile"):
        walk_j2k(CODESTREAM[:-2] + part + CODESTREAM[-2:])


@pytest.mark.parametrize("uid", [uid for uid in kit.LOSSLESS if uid != RLE])
def test_what_lost_nothing_is_written_anew_from_its_pixels(uid: str) -> None:
    dataset = source(uid)
    first, *rest = (bare(uid, frame) for frame in frames_of(dataset))
    if is_j2k(uid):
        at = first.index(b"\xff\x90\0\x0a")
        length = int.from_bytes(first[at + 6 : at + 10], "big") + len(NAME)
        told = first[: at + 6] + length.to_bytes(4, "big") + first[at + 10 : -2] + NAME + first[-2:]
    else:
        told = first[:-2] + NAME + first[-2:]
    assert NAME in bare(uid, told)
    put(dataset, encapsulate([told, *rest]))
    if uid == JPEG_LS:
        assert "does not decode" in reason(dataset, uid)
    else:
        assert bare(uid, frames_of(left(dataset, uid))[0]) == first


@pytest.mark.parametrize("uid", [uid for uid in kit.LOSSY if uid != RLE])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le", "utf-16-be"])
def test_a_name_among_what_lost_something_holds_the_image(uid: str, encoding: str) -> None:
    dataset = source(uid, PatientName="Müster^Erika", SpecificCharacterSet="ISO_IR 100")
    first, *rest = (bare(uid, frame) for frame in frames_of(dataset))
    text = "MÜSTER".encode(encoding)
    told = first[:-2] + text + first[-2:]
    if is_j2k(uid):
        at = first.index(b"\xff\x90\0\x0a")
        length = int.from_bytes(first[at + 6 : at + 10], "big") + len(text)
        told = told[: at + 6] + length.to_bytes(4, "big") + told[at + 10 :]
    assert "name or an id seems to be in a frame" in reason(put(dataset, encapsulate([told, *rest])), uid)


def test_htj2k_that_says_how_long_its_tiles_are_goes_on_saying_it() -> None:
    dataset = source(HTJ2K)
    first = frames_of(left(dataset, RPCL))[0].rstrip(b"\0")
    at = first.index(b"\xff\x90\0\x0a")
    assert first[at - 12 : at] == segment(0x55, b"\0\x60\0\0" + first[at + 6 : at + 10])
    assert first[: at - 12] + first[at:] == bare(HTJ2K, frames_of(dataset)[0]).rstrip(b"\0")


CODES = b"\3" + bytes([0] * 7 + [len(NAME)] + [0] * 8) + NAME


@pytest.mark.parametrize("body", [(0xDB, b"\3" + NAME.ljust(64, b"A")), (0xC4, CODES), (0xC4, b"\x10" + CODES[1:])])
def test_tables_that_no_scan_reads_go(body: tuple[int, bytes]) -> None:
    assert bare(BASELINE, JPEG[:2] + segment(*body) + JPEG[2:]) == JPEG


@pytest.mark.parametrize(
    ("marker", "body"),
    [(0xCC, NAME), (0xDE, b"\x08\0\x14\0\x1e\4" + NAME), (0xC0, JPEG[JPEG.index(b"\xff\xc0") + 4 :][:9]), (0xDF, b"1")],
)
def test_segments_of_other_processes_and_a_second_frame_hold(marker: int, body: bytes) -> None:
    with pytest.raises(Unclear, match="not in the form"):
        walk_jpeg(JPEG[:2] + segment(marker, body) + JPEG[2:])


def test_only_the_rows_that_the_frame_has_are_told_again() -> None:
    rows = JPEG.index(b"\xff\xc0") + 5
    for told in (JPEG[rows : rows + 2], NAME[:2]):
        again = JPEG[:-2] + segment(0xDC, told) + JPEG[-2:]
        if told == NAME[:2]:
            with pytest.raises(Unclear):
                walk_jpeg(again)
        else:
            assert walk_jpeg(again).cuts == []


def test_many_small_segments_are_one_cut_and_too_many_hold() -> None:
    told = walk_jpeg(JPEG[:2] + b"\xff\xfe\0\2" * 50_000 + JPEG[2:])
    assert told.cuts == [(2, 200_002, b"")]
    main = walk_j2k(at_main(b"", 0x64)[:45] + b"\xff\x64\0\2" * 50_000 + CODESTREAM[45:])
    assert main.cuts == [(45, 200_045, b"")]
    with pytest.raises(Unclear, match="more segments"):
        walk_jpeg(JPEG[:2] + b"\xff\xfe\0\2" * 70_000 + JPEG[2:])


@pytest.mark.parametrize("uid", [EXPLICIT, kit.BIG_ENDIAN, kit.DEFLATED])
@pytest.mark.parametrize("signed", [False, True])
def test_something_in_bits_that_are_not_stored_holds_the_image(uid: str, *, signed: bool) -> None:
    kind = kit.Kind(rows=3, columns=6, allocated=16, stored=8, signed=signed)
    dataset = source(EXPLICIT, kind)
    if uid == kit.BIG_ENDIAN:
        dataset.PixelData = b"".join(dataset.PixelData[at : at + 2][::-1] for at in range(0, 36, 2))
    assert left(dataset, uid).PixelData == dataset.PixelData
    hidden = bytearray(36)
    hidden[0 if uid == kit.BIG_ENDIAN else 1 : 24 : 2] = NAME
    dataset.PixelData = bytes(hidden)
    assert "overlays in unused bits" in reason(dataset, uid)


@pytest.mark.parametrize("uid", kit.LOSSLESS)
def test_something_in_bits_that_are_not_stored_is_found_in_compressed_images(uid: str) -> None:
    dirty = source(uid, kit.Kind(rows=12, columns=16, allocated=16, stored=12, dirty=True))
    assert "overlays in unused bits" in reason(dirty, uid)


@pytest.mark.parametrize("uid", [EXPLICIT, SV1])
@pytest.mark.parametrize("tags", [(1, 1), (1, 1, 2), (2, 2)])
def test_a_table_that_stands_twice_holds_the_image(uid: str, tags: tuple[int, ...]) -> None:
    data = kit.encoded(source(uid), uid)
    at = data.index(b"\xe0\x7f\x10\0")
    tables = b"".join(struct.pack("<HH2sHL", 0x7FE0, tag, b"OV", 0, 24) + NAME * 2 for tag in tags)
    with pytest.raises(NotDeidentified, match="table of its frames more than once"):
        left_of(data[:at] + tables + data[at:], uid)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le", "utf-16-be"])
def test_a_name_in_a_large_value_does_not_leave_in_any_encoding(encoding: str) -> None:
    dataset = source(EXPLICIT)
    text = "Muster".encode(encoding)
    dataset.add_new(0x00660016, "OF", text + bytes((1 << 20) + 12 + -len(text) % 4))
    assert text not in kit.encoded(left(dataset, EXPLICIT), EXPLICIT)


def test_large_values_are_read_in_one_pass() -> None:
    class Counted(Received):
        passed = 0

        def chunks(self) -> Iterator[memoryview]:
            for chunk in super().chunks():
                self.passed += len(chunk)
                yield chunk

    dataset = source(EXPLICIT)
    for number in range(1, 9):
        dataset.add_new(0x00660016 + number, "OF", bytes((1 << 20) + 12))
    image = Counted(EXPLICIT, kit.encoded(dataset, EXPLICIT))
    opened = Opened(image, whole=True)
    image.passed = 0
    read = large_value(opened)
    for number in range(1, 9):
        assert len(read(0x00660016 + number)) == (1 << 20) + 12
    assert image.passed <= 2 * image.length
    assert len(read(0x00660017)) == (1 << 20) + 12


def test_a_frame_needs_its_pixels() -> None:
    for nothing in (b"\xff\xd8\xff\xd9", b"\xff\xd8" + segment(0xFE, NAME) + b"\xff\xd9" + JPEG, b"", b"\xff\xd8"):
        with pytest.raises(Unclear):
            walk_jpeg(nothing)
    with pytest.raises(Unclear):
        walk_j2k(CODESTREAM[:60])


def test_a_comment_within_a_tile_goes_and_its_length_is_put_right() -> None:
    at = tile_at(CODESTREAM)
    told = CODESTREAM[: at + 12] + segment(0x64, b"\0\1" + NAME) + CODESTREAM[at + 12 :]
    length = int.from_bytes(told[at + 6 : at + 10], "big")
    if length:
        told = told[: at + 6] + (length + len(NAME) + 6).to_bytes(4, "big") + told[at + 10 :]
    assert bare(J2K, told) == CODESTREAM
    assert bare(J2K, told[:at] + segment(0x55, bytes(6)) + told[at:]) == CODESTREAM


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


HELD = {"GDCMJ2K_TextGBR.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}
"""Files of which the one is a file within, and the other says that it is as wide as no image is."""


@pytest.mark.peers
def test_files_of_other_programs_lose_nothing_of_their_pixels(tmp_path: Path) -> None:
    walked = 0
    for number, image in enumerate(shipped()):
        uid = image.transfer_syntax_uid
        if uid not in WALKED or image.path.name in HELD:
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
