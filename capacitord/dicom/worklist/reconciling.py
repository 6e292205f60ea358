"""What an entry of the worklist writes into the images of a study that a person says it belongs to (IHE RAD TF PIR).

Who the patient is comes from the entry, all of it: what the entry does not say is not left as the scanner had it, for
that may be another patient's. So does the order. What was examined and how stays as the scanner wrote it, and so do
all UIDs: the study is not another one because it got its order late. What the image said before is written into
Original Attributes Sequence (PS3.3 §C.12.1.1.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import STEPS, tag
from capacitord.model.attribute import Attribute, Step
from capacitord.model.transform import On, Operation, Reason, Record, Remove, Set, Template, Transform

NAME: Final = "reconcile"
"""What the transform is called, where a person sees it."""

_PATIENT: Final = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")
"""Of type 2 in every image: empty where the entry has no value (PS3.3 §C.7.1.1, §C.7.2.1)."""
_IF_THERE: Final = (
    *("IssuerOfPatientID", "OtherPatientIDs", "PatientBirthTime", "PatientAge", "EthnicGroup", "Occupation"),
    *("AdditionalPatientHistory", "MedicalAlerts", "Allergies", "PatientComments", "AdmissionID"),
    *("RequestingPhysician", "RequestingService", "RequestedProcedureDescription"),
    *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
)
"""Not in the image where the entry has no value. What was measured for the examination, as weight, is none of these."""
_NEVER: Final = (
    *("IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID", "OtherPatientIDsSequence", "OtherPatientNames"),
    *("SourcePatientGroupIdentificationSequence", "GroupOfPatientsIdentificationSequence", "PatientBirthName"),
    *("PatientMotherBirthName", "PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"),
    *("PatientAlternativeCalendar", "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation"),
    *("CountryOfResidence", "RegionOfResidence", "MilitaryRank", "BranchOfService", "MedicalRecordLocator"),
    *("EthnicGroupCodeSequence", "PatientReligiousPreference", "PatientPrimaryLanguageCodeSequence"),
    *("PatientInsurancePlanCodeSequence", "InsurancePlanIdentification", "ReferencedPatientPhotoSequence"),
    *("ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization", "ReferencedPatientSequence"),
    *("IssuerOfAdmissionIDSequence", "RequestedProcedureID", "RequestedProcedureCodeSequence"),
    *("IssuerOfAccessionNumberSequence", "ReferencedStudySequence"),
)
"""By what else a patient or an order is known. No entry that this box asks for says it in a way that can be written."""
_ORDER: Final = ("ReferringPhysicianName",)
"""As the scanner wrote it where the entry has no value."""
_REQUEST: Final = "RequestAttributesSequence"
_REQUESTED: Final = ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription")
_SCHEDULED: Final = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription")
_CODES: Final[Mapping[str, bool]] = MappingProxyType(
    {"RequestedProcedureCodeSequence": False, "ScheduledProtocolCodeSequence": True}
)
"""Code sequences of the request, and whether they are the step's."""
_CODE: Final = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")


def reconciliation(entry: Entry) -> Transform:
    """Return what writes an entry, as the scanner would have got it, into an image."""
    return Transform(NAME, On.INBOUND, tuple(_operations(entry)), record=Record(Reason.CORRECT))


def _operations(entry: Entry) -> Iterator[Operation]:
    for keyword in _PATIENT:
        yield _set(_text(entry, keyword), keyword)
    for keyword in _IF_THERE:
        text = _text(entry, keyword)
        yield _set(text, keyword) if text else Remove(_named(keyword))
    yield from (Remove(_named(keyword)) for keyword in _NEVER)
    yield from (_set(text, keyword) for keyword in _ORDER if (text := _text(entry, keyword)))
    yield Remove(_named(_REQUEST))
    for keyword in _REQUESTED:
        yield from _request(entry, keyword)
    for step in entry.items(STEPS)[:1]:
        for keyword in _SCHEDULED:
            yield from _request(step, keyword)
    for keyword, of_the_step in _CODES.items():
        levels = entry.items(STEPS)[:1] if of_the_step else (entry,)
        codes = [code for level in levels for code in level.items(tag(keyword))]
        # One code can be written by name; several mean that what was asked for is in words.
        for code in codes if len(codes) == 1 else ():
            for part in _CODE:
                yield from (_set(text, _REQUEST, keyword, part) for text in [_text(code, part)] if text)


def _request(level: Entry, keyword: str) -> Iterator[Operation]:
    text = _text(level, keyword)
    if text:
        yield _set(text, _REQUEST, keyword)


def _text(level: Entry, keyword: str) -> str:
    return "\\".join(level.values(tag(keyword)))


def _set(text: str, *keywords: str) -> Set:
    return Set(_named(*keywords), Template(text, (text,) if text else ()))


def _named(*keywords: str) -> Attribute:
    return Attribute(".".join(keywords), tuple(Step(tag(keyword)) for keyword in keywords))
