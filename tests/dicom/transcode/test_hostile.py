"""Bytes of bad will: whatever they say, they are refused or written, quickly and in bounded memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from capacitord.dicom.elements import EXPLICIT_LITTLE, write, write_item
from capacitord.dicom.transcode.codestream import j2k_head, jpeg_head
from capacitord.dicom.transcode.engine import NotTranscoded, transcode
from capacitord.dicom.transcode.failure import NotTranscoded as Refused
from capacitord.model.compression import Compression
from tests.dicom.transcode.decoders import BASELINE, EXPLICIT, HTJ2K, IMPLICIT, J2K, J2K_LOSSY, JPEG_LS, RLE, SV1
from tests.dicom.transcode.kit import DEFLATED, EVERYTHING, NOW, Kind, encoded, image, read, refusal, transcoded
from tests.images import shipped

SMALL = [shipped_image for shipped_image in shipped() if shipped_image.size() < 12_000]
TARGETS = sorted(EVERYTHING)
SYNTAXES = (RLE, SV1, JPEG_LS, J2K, HTJ2K, BASELINE)
EDGE = 48
"""Rows and columns of an image that gets smaller by every compression."""
_COMPRESSED = {
    uid: transcoded(image(Kind(rows=EDGE, columns=EDGE, allocated=8, stored=8)), EXPLICIT, EVERYTHING[uid])[1]
    for uid in SYNTAXES
}
LIMITS = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])


def _survives(data: bytes, uid: str, wanted: Compression) -> None:
    why = refusal(data, uid, wanted)
    assert why is None or str(why).endswith(".")


@LIMITS
@given(st.data())
def test_changed_bytes_of_real_files(data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(SMALL))
    mutated = bytearray(chosen.dataset())
    for at in data.draw(st.lists(st.integers(0, len(mutated) - 1), min_size=1, max_size=6)):
        mutated[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(mutated)), st.integers(0, len(mutated))))
    wanted = EVERYTHING[data.draw(st.sampled_from(TARGETS))]
    _survives(bytes(mutated[:cut]), chosen.transfer_syntax_uid, wanted)


@LIMITS
@given(st.sampled_from(SYNTAXES), st.data())
def test_changed_bytes_of_compressed_frames(uid: str, data: st.DataObject) -> None:
    mutated = bytearray(_COMPRESSED[uid])
    start = mutated.index(b"\xe0\x7f\x10\x00OB")
    for at in data.draw(st.lists(st.integers(start, len(mutated) - 1), min_size=1, max_size=8)):
        mutated[at] = data.draw(st.integers(0, 255))
    _survives(bytes(mutated), uid, EVERYTHING[data.draw(st.sampled_from(TARGETS))])


@LIMITS
@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, DEFLATED, *SYNTAXES]), st.sampled_from(TARGETS))
def test_any_bytes(data: bytes, uid: str, wanted: str) -> None:
    _survives(data, uid, EVERYTHING[wanted])


@LIMITS
@given(
    uid=st.sampled_from([EXPLICIT, *SYNTAXES]),
    wanted=st.sampled_from(TARGETS),
    numbers=st.dictionaries(
        st.sampled_from(["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"]),
        st.one_of(st.sampled_from([0, 1, 3, 7, 8, 12, 16, 17, 32, 64, 255, 65535]), st.integers(0, 65535)),
    ),
    frames=st.sampled_from(["1", "2", "0", "-1", "1000000", "99999999999", "x", ""]),
    photometric=st.sampled_from(
        ["MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "PALETTE COLOR", "CMYK", ""]
    ),
    signed=st.integers(0, 2),
    planar=st.integers(0, 2),
)
def test_attributes_that_lie(
    *, uid: str, wanted: str, numbers: dict[str, int], frames: str, photometric: str, signed: int, planar: int
) -> None:
    source = _COMPRESSED.get(uid) or image(Kind(rows=EDGE, columns=EDGE, allocated=8, stored=8))
    tags = {"SamplesPerPixel": 0x00280002, "Rows": 0x00280010, "Columns": 0x00280011}
    tags |= {"BitsAllocated": 0x00280100, "BitsStored": 0x00280101, "HighBit": 0x00280102}
    said = {"Rows": EDGE, "Columns": EDGE, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 1}
    values = {tags[name]: ("US", struct.pack("<H", number)) for name, number in (said | numbers).items()}
    values[0x00280103] = ("US", struct.pack("<H", signed))
    values[0x00280006] = ("US", struct.pack("<H", planar))
    values[0x00280008] = ("IS", frames.encode() + b" " * (len(frames) % 2))
    values[0x00280004] = ("CS", photometric.encode() + b" " * (len(photometric) % 2))
    head = b"".join(write(tag, vr, value, EXPLICIT_LITTLE) for tag, (vr, value) in sorted(values.items()))
    _survives(head + source[source.index(b"\xe0\x7f\x10\x00O") :], uid, EVERYTHING[wanted])


@given(st.binary(max_size=120))
def test_any_bytes_as_the_head_of_a_frame(data: bytes) -> None:
    for begin, head in ((b"\xff\xd8", jpeg_head), (b"\xff\x4f\xff\x51", j2k_head)):
        try:
            found = head(begin + data)
        except Refused:
            continue
        assert found.rows >= 0


def _said(**attributes: object) -> bytes:
    """Return an image in JPEG 2000 with attributes that its one small frame does not bear out."""
    ds = read(_COMPRESSED[J2K])
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return encoded(ds)


def _lying_frame() -> bytes:
    """Return an image of 65535 by 65535 whose JPEG 2000 frame says so, too, and has nothing in it."""
    data = bytearray(_said(Rows=16000, Columns=16000))
    at = data.index(b"\xff\x4f\xff\x51")
    for place in (8, 12, 24, 28):
        data[at + place : at + place + 4] = struct.pack(">L", 16000)
    return bytes(data)


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    out = bytearray()
    for _ in range(280):
        out += squeeze.compress(bytes(1 << 20))
    return bytes(out + squeeze.flush())


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = write(0x00081140, "SQ", write_item(data, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    return data


@pytest.mark.parametrize(
    ("name", "uid", "wanted"),
    [
        ("size", J2K, EXPLICIT),
        ("frames", J2K, EXPLICIT),
        ("frame", J2K, RLE),
        ("native size", EXPLICIT, JPEG_LS),
        ("bomb", DEFLATED, EXPLICIT),
        ("nested", EXPLICIT, IMPLICIT),
    ],
)
def test_what_claims_to_be_huge_is_refused_before_memory_is_taken(name: str, uid: str, wanted: str) -> None:
    claims: dict[str, Callable[[], bytes]] = {
        "size": lambda: _said(Rows=65535, Columns=65535),
        "frames": lambda: _said(NumberOfFrames=1_000_000),
        "frame": _lying_frame,
        "native size": lambda: image(Kind(rows=16, columns=16), Rows=60000, Columns=60000),
        "bomb": _bomb,
        "nested": lambda: _nested(3000),
    }
    data = claims[name]()
    tracemalloc.start()
    try:
        with pytest.raises(NotTranscoded):
            transcode(data, uid, Compression(wanted), now=NOW)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < (700 << 20 if name == "bomb" else 100 << 20)


def test_no_message_has_anything_of_the_dataset_in_it() -> None:
    refused = 0
    for chosen in SMALL:
        ds = read(chosen.dataset(), chosen.transfer_syntax_uid) if chosen.transfer_syntax_uid != DEFLATED else Dataset()
        for wanted in EVERYTHING.values():
            why = refusal(chosen.dataset(), chosen.transfer_syntax_uid, wanted)
            if why is not None:
                refused += 1
                assert why.__cause__ is None
                assert why.__suppress_context__ or why.__context__ is None
                for keyword in ("PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "SOPInstanceUID"):
                    assert not ds.get(keyword) or str(ds[keyword].value) not in str(why)
    assert refused > 100


def test_a_lossless_image_that_says_too_little_is_not_derived_from() -> None:
    ds = read(image(Kind()))
    del ds.SOPInstanceUID
    with pytest.raises(NotTranscoded, match="SOP class and instance"):
        transcode(encoded(ds), EXPLICIT, Compression(J2K_LOSSY, ratio=10.0), now=NOW)


def test_a_jpeg_ls_frame_without_an_end_is_not_read_for_ever() -> None:
    data = _COMPRESSED[JPEG_LS]
    at = data.rindex(b"\xff\xd9")
    with pytest.raises(NotTranscoded, match="no end"):
        transcode(data[:at] + b"\0\0" + data[at + 2 :], JPEG_LS, Compression(EXPLICIT), now=NOW)
