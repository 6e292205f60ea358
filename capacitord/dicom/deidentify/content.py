"""Content items of structured reports and acquisition contexts (PS3.15 §E.3.4), and codes in what is cleaned."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from capacitord.dicom.deidentify import dummies
from capacitord.dicom.deidentify.table import Action, Profile, Rule, decided, letters, read
from capacitord.dicom.transform import values
from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import element_of, is_sequence, items_of
from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_SEQUENCE: Final = 0x0040A730
CODE_VALUE: Final = 0x00080100
CODE_MEANING: Final = 0x00080104
CODE: Final = range(CODE_VALUE, 0x00080124)
"""The attributes that make up a code (PS3.3 §8)."""
_CODING_SCHEME: Final = 0x00080102
_LONG_CODE_VALUE: Final = 0x00080119
_NO_SCHEME: Final = "99REMOVED"
_LONGEST_MEANING: Final = 64
_URN_CODE_VALUE: Final = 0x00080120
_CONCEPT_NAME: Final = 0x0040A043
_VALUE_TYPE: Final = 0x0040A040
_RELATIONSHIP: Final = 0x0040A010
_TEXT_VALUE: Final = 0x0040A160
_REFERENCED_ITEM: Final = 0x0040DB73

_VALUES: Final = MappingProxyType(
    {
        "TEXT": _TEXT_VALUE,
        "PNAME": 0x0040A123,
        "UIDREF": 0x0040A124,
        "DATE": 0x0040A121,
        "TIME": 0x0040A122,
        "DATETIME": 0x0040A120,
    }
)
"""Where a content item has its value, by value type (PS3.3 §C.17.3)."""

_REFERENCES: Final = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM"})
_DEFAULTS: Final = MappingProxyType(
    {
        "TEXT": (Action.DUMMY, {Option.CLEAN_DESCRIPTORS: Action.CLEAN}),
        "PNAME": (Action.DUMMY, {}),
        "UIDREF": (Action.UID, {Option.RETAIN_UIDS: Action.KEEP}),
        **dict.fromkeys(
            ("DATE", "TIME", "DATETIME"),
            (
                Action.DUMMY,
                {Option.RETAIN_LONGITUDINAL_FULL: Action.KEEP, Option.RETAIN_LONGITUDINAL_MODIFIED: Action.CLEAN},
            ),
        ),
    }
)
"""For content items whose concept the standard's table does not list: numbers, codes and references stay."""

_PUBLIC_SCHEMES: Final = frozenset(
    {"DCM", "SCT", "SRT", "SNM3", "99SDM", "LN", "UCUM", "FMA", "RADLEX", "NCIt", "UMLS", "C4", "C5", "ACR", "BI", "MA"}
    | {"I9", "I9C", "I9P", "I10", "I10P", "ICD-11", "ICDO3", "NEU", "UNS", "PATHLEX", "UBERON", "ITIS_TSN", "RXNORM"}
    | {"NDC", "RFC3066", "RFC5646", "ISO3166_1", "ISO639_1", "ISO639_2", "IBSI", "NICIP", "RO", "TNM", "HGNC", "MTHU"}
)
"""Coding schemes that are published: a code of another may mean anything, also a person (PS3.16 table 8-1)."""


class Concept(NamedTuple):
    """What a content item is about, and of what kind its value is."""

    scheme: str
    code: str
    type: str


class Verdict(NamedTuple):
    """What is done to a content item: it goes, or its value at `tag` is treated by a rule of its own."""

    removed: bool = False
    tag: int = 0
    rule: Rule | None = None


@functools.cache
def _listed() -> Mapping[Concept, tuple[Action, Mapping[Option, Action]]]:
    return MappingProxyType(
        {
            Concept(row["scheme"], row["code"], row["type"]): (Action(row["basic"]), letters(row))
            for row in read("concepts.tsv")
        }
    )


