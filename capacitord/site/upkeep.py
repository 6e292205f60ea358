"""The runtime's recurring work: studies that have gone quiet, images that may leave the disk, the retention clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from capacitord.errors import CapacitordError
from capacitord.spool import retention
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_EVERY = 1.0
_PURGE_EVERY = 15.0
_SAVE_EVERY = 60.0


class Upkeep:
    """A thread that looks around once a second. `alive` is called each time it got through."""

    def __init__(
        self,
        spool: Spool,
        *,
        keep: Callable[[], float],
        quiet: float,
        reason: Callable[[], str],
        alive: Callable[[], None],
    ) -> None:
        """`keep` gives the seconds to keep delivered images, `reason` what a study that is complete is told."""
        self._spool, self._keep, self._quiet, self._reason, self._alive = spool, keep, quiet, reason, alive
        self._stopping = threading.Event()
        self._last_purge = self._last_save = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY):
            try:
                self._look_around()
            except CapacitordError as error:
                LOG.error("Upkeep could not finish: %s %s", error.message, error.hint)  # noqa: TRY400
            self._alive()

    def _look_around(self) -> None:
        now = time.monotonic()
        for study in self._spool.close_quiet(self._quiet, self._reason()):
            LOG.info("Study %s is complete: nothing arrived for %g s.", study, self._quiet)
        shortage = self._shortage()
        if shortage > 0 or now - self._last_purge >= _PURGE_EVERY:
            self._last_purge = now
            self._purge(shortage)
        if now - self._last_save >= _SAVE_EVERY:
            self._last_save = now
            self._spool.save_tick()

    def _shortage(self) -> int:
        return self._spool.space.warning - self._spool.space.now().free

    def _purge(self, shortage: int) -> None:
        housekeeping = self._spool.housekeeping
        candidates = housekeeping.candidates()
        purged = 0
        for study in retention.due(candidates, self._spool.tick(), self._keep(), shortage):
            purged += housekeeping.purge(study, time.time_ns())
            self._alive()
        removed = housekeeping.release_segments()
        if shortage > 0 or purged:
            housekeeping.compact()
            removed += housekeeping.release_segments()
        if purged or removed:
            LOG.info("Purged %d delivered images, gave %d segments back to the disk.", purged, removed)
