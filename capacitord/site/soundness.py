"""Whether this box can keep images: what is known of that, and trials of the disk while it is in doubt.

An image that the disk refused, or a trial that failed, is trouble: a scanner must not rely on this box until a trial
has gone well and nothing has failed for a few seconds. Everything else that goes wrong (`Soundness.doubt`) has the disk
tried at once, and is no trouble by itself: images may well be kept while housekeeping fails. A disk that fails while
nothing arrives is found as well: it is asked now and then.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capacitord.api.messages import Trouble
from capacitord.errors import CapacitordError, DamagedObject, OutOfSpace, StorageFailed
from capacitord.spool.disk import Disk, failure
from capacitord.spool.sealing import LEAST_ROOM
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
OF_THE_DISK: Final = (StorageFailed, OutOfSpace, DamagedObject)
"""The errors that say something of the disk, and not of what was asked for."""

EVERY: Final = 5.0
"""Seconds between two trials while nothing is known to be wrong."""

CALM: Final = 5.0
"""Seconds for which nothing may have failed before a trial that went well ends the trouble."""

ROOM_HOLDS: Final = 600.0
"""Seconds for which an image that did not fit speaks for the next ones, unless one of them is kept before."""

_MOST_DOUBLINGS: Final = 4
_IN_A_ROW: Final = 3
"""So many images in a row that fail for no known reason are no matter of one odd image any more."""

_FIRST: Final = "Leave the studies on the scanner and have the disk looked at."
_PAGE: Final = 4096


class Soundness:
    """What is known of the disk of a spool. `changed` is called, by whoever found it out, when trouble comes or goes.

    For any thread.
    """

    def __init__(
        self,
        spool: Spool,
        changed: Callable[[], None],
        *,
        disk: Disk | None = None,
        every: float = EVERY,
        calm: float = CALM,
        room_holds: float = ROOM_HOLDS,
    ) -> None:
        self._spool, self._changed, self._disk = spool, changed, disk or Disk()
        self._every, self._calm, self._room_holds = every, calm, room_holds
        self._lock, self._trying = threading.Lock(), threading.Lock()
        self._trouble: Trouble | None = None
        self._room: int | None = None
        self._doubted, self._tried = True, False
        self._odd = self._troubles = 0
        self._failed_at = self._refused_at = self._tried_at = time.monotonic()

    @property
    def trouble(self) -> Trouble | None:
        """Why images cannot be kept, None if nothing speaks against it."""
        return self._trouble

    @property
    def tried(self) -> bool:
        """Whether there was a trial. Until then nothing is known."""
        return self._tried

    def refused(self, error: Exception, *, came: int = 0) -> None:
        """Take notice of an image that could not be kept; `came` bytes of it had come until then.

        One error that is not of the disk says nothing of other images; several in a row do.
        """
        if isinstance(error, OF_THE_DISK):
            self._failed(error, self._room_for(came) if isinstance(error, OutOfSpace) else None)
            return
        with self._lock:
            self._odd += 1
            odd = self._odd
        if odd < _IN_A_ROW:
            self.doubt()
        else:
            self._failed(error if isinstance(error, CapacitordError) else _UNFORESEEN)

    def kept(self) -> None:
        """Take notice of an image that was kept: it speaks against what kept others from being."""
        if self._odd or self._troubles or self._room is not None:
            with self._lock:
                self._odd = self._troubles = 0
                self._room = None

    def doubt(self) -> None:
        """Have the disk tried at the next look: something failed that says little of images by itself."""
        self._doubted = True

    def _room_for(self, came: int) -> int:
        """Return how much room it takes to take images again after one for which there was none.

        What did not fit has left again, so only more room than it had makes a difference. But if this disk can never
        have as much, that image is at fault: no other is to wait for it.
        """
        try:
            whole = self._spool.space.now().total - self._spool.space.reserve
        except OF_THE_DISK:
            return LEAST_ROOM
        return max(LEAST_ROOM, 2 * came) if 2 * came <= whole else LEAST_ROOM

    def _failed(self, said: CapacitordError, room: int | None = None) -> None:
        with self._lock:
            before = self._trouble
            self._failed_at = time.monotonic()
            if room is not None:
                self._room, self._refused_at = max(self._room or 0, room), self._failed_at
            if before is None:
                self._troubles += 1
            since = datetime.now(UTC) if before is None else before.since
            self._trouble = Trouble(said.message, f"{_FIRST} {said.hint}".rstrip(), since)
            changed = before is None or before.message != said.message
        if before is None:
            LOG.error("Images cannot be kept: %s", said.message)
        if changed:
            self._changed()

    def look(self) -> None:
        """Try the disk if it is time to; at once if it is in doubt, as it is before the first look."""
        with self._trying:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        doubted, self._doubted = self._doubted, False
        try:
            self._demand_writable()
            if self._trouble is not None or doubted:
                self._demand_room(now)
                self._write()
            elif now - self._tried_at < self._every:
                return
            self._tried_at = now
            self._spool.save_tick()
        except OF_THE_DISK as error:
            self._failed(error)
        except Exception:
            self._doubted = True
            raise
        else:
            self._went_well(now)
        self._tried = True

    def _went_well(self, now: float) -> None:
        with self._lock:
            # Trouble that comes again, and no image was kept in between, is one that the trial does not find.
            calm = self._calm * 2 ** min(max(self._troubles - 1, 0), _MOST_DOUBLINGS)
            if self._trouble is None or now - self._failed_at < calm:
                return
            self._trouble, self._room = None, None
        LOG.warning("Images can be kept again.")
        self._changed()

    def _demand_writable(self) -> None:
        try:
            flags = os.statvfs(self._spool.layout.root).f_flag
        except OSError as error:
            raise failure(error, "ask the disk for its state") from error
        if flags & os.ST_RDONLY:
            raise StorageFailed(
                "The disk has become read-only.", hint="See why (`dmesg`, SMART); repair or replace it, and restart."
            )

    def _demand_room(self, now: float) -> None:
        space, room = self._spool.space, self._room
        if room is None or now - self._refused_at > self._room_holds:
            return
        if space.now().free - space.reserve < room:
            raise OutOfSpace(
                "An image did not fit on the disk.",
                hint="Restore the links to the destinations, or add space; delivered images are purged on their own.",
            )

    def _write(self) -> None:
        """Make a file, have it written and synced, bring it to where images are, and remove it."""
        layout = self._spool.layout
        segments = layout.segments()
        folder = layout.segment(segments[-1]).parent if segments else layout.objects
        # A start clears away what a crash leaves of the first; of the second the next trial does.
        path, there = layout.incoming / "trial.part", folder / "trial.part"
        try:
            self._write_to(path, there)
        except OSError as error:
            raise failure(error, "write a file for trial") from error

    def _write_to(self, path: Path, there: Path) -> None:
        disk = self._disk
        # The last trial may have failed before it could.
        disk.remove(path)
        descriptor = disk.create(path)
        try:
            disk.write(descriptor, [bytes(_PAGE)], 0)
            disk.sync(descriptor)
            disk.rename(path, there)
        finally:
            os.close(descriptor)
            disk.remove(path)
        disk.sync_folder(there.parent)
        disk.remove(there)


_UNFORESEEN: Final = CapacitordError(
    "An image could not be kept because of an unforeseen error.", hint="Its log says more: journalctl -u capacitord"
)
