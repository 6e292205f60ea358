"""What de-identification does beyond the letters of the table."""

from __future__ import annotations

import copy
import datetime as dt
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom.deidentify.codes import Codes, Patient
from capacitord.dicom.deidentify.engine import NotDeidentified, deidentified
from capacitord.model.deidentify import Deidentification, Option
from tests.dicom.deidentify.kit import CODES, KEY, add, ct, done, encoded, item, sequence, written

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
MODIFIED = Option.RETAIN_LONGITUDINAL_MODIFIED
uids = st.from_regex(r"1\.[23](\.(0|[1-9][0-9]{0,8})){2,5}", fullmatch=True)
days = st.dates(dt.date(1900, 1, 1), dt.date(2199, 12, 31))


def _moved(date: dt.date, patient: Patient) -> str:
    return f"{date + dt.timedelta(CODES.days(patient)):%Y%m%d}"


def test_the_original_stays_as_it_is() -> None:
    inner = item(PatientID="PAT-4711", PurposeOfReferenceCodeSequence=sequence(item(CodeValue="1")))
    dataset = encoded(ct(ReferencedInstanceSequence=sequence(inner)))
    before = {tag: dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118
    done(dataset, MODIFIED)
    assert {tag: dataset.get_item(tag) for tag in dataset.keys()} == before  # noqa: SIM118
    decoded = ct(ReferencedInstanceSequence=sequence(inner))
    kept = copy.deepcopy(decoded)
    done(decoded)
    assert decoded == kept


def test_it_is_the_same_decoded_or_not() -> None:
    inner = item(ReferencedSOPInstanceUID="1.2.3", ContentDate="20240101", CodeMeaning="x")
    dataset = ct(ReferencedInstanceSequence=sequence(inner), StudyDescription="Chest", SliceThickness="1.5")
    for options in ((), (MODIFIED, Option.CLEAN_DESCRIPTORS)):
        assert written(done(dataset, *options)) == written(done(encoded(dataset), *options))


def test_who_it_is_has_codes() -> None:
    after = done(ct(IssuerOfPatientID="HOSPITAL"))
    assert after.PatientID == after.PatientName == CODES.patient_id("PAT-4711", "HOSPITAL")
    assert after.AccessionNumber == CODES.accession_number("ACC-0815")
    assert after.StudyID == CODES.study_id("S-77")
    for name in ("PatientBirthDate", "StudyDate", "PatientSex"):
        assert after[name].is_empty
    assert "IssuerOfPatientID" not in after


def test_without_a_patient_id_the_name_counts_and_without_that_the_study() -> None:
    by_name = Patient(name="Muster^Erika", birth_date="19620412")
    assert done(ct(PatientID="")).PatientID == CODES.patient(by_name)
    assert done(ct(PatientID=None)).PatientID == CODES.patient(by_name)
    by_study = Patient(study_uid="1.2.3.4.1")
    assert done(ct(PatientID="", PatientName="", PatientBirthDate="")).PatientID == CODES.patient(by_study)
    other = done(ct(PatientID="", PatientName="", StudyInstanceUID="1.2.3.4.2"))
    assert other.PatientID != CODES.patient(by_study)


@given(uids, uids, st.text(min_size=1, max_size=20))
def test_uids_are_the_same_wherever_they_stand(image: str, study: str, destination: str) -> None:
    codes = Codes(KEY, destination)
    inside = item(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=image)
    referring = ct(
        StudyInstanceUID=study,
        ReferencedImageSequence=sequence(inside),
        StudiesContainingOtherReferencedInstancesSequence=sequence(
            item(
                StudyInstanceUID=study,
                ReferencedSeriesSequence=sequence(item(ReferencedInstanceSequence=sequence(inside))),
            )
        ),
    )
    first = done(ct(SOPInstanceUID=image, StudyInstanceUID=study), codes=codes)
    second = done(referring, codes=codes)
    other = second.StudiesContainingOtherReferencedInstancesSequence[0]
    assert first.SOPInstanceUID == codes.uid(image) == second.ReferencedImageSequence[0].ReferencedSOPInstanceUID
    assert other.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == codes.uid(image)
    assert first.StudyInstanceUID == second.StudyInstanceUID == other.StudyInstanceUID == codes.uid(study)
    assert second.ReferencedImageSequence[0].ReferencedSOPClassUID == CT_CLASS
    assert image.encode() not in written(first)
    assert study.encode() not in written(second)


def test_uids_of_the_standard_stay() -> None:
    after = done(ct(FrameOfReferenceUID="1.2.840.10008.1.4.1.1", SOPClassUID=CT_CLASS))
    assert after.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert after.SOPClassUID == CT_CLASS


@given(days, days, st.sampled_from(["PAT-1", "PAT-2", "PAT-3"]))
def test_dates_of_a_patient_move_together(one: dt.date, other: dt.date, patient: str) -> None:
    moved = []
    for date in (one, other):
        text = f"{date:%Y%m%d}"
        dataset = ct(PatientID=patient, StudyDate=text, StudyTime="235959", AcquisitionDateTime=text + "081500.25")
        after = done(dataset, MODIFIED)
        assert after.StudyDate == _moved(date, Patient(patient))
        assert after.AcquisitionDateTime == after.StudyDate + "081500.25"
        assert after.StudyTime == "235959"
        assert after.LongitudinalTemporalInformationModified == "MODIFIED"
        moved.append(dt.datetime.strptime(str(after.StudyDate), "%Y%m%d").replace(tzinfo=dt.UTC).date())
    assert moved[1] - moved[0] == other - one
    assert moved[0] != one


@pytest.mark.parametrize(
    ("value", "left"),
    [("2024.02.29", True), ("20240230", False), ("yesterday", False), ("00010101", False), ("2024", False)],
)
def test_a_date_that_cannot_be_moved_does_not_stay(value: str, left: bool) -> None:
    after = done(ct(StudyDate=value), MODIFIED)
    assert (after.StudyDate or "") == (_moved(dt.date(2024, 2, 29), Patient("PAT-4711")) if left else "")


@pytest.mark.parametrize("value", ["2024", "202402", "20240229", "2024022908", "20240229081500.123456-0500"])
def test_a_date_and_time_keeps_its_precision(value: str) -> None:
    after = str(done(ct(AcquisitionDateTime=value), MODIFIED).AcquisitionDateTime)
    assert len(after) == len(value)
    assert after[8:] == value[8:]
    assert after != value


def test_text_that_tells_who_it_is_goes_wherever_it_stands() -> None:
    dataset = ct(
        ManufacturerModelName="Scanner of Erika",
        ReconstructionDiameter="400",
        ContrastBolusRoute="PAT-4711 iv",
        ScanOptions="MUSTER",
        BodyPartExamined="CHEST",
        RescaleType="acc-0815",
        Manufacturer="ACME",
        ConversionType=None,
        BurnedInAnnotation="NO",
    )
    dataset.AnatomicRegionSequence = sequence(item(CodeValue="1", CodeMeaning="Chest of ERIKA MUSTER"))
    after = done(dataset)
    data = written(after).lower()
    for word in (b"erika", b"muster", b"pat-4711", b"acc-0815", b"19620412"):
        assert word not in data
    assert "ScanOptions" not in after
    assert after.Manufacturer == "ACME"
    assert after.BodyPartExamined == "CHEST"
    assert after.AnatomicRegionSequence[0].CodeMeaning == "REMOVED"


@given(
    st.text("abcdefXYZ0123456789-_/ üß山", min_size=3, max_size=8).map(lambda text: f"ü{text}7"),
    st.text("abcdefghiABC ^", min_size=5, max_size=16).filter(lambda text: len(text.strip("^ ")) > 4),
)
def test_nobody_is_found_in_any_text(number: str, name: str) -> None:
    dataset = ct(PatientID=number, PatientName=name, AccessionNumber="A/" + number)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for level in (dataset, item()):
        level.Manufacturer = f"made for {number}"
        level.SoftwareVersions = f"1.0 ({name})"
        level.CountryOfResidence = name
        level.PatientID = number
        if level is not dataset:
            dataset.AnatomicRegionSequence = sequence(level)
    for each in (dataset, encoded(dataset)):
        for options in ((), (Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.RETAIN_DEVICE_IDENTITY)):
            text = str(done(each, *options)).casefold()
            assert number.strip().casefold() not in text
            for part in re.split("[ ^]", name.casefold()):
                assert len(part) < 3 or f" {part} " not in text


def test_a_birth_date_is_known_as_people_write_it() -> None:
    for text in ("born 12.04.1962", "1962-04-12", "04/12/1962"):
        assert done(ct(SoftwareVersions=text)).SoftwareVersions == "REMOVED"
    assert done(ct(SoftwareVersions="built 13.04.1962")).SoftwareVersions == "built 13.04.1962"


def test_a_name_may_be_a_number() -> None:
    after = done(ct(PatientName="TRIAL7^S0042", SoftwareVersions="for s0042", Manufacturer="trial 7"))
    assert after.SoftwareVersions == "REMOVED"
    assert after.PatientName == CODES.patient_id("PAT-4711")


def test_names_of_two_ideographs_are_found() -> None:
    dataset = ct(PatientName="Yamada^Tarou=山田^太郎", SoftwareVersions="1", SpecificCharacterSet="ISO_IR 192")
    dataset.Manufacturer = "用山田様"
    assert done(encoded(dataset)).Manufacturer == "REMOVED"


def test_a_name_is_found_in_code_strings() -> None:
    dataset = ct(PatientName="Zebrowski^Katarzyna", BodyPartExamined="ZEBROWSKI", ScanOptions="HELIX\\ZEBROWSKI2")
    dataset.AnatomicRegionSequence = sequence(item(ContrastBolusIngredient="KATARZYNA", Laterality="L"))
    for each in (dataset, encoded(dataset)):
        after = done(each)
        data = written(after).lower()
        assert b"zebrowski" not in data
        assert b"katarzyna" not in data
        assert after.AnatomicRegionSequence[0].Laterality == "L"


def test_terms_of_the_standard_stay_whatever_a_patient_is_called() -> None:
    dataset = ct(PatientName="Primary^No^^Ct", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], BodyPartExamined="CHEST")
    dataset.QualityControlImage, dataset.SpecificCharacterSet = "NO", "ISO_IR 100"
    after = done(encoded(dataset))
    assert list(after.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert (after.Modality, after.QualityControlImage) == ("CT", "NO")
    assert after.SpecificCharacterSet == "ISO_IR 100"
    assert "BodyPartExamined" not in done(ct(PatientName="Hand^Learned", BodyPartExamined="HAND"))


def test_an_image_that_needs_what_a_name_stands_in_is_held() -> None:
    dataset = ct(PatientName="Zebrowski^Katarzyna", ImageType=["ORIGINAL", "PRIMARY", "KATARZYNA"])
    with pytest.raises(NotDeidentified, match="Image Type has a word of the patient's name") as caught:
        done(encoded(dataset))
    assert "KATARZYNA" not in str(caught.value)


def test_short_names_are_found_as_words_only() -> None:
    after = done(ct(PatientName="Lee^Ann", ManufacturerModelName="Sleeve Planner", SoftwareVersions="for Lee"))
    assert after.ManufacturerModelName == "Sleeve Planner"
    assert after.SoftwareVersions == "REMOVED"


@pytest.mark.parametrize("declared", ["", "ISO_IR 999", "ISO_IR 192"])
def test_a_name_that_cannot_be_read_is_looked_for_all_the_same(declared: str) -> None:
    dataset = encoded(ct(ScanOptions="PAT-4711", SequenceName="COIL ANNALIESE"))
    add(dataset, 0x00080005, declared, "CS")
    for tag, vr, value in ((0x00100010, "PN", b"M\xfcller^Annaliese"), (0x00100020, "LO", b"PAT-4711\xfc")):
        dataset[BaseTag(tag)] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    assert b"ANNALIESE" not in written(done(dataset))


def test_patients_whose_ids_cannot_be_read_are_not_one() -> None:
    found = set()
    for value in (b"\xc4\xd6 12", b"\xc9 77 "):
        dataset = encoded(ct(PatientName=None, StudyInstanceUID=None))
        tag = BaseTag(0x00100020)
        dataset[tag] = RawDataElement(tag, "LO", len(value), value, 0, False, True)
        found.add(done(dataset).PatientID)
    assert len(found) == 2


def test_who_it_is_may_be_told_in_a_sequence() -> None:
    dataset = ct(SequenceName="see OLD-0815 for more")
    dataset.OtherPatientIDsSequence = sequence(item(PatientID="OLD-0815"))
    for each in (dataset, encoded(dataset)):
        assert b"OLD-0815" not in written(done(each))


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00200000, "UL", b"Muster"),
        (0x00200000, "OB", b"Muster"),
        (0x00189073, "FD", b"xxMuster"),
        (0x00281201, "OW", b"Muster"),
        (0x60000022, "LO", b"Zarquon "),
        (0x60001500, "LO", b"Zarquon "),
        (0x00120063, "LO", b"By Zarquon"),
        (0x00201002, "IS", b"778899112233"),
    ],
)
def test_nothing_is_told_where_nobody_looks(tag: int, vr: str, value: bytes) -> None:
    dataset = ct(PatientID="778899112233")
    for at, of, what in ((0x60000010, "US", 2), (0x60000040, "CS", "R"), (0x60003000, "OW", bytes(2))):
        add(dataset, at, what, of)
    dataset = encoded(dataset)
    dataset[BaseTag(tag)] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    after = done(dataset, Option.CLEAN_GRAPHICS)
    left = after.get_item(BaseTag(tag))
    assert left is None or left.value != value


