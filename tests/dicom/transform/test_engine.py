"""Transforms one after the other: what is reported, what is recorded, what is held, and that the original stays."""

from __future__ import annotations

import datetime as dt
import io

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.sequence import Sequence

from capacitord.dicom.transform.attributes import DatasetAttributes
from capacitord.dicom.transform.engine import apply
from capacitord.dicom.transform.failure import TransformFailed
from capacitord.model.conditions import Attributes
from capacitord.model.transform import (
    Map,
    On,
    OnError,
    Operation,
    Reason,
    Record,
    Remove,
    Replace,
    Set,
    SetMissing,
    Suffix,
    Transform,
)
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.transform.kit import KEY, NOW, Received, applied, at, rewritten, transform, value, whole
from tests.dicom.trees import Node, written

BAD = Set(at("StudyDate"), value("tomorrow"))
GOOD = Set(at("PatientID"), value("P2"))


def ct() -> Dataset:
    return pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))


def encoded(dataset: Dataset) -> bytes:
    out = DicomBytesIO()
    pydicom.dcmwrite(out, dataset)
    return out.getvalue()


def test_the_original_is_not_altered() -> None:
    start = ct()
    before = encoded(ct())
    operations = (
        Set(at("PatientName"), value("山田")),
        Remove(at("**.PatientID")),
        Set(at("OtherPatientIDsSequence.TypeOfPatientID"), value("RFID")),
        Remove(at("(0009,xxxx)")),
    )
    out = applied(start, *operations, record=Record())
    assert encoded(start) == before
    assert encoded(out.dataset) != before
    again = applied(start, *operations, record=Record())
    assert encoded(again.dataset) == encoded(out.dataset)


def test_every_change_is_reported() -> None:
    out = applied(ct(), Set(at("PatientID"), value("A")), Suffix(at("PatientID"), "B"), Remove(at("Modality")))
    assert [(c.attribute, c.before, c.after, c.transform, c.operation) for c in out.changes] == [
        ("PatientID", "1CT1", "A", "test", "set"),
        ("PatientID", "A", "AB", "test", "suffix"),
        ("Modality", "CT", None, "test", "remove"),
    ]
    assert [edit.path for edit in out.edits] == [(0x00100020,), (0x00080060,)]


def test_a_change_is_shown_without_its_values() -> None:
    out = applied(ct(), Set(at("PatientID"), value("SECRET")))
    assert "SECRET" not in repr(out.changes)
    assert "1CT1" not in repr(out.changes)


def test_items_are_counted_from_one() -> None:
    out = applied(ct(), Set(at("OtherPatientIDsSequence.PatientID"), value("X")))
    names = [change.attribute for change in out.changes]
    assert names == ["OtherPatientIDsSequence[1].PatientID", "OtherPatientIDsSequence[2].PatientID"]


def test_a_failure_says_which_operation_and_why() -> None:
    with pytest.raises(TransformFailed) as caught:
        applied(ct(), GOOD, BAD)
    assert str(caught.value) == "test: set StudyDate: the value is not a date like 20240229 (VR DA)"
    assert (caught.value.transform, caught.value.operation, caught.value.attribute) == ("test", "set", "StudyDate")


class TestSkip:
    def test_leaves_out_what_failed_and_says_so(self) -> None:
        out = applied(ct(), GOOD, BAD, Suffix(at("PatientID"), "X"), on_error=OnError.SKIP)
        assert out.dataset.PatientID == "P2X"
        assert out.dataset.StudyDate == ct().StudyDate
        assert [failed.attribute for failed in out.skipped] == ["StudyDate"]
        assert [change.attribute for change in out.changes] == ["PatientID", "PatientID"]

    def test_leaves_nothing_of_what_failed_half_way(self) -> None:
        strict = Map(at("**.PatientID"), {"1CT1": "X"}, strict=True)
        nested = Set(at("RequestAttributesSequence.StudyDate"), value("tomorrow"))
        out = applied(ct(), strict, nested, on_error=OnError.SKIP)
        assert out.changes == ()
        assert out.edits == ()
        assert len(out.skipped) == 2

    def test_is_for_the_transform_that_says_so(self) -> None:
        careless = Transform("careless", On.OUTBOUND, (BAD,), on_error=OnError.SKIP)
        with pytest.raises(TransformFailed, match=r"^careful: "):
            apply([careless, Transform("careful", On.OUTBOUND, (BAD,))], ct(), key=KEY, now=NOW)


