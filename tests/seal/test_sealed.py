"""Sealed objects: what goes in comes out, from anywhere, and no byte of it can be changed unnoticed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacitord.errors import DamagedObject, WrongKey
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import (
    ALIGNMENT,
    CHUNK_SIZE,
    HEADER_SIZE,
    MAGIC,
    MAX_DESCRIPTION,
    MAX_LENGTH,
    PAYLOAD_SIZE,
    TAG_SIZE,
    ObjectCipher,
    SealedObject,
    chunk_count,
    read_prefix,
    room,
    sealed_size,
)
from tests.fuzz import sealed_objects

KEY = SiteKey("st-marys", bytes(range(32)))
ID = bytes(range(16))
BLOCK = 8 * PAYLOAD_SIZE
BOUNDARIES = [
    0,
    1,
    PAYLOAD_SIZE - 1,
    PAYLOAD_SIZE,
    PAYLOAD_SIZE + 1,
    2 * PAYLOAD_SIZE,
    3 * PAYLOAD_SIZE + 5,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    3 * BLOCK + 77,
]


def content(length: int) -> bytes:
    return hashlib.shake_128(length.to_bytes(8)).digest(length)


def seal(plain: bytes, *, key: SiteKey = KEY, object_id: bytes = ID, description: bytes = b"facts") -> bytearray:
    cipher = ObjectCipher(key, object_id)
    sealed = bytearray(cipher.seal_header(len(plain), description))
    last = chunk_count(len(plain)) - 1
    for number in range(last + 1):
        piece = memoryview(plain)[number * PAYLOAD_SIZE : (number + 1) * PAYLOAD_SIZE]
        chunk = memoryview(bytearray(CHUNK_SIZE))
        sealed += chunk[: cipher.seal_chunk(number, piece, chunk, final=number == last)]
    return sealed


def unseal(sealed: bytes | bytearray, *, key: SiteKey = KEY, object_id: bytes | None = None) -> SealedObject:
    def read_at(offset: int, into: memoryview, /) -> int:
        part = sealed[offset : offset + len(into)]
        into[: len(part)] = part
        return len(part)

    return SealedObject(key, read_at, object_id)


def plain(opened: SealedObject) -> bytes:
    return b"".join(bytes(chunk) for chunk in opened.chunks())


@pytest.mark.parametrize("length", BOUNDARIES)
def test_what_goes_in_comes_out(length: int) -> None:
    sealed = seal(content(length), description=b"who and what")
    assert len(sealed) == sealed_size(length) <= room(length)
    assert room(length) % ALIGNMENT == 0
    opened = unseal(sealed, object_id=ID)
    assert (opened.length, opened.description, opened.object_id) == (length, b"who and what", ID)
    assert plain(opened) == content(length)


@pytest.mark.parametrize("length", [0, 1, PAYLOAD_SIZE, 2 * PAYLOAD_SIZE + 3])
def test_reading_begins_at_any_chunk(length: int) -> None:
    opened = unseal(seal(content(length)))
    for first in range(chunk_count(length)):
        rest = b"".join(bytes(chunk) for chunk in opened.chunks(first))
        assert rest == content(length)[first * PAYLOAD_SIZE :]


LONG = content(3 * PAYLOAD_SIZE + 1000)
SEALED_LONG = bytes(seal(LONG))


@given(st.integers(0, len(LONG) + 10), st.integers(0, len(LONG) + 10))
def test_a_slice_is_what_a_slice_of_the_whole_is(offset: int, size: int) -> None:
    assert unseal(SEALED_LONG).read(offset, size) == LONG[offset : offset + size]


@given(st.binary(max_size=MAX_DESCRIPTION))
def test_the_header_keeps_any_description(description: bytes) -> None:
    header = ObjectCipher(KEY, ID).seal_header(7, description)
    assert len(header) == HEADER_SIZE
    assert unseal(header).description == description


def test_a_description_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ObjectCipher(KEY, ID).seal_header(0, bytes(MAX_DESCRIPTION + 1))


def test_the_header_shows_neither_the_description_nor_its_length() -> None:
    one, other = (ObjectCipher(KEY, ID).seal_header(0, text) for text in (b"", b"Doe^John" * 100))
    assert b"Doe" not in other
    assert len(one) == len(other)
    assert one[:48] == other[:48]


# --- what must never pass ---------------------------------------------------------------------------------


def refuses(sealed: bytes | bytearray, *, key: SiteKey = KEY, object_id: bytes | None = ID) -> type[DamagedObject]:
    """Return how an object is refused; fail if it is not, however much of it was right before."""
    with pytest.raises(DamagedObject) as refused:
        plain(unseal(sealed, key=key, object_id=object_id))
    return refused.type


SHORT = content(300)
SEALED_SHORT = bytes(seal(SHORT))


def test_every_single_bit_of_a_short_object_matters() -> None:
    for position in range(len(SEALED_SHORT)):
        damaged = bytearray(SEALED_SHORT)
        damaged[position] ^= 1 << (position % 8)
        refuses(damaged)


def test_every_flip_is_noticed_when_any_object_may_be_there() -> None:
    for position in range(HEADER_SIZE):
        damaged = bytearray(SEALED_SHORT)
        damaged[position] ^= 0x80
        refuses(damaged, object_id=None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(SEALED_LONG) - 1), st.integers(1, 255))
def test_any_flip_in_a_long_object_is_noticed_and_nothing_wrong_is_read_before(position: int, flip: int) -> None:
    damaged = bytearray(SEALED_LONG)
    damaged[position] ^= flip
    read = bytearray()

    def read_through() -> None:
        for piece in unseal(damaged, object_id=ID).chunks():
            read.extend(piece)

    with pytest.raises(DamagedObject):
        read_through()
    assert LONG.startswith(bytes(read))


@pytest.mark.parametrize("length", [0, 1, PAYLOAD_SIZE, PAYLOAD_SIZE + 1, 2 * PAYLOAD_SIZE])
def test_every_truncation_is_noticed(length: int) -> None:
    sealed = seal(content(length))
    cuts = {0, 1, 47, 48, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 1, len(sealed) - TAG_SIZE, len(sealed) - 1}
    for cut in cuts | set(range(HEADER_SIZE, len(sealed), CHUNK_SIZE)):
        refuses(sealed[: min(cut, len(sealed) - 1)])


@pytest.mark.parametrize("length", [0, 1, PAYLOAD_SIZE, 2 * PAYLOAD_SIZE])
def test_what_lies_behind_an_object_is_not_read(length: int) -> None:
    assert plain(unseal(seal(content(length)) + b"more")) == content(length)


def test_a_shorter_or_longer_length_is_noticed() -> None:
    for other in (0, 1, len(LONG) - 1, len(LONG) + 1, PAYLOAD_SIZE, 2 * PAYLOAD_SIZE, MAX_LENGTH):
        damaged = bytearray(SEALED_LONG)
        damaged[12:20] = other.to_bytes(8)
        refuses(damaged)


def chunk(sealed: bytes, number: int) -> bytes:
    start = HEADER_SIZE + number * CHUNK_SIZE
    return sealed[start : start + CHUNK_SIZE]


def test_chunks_cannot_be_swapped_repeated_or_dropped() -> None:
    header, chunks = SEALED_LONG[:HEADER_SIZE], [chunk(SEALED_LONG, number) for number in range(4)]
    for order in ((1, 0, 2, 3), (0, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3), (1, 2, 3), (0, 1, 2, 2), (0, 1, 2, 3, 3)[1:]):
        refuses(header + b"".join(chunks[number] for number in order))


def test_a_chunk_of_another_object_is_refused_in_its_place() -> None:
    other = bytes(seal(LONG, object_id=bytes(16)))
    for number in range(4):
        mixed = bytearray(SEALED_LONG)
        piece = chunk(other, number)
        start = HEADER_SIZE + number * CHUNK_SIZE
        mixed[start : start + len(piece)] = piece
        refuses(mixed)


def test_the_final_chunk_cannot_be_made_of_another_one() -> None:
    whole = seal(content(2 * PAYLOAD_SIZE))
    shorter = ObjectCipher(KEY, ID).seal_header(PAYLOAD_SIZE, b"facts") + whole[HEADER_SIZE : HEADER_SIZE + CHUNK_SIZE]
    refuses(shorter + whole[-TAG_SIZE:])


def test_the_header_of_another_object_opens_nothing() -> None:
    other = seal(LONG, object_id=bytes(16))
    mixed = bytes(other[:HEADER_SIZE]) + SEALED_LONG[HEADER_SIZE:]
    refuses(mixed, object_id=None)
    assert refuses(mixed, object_id=ID) is DamagedObject


def test_a_whole_object_in_the_place_of_another_is_refused() -> None:
    other = seal(LONG, object_id=bytes(16))
    assert plain(unseal(other)) == LONG
    refuses(other, object_id=ID)


def test_another_key_says_so() -> None:
    other = SiteKey("st-marys", bytes(32))
    assert refuses(SEALED_SHORT, key=other) is WrongKey
    # Even one that claims the same fingerprint in the header opens nothing.
    forged = bytearray(SEALED_SHORT)
    forged[36:44] = other.id
    assert refuses(forged, key=other) is DamagedObject


def test_an_error_names_the_object_and_shows_nothing_else() -> None:
    damaged = bytearray(seal(b"Doe^John" * 10, description=b"Doe^John"))
    damaged[-1] ^= 1
    with pytest.raises(DamagedObject) as refused:
        plain(unseal(damaged))
    assert refused.value.where == f"object {ID.hex()}"
    assert refused.value.hint
    assert "Doe" not in str(refused.value.problem())


# --- bounds -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    for candidate in (data, MAGIC + data, SEALED_SHORT[:48] + data, SEALED_SHORT[: HEADER_SIZE + len(data) // 2]):
        refuses(candidate)
        read_prefix(candidate)


def test_a_length_beyond_the_format_is_no_header() -> None:
    header = bytearray(SEALED_SHORT[:HEADER_SIZE])
    header[12:20] = (MAX_LENGTH + 1).to_bytes(8)
    assert read_prefix(bytes(header)) is None


@given(st.integers(0, MAX_LENGTH))
def test_the_arithmetic_of_sizes_agrees(length: int) -> None:
    chunks = chunk_count(length)
    assert (chunks - 1) * PAYLOAD_SIZE <= length < chunks * PAYLOAD_SIZE
    assert chunks - 1 < 0xFFFFFFFF
    assert 0 <= room(length) - sealed_size(length) < ALIGNMENT


@given(st.binary(max_size=80))
def test_edits_of_an_object_are_refused_or_change_nothing(edits: bytes) -> None:
    sealed_objects.sealed(b"\3" + edits)


@given(st.integers(0, 2), st.binary(max_size=5000))
def test_any_bytes_are_refused_or_are_the_object(kind: int, data: bytes) -> None:
    sealed_objects.sealed(bytes((kind,)) + data)


@pytest.mark.parametrize("seed", sealed_objects.SEEDS)
def test_what_a_fuzzer_begins_with_is_understood(seed: bytes) -> None:
    sealed_objects.sealed(seed)