@pytest.mark.parametrize("tail", [b"\xfe\xff\xdd\xe0\0\0\0\0Zarquon ", b"\xfe\xff\xdd\xe0Zarq"])
def test_nothing_is_told_behind_the_items_of_a_sequence(tail: bytes) -> None:
    dataset = encoded(ct(AnatomicRegionSequence=sequence(item(Modality="CT"))))
    tag = BaseTag(0x00082218)
    value = dataset.get_item(tag).value + tail
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    after = done(dataset)
    assert after.AnatomicRegionSequence[0].Modality == "CT"
    assert b"Zarq" not in written(after)


def test_text_that_cannot_be_read_goes() -> None:
    dataset = encoded(ct(Manufacturer="ACME"))
    for tag, vr, value in ((0x00081090, "LO", b"M\xfcller "), (0x00181050, "DS", b"Erika "), (0x00181160, "OB", b"Ab")):
        dataset[BaseTag(tag)] = _raw(tag, vr, value)
    dataset[BaseTag(0x00082228)] = _raw(0x00082228, "OB", b"\xfe\xff\x00\xe0\0\0\0\0")
    after = done(dataset)
    assert 0x00082228 not in after, "items under a VR for bytes"
    assert 0x00081090 not in after
    assert 0x00181050 not in after
    assert 0x00181160 not in after
    assert after.Manufacturer == "ACME"


