"""What each operation does to a dataset, and what it refuses."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from capacitord.dicom.transform.engine import apply
from capacitord.dicom.transform.failure import TransformFailed
from capacitord.model.attribute import NotAllowed
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
from tests.dicom.transform.kit import NOW, applied, at, transform, value


def patient(**more: object) -> Dataset:
    dataset = Dataset()
    dataset.PatientID = "COACH-17"
    dataset.PatientName = "Doe^John"
    dataset.AccessionNumber = ""
    for keyword, each in more.items():
        setattr(dataset, keyword, each)
    return dataset


def after(dataset: Dataset, *operations: Operation) -> Dataset:
    return applied(dataset, *operations).dataset


def other_ids(*numbers: str) -> Sequence:
    items = []
    for number in numbers:
        item = Dataset()
        item.PatientID = number
        item.TypeOfPatientID = "TEXT"
        items.append(item)
    return Sequence(items)


class TestSet:
    def test_without_a_vr_that_anybody_knows_says_how_to_write_it(self) -> None:
        with pytest.raises(TransformFailed, match=r'like \{ value = "x", vr = "LO" \}'):
            after(patient(), Set(at("(0029,xx10,MYCREATOR)"), value("x")))

    def test_puts_a_value_together_from_others(self) -> None:
        out = after(
            patient(StudyID="5"), Set(at("StudyDescription"), value("{PatientID}/{StudyID} {{x}} {StationName|-}"))
        )
        assert out.StudyDescription == "COACH-17/5 {x} -"

    def test_needs_what_it_is_made_from(self) -> None:
        for missing in ("AccessionNumber", "StudyID"):
            with pytest.raises(TransformFailed, match=f"{missing}, which it is made from, is missing or empty"):
                after(patient(), Set(at("StudyDescription"), value(f"{{{missing}}}")))

    def test_sees_what_came_before_it(self) -> None:
        out = after(patient(), Set(at("PatientID"), value("A")), Set(at("StudyID"), value("{PatientID}B")))
        assert (out.PatientID, out.StudyID) == ("A", "AB")

    def test_empties(self) -> None:
        assert after(patient(), Set(at("PatientID"), value(""))).PatientID == ""

    def test_makes_sequences_on_the_way(self) -> None:
        out = after(
            patient(), Set(at("RequestAttributesSequence.RequestedProcedureCodeSequence.CodeValue"), value("C"))
        )
        assert out.RequestAttributesSequence[0].RequestedProcedureCodeSequence[0].CodeValue == "C"

    def test_reaches_every_item(self) -> None:
        out = after(
            patient(OtherPatientIDsSequence=other_ids("1", "2")),
            Set(at("OtherPatientIDsSequence.PatientID"), value("X")),
        )
        assert [item.PatientID for item in out.OtherPatientIDsSequence] == ["X", "X"]

    def test_anywhere_is_where_it_is_already(self) -> None:
        start = patient(OtherPatientIDsSequence=other_ids("1"), ReferencedStudySequence=Sequence([Dataset()]))
        out = after(start, Set(at("**.PatientID"), value("X")))
        assert out.PatientID == out.OtherPatientIDsSequence[0].PatientID == "X"
        assert "PatientID" not in out.ReferencedStudySequence[0]

    def test_no_sequence_has_a_value(self) -> None:
        for text in ("x", ""):
            with pytest.raises(TransformFailed, match="VR SQ"):
                after(patient(), Set(at("OtherPatientIDsSequence"), value(text)))
        with pytest.raises(TransformFailed, match="is not a sequence"):
            after(patient(), Set(at("PatientID.PatientName"), value("x")))

    def test_the_same_value_is_no_change(self) -> None:
        assert applied(patient(), Set(at("PatientID"), value("COACH-17"))).changes == ()


class TestSetMissing:
    def test_leaves_a_value_alone(self) -> None:
        out = after(patient(), SetMissing(at("PatientID"), value("X")), SetMissing(at("AccessionNumber"), value("A")))
        assert (out.PatientID, out.AccessionNumber) == ("COACH-17", "A")
        assert after(patient(), SetMissing(at("StudyID"), value("S"))).StudyID == "S"


class TestRemove:
    def test_takes_away_what_is_there(self) -> None:
        out = after(patient(), Remove(at("PatientID")), Remove(at("StudyID")))
        assert "PatientID" not in out
        assert "PatientName" in out

    def test_within_sequences(self) -> None:
        start = patient(OtherPatientIDsSequence=other_ids("1", "2"))
        assert [len(item) for item in after(start, Remove(at("**.PatientID"))).OtherPatientIDsSequence] == [1, 1]
        assert "OtherPatientIDsSequence" not in after(start, Remove(at("OtherPatientIDsSequence")))

    def test_a_group_that_repeats(self) -> None:
        start = patient()
        for group in (0x6000, 0x6002, 0x60FE):
            start.add_new(group << 16 | 0x0022, "LO", "overlay")
        start.add_new(0x60000045, "LO", "label")
        out = after(start, Remove(at("(60xx,0022)")))
        assert [tag for tag in out.keys() if tag >> 24 == 0x60] == [0x60000045]  # noqa: SIM118


class TestPrivate:
    def block(self, number: int, creator: str = "ME") -> Dataset:
        dataset = patient()
        dataset.add_new(0x00090000 | number, "LO", creator)
        dataset.add_new(0x00090001 | number << 8, "LO", "one")
        dataset.add_new(0x00090002 | number << 8, "SH", "two")
        return dataset

    def tags(self, dataset: Dataset) -> list[int]:
        return sorted(tag & 0xFFFF for tag in dataset.keys() if tag >> 16 == 9)  # noqa: SIM118

    @pytest.mark.parametrize("number", [0x10, 0x11, 0xFF])
    def test_an_element_is_found_in_any_block(self, number: int) -> None:
        assert self.tags(after(self.block(number), Remove(at("(0009,xx01,ME)")))) == [number, number << 8 | 2]
        assert self.tags(after(self.block(number), Remove(at("(0009,xxxx,ME)")))) == []
        assert len(self.tags(after(self.block(number), Remove(at("(0009,xx01,YOU)"))))) == 3
        assert after(self.block(number), Set(at("(0009,xx02,ME)"), value("2")))[9, number << 8 | 2].value == "2"

    def test_two_creators_are_told_apart(self) -> None:
        start = self.block(0x10, "YOU")
        start.update(self.block(0x20))
        assert self.tags(after(start, Remove(at("(0009,xx01,ME)")))) == [0x10, 0x20, 0x1001, 0x1002, 0x2002]
        assert self.tags(after(start, Remove(at("(0009,xx01)")))) == [0x10, 0x20, 0x1002, 0x2002]
        assert self.tags(after(start, Remove(at("(0009,xxxx)")))) == []

    def test_a_block_is_reserved_where_there_is_none(self) -> None:
        out = after(self.block(0x10, "YOU"), Set(at("(0009,xx07,ME)"), value("7"), "IS"))
        assert (out[9, 0x11].value, out[9, 0x1107].value, out[9, 0x1107].VR) == ("ME", 7, "IS")

    def test_a_vr_nobody_knows_has_to_be_said(self) -> None:
        with pytest.raises(TransformFailed, match="the profile has to say it"):
            after(patient(), Set(at("(0009,xx07,ME)"), value("7")))
        assert after(patient(), Set(at("(0009,xx01,GEMS_IDEN_01)"), value("x")))[9, 0x1001].VR == "LO"

    def test_the_block_within_an_item_is_its_own(self) -> None:
        start = patient(ReferencedStudySequence=Sequence([self.block(0x10), self.block(0x15)]))
        first, second = after(start, Set(at("**.(0009,xx01,ME)"), value("1"))).ReferencedStudySequence
        assert (first[9, 0x1001].value, second[9, 0x1501].value) == ("1", "1")


class TestCopy:
    def test_takes_the_value_of_another(self) -> None:
        out = after(patient(StudyID="S5"), Copy(at("AccessionNumber"), at("StudyID")))
        assert out.AccessionNumber == "S5"

    def test_of_nothing_changes_nothing(self) -> None:
        assert applied(patient(), Copy(at("PatientID"), at("StudyID"))).changes == ()
        assert applied(patient(), Copy(at("PatientID"), at("AccessionNumber"))).changes == ()

    def test_between_vrs_checks_the_value(self) -> None:
        assert after(patient(Rows=5), Copy(at("StudyID"), at("Rows"))).StudyID == "5"
        with pytest.raises(TransformFailed, match="VR US"):
            after(patient(), Copy(at("PregnancyStatus"), at("PatientID")))

    def test_of_a_sequence_is_a_copy(self) -> None:
        start = patient(OtherPatientIDsSequence=other_ids("1"))
        copy = Copy(at("PatientSpeciesCodeSequence"), at("OtherPatientIDsSequence"))
        out = after(start, copy, Set(at("PatientSpeciesCodeSequence.PatientID"), value("2")))
        assert (out.PatientSpeciesCodeSequence[0].PatientID, out.OtherPatientIDsSequence[0].PatientID) == ("2", "1")

    def test_from_an_item_takes_the_first(self) -> None:
        start = patient(OtherPatientIDsSequence=other_ids("1", "2"))
        assert after(start, Copy(at("StudyID"), at("OtherPatientIDsSequence.PatientID"))).StudyID == "1"

    def test_of_bytes_needs_the_same_vr(self) -> None:
        start = patient(ICCProfile=b"\1\2")
        out = after(start, Copy(at("EncapsulatedDocument"), at("ICCProfile")))
        assert out.EncapsulatedDocument == b"\1\2"
        with pytest.raises(TransformFailed, match="VR OB"):
            after(start, Copy(at("PatientID"), at("ICCProfile")))


class TestReplace:
    def test_groups(self) -> None:
        out = after(patient(), Replace(at("PatientID"), r"^COACH-(\d+)$", r"STM\1"))
        assert out.PatientID == "STM17"
        assert after(patient(), Replace(at("PatientName"), r"(\w+)\^(\w+)", r"\2^\1")).PatientName == "John^Doe"
        assert after(patient(), Replace(at("PatientID"), "1", r"\0é\0")).PatientID == "COACH-1é17"

    def test_each_value(self) -> None:
        out = after(patient(OtherPatientIDs=["A1", "B2"]), Replace(at("OtherPatientIDs"), "[0-9]$", ""))
        assert list(out.OtherPatientIDs) == ["A", "B"]

    def test_what_does_not_match_stays(self) -> None:
        assert applied(patient(), Replace(at("PatientID"), "X", "Y")).changes == ()

    @pytest.mark.parametrize(
        ("pattern", "replacement"), [("(", ""), ("(?=x)", ""), ("a", r"\1"), ("(a)", r"\2"), ("a", r"\n"), ("a", "\\")]
    )
    def test_what_makes_no_sense_is_refused_at_once(self, pattern: str, replacement: str) -> None:
        with pytest.raises(NotAllowed):
            Replace(at("PatientID"), pattern, replacement)

    def test_takes_no_longer_than_the_text_is_long(self) -> None:
        start = patient(PatientComments="a" * 10000)
        began = time.monotonic()
        after(start, Replace(at("PatientComments"), "(a*)*b", ""), Replace(at("PatientComments"), "(.*.*.*)x", ""))
        assert time.monotonic() - began < 2


class TestMap:
    TABLE: ClassVar = {"CT": "MR", "": "never", "A": "B"}

    def test_looks_up(self) -> None:
        assert after(patient(Modality="CT"), Map(at("Modality"), self.TABLE)).Modality == "MR"
        assert after(patient(Modality="US"), Map(at("Modality"), self.TABLE)).Modality == "US"
        assert after(patient(Modality="US"), Map(at("Modality"), self.TABLE, default="OT")).Modality == "OT"
        assert after(patient(), Map(at("AccessionNumber"), self.TABLE)).AccessionNumber == ""

    def test_is_strict_where_it_should(self) -> None:
        with pytest.raises(TransformFailed, match="not in the table"):
            after(patient(Modality="US"), Map(at("Modality"), self.TABLE, strict=True))

    def test_numbers_and_multiple_values(self) -> None:
        assert after(patient(PregnancyStatus=512), Map(at("PregnancyStatus"), {"512": "256"})).PregnancyStatus == 256
        out = after(patient(ImageType=["A", "C"]), Map(at("ImageType"), self.TABLE))
        assert list(out.ImageType) == ["B", "C"]


class TestClean:
    @pytest.mark.parametrize(
        ("before", "cleaned"),
        [
            ("Müller^Jörg", "Muller^Jorg"),
            ("Groß^Łukasz Ørsted", "Gross^Lukasz Orsted"),
            ("e\u0301", "e"),
            ("½ ﬁ", "? fi"),
            ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou"),
            ("山田^太郎", ""),
            ("山田^Taro", "??^Taro"),
            ("Doe^John", "Doe^John"),
        ],
    )
    def test_to_ascii(self, before: str, cleaned: str) -> None:
        start = patient()
        start.SpecificCharacterSet = "ISO_IR 192"
        start.PatientName = before
        assert str(after(start, Clean(at("PatientName"), replacement="?")).PatientName) == cleaned

    def test_to_latin_1(self) -> None:
        start = patient(PatientComments="Müller Ł 山")
        start.SpecificCharacterSet = "ISO_IR 192"
        out = after(start, Clean(at("PatientComments"), Repertoire.LATIN_1, "_"))
        assert out.PatientComments == "Müller L _"

    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=60))
    def test_leaves_nothing_else(self, text: str) -> None:
        start = patient()
        start.SpecificCharacterSet = "ISO_IR 192"
        start.PatientComments = text
        out = after(start, Clean(at("PatientComments")))
        assert str(out.PatientComments or "").isascii()


class TestHash:
    def test_is_the_same_for_the_same_value_and_key(self) -> None:
        start = patient(OtherPatientIDs=["COACH-17", "X"])
        out = after(start, Hash(at("PatientID")), Hash(at("OtherPatientIDs")))
        assert out.PatientID == out.OtherPatientIDs[0] != out.OtherPatientIDs[1]
        assert len(out.PatientID) == 16
        other = apply([transform(Hash(at("PatientID")))], start, key=b"x" * 32, now=NOW)
        assert other.dataset.PatientID != out.PatientID

    def test_of_a_uid_is_a_uid(self) -> None:
        out = after(patient(DeviceUID="1.2.3"), Hash(at("DeviceUID")))
        assert out.DeviceUID.startswith("2.25.")
        assert out.DeviceUID.is_valid

    def test_needs_a_key_and_a_text(self) -> None:
        with pytest.raises(TransformFailed, match="no key"):
            apply([transform(Hash(at("PatientID")))], patient(), key=b"", now=NOW)
        with pytest.raises(TransformFailed, match="VR DA"):
            after(patient(StudyDate="20240101"), Hash(at("StudyDate")))
        with pytest.raises(TransformFailed, match="VR SH allows 16"):
            after(patient(StudyID="1"), Hash(at("StudyID"), 20))
        for length in (7, 53):
            with pytest.raises(NotAllowed):
                Hash(at("PatientID"), length)

    def test_of_nothing_is_nothing(self) -> None:
        assert applied(patient(), Hash(at("AccessionNumber"))).changes == ()


def test_prefix_and_suffix() -> None:
    start = patient(OtherPatientIDs=["A", "B"])
    start.SpecificCharacterSet = "ISO_IR 192"
    start.PatientName = "Yamada^Tarou=山田^太郎"
    out = after(
        start, Prefix(at("PatientID"), "P-"), Suffix(at("OtherPatientIDs"), "-S"), Suffix(at("PatientName"), "^X")
    )
    assert out.PatientID == "P-COACH-17"
    assert list(out.OtherPatientIDs) == ["A-S", "B-S"]
    assert str(out.PatientName) == "Yamada^Tarou^X=山田^太郎"
    assert after(patient(), Prefix(at("AccessionNumber"), "x")).AccessionNumber == ""
    with pytest.raises(TransformFailed, match="text cannot be added"):
        after(patient(PregnancyStatus=5), Prefix(at("PregnancyStatus"), "1"))
