"""The rules: what was seen of an image against what it has to be. Pure; nothing is read here.

An object that need not have pixels and says nothing of them has none to be checked. What is in the pixels of a private
SOP class or transfer syntax is its own affair, as long as all of it is there. What is an error and what a warning,
`model.findings` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from capacitord.dicom.validation.classes import BELONG_TO_NO_STUDY
from capacitord.dicom.validation.pixels import of_pixels, without_pixels
from capacitord.dicom.validation.seen import (
    MODALITY,
    PATIENT_ID,
    PATIENT_NAME,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Seen,
)
from capacitord.model.findings import Fault, Finding

_UIDS: Final[Mapping[int, str]] = MappingProxyType(
    {STUDY_INSTANCE_UID: "Study Instance UID", SERIES_INSTANCE_UID: "Series Instance UID"}
)
_REQUIRED: Final[Mapping[int, str]] = MappingProxyType(
    {MODALITY: "Modality", PATIENT_NAME: "Patient's Name", PATIENT_ID: "Patient ID"}
)
"""What each image of a patient has. The modality is of type 1 (PS3.3 §C.7.3.1), and the others of type 2 (§C.7.1.1):
those may be empty, which says that nobody knows, while their absence says nothing."""

_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_LIKE_A_UID: Final = re.compile(r"[0-9][0-9.]*")
_LONGEST_UID: Final = 64
_SEPARATORS: Final = "^= "
"""Of the components of a name (PS3.5 §6.2.1.2): without any, they say nothing."""


def findings(seen: Seen) -> tuple[Finding, ...]:
    """Return all that is wrong with an image, errors and warnings, in the order of the dataset."""
    if seen.unreadable:
        return (Finding(Fault.UNREADABLE, (seen.unreadable,)),)
    found = [*_identity(seen), *_attributes(seen)]
    if seen.cut_off:
        return (*found, Finding(Fault.CUT_OFF, (seen.cut_off,)))
    if seen.odd:
        return (*found, Finding(Fault.ODD_BEHIND_HEADER, (seen.odd,)))
    if seen.pixels is not None:
        found += of_pixels(seen, seen.pixels)
    elif seen.is_whole:
        found += without_pixels(seen)
    return tuple(found)


def is_uid(text: str) -> bool:
    """Say whether a UID is one to the letter (PS3.5 §9.1)."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def is_like_a_uid(text: str) -> bool:
    """Say whether a UID is at least made of digits and dots: devices in the field write zeros before numbers."""
    return len(text) <= _LONGEST_UID and _LIKE_A_UID.fullmatch(text) is not None


def _identity(seen: Seen) -> Iterator[Finding]:
    if seen.text(SOP_CLASS_UID) != seen.sop_class_uid:
        yield Finding(Fault.OTHER_CLASS)
    if seen.text(SOP_INSTANCE_UID) != seen.sop_instance_uid:
        yield Finding(Fault.OTHER_INSTANCE)
    elif not is_uid(seen.sop_instance_uid):
        yield Finding(Fault.ODD_UID, ("SOP Instance UID",))


def _attributes(seen: Seen) -> Iterator[Finding]:
    if seen.sop_class_uid in BELONG_TO_NO_STUDY:
        return
    for tag, name in _UIDS.items():
        text = seen.text(tag)
        if not text:
            yield Finding(Fault.NO_UID, (name,))
        elif not is_like_a_uid(text):
            yield Finding(Fault.NOT_A_UID, (name,))
        elif not is_uid(text):
            yield Finding(Fault.ODD_UID, (name,))
    for tag, name in _REQUIRED.items():
        if tag not in seen.values or (tag == MODALITY and not seen.text(tag)):
            yield Finding(Fault.ABSENT, (name,))
    who = (PATIENT_NAME, PATIENT_ID)
    if all(tag in seen.values for tag in who) and not any(seen.text(tag).strip(_SEPARATORS) for tag in who):
        yield Finding(Fault.NAMES_NO_PATIENT)
