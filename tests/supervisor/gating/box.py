"""One life of a box, from its start until it is stopped or killed: the supervisor's parts, put together as there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple

from capacitord.api import messages as m
from capacitord.config import box as config
from capacitord.errors import CapacitordError
from capacitord.location.evidence import Observation, Polled, Unseen
from capacitord.location.gpsd import Gpsd
from capacitord.location.positions import Position
from capacitord.model.location import Decision, Kind
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.box_answers import BoxAnswers
from capacitord.supervisor.broker import resolve
from capacitord.supervisor.deeds import Deeds
from capacitord.supervisor.gate_history import GateHistory
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites
from capacitord.supervisor.supervisor import _keep_profiles
from capacitord.supervisor.whereabouts import Whereabouts
from tests.supervisor.gating.clock import Loop
from tests.supervisor.gating.runtime import Probe, SiteRuntime, Started
from tests.supervisor.gating.world import HOST, SITES, World, pacs_port

EVERY: Final = 30.0
"""Seconds between two preflights."""
LEAVE_AFTER: Final = 60.0
DWELL: Final = 20.0
LONGITUDE: Final = {site: 0.5 * number for number, site in enumerate(SITES)}
BOUNDS: Final = Bounds(pulse=10.0, grace=8.0, grace_margin=2.0, start_silence=60.0, longest_delay=20.0)


class Settings(NamedTuple):
    """What the box's configuration says; it can be another one after each start."""

    required: bool = True
    waiver: bool = True
    follow: bool = True
    port: int = 0


def config_of(state: Path, world: World, settings: Settings) -> config.Box:
    """Return the configuration of a box in this world."""
    scanners = [
        f'[[modality]]\nae_title = "{each.name}"\nhost = "{HOST}"\nport = {each.port}\n'
        for each in world.scanners.values()
    ]
    text = f"""\
[box]
state = "{state}"
[storage]
address = "{HOST}"
port = {settings.port}
[location]
gpsd = "{HOST}:2947"
follow = {str(settings.follow).lower()}
leave_after = "{LEAVE_AFTER:.0f}s"
[preflight]
required = {str(settings.required).lower()}
waiver = {str(settings.waiver).lower()}
every = "{EVERY:.0f}s"
timeout = "5s"
{"".join(scanners)}"""
    return config.parse(text, "capacitord.toml")


def profile(site: str, version: int) -> str:
    """Return a version of a site's profile. One is known by its fence, one by its Wi-Fi, and one only by people."""
    number = SITES.index(site)
    west, east = LONGITUDE[site], LONGITUDE[site] + 0.01
    fence = f"[[{west}, 41], [{east}, 41], [{east}, 41.01], [{west}, 41.01], [{west}, 41]]"
    more = {
        "lakeside": f'[location]\ndwell = "{DWELL:.0f}s"\ngeofence = {{ type = "Polygon", coordinates = [{fence}] }}\n',
        "st-marys": f'[delivery]\nwhen_inactive = "drain"\n'
        f'[location]\ndwell = "{DWELL:.0f}s"\n[[location.evidence]]\nssid = "st-marys"\n',
        "valley": "[preflight]\nrequired = true\n",
    }
    own = "".join(
        f'[[destination]]\nname = "{name}"\nae_title = "PACS"\nhost = "{HOST}"\n'
        f"port = {pacs_port(number, version % 2)}\n"
        for name in ("pacs", site)
    )
    return f'schema = 1\nid = "{site}"\nname = "{site}"\nversion = {version}\ntimezone = "UTC"\n{own}{more[site]}'


