"""One site, served: its profile, its key, its runtime and the gate in front of it, kept in line with each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capacitord.api import messages as m
from capacitord.config.box import Box
from capacitord.config.in_force import in_force
from capacitord.errors import CapacitordError, Problem, StorageFailed
from capacitord.link import messages as link
from capacitord.model.profile import Profile
from capacitord.supervisor import files, settings
from capacitord.supervisor.active_site import ActiveSite, Choice
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.brokerage import Broker, peers_of
from capacitord.supervisor.events import Hub
from capacitord.supervisor.gate import Facts
from capacitord.supervisor.gatekeeper import Gatekeeper
from capacitord.supervisor.keeper import RuntimeKeeper
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.profiles import ProfileStore, Stored
from capacitord.supervisor.reporter import Reporter

_log = logging.getLogger(__name__)
_WAITING: Final = frozenset({m.RuntimeState.ABSENT, m.RuntimeState.BACKOFF})


class Serving:
    """What the box does for the site that is active, if one is. `gate_changed` is called with every change of the gate.

    One site at a time: the runtime of one is gone before that of another is started, each with its own key and spool.
    """

    def __init__(
        self, box: Box, command: Sequence[str], bounds: Bounds, gate_changed: Callable[[m.Gate], None]
    ) -> None:
        self.hub = Hub(bounds.streams)
        self.did: Callable[[link.Deed], None] = _nowhere
        """Is told what the site does by itself."""
        self.keys = Keys(box.state / "keys", box.keys.source)
        self.profiles = ProfileStore(box.state / "profiles")
        self.chosen = ActiveSite(box.state / "active-site")
        self.keeper = RuntimeKeeper(command, bounds, changed=self._runtime_changed, received=self._received)
        self.reporter = Reporter(self.keeper, bounds.status_answer, bounds.status_old)
        self.broker = Broker(self.keeper)
        self.gatekeeper = Gatekeeper(
            (box.storage.address, box.storage.port),
            (box.worklist.address or box.storage.address, box.worklist.port),
            self.keeper,
            facts=self._facts,
            changed=gate_changed,
            retry=bounds.bind_retry,
            grace=bounds.grace,
        )
        self.site = ""
        """The site that is active, empty if there is none."""
        self.parked: m.Parked | None = None
        """Who parked the box, if there is no site because somebody did."""
        self.stored: Stored | None = None
        self.profile_problem: Problem | None = None
        self.elsewhere: dict[str, Held] = {}
        """What the spools of other sites held when those were last served, as far as that is known."""
        self.others = 0
        """How many other sites could be activated."""
        self.command = tuple(command)
        self.bounds = bounds
        self._box = box
        self._grace = bounds.grace
        self._pulse = bounds.pulse
        self._stopping = False
        self._leaving = ""
        self._told: Profile | None = None

    async def open(self, passphrase: str | None) -> None:
        """Read the profiles and take the box key; what does not work out is the gate's reason to stay shut."""
        try:
            self.site, self.parked = await asyncio.to_thread(self._choose)
            if self.site:
                self.stored = await asyncio.to_thread(self.profiles.read, self.site)
        except CapacitordError as error:
            self.profile_problem = error.problem()
            _log.error("%s: %s", error.where, error.message)
        await self.look_around()
        await self.take_key(passphrase)

    def _choose(self) -> Choice:
        """Return what the record says. A box of an earlier version has no record, and one site."""
        choice = self.chosen.read()
        if choice is None:
            sites = self.profiles.sites()
            choice = Choice(sites[0] if len(sites) == 1 else "")
            if choice.site:
                self.chosen.write(choice)
        return choice

    async def look_around(self) -> None:
        """Read all profiles back, and take note of the other sites: which are damaged, and what their spools hold."""

        def look() -> tuple[int, dict[str, Held]]:
            found, _ = self.profiles.listed(self.site)
            sites = [each.id for each in found if each.id != self.site]
            return len(sites), {site: held for site in sites if (held := self.profiles.last(site)) is not None}

        try:
            self.others, self.elsewhere = await asyncio.to_thread(look)
        except CapacitordError as error:
            _log.error("the profiles can't be read: %s: %s", error.where, error.message)

    async def take_key(self, passphrase: str | None) -> None:
        """Unlock the box key where that takes no more than what is at hand."""
        try:
            await self.keys.unlock(passphrase)
        except CapacitordError as error:
            _log.warning("%s", error.message)
        self.consider()

    def written(self, deeds: tuple[str, ...]) -> None:
        """Say which deeds have their entries; a runtime that does not hear it tells of them again."""
        with contextlib.suppress(CapacitordError):
            self.keeper.send(link.Written(deeds))

    def consider(self) -> None:
        """Start what can be started now, and bring the gate in line."""
        able = self.stored is not None and self.keys.problem is None and not (self._stopping or self._leaving)
        if able and self.keeper.state in _WAITING:
            self.keeper.want(self._plan)
        self._tell()
        self.gatekeeper.look()

    def take(self, stored: Stored) -> None:
        """Have the runtime act on another version of the profile of the site that is active."""
        self.stored, self.profile_problem = stored, None
        self.consider()

    async def go_over(self, site: str, stored: Stored | None, parked: m.Parked | None = None) -> None:
        """Serve another site from now on, or none; return when the runtime of the one before has gone.

        `parked` says who wants none.

        The port is shut first. Then the record names the new site, so that whatever happens from there on, a restart
        serves that one. Open associations finish within the grace, and their images are the old site's. Raises
        `StorageFailed` or `OutOfSpace`; then the old site is served on.
        """
        self._leaving = f"the box goes over to {site}" if site else "the box is being parked"
        self.gatekeeper.look()
        try:
            await asyncio.to_thread(self.chosen.write, Choice(site, parked))
        except CapacitordError:
            self._leaving = ""
            self.consider()
            raise
        before, held = self.site, await self._held()
        await self.keeper.stop(self._grace)
        # Only now: until here a runtime was there that would have acted on it.
        self.site, self.stored, self.profile_problem, self.parked = site, stored, None, parked
        await self._remember(before, held)
        await self._remember(site, None)
        await self.look_around()
        self._leaving = ""
        self.hub.say("site-active", f"{site} is active" if site else "no site is active")
        self.consider()

    async def _held(self) -> Held | None:
        """Return what the spool holds now; None if nobody knows, or an association is open that may add to it."""
        now = await self.reporter.traffic()
        if now is None or now.incoming:
            return None
        return held_of(now)

    async def _remember(self, site: str, held: Held | None) -> None:
        if not site:
            return
        try:
            await asyncio.to_thread(self.profiles.remember, site, held)
        except CapacitordError as error:
            _log.warning("what the spool of %s holds could not be written down: %s", site, error.message)

    async def pulse(self) -> None:
        """Look again every few seconds at what changes without saying so, until cancelled."""
        while True:
            await asyncio.sleep(self._pulse)
            await self.reporter.traffic()
            self._tell()
            self.gatekeeper.look()

    async def stop(self) -> None:
        """Shut the gate and have the runtime finish what is open, within the bound."""
        self._stopping = True
        await self.keeper.stop(self._grace)
        self.gatekeeper.look()
        self.hub.close()

    def _facts(self) -> Facts:
        reporter, traffic = self.reporter, self.reporter.current
        return Facts(
            profile="" if self.stored is None else self.stored.profile.id,
            profile_problem=self.profile_problem,
            key_problem=self.keys.problem,
            runtime=self.keeper.state,
            runtime_problem=self.keeper.problem,
            disk=None if traffic is None else traffic.disk,
            trouble=reporter.trouble,
            heard=reporter.heard,
            silent=reporter.silent,
            stopping=self._stopping,
            leaving=self._leaving,
            others=self.others,
            parked=self.parked,
            worklist=self._told is not None and self._told.worklist is not None,
        )

    async def _plan(self) -> link.Start:
        """Return what the runtime is started with. Raises `CapacitordError` if the site's key can't be had."""
        if self.stored is None:
            msg = "no site is active"
            raise CapacitordError(msg, hint="Choose one: fluxctl site activate SITE")
        start = await self.start_of(self.stored)
        self._now_told(start.profile)
        return start

    def folder_of(self, site: str) -> Path:
        """Return where a site's spool is."""
        return self._box.state / "sites" / site

    async def start_of(self, stored: Stored) -> link.Start:
        """Return what a runtime of this profile's site is started with. Raises `CapacitordError` without a key."""
        profile = in_force(stored.profile)
        folder = self.folder_of(profile.id)
        key = await self.keys.site_key(profile.id, new=await asyncio.to_thread(is_empty, folder))
        total = await asyncio.to_thread(_make, folder)
        return link.Start(
            profile=profile,
            spool=str(folder),
            key=key,
            storage=settings.storage(self._box.storage, self._box.modality),
            worklist=settings.worklist(self._box),
            limits=settings.limits(self._box.spool, total),
        )

    def _tell(self) -> None:
        """Have the runtime act on the profile in force; if it can't take the message now, the next pulse brings it."""
        if self.stored is None or self.keeper.state is not m.RuntimeState.RUNNING:
            return
        profile = in_force(self.stored.profile)
        if profile != self._told and self._told is not None and profile.id == self._told.id:
            with contextlib.suppress(CapacitordError):
                self.keeper.send(link.Update(profile))
                self._now_told(profile)

    def _now_told(self, profile: Profile) -> None:
        self._told = profile
        scanners = {(link.Peer.DESTINATION, each.name): each for each in map(settings.scanner, self._box.modality)}
        self.broker.peers = {**peers_of(profile), **scanners}

    def _runtime_changed(self) -> None:
        state = self.keeper.state
        self.hub.say("runtime", f"the site's runtime is {state}")
        if state is m.RuntimeState.RUNNING:
            self.reporter.began()
        else:
            self.broker.drop()
            self.reporter.forget()
        self._tell()
        self.gatekeeper.look()

    def _received(self, message: link.FromRuntime) -> None:
        match message:
            case link.Ready():
                # What it found it has written into the log itself.
                _log.info("the runtime is ready after %.2f s", message.seconds)
            case link.Connect():
                self.broker.ask(message)
            case link.StatusReport():
                self.reporter.arrived(message)
                self.gatekeeper.look()
            case link.Note():
                # The runtime has written it into the log itself.
                self.hub.note(
                    m.NoteEvent(message.at, message.reference, message.message, message.study, message.destination)
                )
            case link.Deed():
                self.did(message)
            case link.Heartbeat():
                self.reporter.beat(message)
                self.gatekeeper.look()
            case link.Failed():
                pass


def _nowhere(deed: link.Deed) -> None:
    _log.error("nobody writes down what the site did: %s", deed.action)


def held_of(now: m.SiteStatus) -> Held:
    """Return what a spool holds, by what its runtime tells."""
    spool = now.spool
    return Held(
        datetime.now(UTC),
        spool.undelivered_images,
        spool.held_images + spool.held_back_images + spool.conflicts,
        spool.unrouted_images,
        spool.refused_images,
        spool.held_back_images,
    )


def is_empty(folder: Path) -> bool:
    """Tell whether a site's folder holds nothing, or is not there. Raises `StorageFailed`."""
    with files.typed(folder):
        return not folder.exists() or not any(folder.iterdir())


def _make(folder: Path) -> int:
    """Make a site's folder; return the size of its file system. Raises `CapacitordError`."""
    files.make_folder(folder.parent)
    files.make_folder(folder)
    try:
        return shutil.disk_usage(folder).total
    except OSError as error:
        msg = f"the disk of the spool does not answer ({error.strerror})"
        raise StorageFailed(msg, hint="Check the disk: dmesg, SMART.") from None
