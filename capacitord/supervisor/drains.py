"""The sites that the box has left and that go on delivering, each by a runtime of its own: `draining` decides which.

The spool of a site is one runtime's. So the one here is gone before another is started: `without` sees to that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from capacitord.api.actions import ABANDONED
from capacitord.api.draining import told
from capacitord.api.messages import Draining, SiteStatus
from capacitord.errors import CapacitordError, OutOfSpace, Problem, StorageFailed
from capacitord.link import messages as link
from capacitord.location.evidence import seconds
from capacitord.model.delivery import Inactive
from capacitord.supervisor import draining
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.clearing import Journal
from capacitord.supervisor.drain import Drain, StartOf
from capacitord.supervisor.drain_record import DrainRecords
from capacitord.supervisor.events import Hub
from capacitord.supervisor.keeper import RuntimeKeeper
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.profiles import ProfileStore, Stored

_log = logging.getLogger(__name__)
_NOT_SAID: Final = "its profile does not say drain"
_EVER: Final = datetime.min.replace(tzinfo=UTC)


class Candidate(NamedTuple):
    """A site whose profile says drain: since when it does, None if nobody knows, and whether anything can leave."""

    stored: Stored
    began: datetime | None
    spent: bool


class Surroundings(NamedTuple):
    """What of the box has to do with its sites that are not active; `key_problem` is why keys can't be had, if so."""

    active: Callable[[], str]
    key_problem: Callable[[], Problem | None]
    is_empty: Callable[[str], bool]
    """Whether the spool of a site holds nothing at all; blocks on the disk."""
    start_of: StartOf
    told: Callable[[str, SiteStatus], None]
    """Called with what a spool holds when that is known."""
    remember: Callable[[str, SiteStatus], Awaitable[None]]
    """Writes down what a spool holds, for the next life."""
    did: Callable[[link.Deed], None]
    """Called with what a site does by itself."""
    own_ports: Collection[int]
    """The ports at which this box takes images in and answers scanners."""
    journal: Journal
    """Writes into the audit log."""


