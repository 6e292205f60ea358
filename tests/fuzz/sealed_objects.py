"""What the fuzzers throw at the reader of sealed objects."""

from __future__ import annotations

import hashlib
from typing import Final

from capacitord.errors import DamagedObject
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import CHUNK_SIZE, HEADER_SIZE, MAGIC, PAYLOAD_SIZE, ObjectCipher, SealedObject, chunk_count
from capacitord.spool import describe

KEY: Final = SiteKey("st-marys", bytes(range(32)))
OBJECT_ID: Final = bytes(range(16))
_EDIT: Final = 4


def _seal(plain: bytes) -> bytes:
    cipher = ObjectCipher(KEY, OBJECT_ID)
    sealed = bytearray(cipher.seal_header(len(plain), b"facts"))
    last = chunk_count(len(plain)) - 1
    for number in range(last + 1):
        chunk = memoryview(bytearray(CHUNK_SIZE))
        piece = memoryview(plain)[number * PAYLOAD_SIZE : (number + 1) * PAYLOAD_SIZE]
        sealed += chunk[: cipher.seal_chunk(number, piece, chunk, final=number == last)]
    return bytes(sealed)


PLAIN: Final = hashlib.shake_128(b"fuzz").digest(300)
WHOLE: Final = _seal(PLAIN)


def sealed(data: bytes) -> None:
    """Any bytes are refused, or are the very object; never are they anything else.

    The first byte says whether the rest is a file, the file behind a good prefix, or edits of a good file: each
    is a place in two bytes, what to do there, and a value.
    """
    if not data:
        return
    match data[0] % 4:
        case 0:
            file = data[1:]
        case 1:
            file = MAGIC + data[1:]
        case 2:
            file = WHOLE[:48] + data[1:]
        case _:
            file = _edited(data[1:])
    _read(file)
    _describe(data[1:])


def _edited(edits: bytes) -> bytes:
    file = bytearray(WHOLE)
    for start in range(0, len(edits) - _EDIT + 1, _EDIT):
        place, what, value = int.from_bytes(edits[start : start + 2]), edits[start + 2], edits[start + 3]
        place %= len(file) + 1
        match what % 4:
            case 0:
                file[place : place + 1] = bytes((file[place] ^ value,)) if place < len(file) else b""
            case 1:
                del file[place : place + value]
            case 2:
                file[place:place] = bytes(value)
            case _:
                file[place:place] = file[place : place + 16 * value]
    return bytes(file)


def _read(file: bytes) -> None:
    def read_at(offset: int, into: memoryview, /) -> int:
        part = file[offset : offset + len(into)]
        into[: len(part)] = part
        return len(part)

    try:
        opened = SealedObject(KEY, read_at, OBJECT_ID)
        plain = b"".join(map(bytes, opened.chunks()))
        piece = opened.read(7, 100)
    except DamagedObject:
        assert file[: len(WHOLE)] != WHOLE
        return
    assert file[: len(WHOLE)] == WHOLE
    assert (plain, piece, opened.description) == (PLAIN, PLAIN[7:107], b"facts")


def _describe(data: bytes) -> None:
    try:
        described = describe.decode(data)
    except DamagedObject:
        return
    assert describe.decode(describe.encode(described.facts, described.arrival)).arrival == described.arrival


SEEDS: Final = (
    b"\0" + WHOLE,
    b"\1" + WHOLE[len(MAGIC) :],
    b"\2" + WHOLE[48:],
    b"\3" + HEADER_SIZE.to_bytes(2) + b"\0\1" + (20).to_bytes(2) + b"\1\4",
    b"\3" + (12).to_bytes(2) + b"\2\1" + (0).to_bytes(2) + b"\3\4",
)
"""Inputs worth beginning with."""
