"""The two keys a box keeps: one of its own, and one for every site.

The box key wraps the site keys and nothing else. A site key opens that site's spool and nothing else: the key
of every sealed object and of the catalog is derived from it (HKDF-SHA256, RFC 5869). Neither key ever shows its
secret in a `repr`, and secrets are compared in constant time.

Python cannot wipe memory reliably, so a key lives in this process until its pages are reused. The box keeps
them out of files, arguments, environment variables, logs and errors instead.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from capacitord.errors import Invalid

KEY_SIZE = 32
"""Bytes in a box key, a site key, and every key derived for AES-256."""

ID_SIZE = 8
"""Bytes in a key's fingerprint."""

_SITE_KEY_ID = b"capacitord site key id"
_BOX_KEY_ID = b"capacitord box key id"


def _derive(secret: bytes, purpose: bytes, salt: bytes, length: int) -> bytes:
    if length <= SHA256.digest_size:
        # The same in one block (RFC 5869 §2.2, §2.3), five times as quick: each image that comes or goes has a key.
        extracted = hmac.digest(salt or bytes(SHA256.digest_size), secret, "sha256")
        return hmac.digest(extracted, purpose + b"\1", "sha256")[:length]
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose).derive(secret)


def _checked(secret: bytes, what: str) -> bytes:
    if len(secret) != KEY_SIZE:
        msg = f"A {what} has {KEY_SIZE} bytes; this one has {len(secret)}."
        raise Invalid(msg, hint="Take the key from the place that made it, whole and unchanged.")
    return bytes(secret)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SiteKey:
    """The key of one site's spool.

    `site` is the site's id, `secret` its 32 bytes, `id` a fingerprint of 8 bytes that object headers carry: it
    tells keys apart and says nothing about the secret. A secret of another length raises `Invalid`.
    """

    site: str
    secret: bytes
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", _checked(self.secret, "site key"))
        object.__setattr__(self, "id", self.derive(_SITE_KEY_ID, length=ID_SIZE))

    @classmethod
    def new(cls, site: str) -> SiteKey:
        """Return a fresh random key for the site with id `site`."""
        return cls(site, secrets.token_bytes(KEY_SIZE))

    def derive(self, purpose: bytes, salt: bytes = b"", length: int = KEY_SIZE) -> bytes:
        """Return `length` bytes of HKDF-SHA256 over the secret, with `salt` and with `purpose` as its info.

        A purpose names one use, and no two uses share one. At most 255 x 32 bytes (RFC 5869 §2.3).
        """
        return _derive(self.secret, purpose, salt, length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SiteKey):
            return NotImplemented
        return self.site == other.site and hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash((self.site, self.id))

    def __repr__(self) -> str:
        return f"<SiteKey of {self.site}, id {self.id.hex()}>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class BoxKey:
    """The key of this box, under which the site keys are wrapped.

    `secret` has 32 bytes; `id` is a fingerprint of 8 bytes that says nothing about it. A secret of another
    length raises `Invalid`.
    """

    secret: bytes
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", _checked(self.secret, "box key"))
        object.__setattr__(self, "id", self.derive(_BOX_KEY_ID, length=ID_SIZE))

    @classmethod
    def new(cls) -> BoxKey:
        """Return a fresh random key."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def derive(self, purpose: bytes, salt: bytes = b"", length: int = KEY_SIZE) -> bytes:
        """Return `length` bytes of HKDF-SHA256 over the secret, as `SiteKey.derive` does."""
        return _derive(self.secret, purpose, salt, length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoxKey):
            return NotImplemented
        return hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<BoxKey, id {self.id.hex()}>"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of a box, and the number of the generation they were taken from."""

    box: BoxKey
    sites: tuple[SiteKey, ...]
    generation: int
    created: datetime