class Drains:
    """All of them. `consider` may be called at any time, from the loop."""

    def __init__(
        self,
        box: Surroundings,
        *,
        profiles: ProfileStore,
        records: DrainRecords,
        launcher: Launcher,
        bounds: Bounds,
        hub: Hub,
    ) -> None:
        self._box, self._profiles, self._records = box, profiles, records
        self._launcher, self._bounds, self._hub = launcher, bounds, hub
        self._stock: dict[str, Candidate] = {}
        self._since: dict[str, float] = {}
        """Since when each is known to drain in this life, by a clock that nobody sets."""
        self._drains: dict[str, Drain] = {}
        self._off: set[str] = set()
        self._said: dict[str, str] = {}
        self._gave_way: dict[str, float] = {}
        self._stopping = self._again = False
        self._one_stock_taking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what there is

    async def take_stock(self) -> None:
        """Read which sites may drain, as their profiles and the records say; call it when any of that changes."""
        async with self._one_stock_taking:
            active = self._box.active()
            # What was known of one that is active since does not hold when it is left again.
            before = {site: known for site, known in self._stock.items() if site != active}
            self._again = False
            found = await asyncio.to_thread(self._read, active, before)
            for site, now in found.items():
                known = before.get(site)
                if known is not None and known.spent and known.stored == now.stored:
                    found[site] = now._replace(spent=True)
            self._stock = found
            self._since = {site: self._since.get(site, seconds()) for site in found}

    def _read(self, active: str, before: dict[str, Candidate]) -> dict[str, Candidate]:
        found: dict[str, Candidate] = {}
        try:
            sites = self._profiles.sites()
            self._records.keep_only(sites)
        except CapacitordError as error:
            _log.error("which sites drain can't be found out: %s: %s", error.where, error.message)
            self._again = True
            return before
        for site in sites:
            try:
                if site == active:
                    self._records.forget(site)
                    continue
                stored = self._profiles.read(site)
                if not stored.profile.delivery.when_inactive.drains:
                    continue
                if self._box.is_empty(site):
                    continue
                held = self._profiles.last(site)
                spent = held is not None and not held.undelivered_images and not held.unrouted_images
                began = None if spent else self._began(site)
            except (StorageFailed, OutOfSpace) as error:
                _log.error("whether %s drains can't be found out now: %s: %s", site, error.where, error.message)
                self._again = True
                if site in before:
                    found[site] = before[site]
            except CapacitordError as error:
                # What can't be understood says nothing, and what says nothing does not drain.
                _log.error("%s does not drain: %s: %s", site, error.where, error.message)
            else:
                found[site] = Candidate(stored, began, spent)
        return found

    def _began(self, site: str) -> datetime | None:
        """Return since when a site drains, None if nobody knows: a full disk keeps nothing from leaving."""
        try:
            return self._records.begin(site, datetime.now(UTC))
        except CapacitordError as error:
            _log.error("since when %s drains can't be written down: %s: %s", site, error.where, error.message)
            return None

    def facts(self, site: str) -> draining.Facts | None:
        """Return what is known of a site, None if nothing of it may drain."""
        found = self._stock.get(site)
        if found is None or site == self._box.active() or site in self._off:
            return None
        running = [each for each, drain in self._drains.items() if not drain.ending]
        return draining.Facts(
            found.stored.profile.delivery.when_inactive,
            found.began,
            datetime.now(UTC),
            spent=found.spent,
            key_problem=self._box.key_problem(),
            stopping=self._stopping,
            turn=site in running or len(running) < self._bounds.drains,
            ran=seconds() - self._since[site],
        )

    # --- what becomes of it

    def consider(self) -> None:
        """Begin what is to drain now, and end what is not."""
        self._make_room()
        for site in sorted({*self._stock, *self._drains}, key=self._turn):
            facts, drain = self.facts(site), self._drains.get(site)
            verdict = None if facts is None else draining.verdict(facts)
            if verdict is not None and verdict.drains:
                if drain is None:
                    self._begin(site)
                elif not drain.ending:
                    drain.take(self._stock[site].stored)
                    self._look_at(site, drain)
            elif drain is not None and not drain.ending:
                reason = _NOT_SAID if verdict is None else verdict.reason
                if not (self._stopping or (verdict is not None and verdict.waits)):
                    self._abandon_soon(site, drain, reason)
                self._end_soon(site, drain, reason)
        self._say()

    def _turn(self, site: str) -> tuple[float, datetime, str]:
        """Return what sites are sorted by: those that began first come first, and who gave way comes after them."""
        found = self._stock.get(site)
        began = _EVER if found is None or found.began is None else found.began
        return (self._gave_way.get(site, 0.0), began, site)

    def _make_room(self) -> None:
        """Have sites of which nothing leaves give way to others that wait for nothing but their turn."""
        all_facts = [facts for site in self._stock if (facts := self.facts(site)) is not None]
        waiting = sum(1 for facts in all_facts if draining.verdict(facts).reason == draining.OTHERS_FIRST)
        still = {site: drain.runner.still for site, drain in self._drains.items() if not drain.ending}
        for site in draining.giving_way(still, waiting, self._bounds.drain_still):
            self._gave_way[site] = asyncio.get_running_loop().time()
            self._end_soon(site, self._drains[site], "nothing leaves, and other sites wait for their turn")

    def _begin(self, site: str) -> None:
        _log.info("%s is not active, and its images go on leaving", site)
        self._drains[site] = Drain(
            self._stock[site].stored,
            self._box.start_of,
            self._launcher,
            self._bounds,
            changed=self.consider,
            did=self._box.did,
            own_ports=self._box.own_ports,
        )

    def _look_at(self, site: str, drain: Drain) -> None:
        """Take note of how far a drain is, and that nothing is left."""
        now = drain.traffic
        if now is None or drain.left is None:
            return
        self._box.told(site, now)
        if draining.over(drain.runner, self._bounds.drain_still):
            self._stock[site] = self._stock[site]._replace(spent=True)
            self._abandon_soon(site, drain, "nothing is left that can leave")
            self._end_soon(site, drain, "nothing is left that can leave")

    def _end_soon(self, site: str, drain: Drain, reason: str) -> None:
        drain.ending = True
        self._soon(self._end(site, reason))

    def _abandon_soon(self, site: str, drain: Drain, reason: str) -> None:
        """Have it in the audit log that a site does not drain any more, unless nothing is left of it."""
        left = drain.left
        if left is None or left.images:
            rest = "nobody knows how much is left" if left is None else f"{left.images:,} images left"
            self._soon(self._write(site, f"{reason}; {rest}"))

    async def _write(self, site: str, words: str) -> None:
        try:
            await self._box.journal(ABANDONED, (site,), words)
        except CapacitordError as error:
            _log.critical("the audit log took no entry about the drain of %s: %s", site, error.message)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, site: str, reason: str = "") -> None:
        """Return when what drains a site has finished. Any number of callers may wait for that."""
        drain = self._drains.get(site)
        if drain is None:
            return
        now = drain.traffic
        await drain.end(self._bounds.grace)
        if self._drains.get(site) is drain:
            del self._drains[site]
        if reason:
            self._hub.say("drain-over", f"{site} does not drain any more: {reason}")
            _log.info("%s does not drain any more: %s", site, reason)
        if now is not None:
            await self._box.remember(site, now)

    async def ask(self) -> None:
        """Ask each how far it is, and look again at what the disk did not tell."""
        if self._again:
            await self.take_stock()
        await asyncio.gather(*(drain.look() for drain in self._drains.values() if not drain.ending))

    @asynccontextmanager
    async def without(self, site: str) -> AsyncIterator[None]:
        """Have nothing of a site drain within the block; what did has finished when that begins."""
        self._off.add(site)
        try:
            await self._end(site)
            yield
        finally:
            self._off.discard(site)

    async def stop(self) -> None:
        """End all, within the grace."""
        self._stopping = True
        await asyncio.gather(*(self._end(site) for site in [*self._drains]))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """End all processes now. Nothing they delivered is forgotten by that."""
        for drain in self._drains.values():
            drain.keeper.kill()

    @property
    def keepers(self) -> dict[str, RuntimeKeeper]:
        """The runtimes that drain, by site."""
        return {site: drain.keeper for site, drain in self._drains.items()}

    # --- what is said of it

    def manner(self, site: str) -> Inactive:
        """Return what becomes of what waits at a site that is not active, as far as that is known."""
        found = self._stock.get(site)
        return Inactive() if found is None else found.stored.profile.delivery.when_inactive

    def shown(self) -> tuple[Draining, ...]:
        """Return all sites that drain or wait to, by their ids."""
        found = []
        for site in sorted({*self._stock}):
            facts, drain = self.facts(site), self._drains.get(site)
            if facts is None:
                continue
            runner = None if drain is None or drain.ending else drain.runner
            each = draining.shown(site, facts, draining.verdict(facts), runner, patience=self._bounds.drain_still)
            if each is not None:
                found.append(each)
        return tuple(found)

    def _say(self) -> None:
        """Tell watchers of a site that begins to drain, or does not get on."""
        for each in self.shown():
            state = f"{each.state}: {each.hint}"
            if self._said.get(each.site) != state:
                self._said[each.site] = state
                words = told(each) + (f": {each.reason}" if each.reason else "")
                self._hub.say("drain", words)
                _log.info("%s", words)
