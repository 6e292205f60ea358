"""What a person would see differ between two datasets, whatever made them differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pydicom.dataelem import RawDataElement

from capacitord.dicom.transform.draft import Draft, Path
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import AnyElement, element_of, is_left_out, is_sequence

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class Difference(NamedTuple):
    """An attribute that is not the same: as text, None where it is not there."""

    path: Path
    before: str | None
    after: str | None


def differences(before: Dataset, after: Dataset) -> list[Difference]:
    """Return what differs, in the order of the tags.

    Text counts by its characters, not by the bytes they are encoded in. Sequences with as many items as before are
    compared item by item; others are one difference. Of values too large to be kept only their lengths are compared.
    """
    return list(_between(Draft(before), Draft(after), ()))


def _between(old: Draft, new: Draft, prefix: Path) -> Iterator[Difference]:
    before, after = old.level(prefix), new.level(prefix)
    for tag in sorted({*before.keys(), *after.keys()}):
        path = (*prefix, tag)
        was, now = element_of(before, tag), element_of(after, tag)
        if is_sequence(was) and is_sequence(now) and (count := _items(old, path)) == _items(new, path):
            for item in range(count):
                yield from _between(old, new, (*path, item))
            continue
        seen = Difference(path, old.shown_if_there(path), new.shown_if_there(path))
        if seen.before != seen.after or _bytes_differ(was, now, seen.before):
            yield seen


def _items(draft: Draft, path: Path) -> int:
    """Return how many items a sequence has; one that cannot be read is compared as a whole."""
    try:
        return len(draft.items(path))
    except Unfit:
        return 0


def _bytes_differ(was: AnyElement | None, now: AnyElement | None, seen: str | None) -> bool:
    """Whether values that are shown by their length only are different ones of the same length."""
    if seen is None or not seen.endswith(" bytes"):
        return False
    if not isinstance(was, RawDataElement) or not isinstance(now, RawDataElement):
        return was is None or now is None or bool(was.value != now.value)
    return not is_left_out(was) and not is_left_out(now) and bool(was.value != now.value)
