"""One site, served: its profile, its key, its runtime and the gate in front of it, kept in line with each other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from capacitord.api import messages as m
from capacitord.config import profile as profile_format
from capacitord.config.box import Box
from capacitord.config.in_force import in_force
from capacitord.errors import CapacitordError, Problem, StorageFailed
from capacitord.link import messages as link
from capacitord.location import geofence
from capacitord.model.profile import Profile
from capacitord.supervisor import files, settings
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.brokerage import Broker
from capacitord.supervisor.events import Hub
from capacitord.supervisor.gate import Facts
from capacitord.supervisor.gatekeeper import Gatekeeper
from capacitord.supervisor.keeper import RuntimeKeeper
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.profiles import ProfileStore, Record, Stored, digest, summary
from capacitord.supervisor.reporter import Reporter

_log = logging.getLogger(__name__)
_WAITING: Final = frozenset({m.RuntimeState.ABSENT, m.RuntimeState.BACKOFF})


class Serving:
    """What the box does for its site. `gate_changed` is called with every change of the gate."""

    def __init__(
        self, box: Box, command: Sequence[str], bounds: Bounds, gate_changed: Callable[[m.Gate], None]
    ) -> None:
        self.hub = Hub(bounds.streams)
        self.keys = Keys(box.state / "keys", box.keys.source)
        self.profiles = ProfileStore(box.state / "profiles")
        self.keeper = RuntimeKeeper(command, bounds, changed=self._runtime_changed, received=self._received)
        self.reporter = Reporter(self.keeper, bounds.status_answer, bounds.status_old)
        self.broker = Broker(self.keeper)
        self.gatekeeper = Gatekeeper(
            (box.storage.address, box.storage.port),
            self.keeper,
            facts=self._facts,
            changed=gate_changed,
            retry=bounds.bind_retry,
            grace=bounds.grace,
        )
        self.stored: Stored | None = None
        self.profile_problem: Problem | None = None
        self._box = box
        self._grace = bounds.grace
        self._pulse = bounds.pulse
        self._stopping = False
        self._told: Profile | None = None
        self._import = asyncio.Lock()

    async def open(self, passphrase: str | None) -> None:
        """Read the profile and take the box key; what does not work out is the gate's reason to stay shut."""
        try:
            self.stored = await asyncio.to_thread(self.profiles.active)
        except CapacitordError as error:
            self.profile_problem = error.problem()
            _log.error("%s: %s", error.where, error.message)
        await self.take_key(passphrase)

    async def take_key(self, passphrase: str | None) -> None:
        """Unlock the box key where that takes no more than what is at hand."""
        try:
            await self.keys.unlock(passphrase)
        except CapacitordError as error:
            _log.warning("%s", error.message)
        self.consider()

    def consider(self) -> None:
        """Start what can be started now, and bring the gate in line."""
        able = self.stored is not None and self.keys.problem is None and not self._stopping
        if able and self.keeper.state in _WAITING:
            self.keeper.want(self._plan)
        self._tell()
        self.gatekeeper.look()

    async def import_profile(self, request: m.ProfileImport, user: str) -> m.ProfileSummary:
        """Check and keep a profile, and have the runtime act on it. Raises `Invalid` or `Refused`."""
        profile = profile_format.parse(request.text, request.name, further=geofence.check)
        async with self._import:
            check = self.profiles.check
            await asyncio.to_thread(check, profile, request.text, allow_older=request.allow_older)
            if request.dry_run:
                return summary(profile, Record.now(user, digest(request.text.encode())), active=False)
            self.stored = await asyncio.to_thread(self.profiles.put, profile, request.text, user)
        self.profile_problem = None
        self.hub.say("profile-imported", f"version {profile.version} of {profile.id} is in force")
        self.consider()
        return self.stored.summary

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
        )

    async def _plan(self) -> link.Start:
        """Return what the runtime is started with. Raises `CapacitordError` if the site's key can't be had."""
        if self.stored is None:
            msg = "no site profile is imported"
            raise CapacitordError(msg, hint="Import one: fluxctl profile import FILE")
        profile = in_force(self.stored.profile)
        folder = self._box.state / "sites" / profile.id
        key = await self.keys.site_key(profile.id, new=await asyncio.to_thread(_is_empty, folder))
        total = await asyncio.to_thread(_make, folder)
        self._now_told(profile)
        return link.Start(
            profile=profile,
            spool=str(folder),
            key=key,
            storage=settings.storage(self._box.storage),
            limits=settings.limits(self._box.spool, total),
        )

    def _tell(self) -> None:
        """Have the runtime act on the profile in force; if it can't take the message now, the next pulse brings it."""
        if self.stored is None or self.keeper.state is not m.RuntimeState.RUNNING:
            return
        profile = in_force(self.stored.profile)
        if profile != self._told:
            with contextlib.suppress(CapacitordError):
                self.keeper.send(link.Update(profile))
                self._now_told(profile)

    def _now_told(self, profile: Profile) -> None:
        self._told = profile
        self.broker.destinations = {destination.name: destination for destination in profile.destinations}

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
            case link.Heartbeat():
                self.reporter.beat(message)
                self.gatekeeper.look()
            case link.Failed():
                pass


def _is_empty(folder: Path) -> bool:
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
