"""What happens to an image, in the words of the answers that tell of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from capacitord.api.trial import Changed, Skipped, Syntax, TriedRoute
from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.differing import differences
from capacitord.dicom.head import FIRST_PIXELS, LAST_PIXELS
from capacitord.dicom.header import HeaderReader
from capacitord.dicom.intake import Announced
from capacitord.dicom.produce import in_words
from capacitord.dicom.rewriting import Opened
from capacitord.dicom.transform.engine import name_of
from capacitord.dicom.transform.failure import NotTransformed, TransformFailed
from capacitord.model.attribute import Attribute, Step
from capacitord.model.conditions import decisive
from capacitord.model.image import Arrival
from capacitord.model.routes import Considered

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from capacitord.dicom.rewriting import Encoded
    from capacitord.dicom.transform.engine import Change
    from capacitord.model.conditions import Attributes

_WHEN_RECORDED: Final = (0x04000561, 0x04000562)
"""Attribute Modification DateTime in an item of Original Attributes Sequence."""


def of_routing(error: NotTransformed) -> str:
    """Return why it cannot be decided where an image goes."""
    words = in_words(error) if isinstance(error, TransformFailed) else str(error)
    return f"the attributes that routes look at cannot be read: {words[:1].lower()}{words[1:].rstrip('.')}"


def attributes_of(image: Encoded) -> Attributes | None:
    """Return the attributes of an image, None if they cannot be read."""
    try:
        return Opened(image).attributes
    except NotTransformed:
        return None


def findings_of(image: Encoded, sop_class_uid: str, sop_instance_uid: str) -> tuple[str, ...]:
    """Return what is wrong with an image that comes under these UIDs, as reception finds it, in lines to be kept.

    Raises what reading the image raises.
    """
    arrival = Arrival("", "", "", 0)
    reader = HeaderReader(Announced(sop_class_uid, sop_instance_uid, image.transfer_syntax_uid, arrival))
    for piece in image.chunks():
        if reader.feed(piece):
            break
    return reader.facts(image.length).findings if image.length else ()


def first(attributes: Attributes | None, tag: int) -> str:
    """Return the first value of an attribute, empty if there is none."""
    values = attributes.values(Attribute(f"{tag:08X}", (Step(tag),))) if attributes is not None else None
    return values[0] if values else ""


def syntax_of(uid: str) -> Syntax:
    """Return a transfer syntax with its name."""
    return Syntax(uid, syntax_name(uid))


def route_of(considered: Considered) -> TriedRoute:
    """Return a route that was looked at; they count from 1."""
    reason = considered.reason
    return TriedRoute(considered.route + 1, reason.holds, tuple(decisive(reason)), reason)


def _dataset(image: Encoded) -> Dataset:
    return Opened(image, whole=True).dataset


def differing(before: Encoded, after: Encoded, operation: str) -> tuple[Changed, ...]:
    """Return what is not the same in two images, pixels and group lengths (PS3.5 §7.2) aside.

    When attributes were modified (0400,0562) is left out where both images say it: they were made one after the other.

    Raises `NotTransformed`, and what reading the images raises.
    """
    return tuple(
        Changed(_path_text(path), name_of(path), was, now, "", operation)
        for path, was, now in differences(_dataset(before), _dataset(after))
        if path[-1] & 0xFFFF
        and not (len(path) == 1 and FIRST_PIXELS <= path[0] <= LAST_PIXELS)
        and not (path[-3::2] == _WHEN_RECORDED and was is not None and now is not None)
    )


def change_of(change: Change) -> Changed:
    """Return a change that a transform made."""
    return Changed(
        _path_text(change.path), change.attribute, change.before, change.after, change.transform, change.operation
    )


def _path_text(path: Iterable[int]) -> str:
    """Return a path as tags; items count from 1."""
    text = ""
    for place, number in enumerate(path):
        if place % 2:
            text += f"[{number + 1}]."
        else:
            text += f"({number >> 16:04X},{number & 0xFFFF:04X})"
    return text


def skip_of(failure: TransformFailed) -> Skipped:
    """Return an operation that was left out."""
    return Skipped(failure.transform, failure.operation, failure.attribute, failure.why)
