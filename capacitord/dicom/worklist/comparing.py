"""An entry as it came and as it is served, attribute by attribute, for a person to compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from capacitord.dicom.transform.engine import name_of
from capacitord.dicom.worklist.correct import Corrected
from capacitord.dicom.worklist.entry import Entry

_SOMETHING = "…"
"""Stands for a value that is neither text nor number."""

_Path = tuple[int, ...]


class Compared(NamedTuple):
    """An attribute: its values as text, None where it is not there, and what changed it, by the profile's names."""

    name: str
    before: str | None
    after: str | None
    by: tuple[str, ...] = ()


def compared(original: Entry, corrected: Corrected) -> list[Compared]:
    """Return all attributes of both, those of items too, in the order of their tags."""
    before, after = dict(_leaves(original, ())), dict(_leaves(corrected.entry, ()))
    by: dict[_Path, list[str]] = {}
    for change in corrected.changes:
        by.setdefault(tuple(change.path), []).append(change.transform)
    return [
        Compared(name_of(path), before.get(path), after.get(path), _of(path, by))
        for path in sorted({*before, *after})
        if path[-1] & 0xFFFF
    ]


def _of(path: _Path, by: dict[_Path, list[str]]) -> tuple[str, ...]:
    """Return what changed an attribute, or a sequence that it is in."""
    return tuple(dict.fromkeys(name for end in range(1, len(path) + 1) for name in by.get(path[:end], ())))


def _leaves(entry: Entry, prefix: _Path) -> Iterator[tuple[_Path, str]]:
    for tag in entry.tags():
        path = (*prefix, tag)
        items = entry.items(tag)
        for number, item in enumerate(items):
            yield from _leaves(item, (*path, number))
        if not items:
            yield path, "\\".join(entry.values(tag)) or ("" if entry.is_blank(tag) else _SOMETHING)
