"""Whose image it is, and where in it something stands: what every rule needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.deidentify import dates
from capacitord.dicom.deidentify.codes import Codes, Patient
from capacitord.dicom.deidentify.words import Identity
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import AnyElement, declared, vr_of
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from capacitord.dicom.deidentify.table import Profile

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021
PATIENT_BIRTH_DATE: Final = 0x00100030
ACCESSION_NUMBER: Final = 0x00080050
STUDY_ID: Final = 0x00200010
STUDY_INSTANCE_UID: Final = 0x0020000D

_NAMES: Final = (PATIENT_NAME, 0x00101001, 0x00101005, 0x00101060, 0x00102297, 0x00080090, 0x00081050, 0x00081070)
"""Of the patient, of relatives, and of those who treat the patient."""
_IDS: Final = (PATIENT_ID, 0x00101000, ACCESSION_NUMBER, PATIENT_BIRTH_DATE, 0x00101090, 0x00102154, 0x00101040)
"""Of the patient and the order, with birth date, telephone numbers and address."""
_UIDS: Final = (0x00080018, STUDY_INSTANCE_UID, 0x0020000E, 0x00200052)


class Place(NamedTuple):
    """One element: the level it is on, the character set in force there, and how deep that lies (0: the top).

    It is `strict` within a sequence that is cleaned: there no text is taken on trust, not even where the table does
    not list it.
    """

    level: Dataset
    tag: int
    element: AnyElement
    characters: CharacterSet
    depth: int
    strict: bool = False

    @property
    def vr(self) -> str:
        """Its VR, UN if nobody knows it."""
        return vr_of(self.level, self.tag)

    def values(self) -> list[str]:
        """Return its values, none if they cannot be read."""
        return read(self.level, self.tag, self.characters)

    def neighbour(self, tag: int) -> str:
        """Return the first value of another attribute of the same level."""
        return first(self.level, tag, self.characters)


class Subject:
    """Who an image is of, what stands for that at its destination, and how much of it may leave."""

    def __init__(self, dataset: Dataset, how: Profile, codes: Codes) -> None:
        self.how = how
        self.codes = codes
        characters = declared(dataset)
        self.patient = Patient(
            first(dataset, PATIENT_ID, characters),
            first(dataset, ISSUER_OF_PATIENT_ID, characters),
            first(dataset, PATIENT_NAME, characters),
            first(dataset, PATIENT_BIRTH_DATE, characters),
            first(dataset, STUDY_INSTANCE_UID, characters),
        )
        self.days = codes.days(self.patient)
        uids = () if how.chose(Option.RETAIN_UIDS) else _UIDS
        self.identity = Identity(
            [name for tag in _NAMES for name in read(dataset, tag, characters)],
            [
                *(each for tag in (*_IDS, *uids) for each in read(dataset, tag, characters)),
                *dates.spellings(self.patient.birth_date),
            ],
        )


def read(level: Dataset, tag: int, characters: CharacterSet) -> list[str]:
    """Return the values of an element, none if they cannot be read."""
    try:
        return values.read(level, tag, characters)
    except Unfit:
        return []


def first(level: Dataset, tag: int, characters: CharacterSet) -> str:
    """Return the first value of an element, empty if there is none."""
    return next(iter(read(level, tag, characters)), "")
