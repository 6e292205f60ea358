"""What the catalog is told of an image is what pydicom reads of it; garbage is refused, quickly and by name."""

from __future__ import annotations

import struct
import time
import warnings
import zlib

import pydicom
import pydicom.config
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from capacitord.dicom import walker
from capacitord.dicom.header import HeaderReader, parse_facts
from capacitord.dicom.intake import Announced
from capacitord.dicom.walker import DatasetWalker, HeaderError
from capacitord.model.findings import why_invalid
from capacitord.model.image import Arrival, Facts
from tests.dicom.samples import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, dataset, element
from tests.fuzz.strategies import cuts, pieces
from tests.images import Image, shipped

UID = "1.2.3.4.5"
ARRIVAL = Arrival("SCANNER", "CAPACITOR", "10.0.0.7", 0)
SYNTAXES = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
TEXTS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_id": "StudyID",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "study_description": "StudyDescription",
    "referring_physician": "ReferringPhysicianName",
    "institution": "InstitutionName",
    "station": "StationName",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "series_description": "SeriesDescription",
}
NUMBERS = {"series_number": "SeriesNumber", "instance_number": "InstanceNumber", "number_of_frames": "NumberOfFrames"}
NUMBERS["images_in_acquisition"] = "ImagesInAcquisition"


def announced(syntax: str = EXPLICIT, sop_class: str = CT, sop_instance: str = UID) -> Announced:
    return Announced(sop_class, sop_instance, syntax, ARRIVAL)


def encoded(syntax: str, **kwargs: str) -> bytes:
    if syntax != DEFLATED:
        return dataset(CT, UID, syntax=syntax, **kwargs)  # type: ignore[arg-type]
    return deflated(dataset(CT, UID, **kwargs))  # type: ignore[arg-type]


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def read(image: Image) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(image.path, stop_before_pixels=True)


