"""What the datasets of MPPS and storage commitment say. Pure functions; nothing of a patient is looked at.

A dataset of these services comes from anybody who may send images, so everything in it may be missing or of another
kind than it should be: then `Refused` says with which status (PS3.7 annex C).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from capacitord.dicom.validation.rules import is_like_a_uid
from capacitord.model.evidence import Named, Result

IN_PROGRESS: Final = "IN PROGRESS"
_OVER: Final = frozenset({"COMPLETED", "DISCONTINUED"})
MOST_IMAGES: Final = 200_000
MOST_STUDIES: Final = 100

INVALID_VALUE: Final = 0x0106
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_VALUE: Final = 0x0121
LIMITED: Final = 0x0213

EVENT_SUCCESS: Final = 1
EVENT_FAILURES: Final = 2
"""Event Type IDs of storage commitment (PS3.4 table J.3-2)."""


class Refused(Exception):
    """A request that cannot be met: the status and a comment free of patient data."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status, self.comment = status, comment


class Change(NamedTuple):
    """What an N-SET of a performed procedure step says: whether it is over, and its images if it names them."""

    over: bool
    images: tuple[Named, ...] | None


class Asked(NamedTuple):
    """A storage commitment request (PS3.4 §J.3.2.1)."""

    transaction_uid: str
    images: tuple[Named, ...]


def begun(dataset: Dataset) -> tuple[str, ...]:
    """Return the studies that a performed procedure step is for, from its N-CREATE (PS3.4 §F.7.2.1).

    Raises `Refused`.
    """
    status = _text(dataset, "PerformedProcedureStepStatus")
    if status != IN_PROGRESS:
        raise Refused(INVALID_VALUE if status else MISSING_ATTRIBUTE, "a step begins with the status IN PROGRESS")
    studies = [_text(item, "StudyInstanceUID") for item in _items(dataset, "ScheduledStepAttributesSequence")]
    found = tuple(dict.fromkeys(filter(None, studies)))
    if not found:
        raise Refused(MISSING_ATTRIBUTE, "a step names its study in Scheduled Step Attributes Sequence")
    if len(found) > MOST_STUDIES:
        raise Refused(LIMITED, "more studies are named than this box keeps of one step")
    if not all(map(is_like_a_uid, found)):
        raise Refused(INVALID_VALUE, "a Study Instance UID is not a UID")
    return found


def changed(dataset: Dataset) -> Change:
    """Return what the N-SET of a performed procedure step says (PS3.4 §F.7.2.2). Raises `Refused`."""
    status = _text(dataset, "PerformedProcedureStepStatus")
    if status not in _OVER | {"", IN_PROGRESS}:
        raise Refused(INVALID_VALUE, "the status is none that a step can have")
    if "PerformedSeriesSequence" not in dataset:
        return Change(status in _OVER, None)
    return Change(status in _OVER, _bounded(_performed(dataset)))


def _performed(dataset: Dataset) -> Iterator[Named]:
    for series in _items(dataset, "PerformedSeriesSequence"):
        for keyword in ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence"):
            yield from map(_named, _items(series, keyword))


def asked(dataset: Dataset) -> Asked:
    """Return a storage commitment request. Raises `Refused`."""
    transaction_uid = _text(dataset, "TransactionUID")
    if not transaction_uid:
        raise Refused(MISSING_ATTRIBUTE, "the request has no Transaction UID")
    if not is_like_a_uid(transaction_uid):
        raise Refused(INVALID_VALUE, "the Transaction UID is not a UID")
    images = _bounded(map(_named, _items(dataset, "ReferencedSOPSequence")))
    if not images:
        raise Refused(MISSING_ATTRIBUTE, "the request names no images")
    return Asked(transaction_uid, images)


def report(transaction_uid: str, result: Result) -> tuple[int, Dataset]:
    """Return the event type and the dataset that report the result of a storage commitment request (PS3.4 §J.3.3)."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    if result.committed:
        dataset.ReferencedSOPSequence = Sequence(map(_reference, result.committed))
    if result.failed:
        dataset.FailedSOPSequence = Sequence(_failure(named, reason) for named, reason in result.failed)
    return EVENT_FAILURES if result.failed else EVENT_SUCCESS, dataset


def _reference(named: Named) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = named.sop_class_uid
    item.ReferencedSOPInstanceUID = named.sop_instance_uid
    return item


def _failure(named: Named, reason: int) -> Dataset:
    item = _reference(named)
    item.FailureReason = reason
    return item


def _named(item: Dataset) -> Named:
    named = Named(_text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID"))
    if not all(named):
        raise Refused(MISSING_VALUE, "a reference to an image has no SOP Class or Instance UID")
    if not all(map(is_like_a_uid, named)):
        raise Refused(INVALID_VALUE, "a reference to an image has a UID that is none")
    return named


def _bounded(images: Iterable[Named]) -> tuple[Named, ...]:
    found: dict[Named, None] = {}
    for named in images:
        found[named] = None
        if len(found) > MOST_IMAGES:
            raise Refused(LIMITED, "more images are named than this box keeps of one request")
    return tuple(found)


def _text(dataset: Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    return value.strip("\0 ") if isinstance(value, str) else ""


def _items(dataset: Dataset, keyword: str) -> Sequence:
    value = _value(dataset, keyword)
    return value if isinstance(value, Sequence) else Sequence()


def _value(dataset: Dataset, keyword: str) -> object:
    """Return a value, None if there is none. Raises `Refused` if it cannot be decoded."""
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom decodes late, and raises whatever it stumbles over
        raise Refused(INVALID_VALUE, f"{keyword} cannot be read") from None
