"""What a de-identified dataset says of itself (PS3.15 §E.1.1, §E.2, §E.3.6; PS3.16 CID 7050)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.deidentify.table import EDITION
from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import element_of, is_sequence, items_of
from capacitord.dicom.transform.values import read
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from capacitord.dicom.deidentify.table import Profile

PATIENT_IDENTITY_REMOVED: Final = 0x00120062
METHOD: Final = 0x00120063
METHOD_CODES: Final = 0x00120064
LONGITUDINAL: Final = 0x00280303
METHOD_TEXT: Final = f"capacitord, PS3.15 {EDITION} Annex E"

_BASIC: Final = ("113100", "Basic Application Confidentiality Profile")
_CODES: Final = MappingProxyType(
    {
        Option.CLEAN_PIXEL_DATA: ("113101", "Clean Pixel Data Option"),
        Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: ("113102", "Clean Recognizable Visual Features Option"),
        Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
        Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
        Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
        Option.RETAIN_LONGITUDINAL_FULL: (
            "113106",
            "Retain Longitudinal Temporal Information Full Dates Option",
        ),
        Option.RETAIN_LONGITUDINAL_MODIFIED: (
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        ),
        Option.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
        Option.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
        Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
        Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
        Option.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
    }
)


def add(dataset: Dataset, how: Profile) -> None:
    """Say in a dataset that it was de-identified, and how. Codes that an earlier one left stay; its free text goes."""
    _put(dataset, PATIENT_IDENTITY_REMOVED, "CS", "YES")
    _put(dataset, METHOD, "LO", METHOD_TEXT)
    wanted = [_BASIC, *(_CODES[option] for option in Option if option in how.options)]
    codes = {code: _code(code, meaning) for code, meaning in wanted}
    kept = [item for item in _method_codes(dataset) if _value_of(item) not in codes]
    _put(dataset, METHOD_CODES, "SQ", Sequence([*kept, *codes.values()]))
    _put(dataset, LONGITUDINAL, "CS", _longitudinal(how))


def _longitudinal(how: Profile) -> str:
    if how.chose(Option.RETAIN_LONGITUDINAL_FULL):
        return "UNMODIFIED"
    return "MODIFIED" if how.chose(Option.RETAIN_LONGITUDINAL_MODIFIED) else "REMOVED"


def _method_codes(dataset: Dataset) -> list[Dataset]:
    if not is_sequence(element_of(dataset, METHOD_CODES)):
        return []
    return list(items_of(dataset, METHOD_CODES))


def _value_of(item: Dataset) -> str:
    try:
        return next(iter(read(item, 0x00080100, character_set(""))), "")
    except Unfit:
        return ""


def _code(code: str, meaning: str) -> Dataset:
    item = Dataset()
    _put(item, 0x00080100, "SH", code)
    _put(item, 0x00080102, "SH", "DCM")
    _put(item, 0x00080104, "LO", meaning)
    return item


def _put(dataset: Dataset, tag: int, vr: str, value: object) -> None:
    dataset[BaseTag(tag)] = DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)
