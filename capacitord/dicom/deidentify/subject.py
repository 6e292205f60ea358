"""Whose image it is, and where in it something stands: what every rule needs to know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.deidentify import dates
from capacitord.dicom.deidentify.codes import Codes, Patient
from capacitord.dicom.deidentify.words import Identity
from capacitord.dicom.elements import DEEPEST_NESTING
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import AnyElement, declared, element_of, items_of, sequences, shallow, vr_of
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset

    from capacitord.dicom.deidentify.table import Profile

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021
PATIENT_BIRTH_DATE: Final = 0x00100030
ACCESSION_NUMBER: Final = 0x00080050
STUDY_ID: Final = 0x00200010
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D

_NAMES: Final = (PATIENT_NAME, 0x00101001, 0x00101005, 0x00101060, 0x00102297, 0x00080090, 0x00081050, 0x00081070)
"""Of the patient, of relatives, and of those who treat the patient."""
_IDS: Final = (PATIENT_ID, 0x00101000, ACCESSION_NUMBER, PATIENT_BIRTH_DATE, 0x00101090, 0x00102154, 0x00101040)
"""Of the patient and the order, with birth date, telephone numbers and address."""
_NAMING: Final = frozenset({*_NAMES, *_IDS})
_NAMING_TAGS: Final = re.compile(
    b"|".join(
        re.escape((tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order))
        for tag in sorted(_NAMING)
        for order in ("little", "big")
    )
)
"""As they are encoded: most sequences have none of them, and need not be read."""
_ASCII_RUNS: Final = re.compile(rb"[ -\[\]-~]+")
_UIDS: Final = (SOP_INSTANCE_UID, STUDY_INSTANCE_UID, 0x0020000E, 0x00200052)


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

    def __init__(
        self, dataset: Dataset, how: Profile, codes: Codes, large: Callable[[int], bytes] | None = None
    ) -> None:
        self.how = how
        self.codes = codes
        self.large = large
        characters = declared(dataset)
        self.patient = Patient(
            _told(dataset, PATIENT_ID, characters),
            _told(dataset, ISSUER_OF_PATIENT_ID, characters),
            _told(dataset, PATIENT_NAME, characters),
            _told(dataset, PATIENT_BIRTH_DATE, characters),
            _told(dataset, STUDY_INSTANCE_UID, characters),
            _told(dataset, SOP_INSTANCE_UID, characters),
        )
        self.days = codes.days(self.patient)
        uids = () if how.chose(Option.RETAIN_UIDS) else _UIDS
        ids = [each for tag in uids for each in read(dataset, tag, characters)]
        names: list[str] = []
        for level, inherited, tag in _naming(dataset, characters):
            (names if tag in _NAMES else ids).extend(_readings(level, tag, inherited))
        self.identity = Identity(names, [*ids, *dates.spellings(self.patient.birth_date)])


def read(level: Dataset, tag: int, characters: CharacterSet) -> list[str]:
    """Return the values of an element, none if they cannot be read."""
    try:
        return values.read(level, tag, characters)
    except Unfit:
        return []


def first(level: Dataset, tag: int, characters: CharacterSet) -> str:
    """Return the first value of an element, empty if there is none."""
    return next(iter(read(level, tag, characters)), "")


def _told(level: Dataset, tag: int, characters: CharacterSet) -> str:
    """Return the first value of an element; where it cannot be read its bytes, so that no two become one."""
    try:
        return next(iter(values.read(level, tag, characters)), "")
    except Unfit:
        return next(iter(_bytes_of(level, tag).decode("latin-1").split("\\")), "")


def _readings(level: Dataset, tag: int, characters: CharacterSet) -> Iterator[str]:
    """Yield whatever somebody may take an element for: a device may mean another character set than it declares."""
    raw = _bytes_of(level, tag)
    try:
        yield from values.read(level, tag, characters)
    except Unfit:
        yield from (run.decode() for run in _ASCII_RUNS.findall(raw))
    if not raw.isascii():
        for meant in ("latin-1", "utf-8"):
            yield from raw.decode(meant, "ignore").split("\\")


def _bytes_of(level: Dataset, tag: int) -> bytes:
    element = element_of(level, tag)
    value = element.value if element is not None else None
    return value if isinstance(value, bytes) else b""


def _naming(level: Dataset, outer: CharacterSet, depth: int = 0) -> Iterator[tuple[Dataset, CharacterSet, int]]:
    """Yield the elements anywhere in a dataset that name the patient, or whom the patient knows."""
    # Reading a sequence leaves it read in the level, and the original is to stay as it is.
    level = shallow(level)
    characters = declared(level) if element_of(level, SPECIFIC_CHARACTER_SET) is not None else outer
    for tag in level.keys():  # noqa: SIM118  # values stay undecoded
        if tag in _NAMING:
            yield level, characters, tag
    for at in sequences(level) if depth <= DEEPEST_NESTING else ():
        raw = _bytes_of(level, at)
        if raw and not _NAMING_TAGS.search(raw):
            continue
        try:
            items = items_of(level, at)
        except Unfit:
            # It does not stay either.
            continue
        for item in items:
            yield from _naming(item, characters, depth + 1)
