"""Datasets as trees of elements that are written in every encoding, with lengths defined or not."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from tests.dicom.samples import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT

SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
ENCAPSULATED = "1.2.840.10008.1.2.4.70"

_LONG = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Node:
    """An element: a value, or items. `open_ended` sequences, and items of them, have undefined length."""

    tag: int
    vr: str
    value: bytes = b""
    items: tuple[tuple[Node, ...], ...] = ()
    open_ended: bool = False
    open_items: bool = field(default=False)


def written(level: tuple[Node, ...], syntax: str) -> bytes:
    """Return a dataset in bytes."""
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(written(level, EXPLICIT)) + deflater.flush()
        return data + b"\0" * (len(data) % 2)
    return b"".join(_element(node, syntax) for node in level)


def _element(node: Node, syntax: str) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    value, length = node.value, len(node.value)
    if node.vr == "SQ":
        value = b"".join(_item(item, syntax, open_ended=node.open_items) for item in node.items)
        length = len(value)
        if node.open_ended:
            value += struct.pack(f"{order}HHL", 0xFFFE, 0xE0DD, 0)
            length = _UNDEFINED
    head = struct.pack(f"{order}HH", node.tag >> 16, node.tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<L", length) + value
    if node.vr in _LONG:
        return head + node.vr.encode() + struct.pack(f"{order}HL", 0, length) + value
    return head + node.vr.encode() + struct.pack(f"{order}H", length) + value


def _item(item: tuple[Node, ...], syntax: str, *, open_ended: bool) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    content = b"".join(_element(node, syntax) for node in item)
    if open_ended:
        end = struct.pack(f"{order}HHL", 0xFFFE, 0xE00D, 0)
        return struct.pack(f"{order}HHL", 0xFFFE, 0xE000, _UNDEFINED) + content + end
    return struct.pack(f"{order}HHL", 0xFFFE, 0xE000, len(content)) + content


def fragments(*pieces: bytes) -> bytes:
    """Return encapsulated pixel data, without its header."""
    items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(piece)) + piece for piece in (b"", *pieces))
    return items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def changed(level: tuple[Node, ...], tag: int, value: bytes | None, *, anywhere: bool) -> tuple[Node, ...]:
    """Return the tree with another value, or without the element, wherever `tag` is."""
    found: list[Node] = []
    for node in level:
        if node.tag == tag:
            if value is not None:
                found.append(replace(node, value=value))
        elif anywhere and node.items:
            items = tuple(changed(item, tag, value, anywhere=True) for item in node.items)
            found.append(replace(node, items=items))
        else:
            found.append(node)
    return tuple(found)


_LEAVES = {
    0x00080050: "SH",
    0x00080080: "LO",
    0x00081030: "LO",
    0x00100010: "PN",
    0x00100020: "LO",
    0x00104000: "LT",
    0x00280010: "US",
}
_SEQUENCES = (0x00081110, 0x00081140, 0x00101002, 0x00400275)
_text = (
    st.binary(max_size=8)
    .map(lambda data: bytes(byte % 26 + 65 for byte in data))
    .map(lambda data: data + b" " * (len(data) % 2))
)


def _leaf(tag: int) -> st.SearchStrategy[Node]:
    values = st.binary(min_size=2, max_size=2) if _LEAVES[tag] == "US" else _text
    return st.builds(Node, st.just(tag), st.just(_LEAVES[tag]), values)


def _level(inner: st.SearchStrategy[tuple[Node, ...]]) -> st.SearchStrategy[tuple[Node, ...]]:
    sequence = st.builds(
        Node,
        st.sampled_from(_SEQUENCES),
        st.just("SQ"),
        items=st.lists(inner, max_size=3).map(tuple),
        open_ended=st.booleans(),
        open_items=st.booleans(),
    )
    return st.lists(_leaves | sequence, max_size=6, unique_by=lambda node: node.tag).map(_in_order)


def _in_order(nodes: list[Node]) -> tuple[Node, ...]:
    return tuple(sorted(nodes, key=lambda node: node.tag))


_leaves = st.sampled_from(sorted(_LEAVES)).flatmap(_leaf)
levels = st.recursive(
    st.lists(_leaves, max_size=4, unique_by=lambda node: node.tag).map(_in_order), _level, max_leaves=20
)
"""Datasets without pixels, with text in capitals."""
