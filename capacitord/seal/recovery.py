"""The recovery file: every key of the box under a passphrase, to be kept away from the box.

With it, another machine opens the box's spools: site keys are all a sealed object and a catalog need. It is plain
text, fit for printing. Inside is a MessagePack array of the format's number, the parameters of Argon2id, a nonce,
and the keys under AES-256-GCM with all before them as associated data.

A recovery file keeps opening what it held: rotating the box key does not change site keys, and erasing a site's key
on the box does not erase it here. Make a new one after each new site, and destroy the one before.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from capacitord.errors import DamagedObject, WrongKey
from capacitord.seal import passphrase as phrase
from capacitord.seal.armour import armour, unarmour
from capacitord.seal.keys import KEY_SIZE, BoxKey, KeyRing, SiteKey
from capacitord.seal.sitekey import SiteId

_NONCE_SIZE = 12
_MAGIC = b"capacitord recovery file"

_PREFACE = """\
CAPACITORD RECOVERY FILE

What this is: all keys of one box, so that its images can be read if the box's
own keys are lost. It is encrypted. It opens with the passphrase that was given
when it was made, and with nothing else: without the passphrase it is useless,
and with it, it opens every image of the box. Keep the two apart, and both away
from the box.

How to use it: install capacitord, save this text as a file (the lines between
BEGIN and END will do, typed or scanned: each ends in a check value), and run

    fluxctl key restore FILE

  box key  {box}
  sites    {sites}

"""


class _Head(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: Literal[1]
    stretched_with: phrase.Argon2id


class _Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    head: _Head
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE_SIZE, max_length=_NONCE_SIZE)]
    sealed: bytes


_Secret = Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]


class _Keys(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    box: _Secret
    sites: dict[SiteId, _Secret]
    generation: Annotated[int, msgspec.Meta(ge=1, lt=10**9)]
    created: Annotated[datetime, msgspec.Meta(tz=True)]

    def __repr__(self) -> str:
        return f"<_Keys of {len(self.sites)} sites>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("sites", len(self.sites))]


_ENVELOPES: Final = msgspec.msgpack.Decoder(_Envelope)
_KEYS: Final = msgspec.msgpack.Decoder(_Keys)


def export_recovery(keys: KeyRing, passphrase: str, *, cost: phrase.Cost = phrase.RECOVERY_COST) -> bytes:
    """Return the text of a recovery file with all of `keys` under `passphrase`.

    A weak passphrase raises `Invalid`. `cost` is what each guess at it will cost.
    """
    phrase.check(passphrase)
    head = _Head(1, phrase.fresh(cost))
    inside = _Keys(keys.box.secret, {key.site: key.secret for key in keys.sites}, keys.generation, keys.created)
    nonce = secrets.token_bytes(_NONCE_SIZE)
    key = phrase.stretch(passphrase, head.stretched_with)
    sealed = AESGCM(key).encrypt(nonce, msgspec.msgpack.encode(inside), _context(head))
    preface = _PREFACE.format(box=keys.box.id.hex(), sites=len(keys.sites))
    return (preface + armour(msgspec.msgpack.encode(_Envelope(head, nonce, sealed)))).encode("ascii")


def open_recovery(data: bytes, passphrase: str) -> KeyRing:
    """Return the keys in a recovery file.

    Raises `Invalid` for a text that was mistyped or is no recovery file, `WrongKey` if the passphrase does not
    open it, `DamagedObject` if its contents make no sense.
    """
    try:
        envelope = _ENVELOPES.decode(unarmour(data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged() from None
    key = phrase.stretch(passphrase, envelope.head.stretched_with)
    try:
        inside = _KEYS.decode(AESGCM(key).decrypt(envelope.nonce, envelope.sealed, _context(envelope.head)))
    except InvalidTag:
        msg = "The passphrase does not open the recovery file."
        raise WrongKey(msg, hint="Type it again; it is the one given when the file was made.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged() from None
    sites = tuple(SiteKey(site, secret) for site, secret in sorted(inside.sites.items()))
    return KeyRing(BoxKey(inside.box), sites, inside.generation, inside.created)


def _context(head: _Head) -> bytes:
    return _MAGIC + msgspec.msgpack.encode(head)


def _damaged() -> DamagedObject:
    msg = "The recovery file is damaged, or a newer version of this program wrote it."
    return DamagedObject(msg, hint="Use another copy of it, or a newer capacitord.")