def test_what_nobody_knows_goes() -> None:
    dataset = ct()
    add(dataset, 0x00080003, "Erika", "LO")
    add(dataset, 0x00090010, "ACME", "LO")
    add(dataset, 0x00091001, "Erika", "LO")
    add(dataset, 0x00100099, "Erika", "LO")
    add(dataset, 0x00180003, "SHIM", "CS")
    dataset.NominalInterval = 1000
    dataset.ReferencedInstanceSequence = sequence(item(ReferencedSOPInstanceUID="1.2.3"))
    inner = dataset.ReferencedInstanceSequence[0]
    add(inner, 0x00090010, "ACME", "LO")
    add(inner, 0x00091001, "Erika", "LO")
    add(inner, 0x00080003, "Erika", "LO")
    after = done(dataset)
    assert b"Erika" not in written(after)
    assert b"ACME" not in written(after)
    assert 0x00180003 not in after
    assert after.NominalInterval == 1000


def test_signatures_and_encrypted_originals_go() -> None:
    dataset = ct(
        MACParametersSequence=sequence(item(MACIDNumber=1)),
        DigitalSignaturesSequence=sequence(item(MACIDNumber=1, CertificateOfSigner=b"Erika ")),
        EncryptedAttributesSequence=sequence(item(EncryptedContent=b"Erika ")),
        OriginalAttributesSequence=sequence(item(ModifyingSystem="Erika")),
    )
    assert b"Erika" not in written(done(dataset))
    assert not any(tag >> 16 in {0x0400, 0x4FFE, 0xFFFA} for tag in done(dataset).keys())  # noqa: SIM118


