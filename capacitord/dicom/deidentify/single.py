"""What becomes of one value that is no sequence: coded, cleaned, replaced, or looked through and kept.

Each function returns the element as it may leave, the very same one if nothing changes, or None if there is no such.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom.deidentify import dates, dummies, words
from capacitord.dicom.deidentify.subject import (
    ACCESSION_NUMBER,
    ISSUER_OF_PATIENT_ID,
    PATIENT_ID,
    PATIENT_NAME,
    STUDY_ID,
    Place,
    Subject,
)
from capacitord.dicom.transform import values
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import AnyElement, is_left_out, known_vr
from capacitord.model.deidentify import Option
from capacitord.model.reasons import Reason
from capacitord.model.representation import NUMBERS, conforms

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUBJECT_ID: Final = 0x00120040
_TIMEZONE: Final = 0x00080201
_OVERLAY_DATA: Final = 0x3000
_OVERLAY_TYPE: Final = 0x0040

_NEEDED: Final = MappingProxyType(
    {
        0x00080008: "Image Type",
        0x00080060: "Modality",
        0x00280004: "Photometric Interpretation",
        0x0040A040: "Value Type",
        0x0040A010: "Relationship Type",
        0x20500020: "Presentation LUT Shape",
    }
)
"""Code strings without which nobody can read an image, or which nobody may make up."""

_STANDARD_ROOT: Final = "1.2.840.10008."
_TEXT_VRS: Final = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
CLEANED_VRS: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
"""Text that has words to be kept."""
_PLAIN: Final = MappingProxyType(
    {
        "AS": re.compile(rb"[0-9DWMY \\\0]*"),
        "UI": re.compile(rb"[0-9. \\\0]*"),
        **dict.fromkeys(("DA", "DT", "TM"), re.compile(rb"[0-9.:+\- \\\0]*")),
        **dict.fromkeys(("DS", "IS"), re.compile(rb"[0-9+\-.eE \\\0]*")),
    }
)
"""VRs in whose characters no word can be written; a value with others is something else than it should be."""
_READABLE_VRS: Final = frozenset(values.STRING_VRS) | {"SQ"}
_BULK_NUMBERS: Final = frozenset({"OD", "OF", "OL", "OV"}) | frozenset(NUMBERS)
"""Many numbers, of which the standard says what they are; no attribute of the VR OW that stays has as many."""


class NotDeidentified(Exception):
    """An image that has to be held rather than sent. The message is a sentence that says why, without patient data.

    `held` is which reason to hold it that is.
    """

    def __init__(self, reason: str, held: Reason = Reason.NOT_DEIDENTIFIED) -> None:
        super().__init__(f"This image cannot be de-identified: {reason}.")
        self.reason = reason
        self.held = held


def coded(place: Place, subject: Subject) -> DataElement | None:
    """Return the code that stands for a patient or a study, None if the attribute is about neither."""
    codes = subject.codes
    if place.tag in {PATIENT_NAME, PATIENT_ID}:
        number, issuer = place.neighbour(PATIENT_ID), place.neighbour(ISSUER_OF_PATIENT_ID)
        return made(place.tag, place.vr, codes.patient_id(number, issuer) if number else None)
    make = {
        _SUBJECT_ID: codes.patient_id,
        ACCESSION_NUMBER: codes.accession_number,
        STUDY_ID: codes.study_id,
    }.get(place.tag)
    if make is None:
        return None
    original = "\\".join(place.values())
    return made(place.tag, place.vr, make(original) if original else None)


def cleaned(place: Place, subject: Subject) -> AnyElement | None:
    """Return what is safe of a value, None if that cannot be told."""
    tag, vr = place.tag, place.vr
    if tag >> 24 == 0x60 and tag & 0xFFFF == _OVERLAY_DATA:
        # A region of interest is a mask; the other type is a drawing, and may be of letters (PS3.3 §C.9.2).
        return place.element if place.neighbour(tag & 0xFFFF0000 | _OVERLAY_TYPE) == "R" else None
    found = place.values()
    if not found:
        return None
    if vr in {"DA", "DT", "TM"}:
        return _all(tag, vr, (dates.shifted(each, vr, subject.days) if each else "" for each in found))
    if tag == _TIMEZONE:
        return _all(tag, vr, map(dates.zone, found))
    if vr == "AE":
        return values.make(tag, vr, [subject.codes.ae_title(each) for each in found])
    if vr in CLEANED_VRS:
        kept = [text for text in (words.cleaned(each, subject.identity) for each in found) if text]
        return values.make(tag, vr, kept) if kept else None
    return None


def swept(place: Place, subject: Subject) -> AnyElement | None:
    """Return an element that may stay if nothing in its value tells who the patient is.

    Raises `NotDeidentified` if the value is too large to be looked at, and may hold text, or tells it where none may be
    missing.
    """
    element, tag, vr, identity = place.element, place.tag, place.vr, subject.identity
    if is_left_out(element):
        if vr in _BULK_NUMBERS and subject.large is not None:
            return None if identity.is_in_bytes(subject.large(tag)) else element
        msg = (
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is too large for this box to know what is in it;"
            " a transform of the profile can remove it"
        )
        raise NotDeidentified(msg)
    if vr in _TEXT_VRS or vr == "CS":
        try:
            text = "\\".join(values.read(place.level, tag, place.characters))
        except Unfit:
            return None
        if vr == "CS":
            return _swept_code(place, text, subject)
        return values.make(tag, vr, [dummies.DUMMIES[vr]]) if identity.is_in(text) else element
    if vr in {"DS", "IS"} and identity.has_number_in("\\".join(place.values())):
        return dummy(place, subject)
    value = element.value
    if not isinstance(value, bytes):
        return element
    if vr in _PLAIN:
        return element if _PLAIN[vr].fullmatch(value) else None
    if vr not in values.STRING_VRS and known_vr(place.level, tag) in _READABLE_VRS:
        # Text or items under a VR for bytes: nobody reads it, so nobody knows what it says.
        return None
    return None if identity.is_in_bytes(value) else element


def _swept_code(place: Place, text: str, subject: Subject) -> AnyElement | None:
    if not any(map(subject.identity.is_in_code, text.split("\\"))):
        return place.element
    if place.tag in _NEEDED:
        # Without it the image would be none, and another value would be a lie about it.
        msg = (
            f"{_NEEDED[place.tag]} has a word of the patient's name, or an id, in it;"
            " a transform of the profile can set it anew"
        )
        raise NotDeidentified(msg)
    return None


def mapped(place: Place, subject: Subject) -> AnyElement | None:
    """Return UIDs as their codes; those that the standard gives are nobody's."""
    found = place.values()
    if not found or place.vr != "UI":
        return None
    after = [subject.codes.uid(each) if each and not each.startswith(_STANDARD_ROOT) else each for each in found]
    return place.element if after == found else values.make(place.tag, "UI", after)


