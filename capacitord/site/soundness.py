"""Whether this box can keep images: what is known of that, and trials of the disk while it is in doubt.

Whatever could not be stored is told to `Soundness.failed`. From then on there is trouble, and a scanner must not rely
on this box, until the disk has passed a trial and nothing has failed for a few seconds. A disk that fails while nothing
arrives is found as well: it is asked now and then.
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

_FIRST: Final = "Leave the studies on the scanner and have the disk looked at."
_PAGE: Final = 4096


class Soundness:
    """What is known of the disk of a spool. `changed` is called, by whoever found it out, when trouble comes or goes.

    `look` is for one thread, everything else for any.
    """

    def __init__(
        self,
        spool: Spool,
        changed: Callable[[], None],
        *,
        disk: Disk | None = None,
        every: float = EVERY,
        calm: float = CALM,
    ) -> None:
        self._spool, self._changed, self._disk = spool, changed, disk or Disk()
        self._every, self._calm = every, calm
        self._lock = threading.Lock()
        self._trouble: Trouble | None = None
        self._room: int | None = None
        self._failed_at = self._tried_at = time.monotonic()

    @property
    def trouble(self) -> Trouble | None:
        """Why images cannot be kept, None if nothing speaks against it."""
        return self._trouble

    def failed(self, error: Exception, *, came: int = 0) -> None:
        """Take notice that something could not be stored; `came` bytes of an image had come until then."""
        said = error if isinstance(error, CapacitordError) else _UNFORESEEN
        with self._lock:
            before = self._trouble
            self._failed_at = time.monotonic()
            if isinstance(said, OutOfSpace):
                # What did not fit has left again: only more room than it had makes a difference.
                self._room = max(self._room or LEAST_ROOM, 2 * came)
            since = datetime.now(UTC) if before is None else before.since
            self._trouble = Trouble(said.message, f"{_FIRST} {said.hint}".rstrip(), since)
            changed = before is None or before.message != said.message
        if before is None:
            LOG.error("Images cannot be kept: %s", said.message)
        if changed:
            self._changed()

    def look(self) -> None:
        """Try the disk if it is time to; at once if it is in doubt."""
        now = time.monotonic()
        try:
            self._demand_writable()
            if self._trouble is not None:
                self._demand_room()
                self._write()
            elif now - self._tried_at < self._every:
                return
            self._tried_at = now
            self._spool.save_tick()
        except OF_THE_DISK as error:
            self.failed(error)
        else:
            self._went_well(now)

    def _went_well(self, now: float) -> None:
        with self._lock:
            if self._trouble is None or now - self._failed_at < self._calm:
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

    def _demand_room(self) -> None:
        space = self._spool.space
        if self._room is not None and space.now().free - space.reserve < self._room:
            raise OutOfSpace(
                "An image did not fit on the disk.",
                hint="Restore the links to the destinations, or add space; delivered images are purged on their own.",
            )

    def _write(self) -> None:
        """Make a file, have it written and synced, and remove it. A start clears away what a crash leaves of it."""
        path = self._spool.layout.incoming / "trial.part"
        try:
            self._write_to(path)
        except OSError as error:
            raise failure(error, "write a file for trial") from error

    def _write_to(self, path: Path) -> None:
        disk = self._disk
        # The last trial may have failed before it could.
        disk.remove(path)
        descriptor = disk.create(path)
        try:
            disk.write(descriptor, [bytes(_PAGE)], 0)
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
            disk.remove(path)
        disk.sync_folder(path.parent)


_UNFORESEEN: Final = CapacitordError(
    "An image could not be kept because of an unforeseen error.", hint="Its log says more: journalctl -u capacitord"
)