def test_a_sequence_of_an_unknown_vr_is_looked_into() -> None:
    inside = b"\x10\x00\x20\x00\x08\x00\x00\x00PAT-4711\x08\x00\x55\x11\x06\x00\x00\x001.2.3\0"
    value = b"\xfe\xff\x00\xe0" + len(inside).to_bytes(4, "little") + inside
    dataset = encoded(ct())
    dataset[BaseTag(0x0008114A)] = _raw(0x0008114A, "UN", value)
    dataset[BaseTag(0x00081140)] = _raw(0x00081140, "UN", value[:-3])
    after = done(dataset)
    assert after[0x0008114A].value[0].PatientID == CODES.patient_id("PAT-4711")
    assert after[0x0008114A].value[0].ReferencedSOPInstanceUID == CODES.uid("1.2.3")
    assert 0x00081140 not in after, "what cannot be read goes"


def test_large_values_never_pass_unseen() -> None:
    def with_large(tag: int, vr: str) -> Dataset:
        dataset = encoded(ct(BurnedInAnnotation="NO"))
        dataset[BaseTag(tag)] = _raw(tag, vr, None, 2 << 20)
        return dataset

    assert done(with_large(0x00420011, "OB"))[0x00420011].value == b"\0\0"
    assert 0x60003000 not in done(with_large(0x60003000, "OW"))
    assert 0x00204000 not in done(with_large(0x00204000, "LT"))
    assert 0x00091001 not in done(with_large(0x00091001, "OB"))
    assert 0x7FE00010 in done(with_large(0x7FE00010, "OW"))
    for tag, vr in ((0x00282000, "OB"), (0x0040A160, "UT"), (0x00281201, "OW"), (0x56000020, "OF")):
        with pytest.raises(NotDeidentified, match="too large for this box to know what is in it"):
            done(with_large(tag, vr))


