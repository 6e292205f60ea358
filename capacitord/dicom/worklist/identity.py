"""What a worklist entry says it is about: by the keys that studies are matched by, and of which order it is a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import CODE, START_DATE, STEPS, tag
from capacitord.model.matching import Identity, MatchKey, Order

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

_ISSUER: Final = tag("IssuerOfPatientID")
_ORDER: Final = (
    _ISSUER,
    *map(tag, ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")),
    *map(tag, ("AccessionNumber", "StudyInstanceUID", "RequestedProcedureID")),
)
_MORE: Final = tuple(map(tag, ("OtherPatientIDs", "ReferringPhysicianName", "RequestedProcedureDescription")))
_CODES: Final = tag("RequestedProcedureCodeSequence")


_WHO: Final = (_TOP[MatchKey.PATIENT_NAME], _TOP[MatchKey.PATIENT_ID])


def names_nobody(entry: Entry) -> bool:
    """Return whether an entry has neither a patient's name nor an id: nobody knows whose it is."""
    return not any(text.strip("^= ") for who in _WHO for text in entry.values(who))


def order_of(original: Entry, served: Entry) -> Order:
    """Return what an entry says of the patient and the order as it is served.

    What it said as it came is among it, so that no correction makes two orders one.
    """
    return Order(
        patient_id=_text(served, _TOP[MatchKey.PATIENT_ID]),
        patient_name=_text(served, _TOP[MatchKey.PATIENT_NAME]),
        accession_number=_text(served, _TOP[MatchKey.ACCESSION_NUMBER]),
        study_instance_uid=_text(served, _TOP[MatchKey.STUDY_INSTANCE_UID]),
        requested_procedure=_text(served, _TOP[MatchKey.REQUESTED_PROCEDURE]),
        issuer_of_patient_id=_text(served, _ISSUER),
        birth_date=_text(served, _TOP[MatchKey.PATIENT_BIRTH_DATE]),
        sex=_text(served, _TOP[MatchKey.PATIENT_SEX]),
        more=(*_all_of(served), *_all_of(original)),
    )


def _all_of(entry: Entry) -> Iterator[str]:
    yield from (_text(entry, place) for place in (*_ORDER, *_MORE))
    codes = entry.items(_CODES)
    yield str(len(codes))
    yield from (_text(code, place) for code in codes for place in sorted(CODE))


def _text(entry: Entry, place: int) -> str:
    return "\\".join(entry.values(place))


def identity_of(entry: Entry) -> Identity:
    """Return the identity of an entry: of its first step, for an entry has one (PS3.4 table K.6-1)."""
    found = {key: entry.values(place) for key, place in _TOP.items()}
    for step in entry.items(STEPS)[:1]:
        found |= {key: step.values(place) for key, place in _OF_THE_STEP.items()}
    return Identity({key: "\\".join(values) for key, values in found.items() if any(values)})