class _Gps(Gpsd):
    """A GPS that says where this world says it is."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        super().__init__(resolve, HOST, 2947, clock=clock)
        self._world = world

    @property
    def latest(self) -> Observation[Position]:
        place = self._world.place
        if not place:
            return Observation(problem="the GPS sees no satellite")
        longitude = LONGITUDE.get(place, 10.0) + 0.005
        found = Position("/dev/gps", 41.005, longitude, 10.0, 3, time.time())
        return Observation(found, str(found), self._clock())

    async def watch(self) -> None:
        await asyncio.Event().wait()


class Life:
    """A box that runs. `each` is called between any two things that it does, once it has begun."""

    def __init__(self, state: Path, world: World, settings: Settings, now: float, each: Callable[[], None]) -> None:
        box = config_of(state, world, settings)
        self.loop = Loop(now, _nothing)
        self.wrong: list[str] = []
        """What went wrong in a way that nobody foresaw."""
        self.gates: list[m.Gate] = []
        """Every gate since somebody looked."""
        self._work: set[asyncio.Task[Any]] = set()
        audit = AuditLog(state / "audit")
        audit.open()
        self._history = GateHistory(audit)
        self.serving = Serving(
            box,
            Started(world, SiteRuntime),
            BOUNDS,
            self._gate_changed,
            probe=Started(world, Probe),
            journal=self._history.write,
            clock=self.loop.time,
        )
        self._decisions: asyncio.Queue[Decision] = asyncio.Queue()
        self.whereabouts = Whereabouts(box.location, changed=self._decisions.put_nowait, clock=self.loop.time)
        self.whereabouts.gpsd = _Gps(world, self.loop.time)

        async def networks() -> tuple[tuple[str, ...], str]:
            if not world.network:
                raise Unseen("there is no Wi-Fi")
            return (world.network,), world.network

        every = box.location.poll
        self.whereabouts.local = {Kind.SSID: Polled(networks, every=every, within=2.0, clock=self.loop.time)}
        self.serving.whereabouts = self.whereabouts
        deeds = Deeds(audit, self.serving.written)
        self.answers = BoxAnswers(box, BOUNDS, self.serving, audit, deeds=deeds, whereabouts=self.whereabouts)
        self.sites: Sites = self.answers.sites
        world.join(self.loop)
        self._world = world
        self.loop.each = each
        for work in (
            self.serving.keeper.keep(),
            self.serving.pulse(),
            self._history.keep(),
            _keep_profiles(self.serving, self.whereabouts, self.sites),
            self.whereabouts.watch(),
            self._heed(),
            self._open(),
        ):
            self.begin(work)

    async def _open(self) -> None:
        await self.serving.erasures.resume()
        await self.serving.open(None)

    async def _heed(self) -> None:
        while True:
            await self._decisions.get()
            self.sites.heed()

    def _gate_changed(self, gate: m.Gate) -> None:
        self._history.changed(gate, self.serving.site, self.serving.grounds)
        self.gates.append(gate)

    def begin(self, work: Coroutine[Any, Any, Any], refused: Callable[[], None] = lambda: None) -> asyncio.Task[Any]:
        """Begin something. What it is refused for is an answer, too; `refused` is called then."""

        async def do() -> None:
            try:
                await work
            except CapacitordError:
                refused()
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody foresaw it
                self.wrong.append(f"{type(error).__name__}: {error}")

        task = self.loop.create_task(do())
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        # Killed before it began, it would be found to be never awaited.
        task.add_done_callback(lambda _: work.close())
        return task

    def finish(self, work: Coroutine[Any, Any, Any], within: float = 600.0) -> None:
        """Do something to its end."""
        task = self.begin(work)
        task.add_done_callback(lambda _: self.loop.stop())
        self.loop.run_for(within)
        assert task.done(), "it takes for ever"

    def stop(self) -> None:
        """Stop as the daemon does."""
        self.finish(self.serving.stop())
        self.finish(self._history.settle())
        self.loop.each()
        self._bury()

    def kill(self) -> None:
        """End at once, and with it the processes that it started."""
        # What is not written now never is, and the kernel closes what a process had open.
        self.loop.disk.dead = True
        self._bury()

    def _bury(self) -> None:
        self.loop.each = _nothing
        # A process that is gone binds nothing: what cancelled tasks still do must not, either.
        self.serving._stopping = True
        self.serving.gatekeeper.storage.close()
        self._end_processes()
        self._world.join(None)
        self.loop.kill()

    def _end_processes(self) -> None:
        for runtime in list(self._world.runtimes):
            runtime.end(-9)
        for probe in list(self._world.probes):
            probe.end(-9)


def _nothing() -> None:
    pass
