"""A runtime that only delivers: it gets no port, and connections to the destinations of its site's profile alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection

from msgspec.structs import replace

from capacitord.api.messages import RuntimeState, SiteStatus
from capacitord.config.in_force import in_force
from capacitord.errors import CapacitordError
from capacitord.link import messages as link
from capacitord.model.profile import Profile
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.brokerage import Broker, peers_of
from capacitord.supervisor.draining import Left, Runner, left
from capacitord.supervisor.keeper import RuntimeKeeper
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.profiles import Stored
from capacitord.supervisor.reporter import Reporter

_log = logging.getLogger(__name__)
StartOf = Callable[[Stored], Awaitable[link.Start]]


class Drain:
    """The delivery-only runtime of one site, kept running from its construction until `end`.

    `start_of` says what it is started with, key included; `changed` is called when something of it has changed, `did`
    with what the site has done by itself.
    """

    def __init__(
        self,
        stored: Stored,
        start_of: StartOf,
        launcher: Launcher,
        bounds: Bounds,
        *,
        changed: Callable[[], None],
        did: Callable[[link.Deed], None],
        own_ports: Collection[int],
    ) -> None:
        self.stored = stored
        self.keeper = RuntimeKeeper(launcher, bounds, changed=self._runtime_changed, received=self._received)
        self.ending = False
        self._start_of, self._changed, self._did = start_of, changed, did
        self._broker = Broker(self.keeper, own_ports)
        self._reporter = Reporter(self.keeper, bounds.status_answer, bounds.status_old)
        self._told: Profile | None = None
        self._fewest: int | None = None
        self._sent = 0
        self._got_on = asyncio.get_running_loop().time()
        self._keeping = asyncio.create_task(self.keeper.keep())
        self.keeper.want(self._plan)

    @property
    def traffic(self) -> SiteStatus | None:
        """What its runtime told of the spool last, None if nothing holds any more."""
        return self._reporter.current

    @property
    def left(self) -> Left | None:
        """What can still leave, None while that is not known."""
        now = self.traffic
        if now is None or self._told is None or self.keeper.state is not RuntimeState.RUNNING:
            return None
        return left(now, {each.name for each in self._told.destinations if each.barred})

    @property
    def runner(self) -> Runner:
        """How it is doing."""
        still = asyncio.get_running_loop().time() - self._got_on
        process = self.keeper.status
        isolated = None if process.pid is None else process.isolated
        return Runner(self.keeper.state, self.keeper.problem, self.left, still, isolated)

    async def look(self) -> None:
        """Ask how far it is."""
        await self._reporter.traffic()
        self._tell()

    def take(self, stored: Stored) -> None:
        """Act on another version of the profile."""
        if stored != self.stored:
            self.stored = stored
            self._tell()

    async def end(self, grace: float) -> None:
        """Let what is on the wire finish within `grace` seconds; return when the process is gone."""
        self.ending = True
        await self.keeper.stop(grace)
        self._broker.drop()
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping

    async def _plan(self) -> link.Start:
        start = await self._start_of(self.stored)
        self._now_told(start.profile)
        # Results of storage commitment are for scanners, and those are at another site now.
        storage = replace(start.storage, modalities=())
        return replace(start, delivers_only=True, storage=storage)

    def _tell(self) -> None:
        profile = in_force(self.stored.profile)
        if self.keeper.state is RuntimeState.RUNNING and profile != self._told:
            with contextlib.suppress(CapacitordError):
                self.keeper.send(link.Update(profile))
                self._now_told(profile)

    def _now_told(self, profile: Profile) -> None:
        self._told = profile
        self._broker.peers = {
            named: destination for named, destination in peers_of(profile).items() if named[0] is link.Peer.DESTINATION
        }

    def _runtime_changed(self) -> None:
        if self.keeper.state is RuntimeState.RUNNING:
            self._reporter.began()
        else:
            self._broker.drop()
            self._reporter.forget()
        self._tell()
        self._changed()

    def _received(self, message: link.FromRuntime) -> None:
        match message:
            case link.Connect() if not self.ending:
                self._broker.ask(message)
            case link.StatusReport():
                self._reporter.arrived(message)
                self._note_progress()
                self._changed()
            case link.Heartbeat():
                self._reporter.beat(message)
            case link.Deed():
                self._did(message)
            case _:
                # What else it says it has written into the log itself.
                pass

    def _note_progress(self) -> None:
        now, traffic = self.left, self.traffic
        if now is None or traffic is None:
            return
        sent = sum(each.sent_bytes for destination in traffic.destinations for each in destination.transfers)
        # One large image may take long; one that is refused again and again moves bytes, too, and is not getting on.
        moves = sent not in {0, self._sent} and not now.hindrance
        if self._fewest is None or now.images < self._fewest or moves:
            self._got_on = asyncio.get_running_loop().time()
        self._fewest, self._sent = now.images, sent
