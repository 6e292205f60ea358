"""A person's passphrase, and the key a memory-hard function makes of it (Argon2id, RFC 9106).

The function's cost stands beside whatever it protects, so that a later release can raise it and still read old
files. It is bounded when read: a doctored file can ask for half a gibibyte and some seconds, not for more.
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as _Argon2id

from capacitord.errors import Invalid, TryAgain
from capacitord.seal.keys import KEY_SIZE

SALT_SIZE = 16
SHORTEST = 12
LONGEST = 1024
FEWEST_DIFFERENT = 6
_RUNS = ("0123456789" * 2, "abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm")
_ADVICE = "Use four or more words that have nothing to do with each other, and write them down in a safe place."


class Cost(msgspec.Struct, frozen=True):
    """How much one guess costs: memory in KiB, passes over it, and lanes that run at once."""

    memory_kib: int
    iterations: int
    lanes: int


UNLOCK_COST = Cost(memory_kib=64 * 1024, iterations=3, lanes=4)
"""For a box key: the second recommended option of RFC 9106 §4, about 0.15 s on a small machine."""

RECOVERY_COST = Cost(memory_kib=256 * 1024, iterations=4, lanes=4)
"""For a recovery file, which leaves the box and may lie in a drawer for years; about a second."""


class Argon2id(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of one use of Argon2id, as files keep them."""

    algorithm: Literal["argon2id"]
    memory_kib: Annotated[int, msgspec.Meta(ge=8 * 1024, le=512 * 1024)]
    iterations: Annotated[int, msgspec.Meta(ge=1, le=16)]
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    salt: Annotated[bytes, msgspec.Meta(min_length=SALT_SIZE, max_length=SALT_SIZE)]


def fresh(cost: Cost) -> Argon2id:
    """Return parameters of that cost with a new random salt."""
    return Argon2id("argon2id", cost.memory_kib, cost.iterations, cost.lanes, secrets.token_bytes(SALT_SIZE))


def _normalised(passphrase: str) -> bytes:
    # Two keyboards may write the same letter in different code points.
    try:
        text = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        msg = "The passphrase has characters that are not text."
        raise Invalid(msg, hint="Type it again; the terminal should be set to UTF-8.") from None
    if len(text) > LONGEST:
        msg = f"The passphrase is longer than {LONGEST} bytes."
        raise Invalid(msg, hint=_ADVICE)
    return text


def check(passphrase: str) -> None:
    """Raise `Invalid`, with advice, if a new passphrase could be guessed by trying obvious ones.

    It asks for 12 characters, 6 of them different, and no run along the alphabet or the keyboard.
    """
    _normalised(passphrase)
    plain = passphrase.strip().lower()
    if len(plain) < SHORTEST:
        msg = f"The passphrase is too short: it has {len(plain)} characters and needs {SHORTEST}."
        raise Invalid(msg, hint=_ADVICE)
    if len(set(plain)) < FEWEST_DIFFERENT:
        msg = f"The passphrase repeats too few characters: it needs {FEWEST_DIFFERENT} different ones."
        raise Invalid(msg, hint=_ADVICE)
    if any(plain in run or plain[::-1] in run for run in _RUNS):
        msg = "The passphrase is a run along the alphabet or the keyboard."
        raise Invalid(msg, hint=_ADVICE)


def stretch(passphrase: str, how: Argon2id) -> bytes:
    """Return the 32-byte key that `passphrase` gives under the parameters `how`.

    Raises `Invalid` for a passphrase that is not text, and `TryAgain` where the memory cannot be had.
    """
    secret = _normalised(passphrase)
    try:
        return _Argon2id(
            salt=how.salt,
            length=KEY_SIZE,
            iterations=how.iterations,
            lanes=how.lanes,
            memory_cost=how.memory_kib,
        ).derive(secret)
    except MemoryError:
        msg = f"Checking the passphrase needs {how.memory_kib // 1024} MiB of memory, and they are not free."
        raise TryAgain(msg, hint="Close other programs and try again.") from None
    except UnsupportedAlgorithm:
        msg = "This machine's OpenSSL is too old to know Argon2id."
        raise Invalid(msg, hint="Install the published wheel of cryptography, which brings its own.") from None
