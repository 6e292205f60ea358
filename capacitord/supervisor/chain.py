"""The audit log's chain, as pure functions over lines: each entry holds the digest of the one before it.

A line is the one canonical form of its entry, so that a changed byte is a changed entry. A head, kept in a file
beside the log and written after each entry, says how far the log got, so that cutting entries off its end shows.
Who may write both files could forge both. So each entry is sealed with a key that is derived from the box key, while
that is at hand. A digest depends on all entries before it, so the last seal vouches for all of them, whatever key the
ones before were made with. And after each sealed entry its number, its digest and a digest of all seals so far go into
the key store as an anchor, which only the box key makes: what was cut back, or has its seals taken away or replaced,
does not fit it. What is written while the box key is away is kept as it is by the first seal after it; that it is
genuine nobody vouches for, so `unsealed` names it. Who has no box key, but
copies of the log and of the key store's files of an earlier time, can put back both together unnoticed: only a counter
outside of the disk could tell. Who has the box key can do anything.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from capacitord.api.actions import DAMAGE
from capacitord.api.messages import AuditEntry, AuditRange
from capacitord.seal.anchor import Anchor
from capacitord.supervisor.unsealed import Runs

START: Final = "0" * 64
MAX_LINE: Final = 1 << 16

_DECODER: Final = msgspec.json.Decoder(AuditEntry, strict=True)


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number and digest of the last entry that was written whole; 0 and `START` before the first."""

    number: int = 0
    digest: str = START


class Finding(NamedTuple):
    """What a log holds. `size` is where its last whole line ends, `torn` the bytes after that.

    `damage` says what is wrong, and is empty if nothing is. `sealed` is the last entry with a `seal`, `first` the
    number of the first one, 0 without any. `told` is that of the first entry that tells of damage, 0 if none does.
    `seals` is a digest of all seals, and `there` what the anchor of the entry that was asked for would say of the log.
    `forged` is the number of the first entry whose seal is in the name of the key that was given and not made with it,
    0 if there is none. `unvouched` are the entries that nobody vouches for, and `impossible` says which of them cannot
    be genuine.
    """

    last: Head = Head()
    previous: str = START
    size: int = 0
    torn: int = 0
    damage: str = ""
    sealed: Head = Head()
    seal: str = ""
    first: int = 0
    told: int = 0
    seals: str = START
    there: tuple[str, str] = ("", "")
    forged: int = 0
    unvouched: tuple[AuditRange, ...] = ()
    impossible: str = ""


class SealingKey(NamedTuple):
    """What entries are sealed with: a secret derived from the box key, and the box key's fingerprint."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SealingKey({self.id})"

    def seal(self, digest: str) -> str:
        """Return the seal of an entry with this digest: HMAC-SHA-256, behind the box key's fingerprint."""
        return f"{self.id}:{hmac.digest(self.secret, digest.encode(), 'sha256').hex()}"

    def may_have_made(self, entry: AuditEntry) -> bool:
        """Return whether the entry's seal is this key's, or in the name of another one."""
        other = entry.seal.partition(":")[0] != self.id
        return other or hmac.compare_digest(entry.seal.encode(), self.seal(entry.digest).encode())


def sealed(entry: AuditEntry, key: SealingKey | None = None) -> AuditEntry:
    """Return the entry with its digest, which covers all its other fields, and with its seal if there is a key."""
    digest = _digest(entry)
    return msgspec.structs.replace(entry, digest=digest, seal="" if key is None else key.seal(digest))


def judge_seal(finding: Finding, key: SealingKey) -> str:
    """Return what is wrong with the seals of a log that was examined with this key, or nothing.

    None at all is not wrong by itself.
    """
    known = finding.seal.partition(":")[0]
    if finding.seal and known != key.id:
        return f"entry {finding.sealed.number} is sealed with box key {known}, and this is {key.id}"
    return judge_forged(finding)


def judge_forged(finding: Finding) -> str:
    """Return what is wrong with the first seal that is in the name of the key at hand and not its own, or nothing."""
    if finding.forged:
        return f"the seal of entry {finding.forged} is not right: entries up to it are not what was written"
    return ""