@pytest.mark.parametrize(("inside", "stays"), [(b"", True), (b"Muster", False)])
def test_many_numbers_are_looked_through_wherever_they_are_kept(inside: bytes, *, stays: bool) -> None:
    dataset = encoded(ct())
    dataset[BaseTag(0x56000020)] = _raw(0x56000020, "OF", None, 2 << 20)
    values = {0x56000020: bytes(1 << 20) + inside + bytes(8)}
    after = deidentified(dataset, Deidentification(), codes=CODES, large=values.__getitem__)
    assert (0x56000020 in after) == stays


def test_of_what_is_about_pixels_only_the_pixels_stay() -> None:
    dataset = encoded(ct())
    icon = item(Rows=1)
    add(icon, 0x7FE00010, b"\1\2", "OW")
    add(icon, 0x7FE00001, bytes(8), "OV")
    add(dataset, 0x00409096, sequence(icon), "SQ")
    add(dataset, 0x00880200, sequence(icon), "SQ")
    for tag, vr in ((0x7FE00003, "UV"), (0x7FE0000C, "OW"), (0x7FE00020, "OW")):
        dataset[BaseTag(tag)] = _raw(tag, vr, b"Anything", 8)
    dataset[BaseTag(0x7FE00001)] = _raw(0x7FE00001, "OV", bytes(8), 8)
    after = done(dataset)
    assert [tag for tag in after.keys() if tag >> 16 == 0x7FE0] == [0x7FE00001, 0x7FE00010]  # noqa: SIM118
    assert [*after[0x00409096].value[0].keys()] == [0x00280010]
    assert 0x00880200 not in after, "an icon shows the image"


def test_an_overlay_goes_as_a_whole() -> None:
    dataset = ct()
    for tag, value in ((0x60000010, 2), (0x60000011, 2), (0x60000040, "G"), (0x60003000, b"\1\0")):
        add(dataset, tag, value)
    for tag, value in ((0x60020010, 2), (0x60020040, "R"), (0x60023000, b"\1\0"), (0x60021500, "Erika")):
        add(dataset, tag, value)
    assert not any(tag >> 24 == 0x60 for tag in done(dataset).keys())  # noqa: SIM118
    after = done(dataset, Option.CLEAN_GRAPHICS)
    assert [tag for tag in after.keys() if tag >> 24 == 0x60] == [0x60020010, 0x60020040, 0x60023000]  # noqa: SIM118


def test_it_says_what_was_done() -> None:
    after = done(ct())
    assert after.PatientIdentityRemoved == "YES"
    assert after.DeidentificationMethod == "capacitord, PS3.15 2026c Annex E"
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == ["113100"]
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    earlier = ct(
        DeidentificationMethod="By hand",
        DeidentificationMethodCodeSequence=sequence(
            item(CodeValue="113101", CodingSchemeDesignator="DCM", CodeMeaning="Clean Pixel Data Option")
        ),
    )
    after = done(earlier, Option.RETAIN_UIDS, Option.RETAIN_LONGITUDINAL_FULL)
    assert after.DeidentificationMethod == "capacitord, PS3.15 2026c Annex E"
    codes = [code.CodeValue for code in after.DeidentificationMethodCodeSequence]
    assert codes == ["113101", "113100", "113106", "113110"]
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    again = done(after, Option.RETAIN_UIDS, Option.RETAIN_LONGITUDINAL_FULL)
    assert again.DeidentificationMethodCodeSequence == after.DeidentificationMethodCodeSequence
    assert again.DeidentificationMethod == after.DeidentificationMethod


