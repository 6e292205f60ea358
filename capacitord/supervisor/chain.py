"""The audit log's chain, as pure functions over lines: each entry holds the digest of the one before it.

A line is the one canonical form of its entry, so that a changed byte is a changed entry. A head, kept in a file
beside the log and written after each entry, says how far the log got, so that cutting entries off its end shows.
Who may write both files could forge both. So each entry is sealed with a key that is derived from the box key, while
that is at hand. A digest depends on all entries before it, so the last seal vouches for all of them, whatever key the
ones before were made with. While it runs, the daemon remembers the last entry it wrote. Over its restarts, who has
no box key can cut head and log back to an earlier seal together, or take all seals away; that shows by the number of
the first sealed entry, which `verify` says. Who has the box key can do anything.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from capacitord.api.actions import DAMAGE
from capacitord.api.messages import AuditEntry

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
    """

    last: Head
    previous: str
    size: int
    torn: int
    damage: str
    sealed: Head = Head()
    seal: str = ""
    first: int = 0
    told: int = 0


class SealingKey(NamedTuple):
    """What entries are sealed with: a secret derived from the box key, and the box key's fingerprint."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SealingKey({self.id})"

    def seal(self, digest: str) -> str:
        """Return the seal of an entry with this digest: HMAC-SHA-256, behind the box key's fingerprint."""
        return f"{self.id}:{hmac.digest(self.secret, digest.encode(), 'sha256').hex()}"


def sealed(entry: AuditEntry, key: SealingKey | None = None) -> AuditEntry:
    """Return the entry with its digest, which covers all its other fields, and with its seal if there is a key."""
    digest = _digest(entry)
    return msgspec.structs.replace(entry, digest=digest, seal="" if key is None else key.seal(digest))


def judge_seal(finding: Finding, key: SealingKey) -> str:
    """Return what is wrong with the last seal of a log, or nothing; none at all is not wrong by itself."""
    if not finding.seal:
        return ""
    known = finding.seal.partition(":")[0]
    if known != key.id:
        return f"entry {finding.sealed.number} is sealed with box key {known}, and this is {key.id}"
    if not hmac.compare_digest(finding.seal, key.seal(finding.sealed.digest)):
        return f"the seal of entry {finding.sealed.number} is not right: entries before it are not what was written"
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


def examine(lines: Iterable[bytes]) -> Finding:
    """Follow the chain through the lines of a log, in order, up to its end or its first damage."""
    last, previous, size = Head(), START, 0
    mark: tuple[Head, str, int, int] = (Head(), "", 0, 0)
    for line in lines:
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            return Finding(last, previous, size, len(line), "", *mark)
        entry = entry_in(line)
        damage = ""
        if entry is None:
            damage = f"line {last.number + 1} is not what was written"
        elif entry.number != last.number + 1:
            damage = f"entry {entry.number} follows entry {last.number}"
        elif entry.previous != last.digest:
            damage = f"entry {entry.number} does not continue the chain"
        if entry is None or damage:
            return Finding(last, previous, size, 0, damage, *mark)
        last, previous, size = Head(entry.number, entry.digest), entry.previous, size + len(line)
        if entry.seal:
            mark = (last, entry.seal, mark[2] or entry.number, mark[3])
        if entry.action == DAMAGE:
            mark = (*mark[:3], mark[3] or entry.number)
    return Finding(last, previous, size, 0, "", *mark)


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
