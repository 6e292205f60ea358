"""The box key's own file, one kind for each of the three places a box key comes from.

* `box.key` holds the key itself. Whoever can read the file has the key.
* `box.key.wrapped` holds the key encrypted under a passphrase, which a person gives after every start.
* `box.key.credential` holds no key: systemd hands it over as the credential `capacitord.box-key`, kept encrypted
  under the machine's TPM if it has one. For the time in which a new key is in use and the old credential is still
  installed, the file holds the new key wrapped under the old one.

Each carries a proof over everything in it, made with the box key, so that a key is never used under terms that
somebody changed. Each says, too, whether the audit log has an anchor beside it: from the first one on it is a sign of
tampering if there is none.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Literal, assert_never

import msgspec

from capacitord.errors import Locked, WrongKey
from capacitord.seal import passphrase as phrase
from capacitord.seal.envelope import NOT_YET_WRAPPED, Decoder, KeyId, Wrapped, damaged, decode, encode, unwrap, wrap
from capacitord.seal.keys import KEY_SIZE, BoxKey

CREDENTIAL = "capacitord.box-key"
"""The credential's name for systemd (`LoadCredential=`, `LoadCredentialEncrypted=`)."""

_PROOF = b"capacitord box key file"
_BRIDGE = b"capacitord next box key"

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Source(enum.StrEnum):
    """Where the box key comes from."""

    FILE = "file"
    CREDENTIAL = "credential"
    PASSPHRASE = "passphrase"  # noqa: S105 - a kind of source, not a secret


FILES: Mapping[Source, str] = MappingProxyType(
    {
        Source.FILE: "box.key",
        Source.CREDENTIAL: "box.key.credential",
        Source.PASSPHRASE: "box.key.wrapped",
    }
)
"""The name of the box key's file for each source."""


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which generation of the keys this is, when the first was made, and when this one was unless it is the first."""

    generation: Annotated[int, msgspec.Meta(ge=1, lt=10**9)]
    created: Moment
    rotated: Moment | None


class _Anchored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    # Left out while it is false, so that the files of boxes from before there were anchors stay what they are.
    anchored: bool = False


class _Record(_Anchored, frozen=True, forbid_unknown_fields=True, tag_field="source"):
    format: Literal["capacitord box key 1"]
    key_id: KeyId
    stamp: Stamp
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class FileRecord(_Record, frozen=True, tag="file"):
    """A box key in the clear."""

    key: Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]

    def __repr__(self) -> str:
        return f"<FileRecord of box key {self.key_id}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("key_id", self.key_id)]


class PassphraseRecord(_Record, frozen=True, tag="passphrase"):
    """A box key wrapped under a passphrase."""

    stretched_with: phrase.Argon2id
    wrapped: Wrapped


class Bridge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The way from the credential that is installed to the box key in use."""

    credential_id: KeyId
    wrapped: Wrapped


class CredentialRecord(_Record, frozen=True, tag="credential"):
    """A box key that systemd hands over; `bridge` while it still hands over the one before."""

    bridge: Bridge | None


BoxRecord = FileRecord | PassphraseRecord | CredentialRecord

_DECODER: Final[Decoder[BoxRecord]] = Decoder(BoxRecord)
_FORMAT: Final = "capacitord box key 1"


def source_of(record: BoxRecord) -> Source:
    """Return where the box key of `record` comes from."""
    match record:
        case FileRecord():
            return Source.FILE
        case PassphraseRecord():
            return Source.PASSPHRASE
        case CredentialRecord():
            return Source.CREDENTIAL
    assert_never(record)


def file_record(box: BoxKey, stamp: Stamp) -> FileRecord:
    """Return the record that holds `box` in the clear."""
    blank = FileRecord(_FORMAT, box.id.hex(), stamp, b"", box.secret)
    return msgspec.structs.replace(blank, proof=_proof(box, blank))


def passphrase_record(box: BoxKey, stamp: Stamp, passphrase: str, cost: phrase.Cost) -> PassphraseRecord:
    """Return the record that holds `box` under `passphrase`. A weak passphrase raises `Invalid`."""
    phrase.check(passphrase)
    how = phrase.fresh(cost)
    blank = PassphraseRecord(_FORMAT, box.id.hex(), stamp, b"", how, NOT_YET_WRAPPED)
    wrapped = wrap(phrase.stretch(passphrase, how), box.secret, encode(blank))
    unproven = msgspec.structs.replace(blank, wrapped=wrapped)
    return msgspec.structs.replace(unproven, proof=_proof(box, unproven))


