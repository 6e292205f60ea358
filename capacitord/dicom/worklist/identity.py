"""What a worklist entry says it is about, by the keys that studies are matched by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import START_DATE, STEPS, tag
from capacitord.model.matching import Identity, MatchKey

_TOP: Final[Mapping[MatchKey, int]] = MappingProxyType(
    {
        MatchKey.ACCESSION_NUMBER: tag("AccessionNumber"),
        MatchKey.STUDY_INSTANCE_UID: tag("StudyInstanceUID"),
        MatchKey.PATIENT_ID: tag("PatientID"),
        MatchKey.PATIENT_NAME: tag("PatientName"),
        MatchKey.PATIENT_BIRTH_DATE: tag("PatientBirthDate"),
        MatchKey.PATIENT_SEX: tag("PatientSex"),
        MatchKey.REQUESTED_PROCEDURE: tag("RequestedProcedureID"),
        MatchKey.STUDY_DESCRIPTION: tag("RequestedProcedureDescription"),
    }
)
_OF_THE_STEP: Final[Mapping[MatchKey, int]] = MappingProxyType(
    {
        MatchKey.MODALITY: tag("Modality"),
        MatchKey.SCHEDULED_DATE: START_DATE,
        MatchKey.SCHEDULED_STATION: tag("ScheduledStationAETitle"),
        MatchKey.SCHEDULED_STEP: tag("ScheduledProcedureStepID"),
    }
)


def identity_of(entry: Entry) -> Identity:
    """Return the identity of an entry: of its first step, for an entry has one (PS3.4 table K.6-1)."""
    found = {key: entry.values(place) for key, place in _TOP.items()}
    for step in entry.items(STEPS)[:1]:
        found |= {key: step.values(place) for key, place in _OF_THE_STEP.items()}
    return Identity({key: "\\".join(values) for key, values in found.items() if any(values)})
