"""What becomes of each attribute: PS3.15 Table E.1-1, edition 2026c.

The basic profile's column is that of `dicom-anonymizer`; the options' columns, which it lacks, are in `options.tsv`.
"""

from __future__ import annotations

import enum
import functools
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

from capacitord.model.deidentify import Option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EDITION: Final = "2026c"
_DATABASE: Final = f"dicomfields_{EDITION}"


class Action(enum.StrEnum):
    """What is done to an attribute (PS3.15 Table E.1-1a)."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    KEEP = "K"
    CLEAN = "C"
    UID = "U"
    EMPTY_OR_DUMMY = "Z/D"
    REMOVE_OR_EMPTY = "X/Z"
    REMOVE_OR_DUMMY = "X/D"
    REMOVE_OR_EMPTY_OR_DUMMY = "X/Z/D"
    REMOVE_OR_EMPTY_OR_UID = "X/Z/U*"


class Rule(NamedTuple):
    """What is done to one attribute, and what instead if it cannot be cleaned."""

    action: Action
    basic: Action


OPTIONS_BY_COLUMN: Final = MappingProxyType(
    {
        "uids": Option.RETAIN_UIDS,
        "device": Option.RETAIN_DEVICE_IDENTITY,
        "institution": Option.RETAIN_INSTITUTION_IDENTITY,
        "patient": Option.RETAIN_PATIENT_CHARACTERISTICS,
        "full": Option.RETAIN_LONGITUDINAL_FULL,
        "modified": Option.RETAIN_LONGITUDINAL_MODIFIED,
        "descriptors": Option.CLEAN_DESCRIPTORS,
        "content": Option.CLEAN_STRUCTURED_CONTENT,
        "graphics": Option.CLEAN_GRAPHICS,
    }
)

_LIBRARY: Final = MappingProxyType(
    {
        "D_TAGS": Action.DUMMY,
        "Z_TAGS": Action.EMPTY,
        "X_TAGS": Action.REMOVE,
        "U_TAGS": Action.UID,
        "Z_D_TAGS": Action.EMPTY_OR_DUMMY,
        "X_Z_TAGS": Action.REMOVE_OR_EMPTY,
        "X_D_TAGS": Action.REMOVE_OR_DUMMY,
        "X_Z_D_TAGS": Action.REMOVE_OR_EMPTY_OR_DUMMY,
        "X_Z_U_STAR_TAGS": Action.REMOVE_OR_EMPTY_OR_UID,
    }
)

_CURVES: Final = 0x50
_OVERLAYS: Final = 0x60
_CURVE_ROW: Final = "50xxxxxx"


class Profile:
    """The basic profile with some options. Where two of them differ about an attribute, cleaning comes first."""

    def __init__(self, options: frozenset[Option]) -> None:
        self.options = options
        chosen = columns_of_options()
        self._rules = {
            row: Rule(decided(basic, chosen.get(row, {}), options), basic) for row, basic in basic_profile().items()
        }

    def rule(self, tag: int) -> Rule | None:
        """Return the rule for a standard attribute, None if the table does not list it."""
        return self._rules.get(row_of(tag))

    def chose(self, option: Option) -> bool:
        """Whether an option is part of it."""
        return option in self.options


def decided(basic: Action, letters: Mapping[Option, Action], options: frozenset[Option]) -> Action:
    """Return what the profile does with these options."""
    chosen = {action for option, action in letters.items() if option in options}
    return Action.CLEAN if Action.CLEAN in chosen else Action.KEEP if Action.KEEP in chosen else basic


def row_of(tag: int) -> str:
    """Return by what name the table has an attribute: eight digits, some of them x in repeating groups."""
    if tag >> 24 == _CURVES:
        return _CURVE_ROW
    return f"60xx{tag & 0xFFFF:04X}" if tag >> 24 == _OVERLAYS else f"{tag:08X}"


@functools.cache
def profile(options: frozenset[Option]) -> Profile:
    """Return the profile with these options, made once."""
    return Profile(options)


@functools.cache
def basic_profile() -> Mapping[str, Action]:
    """Return the basic profile's column."""
    found = {}
    for name, tags in dicom_anonymization_database_selector(_DATABASE).items():
        if name in _LIBRARY:
            for group, element, *mask in tags:
                found[row_of(group << 16 | element) if mask else f"{group:04X}{element:04X}"] = _LIBRARY[name]
    return MappingProxyType(found)


@functools.cache
def columns_of_options() -> Mapping[str, Mapping[Option, Action]]:
    """Return the options' columns."""
    return MappingProxyType({row["tag"]: letters(row) for row in read("options.tsv")})


def letters(row: Mapping[str, str]) -> Mapping[Option, Action]:
    """Return what the options say in one row of a table of this package."""
    return {option: Action(row[column]) for column, option in OPTIONS_BY_COLUMN.items() if row.get(column, "-") != "-"}


def read(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of this package by the names of their columns."""
    lines = resources.files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    columns, *rows = (line.split("\t") for line in lines if not line.startswith("#"))
    for row in rows:
        yield dict(zip(columns, row, strict=True))
