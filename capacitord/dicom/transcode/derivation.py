"""What an image says of itself once something of it was lost (PS3.3 §C.7.6.1.1.5, §C.12.4.1).

An image that is a compressed version of another one has a SOP Instance UID of its own: PS3.3 §C.7.6.1.1.5 demands
it, and a PACS that was sent both under one UID would keep whichever came first. The new UID follows from the old
one and from how it is compressed, so that the same image sent again is the same instance again.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable
from typing import Final

from capacitord.dicom import elements as encoded
from capacitord.dicom.contexts import syntax_name
from capacitord.dicom.elements import EXPLICIT_LITTLE, Encoding, Malformed
from capacitord.dicom.transcode.dataset import Draft
from capacitord.dicom.transcode.failure import NotTranscoded
from capacitord.dicom.transcode.layout import Attributes
from capacitord.model.compression import Compression

IMAGE_TYPE: Final = 0x00080008
INSTANCE_CREATION_DATE: Final = 0x00080012
INSTANCE_CREATION_TIME: Final = 0x00080013
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
MODALITY: Final = 0x00080060
TIMEZONE_OFFSET: Final = 0x00080201
REFERENCED_SOP_CLASS_UID: Final = 0x00081150
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
DERIVATION_DESCRIPTION: Final = 0x00082111
SOURCE_IMAGE_SEQUENCE: Final = 0x00082112
FRAME_TYPE: Final = 0x00089007
DERIVATION_CODE_SEQUENCE: Final = 0x00089215
LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
LOSSY_IMAGE_COMPRESSION_RATIO: Final = 0x00282112
LOSSY_IMAGE_COMPRESSION_METHOD: Final = 0x00282114
PURPOSE_OF_REFERENCE: Final = 0x0040A170
_FUNCTIONAL_GROUPS: Final = (0x52009229, 0x52009230)

EXTREMES: Final = (0x00280106, 0x00280107, 0x00280108, 0x00280109)
"""The smallest and the largest sample of the image and of its series: not true of samples that differ."""

_LONGEST_DESCRIPTION: Final = 1024
_OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)")
_MOST_VALUES: Final = 64


def is_lossy(attributes: Attributes) -> bool:
    """Whether an image says that something of it was lost already."""
    return attributes.text(LOSSY_IMAGE_COMPRESSION) == "01"


def derived_uid(sop_instance_uid: str, wanted: Compression) -> str:
    """Return the SOP Instance UID of the compressed version of an image: the same for the same (PS3.5 §B.2)."""
    how = f"{wanted.transfer_syntax} {wanted.quality} {wanted.ratio} {wanted.near}"
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{sop_instance_uid} {how}').int}"


def note_loss(draft: Draft, attributes: Attributes, *, ratio: float, method: str) -> None:
    """Write that something was lost, behind what was said of earlier losses."""
    _put(draft, LOSSY_IMAGE_COMPRESSION, "CS", "01")
    _put(draft, LOSSY_IMAGE_COMPRESSION_RATIO, "DS", _added(attributes, LOSSY_IMAGE_COMPRESSION_RATIO, f"{ratio:.2f}"))
    _put(draft, LOSSY_IMAGE_COMPRESSION_METHOD, "CS", _added(attributes, LOSSY_IMAGE_COMPRESSION_METHOD, method))


def note_derivation(
    draft: Draft, attributes: Attributes, wanted: Compression, *, ratio: float, now: dt.datetime
) -> str:
    """Write what the new image was derived from and how; return its SOP Instance UID.

    `draft` is in Explicit VR Little Endian. Raises `NotTranscoded` if the image does not say what it is.
    """
    sop_class_uid, uid = attributes.text(SOP_CLASS_UID), attributes.text(SOP_INSTANCE_UID)
    if not sop_class_uid or not uid:
        msg = "The image does not say its SOP class and instance, from which a new one would be derived."
        raise NotTranscoded(msg)
    new = derived_uid(uid, wanted)
    _put(draft, SOP_INSTANCE_UID, "UI", new)
    _put(draft, IMAGE_TYPE, "CS", _derived(attributes.text(IMAGE_TYPE) or "DERIVED\\PRIMARY"))
    moment = _local(now, attributes.text(TIMEZONE_OFFSET))
    _put(draft, INSTANCE_CREATION_DATE, "DA", moment.strftime("%Y%m%d"))
    _put(draft, INSTANCE_CREATION_TIME, "TM", moment.strftime("%H%M%S.%f"))
    words = f"Lossy compression by {ratio:.2f} to 1, {syntax_name(wanted.transfer_syntax)}"
    earlier = attributes.element(DERIVATION_DESCRIPTION)
    text = earlier.value.rstrip(b" \0") + b"; " if earlier is not None and earlier.value.strip(b" \0") else b""
    text += words.encode("ascii")
    if len(text) <= _LONGEST_DESCRIPTION:
        draft.put(DERIVATION_DESCRIPTION, [_element(DERIVATION_DESCRIPTION, "ST", text)])
    _append(draft, DERIVATION_CODE_SEQUENCE, _code("113040", "Lossy Compression"))
    predecessor = _sequence(PURPOSE_OF_REFERENCE, _code("121320", "Uncompressed predecessor"))
    source = [
        _element(REFERENCED_SOP_CLASS_UID, "UI", sop_class_uid.encode("latin-1")),
        _element(REFERENCED_SOP_INSTANCE_UID, "UI", uid.encode("latin-1")),
        predecessor,
    ]
    _append(draft, SOURCE_IMAGE_SEQUENCE, b"".join(source))
    for tag in _FUNCTIONAL_GROUPS:
        groups = draft.element(tag)
        if groups is not None:
            try:
                draft.put(tag, [_frame_types_derived(groups)])
            except Malformed:
                msg = "The dataset is damaged: its functional groups cannot be read."
                raise NotTranscoded(msg) from None
    return new


def _derived(image_type: str) -> str:
    return "\\".join(["DERIVED", *image_type.split("\\")[1:]])


def _local(now: dt.datetime, offset: str) -> dt.datetime:
    found = _OFFSET.fullmatch(offset)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        return now
    minutes = int(found[2]) * 60 + int(found[3])
    return now.astimezone(dt.timezone(dt.timedelta(minutes=-minutes if found[1] == "-" else minutes)))


def _added(attributes: Attributes, tag: int, value: str) -> str:
    earlier = [each.strip() for each in attributes.text(tag).split("\\") if each.strip()]
    return "\\".join([*earlier[:_MOST_VALUES], value])


def _put(draft: Draft, tag: int, vr: str, text: str) -> None:
    draft.put(tag, [_element(tag, vr, text.encode("latin-1"), draft.encoding)])


def _element(tag: int, vr: str, value: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    padding = b"\0" if vr == "UI" else b" "
    return encoded.write(tag, vr, value + padding * (len(value) % 2), encoding)


def _code(value: str, meaning: str) -> bytes:
    return b"".join(
        [
            _element(0x00080100, "SH", value.encode()),
            _element(0x00080102, "SH", b"DCM"),
            _element(0x00080104, "LO", meaning.encode()),
        ]
    )


def _sequence(tag: int, *items: bytes) -> bytes:
    return encoded.write(
        tag, "SQ", b"".join(encoded.write_item(item, EXPLICIT_LITTLE) for item in items), EXPLICIT_LITTLE
    )


def _append(draft: Draft, tag: int, item: bytes) -> None:
    """Write an item behind those that a sequence has."""
    earlier = draft.element(tag)
    value = b""
    if earlier is not None:
        found = next(iter(encoded.elements(earlier, EXPLICIT_LITTLE)))
        if found.vr != "SQ":
            msg = "The image has a sequence that is not written as one."
            raise NotTranscoded(msg)
        value = found.value
    new = value + encoded.write_item(item, EXPLICIT_LITTLE)
    draft.put(tag, [encoded.write(tag, "SQ", new, EXPLICIT_LITTLE)])


def _frame_types_derived(sequence: bytes, depth: int = 0) -> bytes:
    """Return a sequence in which each Frame Type says DERIVED; all else stays as it is."""
    (element,) = encoded.elements(sequence, EXPLICIT_LITTLE)
    if element.vr != "SQ" or depth > 2:
        return sequence
    items, rest = encoded.items(element.value, EXPLICIT_LITTLE)
    value = b"".join(_item_derived(item, depth) for item in items) + rest
    if element.undefined:
        return sequence[: element.header] + value + sequence[element.header + element.length :]
    return encoded.with_length(sequence[: element.header], len(value), EXPLICIT_LITTLE) + value


def _item_derived(item: encoded.Item, depth: int) -> bytes:
    content = b"".join(_inner_derived(encoded.elements(item.content, EXPLICIT_LITTLE), depth))
    return (item.head if item.tail else encoded.item_head(len(content), EXPLICIT_LITTLE)) + content + item.tail


def _inner_derived(inside: Iterable[encoded.Element], depth: int) -> Iterable[bytes]:
    for element in inside:
        if element.tag == FRAME_TYPE:
            text = element.value.decode("latin-1").strip(" \0")
            yield _element(FRAME_TYPE, "CS", _derived(text).encode("latin-1"))
        elif element.vr == "SQ" and element.data is not None:
            yield _frame_types_derived(element.data, depth + 1)
        elif element.tag & 0xFFFF and element.data is not None:
            yield element.data