def with_seal(seals: str, number: int, seal: str) -> str:
    """Return the digest of all seals up to that of an entry, from the digest of those before it."""
    return hashlib.sha256(f"{seals} {number} {seal}".encode()).hexdigest()


def judge_anchor(finding: Finding, anchor: Anchor | None) -> str:
    """Return what is wrong with a log that was examined up to an anchor's entry and beyond, or nothing.

    The log may go on behind its anchor: a kill comes between the two, and entries are made while the key is away.
    """
    if anchor is None:
        return ""
    number = anchor.number
    if finding.last.number < number:
        return f"the log ends at entry {finding.last.number}, and the key store knows of entry {number}"
    digest, seals = finding.there
    if digest != anchor.digest:
        return f"entry {number} is not the one that the key store knows"
    if seals != anchor.seals:
        return f"seals up to entry {number} are missing or are not those that were made"
    return ""


def line_of(entry: AuditEntry) -> bytes:
    """Return the line an entry is in the log."""
    return msgspec.json.encode(entry) + b"\n"


def entry_in(line: bytes) -> AuditEntry | None:
    """Return the entry in a line, or None if the line is not exactly what `line_of` wrote."""
    try:
        entry = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return entry if line_of(entry) == line and entry.digest == _digest(entry) else None


def examine(lines: Iterable[bytes], anchored: int = 0, key: SealingKey | None = None) -> Finding:
    """Follow the chain through the lines of a log, in order, up to its end or its first damage.

    `anchored` is the number of the entry that `there` is about; seals in the name of `key` are checked.
    """
    found, runs = Finding(), Runs()
    for line in lines:
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            found = found._replace(torn=len(line))
            break
        entry = entry_in(line)
        damage = _breaks(entry, found.last)
        if entry is None or damage:
            found = found._replace(damage=damage)
            break
        runs.take(entry)
        found = _followed(found, entry, key)._replace(size=found.size + len(line))
        if entry.number == anchored:
            found = found._replace(there=(entry.digest, found.seals))
    return found._replace(unvouched=runs.unvouched, impossible=runs.impossible)


def _breaks(entry: AuditEntry | None, last: Head) -> str:
    """Return how an entry breaks the chain behind the last one, or nothing."""
    if entry is None:
        return f"line {last.number + 1} is not what was written"
    if entry.number != last.number + 1:
        return f"entry {entry.number} follows entry {last.number}"
    if entry.previous != last.digest:
        return f"entry {entry.number} does not continue the chain"
    return ""


def _followed(found: Finding, entry: AuditEntry, key: SealingKey | None) -> Finding:
    """Return what was found with one entry more."""
    last = Head(entry.number, entry.digest)
    found = found._replace(last=last, previous=entry.previous)
    if entry.seal:
        seals = with_seal(found.seals, entry.number, entry.seal)
        found = found._replace(sealed=last, seal=entry.seal, first=found.first or entry.number, seals=seals)
        if key is not None and not found.forged and not key.may_have_made(entry):
            found = found._replace(forged=entry.number)
    if entry.action == DAMAGE and not found.told:
        found = found._replace(told=entry.number)
    return found


def judge(finding: Finding, head: Head | None) -> str:
    """Return what is wrong with a log beside its head, or nothing.

    A power cut may leave the log one whole entry, or a torn line, ahead of its head. Nothing else is innocent.
    """
    if finding.damage:
        return finding.damage
    last = finding.last
    if head is None:
        return "the head file is missing or is not what was written"
    if last.number < head.number:
        return f"the log ends at entry {last.number}, and {head.number} were written"
    if last == head:
        return ""
    if last.number == head.number + 1 and finding.previous == head.digest and not finding.torn:
        return ""
    return f"the head file names entry {head.number}, which is not the one in the log"


def _digest(entry: AuditEntry) -> str:
    blank = msgspec.structs.replace(entry, digest="", seal="")
    return hashlib.sha256(msgspec.json.encode(blank)).hexdigest()
