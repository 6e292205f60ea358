"""How far the audit log got, kept where nobody without the box key can say so: in the key store, entry by entry.

An entry is on stable storage before its anchor is, so that a kill or a power cut leaves the anchor behind the log and
never ahead of it. Entries are made by people and by a few deeds of a site, so each one can afford two more syncs, and
nothing at all can be cut off while the key is at hand.
"""

from __future__ import annotations

import logging
from typing import Protocol

from capacitord.errors import CapacitordError, DamagedObject, StorageFailed
from capacitord.seal.anchor import Anchor
from capacitord.supervisor.chain import Finding, Head, judge_anchor, with_seal

_log = logging.getLogger(__name__)


class Anchors(Protocol):
    """Where the anchor is kept; both may block, and raise `Locked`, `DamagedObject` and what a disk does."""

    def anchor(self) -> Anchor | None:
        """Return the anchor, None if there never was one."""
        ...

    def set_anchor(self, anchor: Anchor) -> None:
        """Keep an anchor; it is on stable storage on return."""
        ...


class Anchoring:
    """The anchor of one log, for as long as a key is at hand. One caller at a time.

    `behind` says why the store does not have the last entry, and is empty if it has.
    """

    def __init__(self, store: Anchors) -> None:
        self._store = store
        self._kept: Anchor | None = None
        self._seals = ""
        self.since = 0
        self.behind = ""

    def look(self) -> tuple[Anchor | None, str]:
        """Return what the store has, and what is wrong with that; what cannot be read is wrong as well."""
        try:
            found = self._store.anchor()
        except CapacitordError as error:
            return None, f"the key store does not say how far the log got: {error.message.rstrip('.')}"
        return found, self._compared(found)

    def read(self) -> tuple[Anchor | None, str]:
        """Return what `look` does. Raises `StorageFailed` while the disk does not answer, which is no damage."""
        try:
            found = self._store.anchor()
        except StorageFailed:
            raise
        except CapacitordError:
            return self.look()
        return found, self._compared(found)

    def tampered(self) -> str:
        """Return what became of the anchor since it was kept, or nothing; that it cannot be read now is no damage."""
        try:
            return self._compared(self._store.anchor())
        except DamagedObject:
            return self.look()[1]
        except CapacitordError:
            return ""

    def _compared(self, found: Anchor | None) -> str:
        # A store that refused the last one may have it all the same.
        if self._kept is None or self.behind or found == self._kept:
            return ""
        return f"the key store's anchor is not the one of entry {self._kept.number}, which was kept last"

    def begin(self, finding: Finding, found: Anchor | None, wrong: str) -> str:
        """Take up the log as it was found beside the anchor, and return what is wrong with it."""
        wrong = wrong or judge_anchor(finding, found)
        self._seals = finding.seals
        self.since = 0 if found is None or wrong else found.since
        return wrong

    def advance(self, last: Head, seal: str) -> None:
        """Keep that this sealed entry is the last. If the store refuses, the next one has it caught up."""
        self._seals = with_seal(self._seals, last.number, seal)
        self.since = self.since or last.number
        anchor = Anchor(last.number, last.digest, self._seals, self.since)
        try:
            self._store.set_anchor(anchor)
        except CapacitordError as error:
            self.behind = error.message.rstrip(".")
            _log.critical("the key store did not take how far the audit log got: %s: %s", error.where, error.message)
        else:
            self._kept, self.behind = anchor, ""
