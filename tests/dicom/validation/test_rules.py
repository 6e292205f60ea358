"""What is wrong with an image is found while it passes, whole or in crumbs; what devices in the field do is let go."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from capacitord.dicom.header import HeaderReader, parse_facts
from capacitord.dicom.intake import Announced
from capacitord.dicom.validation.classes import IMAGES
from capacitord.dicom.validation.rules import is_like_a_uid, is_uid
from capacitord.model.findings import RULES, Fault, Finding, Severity, parse, sentence, severity, why_invalid
from capacitord.model.image import Arrival
from tests.fuzz.strategies import cuts, pieces
from tests.images import CT_STORAGE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Image, shipped

UID = "1.2.3.4.5"
ARRIVAL = Arrival("SCANNER", "FLUXBOX", "10.0.0.7", 0)
JPEG, LOSSLESS, JPEG_LS, J2K, HTJ2K, RLE, VIDEO = (
    f"1.2.840.10008.1.2.{rest}" for rest in ("4.50", "4.70", "4.80", "4.90", "4.201", "5", "4.102")
)
PRIVATE = "1.3.46.670589.99.1"
PALETTE = "1.2.840.10008.5.1.4.39.1"
JPIP = "1.2.840.10008.1.2.4.94"
STORAGE = "1.2.840.10008.5.1.4.1.1."


def announced(syntax: str = EXPLICIT_LITTLE, sop_class: str = CT_STORAGE) -> Announced:
    return Announced(sop_class, UID, syntax, ARRIVAL)


def image(**changed: object) -> Dataset:
    """Return an image with nothing wrong, but for these attributes; None takes one out."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_STORAGE, UID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Sample^Anna", "COACH-1"
    dataset.Rows, dataset.Columns = 4, 6
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = bytes(48)
    for name, value in changed.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def encoded(dataset: Dataset, syntax: str = EXPLICIT_LITTLE) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != EXPLICIT_BIG, syntax == IMPLICIT_LITTLE
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if dataset["PixelData"].is_undefined_length else "OW"
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def compressed(*frames: bytes, table: bool = True, **changed: object) -> Dataset:
    dataset = image(**changed)
    dataset.PixelData = encapsulate(list(frames), has_bot=table)
    dataset["PixelData"].is_undefined_length = True
    return dataset


def behind_an_empty_one(*fragments: bytes) -> Dataset:
    dataset = image(**EIGHT)
    table_and_first = EMPTY_ITEM * 2
    dataset.PixelData = table_and_first + b"".join(
        encapsulate([each], has_bot=False)[len(EMPTY_ITEM) :] for each in fragments
    )
    dataset["PixelData"].is_undefined_length = True
    return dataset


def found(dataset: Dataset | bytes, syntax: str = EXPLICIT_LITTLE, sop_class: str = CT_STORAGE) -> list[str]:
    data = dataset if isinstance(dataset, bytes) else encoded(dataset, syntax)
    return [line.split("|")[0] for line in parse_facts(data, announced(syntax, sop_class)).findings]


def jpeg(process: int = 0xC0, *, rows: int = 4, columns: int = 6, samples: int = 1, bits: int = 8) -> bytes:
    head = struct.pack(">2sBBH", b"\xff\xd8", 0xFF, 0xE0, 4) + b"ab"
    return head + struct.pack(">BBHBHHB", 0xFF, process, 11, bits, rows, columns, samples) + b"\1\x11\0" + bytes(20)


def j2k(*, rows: int = 4, columns: int = 6, samples: int = 1, bits: int = 12, high_throughput: bool = False) -> bytes:
    capabilities = 0x4000 if high_throughput else 0
    size = struct.pack(">HH8LH", 38 + 3 * samples, capabilities, columns, rows, 0, 0, 8, 8, 0, 0, samples)
    return b"\xff\x4f\xff\x51" + size + bytes((bits - 1, 1, 1)) * samples + bytes(20)


