"""Small data sets, written element by element in each encoding."""

from __future__ import annotations

import struct
from collections.abc import Mapping

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_LONG = frozenset({"OB", "OW", "SQ", "UN", "UT"})


def element(tag: int, vr: str, value: bytes, *, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """Return one element; `length` is written instead of the value's own."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    value += (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)
    count = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<L", count) + value
    if vr in _LONG:
        return head + vr.encode() + struct.pack(f"{order}HL", 0, count) + value
    return head + vr.encode() + struct.pack(f"{order}H", count) + value


def dataset(
    sop_class: str,
    sop_instance: str,
    *,
    study: str = "1.2.3",
    series: str = "1.2.3.4",
    syntax: str = EXPLICIT,
    pixels: int = 64,
    more: Mapping[int, tuple[str, bytes]] | None = None,
) -> bytes:
    """Return a data set with these UIDs, where not empty, and `more` elements, in the order of their tags."""
    elements = {
        0x00080016: ("UI", sop_class.encode()),
        0x00080018: ("UI", sop_instance.encode()),
        0x00080060: ("CS", b"CT"),
        0x00100010: ("PN", b"Sample^Anna"),
        0x00100020: ("LO", b"COACH-1"),
        0x0020000D: ("UI", study.encode()),
        0x0020000E: ("UI", series.encode()),
        0x00200013: ("IS", b"12"),
        0x00280010: ("US", struct.pack(">H" if syntax == BIG_ENDIAN else "<H", 8)),
        0x7FE00010: ("OW", bytes(pixels)),
        **(more or {}),
    }
    return b"".join(element(tag, vr, value, syntax=syntax) for tag, (vr, value) in sorted(elements.items()) if value)
