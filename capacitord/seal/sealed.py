"""A sealed object: one image, encrypted, authenticated, readable from anywhere in it. See capacitord-spool(5).

::

    0      header, 4096 bytes: prefix in clear, the encrypted description, its tag
    4096   chunk 0, chunk 1, …: 131,072 bytes each, the last one shorter

    prefix, 48 bytes, big endian:
      8  magic "CAPSEAL" and the format's version, 1
      4  size of a sealed chunk
      8  length of the image's dataset
     16  object id
      8  id of the site key
      4  zero

    description, in plain: its length in 2 bytes, the description, zeros up to 4032 bytes

Every chunk but the last is full. The last one has what is left, perhaps nothing, so that a chunk can be sealed the
moment it is full, whatever comes next.

Every object has its own key, so a nonce is only a position: chunks count up and the last one carries a final flag
(the STREAM construction), and the description has a number no chunk can have. Chunks are bound to the format, the
object id and the site key; the description is bound to the whole prefix, so to the length as well. Chunks cannot
be swapped, dropped, repeated or moved to another object unnoticed, and there is no byte that nobody looks at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from capacitord.errors import DamagedObject, WrongKey
from capacitord.seal.keys import SiteKey

MAGIC = b"CAPSEAL\x01"
HEADER_SIZE = 4096
TAG_SIZE = 16
CHUNK_SIZE = 131_072
"""Bytes of a sealed chunk, its tag included."""

PAYLOAD_SIZE = CHUNK_SIZE - TAG_SIZE
"""Bytes of plain text in every chunk but the last."""

ALIGNMENT = 4096
"""Objects start at multiples of this, so that a reader finds the next one behind a damaged one."""

_PREFIX = struct.Struct(">8sIQ16s8s4x")
_BOUND = struct.Struct(">8sI16s8s")
_NONCE = struct.Struct(">7xIB")
_SIZE = struct.Struct(">H")
_DESCRIPTION_SIZE = HEADER_SIZE - _PREFIX.size - TAG_SIZE
_DESCRIPTION_NUMBER = 0xFFFFFFFF
_MORE, _FINAL, _DESCRIPTION = 0, 1, 2
MAX_DESCRIPTION = _DESCRIPTION_SIZE - _SIZE.size
"""Bytes that a description may take."""

MAX_LENGTH = PAYLOAD_SIZE * (_DESCRIPTION_NUMBER - 1)
"""Bytes that an image may have: half a pebibyte."""

_PURPOSE = b"capacitord sealed object 1"
_HINT = "The object is set aside; run `fluxctl doctor --verify` and check the disk."


class Prefix(NamedTuple):
    """The part of a header that is in clear."""

    length: int
    object_id: bytes
    key_id: bytes


def chunk_count(length: int) -> int:
    """Return how many chunks hold `length` bytes; the last one is never full, and may be empty."""
    return length // PAYLOAD_SIZE + 1


def sealed_size(length: int) -> int:
    """Return the size of the sealed object that holds `length` bytes."""
    return HEADER_SIZE + length + chunk_count(length) * TAG_SIZE


def room(length: int) -> int:
    """Return the space that object takes where another may follow: its size up to the next alignment."""
    return -(-sealed_size(length) // ALIGNMENT) * ALIGNMENT


def read_prefix(header: bytes | memoryview) -> Prefix | None:
    """Return the prefix of what may be a header, or None if it is none of this format. Authenticates nothing."""
    if len(header) < _PREFIX.size:
        return None
    magic, chunk, length, object_id, key_id = _PREFIX.unpack_from(header)
    if magic != MAGIC or chunk != CHUNK_SIZE or length > MAX_LENGTH:
        return None
    return Prefix(length, object_id, key_id)


def _damaged(what: str, object_id: bytes) -> DamagedObject:
    return DamagedObject(what, where=f"object {object_id.hex()}", hint=_HINT)


class ObjectCipher:
    """Seals and opens the parts of one object; knows nothing of files."""

    def __init__(self, key: SiteKey, object_id: bytes) -> None:
        self._aead = AESGCM(key.derive(_PURPOSE, object_id))
        self._bound = _BOUND.pack(MAGIC, CHUNK_SIZE, object_id, key.id)
        self._key_id = key.id
        self._object_id = object_id

    def seal_chunk(self, number: int, plain: memoryview, sealed: memoryview, *, final: bool) -> int:
        """Seal chunk `number` from `plain` into the start of `sealed`; return how many bytes that took."""
        size = len(plain) + TAG_SIZE
        nonce = _NONCE.pack(number, _FINAL if final else _MORE)
        self._aead.encrypt_into(nonce, plain, self._bound, sealed[:size])
        return size

    def open_chunk(self, number: int, sealed: memoryview, plain: memoryview, *, final: bool) -> int:
        """Open chunk `number` into the start of `plain`; return its length. Raises `DamagedObject`."""
        size = len(sealed) - TAG_SIZE
        nonce = _NONCE.pack(number, _FINAL if final else _MORE)
        try:
            self._aead.decrypt_into(nonce, sealed, self._bound, plain[:size])
        except (InvalidTag, ValueError) as wrong:
            raise _damaged(f"Chunk {number} is not what was sealed.", self._object_id) from wrong
        return size

    def seal_header(self, length: int, description: bytes) -> bytes:
        """Return the header of an object of `length` bytes; `description` has at most `MAX_DESCRIPTION` bytes."""
        if len(description) > MAX_DESCRIPTION:
            msg = f"a description of {len(description)} bytes does not fit into a header"
            raise ValueError(msg)
        prefix = _PREFIX.pack(MAGIC, CHUNK_SIZE, length, self._object_id, self._key_id)
        plain = (_SIZE.pack(len(description)) + description).ljust(_DESCRIPTION_SIZE, b"\0")
        nonce = _NONCE.pack(_DESCRIPTION_NUMBER, _DESCRIPTION)
        return prefix + self._aead.encrypt(nonce, plain, prefix)

    def open_header(self, header: bytes | memoryview) -> bytes:
        """Return the description in a header whose prefix was read before. Raises `DamagedObject`."""
        prefix, sealed = bytes(header[: _PREFIX.size]), bytes(header[_PREFIX.size : HEADER_SIZE])
        try:
            plain = self._aead.decrypt(_NONCE.pack(_DESCRIPTION_NUMBER, _DESCRIPTION), sealed, prefix)
        except (InvalidTag, ValueError) as wrong:
            raise _damaged("The header is not what was sealed.", self._object_id) from wrong
        (size,) = _SIZE.unpack_from(plain)
        return plain[_SIZE.size : _SIZE.size + size]


class ReadAt(Protocol):
    """Reads from a file that holds the object."""

    def __call__(self, offset: int, into: memoryview, /) -> int:
        """Fill `into` from `offset` bytes into the object; return how many bytes there were."""
        ...


class SealedObject:
    """An object opened for reading: its description now, its bytes on demand and from anywhere."""

    def __init__(self, key: SiteKey, read_at: ReadAt, object_id: bytes | None = None) -> None:
        """Read and authenticate the header. `object_id` is the object that should be here, None if any may be.

        Raises `DamagedObject`, or `WrongKey` if another key sealed it.
        """
        header = memoryview(bytearray(HEADER_SIZE))
        prefix = read_prefix(header) if read_at(0, header) == HEADER_SIZE else None
        if prefix is None:
            raise DamagedObject(
                "There is no sealed object here.", hint="Run `fluxctl doctor --verify` and check the disk."
            )
        if object_id is not None and prefix.object_id != object_id:
            raise _damaged("Another object lies in its place.", object_id)
        if prefix.key_id != key.id:
            raise WrongKey(
                "This object was sealed under another key.",
                where=f"object {prefix.object_id.hex()}",
                hint="Restore the site's key from the recovery file; do not delete the object.",
            )
        self._read_at = read_at
        self._cipher = ObjectCipher(key, prefix.object_id)
        self.object_id = prefix.object_id
        self.length = prefix.length
        self.description = self._cipher.open_header(header)

    def chunks(self, first: int = 0) -> Iterator[memoryview]:
        """Yield the plain text chunk by chunk from chunk `first` on; each is valid until the next is asked for.

        Raises `DamagedObject` at the first chunk that is not what was sealed.
        """
        last = chunk_count(self.length) - 1
        rest = self.length - last * PAYLOAD_SIZE
        largest = rest if first == last else PAYLOAD_SIZE
        sealed, plain = memoryview(bytearray(largest + TAG_SIZE)), memoryview(bytearray(largest))
        for number in range(first, last + 1):
            size = CHUNK_SIZE if number < last else rest + TAG_SIZE
            if self._read_at(HEADER_SIZE + number * CHUNK_SIZE, sealed[:size]) != size:
                raise _damaged(f"Chunk {number} is cut off.", self.object_id)
            opened = self._cipher.open_chunk(number, sealed[:size], plain, final=number == last)
            if opened:
                yield plain[:opened]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of plain text from `offset` on, opening only the chunks that hold them."""
        size = max(0, min(size, self.length - offset))
        if size == 0:
            return b""
        first, skip = divmod(offset, PAYLOAD_SIZE)
        parts = bytearray()
        for chunk in self.chunks(first):
            parts += chunk[skip : skip + size - len(parts)]
            skip = 0
            if len(parts) == size:
                break
        return bytes(parts)