def credential_record(box: BoxKey, stamp: Stamp, installed: BoxKey) -> CredentialRecord:
    """Return the record for `box` while systemd hands over `installed`, which may be `box` itself."""
    bridge = None
    if installed != box:
        key = installed.derive(_BRIDGE)
        bridge = Bridge(installed.id.hex(), wrap(key, box.secret, box.id))
    blank = CredentialRecord(_FORMAT, box.id.hex(), stamp, b"", bridge)
    return msgspec.structs.replace(blank, proof=_proof(box, blank))


def anchored_record(record: BoxRecord, box: BoxKey) -> BoxRecord:
    """Return the record of `box` that says that there has to be an anchor from now on."""
    blank = msgspec.structs.replace(record, anchored=True, proof=b"")
    return msgspec.structs.replace(blank, proof=_proof(box, blank))


def read_record(data: bytes, where: str) -> BoxRecord:
    """Return the record in a box key's file; `DamagedObject` if it is not one."""
    return decode(data, _DECODER, where)


def open_record(record: BoxRecord, *, passphrase: str | None, installed: BoxKey | None, where: str) -> BoxKey:
    """Return the box key that `record` stands for.

    `passphrase` and `installed` (the credential) are what is at hand. Raises `Locked` if the one it takes is
    missing, `WrongKey` if it does not fit, `DamagedObject` if the record was changed.
    """
    match record:
        case FileRecord():
            box = BoxKey(record.key)
        case PassphraseRecord():
            box = _open_wrapped(record, passphrase, where)
        case CredentialRecord():
            box = _open_bridged(record, installed, where)
        case _:
            assert_never(record)
    check_record(record, box, where)
    return box


def check_record(record: BoxRecord, box: BoxKey, where: str) -> None:
    """Raise `DamagedObject` unless the record is as it was made with `box`."""
    blank = msgspec.structs.replace(record, proof=b"")
    if not (_same(record.key_id, box) and hmac.compare_digest(record.proof, _proof(box, blank))):
        raise damaged(where, "its contents do not belong together")


def _open_wrapped(record: PassphraseRecord, passphrase: str | None, where: str) -> BoxKey:
    if passphrase is None:
        msg = "The box key is locked under a passphrase."
        raise Locked(msg, where=where, hint="Give the passphrase: fluxctl key unlock")
    # The key was wrapped before there was an anchor, and the passphrase is not at hand when there is one.
    blank = msgspec.structs.replace(record, proof=b"", wrapped=NOT_YET_WRAPPED, anchored=False)
    secret = unwrap(phrase.stretch(passphrase, record.stretched_with), record.wrapped, encode(blank))
    if secret is None:
        msg = "The passphrase does not open the box key."
        hint = "Type it again. If it is certainly right, the file is damaged: restore it from the recovery file."
        raise WrongKey(msg, where=where, hint=hint)
    return BoxKey(secret)


def _open_bridged(record: CredentialRecord, installed: BoxKey | None, where: str) -> BoxKey:
    if installed is None:
        raise no_credential()
    if _same(record.key_id, installed):
        return installed
    if record.bridge is not None and _same(record.bridge.credential_id, installed):
        secret = unwrap(installed.derive(_BRIDGE), record.bridge.wrapped, bytes.fromhex(record.key_id))
        if secret is None:
            raise damaged(where, "the next box key in it was changed")
        return BoxKey(secret)
    msg = f"The credential {CREDENTIAL} is not this box's key: its id is {installed.id.hex()}, not {record.key_id}."
    hint = "Install the credential with the id that is asked for, or restore the keys from the recovery file."
    raise WrongKey(msg, where=where, hint=hint)


def _proof(box: BoxKey, blank: BoxRecord) -> bytes:
    return hmac.digest(box.derive(_PROOF), encode(blank), "sha256")


def _same(key_id: str, box: BoxKey) -> bool:
    return hmac.compare_digest(key_id, box.id.hex())


def no_credential() -> Locked:
    """Return the error for a credential that systemd did not hand over."""
    return Locked(
        f"The box key is the systemd credential {CREDENTIAL}, and there is none.",
        where="$CREDENTIALS_DIRECTORY",
        hint=f"Give the service LoadCredentialEncrypted={CREDENTIAL} and start it again.",
    )
