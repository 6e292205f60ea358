"""Who did what: an append-only log of lines, on stable storage before the action it tells of.

Every change has two entries. The first, with the result "begun", is written before anything happens, so that nothing
happens that could not be written down; the second says what came of it. A first entry without a second is an action
that a crash cut short. What a site does by itself has one entry, after it. What it does at all it keeps until that is
written, and tells of it again: so each entry has its deed's id, by which it is found. Entries name users, sites,
destinations and short study ids, and never a patient.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capacitord.api.actions import DAMAGE, REPAIRED, SEALED, STARTED
from capacitord.api.messages import AuditEntry, AuditQuery, AuditReport
from capacitord.errors import CapacitordError, NotFound
from capacitord.seal.anchor import Anchor
from capacitord.supervisor.anchoring import Anchoring, Anchors
from capacitord.supervisor.audit_file import AuditFile
from capacitord.supervisor.audit_reading import DONE, Traces, told, traces
from capacitord.supervisor.audit_report import report, words_before
from capacitord.supervisor.chain import (
    Finding,
    Head,
    SealingKey,
    examine,
    judge,
    judge_anchor,
    judge_forged,
    judge_seal,
    line_of,
    sealed,
)

_log = logging.getLogger(__name__)
_LONGEST: Final = {"user": 256, "action": 64, "detail": 1000, "result": 100}
"""Characters. With the most and longest subjects and every character escaped, a line is shorter than `MAX_LINE`."""
_LONGEST_SUBJECT: Final = 64
_MOST_SUBJECTS: Final = 100


class AuditLog:
    """The log in one folder. Any thread may call; all methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = AuditFile(folder)
        self._last: Head | None = None
        self._writing = threading.Lock()
        self._key: SealingKey | None = None
        self._anchoring: Anchoring | None = None
        self._offered: tuple[SealingKey, Anchors] | None = None
        self._untold = self._repaired = self._started = ""
        self.trouble = ""

    def open(self, started: str = "") -> None:
        """Take up the log where it ends, or begin it. What is wrong with its end is in `trouble`.

        A line that a power cut tore is taken off, and an entry says so. `started` is said of the daemon's start: no
        other entry of this daemon comes before that one. Raises `StorageFailed` or `OutOfSpace`; then the next `write`
        tries again.
        """
        with self._writing:
            self._started = started
            self._open()

    def _open(self) -> None:
        self._file.begin()
        finding, head = self._file.end(), self._file.head()
        self.trouble = judge(finding, head)
        # A damaged log is continued: refusing all work would help whoever damaged it.
        last = max(finding.last, head or Head(), key=lambda h: h.number)
        if self.trouble:
            self._untold = self.trouble
        elif finding.torn:
            self._file.cut(finding.size)
            self._repaired = f"{finding.torn} bytes of an entry that a power cut left unfinished were taken off"
        self._last = last
        self._tell()

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
        self._tell()
        if self._offered is not None:
            self._take(*self._offered)

    def _take(self, key: SealingKey, anchors: Anchors) -> None:
        before, anchoring = (self._key, self._anchoring), Anchoring(anchors)
        anchor, wrong = anchoring.read()
        finding = self._examine_all(anchor, key)
        wrong = anchoring.begin(finding, anchor, judge(finding, self._file.head()) or wrong)
        # Nobody can check a seal of a key that is gone. Up to the anchor, that vouches for it.
        other = finding.seal and not finding.seal.startswith(f"{key.id}:")
        wrong = wrong or judge_forged(finding) or finding.impossible
        self._key, self._anchoring, self._offered = key, anchoring, None
        if wrong:
            self.trouble = self._untold = wrong
            self._tell()
            return
        words = f"sealed with box key {key.id}, {words_before(finding, anchor, other=bool(other))}"
        try:
            self._write((os.geteuid(), "capacitord"), SEALED, (), words, DONE)
        except CapacitordError:
            # As if it had not come yet: what is sealed begins with that entry.
            (self._key, self._anchoring), self._offered = before, (key, anchors)
            raise

    def _tell(self) -> None:
        """Write down what was wrong with the log and that the daemon started, before anything else."""
        if self._repaired:
            self._write((os.geteuid(), "capacitord"), REPAIRED, (), self._repaired, DONE)
            self._repaired = ""
        if self._untold:
            self._write((os.geteuid(), "capacitord"), DAMAGE, (), self._untold, DONE)
            self._untold = ""
        if self._started:
            self._write((os.geteuid(), "capacitord"), STARTED, (), self._started, DONE)
            self._started = ""

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
            self._tell()
            return self._write((uid, user), action, subjects, detail, result, deed=deed)

    def traces(self, ids: Iterable[str]) -> Traces:
        """Return what the log has of deeds, on stable storage: it is read back for them.

        An entry that is damaged does not count. Raises `StorageFailed` or `OutOfSpace`.
        """
        with self._writing:
            if self._last is None:
                self._open()
        try:
            found = traces(self._file.backwards(), set(ids))
        except NotFound:
            # Somebody took the log away. The next entry begins another, and `verify` says what is missing.
            return Traces(frozenset(), {})
        if found.ended:
            # A daemon that was killed may have written it and not synced it.
            with self._writing:
                self._file.append(b"")
        return found

    def _write(
        self, who: tuple[int, str], action: str, subjects: tuple[str, ...], detail: str, result: str, *, deed: str = ""
    ) -> AuditEntry:
        last, (uid, user) = self._last or Head(), who
        entry = sealed(
            AuditEntry(
                number=last.number + 1,
                at=datetime.now(UTC),
                uid=uid,
                user=user[: _LONGEST["user"]],
                action=action[: _LONGEST["action"]],
                subjects=tuple(subject[:_LONGEST_SUBJECT] for subject in subjects[:_MOST_SUBJECTS]),
                detail=detail[: _LONGEST["detail"]],
                result=result[: _LONGEST["result"]],
                previous=last.digest,
                digest="",
                deed=deed,
            ),
            self._key,
        )
        head = Head(entry.number, entry.digest)
        before = self._file.append(line_of(entry))
        try:
            self._file.set_head(head)
        except CapacitordError:
            # An entry that is refused was never made; else the log would run ahead of its head. But one that its head
            # names is made: that nobody knows whether the head would outlast a power cut is no harm, see `judge`.
            if self._file.head() != head:
                self._file.cut(before)
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
        return told(self._file.backwards(), query)

    def verify(self, schema: str) -> AuditReport:
        """Follow the whole chain and say whether it is whole. Damage that nobody knew of is written down."""
        with self._writing:
            head, size, key = self._file.head(), self._file.size(), self._key
            last, anchoring = self._last, self._anchoring
            anchor, unread = (None, "") if anchoring is None else anchoring.look()
            tampered = "" if anchoring is None else anchoring.tampered()
        finding = examine(self._file.lines(size), anchor.number if anchor else 0, key)
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
        return report(schema, finding, damage or unread, anchoring)

    def _found(self, damage: str) -> None:
        """Write down damage of which nobody knew before."""
        with self._writing:
            if not damage or self.trouble or self._last is None:
                return
            self.trouble = self._untold = damage
            _log.critical("the audit log is damaged: %s", damage)
            try:
                self._tell()
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
        return examine(self._file.lines(self._file.size()), anchor.number if anchor else 0, key)
