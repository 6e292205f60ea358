"""How far the audit log got, kept with the keys, so that nobody without the box key can cut the log back unnoticed.

The file says the number and the digest of the last sealed entry, and carries a proof over itself that is made with the
box key. It belongs to one generation of the keys. That there has to be one is said by the box key's own file.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from capacitord.errors import DamagedObject
from capacitord.seal.envelope import Decoder, KeyId, decode, encode
from capacitord.seal.keys import BoxKey

FILE: Final = "audit.anchor"
_PROOF: Final = b"capacitord audit log anchor"
_FORMAT: Final = "capacitord audit log anchor 1"

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Number = Annotated[int, msgspec.Meta(ge=1)]


class Anchor(NamedTuple):
    """The last sealed entry of a log by `number` and `digest`, and `seals`, a digest of all seals up to its own.

    `since` is the number of the first entry that was the last one in an anchor: from there on nothing can be cut off.
    """

    number: int
    digest: str
    seals: str
    since: int


class AnchorRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An anchor as its file has it."""

    format: Literal["capacitord audit log anchor 1"]
    box_key_id: KeyId
    generation: int
    number: Number
    digest: Digest
    seals: Digest
    since: Number
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


_DECODER: Final[Decoder[AnchorRecord]] = Decoder(AnchorRecord)


def seal_anchor(box: BoxKey, anchor: Anchor, generation: int) -> bytes:
    """Return the text of the file that holds `anchor` in that generation of the keys."""
    blank = AnchorRecord(_FORMAT, box.id.hex(), generation, *anchor, proof=b"")
    return encode(msgspec.structs.replace(blank, proof=_proof(box, blank)))


def open_anchor(box: BoxKey, data: bytes, *, generation: int, where: str) -> Anchor:
    """Return the anchor from its file's text.

    Raises `DamagedObject` if it is not what was written, or belongs to another box or another generation.
    """
    try:
        record = decode(data, _DECODER, where)
    except DamagedObject:
        raise not_right(where, "is not what was written") from None
    if (record.box_key_id, record.generation) != (box.id.hex(), generation):
        raise not_right(where, "belongs to other keys")
    blank = msgspec.structs.replace(record, proof=b"")
    if not hmac.compare_digest(record.proof, _proof(box, blank)):
        raise not_right(where, "is not what was written")
    return Anchor(record.number, record.digest, record.seals, record.since)


def not_right(where: str, why: str) -> DamagedObject:
    """Return the error for an anchor that does not say how far the log got."""
    msg = f"The anchor of the audit log {why}."
    return DamagedObject(msg, where=where, hint="Compare the audit log with the copies in your log archive.")


def _proof(box: BoxKey, blank: AnchorRecord) -> bytes:
    return hmac.digest(box.derive(_PROOF), encode(blank), "sha256")
