"""The audit log's chain, as pure functions over lines: each entry holds the digest of the one before it.

A line is the one canonical form of its entry, so that a changed byte is a changed entry. A head, kept in a file
beside the log and written after each entry, says how far the log got, so that cutting entries off its end shows.
Who may write both files can still forge both: the chain shows accidents and edits, it does not stop root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

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

    `damage` says what is wrong, and is empty if nothing is.
    """

    last: Head
    previous: str
    size: int
    torn: int
    damage: str


def sealed(entry: AuditEntry) -> AuditEntry:
    """Return the entry with its digest, which covers all its other fields."""
    return msgspec.structs.replace(entry, digest=_digest(entry))


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
    for line in lines:
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            return Finding(last, previous, size, len(line), "")
        entry = entry_in(line)
        damage = ""
        if entry is None:
            damage = f"line {last.number + 1} is not what was written"
        elif entry.number != last.number + 1:
            damage = f"entry {entry.number} follows entry {last.number}"
        elif entry.previous != last.digest:
            damage = f"entry {entry.number} does not continue the chain"
        if entry is None or damage:
            return Finding(last, previous, size, 0, damage)
        last, previous, size = Head(entry.number, entry.digest), entry.previous, size + len(line)
    return Finding(last, previous, size, 0, "")


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
    blank = msgspec.structs.replace(entry, digest="")
    return hashlib.sha256(msgspec.json.encode(blank)).hexdigest()
