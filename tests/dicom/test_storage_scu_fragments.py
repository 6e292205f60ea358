from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.commands import LONGEST_COMMAND
from capacitord.dicom.fragments import BUFFERS_AT_ONCE, MalformedMessage, data_set_pdus, gather
from capacitord.errors import DamagedObject
from tests.dicom.acceptor import MemoryImage, content, pdv

evens = st.integers(1, 60).map(lambda n: 2 * n)


def written(pieces: list[bytes | Exception], length: int, limit: int) -> tuple[bytes, list[tuple[bytes, int]]]:
    """Return the bytes written until the end or the error, and the fragments in them with their control bytes."""
    wire = bytearray()
    image = MemoryImage(pieces, length=length)
    try:
        for parts, total in data_set_pdus(image.chunks(), image.length, 5, limit):
            joined = b"".join(parts)
            assert len(joined) == total
            assert len(parts) <= BUFFERS_AT_ONCE + 2
            wire += joined
    except DamagedObject:
        wire += b"!"
    fragments = []
    position = 0
    while position < len(wire) and wire[position:] != b"!":
        kind, pdu_length, pdv_length, context, control = struct.unpack_from(">BxLLBB", wire, position)
        assert (kind, context) == (4, 5)
        assert pdu_length == pdv_length + 4
        fragments.append((bytes(wire[position + 12 : position + 6 + pdu_length]), control))
        position += 6 + pdu_length
    return bytes(wire), fragments


@given(st.lists(st.binary(max_size=100), max_size=20), evens)
def test_the_bytes_arrive_as_they_are_in_even_fragments_within_the_limit(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    _, fragments = written(list(pieces), len(whole), limit)
    if not whole:
        assert fragments == []
        return
    assert b"".join(fragment for fragment, _ in fragments) == whole
    assert [control for _, control in fragments] == [0] * (len(fragments) - 1) + [2]
    assert all(0 < len(fragment) <= limit for fragment, _ in fragments)
    assert all(len(fragment) % 2 == 0 for fragment, _ in fragments[:-1])


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(0, 400), evens)
def test_a_wrong_length_is_damage_and_no_fragment_is_marked_as_last(
    pieces: list[bytes], length: int, limit: int
) -> None:
    whole = b"".join(pieces)
    wire, fragments = written(list(pieces), length, limit)
    if length == 0 or len(whole) < length:
        assert wire.endswith(b"!")
        assert all(control == 0 for _, control in fragments)
    assert whole.startswith(b"".join(fragment for fragment, _ in fragments))


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=10), st.integers(0, 400), evens)
def test_damage_in_the_middle_leaves_the_image_without_an_end(pieces: list[bytes], more: int, limit: int) -> None:
    damaged: list[bytes | Exception] = [*pieces, DamagedObject("flipped")]
    _, fragments = written(damaged, sum(map(len, pieces)) + more + 1, limit)
    assert all(control == 0 for _, control in fragments)


def test_more_bytes_in_one_chunk_than_were_announced_are_damage() -> None:
    wire, fragments = written([b"ab", b"cdef"], 4, 2)
    assert fragments == [(b"ab", 0)]
    assert wire.endswith(b"!")


def test_a_large_chunk_to_a_small_peer_takes_several_writes() -> None:
    image = MemoryImage([bytes(4000)])
    sizes = [len(parts) for parts, _ in data_set_pdus(image.chunks(), image.length, 1, 2)]
    assert sizes == [512] * 7 + [416]


def test_nothing_is_copied() -> None:
    data = bytearray(b"abcdefgh")
    parts = [part for parts, _ in data_set_pdus(iter([memoryview(data)]), 8, 1, 4) for part in parts]
    data[:] = b"ABCDEFGH"
    assert [bytes(part) for part in parts if isinstance(part, memoryview)] == [b"ABCD", b"EFGH"]


def gathered(*bodies: bytes, context_id: int = 1) -> tuple[bytes, list[bool]]:
    found = bytearray()
    complete = [gather(found, body, context_id) for body in bodies]
    return bytes(found), complete


def test_a_command_set_may_come_in_any_number_of_fragments() -> None:
    assert gathered(pdv(b"abcd")) == (b"abcd", [True])
    assert gathered(pdv(b"ab", control=1) + pdv(b"cd")) == (b"abcd", [True])
    assert gathered(pdv(b"ab", control=1), pdv(b"cd", control=1), pdv(b"")) == (b"abcd", [False, False, True])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        pdv(b"ab")[:-1],
        pdv(b"ab") + b"\0",
        pdv(b"ab") + pdv(b"cd"),
        pdv(b"ab", context_id=3),
        pdv(b"ab", control=0),
        pdv(b"ab", control=2),
        pdv(b"ab", control=7),
        pdv(b"", control=1),
        struct.pack(">LBB", 1, 1, 3),
        struct.pack(">LBB", 0, 1, 3),
        struct.pack(">LBB", 0xFFFFFFFF, 1, 3),
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        gathered(body)


def test_a_command_set_without_end_is_refused_at_the_bound() -> None:
    found = bytearray()
    fragment = pdv(bytes(16000), control=1)
    while len(found) + 16000 <= LONGEST_COMMAND:
        assert not gather(found, fragment, 1)
    with pytest.raises(MalformedMessage):
        gather(found, fragment, 1)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_gathered_and_never_more_than_came(body: bytes) -> None:
    found = bytearray()
    with contextlib.suppress(MalformedMessage):
        gather(found, body, 1)
    assert len(found) <= len(body)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10))
def test_what_one_side_cuts_the_other_side_joins(pieces: list[bytes]) -> None:
    bodies = [pdv(piece, control=1) for piece in pieces] + [pdv(b"", control=3)]
    found, complete = gathered(*bodies)
    assert found == b"".join(pieces)
    assert complete == [False] * len(pieces) + [True]


def test_the_content_helper_joins_what_the_image_yields() -> None:
    image = MemoryImage([b"ab", b"c"])
    assert content(image) == b"".join(bytes(chunk) for chunk in image.chunks()) == b"abc"