def concept(item: Dataset) -> Concept:
    """Return what an item is about; its type is empty if it is no content item."""
    scheme = code = ""
    for name in _items(item, _CONCEPT_NAME)[:1]:
        scheme = _value(name, _CODING_SCHEME)
        code = _value(name, CODE_VALUE) or _value(name, _LONG_CODE_VALUE)
    return Concept(scheme, code, _value(item, _VALUE_TYPE))


def verdict(found: Concept, how: Profile, *, may_go: bool) -> Verdict:
    """Return what is done to a content item; one that may not go, as others refer to it by number, loses its value."""
    tag = _VALUES.get(found.type, 0)
    row = _listed().get(found)
    if row is None and found.type not in _DEFAULTS:
        return Verdict()
    basic, options = row or _DEFAULTS[found.type]
    action = decided(basic, options, how.options)
    if action is Action.REMOVE and may_go:
        return Verdict(removed=True)
    if action is Action.KEEP:
        return Verdict(tag=tag, rule=Rule(Action.KEEP, Action.KEEP)) if tag else Verdict()
    if not tag:
        # References are taken to the codes of what they refer to; a number or a code cannot be a dummy.
        return Verdict(removed=may_go and found.type not in _REFERENCES)
    basic = Action.UID if found.type == "UIDREF" else Action.DUMMY
    return Verdict(tag=tag, rule=Rule(Action.CLEAN if action is Action.CLEAN else basic, basic))


def refers_by_number(sequence: list[Dataset]) -> bool:
    """Whether any content item refers to another by its place in the tree, which then must stay as it is."""
    return any(
        element_of(item, _REFERENCED_ITEM) is not None or refers_by_number(_items(item, CONTENT_SEQUENCE))
        for item in sequence
    )


def is_code(item: Dataset) -> bool:
    """Whether an item is a code (PS3.3 §8)."""
    return any(element_of(item, tag) is not None for tag in (CODE_VALUE, _LONG_CODE_VALUE, _URN_CODE_VALUE))


def is_public(code: Dataset) -> bool:
    """Whether a code is one of a published scheme."""
    return _value(code, _CODING_SCHEME) in _PUBLIC_SCHEMES


def code_value(code: Dataset) -> str:
    """Return what stands for a code where its meaning may not be told, as long as a meaning may be."""
    return (_value(code, CODE_VALUE) or _value(code, _LONG_CODE_VALUE))[:_LONGEST_MEANING] or dummies.TEXT


def no_code() -> Dataset:
    """Return a code that says only that there was one."""
    item = Dataset()
    _add(item, CODE_VALUE, "SH", dummies.TEXT)
    _add(item, _CODING_SCHEME, "SH", _NO_SCHEME)
    _add(item, CODE_MEANING, "LO", dummies.TEXT)
    return item


def empty_report() -> Sequence:
    """Return a Content Sequence that says only that there was one."""
    name, item = Dataset(), Dataset()
    _add(name, CODE_VALUE, "SH", "121071")
    _add(name, _CODING_SCHEME, "SH", "DCM")
    _add(name, CODE_MEANING, "LO", "Finding")
    _add(item, _RELATIONSHIP, "CS", "CONTAINS")
    _add(item, _VALUE_TYPE, "CS", "TEXT")
    _add(item, _CONCEPT_NAME, "SQ", Sequence([name]))
    _add(item, _TEXT_VALUE, "UT", dummies.TEXT)
    return Sequence([item])


def _add(item: Dataset, tag: int, vr: str, value: object) -> None:
    item[BaseTag(tag)] = DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)


def _items(level: Dataset, tag: int) -> list[Dataset]:
    try:
        return list(items_of(level, tag)) if is_sequence(element_of(level, tag)) else []
    except Unfit:
        return []


def _value(level: Dataset, tag: int) -> str:
    try:
        return next(iter(values.read(level, tag, character_set(""))), "")
    except Unfit:
        return ""
