"""What has to be before scanners may send for a site: a clean preflight, or a good reason to do without, on record.

The record of the site that was open last is replaced before the port is bound, and the audit log says before that why.
So whenever this process is killed, the record names the site of which patients may be on the scanners.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from capacitord.api.actions import CLEARED
from capacitord.errors import CapacitordError, Problem, Refused
from capacitord.link.probe import Heading, Limits, Scanner
from capacitord.model.preflight import GROUNDS, Clearance, Preflight, clearance, evidence, exempt
from capacitord.supervisor.last_open import MISSING, LastOpen

_log = logging.getLogger(__name__)
_AGAIN: Final = 1.0
"""Seconds until what could not be written down is tried again."""
FRESH: Final = 10.0
"""Seconds for which scanners that were found clean count as such: with the port shut one can get a patient, too."""


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
    ) -> None:
        self.last = MISSING
        """For which site scanners could send last, as the record says."""
        self.found: Preflight | None = None
        """The latest preflight for this activation."""
        self.problem: Problem | None = None
        """Why what is cleared could not be put on record."""
        self.scanners = tuple(scanners)
        self.limits = limits
        self.every = every
        self._record = record
        self._asker = asker
        self._journal = journal
        self._changed = changed
        self._site = ""
        self._required = True
        self._waived = ""
        self._why = ""
        self._found_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._recording: asyncio.Task[None] | None = None

    async def open(self, *, used: bool) -> None:
        """Read the record. `used` says that a site may have been open before: then a record that is missing is doubt.

        A new box gets one that says so, and needs no preflight for its first site. Raises `StorageFailed`.
        """
        self.last = await asyncio.to_thread(self._record.read)
        if self.last == MISSING and not used:
            self.last = await asyncio.to_thread(self._record.write, "")

    def begin(self, site: str, why: str) -> None:
        """Forget what was found out for another activation: this is one of `site`, for a reason in words."""
        self._site, self._why, self._waived, self.found, self.problem = site, why, "", None, None
        self._stop_asking()

    def demand(self, *, required: bool) -> None:
        """Have it that a preflight is required, or not, from now on."""
        self._required = required

    @property
    def clearance(self) -> Clearance | None:
        """Why the site may be opened for, None if it may not."""
        if not self._site:
            return None
        found = None if self._is_stale else self.found
        return clearance(self._site, self.last, found, required=self._required, waived=bool(self._waived))

    @property
    def _is_stale(self) -> bool:
        """Whether it was too long ago that all scanners were clean."""
        if self.found is None or not self.found.clean:
            return False
        return asyncio.get_running_loop().time() - self._found_at > FRESH

    @property
    def is_awaited(self) -> bool:
        """Whether the site waits for scanners to be clean."""
        return bool(self._site) and self.need(self._site, required=self._required) is not None and not self._waived

    @property
    def awaited(self) -> str:
        """Why scanners have to be clean before the site is opened for, in words; empty if they need not."""
        return (self.need(self._site, required=self._required) or "") if self.is_awaited else ""

    def need(self, site: str, *, required: bool) -> str | None:
        """Return why a site needs a preflight, in words; None if it needs none."""
        if exempt(site, self.last, required=required, waived=False) is not None:
            return None
        return self.last.doubt or f"this box was open for {self.last.site} last"

    def without(self, site: str, *, required: bool) -> str:
        """Return why a site needs no preflight, in words; empty if it needs one."""
        found = exempt(site, self.last, required=required, waived=False)
        return "" if found is None else GROUNDS[found]

    def waive(self, by: str, reason: str) -> None:
        """Do without a preflight for this activation. Raises `Refused` if it needs none, as nothing would be waived."""
        if not self.is_awaited:
            msg = f"{self._site} needs no preflight, so there is nothing to waive"
            raise Refused(msg, hint="Activate it without --waive-preflight.")
        self._waived = f"waived by {by}: {reason}"

    def take(self, found: Preflight) -> None:
        """Take note of what asking all scanners came to, whoever asked."""
        if self._asking is not None:
            self._note(found)

    def _note(self, found: Preflight) -> None:
        self.found, self._found_at = found, asyncio.get_running_loop().time()
        self._changed()

    def look(self, *, possible: bool, ready: bool) -> None:
        """Do what is to be done now.

        `possible` says that nothing stands against this site that a person would have to change; `ready` that it could
        be opened for at once, if it was cleared. Then scanners that were clean too long ago are asked anew.
        """
        if ready and self._is_stale:
            self.found = None
            self._stop_asking()
        if possible and self.is_awaited:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
        else:
            self._stop_asking()
        if ready and self._recording is None and self.clearance not in {None, Clearance.SAME}:
            self._recording = asyncio.create_task(self._put_on_record(self._site))

    async def settle(self) -> None:
        """Ask no more, and return when nothing is being put on record any more."""
        self._stop_asking()
        recording = self._recording
        if recording is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(recording)

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _ask(self) -> None:
        while True:
            found = await self._asker.remains(self.scanners, self.limits)
            if self.found is None or found.clean != self.found.clean:
                _log.info("the preflight for %s is %s", self._site, "clean" if found.clean else "not clean")
            self._note(found)
            await asyncio.sleep(self.every)

    async def _put_on_record(self, site: str) -> None:
        try:
            await self._record_it(site)
        except CapacitordError as error:
            self.problem = Problem(error.reference, f"it can't be put on record: {error.message}", hint=error.hint)
            _log.critical("%s can't be opened for: %s: %s", site, error.where, error.message)
            self._changed()
            await asyncio.sleep(_AGAIN)
        finally:
            self._recording = None
        self._changed()

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
        await self._journal(CLEARED, (site,), "; ".join(part for part in said if part))
        # Meanwhile it may be another site's turn, or the scanner have somebody again.
        if site == self._site and self.clearance is not None:
            self.last = await asyncio.to_thread(self._record.write, site)
            self.problem = None
