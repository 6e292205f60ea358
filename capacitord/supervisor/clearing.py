"""What has to be before scanners may send for a site: a clean preflight, or a good reason to do without, on record.

The record of the site that was open last is replaced before the port is bound, and the audit log says before that why.
So whenever this process is killed, the record names the site of which patients may be on the scanners. While the port
cannot be bound nothing is put on record: what clears a site would count for hours then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

from capacitord.api.actions import CLEARED, WAIVED
from capacitord.errors import CapacitordError, Problem, Refused
from capacitord.link.probe import Heading, Limits, Scanner
from capacitord.location.evidence import seconds
from capacitord.model.preflight import GROUNDS, Clearance, Last, Preflight, clearance, evidence, exempt, failed
from capacitord.supervisor.last_open import UNKNOWN, LastOpen
from capacitord.supervisor.openings import FRESH, Openings

_log = logging.getLogger(__name__)
_AGAIN: Final = 1.0
"""Seconds until what could not be written down is tried again."""
_OUR_ERROR: Final = "No scanner could be asked because of an error in this program."


class Journal(Protocol):
    """What writes into the audit log."""

    def __call__(self, action: str, subjects: tuple[str, ...], detail: str) -> Awaitable[None]:
        """Write an entry; it is on stable storage on return. Raises `StorageFailed` or `OutOfSpace`."""
        ...


class Asker(Protocol):
    """What asks scanners."""

    async def remains(
        self, scanners: Sequence[Scanner], limits: Limits, heading: Heading = ..., stream: int | None = None
    ) -> Preflight:
        """Ask scanners what is on them."""
        ...


class Clearing:
    """The clearance of the site that is served. `changed` is called when there is news of it.

    Scanners are asked as long as a site waits for nothing else but that they are clean, again every `every` seconds.
    `clock` is a monotonic one, in seconds.
    """

    def __init__(
        self,
        record: LastOpen,
        asker: Asker,
        scanners: Sequence[Scanner],
        limits: Limits,
        *,
        every: float,
        journal: Journal,
        changed: Callable[[], None],
        clock: Callable[[], float] = seconds,
    ) -> None:
        self.found: Preflight | None = None
        """The latest preflight for this activation."""
        self.problem: Problem | None = None
        """Why what is cleared could not be put on record."""
        self.scanners = tuple(scanners)
        self.limits = limits
        self.every = every
        self._openings = Openings(record, clock)
        self._asker = asker
        self._journal = journal
        self._changed = changed
        self._clock = clock
        self._site = ""
        self._required = True
        self._waived = self._waived_by = ""
        self._why = ""
        self._found_at = 0.0
        self._journalled: set[tuple[str, str]] = set()
        """What the audit log says of this activation, so that a record that is tried again is told of once."""
        self._questions = self._answered = 0
        self._asking: asyncio.Task[None] | None = None
        self._recording: asyncio.Task[None] | None = None

    async def open(self, *, used: bool) -> None:
        """Read the record. `used` says that a site may have been open before: then a record that is missing is doubt.

        A new box gets one that says so, and needs no preflight for its first site. Raises `StorageFailed` or
        `OutOfSpace`.
        """
        await self._openings.read(used=used)

    @property
    def last(self) -> Last:
        """For which site scanners could send last."""
        return self._openings.last

    async def take_over(self) -> None:
        """Take it that this box is in the place of another, whose last site nobody knows, if it had none itself.

        Raises `StorageFailed` or `OutOfSpace`.
        """
        if self.last == Last():
            await self._openings.doubt(UNKNOWN)

    def begin(self, site: str, why: str) -> None:
        """Forget what was found out for another activation: this is one of `site`, for a reason in words."""
        self._site, self._why, self.problem = site, why, None
        self._waived = self._waived_by = ""
        self._journalled.clear()
        self._openings.let_go()
        self._stop_asking()
        self._forget()

    def opened(self) -> None:
        """Take note that the port is open for the site that is cleared."""
        self._openings.opened()

    def demand(self, *, required: bool) -> None:
        """Have it that a preflight is required, or not, from now on."""
        self._required = required

    @property
    def clearance(self) -> Clearance | None:
        """Why the site may be opened for, None if it may not."""
        if not self._site:
            return None
        if self._openings.is_named(self._site):
            return Clearance.SAME
        found = None if self._is_stale else self.found
        why = clearance(self._site, self.last, found, required=self._required, waived=bool(self._waived))
        return Clearance.AGAIN if why is Clearance.SAME else why

    @property
    def _is_stale(self) -> bool:
        """Whether it was too long ago that all scanners were clean."""
        if self.found is None or not self.found.clean:
            return False
        return self._clock() - self._found_at > FRESH

    @property
    def is_awaited(self) -> bool:
        """Whether the site waits for scanners to be clean."""
        return bool(self._site) and self.need(self._site, required=self._required) is not None and not self._waived

    @property
    def awaited(self) -> str:
        """Why scanners have to be clean before the site is opened for, in words; empty if they need not."""
        return (self.need(self._site, required=self._required) or "") if self.is_awaited else ""

    @property
    def waived(self) -> str:
        """Who waived the preflight for this activation; empty if nobody did."""
        return self._waived_by

    def need(self, site: str, *, required: bool) -> str | None:
        """Return why a site needs a preflight, in words; None if it needs none."""
        if self._openings.is_named(site) or exempt(site, self.last, required=required, waived=False) is not None:
            return None
        return self.last.doubt or f"this box was open for {self.last.site} last"

    def without(self, site: str, *, required: bool) -> str:
        """Return why a site needs no preflight, in words; empty if it needs one."""
        found = exempt(site, self.last, required=required, waived=False)
        return "" if found is None else GROUNDS[found]

    def demand_waivable(self) -> None:
        """Raise `Refused` if this activation needs no preflight, as nothing would be waived."""
        if self.is_awaited:
            return
        msg = f"{self._site} needs no preflight, so there is nothing to waive"
        if self._waived:
            msg = f"the preflight is waived already, by {self._waived_by}"
        raise Refused(msg, hint="Activate it without --waive-preflight.")

    def waive(self, by: str, reason: str) -> None:
        """Do without a preflight for this activation. Raises `Refused` as `demand_waivable` does."""
        self.demand_waivable()
        self._waived, self._waived_by = f"waived by {by}: {reason}", by

    def question(self) -> int:
        """Return a number for a question that is put to all scanners now; `take` wants it with the answer."""
        self._questions += 1
        return self._questions

    def take(self, found: Preflight, question: int) -> None:
        """Take note of what asking all scanners came to, whoever asked.

        Asking takes a while. What was asked before this activation began, or before the question of which the answer
        is known, says nothing of who is on a scanner now.
        """
        if self._asking is None or question <= self._answered:
            return
        if self.found is None or found.clean != self.found.clean:
            _log.info("the preflight for %s is %s", self._site, "clean" if found.clean else "not clean")
        self.found, self._answered = found, question
        self._found_at = self._clock()
        self._changed()

    def look(self, *, possible: bool, ready: bool) -> None:
        """Do what is to be done now.

        `possible` says that nothing stands against this site that a person would have to change; `ready` that it could
        be opened for at once, port included, if it was cleared. Then scanners that were clean too long ago are asked
        anew.
        """
        if ready and self._is_stale:
            self._forget()
            self._stop_asking()
        if possible and self.is_awaited:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
        else:
            self._stop_asking()
            if not self._waived:
                # When it is needed again, somebody may be on a scanner who was not.
                self._forget()
        if self._recording is not None:
            return
        if ready and self.clearance not in {None, Clearance.SAME}:
            self._recording = asyncio.create_task(self._put_on_record(partial(self._record_it, self._site)))
        elif self._openings.is_wrong:
            self._recording = asyncio.create_task(self._put_on_record(self._put_right))

    async def settle(self) -> None:
        """Ask no more, and return when nothing is being put on record any more."""
        self._stop_asking()
        if self._recording is not None:
            await asyncio.wait({self._recording})

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _forget(self) -> None:
        self.found, self._answered = None, self._questions

    async def _ask(self) -> None:
        while True:
            question = self.question()
            try:
                found = await self._asker.remains(self.scanners, self.limits)
            except Exception as error:  # noqa: BLE001 - scanners that could not be asked are not clean, whatever it was
                _log.critical("the scanners could not be asked: %s", type(error).__name__)
                found = failed([each.ae_title for each in self.scanners], _OUR_ERROR)
            self.take(found, question)
            await asyncio.sleep(self.every)

    async def _put_on_record(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except CapacitordError as error:
            self.problem = Problem(error.reference, f"it can't be put on record: {error.message}", hint=error.hint)
            _log.critical("which site is open can't be put on record: %s: %s", error.where, error.message)
            self._changed()
            await asyncio.sleep(_AGAIN)
        finally:
            self._recording = None
        self._changed()

    async def _put_right(self) -> None:
        await self._openings.put_right()
        self.problem = None

    async def _record_it(self, site: str) -> None:
        cleared = self.clearance
        if cleared is None:
            return
        said = [self._why, f"cleared, as {GROUNDS[cleared]}"]
        if self.last.doubt or self.last.site:
            said.append(self.last.doubt or f"open last: {self.last.site}")
        if cleared is Clearance.WAIVED:
            said.append(self._waived)
        if self.found is not None:
            said.append(evidence(self.found))
        words = "; ".join(part for part in said if part)
        # A waiver has an entry of its own, so that all there ever were are found at once.
        for action in (WAIVED, CLEARED) if cleared is Clearance.WAIVED else (CLEARED,):
            if (action, words) not in self._journalled:
                await self._journal(action, (site,), words)
                self._journalled.add((action, words))
        # Meanwhile it may be another site's turn, or the scanner have somebody again.
        if site != self._site or self.clearance is None:
            self._journalled.clear()
            return
        await self._openings.name(site, lambda: self.clearance is not None)
        if self.clearance is None:
            self._journalled.clear()
        self.problem = None
