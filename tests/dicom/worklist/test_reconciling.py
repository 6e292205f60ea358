"""What an entry writes into an image leaves nothing of the patient that the scanner took it for, but on record."""

from __future__ import annotations

import datetime as dt

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from capacitord.dicom.transform.engine import apply
from capacitord.dicom.worklist.reconciling import reconciliation
from tests.dicom.worklist.kit import STEP, entry

NOW = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
HERS = {
    "PatientName": "Doe^Jane",
    "PatientID": "P1",
    "PatientBirthDate": "19800101",
    "PatientSex": "F",
    "AccessionNumber": "A-1",
    "AdmissionID": "V1",
    STEP: [{"ScheduledProcedureStepID": "S1"}],
}
EVE = "EVE"


def of_eve() -> Dataset:
    """Return the attributes of an image that a scanner took under the identity of Eve, all of whose values say so."""
    image = Dataset()
    image.PatientName, image.PatientID, image.PatientSex, image.AccessionNumber = "EVE^1", "EVE2", "M", "EVE3"
    image.PatientBirthName, image.OtherPatientNames, image.PatientMotherBirthName = "EVE^4", "EVE^5", "EVE^6"
    image.PatientAddress, image.PatientComments, image.MedicalAlerts = "EVE 7", "EVE 8", "EVE 9"
    image.AdmissionID, image.MedicalRecordLocator, image.ResponsiblePerson = "EVE10", "EVE11", "EVE^12"
    image.Allergies, image.AdditionalPatientHistory, image.PatientTelephoneNumbers = "EVE 13", "EVE 14", "EVE 15"
    image.RequestedProcedureID, image.RequestedProcedureDescription = "EVE16", "EVE 17"
    image.PlacerOrderNumberImagingServiceRequest, image.RequestingPhysician = "EVE18", "EVE^19"
    image.PatientAge, image.PatientBirthTime, image.PatientWeight = "077Y", "010101", "70"
    other, request = Dataset(), Dataset()
    other.PatientID, other.TypeOfPatientID = "EVE20", "TEXT"
    request.RequestedProcedureID = "EVE21"
    image.OtherPatientIDsSequence, image.RequestAttributesSequence = Sequence([other]), Sequence([request])
    return image


def test_nothing_is_left_of_the_other_patient_but_what_it_said_before() -> None:
    image = of_eve()
    done = apply((reconciliation(entry(HERS)),), image, key=bytes(32), now=NOW).dataset
    (original,) = done.OriginalAttributesSequence
    before = str(original.ModifiedAttributesSequence[0])
    assert all(f"{EVE}{number}" in before.translate({ord(c): None for c in " ^"}) for number in range(1, 22))
    del done.OriginalAttributesSequence
    assert EVE not in str(done)
    assert not {"PatientAge", "PatientBirthTime", "OtherPatientIDsSequence"} & set(done.dir())
    assert (done.PatientName, done.PatientID, done.AdmissionID, done.PatientWeight) == ("Doe^Jane", "P1", "V1", 70)
    assert done.RequestAttributesSequence[0].ScheduledProcedureStepID == "S1"
    assert image.PatientName == "EVE^1"
