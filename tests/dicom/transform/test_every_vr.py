"""Every operation on every VR: what comes out is what its VR allows, or the operation fails and says why."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from capacitord.dicom.transform.failure import NotTransformed, TransformFailed, Unfit
from capacitord.dicom.transform.values import check_count
from capacitord.model.transform import (
    Clean,
    Copy,
    Hash,
    Map,
    Operation,
    Prefix,
    Remove,
    Repertoire,
    Replace,
    Set,
    SetMissing,
    Suffix,
)
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.transform.kit import Received, applied, at, rewritten, value, whole
from tests.dicom.trees import Node, written

ATTRIBUTES: Mapping[str, str] = {
    "AE": "RetrieveAETitle",
    "AS": "PatientAge",
    "CS": "ImageType",
    "DA": "StudyDate",
    "DS": "ImagePositionPatient",
    "DT": "AcquisitionDateTime",
    "FD": "DiffusionGradientOrientation",
    "FL": "RecommendedDisplayFrameRateInFloat",
    "IS": "InstanceNumber",
    "LO": "OtherPatientIDs",
    "LT": "PatientComments",
    "PN": "OtherPatientNames",
    "SH": "AccessionNumber",
    "SL": "ReferencePixelX0",
    "SS": "TagAngleSecondAxis",
    "ST": "InstitutionAddress",
    "SV": "SelectorSVValue",
    "TM": "StudyTime",
    "UC": "LongCodeValue",
    "UI": "DeviceUID",
    "UL": "SimpleFrameList",
    "UR": "URNCodeValue",
    "US": "PregnancyStatus",
    "UT": "TextValue",
    "UV": "SelectorUVValue",
}
SINGLE: Mapping[str, str] = {**ATTRIBUTES, "CS": "Modality", "DS": "SliceThickness", "FD": "DiffusionBValue"}
ODD: Mapping[str, str] = {"AT": "SelectorAttribute", "OB": "ICCProfile", "OW": "BlendingLookupTableData"}
PYTHON_STRINGS = frozenset(ATTRIBUTES) - {"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]) | st.sampled_from("0123456789.-+^=\\ A_{}"), max_size=80
)
plausible = st.sampled_from(
    [
        "",
        "1",
        "-1",
        "1.5",
        "1.2.840",
        "20240229",
        "081500",
        "042Y",
        "DOE^JOHN",
        "COACH",
        "A\\B\\C",
        "1\\2\\3",
        "1e5",
        " x",
    ]
)
vrs = st.sampled_from(sorted(ATTRIBUTES))


def _constant(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _operations(target: str, text: str, other: str) -> dict[str, Operation]:
    return {
        "set": Set(at(target), value(_constant(text))),
        "set_missing": SetMissing(at(target), value(_constant(text))),
        "remove": Remove(at(target)),
        "copy": Copy(at(target), at(other)),
        "replace": Replace(at(target), ".", text.replace("\\", "\\\\")),
        "map": Map(at(target), {}, default=text),
        "clean": Clean(at(target), Repertoire.ASCII, "?"),
        "hash": Hash(at(target)),
        "prefix": Prefix(at(target), text),
        "suffix": Suffix(at(target), text),
    }


OPERATIONS = sorted(_operations("PatientID", "", "PatientID"))


def _check(dataset: Dataset, keyword: str, vr: str) -> None:
    """Let pydicom judge the values."""
    if keyword not in dataset or vr not in PYTHON_STRINGS:
        return
    element = dataset[keyword]
    assert vr == element.VR
    values = element.value if element.VM > 1 else [element.value]
    for each in values:
        if each is not None and str(each):
            original = getattr(each, "original_string", None)
            validate_value(vr, original if isinstance(original, str) else str(each), config.RAISE)


@pytest.mark.parametrize("name", OPERATIONS)
@given(vr=vrs, before=plausible | texts, text=plausible | texts, other=vrs)
def test_every_operation_on_every_vr(name: str, vr: str, before: str, text: str, other: str) -> None:
    start = Dataset()
    try:
        start = applied(
            start,
            Set(at(ATTRIBUTES[vr]), value(_constant(before))),
            Set(at(ATTRIBUTES[other]), value(_constant(text))),
        ).dataset
    except TransformFailed:
        return
    kept = {tag: start[tag].value for tag in start.keys()}  # noqa: SIM118
    operation = _operations(ATTRIBUTES[vr], text, ATTRIBUTES[other])[name]
    failure: TransformFailed | None = None
    try:
        out = applied(start, operation)
    except TransformFailed as failed:
        failure = failed
    else:
        _check(out.dataset, ATTRIBUTES[vr], vr)
        changed = {change.path[0] for change in out.changes}
        assert all(out.dataset[tag].value == kept[tag] for tag in set(kept) - changed)
    if failure is not None:
        assert (failure.operation, failure.attribute) == (name, ATTRIBUTES[vr])
        assert not any(words in failure.why for words in ("DOE", "COACH", "1.2.840"))
    assert {tag: start[tag].value for tag in start.keys()} == kept  # noqa: SIM118


@given(vr=vrs, text=plausible | texts, syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
def test_what_is_written_is_what_is_read(vr: str, text: str, syntax: str) -> None:
    image = Received(syntax, written((Node(0x00080060, "CS", b"CT"),), syntax))
    operation = Set(at(ATTRIBUTES[vr]), value(_constant(text)))
    try:
        first = rewritten(image, operation)
    except NotTransformed:
        return
    again = Received(syntax, whole(first))
    assert rewritten(again, operation).is_as_received


@pytest.mark.parametrize("vr", ODD)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in {"remove", "copy", "set_missing"}])
def test_what_is_no_text_is_refused(vr: str, name: str) -> None:
    start = Dataset()
    setattr(start, ODD[vr], 0x00181063 if vr == "AT" else b"\1\2\3\4")
    with pytest.raises(TransformFailed, match=f"VR {vr}"):
        applied(start, _operations(ODD[vr], "1", "PatientID")[name])


@pytest.mark.parametrize(
    ("vr", "good", "bad"),
    [
        ("AE", ["COACH", "A B"], ["SEVENTEEN LETTERS", "A\tB", "ÄE"]),
        ("AS", ["042Y", "003D"], ["42Y", "042y", "0042Y"]),
        ("CS", ["CT", "A_1 B"], ["ct", "A-B", "SEVENTEEN_LETTERS"]),
        ("DA", ["20240229", "19000101"], ["20230229", "2024-02-29", "20241301", "240229"]),
        ("DS", ["1.5", "-.5e10", "+3"], ["1,5", "1.23456789012345678", "NaN", "1e"]),
        ("DT", ["2024", "20240229081500.25+0100", "202402"], ["20240230", "2024022908150", "2024.5", "20240229251500"]),
        ("FD", ["1.5", "-1e+300", "0.1"], ["x", "inf", "1e999"]),
        ("FL", ["1.5", "0.1"], ["1e39", "nan", "x"]),
        ("IS", ["12", "-7", "2147483647"], ["2147483648", "1.5", "1234567890123"]),
        ("LO", ["x" * 64, "Größe", "a\\b"], ["x" * 65, "a\nb"]),
        ("LT", ["x\r\ny\\z"], ["x" * 10241, "x\x00y"]),
        ("PN", ["Doe^John", "A=山^B=や", "x" * 64], ["A=B=C=D", "a^b^c^d^e^f", "x" * 65]),
        ("SH", ["x" * 16], ["x" * 17, "a\tb"]),
        ("SL", ["-2147483648"], ["2147483648", "1.0"]),
        ("SS", ["-1"], ["40000"]),
        ("ST", ["x\ny"], ["x" * 1025]),
        ("SV", ["-1"], [str(1 << 63)]),
        ("TM", ["08", "081500.123456"], ["2460", "25", "0815001"]),
        ("UC", ["x" * 5000], ["a\nb"]),
        ("UI", ["1.2.840", "2.25.123"], ["1.02", "1", "1." + "2" * 64, "a.b"]),
        ("UL", ["4294967295", "1\\2"], ["-1"]),
        ("UR", ["https://example.org/a?b"], ["a b", "é"]),
        ("US", ["512"], ["65536", "x"]),
        ("UT", ["x\\y\n" * 100], ["\x1b"]),
        ("UV", ["1"], ["-1"]),
    ],
)
def test_values_are_as_their_vr_wants_them(vr: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        out = applied(Dataset(), Set(at(SINGLE[vr]), value(text)))
        _check(out.dataset, SINGLE[vr], vr)
        assert [change.after for change in out.changes if change.attribute == SINGLE[vr]] == [text]
    for text in bad:
        with pytest.raises(TransformFailed, match=f"{vr}|person name"):
            applied(Dataset(), Set(at(SINGLE[vr]), value(text)))


def test_the_number_of_values_is_that_of_the_dictionary() -> None:
    applied(Dataset(), Set(at("ImagePositionPatient"), value("1\\2\\3")))
    for text in ("1", "1\\2", "1\\2\\3\\4"):
        with pytest.raises(TransformFailed, match="3 values"):
            applied(Dataset(), Set(at("ImagePositionPatient"), value(text)))
    with pytest.raises(TransformFailed, match="has 1 value "):
        applied(Dataset(), Set(at("AccessionNumber"), value("A\\B")))
    with pytest.raises(TransformFailed, match="2-n values"):
        applied(Dataset(), Set(at("GraphicData"), value("1")))


def test_a_number_may_have_either_sign_as_pixel_representation_says() -> None:
    start = Dataset()
    start.PixelRepresentation = 1
    out = applied(start, Set(at("SmallestImagePixelValue"), value("-5")))
    assert out.dataset["SmallestImagePixelValue"].VR == "SS"
    start.PixelRepresentation = 0
    with pytest.raises(TransformFailed, match="VR US"):
        applied(start, Set(at("SmallestImagePixelValue"), value("-5")))


def test_an_element_keeps_its_own_vr_where_the_standard_leaves_a_choice() -> None:
    start = Dataset()
    start.add_new("SmallestImagePixelValue", "SS", 3)
    assert applied(start, Set(at("SmallestImagePixelValue"), value("-5"))).dataset.SmallestImagePixelValue == -5


@pytest.mark.parametrize("multiplicity", sorted({entry[1] for entry in DicomDictionary.values()}))
def test_every_multiplicity_of_the_dictionary_is_understood(multiplicity: str) -> None:
    tag = next(tag for tag, entry in DicomDictionary.items() if entry[1] == multiplicity)
    counts = []
    for count in range(1, 120):
        with contextlib.suppress(Unfit):
            check_count(tag, count)
            counts.append(count)
    least = int(multiplicity.split("-", maxsplit=1)[0])
    assert counts[0] == least
    assert (counts == [least]) == ("-" not in multiplicity)
