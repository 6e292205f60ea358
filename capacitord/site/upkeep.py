"""The runtime's recurring work: studies that have gone quiet, images that may leave the disk, what failed before."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, Problem
from capacitord.model.completeness import BY_QUIET, Completeness
from capacitord.site.soundness import OF_THE_DISK
from capacitord.spool import retention
from capacitord.spool.closer import Closed
from capacitord.spool.segment import SEGMENT_SIZE
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
EVERY: Final = 1.0
PURGE_EVERY: Final = 15.0
"""Seconds between two looks, and between two purges while there is room enough."""

_RARELY: Final = 60.0

Work = Callable[[], None]
_NOTHING: Final[Mapping[str, Work]] = MappingProxyType({})
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_LOOK: Final = "It is tried again by itself. If it goes on, look into the log: journalctl -u capacitord"


class Upkeep:
    """A thread that looks around once a second. What fails is tried again the next time; nothing ends the thread."""

    def __init__(
        self,
        spool: Spool,
        *,
        keep: Callable[[], float],
        quiet: float,
        rules: Callable[[], Completeness] = lambda: BY_QUIET,
        matches: Callable[[], bool] = lambda: False,
        closed: Callable[[Closed], None] = lambda _: None,
        got_on: Work,
        doubt: Work,
        also: Mapping[str, Work] = _NOTHING,
        rarely: Mapping[str, Work] = _NOTHING,
        every: float = EVERY,
        purge_every: float = PURGE_EVERY,
    ) -> None:
        """`keep` gives the seconds to keep delivered images; `closed` is told of each study that is complete.

        `rules` say when one is, and `quiet` is the box's own quiet time in seconds; `matches` says whether the profile
        matches studies with the worklist.

        `got_on` is called as the work gets on, `doubt` when it was the disk that failed. Other work, by what it is
        called, is done `also`, or `rarely`: once a minute, and again at the next look if it failed.
        """
        self._purge_every = purge_every
        self._spool, self._keep, self._quiet, self._closed = spool, keep, quiet, closed
        self._rules, self._matches = rules, matches
        self._got_on, self._doubt, self._every = got_on, doubt, every
        self._also, self._rarely = dict(also), dict(rarely)
        self._stopping = threading.Event()
        self._last_purge = self._last_rare = time.monotonic()
        # Replaced and never changed, so that whoever looks needs no lock.
        self._failing: Mapping[str, str] = _NONE
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    @property
    def failing(self) -> Problem | None:
        """What could not be done the last time it was tried, None if all was."""
        failing = self._failing
        if not failing:
            return None
        words = " ".join(f"It could not {what}: {why}" for what, why in failing.items())
        return Problem("upkeep-failing", f"The recurring work of this box fails. {words}", hint=_LOOK)

    def stop(self) -> None:
        """End the thread after the step it is at."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            now = time.monotonic()
            self._do("close studies", self._close_arrived)
            self._do("purge", lambda: self._purge_if_due(now))  # noqa: B023 - called at once
            for what, work in self._also.items():
                self._do(what, work)
            due = now - self._last_rare >= _RARELY
            if due:
                self._last_rare = now
            for what, work in self._rarely.items():
                if due or what in self._failing:
                    self._do(what, work)
            self._got_on()

    def _do(self, what: str, work: Work) -> None:
        """Do one kind of work. What goes on failing is said once, and so is its end."""
        try:
            work()
        except CapacitordError as error:
            words = f"{error.message} {error.hint}".rstrip()
            if isinstance(error, OF_THE_DISK):
                self._doubt()
        except Exception as error:  # noqa: BLE001 - a mistake of ours in one kind must not end the others
            words = f"An unforeseen error: {describe(error)}."
        else:
            if what in self._failing:
                LOG.warning("Upkeep can %s again.", what)
                self._failing = {other: why for other, why in self._failing.items() if other != what}
            return
        if what not in self._failing:
            LOG.error("Upkeep could not %s: %s", what, words)
        self._failing = {**self._failing, what: words}

    def _close_arrived(self) -> None:
        for closed in self._spool.close_arrived(self._quiet, self._rules(), matches=self._matches()):
            LOG.info("Study %s is closed by %s. It is %s.", closed.study, closed.event, closed.state)
            self._closed(closed)

    def _purge_if_due(self, now: float) -> None:
        space = self._spool.space
        free = space.now().free
        shortage = space.warning - free
        # Images are refused, or about to be: whatever gives room at once goes first.
        urgent = free - space.reserve < SEGMENT_SIZE
        due = now - self._last_purge >= self._purge_every
        if due or shortage > 0:
            self._purge(shortage, compact=due or urgent, urgent=urgent)
        if due:
            self._last_purge = now

    def _purge(self, shortage: int, *, compact: bool, urgent: bool) -> None:
        housekeeping = self._spool.housekeeping
        candidates = housekeeping.candidates(urgent=urgent)
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
