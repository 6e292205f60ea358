"""How a key is wrapped, and how the small files around wrapped keys are written and read.

A file is JSON that a person can read, of one spelling only: what is read has to be, byte for byte, what this
program would write. So nothing in it can be changed without notice, and nothing is guessed. A key is wrapped with
AES-256-GCM; everything else in its file is associated data.
"""

from __future__ import annotations

import secrets
from typing import Annotated, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from capacitord.errors import DamagedObject
from capacitord.seal.keys import KEY_SIZE

_NONCE_SIZE = 12
_TAG_SIZE = 16
LARGEST_FILE = 64 * 1024

KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""A key's fingerprint as files spell it."""

_Record = TypeVar("_Record", bound=msgspec.Struct)

Decoder = msgspec.json.Decoder
"""What `decode` reads with; made once for each kind of file."""


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of 32 bytes, encrypted, with the nonce it was encrypted under."""

    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE_SIZE, max_length=_NONCE_SIZE)]
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE + _TAG_SIZE, max_length=KEY_SIZE + _TAG_SIZE)]


NOT_YET_WRAPPED = Wrapped(b"", b"")
"""Stands in a record for what is not part of its associated data."""


def wrap(wrapping_key: bytes, secret: bytes, context: bytes) -> Wrapped:
    """Return `secret` encrypted under `wrapping_key`, bound to `context`."""
    nonce = secrets.token_bytes(_NONCE_SIZE)
    return Wrapped(nonce, AESGCM(wrapping_key).encrypt(nonce, secret, context))


def unwrap(wrapping_key: bytes, wrapped: Wrapped, context: bytes) -> bytes | None:
    """Return what `wrap` was given, or None if the key, the context or a byte is not the same."""
    try:
        return AESGCM(wrapping_key).decrypt(wrapped.nonce, wrapped.key, context)
    except InvalidTag:
        return None


def encode(record: msgspec.Struct) -> bytes:
    """Return a record as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode(data: bytes, decoder: Decoder[_Record], where: str) -> _Record:
    """Return the record that a file's text holds.

    Raises `DamagedObject`, naming the file `where`, for anything but the exact text `encode` gives.
    """
    try:
        record = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(where, _shown(error)) from None
    if encode(record) != data:
        raise damaged(where, "it was edited")
    return record


def damaged(where: str, why: str) -> DamagedObject:
    """Return the error for a key file that is not what this program wrote."""
    return DamagedObject(
        f"The key file is damaged, or a newer version of this program wrote it: {why}.",
        where=where,
        hint="Put the file back from a backup, or restore all keys from the recovery file.",
    )


def _shown(error: Exception) -> str:
    # Some of the parser's messages quote what they read, and that could be a key.
    text = str(error)
    return text if text.startswith("Expected") and "got" not in text else "it cannot be read"
