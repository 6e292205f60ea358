"""The status of a C-STORE response, from what went wrong (PS3.4 §B.2.3, PS3.7 §9.1.1.1.9 and Annex C)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord import errors
from capacitord.dicom.walker import HeaderError

if TYPE_CHECKING:
    from capacitord.dicom.commands import Command


class Status(enum.IntEnum):
    """Values of (0000,0900) that this program answers with."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    INVALID_OBJECT_INSTANCE = 0x0117
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    UNRECOGNIZED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


class Refusal(NamedTuple):
    """Why an image is not kept: a status, and a comment free of patient data."""

    status: Status
    comment: str


# The first entry that fits decides, so a subclass stands before its base.
_OF_ERROR: Final[tuple[tuple[type[Exception], Status, str], ...]] = (
    (errors.OutOfSpace, Status.OUT_OF_RESOURCES, "the disk is below its reserve"),
    (errors.StorageFailed, Status.OUT_OF_RESOURCES, "the disk refused to store the image"),
    (errors.TryAgain, Status.OUT_OF_RESOURCES, "no images can be taken in for the moment"),
    (errors.Locked, Status.OUT_OF_RESOURCES, "the key of the storage is not available"),
    (errors.Refused, Status.NOT_AUTHORIZED, "no images are taken in now"),
    (errors.NotPermitted, Status.NOT_AUTHORIZED, "not permitted"),
    (HeaderError, Status.CANNOT_UNDERSTAND, ""),
    (errors.CapacitordError, Status.PROCESSING_FAILURE, "the image could not be stored"),
)


def refusal_for(error: Exception) -> Refusal:
    """Return what to answer after `error`; whatever is not foreseen is a processing failure, never a success."""
    for kind, status, comment in _OF_ERROR:
        if isinstance(error, kind):
            if isinstance(error, HeaderError):
                return Refusal(status, error.message)
            return Refusal(status, comment)
    return Refusal(Status.PROCESSING_FAILURE, "the image could not be stored")


def refusal_of_request(request: Command, context_sop_class_uid: str, storage_classes: frozenset[str]) -> Refusal | None:
    """Return why a C-STORE request cannot be met whatever its data set holds, or None."""
    if context_sop_class_uid not in storage_classes:
        return Refusal(Status.UNRECOGNIZED_OPERATION, "the presentation context is not of a storage SOP class")
    if request.sop_class_uid != context_sop_class_uid:
        return Refusal(Status.SOP_CLASS_NOT_SUPPORTED, "the SOP class is not the presentation context's")
    if not is_uid(request.sop_instance_uid):
        return Refusal(Status.INVALID_OBJECT_INSTANCE, "the SOP Instance UID is not a UID")
    if not request.has_data_set:
        return Refusal(Status.CANNOT_UNDERSTAND, "the request has no data set")
    return None


_UID_CHARACTERS = frozenset("0123456789.")


def is_uid(text: str) -> bool:
    """Say whether `text` can be a UID (PS3.5 §9.1).

    Components with leading zeros pass: devices in the field send them, and PACS keep them.
    """
    return 0 < len(text) <= 64 and _UID_CHARACTERS.issuperset(text) and text[0] != "." and text[-1] != "."
