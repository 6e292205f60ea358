"""What the conditions of a profile see of a dataset."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from pydicom.dataelem import RawDataElement

from capacitord.dicom.charset import decode
from capacitord.dicom.transform import values
from capacitord.dicom.transform.draft import Draft
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import element_of, is_left_out, vr_of
from capacitord.model.representation import split

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from capacitord.dicom.transform.draft import Path
    from capacitord.model.attribute import Attribute

_T = TypeVar("_T")


class DatasetAttributes:
    """The attributes of one dataset, as `capacitord.model.conditions.Attributes` wants them.

    Text that cannot be decoded is shown with U+FFFD in its place; a value that is neither text, number nor tag,
    or too large to be looked at, counts as one that is not empty: "…".
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @functools.cached_property
    def _draft(self) -> Draft:
        return Draft(self._dataset)

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        """Return all values of what `attribute` names, None if it is not there, ("",) if it is empty."""
        try:
            paths = self._draft.find(attribute)
        except Unfit:
            # What is below a sequence that cannot be read is not known to be there.
            return self._unreadable(None)
        if not paths:
            return None
        return tuple(value for path in paths for value in self._values(path) or [""])

    def _values(self, path: Path) -> list[str]:
        level, tag = self._draft.level(path[:-1]), path[-1]
        characters = self._draft.characters(path[:-1])
        try:
            return values.read(level, tag, characters)
        except Unfit:
            return self._odd(level, tag, "\\".join(characters.terms))

    def _unreadable(self, instead: _T) -> _T:
        """Return what stands for something that cannot be read."""
        return instead

    def _odd(self, level: Dataset, tag: int, terms: str) -> list[str]:
        element = element_of(level, tag)
        vr = vr_of(level, tag)
        value = element.value if element is not None else None
        if vr == "SQ":
            return [_SOMETHING] if value else []
        if vr in values.STRING_VRS and isinstance(value, bytes):
            shown = split(decode(value, terms.encode("ascii", "replace"), person_name=vr == "PN"), vr)
            return self._unreadable(shown)
        if vr == "AT" and isinstance(element, RawDataElement) and value and len(value) % 4 == 0:
            order = "little" if element.is_little_endian else "big"
            halves = [int.from_bytes(value[at : at + 2], order) for at in range(0, len(value), 2)]  # type: ignore[arg-type]
            return [f"{group:04X}{number:04X}" for group, number in zip(halves[::2], halves[1::2], strict=True)]
        return self._unreadable([_SOMETHING]) if element is not None and is_left_out(element) else [_SOMETHING]


class NotReadable(Exception):
    """What a condition looks at is there, or may be, but cannot be read."""


class ReadableAttributes(DatasetAttributes):
    """The same for conditions that must not be decided by a guess: what cannot be read raises `NotReadable`.

    That is what lies in a sequence that cannot be read, text that cannot be decoded, and a value too large to be
    looked at.
    """

    def _unreadable(self, instead: _T) -> _T:  # noqa: ARG002  # nothing stands for it
        raise NotReadable


_SOMETHING = "…"
