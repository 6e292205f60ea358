"""Whose an image is, as the image itself says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from capacitord.model.matching import Identity, MatchKey, contradictions, normal


class Patient(NamedTuple):
    """What an image says of the patient, in DICOM's form; empty where it says nothing."""

    name: str = ""
    id: str = ""
    birth_date: str = ""

    @classmethod
    def of(cls, identity: Identity) -> Patient:
        """Return whom an identity says."""
        keys = (MatchKey.PATIENT_NAME, MatchKey.PATIENT_ID, MatchKey.PATIENT_BIRTH_DATE)
        return cls(*(identity.values.get(key, "") for key in keys))

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for patients who are written alike: padding and case do not count."""
        return (
            normal(MatchKey.PATIENT_NAME, self.name),
            normal(MatchKey.PATIENT_ID, self.id),
            normal(MatchKey.PATIENT_BIRTH_DATE, self.birth_date),
        )

    @property
    def identity(self) -> Identity:
        """What matching knows of such a patient."""
        found = {
            MatchKey.PATIENT_NAME: self.name,
            MatchKey.PATIENT_ID: self.id,
            MatchKey.PATIENT_BIRTH_DATE: self.birth_date,
        }
        return Identity({key: text for key, text in found.items() if text})


def several(patients: Iterable[Patient]) -> bool:
    """Return whether these cannot be one patient, or whether one of them is nobody and another is not."""
    found = list(patients)
    named = [bool(each.name or each.id) for each in found]
    if any(named) and not all(named):
        return True
    return any(
        contradictions(one.identity, other.identity) for number, one in enumerate(found) for other in found[:number]
    )


def summary(counted: Iterable[tuple[Patient, int]]) -> str:
    """Return what stands for these patients and how many images are of each, the same for all that are written alike.

    It is 64 hex digits, by which two who look at a study can tell that they have seen the same.
    """
    lines = sorted((*patient.key, images) for patient, images in counted if images)
    return hashlib.sha256(msgspec.json.encode(lines)).hexdigest()


def to_type(patient: Patient, patients: Sequence[Patient], short: str) -> tuple[MatchKey, str]:
    """Return what a person types to say that she means this one of `patients`, and by which key it is compared.

    That is the name. Of a patient without one, and where another of that name cannot be the same, it is the patient id;
    without that either, the `short` id of the study. It is never empty.
    """
    alike = [each for each in patients if each.key[0] == patient.key[0]]
    if patient.name.strip("^= ") and not several(alike):
        return MatchKey.PATIENT_NAME, patient.name
    if patient.id:
        return MatchKey.PATIENT_ID, patient.id
    return MatchKey.STUDY_INSTANCE_UID, short


def typed_for(typed: str, patients: Sequence[Patient], short: str) -> list[Patient]:
    """Return the patients whom a person names by what she typed, as `to_type` asks for it; none if that is nobody."""
    wanted = ((each, *to_type(each, patients, short)) for each in patients)
    return [each for each, key, text in wanted if normal(key, typed) == normal(key, text)]