def test_safe_private_attributes_stay_with_their_creators() -> None:
    dataset = ct()
    for tag, vr, value in (
        (0x70530010, "LO", "Philips PET Private Group"),
        (0x70531000, "DS", "0.00047"),
        (0x70531003, "ST", "erika.dcm"),
        (0x70531009, "LO", "Erika"),
        (0x00990010, "LO", "SOMEBODY"),
        (0x00990011, "LO", "NQHeader"),
        (0x00991102, "UI", "1.2.3.4"),
        (0x00991105, "LT", "Erika"),
        (0x00991002, "UI", "1.2.3.4"),
        (0x00190010, "LO", "SIEMENS MR HEADER"),
        (0x0019100C, "IS", "1000"),
        (0x7E010010, "LO", "HOLOGIC, Inc."),
        (0x7E011012, "OB", b"Erika "),
        (0x7E011010, "SQ", sequence(item(PatientID="PAT-4711", Modality="CT"))),
    ):
        add(dataset, tag, value, vr)
    for each in (dataset, encoded(dataset)):
        after = done(each, Option.RETAIN_SAFE_PRIVATE)
        assert [tag for tag in after.keys() if tag >> 16 & 1] == [  # noqa: SIM118
            0x00190010,
            0x0019100C,
            0x00990011,
            0x00991102,
            0x70530010,
            0x70531000,
            0x7E010010,
            0x7E011010,
        ]
        assert after[0x00991102].value == CODES.uid("1.2.3.4")
        assert after[0x7E011010].value[0].PatientID == CODES.patient_id("PAT-4711")
        assert not any(tag >> 16 & 1 for tag in done(each).keys())  # noqa: SIM118


def _content(kind: str, code: str, **value: object) -> Dataset:
    name = item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="Any")
    return item(RelationshipType="CONTAINS", ValueType=kind, ConceptNameCodeSequence=sequence(name), **value)


def _report() -> Dataset:
    dataset = ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", ImageType=None)
    del dataset.PixelData
    measured = item(NumericValue="7.5")
    dataset.ContentSequence = sequence(
        _content("TEXT", "121071", TextValue="Lesion seen by Dr. House"),
        _content("TEXT", "121022", TextValue="ACC-0815"),
        _content("PNAME", "999", PersonName="House^Gregory"),
        _content("UIDREF", "999", UID="1.2.3.4.9"),
        _content("DATE", "999", Date="20240229"),
        _content("NUM", "999", MeasuredValueSequence=sequence(measured)),
        _content(
            "CONTAINER",
            "999",
            ContentSequence=sequence(
                _content(
                    "IMAGE",
                    "999",
                    ReferencedSOPSequence=sequence(
                        item(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID="1.2.3.4.100")
                    ),
                ),
                _content("TEXT", "999", TextValue="Also House"),
            ),
        ),
    )
    return dataset


def test_a_report_keeps_its_numbers_and_references() -> None:
    content = done(_report(), Option.CLEAN_STRUCTURED_CONTENT).ContentSequence
    assert [each.ValueType for each in content] == ["TEXT", "PNAME", "UIDREF", "DATE", "NUM", "CONTAINER"]
    assert content[0].TextValue == "REMOVED"
    assert content[1].PersonName == "REMOVED"
    assert CODES.uid("1.2.3.4.9") == content[2].UID
    assert content[3].Date == "19000101"
    assert content[4].MeasuredValueSequence[0].NumericValue == 7.5
    image, text = content[5].ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == CODES.uid("1.2.3.4.100")
    assert text.TextValue == "REMOVED"
    options = (Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_DESCRIPTORS, MODIFIED)
    content = done(_report(), *options).ContentSequence
    assert [each.get("TextValue") for each in content[:1]] == ["Lesion"]
    assert content[3].Date == _moved(dt.date(2024, 2, 29), Patient("PAT-4711"))
    assert b"House" not in written(done(_report(), *options))


