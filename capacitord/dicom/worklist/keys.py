"""The attributes of a worklist entry that this box knows: what it asks the source for and supports as keys.

They are those of PS3.4 table K.6-1 and of the code and reference sequences in it. All of them are supported for
matching and for existence alike; any other key is one that is not supported (PS3.4 §C.2.2.1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from pydicom.datadict import tag_for_keyword

Keys: TypeAlias = Mapping[int, "Keys | None"]
"""Supported keys by tag; those of its items if it is a sequence."""

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND (PS3.4 §K.5)."""


def tag(keyword: str) -> int:
    """Return the tag of a keyword of PS3.6."""
    return cast("int", tag_for_keyword(keyword))


STEPS: Final = tag("ScheduledProcedureStepSequence")
START_DATE: Final = tag("ScheduledProcedureStepStartDate")
START_TIME: Final = tag("ScheduledProcedureStepStartTime")
CHARACTER_SET: Final = tag("SpecificCharacterSet")
OFFSET: Final = tag("TimezoneOffsetFromUTC")

NAMING: Final = frozenset(
    map(tag, ("PatientName", "PatientID", "AccessionNumber", "RequestedProcedureID", "StudyInstanceUID"))
)
"""Keys by which one patient or one order is asked for."""

IDENTITY: Final = NAMING | frozenset(
    map(tag, ("IssuerOfPatientID", "OtherPatientIDs", "PatientBirthDate", "PatientSex"))
)
"""What tells one patient or order from another."""


def _keys(words: str, sequences: Mapping[str, Keys] = MappingProxyType({})) -> Keys:
    plain: dict[int, Keys | None] = {tag(keyword): None for keyword in words.split()}
    return MappingProxyType({**plain, **{tag(keyword): inside for keyword, inside in sequences.items()}})


CODE: Final = _keys("CodeValue CodingSchemeDesignator CodingSchemeVersion CodeMeaning LongCodeValue URNCodeValue")
_REFERENCE: Final = _keys("ReferencedSOPClassUID ReferencedSOPInstanceUID")
_ISSUER: Final = _keys("LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType")

STEP: Final = _keys(
    "Modality RequestedContrastAgent ScheduledStationAETitle ScheduledProcedureStepStartDate "
    "ScheduledProcedureStepStartTime ScheduledProcedureStepEndDate ScheduledProcedureStepEndTime "
    "ScheduledPerformingPhysicianName ScheduledProcedureStepDescription ScheduledProcedureStepID "
    "ScheduledStationName ScheduledProcedureStepLocation PreMedication ScheduledProcedureStepStatus "
    "CommentsOnTheScheduledProcedureStep",
    {"ScheduledProtocolCodeSequence": CODE},
)
"""Keys of an item of Scheduled Procedure Step Sequence."""

SUPPORTED: Final = _keys(
    "AccessionNumber InstitutionName ReferringPhysicianName AdmittingDiagnosesDescription PatientName PatientID "
    "IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs PatientAge PatientSize "
    "PatientWeight MedicalAlerts Allergies EthnicGroup Occupation AdditionalPatientHistory PregnancyStatus "
    "SmokingStatus LastMenstrualDate PatientComments StudyInstanceUID StudyID StudyDate StudyTime "
    "RequestingPhysician RequestingService RequestedProcedureDescription AdmissionID SpecialNeeds "
    "CurrentPatientLocation PatientState RequestedProcedureID ReasonForTheRequestedProcedure "
    "RequestedProcedurePriority PatientTransportArrangements RequestedProcedureLocation "
    "ConfidentialityCode ReportingPriority NamesOfIntendedRecipientsOfResults RequestedProcedureComments "
    "ReasonForTheImagingServiceRequest PlacerOrderNumberImagingServiceRequest "
    "FillerOrderNumberImagingServiceRequest ImagingServiceRequestComments "
    "ConfidentialityConstraintOnPatientDataDescription",
    {
        "ScheduledProcedureStepSequence": STEP,
        "RequestedProcedureCodeSequence": CODE,
        "ReasonForRequestedProcedureCodeSequence": CODE,
        "ReferencedStudySequence": _REFERENCE,
        "ReferencedPatientSequence": _REFERENCE,
        "IssuerOfAccessionNumberSequence": _ISSUER,
    },
)
"""All supported keys."""