class TestRecord:
    HOW = Record(Reason.CORRECT, "St. Mary's", "FLUXBOX")

    def test_holds_what_was_there_before(self) -> None:
        out = applied(
            ct(),
            GOOD,
            Remove(at("InstitutionName")),
            Set(at("IssuerOfPatientID"), value("STM")),
            Set(at("OtherPatientIDsSequence.PatientID"), value("X")),
            Remove(at("(0009,xx01,GEMS_IDEN_01)")),
            record=self.HOW,
        )
        (item,) = out.dataset.OriginalAttributesSequence
        assert item.AttributeModificationDateTime == "20260228081500.250000+0000"
        assert item.ModifyingSystem == "FLUXBOX"
        assert item.SourceOfPreviousValues == "St. Mary's"
        assert item.ReasonForTheAttributeModification == "CORRECT"
        (previous,) = item.ModifiedAttributesSequence
        assert sorted(previous.keys()) == [
            0x00080080,
            0x00090010,
            0x00091001,
            0x00100020,
            0x00100021,
            0x00101002,
        ]
        assert previous.PatientID == "1CT1"
        assert previous.InstitutionName == "JFK IMAGING CENTER"
        assert previous["IssuerOfPatientID"].is_empty
        assert previous[0x00090010].value == "GEMS_IDEN_01"
        assert [each.PatientID for each in previous.OtherPatientIDsSequence] == ["ABCD1234", "1234ABCD"]

    def test_adds_to_what_others_recorded(self) -> None:
        first = applied(ct(), GOOD, record=self.HOW).dataset
        second = applied(first, Set(at("PatientID"), value("P3")), record=Record(system="TWO"))
        items = second.dataset.OriginalAttributesSequence
        assert [item.ModifyingSystem for item in items] == ["FLUXBOX", "TWO"]
        assert [item.ModifiedAttributesSequence[0].PatientID for item in items] == ["1CT1", "P2"]
        assert len(first.OriginalAttributesSequence) == 1

    @pytest.mark.parametrize("how", [Record(), Record(system=" ")])
    def test_says_who_changed_it_also_where_the_profile_does_not(self, how: Record) -> None:
        (item,) = applied(ct(), GOOD, record=how).dataset.OriginalAttributesSequence
        assert (item.ModifyingSystem, item.SourceOfPreviousValues) == ("capacitord", "")
        assert item.AttributeModificationDateTime
        assert item.ReasonForTheAttributeModification == "COERCE"

    def test_is_one_item_for_transforms_that_record_alike(self) -> None:
        two = [transform(GOOD, record=self.HOW), transform(Suffix(at("PatientID"), "X"), record=self.HOW)]
        out = apply([*two, transform(Remove(at("Modality")))], ct(), key=KEY, now=NOW)
        (item,) = out.dataset.OriginalAttributesSequence
        assert item.ModifiedAttributesSequence[0].PatientID == "1CT1"
        assert "Modality" not in item.ModifiedAttributesSequence[0]

    def test_tells_two_that_record_differently_apart(self) -> None:
        nested = at("OtherPatientIDsSequence.PatientID")
        two = [
            transform(Set(nested, value("A")), record=Record(system="ONE")),
            transform(Set(nested, value("B")), record=Record(system="TWO")),
        ]
        items = apply(two, ct(), key=KEY, now=NOW).dataset.OriginalAttributesSequence
        before = [item.ModifiedAttributesSequence[0].OtherPatientIDsSequence[0].PatientID for item in items]
        assert before == ["ABCD1234", "A"]

    def test_is_not_there_if_nothing_changed(self) -> None:
        out = applied(ct(), SetMissing(at("PatientID"), value("X")), record=self.HOW)
        assert "OriginalAttributesSequence" not in out.dataset
        assert out.changes == ()

    def _recorded(self, level: tuple[Node, ...], syntax: str, *operations: Operation) -> Dataset:
        out = whole(rewritten(Received(syntax, written(level, syntax)), *operations, record=self.HOW))
        dataset = pydicom.filereader.read_dataset(
            io.BytesIO(out), is_implicit_VR=syntax == IMPLICIT, is_little_endian=syntax != BIG_ENDIAN
        )
        (item,) = dataset.OriginalAttributesSequence
        assert isinstance(item, Dataset)
        return item

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
    @pytest.mark.parametrize(
        ("vr", "tag", "bytes_"),
        [
            ("DA", "StudyDate", b"29.2.24 "),
            ("AS", "PatientAge", b"42"),
            ("LO", "PatientID", b"P\xe4\xf6\xfc"),
            ("SH", "AccessionNumber", b"longer than sixteen "),
            ("CS", "Modality", b"CT\\MR "),
            ("US", "PregnancyStatus", b"\1\0\2"),
        ],
    )
    def test_keeps_the_bytes_of_a_value_that_was_none(self, syntax: str, vr: str, tag: str, bytes_: bytes) -> None:
        number = tag_for_keyword(tag)
        assert number is not None
        new = {"DA": "20240229", "AS": "042Y", "US": "1"}.get(vr, "X")
        level = (Node(number, vr, bytes_), Node(0x00204000, "LT", b"all right "))
        item = self._recorded(level, syntax, Set(at(tag), value(new)), Set(at("ImageComments"), value("A")))
        previous = item.ModifiedAttributesSequence[0]
        assert previous[number].is_empty
        assert previous.ImageComments == "all right"
        (one,) = item.NonconformingModifiedAttributesSequence
        assert (one.SelectorAttribute, one.SelectorValueNumber) == (number, 0)
        assert one.NonconformingDataElementValue == bytes_ + b"\0" * (len(bytes_) % 2)
        assert len(one) == 3

    def test_says_where_in_sequences_a_value_was_none(self) -> None:
        inner = (Node(0x00090010, "LO", b"ACME"), Node(0x00091001, "DS", b"one "), Node(0x00100020, "LO", b"P1"))
        inside = (Node(0x00081199, "SQ", items=((), inner)),)
        level = (Node(0x00400275, "SQ", items=(inside,)),)
        path = at("RequestAttributesSequence.ReferencedSOPSequence.(0009,xx01,ACME)")
        item = self._recorded(level, EXPLICIT, Remove(path), Remove(at("**.PatientID")))
        (one,) = item.NonconformingModifiedAttributesSequence
        assert (one.SelectorAttribute, one.SelectorAttributePrivateCreator) == (0x00090001, "ACME")
        assert list(one.SelectorSequencePointer) == [0x00400275, 0x00081199]
        assert list(one.SelectorSequencePointerItems) == [1, 2]
        assert "SelectorSequencePointerPrivateCreator" not in one
        assert one.NonconformingDataElementValue == b"one "
        sequence = item.ModifiedAttributesSequence[0].RequestAttributesSequence[0].ReferencedSOPSequence
        assert len(sequence) == 2
        assert (sequence[1][0x00091001].is_empty, sequence[1].PatientID) == (True, "P1")

    def test_names_the_creator_of_a_private_sequence_around_it(self) -> None:
        inner = (Node(0x00080020, "DA", b"29.2.24 "),)
        level = (Node(0x00090010, "LO", b"ACME"), Node(0x00091001, "SQ", items=(inner,)))
        item = self._recorded(level, EXPLICIT, Set(at("(0009,xx01,ACME).StudyDate"), value("20240229")))
        (one,) = item.NonconformingModifiedAttributesSequence
        assert (one.SelectorSequencePointer, one.SelectorSequencePointerPrivateCreator) == (0x00090001, "ACME")
        assert one.SelectorSequencePointerItems == 1
        assert one.SelectorAttribute == 0x00080020

    def test_keeps_the_bytes_of_a_sequence_that_cannot_be_read(self) -> None:
        broken = b"\xfe\xff\x00\xe0\xff\0\0\0Erika "
        data = written((Node(0x00081140, "OB", broken),), EXPLICIT).replace(b"OB", b"SQ")
        out = whole(rewritten(Received(EXPLICIT, data), Remove(at("ReferencedImageSequence")), record=self.HOW))
        read = pydicom.filereader.read_dataset(io.BytesIO(out), is_implicit_VR=False, is_little_endian=True)
        (item,) = read.OriginalAttributesSequence
        assert len(item.ModifiedAttributesSequence[0].ReferencedImageSequence) == 0
        assert item.NonconformingModifiedAttributesSequence[0].NonconformingDataElementValue == broken

    def test_says_nothing_of_values_where_all_were_some(self) -> None:
        out = applied(ct(), GOOD, Set(at("OtherPatientIDsSequence.PatientID"), value("X")), record=self.HOW)
        assert "NonconformingModifiedAttributesSequence" not in out.dataset.OriginalAttributesSequence[0]

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
    def test_in_every_encoding(self, syntax: str) -> None:
        inside = (Node(0x001021C0, "US", b"\1\0" if syntax != BIG_ENDIAN else b"\0\1"),)
        level = (Node(0x00081140, "SQ", items=(inside,), open_ended=True), Node(0x001021C0, "US", inside[0].value))
        image = Received(syntax, written(level, syntax))
        out = whole(rewritten(image, Set(at("**.PregnancyStatus"), value("7")), record=self.HOW))
        dataset = pydicom.filereader.read_dataset(
            io.BytesIO(out), is_implicit_VR=syntax == IMPLICIT, is_little_endian=syntax != BIG_ENDIAN
        )
        previous = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
        assert (dataset.PregnancyStatus, dataset.ReferencedImageSequence[0].PregnancyStatus) == (7, 7)
        assert (previous.PregnancyStatus, previous.ReferencedImageSequence[0].PregnancyStatus) == (1, 1)