def _code(scheme: str, meaning: str) -> Dataset:
    return item(CodeValue="42", CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@pytest.mark.parametrize("options", [(), (Option.CLEAN_DESCRIPTORS,)])
def test_codes_that_are_not_published_go_wherever_they_stand(options: tuple[Option, ...]) -> None:
    dataset = ct(
        AnatomicRegionSequence=sequence(_code("99LOCAL", "Ward 7 Zarquon"), _code("SCT", "Chest of Zarquon")),
        ViewCodeSequence=sequence(_code("99LOCAL", "Ward 7 Zarquon")),
    )
    for each in (dataset, encoded(dataset)):
        after = done(each, *options)
        assert [code.CodeMeaning for code in after.AnatomicRegionSequence] == ["Chest"]
        assert [code.CodeValue for code in after.ViewCodeSequence] == ["REMOVED"]
        assert b"Zarquon" not in written(after)


@pytest.mark.parametrize("scheme", ["99LOCAL", "SCT"])
def test_codes_of_a_report_keep_no_free_text(scheme: str) -> None:
    dataset = _report()
    coded = _content("CODE", "121071", ConceptCodeSequence=sequence(_code(scheme, "Nurse Zarquon")))
    dataset.ContentSequence.append(coded)
    after = done(dataset, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_DESCRIPTORS)
    assert after.ContentSequence[-1].ValueType == "CODE"
    assert b"Zarquon" not in written(after)


def test_items_that_others_refer_to_by_number_stay_in_their_places() -> None:
    dataset = _report()
    dataset.ContentSequence[6].ContentSequence.append(item(ReferencedContentItemIdentifier=[1, 4]))
    content = done(dataset, Option.CLEAN_STRUCTURED_CONTENT).ContentSequence
    assert len(content) == 7
    assert content[0].TextValue == content[1].TextValue == "REMOVED"


def test_a_report_without_the_option_says_nothing() -> None:
    after = done(_report())
    assert len(after.ContentSequence) == 1
    assert after.ContentSequence[0].TextValue == "REMOVED"
    assert b"House" not in written(after)


def test_descriptions_keep_their_safe_words() -> None:
    dataset = ct(
        StudyDescription="CT chest abdomen pelvis - 55F Dr. Smith",
        SeriesDescription="t1_mprage_sag 1.5mm 19620412 Knee",
        ProtocolName="Erika",
        PatientName="Knee^Erika",
        RequestAttributesSequence=sequence(
            item(ScheduledProcedureStepDescription="Brain for Dr. House", ScheduledProcedureStepID="7")
        ),
        ReasonForRequestedProcedureCodeSequence=sequence(
            item(CodeValue="77", CodingSchemeDesignator="99HOSPITAL", CodeMeaning="Erika"),
            item(CodeValue="51185008", CodingSchemeDesignator="SCT", CodeMeaning="Chest of Erika"),
            item(CodeValue="1", CodingSchemeDesignator="SCT", CodeMeaning="Erika"),
            item(CodeValue="PAT-4711", CodingSchemeDesignator="SCT", CodeMeaning="Erika"),
        ),
    )
    after = done(dataset, Option.CLEAN_DESCRIPTORS)
    assert after.StudyDescription == "CT chest abdomen pelvis"
    assert after.SeriesDescription == "t1 mprage sag 1.5mm", "the patient is called Knee"
    assert after.ProtocolName == "REMOVED"
    assert after.RequestAttributesSequence[0].ScheduledProcedureStepDescription == "Brain"
    codes = after.ReasonForRequestedProcedureCodeSequence
    assert [code.CodeMeaning for code in codes] == ["Chest", "1", "REMOVED"]


def test_sequences_nested_without_end_are_refused() -> None:
    level = item(Modality="CT")
    for _ in range(70):
        level = item(ReferencedInstanceSequence=sequence(level))
    dataset = ct(ReferencedInstanceSequence=sequence(level))
    with pytest.raises(NotDeidentified, match="nested too deeply"):
        done(dataset)


def test_it_takes_some_milliseconds() -> None:
    inner = item(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID="1.2.3")
    dataset = encoded(ct(ReferencedImageSequence=sequence(*[inner] * 3), SeriesDescription="Chest"))
    done(dataset)
    start = time.perf_counter()
    for _ in range(20):
        done(dataset)
    assert (time.perf_counter() - start) / 20 < 0.1


def _raw(tag: int, vr: str, value: bytes | None, length: int = 0) -> RawDataElement:
    return RawDataElement(BaseTag(tag), vr, len(value) if value is not None else length, value, 0, False, True)
