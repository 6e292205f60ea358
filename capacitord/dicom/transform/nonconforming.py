"""Values that were none: what Original Attributes Sequence may not hold under their own VR (PS3.3 §C.12.1.1.9).

There such an attribute stands without a value. Its bytes stand in Nonconforming Modified Attributes Sequence, as they
lay in the dataset, with the place where that was (PS3.3 §10.17).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydicom import config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET
from capacitord.dicom.transform.draft import Draft, Path
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import creator, is_empty, is_left_out, is_sequence, items_of, shallow, vr_of
from capacitord.model.representation import NUMBERS, conforms

_VALUE: Final = 0x04000552
_SELECTOR_ATTRIBUTE: Final = 0x00720026
_SELECTOR_VALUE_NUMBER: Final = 0x00720028
_SEQUENCE_POINTER: Final = 0x00720052
_SEQUENCE_POINTER_CREATOR: Final = 0x00720054
_ATTRIBUTE_CREATOR: Final = 0x00720056
_SEQUENCE_POINTER_ITEMS: Final = 0x00741057
_WHOLE: Final = 0
"""The number that stands for all values of an attribute."""


def taken_out(before: Draft, paths: Collection[Path]) -> list[Dataset]:
    """Empty those attributes at `paths` of `before` whose values do not conform to their VR, or to their multiplicity.

    Return an item for each, with its place and its bytes. What is not there is passed by.
    """
    found = []
    for path in sorted(paths):
        value = _nonconforming(before, path)
        if value is not None:
            vr = vr_of(before.level(path[:-1]), path[-1])
            found.append(_item(before, path, value))
            before.put(path, _element(path[-1], vr, [] if vr == "SQ" else None))
    return found


def _nonconforming(before: Draft, path: Path) -> bytes | None:
    """Return the bytes of a value that does not conform, None if it does, or is not there."""
    try:
        level = before.level(path[:-1])
    except (Unfit, LookupError):
        # A sequence, or an item of it, that the change has made.
        return None
    tag = path[-1]
    element = before.element(path)
    if not isinstance(element, RawDataElement) or is_left_out(element) or is_empty(element):
        return None
    if tag == SPECIFIC_CHARACTER_SET or _is_as_it_should_be(before, level, path):
        return None
    return element.value


def _is_as_it_should_be(before: Draft, level: Dataset, path: Path) -> bool:
    tag, vr = path[-1], vr_of(level, path[-1])
    try:
        if is_sequence(before.element(path)):
            items_of(shallow(level), tag)
            return True
        if vr not in values.STRING_VRS and vr not in NUMBERS:
            return True
        found = values.read(level, tag, before.characters(path[:-1]))
        values.check_count(tag, len(found))
    except Unfit:
        return False
    return conforms(found, vr)


def _item(before: Draft, path: Path, value: bytes) -> Dataset:
    item = Dataset()
    level, tag = before.level(path[:-1]), path[-1]
    _add(item, _SELECTOR_ATTRIBUTE, "AT", _without_block(tag))
    _add(item, _SELECTOR_VALUE_NUMBER, "US", _WHOLE)
    pointers, items = path[:-1:2], path[1::2]
    if pointers:
        _add(item, _SEQUENCE_POINTER, "AT", [_without_block(each) for each in pointers])
        owners = [_owner(before.level(path[: 2 * depth]), each) for depth, each in enumerate(pointers)]
        if any(owners):
            _add(item, _SEQUENCE_POINTER_CREATOR, "LO", owners)
        _add(item, _SEQUENCE_POINTER_ITEMS, "IS", [str(number + 1) for number in items])
    owner = _owner(level, tag)
    if owner:
        _add(item, _ATTRIBUTE_CREATOR, "LO", owner)
    _add(item, _VALUE, "OB", value)
    return item


def _owner(level: Dataset, tag: int) -> str:
    """Return the private creator of an attribute, empty if it has none."""
    return creator(level, tag >> 16, tag >> 8 & 0xFF) if tag >> 16 & 1 and tag & 0xFFFF > 0xFF else ""


def _without_block(tag: int) -> BaseTag:
    """Return a tag as one is told that may be in another block in another dataset (PS3.3 §10.17.1.2)."""
    return BaseTag(tag & 0xFFFF00FF if tag >> 16 & 1 and tag & 0xFFFF > 0xFF else tag)


def _element(tag: int, vr: str, value: object) -> DataElement:
    return DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)


def _add(item: Dataset, tag: int, vr: str, value: object) -> None:
    item[BaseTag(tag)] = _element(tag, vr, value)
