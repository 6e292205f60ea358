"""The data dictionary (PS3.6 §6): keywords, tags and VRs, so that reading a profile needs no DICOM library.

`attributes.txt` is made from pydicom's dictionary: a line holds a tag, a keyword, a VM and a VR. It is read when it is
needed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final, NamedTuple

FILE: Final = "attributes.txt"
_NEAR: Final = 4
"""Letters more or less that a mistyped keyword may have."""


class Entry(NamedTuple):
    """An attribute of the standard.

    `multiplicity` is how many values it has, like "1" or "2-n"; `vr` may name several VRs, as "US or SS".
    """

    tag: int
    keyword: str
    multiplicity: str
    vr: str


def entry(keyword: str) -> Entry | None:
    """Return the attribute with a keyword, None if there is none."""
    return _attributes()[0].get(keyword)


def tag_of(keyword: str) -> int | None:
    """Return the tag of a keyword, None if there is none."""
    found = entry(keyword)
    return None if found is None else found.tag


def vr_of(tag: int) -> str:
    """Return the VR of a tag, empty if the standard does not know it."""
    found = _attributes()[1].get(tag)
    return "" if found is None else found.vr


def multiplicity_of(tag: int) -> str:
    """Return how many values an attribute has, empty if the standard does not know it."""
    found = _attributes()[1].get(tag)
    return "" if found is None else found.multiplicity


def keywords() -> frozenset[str]:
    """Return all keywords."""
    return frozenset(_attributes()[0])


def alike(word: str) -> tuple[str, ...]:
    """Return the keywords that are worth comparing a word with: a profile may have thousands that are wrong."""
    start = word.casefold()
    return tuple(
        keyword
        for keyword in _by_letter().get(start[:1], ())
        if abs(len(keyword) - len(word)) <= _NEAR or (len(word) > _NEAR and keyword.casefold().startswith(start))
    )


@functools.cache
def _by_letter() -> Mapping[str, tuple[str, ...]]:
    letters = {keyword[0].casefold() for keyword in keywords()}
    return MappingProxyType(
        {letter: tuple(word for word in sorted(keywords()) if word[0].casefold() == letter) for letter in letters}
    )


@functools.cache
def _attributes() -> tuple[Mapping[str, Entry], Mapping[int, Entry]]:
    text = resources.files("capacitord.config").joinpath(FILE).read_text("ascii")
    entries = [
        Entry(int(tag, 16), keyword, multiplicity, vr)
        for tag, keyword, multiplicity, vr in (line.split(" ", 3) for line in text.splitlines())
    ]
    by_keyword = {each.keyword: each for each in entries}
    return MappingProxyType(by_keyword), MappingProxyType({each.tag: each for each in entries})
