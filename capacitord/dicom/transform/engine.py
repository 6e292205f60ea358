"""Transforms applied to a dataset, one after the other: what became of it, and what was changed by whom."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from capacitord.dicom.transform.draft import Draft, Edit, Path
from capacitord.dicom.transform.failure import TransformFailed, Unfit
from capacitord.dicom.transform.operations import carry_out
from capacitord.dicom.transform.original import record
from capacitord.model.transform import OnError, Record, Transform

_RECORDING: Final = "record"


class Change:
    """One attribute that an operation changed: for a person to see, and not for a log, since it has the values.

    `before` is None if it was not there, `after` if it is there no more.
    """

    __slots__ = ("after", "attribute", "before", "operation", "path", "transform")

    def __init__(self, path: Path, before: str | None, after: str | None, transform: str, operation: str) -> None:
        self.path = path
        self.attribute = name_of(path)
        self.before = before
        self.after = after
        self.transform = transform
        self.operation = operation

    def __repr__(self) -> str:
        return f"Change({self.attribute}, {self.transform}, {self.operation})"


class Transformed(NamedTuple):
    """A dataset after its transforms. `skipped` are the failures that a profile allows for."""

    dataset: Dataset
    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]
    skipped: tuple[TransformFailed, ...]


def apply(transforms: Sequence[Transform], dataset: Dataset, *, key: bytes, now: dt.datetime) -> Transformed:
    """Return what the transforms make of a dataset, which stays as it is.

    All of `transforms` are carried out: which of them fit the dataset was decided before. `key` is for hashes, and
    `now`, with a time zone, for the record of changes. Raises `TransformFailed` for the first operation that cannot
    be carried out and is not to be skipped.
    """
    skipped: dict[tuple[int, int], TransformFailed] = {}
    while True:
        try:
            return _attempt(transforms, dataset, key, now, skipped)
        except _Skip as skip:
            # An operation that failed may have done half its work, so all is done again without it.
            skipped[skip.place] = skip.failure


class _Skip(Exception):
    def __init__(self, place: tuple[int, int], failure: TransformFailed) -> None:
        super().__init__(str(failure))
        self.place = place
        self.failure = failure


def _attempt(
    transforms: Sequence[Transform],
    dataset: Dataset,
    key: bytes,
    now: dt.datetime,
    skipped: dict[tuple[int, int], TransformFailed],
) -> Transformed:
    draft = Draft(dataset)
    changes: list[Change] = []
    for how, group in itertools.groupby(enumerate(transforms), lambda numbered: numbered[1].record):
        before = draft.freeze() if how is not None else None
        first = len(changes)
        for number, transform in group:
            for index, operation in enumerate(transform.operations):
                if (number, index) in skipped:
                    continue
                try:
                    carry_out(operation, draft, key)
                except Unfit as error:
                    failure = TransformFailed(transform.name, operation.name, operation.target.text, str(error))
                    if transform.on_error is OnError.SKIP:
                        raise _Skip((number, index), failure) from None
                    raise failure from None
                changes += _logged(draft, transform.name, operation.name)
        if how is not None and before is not None and changes[first:]:
            changes += _recorded(draft, before, changes[first:], how, now)
    return Transformed(draft.dataset, tuple(changes), draft.edits(), tuple(skipped.values()))


def _recorded(draft: Draft, before: Dataset, done: Sequence[Change], how: Record, now: dt.datetime) -> Iterable[Change]:
    name = done[-1].transform
    try:
        record(draft, before, {change.path for change in done}, how, now)
    except Unfit as error:
        raise TransformFailed(name, _RECORDING, "OriginalAttributesSequence", str(error)) from None
    return _logged(draft, name, _RECORDING)


def _logged(draft: Draft, transform: str, operation: str) -> list[Change]:
    done = [Change(path, before, draft.shown_if_there(path), transform, operation) for path, before in draft.log]
    draft.log.clear()
    return done


def name_of(path: Path) -> str:
    """Return how a person calls the attribute at a path; items count from 1."""
    words = []
    for at in range(0, len(path), 2):
        tag = path[at]
        name = keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        words.append(f"{name}[{path[at + 1] + 1}]" if at + 1 < len(path) else name)
    return ".".join(words)
