"""A sealed object: one image, encrypted, authenticated, readable from anywhere in it. See capacitord-spool(5).

::

    0      header, 4096 bytes: prefix in clear, the encrypted description, zeros
    4096   chunk 0, chunk 1, …: 131,072 bytes each, the last one shorter

    prefix, 48 bytes, big endian:
      8  magic "CAPSEAL" and the format's version, 1
      4  size of a sealed chunk
      8  length of the image's dataset
     16  object id
      8  id of the site key
      2  length of the encrypted description with its tag
      2  zero

Every object has its own key, so a nonce is only a position: chunks count up and the last one carries a final flag
(the STREAM construction), and the description has a number no chunk can have. Chunks are bound to the format, the
object id and the site key; the description is bound to the whole prefix, so to the length as well. Chunks cannot
be swapped, dropped, repeated or moved to another object unnoticed.
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

_PREFIX = struct.Struct(">8sIQ16s8sH2x")
_BOUND = struct.Struct(">8sI16s8s")
_NONCE = struct.Struct(">7xIB")
_DESCRIPTION_NUMBER = 0xFFFFFFFF
_MORE, _FINAL, _DESCRIPTION = 0, 1, 2
MAX_DESCRIPTION = HEADER_SIZE - _PREFIX.size - TAG_SIZE
"""Bytes that a description may take."""

MAX_LENGTH = PAYLOAD_SIZE * (_DESCRIPTION_NUMBER - 1)
_PURPOSE = b"capacitord sealed object 1"


class Prefix(NamedTuple):
    """The part of a header that is in clear."""

    length: int
    object_id: bytes
    key_id: bytes
    description: int


def chunk_count(length: int) -> int:
    """Return how many chunks hold `length` bytes; an empty image has one, empty and final."""
    return max(1, -(-length // PAYLOAD_SIZE))


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
    magic, chunk, length, object_id, key_id, description = _PREFIX.unpack_from(header)
    plausible = magic == MAGIC and chunk == CHUNK_SIZE and length <= MAX_LENGTH
    if not plausible or not TAG_SIZE <= description <= HEADER_SIZE - _PREFIX.size:
        return None
    return Prefix(length, object_id, key_id, description)


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
            raise DamagedObject(
                f"Chunk {number} is not what was sealed.",
                where=f"object {self._object_id.hex()}",
                hint="The object is set aside; run `fluxctl doctor --verify` and check the disk.",
            ) from wrong
        return size

    def seal_header(self, length: int, description: bytes) -> bytes:
        """Return the header of an object of `length` bytes; `description` has at most `MAX_DESCRIPTION` bytes."""
        prefix = _PREFIX.pack(MAGIC, CHUNK_SIZE, length, self._object_id, self._key_id, len(description) + TAG_SIZE)
        nonce = _NONCE.pack(_DESCRIPTION_NUMBER, _DESCRIPTION)
        return (prefix + self._aead.encrypt(nonce, description, prefix)).ljust(HEADER_SIZE, b"\0")

    def open_header(self, header: bytes | memoryview, prefix: Prefix) -> bytes:
        """Return the description in a header whose prefix was read before. Raises `DamagedObject`."""
        clear = bytes(header[: _PREFIX.size])
        sealed = bytes(header[_PREFIX.size : _PREFIX.size + prefix.description])
        try:
            return self._aead.decrypt(_NONCE.pack(_DESCRIPTION_NUMBER, _DESCRIPTION), sealed, clear)
        except (InvalidTag, ValueError) as wrong:
            raise DamagedObject(
                "The header is not what was sealed.",
                where=f"object {self._object_id.hex()}",
                hint="The object is set aside; run `fluxctl doctor --verify` and check the disk.",
            ) from wrong


class ReadAt(Protocol):
    """Reads from a file that holds the object."""

    def __call__(self, offset: int, into: memoryview, /) -> int:
        """Fill `into` from `offset` bytes into the object; return how many bytes there were."""
        ...


class SealedObject:
    """An object opened for reading: its description now, its bytes on demand and from anywhere."""

    def __init__(self, key: SiteKey, read_at: ReadAt) -> None:
        """Read and authenticate the header. Raises `DamagedObject`, or `WrongKey` if another key sealed it."""
        header = memoryview(bytearray(HEADER_SIZE))
        prefix = read_prefix(header) if read_at(0, header) == HEADER_SIZE else None
        if prefix is None:
            raise DamagedObject(
                "There is no sealed object here.", hint="Run `fluxctl doctor --verify` and check the disk."
            )
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
        self.description = self._cipher.open_header(header, prefix)

    def chunks(self, first: int = 0) -> Iterator[memoryview]:
        """Yield the plain text chunk by chunk from chunk `first` on; each is valid until the next is asked for.

        Raises `DamagedObject` at the first chunk that is not what was sealed.
        """
        sealed, plain = memoryview(bytearray(CHUNK_SIZE)), memoryview(bytearray(PAYLOAD_SIZE))
        last = chunk_count(self.length) - 1
        for number in range(first, last + 1):
            size = CHUNK_SIZE if number < last else self.length - last * PAYLOAD_SIZE + TAG_SIZE
            got = self._read_at(HEADER_SIZE + number * CHUNK_SIZE, sealed[:size])
            if got != size:
                raise DamagedObject(
                    f"Chunk {number} is cut off.",
                    where=f"object {self.object_id.hex()}",
                    hint="The object is set aside; run `fluxctl doctor --verify` and check the disk.",
                )
            yield plain[: self._cipher.open_chunk(number, sealed[:size], plain, final=number == last)]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of plain text from `offset`, opening only the chunks that hold them."""
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
