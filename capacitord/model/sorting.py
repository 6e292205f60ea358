"""What leaves first by its attributes: keys of bytes, which a database compares as they are.

A value that is missing, or that cannot be read as what its attribute holds, comes after all others.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from capacitord.model import compare
from capacitord.model.attribute import Attribute
from capacitord.model.compare import Kind
from capacitord.model.conditions import Attributes

_LONGEST: Final = 64
"""Characters of a text that count."""

_ORDERED, _TEXT, _MISSING = b"\x01", b"\x02", b"\xff"
_END: Final = b"\x00"


class By(NamedTuple):
    """An attribute to sort by in ascending order; `kind` is None for text."""

    attribute: Attribute
    kind: Kind | None


def key(by: Sequence[By], attributes: Attributes) -> bytes:
    """Return a key that is smaller the sooner an image leaves, the first attribute counting most."""
    return b"".join(_part(each.kind, attributes.values(each.attribute)) for each in by)


def _part(kind: Kind | None, values: tuple[str, ...] | None) -> bytes:
    value = values[0].strip() if values else ""
    if not value:
        return _MISSING
    if kind is None:
        # The end comes before every character, so that a text comes before those that begin with it.
        return _TEXT + value[:_LONGEST].casefold().encode("utf-8", "replace").replace(b"\x00", b"\x00\x01") + _END * 2
    parts = compare.read(kind, value)
    return _MISSING if parts is None else b"".join(_ORDERED + _number(part) for part in parts) + _END


def _number(value: float) -> bytes:
    """Return eight bytes that are ordered as numbers are: IEEE 754's, the sign's bit turned, of negatives all bits."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return struct.pack(">Q", bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63))
