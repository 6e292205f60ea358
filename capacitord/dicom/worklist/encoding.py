"""Keys and what they are answered with, as bytes: the identifiers of queries and of answers."""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from capacitord.dicom import elements as encoded
from capacitord.dicom.elements import Encoding, Malformed
from capacitord.dicom.transform.characters import TEXT_VRS, CharacterSet
from capacitord.dicom.transform.failure import Unfit
from capacitord.model.representation import NUMBERS, number


class Leaf(NamedTuple):
    """An attribute that is no sequence: its VR and its values, none if it is empty."""

    vr: str
    values: list[str] | tuple[str, ...] = ()


Content: TypeAlias = "dict[int, Leaf | list[Content]]"
"""A dataset: by tag a leaf, or the items of a sequence."""


def encode(level: Content, characters: CharacterSet, encoding: Encoding) -> bytes:
    """Return a dataset in bytes. Raises `Unfit` if the character set has no place for some of its text."""
    parts = []
    for tag in sorted(level):
        content = level[tag]
        if isinstance(content, list):
            items = (encoded.write_item(encode(item, characters, encoding), encoding) for item in content)
            parts.append(encoded.write(tag, "SQ", b"".join(items), encoding))
        else:
            parts.append(_encode_leaf(tag, content, characters, encoding))
    return b"".join(parts)


def _encode_leaf(tag: int, leaf: Leaf, characters: CharacterSet, encoding: Encoding) -> bytes:
    vr = leaf.vr
    if vr in NUMBERS:
        value = _encode_numbers(leaf, encoding)
    else:
        text = "\\".join(leaf.values)
        value = characters.encode(text, vr) if vr in TEXT_VRS else text.encode("ascii", "replace")
        if len(value) % 2:
            value += b"\0" if vr == "UI" else b" "
    try:
        return encoded.write(tag, vr, value, encoding)
    except Malformed:
        # Longer than Explicit VR can say; cut short it would be another value.
        return encoded.write(tag, vr, b"", encoding)


def _encode_numbers(leaf: Leaf, encoding: Encoding) -> bytes:
    try:
        return b"".join(struct.pack(encoding.order + NUMBERS[leaf.vr], number(each, leaf.vr)) for each in leaf.values)
    except Unfit:
        return b""
