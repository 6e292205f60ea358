"""Who did what: an append-only log of lines, on stable storage before the action it tells of.

Every change has two entries. The first, with the result "begun", is written before anything happens, so that nothing
happens that could not be written down; the second says what came of it. A first entry without a second is an action
that a crash cut short. What a site does by itself has one entry, after it. What it does at all it keeps until that is
written, and tells of it again: so each entry has its deed's id, by which it is found. Entries name users, sites,
destinations and short study ids, and never a patient.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from capacitord.api.actions import DAMAGE, REPAIRED, SEALED, STARTED
from capacitord.api.messages import AuditEntry, AuditQuery, AuditReport
from capacitord.errors import CapacitordError, Locked, NotFound
from capacitord.seal.anchor import Anchor
from capacitord.supervisor import files, unsealed
from capacitord.supervisor.anchoring import Anchoring, Anchors
from capacitord.supervisor.chain import (
    MAX_LINE,
    START,
    Finding,
    Head,
    SealingKey,
    entry_in,
    examine,
    judge,
    judge_anchor,
    judge_forged,
    judge_seal,
    line_of,
    sealed,
)

_log = logging.getLogger(__name__)
BEGUN: Final = "begun"
DONE: Final = unsealed.DONE
OPERATOR: Final = "operator (as claimed): "
"""How a detail begins that has the name somebody gave for a shared login."""
_SHORT_ID: Final = re.compile(r"[0-9a-f]{10}", re.ASCII)
_BEGINNING: Final = re.compile(r"[0-9a-fA-F]{4,10}", re.ASCII)
"""Enough of a short id."""

DAMAGED: Final = "damaged"
"""Why a log is not whole, as `AuditReport.reason` has it."""

_OF_A_DEED: Final = re.compile(rb'"deed":"([0-9a-f]{32})"')
_MAX_TEXT: Final = 1000
_MAX_SUBJECTS: Final = 100


class Traces(NamedTuple):
    """What the log has of some deeds: the ids of those that it says are done, and how the others were begun, by id."""

    done: frozenset[str]
    begun: Mapping[str, AuditEntry]


class AuditLog:
    """The log in one folder. Any thread may call; all methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log.jsonl"
        self._head_file = folder / "head"
        self._last: Head | None = None
        self._writing = threading.Lock()
        self._key: SealingKey | None = None
        self._anchoring: Anchoring | None = None
        self._offered: tuple[SealingKey, Anchors] | None = None
        self._untold = self._repaired = ""
        self.trouble = ""

    def open(self) -> None:
        """Take up the log where it ends, or begin it. What is wrong with its end is in `trouble`.

        A line that a power cut tore is taken off, and an entry says so. Raises `StorageFailed` or `OutOfSpace`;
        then the next `write` tries again.
        """
        with self._writing:
            self._open()

    def _open(self) -> None:
        files.make_folder(self._log.parent)
        head = self._read_head()
        if not self._log.exists():
            if head is None:
                files.replace(self._head_file, msgspec.json.encode(Head()))
                head = Head()
            self._append(b"")
            files.sync_folder(self._log.parent)
        finding = self._examine_end()
        self.trouble = judge(finding, head)
        # A damaged log is continued: refusing all work would help whoever damaged it.
        last = max(finding.last, head or Head(), key=lambda h: h.number)
        if self.trouble:
            self._untold = self.trouble
        elif finding.torn:
            self._cut(finding.size)
            self._repaired = f"{finding.torn} bytes of an entry that a power cut left unfinished were taken off"
        self._last = last
        self._tell_damage()

    def take_key(self, key: SealingKey, anchors: Anchors) -> None:
        """Seal every entry with this key from now on, and what was written before with the first of them.

        What is there is followed through before, up to the anchor and beyond: what is wrong with it is in `trouble`,
        and the entry says so. Each entry from now on is in the anchor. Raises `StorageFailed` or `OutOfSpace`; then the
        next entry has the key taken before it, and is refused while that fails: none is made without a seal.
        """
        with self._writing:
            self._offered = (key, anchors)
            self._ready()

    def _ready(self) -> None:
        """Have the log open, and sealed with the key that came to hand last."""
        if self._last is None:
            self._open()
        if self._offered is not None:
            self._take(*self._offered)

    def _take(self, key: SealingKey, anchors: Anchors) -> None:
        before, anchoring = (self._key, self._anchoring), Anchoring(anchors)
        anchor, wrong = anchoring.read()
        finding = self._examine_all(anchor, key)
        wrong = anchoring.begin(finding, anchor, judge(finding, self._read_head()) or wrong)
        # Nobody can check a seal of a key that is gone. Up to the anchor, that vouches for it.
        other = finding.seal and not finding.seal.startswith(f"{key.id}:")
        wrong = wrong or judge_forged(finding) or finding.impossible
        self._key, self._anchoring, self._offered = key, anchoring, None
        if wrong:
            self.trouble = self._untold = wrong
            self._tell_damage()
            return
        words = f"sealed with box key {key.id}, {_before(finding, anchor, other=bool(other))}"
        try:
            self._write((os.geteuid(), "capacitord"), SEALED, (), words, DONE)
        except CapacitordError:
            # As if it had not come yet: what is sealed begins with that entry.
            (self._key, self._anchoring), self._offered = before, (key, anchors)
            raise

    def _tell_damage(self) -> None:
        """Write down what was wrong with the log, before anything that would be sealed and anchored on top of it."""
        if self._repaired:
            self._write((os.geteuid(), "capacitord"), REPAIRED, (), self._repaired, DONE)
            self._repaired = ""
        if self._untold:
            self._write((os.geteuid(), "capacitord"), DAMAGE, (), self._untold, DONE)
            self._untold = ""

    def write(
        self,
        uid: int,
        user: str,
        action: str,
        *,
        subjects: tuple[str, ...] = (),
        detail: str = "",
        result: str = DONE,
        deed: str = "",
    ) -> AuditEntry:
        """Add an entry; it is on stable storage on return. Raises `StorageFailed` or `OutOfSpace`.

        `deed` is the id that all entries of one deed have.
        """
        with self._writing:
            self._ready()
            # The next anchor would hide what became of the last one.
            if self._anchoring is not None and (wrong := self._anchoring.tampered()):
                self.trouble = self._untold = wrong
            self._tell_damage()
            return self._write((uid, user), action, subjects, detail, result, deed=deed)

    def traces(self, ids: Iterable[str]) -> Traces:
        """Return what the log has of deeds, on stable storage: it is read back for them.

        An entry that is damaged does not count. Raises `StorageFailed` or `OutOfSpace`.
        """
        with self._writing:
            if self._last is None:
                self._open()
        try:
            found = self._look_for(set(ids))
        except NotFound:
            # Somebody took the log away. The next entry begins another, and `verify` says what is missing.
            return Traces(frozenset(), {})
        if found.done:
            # A daemon that was killed may have written it and not synced it.
            with self._writing:
                self._append(b"")
        return found

    def _look_for(self, wanted: set[str]) -> Traces:
        done, begun = set[str](), dict[str, AuditEntry]()
        for line in self._lines_backwards() if wanted else ():
            # A line is taken apart only if it may be one of them.
            entry = entry_in(line) if any(each.decode() in wanted for each in _OF_A_DEED.findall(line)) else None
            if entry is None or entry.deed not in wanted:
                continue
            if entry.result == DONE:
                done.add(entry.deed)
            elif entry.result == BEGUN and entry.deed not in done:
                begun[entry.deed] = entry
            if len(done) + len(begun) == len(wanted):
                break
        return Traces(frozenset(done), begun)

    def _write(
        self, who: tuple[int, str], action: str, subjects: tuple[str, ...], detail: str, result: str, *, deed: str = ""
    ) -> AuditEntry:
        last, (uid, user) = self._last or Head(), who
        entry = sealed(
            AuditEntry(
                number=last.number + 1,
                at=datetime.now(UTC),
                uid=uid,
                user=user[:_MAX_TEXT],
                action=action,
                subjects=tuple(subject[:_MAX_TEXT] for subject in subjects[:_MAX_SUBJECTS]),
                detail=detail[:_MAX_TEXT],
                result=result[:_MAX_TEXT],
                previous=last.digest,
                digest="",
                deed=deed,
            ),
            self._key,
        )
        head = Head(entry.number, entry.digest)
        before = self._append(line_of(entry))
        try:
            files.replace(self._head_file, msgspec.json.encode(head))
        except CapacitordError:
            # An entry that is refused was never made; else the log would run ahead of its head. But one that its head
            # names is made: that nobody knows whether the head would outlast a power cut is no harm, see `judge`.
            if self._read_head() != head:
                self._cut(before)
                raise
        self._last = head
        if self._anchoring is not None:
            self._anchoring.advance(head, entry.seal)
        return entry

    def show(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return the entries that a query selects, newest last. Lines that are damaged are left out."""
        return self.told(query)[0]

    def told(self, query: AuditQuery) -> tuple[tuple[AuditEntry, ...], tuple[int, ...]]:
        """Return what `show` does, and the numbers of entries among them of what was begun and never ended.

        What the daemon that runs now has begun may still end, so it is not among them.
        """
        found: list[AuditEntry] = []
        cut_short: list[int] = []
        ends = Ends()
        for line in self._lines_backwards():
            entry = entry_in(line)
            if entry is None:
                continue
            lacks_end = ends.lacks(entry)
            if not _selected(entry, query):
                continue
            found.append(entry)
            if lacks_end:
                cut_short.append(entry.number)
            if len(found) >= query.limit:
                break
        return tuple(reversed(found)), tuple(reversed(cut_short))

    def verify(self, schema: str) -> AuditReport:
        """Follow the whole chain and say whether it is whole. Damage that nobody knew of is written down."""
        with self._writing, files.typed(self._log):
            head, size, key = self._read_head(), self._log.stat().st_size, self._key
            last, anchoring = self._last, self._anchoring
            anchor, unread = (None, "") if anchoring is None else anchoring.look()
            tampered = "" if anchoring is None else anchoring.tampered()
        finding = examine(self._lines(size), anchor.number if anchor else 0, key)
        damage = judge(finding, head) or tampered
        if not damage and not unread:
            damage = judge_anchor(finding, anchor)
        damage = damage or self._judge_seals(finding, key) or finding.impossible
        if not damage and last is not None and finding.last != last:
            damage = f"the log ends at entry {finding.last.number}, and entry {last.number} was written last"
        self._found(damage)
        if not damage and finding.told:
            damage = f"entry {finding.told} tells of damage that was found then"
        # That the key store cannot be read now is no damage to write down for ever.
        return _report(schema, finding, damage or unread, anchoring)

    def _found(self, damage: str) -> None:
        """Write down damage of which nobody knew before."""
        with self._writing:
            if not damage or self.trouble or self._last is None:
                return
            self.trouble = self._untold = damage
            _log.critical("the audit log is damaged: %s", damage)
            try:
                self._tell_damage()
            except CapacitordError as error:
                # The next entry has it told before it.
                _log.critical("the audit log took no entry about its damage: %s", error.message)

    def _judge_seals(self, finding: Finding, key: SealingKey | None) -> str:
        """Return what is wrong with the seals of a log to which entries are added with a key, or nothing."""
        if key is None:
            return ""
        if self.trouble:
            return self.trouble
        if finding.sealed.number < finding.last.number:
            return f"entry {finding.last.number} has no seal, though the box key was at hand"
        return judge_seal(finding, key)

    def _examine_all(self, anchor: Anchor | None, key: SealingKey) -> Finding:
        with files.typed(self._log):
            size = self._log.stat().st_size
        return examine(self._lines(size), anchor.number if anchor else 0, key)

    def _append(self, line: bytes) -> int:
        """Add a line, whole or not at all; return the size of the log before it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with files.typed(self._log):
            handle = os.open(self._log, flags, 0o600)
            try:
                before = os.fstat(handle).st_size
                try:
                    _write(handle, line)
                    os.fsync(handle)
                except OSError:
                    os.ftruncate(handle, before)
                    raise
            finally:
                os.close(handle)
        return before

    def _cut(self, size: int) -> None:
        with files.typed(self._log), self._log.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def _read_head(self) -> Head | None:
        try:
            return msgspec.json.decode(files.read(self._head_file, 1 << 12), type=Head)
        except NotFound:
            return None
        except (CapacitordError, msgspec.DecodeError):
            return None

    def _examine_end(self) -> Finding:
        """Return what the last whole line says, without reading the rest."""
        with files.typed(self._log), self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * MAX_LINE))
            tail = file.read()
        whole, newline, torn = tail.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2] + newline
        if not newline:
            return Finding(Head(), START, 0, len(torn), "")
        entry = entry_in(last)
        if entry is None:
            return Finding(Head(), START, 0, 0, "the last line is not what was written")
        return Finding(Head(entry.number, entry.digest), entry.previous, size - len(torn), len(torn), "")

    def _lines(self, size: int) -> Iterator[bytes]:
        with files.typed(self._log), self._log.open("rb") as file:
            while size and (line := file.readline(min(MAX_LINE, size))):
                size -= len(line)
                yield line

    def _lines_backwards(self) -> Iterator[bytes]:
        with files.typed(self._log), self._log.open("rb") as file:
            position, rest = file.seek(0, os.SEEK_END), b""
            while position:
                step = min(position, MAX_LINE)
                position -= step
                file.seek(position)
                *lines, rest = reversed((file.read(step) + rest).split(b"\n"))
                yield from (line + b"\n" for line in lines if line)
            if rest:
                yield rest + b"\n"


