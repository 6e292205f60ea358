"""The runtime's recurring work: studies that have gone quiet, images that may leave the disk, the retention clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError
from capacitord.spool import retention
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
EVERY: Final = 1.0
PURGE_EVERY: Final = 15.0
"""Seconds between two looks, and between two purges while there is room enough."""

_SAVE_EVERY: Final = 60.0

Work = Callable[[], None]


class Upkeep:
    """A thread that looks around once a second. What fails is tried again the next time; nothing ends the thread."""

    def __init__(
        self,
        spool: Spool,
        *,
        keep: Callable[[], float],
        quiet: float,
        reason: Callable[[], str],
        got_on: Work,
        also: Work,
        every: float = EVERY,
        purge_every: float = PURGE_EVERY,
    ) -> None:
        """`keep` gives the seconds to keep delivered images, `reason` what a study that is complete is told.

        `got_on` is called as the work gets on, `also` is done once a minute.
        """
        self._purge_every = purge_every
        self._spool, self._keep, self._quiet, self._reason = spool, keep, quiet, reason
        self._got_on, self._also, self._every = got_on, also, every
        self._stopping = threading.Event()
        self._last_purge = self._last_save = time.monotonic()
        self._failing: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End the thread after the step it is at."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            now = time.monotonic()
            self._do("close studies", self._close_quiet)
            self._do("purge", lambda: self._purge_if_due(now))  # noqa: B023 - called at once
            if now - self._last_save >= _SAVE_EVERY:
                self._last_save = now
                self._do("save the retention clock", self._spool.save_tick)
                self._do("explain", self._also)
            self._got_on()

    def _do(self, what: str, work: Work) -> None:
        """Do one kind of work. What goes on failing is said once, and so is its end."""
        try:
            work()
        except CapacitordError as error:
            words = f"{error.message} {error.hint}"
        except Exception as error:  # noqa: BLE001 - a mistake of ours in one kind must not end the others
            words = f"An unforeseen error: {describe(error)}"
        else:
            if what in self._failing:
                LOG.warning("Upkeep can %s again.", what)
                self._failing.discard(what)
            return
        if what not in self._failing:
            LOG.error("Upkeep could not %s: %s", what, words)
            self._failing.add(what)

    def _close_quiet(self) -> None:
        for study in self._spool.close_quiet(self._quiet, self._reason()):
            LOG.info("Study %s is complete: nothing arrived for %g s.", study, self._quiet)

    def _purge_if_due(self, now: float) -> None:
        space = self._spool.space
        shortage = space.warning - space.now().free
        due = now - self._last_purge >= self._purge_every
        if due or shortage > 0:
            self._purge(shortage, compact=due)
        if due:
            self._last_purge = now

    def _purge(self, shortage: int, *, compact: bool) -> None:
        housekeeping = self._spool.housekeeping
        candidates = housekeeping.candidates()
        purged = self._purge_studies(retention.due(candidates, self._spool.tick(), self._keep(), shortage))
        removed = housekeeping.release_segments()
        if purged or (compact and shortage > 0):
            housekeeping.compact(self._goes_on)
            removed += housekeeping.release_segments()
        if purged or removed:
            LOG.info("Purged %d delivered images, gave %d segments back to the disk.", purged, removed)

    def _purge_studies(self, studies: Sequence[int]) -> int:
        purged = 0
        for study in studies:
            if not self._goes_on():
                break
            purged += self._spool.housekeeping.purge(study, time.time_ns())
        return purged

    def _goes_on(self) -> bool:
        """Give a sign of progress; return whether to go on."""
        self._got_on()
        return not self._stopping.is_set()
