"""The values of an element as text, and text as the value of an element."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence

from pydicom import config
from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import Encoding
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET, TEXT_VRS, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.transform.level import (
    AnyElement,
    declared,
    element_of,
    is_empty,
    is_left_out,
    is_sequence,
    items_of,
    known_vr,
    public_vr,
    vr_of,
)
from capacitord.model import representation
from capacitord.model.representation import NUMBERS, number, split

STRING_VRS = TEXT_VRS | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
"""The VRs whose value is text."""


def read(level: Dataset, tag: int, characters: CharacterSet) -> list[str]:
    """Return the values of an element, without padding. Raises `Unfit` if they are neither text nor numbers."""
    element = element_of(level, tag)
    if element is None or is_empty(element):
        return []
    if is_sequence(element):
        msg = "is a sequence, which has no value of its own"
        raise Unfit(msg)
    if is_left_out(element):
        msg = "has a value too large to be looked at"
        raise Unfit(msg)
    vr = vr_of(level, tag)
    if isinstance(element, DataElement):
        return _of_decoded(element, vr)
    return decode(element.value or b"", vr, characters, big=not element.is_little_endian and element.VR != "UN")


def decode(value: bytes, vr: str, characters: CharacterSet, *, big: bool) -> list[str]:
    """Return the values that an encoded value holds. Raises `Unfit`."""
    if vr in NUMBERS:
        try:
            return [_written(found, vr) for (found,) in struct.iter_unpack((">" if big else "<") + NUMBERS[vr], value)]
        except struct.error:
            raise Unfit(f"has a value whose length does not fit the VR {vr}") from None
    if vr in TEXT_VRS:
        return split(characters.decode(value, vr), vr)
    if vr not in STRING_VRS:
        raise Unfit(f"has the VR {vr}, which is neither text nor a number")
    if not value.isascii():
        raise Unfit(f"has characters that the VR {vr} does not allow")
    return split(value.decode("ascii"), vr)


def _of_decoded(element: DataElement, vr: str) -> list[str]:
    value = element.value
    if isinstance(value, bytes) or (vr not in NUMBERS and vr not in STRING_VRS):
        raise Unfit(f"has the VR {vr}, which is neither text nor a number")
    each = value if not isinstance(value, str) and hasattr(value, "__iter__") and vr != "PN" else [value]
    if vr == "PN" and element.VM > 1:
        each = value
    return split("\\".join(_written(one, vr) for one in each), vr)


def _written(value: object, vr: str) -> str:
    original = getattr(value, "original_string", None)
    if original is not None and not hasattr(value, "components"):
        return str(original)
    return _shortest(value, vr) if isinstance(value, float) and vr in NUMBERS else str(value)


def _shortest(found: float, vr: str) -> str:
    """Return a number with no more digits than tell it from its neighbours."""
    pack = struct.Struct("<" + NUMBERS[vr]).pack
    digits = range(6, 9) if vr == "FL" else range(15, 17)
    texts = (f"{found:.{count}g}" for count in digits)
    return next((text for text in texts if pack(float(text)) == pack(found)), f"{found:.{digits.stop}g}")


def check_count(tag: int, count: int) -> None:
    """Raise `Unfit` if PS3.6 does not let the attribute have so many values; none is always allowed here."""
    with contextlib.suppress(KeyError):
        representation.check_count(dictionary_VM(tag), count)


def make(tag: int, vr: str, values: Sequence[str]) -> DataElement:
    """Return an element with values that were checked."""
    value: object = ""
    if vr in NUMBERS:
        found = [number(each, vr) for each in values]
        value = None if not found else found[0] if len(found) == 1 else found
    elif values:
        value = values[0] if len(values) == 1 else list(values)
    return DataElement(BaseTag(tag), vr, value, validation_mode=config.IGNORE)


def vr_to_write(level: Dataset, tag: int, given: str = "") -> str:
    """Return the VR under which an element is written. Raises `Unfit` if nobody says which.

    That of PS3.6 goes first; a private element, or one for which PS3.6 leaves a choice, keeps its own.
    """
    element = element_of(level, tag)
    own = element.VR if element is not None and element.VR != "UN" else None
    known = known_vr(level, tag)
    is_settled = not tag >> 16 & 1 and len(public_vr(tag)) == 2
    vr = (known or own or given) if is_settled else (own or given or known)
    if not vr:
        msg = 'no dictionary knows its VR: the profile has to say it, like { value = "x", vr = "LO" }'
        raise Unfit(msg)
    return vr


def vr_or_unknown(level: Dataset, tag: int) -> str:
    """Return the VR under which an element is written, UN if nobody says which."""
    try:
        return vr_to_write(level, tag)
    except Unfit:
        return "UN"


def encode(element: DataElement, characters: CharacterSet, encoding: Encoding) -> bytes:
    """Return a whole element in bytes. Raises `Unfit` or `Malformed` if it cannot be written."""
    vr = str(element.VR)
    if vr == "SQ":
        items = (_encode_level(item, characters, encoding) for item in element.value or ())
        return encoded.write(element.tag, vr, b"".join(encoded.write_item(item, encoding) for item in items), encoding)
    value = _value_bytes(element, vr, characters, encoding)
    return encoded.write(element.tag, vr, value + _padding(vr) * (len(value) % 2), encoding)


def _encode_level(level: Dataset, outer: CharacterSet, encoding: Encoding) -> bytes:
    characters = declared(level) if element_of(level, SPECIFIC_CHARACTER_SET) is not None else outer
    found = []
    for tag in sorted(level.keys()):
        element = element_of(level, tag)
        if isinstance(element, RawDataElement):
            found.append(_rewrap(level, element, characters, encoding))
        elif element is not None:
            found.append(encode(element, characters, encoding))
    return b"".join(found)


def _rewrap(level: Dataset, raw: RawDataElement, characters: CharacterSet, encoding: Encoding) -> bytes:
    if is_left_out(raw):
        msg = "has a value too large to be copied"
        raise Unfit(msg)
    if Encoding(implicit=raw.is_implicit_VR, big=not raw.is_little_endian) != encoding:
        if not is_sequence(raw):
            return encode(_decoded(level, raw, characters), characters, encoding)
        items_of(level, raw.tag)
        return encode(level[raw.tag], characters, encoding)
    value = raw.value or b""
    vr = raw.VR or vr_of(level, raw.tag)
    if raw.length == encoded.UNDEFINED:
        return encoded.write_undefined(raw.tag, vr, value, encoding)
    return encoded.write(raw.tag, vr, value, encoding)


def _decoded(level: Dataset, raw: RawDataElement, characters: CharacterSet) -> DataElement:
    """Return an element to be written in another encoding, for which its value has to be known."""
    vr = vr_of(level, raw.tag)
    return make(raw.tag, vr, read(level, raw.tag, characters))


def _value_bytes(element: DataElement, vr: str, characters: CharacterSet, encoding: Encoding) -> bytes:
    if element.is_empty:
        return b""
    if isinstance(element.value, bytes):
        return element.value
    if vr == "AT":
        tags = [element.value] if element.VM == 1 else element.value
        return b"".join(struct.pack(f"{encoding.order}HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    texts = _of_decoded(element, vr)
    if vr in NUMBERS:
        return b"".join(struct.pack(encoding.order + NUMBERS[vr], number(each, vr)) for each in texts)
    text = "\\".join(texts)
    return characters.encode(text, vr) if vr in TEXT_VRS else text.encode("ascii")


def _padding(vr: str) -> bytes:
    return b" " if vr in STRING_VRS and vr != "UI" else b"\0"


def show(level: Dataset, tag: int, characters: CharacterSet) -> str | None:
    """Return an element's value for a person to read, None if it is not there."""
    element = element_of(level, tag)
    if element is None:
        return None
    if is_sequence(element):
        return _show_sequence(level, tag)
    try:
        return "\\".join(read(level, tag, characters))
    except Unfit:
        return _show_bytes(element)


def _show_sequence(level: Dataset, tag: int) -> str:
    try:
        count = len(items_of(level, tag))
    except Unfit:
        return "a sequence that cannot be read"
    return f"sequence of {count} item{'' if count == 1 else 's'}"


def _show_bytes(element: AnyElement) -> str:
    if isinstance(element, RawDataElement) and is_left_out(element):
        return f"{element.length} bytes"
    value = element.value
    return f"{len(value)} bytes" if isinstance(value, bytes) else "a value that is not text"