class Ends:
    """Finds what was begun and never ended, in entries that come newest first."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, str], list[frozenset[str]]] = {}
        self._ended: set[str] = set()
        self._before_start = False

    def lacks(self, entry: AuditEntry) -> bool:
        """Take an entry; return whether it is the beginning of something without an end, of a daemon that ended."""
        self._before_start = self._before_start or entry.action == STARTED
        if entry.deed:
            if entry.result == BEGUN:
                return self._before_start and entry.deed not in self._ended
            self._ended.add(entry.deed)
            return False
        ends = self._ends.setdefault((entry.uid, entry.action), [])
        subjects = frozenset(entry.subjects)
        if entry.result != BEGUN:
            ends.append(subjects)
            return False
        # Of entries without an id, an end names all that its beginning does, and what was found on the way.
        for place in reversed(range(len(ends))):
            if subjects <= ends[place]:
                del ends[place]
                return False
        return self._before_start


def _before(finding: Finding, anchor: Anchor | None, *, other: bool) -> str:
    """Return what the entry of a key that came to hand says of the log before it."""
    before = f"after entry {finding.sealed.number}" if finding.seal else "for the first time"
    if other and (anchor is None or finding.sealed.number > anchor.number):
        before += f", whose seal is of box key {finding.seal.partition(':')[0]} and can't be checked"
    return before if anchor else f"{before}; the key store had no anchor of the log, and has one from here on"


def _report(schema: str, finding: Finding, damage: str, anchoring: Anchoring | None) -> AuditReport:
    """Return what to say of a log; it is not proven without the key, which `anchoring` stands for."""
    entries = finding.last.number
    torn = f"; {finding.torn} bytes of an unfinished entry follow" if finding.torn else ""
    words, hint, reason = damage, "", DAMAGED
    if damage:
        hint = "Compare with the copies in your log archive; somebody or something changed this log, or the keys."
    elif anchoring is None:
        words = f"not proven: the box key is away; all {entries} entries are in order by their digests{torn}"
        hint, reason = "Unlock it: fluxctl key unlock", Locked.reference
    else:
        words, reason = f"all {entries} entries are in order, {_vouched(finding, anchoring)}{torn}", ""
    return AuditReport(schema, not reason, entries, words, hint, reason, finding.unvouched)


def _vouched(finding: Finding, anchoring: Anchoring) -> str:
    """Return who vouches for the entries of a log with nothing wrong, and for which of them."""
    since, last = anchoring.since, finding.last.number
    words = "and the last seal vouches that they stand as they were when they were sealed"
    words = f"{words}; the first that is sealed is entry {finding.first}"
    if anchoring.behind:
        return f"{words}; but the key store does not have entry {last}, which can be cut off: {anchoring.behind}"
    return f"{words}; since entry {since} the key store vouches that none is missing at the end"


def _selected(entry: AuditEntry, query: AuditQuery) -> bool:
    """Return whether a query asks for an entry."""
    return (
        (not query.action or entry.action == query.action)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at <= query.until)
        and (not query.subject or query.subject in entry.subjects)
        and (not query.study or any(_is_study(subject, query.study) for subject in entry.subjects))
        and (not query.operator or _is_by(entry, query.operator))
    )


def _is_study(subject: str, study: str) -> bool:
    """Return whether a subject is a study that is called so: by the beginning of its short id, or by its UID."""
    if _BEGINNING.fullmatch(study):
        return _SHORT_ID.fullmatch(subject) is not None and subject.startswith(study.lower())
    return "." in study and subject == study


def _is_by(entry: AuditEntry, operator: str) -> bool:
    claimed = f"{OPERATOR}{operator}"
    said = entry.detail.partition("; ")[0]
    return entry.user == operator or said == claimed


def _write(handle: int, line: bytes) -> None:
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
