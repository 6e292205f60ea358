"""Original Attributes Sequence: what a dataset said before it was changed (PS3.3 §C.12.1.1.9)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET
from capacitord.dicom.transform.draft import Draft, Path
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import declared, element_of, is_left_out, items_of
from capacitord.dicom.transform.nonconforming import taken_out
from capacitord.dicom.transform.operations import widen
from capacitord.model.representation import check
from capacitord.model.transform import Record

ORIGINAL_ATTRIBUTES_SEQUENCE: Final = 0x04000561
_MODIFIED_ATTRIBUTES_SEQUENCE: Final = 0x04000550
_NONCONFORMING_MODIFIED_ATTRIBUTES_SEQUENCE: Final = 0x04000551
_DATE_TIME: Final = 0x04000562
_MODIFYING_SYSTEM: Final = 0x04000563
_SOURCE: Final = 0x04000564
_REASON: Final = 0x04000565
_THIS_SYSTEM: Final = "capacitord"
"""Modifying System may not be empty (Type 1)."""


def record(draft: Draft, before: Dataset, paths: Iterable[Path], how: Record, now: dt.datetime) -> None:
    """Add an item that says what the attributes at `paths`, which were changed, were in `before`.

    `now` has a time zone. Items that are there already stay. Raises `Unfit`.
    """
    for text, vr in ((how.source, "LO"), (how.system, "LO")):
        if text:
            check(text, vr)
            widen(draft, (), text, vr)
    places = set(paths)
    changed = {path[0] for path in places}
    if draft.characters(()).terms != declared(before).terms:
        # The previous values are in the set that the dataset had then, which its item has to say.
        changed.add(SPECIFIC_CHARACTER_SET)
    previous = Draft(before)
    nonconforming = taken_out(previous, places)
    item = Dataset()
    _add(item, _MODIFIED_ATTRIBUTES_SEQUENCE, "SQ", Sequence([_modified(previous.dataset, changed)]))
    if nonconforming:
        _add(item, _NONCONFORMING_MODIFIED_ATTRIBUTES_SEQUENCE, "SQ", Sequence(nonconforming))
    _add(item, _DATE_TIME, "DT", now.strftime("%Y%m%d%H%M%S.%f%z"))
    _add(item, _MODIFYING_SYSTEM, "LO", how.system.strip() or _THIS_SYSTEM)
    _add(item, _SOURCE, "LO", how.source)
    _add(item, _REASON, "CS", how.reason.value)
    earlier = items_of(draft.dataset, ORIGINAL_ATTRIBUTES_SEQUENCE)
    element = DataElement(BaseTag(ORIGINAL_ATTRIBUTES_SEQUENCE), "SQ", Sequence([*earlier, item]))
    draft.put((ORIGINAL_ATTRIBUTES_SEQUENCE,), element)


def _modified(before: Dataset, tags: set[int]) -> Dataset:
    """Return the previous values; private ones with their creators, text with its character set if that changed."""
    item = Dataset()
    wanted = set(tags)
    for tag in sorted(wanted):
        if tag >> 16 & 1 and tag & 0xFFFF > 0xFF:
            creator = tag & 0xFFFF0000 | tag >> 8 & 0xFF
            if element_of(before, creator) is not None:
                wanted.add(creator)
    for tag in sorted(wanted):
        element = element_of(before, tag)
        if element is not None and is_left_out(element):
            msg = "the value to be recorded in Original Attributes Sequence is too large"
            raise Unfit(msg)
        if element is None:
            # What was not there is written without a value (PS3.3 §C.12.1.1.9.1).
            vr = values.vr_or_unknown(before, tag)
            _add(item, tag, vr, [] if vr == "SQ" else None)
        else:
            item[BaseTag(tag)] = element
    return item


def _add(item: Dataset, tag: int, vr: str, value: object) -> None:
    item[BaseTag(tag)] = DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)