def test_what_a_worklist_answers_is_changed_alike() -> None:
    entry = Dataset()
    entry.SpecificCharacterSet = "ISO_IR 100"
    entry.PatientName = "Müller^Jörg"
    step = Dataset()
    step.Modality = "CT"
    step.ScheduledStationAETitle = "OLD"
    entry.ScheduledProcedureStepSequence = Sequence([step])
    operations: tuple[Operation, ...] = (
        Set(at("ScheduledProcedureStepSequence.ScheduledStationAETitle"), value("COACHCT")),
        Replace(at("PatientName"), "ö", "oe"),
    )
    out = apply([Transform("worklist", On.WORKLIST, operations)], entry, key=KEY, now=NOW)
    assert out.dataset.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "COACHCT"
    assert str(out.dataset.PatientName) == "Müller^Joerg"
    assert step.ScheduledStationAETitle == "OLD"


def test_conditions_see_the_values() -> None:
    seen: Attributes = DatasetAttributes(ct())
    assert seen.values(at("PatientID")) == ("1CT1",)
    assert seen.values(at("ImageType")) == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert seen.values(at("OtherPatientIDsSequence.PatientID")) == ("ABCD1234", "1234ABCD")
    assert seen.values(at("AccessionNumber")) == ("",)
    assert seen.values(at("StudyID")) == ("1CT1",)
    assert seen.values(at("Rows")) == ("128",)
    assert seen.values(at("PatientComments")) is None
    assert seen.values(at("(0009,xx01,GEMS_IDEN_01)")) == ("GE_GENESIS_FF",)
    assert seen.values(at("PixelData")) == ("…",)
    assert seen.values(at("OtherPatientIDsSequence")) == ("…",)


def test_the_time_of_a_change_has_its_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=-6))
    out = apply([transform(GOOD, record=Record())], ct(), key=KEY, now=NOW.astimezone(zone))
    when = out.dataset.OriginalAttributesSequence[0].AttributeModificationDateTime
    assert when == "20260228021500.250000-0600"