RLE_FRAME = struct.pack("<3L", 2, 64, 74) + bytes(52 + 20)
JUNK = bytes(range(1, 200))
EMPTY_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
SEVERAL = b"\xff\xd8\xff\xe1" + struct.pack(">H", 9000) + bytes(5000)
"""A JPEG that begins with more of a camera's own than is looked at."""
EIGHT: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
TWO: dict[str, Any] = {"NumberOfFrames": 2}
THREE: dict[str, Any] = {"SamplesPerPixel": 3}
BITS = ["bits-contradict"]

CASES: dict[str, tuple[Callable[[], Dataset], str, list[str]]] = {
    "nothing": (image, EXPLICIT_LITTLE, []),
    "nothing, implicit": (image, IMPLICIT_LITTLE, []),
    "nothing, big endian": (image, EXPLICIT_BIG, []),
    "no pixels at all": (lambda: image(PixelData=None), EXPLICIT_LITTLE, ["image-without-pixels"]),
    "no pixels, and none described": (
        lambda: image(PixelData=None, Rows=None, Columns=None),
        J2K,
        ["image-without-pixels"],
    ),
    "pixels that are elsewhere": (lambda: image(PixelData=None, PixelDataProviderURL="http://a/b"), JPIP, []),
    "pixels that are nowhere": (lambda: image(PixelData=None), JPIP, ["image-without-pixels"]),
    "no pixels in a private syntax": (lambda: image(PixelData=None), "1.3.99.1", []),
    "pixels of floating point": (
        lambda: image(PixelData=None, FloatPixelData=bytes(96), BitsAllocated=32, BitsStored=None, HighBit=None),
        EXPLICIT_LITTLE,
        [],
    ),
    "more bits stored than there are": (lambda: image(BitsStored=17, HighBit=15), EXPLICIT_LITTLE, BITS),
    "more bits stored than there are, compressed": (
        lambda: compressed(j2k(), BitsStored=17, HighBit=15),
        J2K,
        [*BITS, "other-bits"],
    ),
    "a highest bit outside": (lambda: image(HighBit=16), EXPLICIT_LITTLE, ["high-bit-outside"]),
    "a highest bit elsewhere": (lambda: image(HighBit=15), EXPLICIT_LITTLE, ["high-bit-odd"]),
    "all bits": (lambda: image(BitsStored=16, HighBit=15), EXPLICIT_LITTLE, []),
    "grey of three samples": (lambda: image(**EIGHT, **THREE), EXPLICIT_LITTLE, ["samples-contradict", "pixels-short"]),
    "colour of one sample": (
        lambda: image(PhotometricInterpretation="RGB"),
        EXPLICIT_LITTLE,
        ["samples-contradict"],
    ),
    "a palette of three samples": (
        lambda: compressed(j2k(samples=3), **THREE, PhotometricInterpretation="PALETTE COLOR"),
        J2K,
        ["samples-contradict"],
    ),
    "colour": (lambda: compressed(j2k(samples=3), **THREE, PhotometricInterpretation="YBR_RCT"), J2K, []),
    "an interpretation of its own": (lambda: image(PhotometricInterpretation="ACME"), EXPLICIT_LITTLE, []),
    "a pad byte": (lambda: image(**EIGHT, Rows=3, Columns=3, PixelData=bytes(10)), EXPLICIT_LITTLE, []),
    "bits that share bytes": (
        lambda: image(BitsAllocated=1, BitsStored=1, HighBit=0, Rows=3, Columns=3, **TWO, PixelData=bytes(4)),
        EXPLICIT_LITTLE,
        [],
    ),
    "halved colour": (
        lambda: image(**EIGHT, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422"),
        EXPLICIT_LITTLE,
        [],
    ),
    "two short": (lambda: image(PixelData=bytes(46)), EXPLICIT_LITTLE, ["pixels-short"]),
    "a frame short": (lambda: image(**TWO), EXPLICIT_LITTLE, ["pixels-short"]),
    "long": (lambda: image(PixelData=bytes(60)), EXPLICIT_LITTLE, ["pixels-long"]),
    "no rows": (lambda: image(Rows=None), EXPLICIT_LITTLE, ["without-size"]),
    "no columns": (lambda: image(Columns=0), EXPLICIT_LITTLE, ["without-size"]),
    "no size at all": (
        lambda: image(Rows=None, Columns=None, BitsAllocated=None),
        IMPLICIT_LITTLE,
        ["without-size"] * 3,
    ),
    "no rows, compressed": (lambda: compressed(j2k(), Rows=None), J2K, ["without-size"]),
    "no rows and cut short": (lambda: image(Rows=None, PixelData=bytes(2)), EXPLICIT_LITTLE, ["without-size"]),
    "no study": (lambda: image(StudyInstanceUID=None), EXPLICIT_LITTLE, ["no-uid"]),
    "an empty series": (lambda: image(SeriesInstanceUID=""), EXPLICIT_LITTLE, ["no-uid"]),
    "a zero in a UID": (lambda: image(StudyInstanceUID="1.02.3"), EXPLICIT_LITTLE, ["odd-uid"]),
    "a patient without a name or an id": (
        lambda: image(PatientName="", PatientID=""),
        EXPLICIT_LITTLE,
        ["names-no-patient"],
    ),
    "a name of separators": (lambda: image(PatientName="^^", PatientID=""), EXPLICIT_LITTLE, ["names-no-patient"]),
    "an empty name": (lambda: image(PatientName=""), EXPLICIT_LITTLE, []),
    "an empty id": (lambda: image(PatientID=""), EXPLICIT_LITTLE, []),
    "an empty name and no id": (lambda: image(PatientName="", PatientID=None), EXPLICIT_LITTLE, ["absent"]),
    "no modality": (lambda: image(Modality=None), EXPLICIT_LITTLE, ["absent"]),
    "an empty modality": (lambda: image(Modality=""), EXPLICIT_LITTLE, ["absent"]),
    "no patient": (lambda: image(PatientName=None, PatientID=None), EXPLICIT_LITTLE, ["absent", "absent"]),
    "compressed in a native syntax": (lambda: compressed(jpeg()), EXPLICIT_LITTLE, ["compressed"]),
    "native in a compressed syntax": (image, JPEG, ["not-compressed"]),
    "JPEG": (lambda: compressed(jpeg(), **EIGHT), JPEG, []),
    "JPEG of two frames": (lambda: compressed(jpeg(), jpeg(), **EIGHT, **TWO), JPEG, []),
    "a frame too few": (lambda: compressed(jpeg(), table=False, **EIGHT, **TWO), JPEG, ["frames-missing"]),
    "a table too short": (lambda: compressed(jpeg(), jpeg(), **EIGHT), JPEG, ["offsets"]),
    "too many fragments of RLE": (
        lambda: compressed(RLE_FRAME, RLE_FRAME, table=False),
        RLE,
        ["fragments-many"],
    ),
    "RLE": (lambda: compressed(RLE_FRAME), RLE, []),
    "JPEG-LS": (lambda: compressed(jpeg(0xF7, bits=12)), JPEG_LS, []),
    "JPEG 2000": (lambda: compressed(j2k()), J2K, []),
    "HTJ2K": (lambda: compressed(j2k(high_throughput=True)), HTJ2K, []),
    "JPEG-LS called JPEG": (lambda: compressed(jpeg(0xF7, bits=12)), LOSSLESS, ["other-codec"]),
    "JPEG called JPEG 2000": (lambda: compressed(jpeg(0xC3, bits=12)), J2K, ["other-codec"]),
    "nothing known": (lambda: compressed(bytes(100)), J2K, ["other-codec"]),
    "baseline called lossless": (lambda: compressed(jpeg(), **EIGHT), LOSSLESS, ["wrong-process"]),
    "lossless called baseline": (lambda: compressed(jpeg(0xC3), **EIGHT), JPEG, ["wrong-process"]),
    "progressive called baseline": (lambda: compressed(jpeg(0xC2), **EIGHT), JPEG, ["wrong-process"]),
    "extended called baseline": (lambda: compressed(jpeg(0xC1), **EIGHT), JPEG, ["other-process"]),
    "extended of twelve bits called baseline": (lambda: compressed(jpeg(0xC1, bits=12)), JPEG, ["wrong-process"]),
    "baseline called extended": (lambda: compressed(jpeg(), **EIGHT), "1.2.840.10008.1.2.4.51", []),
    "junk called JPEG": (lambda: compressed(JUNK, **EIGHT), JPEG, ["other-codec"]),
    "a few bytes of junk": (lambda: compressed(JUNK[:4], **EIGHT), JPEG, ["other-codec"]),
    "junk in two fragments": (lambda: compressed(JUNK[:4], JUNK, table=False, **EIGHT), JPEG, ["other-codec"]),
    "junk behind the first marker": (lambda: compressed(b"\xff\xd8" + JUNK, **EIGHT), JPEG, ["other-codec"]),
    "a scan without a frame": (
        lambda: compressed(b"\xff\xd8\xff\xda\0\x08" + bytes(90), **EIGHT),
        JPEG,
        ["other-codec"],
    ),
    "JPEG that ends before its frame": (lambda: compressed(jpeg()[:12], **EIGHT), JPEG, ["other-codec"]),
    "a frame without columns": (lambda: compressed(jpeg(columns=0), **EIGHT), JPEG, ["other-codec"]),
    "JPEG whose frame is far behind": (lambda: compressed(SEVERAL, **EIGHT), JPEG, []),
    "JPEG 2000 that ends in its header": (lambda: compressed(j2k()[:30]), J2K, ["other-codec"]),
    "junk behind the first marker of JPEG 2000": (lambda: compressed(j2k()[:4] + JUNK), J2K, ["other-codec"]),
    "JPEG without a frame called JPEG 2000": (lambda: compressed(SEVERAL), J2K, ["other-codec"]),
    "segments of RLE out of order": (
        lambda: compressed(struct.pack("<4L", 3, 64, 90, 74) + bytes(48 + 40)),
        RLE,
        ["other-codec"],
    ),
    "a header of RLE that is cut": (lambda: compressed(RLE_FRAME[:40]), RLE, ["other-codec"]),
    "an empty fragment first": (lambda: behind_an_empty_one(jpeg()), JPEG, []),
    "an empty fragment, and junk": (lambda: behind_an_empty_one(JUNK), JPEG, ["other-codec"]),
    "nothing but empty fragments": (behind_an_empty_one, JPEG, ["frames-missing"]),
    "HTJ2K called JPEG 2000": (lambda: compressed(j2k(high_throughput=True)), J2K, ["wrong-process"]),
    "other rows": (lambda: compressed(j2k(rows=5)), J2K, ["other-size"]),
    "a height that comes later": (lambda: compressed(jpeg(rows=0), **EIGHT), JPEG, []),
    "other samples": (lambda: compressed(j2k(samples=3)), J2K, ["other-samples"]),
    "more bits than are said": (lambda: compressed(j2k(bits=16)), J2K, []),
    "fewer bits than are said": (lambda: compressed(j2k(bits=8)), J2K, ["other-bits"]),
    "a first fragment that tells nothing": (
        lambda: compressed(j2k()[:2], j2k()[2:], table=False),
        J2K,
        [],
    ),
    "video": (lambda: compressed(bytes(100), table=False, NumberOfFrames=50), VIDEO, []),
    "a private syntax": (lambda: image(PixelData=bytes(2), Rows=None), "1.3.99.1", []),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("what", CASES)
def test_what_is_found(what: str) -> None:
    make, syntax, lines = CASES[what]
    assert found(make(), syntax) == lines


def test_what_is_cut_off_is_found() -> None:
    whole = encoded(image())
    assert found(whole[:-1]) == [], "a pad byte that is missing hurts nobody"
    assert found(whole[:-2]) == ["cut-off"]
    assert found(whole[:-103]) == ["cut-off"]
    fragments = encoded(compressed(j2k()))
    assert found(fragments[:-8], J2K) == ["cut-off"]
    assert found(fragments[:-20], J2K) == ["cut-off"]
    assert found(fragments[:-8] + bytes(8), J2K) == ["fragments-broken"]


def test_what_cannot_be_read_behind_the_header_is_a_warning() -> None:
    data = encoded(image())
    place = data.index(b"\xe0\x7f\x10\x00")
    odd = data[:place] + b"\x88\x00\x40\x01ZZ\1\0" + data[place:]
    assert found(odd) == ["odd-behind-header"]


def test_a_private_kind_of_image_may_describe_its_pixels_as_it_likes() -> None:
    private = image(SOPClassUID="1.3.99.2", Rows=None)
    lines = parse_facts(encoded(private), announced(sop_class="1.3.99.2")).findings
    assert [(line.split("|")[0], severity(line)) for line in lines] == [("undescribed", Severity.WARNING)]


def test_what_belongs_to_no_patient_needs_no_study() -> None:
    palette = image(SOPClassUID=PALETTE, StudyInstanceUID=None, SeriesInstanceUID=None, PatientName=None, Modality=None)
    assert found(palette, sop_class=PALETTE) == []


@pytest.mark.parametrize("keyword", ["Modality", "PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_image_that_does_not_say_of_whom_it_is_is_held(keyword: str) -> None:
    facts = parse_facts(encoded(image(**{keyword: None})), announced())
    assert why_invalid(facts.findings).startswith("it has no ")


@pytest.mark.parametrize(
    ("make", "syntax", "lines"),
    [
        (lambda: image(SOPClassUID=PRIVATE, PixelData=bytes(2)), EXPLICIT_LITTLE, []),
        (lambda: image(SOPClassUID=PRIVATE, BitsStored=17, **THREE), EXPLICIT_LITTLE, []),
        (lambda: compressed(bytes(100), SOPClassUID=PRIVATE, **TWO), J2K, []),
        (lambda: image(SOPClassUID=PRIVATE, StudyInstanceUID=None), EXPLICIT_LITTLE, ["no-uid"]),
    ],
)
def test_the_pixels_of_a_private_class_are_its_own_affair(
    make: Callable[[], Dataset], syntax: str, lines: list[str]
) -> None:
    assert found(make(), syntax, sop_class=PRIVATE) == lines
    assert found(encoded(make(), syntax)[:-10], syntax, sop_class=PRIVATE) == [*lines, "cut-off"]


@pytest.mark.parametrize(
    ("number", "lines"),
    [
        *((number, ["image-without-pixels"]) for number in ("1.1", "1.2.1", "4", "6.1", "7", "20", "77.1.4", "128")),
        # Waveforms, raw data, reports, documents and radiotherapy; and spectra, which may say that they have pixels.
        *((number, []) for number in ("9.1.1", "66", "88.33", "88.59", "11.1", "104.1", "481.2", "481.3", "481.5")),
        ("4.2", []),
    ],
)
def test_only_images_must_have_pixels(number: str, lines: list[str]) -> None:
    sop_class = STORAGE + number
    bare = image(SOPClassUID=sop_class, PixelData=None, Rows=None, Columns=None, BitsAllocated=None)
    assert found(bare, sop_class=sop_class) == lines


def test_what_need_not_be_an_image_and_describes_one_is_a_warning() -> None:
    dose = image(SOPClassUID=STORAGE + "481.2", PixelData=None)
    lines = parse_facts(encoded(dose), announced(sop_class=STORAGE + "481.2")).findings
    assert [(line, severity(line)) for line in lines] == [("no-pixels", Severity.WARNING)]


def test_each_class_that_must_have_pixels_is_one_of_images_that_is_in_use() -> None:
    kinds = [UID_dictionary[uid] for uid in sorted(IMAGES)]
    assert all(kind[1] == "SOP Class" and not kind[3] for kind in kinds)
    assert sorted(kind[0] for kind in kinds if "Image Storage" not in kind[0]) == [
        "Enhanced US Volume Storage",
        "Ophthalmic Thickness Map Storage",
        "Parametric Map Storage",
        "Segmentation Storage",
    ]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@given(st.sampled_from(sorted(CASES)), cuts)
def test_pieces_of_any_size_give_the_same_findings(what: str, where: list[int]) -> None:
    make, syntax, lines = CASES[what]
    data = encoded(make(), syntax)
    reader = HeaderReader(announced(syntax))
    for piece in pieces(data, where):
        reader.feed(memoryview(piece))
    assert [line.split("|")[0] for line in reader.facts(len(data)).findings] == lines


HELD = {
    "ExplVR_BigEnd.dcm": "absent",
    "GDCMJ2K_TextGBR.dcm": "absent",
    "SC_jpeg_no_color_transform.dcm": "absent",
    "SC_jpeg_no_color_transform_2.dcm": "absent",
    "SC_rgb_jpeg_app14_dcmd.dcm": "absent",
    "JPEG2000-embedded-sequence-delimiter.dcm": "other-size",
    "JPEGLSNearLossless_08.dcm": "no-uid",
    "JPEGLSNearLossless_16.dcm": "no-uid",
    "MR_truncated.dcm": "cut-off",
    "SC_rgb_jls_lossy_line.dcm": "no-uid",
    "SC_rgb_jls_lossy_sample.dcm": "no-uid",
    "rtplan_truncated.dcm": "cut-off",
}
"""Of all the files that pydicom ships, those that are broken on purpose, and those that belong to nobody."""


@pytest.mark.parametrize("shipped_image", shipped(), ids=lambda image: image.path.name)
def test_of_real_files_only_those_are_held_that_are_broken(shipped_image: Image) -> None:
    request = Announced(
        shipped_image.sop_class_uid, shipped_image.sop_instance_uid, shipped_image.transfer_syntax_uid, ARRIVAL
    )
    lines = parse_facts(shipped_image.dataset(), request).findings
    errors = {line.split("|")[0] for line in lines if severity(line) is Severity.ERROR}
    dataset = pydicom.dcmread(shipped_image.path)
    bare = "Image Storage" in UID_dictionary[shipped_image.sop_class_uid][0] and "PixelData" not in dataset
    assert ("image-without-pixels" in errors) is bare
    errors.discard("image-without-pixels")
    if (name := shipped_image.path.name) in HELD:
        assert HELD[name] in errors
        # Who belongs to no study often belongs to no patient either, and the wrong size is that of a wrong codec.
        assert errors <= {HELD[name], "absent", "wrong-process"}
    else:
        assert errors == set()


def test_all_files_that_are_to_be_held_were_looked_at() -> None:
    assert set(HELD) <= {image.path.name for image in shipped()}
    assert len(shipped()) > 100
    assert Path(pydicom.__file__).exists()


@pytest.mark.parametrize("fault", list(Fault))
def test_a_finding_is_kept_as_a_line_and_comes_back_as_a_sentence(fault: Fault) -> None:
    details = tuple(f"d{n}" for n in range(RULES[fault].sentence.count("{}")))
    finding = Finding(fault, details)
    assert parse(str(finding)) == finding
    assert all(detail in sentence(str(finding)) for detail in details)
    assert bool(why_invalid([str(finding)])) is (finding.severity is Severity.ERROR)


@pytest.mark.parametrize("line", ["", "something-new", "pixels-short", "pixels-short|1|2|3", "cut-off|a|b"])
def test_a_finding_of_another_version_holds_the_image(line: str) -> None:
    assert severity(line) is Severity.ERROR
    assert "another version" in why_invalid([line])


@pytest.mark.parametrize(
    ("text", "strict", "like"),
    [
        ("1.2.840.0", True, True),
        ("1.2.3" + ".4" * 28 + ".55", True, True),
        ("1.02", False, True),
        ("1..2", False, True),
        ("1.2.", False, True),
        ("1" * 65, False, False),
        (".1", False, False),
        ("1.2.x", False, False),
        ("", False, False),
        ("1.٣", False, False),
    ],
)
def test_uids(text: str, strict: bool, like: bool) -> None:
    assert (is_uid(text), is_like_a_uid(text)) == (strict, like)
