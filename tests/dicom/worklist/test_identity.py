"""Two entries are of one order only if all that they say of the patient and the order is the same."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.identity import order_of
from capacitord.model.matching import Order


def dataset() -> Dataset:
    """Return an entry with one step."""
    made, step, code = Dataset(), Dataset(), Dataset()
    made.PatientID, made.PatientName, made.IssuerOfPatientID = "P1", "Doe^Jane", "HOSPITAL"
    made.PatientBirthDate, made.PatientSex = "19700101", "F"
    made.AccessionNumber, made.StudyInstanceUID, made.RequestedProcedureID = "A-1", "1.2.3", "RP-1"
    made.OtherPatientIDs, made.ReferringPhysicianName = "MRN-7", "Roe^Ann"
    made.RequestedProcedureDescription = "CT thorax"
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTTHX", "99LOCAL", "CT thorax"
    made.RequestedProcedureCodeSequence = Sequence([code])
    step.ScheduledProcedureStepID, step.Modality, step.ScheduledStationAETitle = "S-1", "CT", "CT1"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20240229", "0800"
    made.ScheduledProcedureStepSequence = Sequence([step])
    return made


def order(original: Dataset, served: Dataset | None = None) -> Order:
    return order_of(Entry(original), Entry(original if served is None else served))


@pytest.mark.parametrize(
    "keyword",
    ["ScheduledProcedureStepID", "Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartTime"],
)
def test_what_is_of_the_step_is_not_of_the_order(keyword: str) -> None:
    other = dataset()
    setattr(other.ScheduledProcedureStepSequence[0], keyword, "1200")
    assert order(other) == order(dataset())
    assert order(other).is_named


OF_THE_ORDER = sorted(element.keyword for element in dataset() if element.VR != "SQ")


@pytest.mark.parametrize("text", ["", "19991231"])
@pytest.mark.parametrize("keyword", OF_THE_ORDER)
def test_all_else_is_and_no_correction_makes_two_orders_one(keyword: str, text: str) -> None:
    other = dataset()
    setattr(other, keyword, text)
    assert order(other) != order(dataset())
    assert order(other, dataset()) != order(dataset())
    assert order(dataset(), other) != order(dataset())


def test_other_codes_are_another_order() -> None:
    other = dataset()
    other.RequestedProcedureCodeSequence[0].CodeValue = "CTABD"
    assert order(other) != order(dataset())
    other.RequestedProcedureCodeSequence = Sequence([])
    assert order(other) != order(dataset())