def dummy(place: Place, subject: Subject) -> AnyElement | None:
    """Return the element with a value that says nothing."""
    vr = place.vr
    if vr == "UI":
        return mapped(place, subject)
    if vr in dummies.DUMMIES:
        count = max(1, len(place.values())) if vr in NUMBERS else 1
        return values.make(place.tag, vr, [dummies.DUMMIES[vr]] * count)
    return made(place.tag, vr, dummies.NO_BYTES) if vr.startswith("O") or vr == "UN" else None


def safe_private(place: Place, vr: str, subject: Subject) -> AnyElement | None:
    """Return a private attribute that the list has for safe, if its value is one of the VR that the list says."""
    if (place.element.VR or "UN") not in {vr, "UN"}:
        return None
    found = _of_private(place, vr)
    if found is None or not conforms(found, vr) or subject.identity.is_in("\\".join(found)):
        return None
    if vr == "UI" and not subject.how.chose(Option.RETAIN_UIDS):
        return values.make(place.tag, vr, [subject.codes.uid(each) if each else each for each in found])
    return place.element


def made(tag: int, vr: str, value: object) -> DataElement:
    """Return an element with a value that is right by its making."""
    return DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)


def _of_private(place: Place, vr: str) -> list[str] | None:
    element = place.element
    try:
        if isinstance(element, RawDataElement):
            big = not element.is_little_endian and element.VR != "UN"
            return values.decode(element.value or b"", vr, place.characters, big=big)
        return values.read(Dataset({element.tag: element}), element.tag, place.characters)
    except Unfit:
        return None


def _all(tag: int, vr: str, found: Iterable[str | None]) -> DataElement | None:
    """Return an element with these values, None if any could not be had."""
    each = list(found)
    return None if None in each else values.make(tag, vr, [value or "" for value in each])