def text(ds: Dataset, keyword: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = ds.get(keyword)
    return "" if value is None else str(value).strip()


def number(ds: Dataset, keyword: str) -> int | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return int(ds.get(keyword))
        except (ValueError, TypeError):
            return None


def whole(image: Image) -> bool:
    ds = read(image)
    return all(text(ds, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID"))


WHOLE = [image for image in shipped() if whole(image)]
PARTIAL = [image for image in shipped() if not whole(image)]


@pytest.mark.parametrize("image", WHOLE, ids=lambda image: image.path.name)
def test_shipped_files_are_read_as_pydicom_reads_them(image: Image) -> None:
    ds = read(image)
    facts = parse_facts(
        image.dataset(), announced(image.transfer_syntax_uid, image.sop_class_uid, image.sop_instance_uid)
    )
    assert facts == Facts(
        image.sop_class_uid,
        image.sop_instance_uid,
        image.transfer_syntax_uid,
        text(ds, "StudyInstanceUID"),
        text(ds, "SeriesInstanceUID"),
        **{field: text(ds, keyword) for field, keyword in TEXTS.items()},  # type: ignore[arg-type]
        **{field: number(ds, keyword) for field, keyword in NUMBERS.items()},  # type: ignore[arg-type]
        findings=facts.findings,
    )


@pytest.mark.parametrize("image", PARTIAL, ids=lambda image: image.path.name)
def test_shipped_files_of_no_study_are_studies_of_their_own(image: Image) -> None:
    request = announced(image.transfer_syntax_uid, image.sop_class_uid, image.sop_instance_uid)
    facts = parse_facts(image.dataset(), request)
    ds = read(image)
    assert facts.study_uid == (text(ds, "StudyInstanceUID") or image.sop_instance_uid)
    assert image.sop_instance_uid in {facts.study_uid, facts.series_uid}


def test_there_are_shipped_files_of_both_kinds_and_of_every_encoding() -> None:
    assert len(WHOLE) > 30
    assert PARTIAL
    assert {EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED} <= {image.transfer_syntax_uid for image in WHOLE}


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(where=cuts)
def test_pieces_of_any_size_give_the_same(syntax: str, where: list[int]) -> None:
    data = encoded(syntax)
    reader = HeaderReader(announced(syntax))
    for piece in pieces(data, where):
        reader.feed(memoryview(piece))
    assert reader.facts(len(data)) == parse_facts(data, announced(syntax))


@pytest.mark.parametrize("image", WHOLE, ids=lambda image: image.path.name)
def test_shipped_files_in_crumbs(image: Image) -> None:
    request = announced(image.transfer_syntax_uid, image.sop_class_uid, image.sop_instance_uid)
    data = memoryview(image.dataset())
    reader = HeaderReader(request)
    for start in range(0, len(data), 7):
        if reader.feed(data[start : start + 7]):
            break
    assert reader.facts(len(data)) == parse_facts(data, request)


@given(st.binary(max_size=500), st.sampled_from([*SYNTAXES, "1.3.99.private"]))
def test_garbage_is_taken_for_what_the_request_says_and_found_to_be_garbage(data: bytes, syntax: str) -> None:
    if not data:
        with pytest.raises(HeaderError):
            parse_facts(data, announced(syntax))
        return
    facts = parse_facts(data, announced(syntax))
    assert (facts.sop_class_uid, facts.sop_instance_uid, facts.study_uid) == (CT, UID, UID)
    assert why_invalid(facts.findings)


@given(st.sampled_from(SYNTAXES), st.data())
def test_a_flipped_byte_gives_facts_of_the_same_image(syntax: str, data: st.DataObject) -> None:
    damaged = bytearray(encoded(syntax))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    facts = parse_facts(damaged, announced(syntax))
    assert (facts.sop_class_uid, facts.sop_instance_uid) == (CT, UID)


# Sequences of every kind, each of which would be misread as an element of the dataset itself by a walker that
# does not know where they end. The decoy inside is a patient id.

DECOY = 0x00100020


def item(content: bytes, syntax: str, *, defined: bool) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    if defined:
        return struct.pack(f"{order}HHL", 0xFFFE, 0xE000, len(content)) + content
    return (
        struct.pack(f"{order}HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + struct.pack(f"{order}HHL", 0xFFFE, 0xE00D, 0)
    )


def sequence(tag: int, items: list[bytes], syntax: str, *, defined: bool, vr: str = "SQ") -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    content = b"".join(items)
    if defined:
        return element(tag, vr, content, syntax=syntax)
    end = struct.pack(f"{order}HHL", 0xFFFE, 0xE0DD, 0)
    return element(tag, vr, content, syntax=syntax, length=0xFFFFFFFF) + end


@st.composite
def sequences(draw: st.DrawFn, syntax: str, depth: int = 0) -> bytes:
    inside = element(DECOY, "LO", b"DECOY", syntax=syntax)
    items = []
    for _ in range(draw(st.integers(0, 2))):
        nested = draw(sequences(syntax, depth + 1)) if depth < 3 and draw(st.booleans()) else b""
        items.append(item(inside + nested, syntax, defined=draw(st.booleans())))
    return sequence(0x00081140, items, syntax, defined=draw(st.booleans()))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@given(data=st.data())
def test_nothing_inside_a_sequence_counts(syntax: str, data: st.DataObject) -> None:
    before = dataset(CT, UID, syntax=syntax, pixels=0)
    place = before.index(element(0x00100010, "PN", b"Sample^Anna", syntax=syntax))
    whole = before[:place] + data.draw(sequences(syntax)) + before[place:]
    where = data.draw(cuts)
    reader = HeaderReader(announced(syntax))
    for piece in pieces(whole, where):
        reader.feed(piece)
    facts = reader.facts()
    assert (facts.patient_id, facts.patient_name, facts.study_uid) == ("COACH-1", "Sample^Anna", "1.2.3")


def test_an_unknown_element_of_undefined_length_is_implicit_inside() -> None:
    inside = element(DECOY, "LO", b"DECOY", syntax=IMPLICIT)
    unknown = sequence(0x00091001, [item(inside, IMPLICIT, defined=False)], EXPLICIT, defined=False, vr="UN")
    before = dataset(CT, UID, pixels=0)
    place = before.index(element(0x00100010, "PN", b"Sample^Anna"))
    assert parse_facts(before[:place] + unknown + before[place:], announced()).patient_id == "COACH-1"


def test_sequences_nested_without_end_are_not_followed() -> None:
    opening = element(0x00081140, "SQ", b"", length=0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    assert "nested too deeply" in why_invalid(parse_facts(opening * 1000, announced()).findings)


def test_the_study_may_come_after_megabytes_of_references() -> None:
    reference = item(element(0x00081155, "UI", UID.encode()), EXPLICIT, defined=False)
    references = sequence(0x00081115, [reference] * 50000, EXPLICIT, defined=False)
    before = dataset(CT, UID, pixels=0)
    place = before.index(element(0x00100010, "PN", b"Sample^Anna"))
    data = memoryview(before[:place] + references + before[place:])
    assert len(data) > 1 << 20
    reader = HeaderReader(announced())
    for start in range(0, len(data), 131056):
        reader.feed(data[start : start + 131056])
    assert reader.facts().study_uid == "1.2.3"


def test_a_deflated_bomb_is_given_up_in_bounded_time_and_memory() -> None:
    bomb = deflated(element(0x00080008, "UN", bytes(walker.LONGEST_INFLATED + 1000)))
    start = time.monotonic()
    assert "beyond bounds" in why_invalid(parse_facts(bomb, announced(DEFLATED)).findings)
    assert time.monotonic() - start < 5


def test_a_deflated_dataset_may_have_a_byte_of_padding() -> None:
    assert parse_facts(encoded(DEFLATED) + b"\0", announced(DEFLATED)).study_uid == "1.2.3"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_private_transfer_syntax_is_recognised(syntax: str) -> None:
    assert parse_facts(encoded(syntax), announced("1.3.99.private")).study_uid == "1.2.3"


@pytest.mark.parametrize(
    ("study", "series", "found"), [("", "", (UID, UID)), ("", "1.2.4", (UID, "1.2.4")), ("1.2.3", "", ("1.2.3", UID))]
)
def test_an_image_of_no_study_is_a_study_of_its_own(study: str, series: str, found: tuple[str, str]) -> None:
    facts = parse_facts(dataset(CT, UID, study=study, series=series), announced())
    assert (facts.study_uid, facts.series_uid) == found


WRONG = {
    "no instance": (dataset(CT, ""), "other-instance"),
    "no class": (dataset("", UID), "other-class"),
    "another class": (dataset("1.2.3", UID), "other-class"),
    "another instance": (dataset(CT, "1.2.3"), "other-instance"),
    "a study UID that is too long": (dataset(CT, UID, study="1." * 40), "not-a-uid|Study Instance UID"),
    "a study UID of other bytes": (
        dataset(CT, UID, more={0x0020000D: ("UI", b"\xff\xff")}),
        "not-a-uid|Study Instance UID",
    ),
    "two patients": (
        dataset(CT, UID).replace(
            element(0x00100010, "PN", b"Sample^Anna"),
            element(0x00100010, "PN", b"Sample^Anna") + element(0x00100010, "PN", b"Other^Bert"),
        ),
        "unreadable|an attribute stands twice in the dataset, with two values",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found_and_does_not_name_a_patient(what: str) -> None:
    data, finding = WRONG[what]
    facts = parse_facts(data, announced())
    assert finding in facts.findings
    assert why_invalid(facts.findings)
    assert "Sample" not in " ".join(facts.findings)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"12", 12),
        (b" 12 ", 12),
        (b"+12", 12),
        (b"-3", -3),
        (b"12\0", 12),
        (b"", None),
        (b"1.0", None),
        (b"1\\2", None),
        (b"99999999999", None),
        (b"1" * 13, None),
        (b"1_0", None),
        (b"\xb2", None),
    ],
)
def test_numbers(value: bytes, expected: int | None) -> None:
    facts = parse_facts(dataset(CT, UID, more={0x00200013: ("IS", value)}), announced())
    assert facts.instance_number == expected


@pytest.mark.parametrize(
    ("charset", "value", "expected"),
    [
        (b"", b"Sample^Anna ", "Sample^Anna"),
        (b"ISO_IR 100", b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
        (b"ISO_IR 192", "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
        (b"ISO_IR 192 ", "Buc^J\u00e9r\u00f4me".encode(), "Buc^J\u00e9r\u00f4me"),
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (b"GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
        (b"ISO-IR 100", b"R\xfcdiger", "Rüdiger"),
        (b"ISO_2022_IR_100", b"R\xfcdiger", "Rüdiger"),
        (b"", b"R\xfcdiger", "Rüdiger"),
        (b"", "Rüdiger".encode(), "Rüdiger"),
        (b"NONSENSE", "Rüdiger".encode(), "Rüdiger"),
        (b"ISO_IR 192", b"R\xfcdiger", "R\ufffddiger"),
        (b"ISO_IR 192\\ISO 2022 IR 87", "王".encode(), "王"),
        (b"\xff\xfe", b"R\xfcdiger", "Rüdiger"),
    ],
)
def test_text_is_decoded_by_the_character_set(charset: bytes, value: bytes, expected: str) -> None:
    more = {0x00080005: ("CS", charset), 0x00100010: ("PN", value)}
    assert parse_facts(dataset(CT, UID, more=more), announced()).patient_name == expected


def test_text_is_text_even_if_pydicom_is_told_to_raise() -> None:
    settings = pydicom.config.settings
    before = settings.reading_validation_mode
    try:
        settings.reading_validation_mode = pydicom.config.RAISE
        more = {0x00080005: ("CS", b"\\ISO 2022 IR 87"), 0x00100010: ("PN", b"Yamada\x1b$)Cxx")}
        assert parse_facts(dataset(CT, UID, more=more), announced()).patient_name.startswith("Yamada")
    finally:
        settings.reading_validation_mode = before


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_text_of_any_bytes_is_some_text(charset: bytes, value: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more = {0x00080005: ("CS", charset), 0x00100010: ("PN", value), 0x00081030: ("LO", value)}
        facts = parse_facts(dataset(CT, UID, more=more), announced())
    assert len(facts.patient_name) <= 64
    assert facts.patient_name == facts.patient_name.strip(" ")
    assert all(ord(c) >= 0x20 for c in facts.patient_name + facts.study_description)


def test_text_is_cut() -> None:
    facts = parse_facts(dataset(CT, UID, more={0x00081030: ("LO", b"x" * 1000)}), announced())
    assert facts.study_description == "x" * 256


def test_a_value_beyond_all_bounds_counts_as_absent() -> None:
    facts = parse_facts(dataset(CT, UID, more={0x00081030: ("LO", b"x" * 5000)}), announced())
    assert facts.study_description == ""


def test_the_walker_stops_when_it_has_all_it_wants() -> None:
    data = dataset(CT, UID, pixels=1000)
    walk = DatasetWalker(EXPLICIT, frozenset({0x00080060}))
    assert walk.feed(data)
    assert walk.values == {0x00080060: b"CT"}
    assert walk.feed(b"garbage")
