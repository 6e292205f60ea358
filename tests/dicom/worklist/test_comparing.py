"""An entry before and after its corrections, attribute by attribute."""

from __future__ import annotations

import datetime as dt

from capacitord.dicom.worklist.comparing import Compared, compared
from capacitord.dicom.worklist.correct import correct
from capacitord.model.transform import On, Remove, Set, Transform
from tests.dicom.transform.kit import at, value
from tests.dicom.worklist import kit

NOW = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)
COACH = Transform(
    "coach", On.WORKLIST, (Set(at("ScheduledStationAETitle"), value("COACH")), Remove(at("PatientComments")))
)
SAID = {
    "AccessionNumber": "A1",
    "PatientName": "Müller^Änne",
    "PatientID": "P1",
    "PatientComments": "deaf",
    "RequestedProcedureID": "R1",
    **kit.step(Modality="CT", ScheduledStationAETitle="ANY", ScheduledProcedureStepID="S1"),
}


def test_both_are_told_side_by_side_with_what_changed_them() -> None:
    original = kit.entry(SAID, "ISO_IR 100")
    found = {each.name: each for each in compared(original, correct(original, [COACH], key=b"k" * 32, now=NOW))}
    assert found["PatientName"] == Compared("PatientName", "Müller^Änne", "Müller^Änne")
    station = "ScheduledProcedureStepSequence[1].ScheduledStationAETitle"
    assert found[station] == Compared(station, "ANY", "COACH", ("coach",))
    assert found["PatientComments"] == Compared("PatientComments", "deaf", None, ("coach",))
    study = found["StudyInstanceUID"]
    assert study.before is None
    assert study.after is not None
    assert study.after.startswith("2.25.")
    assert study.by == ("required",)


def test_values_that_are_no_text_are_shown_as_something() -> None:
    original = kit.entry({**SAID, "EncapsulatedDocument": b"\1\2"}, "ISO_IR 100")
    found = compared(original, correct(original, [], key=b"", now=NOW))
    (document,) = [each for each in found if each.name == "EncapsulatedDocument"]
    assert (document.before, document.after, document.by) == ("…", "…", ())
