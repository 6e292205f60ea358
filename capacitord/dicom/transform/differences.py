"""What differs between a dataset and a changed copy of it, as edits to be put into the bytes."""

from __future__ import annotations

from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, TEXT_VRS, CharacterSet
from capacitord.dicom.transform.draft import Edit
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import (
    AnyElement,
    declared,
    element_of,
    is_left_out,
    is_sequence,
    items_of,
    shallow,
    vr_of,
)
from capacitord.dicom.transform.representation import NUMBERS

_ESCAPE: Final = 0x1B


def edits(before: Dataset, after: Dataset) -> tuple[Edit, ...]:
    """Return what makes `before` into `after`: the elements of the top that were removed, changed or added.

    A sequence in which anything changed is one edit. An element that both have as the very same object did not change,
    unless it is text, and Specific Character Set says something else now: that is encoded anew. Raises `Unfit` for an
    element that cannot be written.
    """
    old, new = declared(before), declared(after)
    found = []
    for tag in sorted({*before.keys(), *after.keys()}):
        now = element_of(after, tag)
        if now is None:
            found.append(Edit((tag,), None, new))
        elif now is not element_of(before, tag):
            found.append(Edit((tag,), _written(after, tag, now, new), new))
        elif old.terms != new.terms and _depends(after, tag, now):
            found.append(Edit((tag,), _retold(after, tag, old), new))
    return tuple(found)


def _written(level: Dataset, tag: int, element: AnyElement, characters: CharacterSet) -> DataElement:
    """Return an element as it is to be written."""
    if isinstance(element, DataElement):
        return element
    return _retold(level, tag, characters)


def _retold(level: Dataset, tag: int, characters: CharacterSet) -> DataElement:
    """Return an element with its text read in the set it was written in, to be written in any other."""
    element = element_of(level, tag)
    if element is not None and is_sequence(element):
        items = [_retold_level(item, characters) for item in items_of(shallow(level), tag)]
        return DataElement(BaseTag(tag), "SQ", Sequence(items))
    vr = vr_of(level, tag)
    if isinstance(element, RawDataElement) and vr not in values.STRING_VRS:
        if is_left_out(element):
            raise Unfit(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has a value too large to be copied")
        if vr not in NUMBERS:
            return DataElement(BaseTag(tag), vr, element.value)
    return values.make(tag, vr, values.read(level, tag, characters))


def _retold_level(item: Dataset, outer: CharacterSet) -> Dataset:
    if element_of(item, SPECIFIC_CHARACTER_SET) is not None:
        return item
    after = shallow(item)
    for tag in item.keys():  # noqa: SIM118  # values stay undecoded
        element = element_of(item, tag)
        if element is not None and _depends(item, tag, element):
            after[BaseTag(tag)] = _retold(item, tag, outer)
    return after


def _depends(level: Dataset, tag: int, element: AnyElement) -> bool:
    """Whether the bytes of an element mean something else in another character set; decoded text has none yet."""
    if is_sequence(element):
        return any(
            element_of(item, SPECIFIC_CHARACTER_SET) is None
            and any(_depends(item, element.tag, element) for element in map(item.get_item, sorted(item.keys())))
            for item in items_of(shallow(level), tag)
        )
    if not isinstance(element, RawDataElement):
        return vr_of(level, tag) in TEXT_VRS
    value = element.value or b""
    return vr_of(level, tag) in TEXT_VRS and (is_left_out(element) or not value.isascii() or _ESCAPE in value)
