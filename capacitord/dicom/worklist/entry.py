"""A worklist entry, or the items of its sequences, for reading: values as text, whatever set they are written in."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from pydicom.dataset import Dataset

from capacitord.dicom import charset
from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding, Malformed
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, TEXT_VRS, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import (
    dataset_of,
    declared,
    element_of,
    is_empty,
    is_sequence,
    items_of,
    public_vr,
    vr_of,
)
from capacitord.model.representation import split, without_controls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capacitord.dicom.worklist.keys import Keys

SYNTAXES: Final[Mapping[str, Encoding]] = MappingProxyType(
    {
        "1.2.840.10008.1.2": IMPLICIT_LITTLE,
        "1.2.840.10008.1.2.1": EXPLICIT_LITTLE,
        "1.2.840.10008.1.2.2": EXPLICIT_BIG,
    }
)
"""Transfer syntaxes that queries and entries may be in."""

_LOST: Final = "?"
"""Stands in text for what is not in the set that was declared, so that it has a place in any other set.

So it does for control characters, which steer what shows them: a scanner, a terminal, a question to a person.
"""

_Made = TypeVar("_Made")


def read(data: bytes, transfer_syntax_uid: str) -> Entry:
    """Return the entry that a dataset is. Raises `Malformed` if it is none of this transfer syntax."""
    encoding = SYNTAXES.get(transfer_syntax_uid)
    if encoding is None:
        msg = "a worklist entry is in a transfer syntax that was not agreed"
        raise Malformed(msg)
    return Entry(dataset_of(encoded.elements(data, encoding), encoding))


class Entry:
    """One dataset. What was read once is remembered; any thread may read."""

    __slots__ = ("_characters", "_items", "_level", "_memory", "_values")

    def __init__(self, dataset: Dataset, characters: CharacterSet | None = None) -> None:
        """`characters` is the set of the dataset around it, if this is an item (PS3.3 §C.12.1.1.2)."""
        own = element_of(dataset, SPECIFIC_CHARACTER_SET) is not None
        self._level = dataset
        self._characters = declared(dataset) if own or characters is None else characters
        self._values: dict[int, tuple[str, ...]] = {}
        self._items: dict[int, tuple[Entry, ...]] = {}
        self._memory: dict[object, object] = {}

    @property
    def dataset(self) -> Dataset:
        """The dataset itself; not to be changed."""
        return self._level

    @property
    def characters(self) -> CharacterSet:
        """The character set its text is in."""
        return self._characters

    def tags(self) -> Iterator[int]:
        """Yield the tags of all its attributes, in order."""
        yield from sorted(self._level.keys())

    def is_empty(self, tag: int) -> bool:
        """Whether the attribute is missing or has no bytes."""
        element = element_of(self._level, tag)
        return element is None or is_empty(element)

    def is_blank(self, tag: int) -> bool:
        """Whether the attribute is missing, or has nothing but padding."""
        element = element_of(self._level, tag)
        if element is None or is_empty(element):
            return True
        value = element.value
        if isinstance(value, bytes):
            return not value.strip(b" \0\\")
        return isinstance(value, str) and not value.strip(" \0\\")

    def has_items(self, tag: int) -> bool:
        """Whether the attribute is a sequence here, be it an empty one."""
        return is_sequence(element_of(self._level, tag))

    def values(self, tag: int) -> tuple[str, ...]:
        """Return the values without padding, none if the attribute is missing or empty.

        What cannot be decoded, and each control character that does not belong there, is a question mark in the text;
        what is neither text nor number has no values.
        """
        try:
            return self._values[tag]
        except KeyError:
            found = self._values[tag] = self._read(tag)
            return found

    def items(self, tag: int) -> tuple[Entry, ...]:
        """Return the items of a sequence, none if there is none or it cannot be read."""
        found = self._items.get(tag)
        if found is None:
            found = self._items[tag] = self._read_items(tag)
        return found

    def prepare(self, keys: Keys) -> None:
        """Read what these keys ask for, so that no query has to wait for it."""
        for tag, inside in keys.items():
            if inside is None:
                self.values(tag)
            else:
                for item in self.items(tag):
                    item.prepare(inside)

    def memory(self, what: object, make: Callable[[], _Made]) -> _Made:
        """Return what was made of this entry before under the same name, or make it."""
        try:
            return self._memory[what]  # type: ignore[return-value]  # one name, one type
        except KeyError:
            made = self._memory[what] = make()
            return made

    def _read(self, tag: int) -> tuple[str, ...]:
        element = element_of(self._level, tag)
        if element is None or is_sequence(element):
            return ()
        vr = public_vr(tag) or vr_of(self._level, tag)
        value = element.value
        try:
            if isinstance(value, bytes) and vr in values.STRING_VRS:
                found = values.decode(value, vr, self._characters, big=False)
            else:
                found = values.read(self._level, tag, self._characters)
        except Unfit:
            found = self._guess(value, vr) if isinstance(value, bytes) else []
        return tuple(normal(text, vr) for text in found)

    def _guess(self, value: bytes, vr: str) -> list[str]:
        if vr not in values.STRING_VRS:
            return []
        terms = "\\".join(self._characters.terms) if vr in TEXT_VRS and not self._characters.is_default else ""
        text = charset.decode(value, terms.encode("ascii", "replace"), person_name=vr == "PN")
        return split(text.replace("\ufffd", _LOST), vr)

    def _read_items(self, tag: int) -> tuple[Entry, ...]:
        if not self.has_items(tag):
            return ()
        try:
            return tuple(Entry(item, self._characters) for item in items_of(self._level, tag))
        except Unfit:
            return ()


def normal(text: str, vr: str) -> str:
    """Return text in composed form (NFC), so that one letter is one character however it was written."""
    text = without_controls(text, vr, _LOST)
    return text if text.isascii() else unicodedata.normalize("NFC", text)
