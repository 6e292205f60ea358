"""One site, served: its profile, its key, its runtime and the gate in front of it, kept in line with each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from capacitord.api import messages as m
from capacitord.api.actions import UNCHOSEN
from capacitord.config.box import Box
from capacitord.config.profile import Profile as Document
from capacitord.errors import CapacitordError, Problem
from capacitord.link import messages as link
from capacitord.location.evidence import seconds
from capacitord.model.following import Word
from capacitord.model.preflight import is_required
from capacitord.model.states import GateState
from capacitord.supervisor import following, settings
from capacitord.supervisor.active_site import ActiveSite, Choice
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.briefing import Briefing
from capacitord.supervisor.brokerage import Broker
from capacitord.supervisor.clearing import Clearing, Journal
from capacitord.supervisor.drain_record import DrainRecords
from capacitord.supervisor.drains import Drains, Surroundings
from capacitord.supervisor.erasing import Erasures
from capacitord.supervisor.events import Hub
from capacitord.supervisor.gate import Facts, is_possible
from capacitord.supervisor.gatekeeper import Gatekeeper
from capacitord.supervisor.holdings import Holdings, held_of
from capacitord.supervisor.keeper import RuntimeKeeper
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.last_open import LastOpen
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.overflow import Overflow
from capacitord.supervisor.probing import Prober
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.profiles import ProfileStore, Stored
from capacitord.supervisor.provision import Provision, is_empty
from capacitord.supervisor.reporter import Reporter
from capacitord.supervisor.resuming import has_spools, known_place, last_choice

_log = logging.getLogger(__name__)
_WAITING: Final = frozenset({m.RuntimeState.ABSENT, m.RuntimeState.BACKOFF})


class Serving:
    """What the box does for the site that is active, if one is. `gate_changed` is called with every change of the gate.

    One site at a time: the runtime of one is gone before that of another is started, each with its own key and spool.
    `probe` starts the process that asks scanners, `journal` writes what is done into the audit log. `clock` is a
    monotonic one, in seconds, that goes on while the machine sleeps.
    """

    def __init__(
        self,
        box: Box,
        launcher: Launcher,
        bounds: Bounds,
        gate_changed: Callable[[m.Gate], None],
        *,
        probe: Launcher,
        journal: Journal,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self.hub = Hub(bounds.streams)
        self.did: Callable[[link.Deed], None] = _nowhere
        """Is told what the site does by itself."""
        self.keys = Keys(box.state / "keys", box.keys.source)
        self.erasures = Erasures(box.state / "erasing", box.state / "sites", self.keys.erase_site)
        self.profiles = ProfileStore(box.state / "profiles")
        self.chosen = ActiveSite(box.state / "active-site")
        self.keeper = RuntimeKeeper(launcher, bounds, changed=self._runtime_changed, received=self._received)
        self.reporter = Reporter(self.keeper, bounds.status_answer, bounds.status_old)
        self.broker = Broker(self.keeper, settings.own_ports(box))
        self.briefing = Briefing(self.keeper, self.broker, box.modality)
        self.provision = Provision(box, self.keys, self.erasures)
        self.holdings = Holdings(self.profiles)
        self.prober = Prober(probe)
        self.clearing = Clearing(
            LastOpen(box.state / "last-open"),
            self.prober,
            settings.scanners(box),
            settings.limits_of_answers(box.preflight),
            every=box.preflight.every,
            journal=journal,
            changed=self.look,
            clock=clock,
        )
        self.drains = Drains(
            Surroundings(
                active=lambda: self.site,
                key_problem=lambda: self.keys.problem,
                is_empty=lambda site: is_empty(self.provision.folder_of(site)),
                start_of=self.provision.start_of,
                told=self.holdings.told,
                remember=lambda site, now: self.holdings.remember(site, held_of(now)),
                did=self._done,
                own_ports=settings.own_ports(box),
                journal=journal,
            ),
            profiles=self.profiles,
            records=DrainRecords(box.state / "draining"),
            launcher=launcher,
            bounds=bounds,
            hub=self.hub,
        )
        self.overflow = Overflow(
            box.state / "sites",
            lambda total: settings.limits(box.spool, total).reserve,
            lambda: {self.site: self.keeper, **self.drains.keepers} if self.site else self.drains.keepers,
        )
        self.whereabouts: following.Whereabouts | None = None
        self.gatekeeper = Gatekeeper(
            (box.storage.address, box.storage.port),
            (box.worklist.address or box.storage.address, box.worklist.port),
            self.keeper,
            facts=self._facts,
            changed=gate_changed,
            opened=self.clearing.opened,
            again=self.look,
            retry=bounds.bind_retry,
            grace=bounds.grace,
        )
        self.site = ""
        """The site that is active, empty if there is none."""
        self.choice = Choice("")
        """Which site was chosen last, and by whom."""
        self.stored: Stored | None = None
        self.profile_problem: Problem | None = None
        self.astray: Problem | None = None
        """Why the box cannot serve the site at which it is; the one that is active is shut then."""
        self.looked_around = asyncio.Event()
        """Set whenever the profiles were read back, as they are after each change."""
        self.launcher = launcher
        self.bounds = bounds
        self._box = box
        self._journal = journal
        self._grace = bounds.grace
        self._pulse = bounds.pulse
        self._stopping = False
        self._leaving = ""
        self._next: Choice | None = None

    async def open(self, passphrase: str | None) -> None:
        """Read the profiles and take the box key; what does not work out is the gate's reason to stay shut."""
        try:
            self.choice = await self._resume()
        except CapacitordError as error:
            await self._lose_choice(error)
        self.site = self.choice.site
        if self.whereabouts is not None:
            self.whereabouts.begin(known_place(self.choice))
        self._begin()
        try:
            if self.site:
                self.stored = await asyncio.to_thread(self.profiles.read, self.site)
        except CapacitordError as error:
            self.profile_problem = error.problem()
            _log.error("%s: %s", error.where, error.message)
        await self.look_around()
        await self.take_key(passphrase)

    async def _resume(self) -> Choice:
        """Return what was chosen in the last life of this box. Raises `CapacitordError` if nobody knows."""
        spools = await asyncio.to_thread(has_spools, self._box.state / "sites")
        await self.clearing.open(used=spools or self.chosen.exists())
        return await asyncio.to_thread(last_choice, self.chosen, self.profiles, self.clearing.last, spools=spools)

    async def _lose_choice(self, error: CapacitordError) -> None:
        """Have the box shut until somebody chooses: a person may have parked it."""
        self.profile_problem = error.problem()
        self.choice = Choice("", lost=self.profile_problem)
        _log.error("%s: %s", error.where, error.message)
        try:
            await self._journal(UNCHOSEN, (), f"{error.message}; it stays shut until somebody chooses")
        except CapacitordError as failed:
            _log.critical("the audit log took no entry about that: %s", failed.message)

    async def look_around(self) -> None:
        """Read all profiles back, and take note of the other sites: which are damaged, and what their spools hold."""
        await self.holdings.look_around(self.site)
        await self.drains.take_stock()
        self.looked_around.set()

    async def take_key(self, passphrase: str | None) -> None:
        """Unlock the box key where that takes no more than what is at hand."""
        try:
            await self.keys.unlock(passphrase)
        except CapacitordError as error:
            _log.warning("%s", error.message)
        self.consider()

    def written(self, deeds: tuple[str, ...]) -> None:
        """Say to all sites which deeds have their entries; a runtime that does not hear it tells of them again."""
        for keeper in (self.keeper, *self.drains.keepers.values()):
            with contextlib.suppress(CapacitordError):
                keeper.send(link.Written(deeds))

    def _done(self, deed: link.Deed) -> None:
        self.did(deed)

    def consider(self) -> None:
        """Start what can be started now, and bring the gate in line."""
        able = self.stored is not None and self.keys.problem is None and not (self._stopping or self._leaving)
        if able and self.keeper.state in _WAITING:
            self.keeper.want(self._plan)
        self.drains.consider()
        self.briefing.tell(self.stored)
        self.look()

    def look(self) -> None:
        """Bring the clearance of the site and the gate in line with what is known."""
        if self.stored is not None:
            self.clearing.demand(required=self.requires(self.stored.profile))
        facts = self._facts()
        self.clearing.look(possible=is_possible(facts), ready=self.gatekeeper.can_open(facts))
        self.gatekeeper.look()

    def requires(self, profile: Document) -> bool:
        """Tell whether a preflight is required before the box opens for the site of this profile."""
        table = profile.preflight
        return is_required(self._box.preflight.required, None if table is None else table.required)

    @property
    def may_waive(self) -> bool:
        """Whether a person may do without a preflight, for one activation."""
        return self._box.preflight.waiver

    @property
    def follows(self) -> bool:
        """Whether the box follows the evidence of where it is, unless a person said otherwise."""
        return following.follows(self.whereabouts)

    def would_follow(self, profiles: Sequence[Document]) -> bool:
        """Tell whether the box follows the evidence once it has these profiles, too."""
        return following.would_follow(self.whereabouts, self._box.location, profiles)

    @property
    def override(self) -> bool:
        """Whether a person's word stands against the evidence."""
        return following.is_override(self.whereabouts, self.choice)

    @property
    def word(self) -> Word:
        """What was said last of which site to serve."""
        return Word(self.site, self.override or self.choice.lost is not None)

    @property
    def is_open(self) -> bool:
        """Whether the gate is open for the site."""
        return self.gatekeeper.gate.state is GateState.OPEN

    def take(self, stored: Stored) -> None:
        """Have the runtime act on another version of the profile of the site that is active."""
        self.stored, self.profile_problem = stored, None
        self.consider()

    async def note(self, chosen: m.Chosen) -> None:
        """Put down who chose the site that is served, or none, from now on. Raises `StorageFailed` or `OutOfSpace`."""
        choice = Choice(self.site, chosen)
        await self._put_down(choice)
        if self.choice.lost is not None:
            self.profile_problem = None
        self.choice, self.astray = choice, None
        self.consider()

    async def go_over(self, choice: Choice, stored: Stored | None) -> None:
        """Serve another site from now on, or none; return when the runtime of the one before has gone.

        The port is shut first. Then the record names the new site, so that whatever happens from there on, a restart
        serves that one. Open associations finish within the grace, and their images are the old site's. Raises
        `StorageFailed` or `OutOfSpace`; then the old site is served on.
        """
        site = choice.site
        self._leaving, self._next = following.going(choice), choice
        self.look()
        try:
            await self.clearing.settle()
            await self._put_down(choice)
        except CapacitordError:
            self._leaving, self._next = "", None
            self.consider()
            raise
        before, held = self.site, await self._held()
        async with self.drains.without(site):
            await self.keeper.stop(self._grace)
            # Only now: until here a runtime was there that would have acted on it.
            self.site, self.choice, self.stored = site, choice, stored
            self.profile_problem = self.astray = None
            self._begin()
        await self.holdings.remember(before, held)
        await self.holdings.remember(site, None)
        await self.look_around()
        self._leaving, self._next = "", None
        self.hub.say("site-active", f"{site} is active" if site else "no site is active")
        self.consider()

    async def _put_down(self, choice: Choice) -> None:
        """Put down what is chosen; if that fails, a restart goes by what was chosen before, as we do until then."""
        try:
            await asyncio.to_thread(self.chosen.write, choice)
        except CapacitordError:
            try:
                # The record can have its name already, and only its folder not be synced.
                if await asyncio.to_thread(self.chosen.read) == choice:
                    await asyncio.to_thread(self.chosen.write, self.choice)
            except CapacitordError as error:
                _log.critical("after a restart it may be %s that is served: %s", choice.site or "none", error.message)
            raise

    @property
    def grounds(self) -> str:
        """Who chose the site that is served, or that none is, and why, in words; empty if nobody did.

        While the box goes over, this is about where it goes to.
        """
        chosen = (self._next or self.choice).chosen
        if chosen is None or (self._next is not None and not chosen.by_person):
            # Why it goes is what the gate says then.
            return ""
        return f"chosen by {chosen.by}: {chosen.reason}".removesuffix(": ")

    def _begin(self) -> None:
        """Begin anew with what the site that is served now needs to be opened for."""
        self.clearing.begin(self.site, self.grounds)

    async def _held(self) -> Held | None:
        """Return what the spool holds now; None if nobody knows, or an association is open that may add to it."""
        now = await self.reporter.traffic()
        if now is None or now.incoming:
            return None
        return held_of(now)

    async def pulse(self) -> None:
        """Look again every few seconds at what changes without saying so, until cancelled."""
        while True:
            await asyncio.sleep(self._pulse)
            await asyncio.gather(self.reporter.traffic(), self.drains.ask())
            self.drains.consider()
            self.briefing.tell(self.stored)
            self.look()

    async def stop(self) -> None:
        """Shut the gate and have the runtime finish what is open, within the bound."""
        self._stopping = True
        self.look()
        await self.clearing.settle()
        await asyncio.gather(self.keeper.stop(self._grace), self.drains.stop())
        await self.prober.stop()
        self.look()
        self.hub.close()

    def _facts(self) -> Facts:
        reporter, traffic = self.reporter, self.reporter.current
        return Facts(
            profile="" if self.stored is None else self.stored.profile.id,
            profile_problem=self.astray or self.profile_problem,
            key_problem=self.keys.problem,
            runtime=self.keeper.state,
            runtime_problem=self.keeper.problem,
            disk=None if traffic is None else traffic.disk,
            trouble=reporter.trouble,
            heard=reporter.heard,
            silent=reporter.silent,
            stopping=self._stopping,
            leaving=self._leaving,
            incoming=0 if traffic is None else len(traffic.incoming),
            grace=self._grace,
            others=self.others,
            parked=self.choice.parked,
            worklist=self.briefing.has_worklist,
            clearance=self.clearing.clearance,
            awaited=self.clearing.awaited,
            preflight=self.clearing.found,
            every=self.clearing.every,
            record_problem=self.clearing.problem,
            nowhere=following.nowhere(self.whereabouts, self.choice),
            torn=following.is_torn(self.whereabouts),
            against=following.against(self.whereabouts, self.choice),
            waived=self.clearing.waived,
            unsure=following.unsure(self.whereabouts, self.choice, self.site, is_open=self.is_open),
        )

    async def _plan(self) -> link.Start:
        """Return what the runtime is started with. Raises `CapacitordError` if the site's key can't be had."""
        if self.stored is None:
            msg = "no site is active"
            raise CapacitordError(msg, hint="Choose one: fluxctl site activate SITE")
        start = await self.provision.start_of(self.stored)
        self.briefing.began(start.profile)
        return start

    @property
    def elsewhere(self) -> Mapping[str, Held]:
        """What the spools of other sites held when those were last served, as far as that is known."""
        return self.holdings.elsewhere

    @property
    def others(self) -> int:
        """How many other sites could be activated."""
        return self.holdings.others

    def _runtime_changed(self) -> None:
        state = self.keeper.state
        self.hub.say("runtime", f"the site's runtime is {state}")
        if state is m.RuntimeState.RUNNING:
            self.reporter.began()
        else:
            self.broker.drop()
            self.reporter.forget()
        self.briefing.tell(self.stored)
        self.look()

    def _received(self, message: link.FromRuntime) -> None:
        match message:
            case link.Ready():
                # What it found it has written into the log itself.
                _log.info("the runtime is ready after %.2f s", message.seconds)
            case link.Connect():
                self.broker.ask(message)
            case link.StatusReport():
                self.reporter.arrived(message)
                self.look()
            case link.Note():
                # The runtime has written it into the log itself.
                self.hub.note(
                    m.NoteEvent(message.at, message.reference, message.message, message.study, message.destination)
                )
            case link.Deed():
                self.did(message)
            case link.Heartbeat():
                self.reporter.beat(message)
                self.look()
            case link.Failed():
                pass


def _nowhere(deed: link.Deed) -> None:
    _log.error("nobody writes down what the site did: %s", deed.action)
