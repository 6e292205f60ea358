"""Whose an image is, as the image itself says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from capacitord.model.matching import Identity, MatchKey, normal


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
    """Return whether these cannot be one patient, or whether one of them is nobody and another is not.

    Two cannot be one if they contradict each other (`matching.contradictions`). There may be thousands of them.
    """
    found = [(patient, patient.key) for patient in patients]
    named = {bool(patient.name or patient.id) for patient, _ in found}
    keys = {key for _, key in found}
    names, ids, birth_dates = ({key[place] for key in keys if key[place]} for place in range(3))
    a_name_counts = any(name and not number for name, number, _ in keys)
    return len(named) > 1 or len(ids) > 1 or len(birth_dates) > 1 or (a_name_counts and len(names) > 1)


def summary(counted: Iterable[tuple[Patient, int]]) -> str:
    """Return what stands for these patients and how many images are of each, the same for all that are written alike.

    It is 64 hex digits, by which two who look at a study can tell that they have seen the same.
    """
    lines = sorted((*patient.key, images) for patient, images in counted if images)
    return hashlib.sha256(msgspec.json.encode(lines)).hexdigest()


def to_type(patients: Sequence[Patient], short: str) -> list[tuple[MatchKey, str]]:
    """Return what a person types to say that she means one of these, and by which key it is compared: for each of them.

    That is the name. Of a patient without one that can be typed, and where another of that name cannot be the same, it
    is the patient id; without that either, the `short` id of the study. It is never empty.
    """
    alike: dict[str, list[Patient]] = {}
    for patient in patients:
        alike.setdefault(patient.key[0], []).append(patient)
    shared = {name for name, found in alike.items() if several(found)}
    return [_to_type(patient, short, shared=patient.key[0] in shared) for patient in patients]


def _to_type(patient: Patient, short: str, *, shared: bool) -> tuple[MatchKey, str]:
    if patient.name.strip("^= ") and patient.name.isprintable() and not shared:
        return MatchKey.PATIENT_NAME, patient.name
    if patient.id and patient.id.isprintable():
        return MatchKey.PATIENT_ID, patient.id
    return MatchKey.STUDY_INSTANCE_UID, short


def typed_for(typed: str, patients: Sequence[Patient], short: str) -> list[Patient]:
    """Return the patients whom a person names by what she typed, as `to_type` asks for it; none if that is nobody."""
    wanted = zip(patients, to_type(patients, short), strict=True)
    return [patient for patient, (key, text) in wanted if normal(key, typed) == normal(key, text)]
