"""Drives past hospitals and to them: what a real gpsd tells of each, and what the box makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import pytest

from capacitord.config import profile
from capacitord.config.tables.whereabouts import WhereaboutsTable
from capacitord.location.evidence import Polled, Unseen
from capacitord.location.network import Found
from capacitord.location.positions import position, report
from capacitord.model.following import Word, wanted
from capacitord.model.location import Kind
from capacitord.supervisor.whereabouts import Whereabouts
from tests.peers import gpsfake
from tests.peers.gpsd import Fix, cycle
from tests.supervisor.daemon import PROFILE

STEP, DWELL, LEAVE = 10, 90, 60
BEGIN: Final = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)
ACCURACY: Final = 7.6
METRE: Final = 1 / 111_100
"""Degrees of latitude."""
ST_MARYS, LAKESIDE = (41.8830, -87.6250), (41.9030, -87.6250)
REACH: Final = 333.0
"""Metres from the middle of a site to its edge in the north and in the south."""
NETWORKS: Final = {"st-marys": "10.20.0.0/24", "lakeside": "10.30.0.0/24", "valley": "192.168.1.0/24"}
HERE, THERE, ANYWHERE, NONE = "10.20.0.7", "10.30.0.7", "192.168.1.7", ""
CONFLICT: Final = "conflict"


class Moment(NamedTuple):
    """What the receiver says, None for nothing at all, and the address of the box, empty for none."""

    fix: Fix | None
    address: str


def at(place: tuple[float, float], north: float = 0.0, *, error: float = ACCURACY) -> Fix:
    """Return a fix so many metres north of a place."""
    return Fix(place[0] + north * METRE, place[1], error)


NO_FIX: Final = at(ST_MARYS)._replace(quality=0)


def stay(seconds: float, fix: Fix | None, address: str = NONE) -> list[Moment]:
    return [Moment(fix, address)] * round(seconds / STEP)


def ride(begin: float, end: float, speed: float, address: str = NONE) -> list[Moment]:
    """Drive from so many metres north of St Mary's to so many, at `speed` metres a second."""
    steps = round(abs(end - begin) / speed / STEP)
    return [Moment(at(ST_MARYS, begin + (end - begin) * step / steps), address) for step in range(steps)]


def wander(seconds: float, beside: float, swing: Callable[[float], float], address: str) -> list[Moment]:
    """Stand so many metres north of the northern edge, with an error that swings so many metres with the time."""
    return [Moment(at(ST_MARYS, REACH + beside + swing(step * STEP)), address) for step in range(round(seconds / STEP))]


class Track(NamedTuple):
    """What happens, what the evidence means one after the other, and which sites are open one after the other."""

    moments: Sequence[Moment]
    means: Sequence[str]
    opens: Sequence[str]
    before: str = ""
    """The site that was served before a start of the daemon."""


ARRIVED = ride(1500, 0, 15) + stay(DWELL + 60, at(ST_MARYS), HERE)
TRACKS: Final = {
    "arrival": Track(ARRIVED, ("", "st-marys"), ("", "st-marys")),
    "arrival without the network": Track(ride(1500, 0, 15) + stay(300, at(ST_MARYS)), ("",), ("",)),
    "drive-by": Track(ride(1500, -1500, 15, HERE), ("",), ("",)),
    "drive-by in a jam": Track(
        ride(800, REACH, 10) + ride(REACH, -REACH, 8, HERE) + ride(-REACH, -800, 10), ("",), ("",)
    ),
    "jitter on the fence": Track(wander(300, 0, lambda now: 14 if round(now / STEP) % 3 else -14, HERE), ("",), ("",)),
    "error that lasts": Track(
        # 15 m outside: for two minutes in a row the fix is up to 11 m inside, and said to be right within 7.6 m.
        wander(400, 15, lambda now: -26 * math.sin(now * math.tau / 720), HERE),
        ("",),
        ("",),
    ),
    "jump into a fence": Track(
        ride(1500, 900, 15, HERE) + stay(DWELL - 30, at(ST_MARYS), HERE) + ride(900, 1500, 15), ("",), ("",)
    ),
    "jump out of a fence": Track(
        ARRIVED + stay(LEAVE - 20, at(LAKESIDE), HERE) + stay(60, at(ST_MARYS), HERE),
        ("", "st-marys"),
        ("", "st-marys"),
    ),
    "loss in the dwell": Track(
        stay(DWELL - 20, at(ST_MARYS), HERE) + stay(30, NO_FIX, HERE) + stay(DWELL - 20, at(ST_MARYS), HERE),
        ("",),
        ("",),
    ),
    "loss of the fix": Track(ARRIVED + stay(600, NO_FIX), ("", "st-marys"), ("", "st-marys")),
    "loss of the receiver": Track(
        ARRIVED + stay(600, None) + stay(30, at(ST_MARYS)), ("", "st-marys"), ("", "st-marys")
    ),
    "poor fixes": Track(stay(300, at(ST_MARYS, error=190.0), HERE), ("",), ("",)),
    "from one to the other": Track(
        ARRIVED + ride(0, 2222, 15) + stay(DWELL + 60, at(LAKESIDE), THERE),
        ("", "st-marys", "", "lakeside"),
        ("", "st-marys", "", "lakeside"),
    ),
    "the network of another site": Track(stay(300, at(ST_MARYS), THERE), ("", CONFLICT), ("",)),
    "the network of another site when open": Track(
        ARRIVED + stay(300, at(ST_MARYS), THERE) + stay(60, at(ST_MARYS), HERE),
        ("", "st-marys", CONFLICT, "st-marys"),
        ("", "st-marys"),
    ),
    "a network that is everywhere": Track(stay(300, at(ST_MARYS), ANYWHERE), ("", CONFLICT), ("",)),
    "a restart there": Track(stay(60, at(ST_MARYS)), ("st-marys",), ("", "st-marys"), "st-marys"),
    "a restart elsewhere": Track(
        stay(DWELL + 120, at(LAKESIDE), THERE), ("st-marys", "", "lakeside"), ("", "lakeside"), "st-marys"
    ),
    "a restart on the road": Track(ride(1500, 3500, 15), ("st-marys", ""), ("",), "st-marys"),
}


def begin(name: str) -> datetime:
    return BEGIN + timedelta(hours=1) * list(TRACKS).index(name)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[datetime, bytes]]:
    """What a real gpsd said of all tracks one after the other, with the time of the fix."""
    log = b"".join(
        cycle(moment.fix, begin(name) + timedelta(seconds=STEP * number))
        for name, track in TRACKS.items()
        for number, moment in enumerate(track.moments)
        if moment.fix is not None
    )
    found = []
    for line in gpsfake.said(log, tmp_path_factory.mktemp("gpsfake")):
        said = report(line)
        if said is not None and said.kind == "TPV" and said.time:
            found.append((datetime.fromisoformat(said.time), line))
    return found


class Coach:
    """The whereabouts of a box, whose clock is that of the track."""

    def __init__(self, port: int) -> None:
        self.now = 0.0
        self.address = ""
        table = WhereaboutsTable.model_validate(
            {"gpsd": f"127.0.0.1:{port}", "max_age": "15s", "leave_after": f"{LEAVE}s"}
        )
        self.found = Whereabouts(table, clock=lambda: self.now)
        self.subnet: Polled[tuple[str, ...]] = Polled(self._look, every=STEP, within=STEP, clock=lambda: self.now)
        self.found.local = {Kind.SUBNET: self.subnet}
        self.site = ""
        self.open = False

    async def _look(self) -> Found:
        if not self.address:
            raise Unseen("this box has no address in any network")
        return (self.address,), self.address

    async def settle(self, line: bytes) -> None:
        """Wait until the box has heard what gpsd said now."""
        gpsd, said = self.found.gpsd, report(line)
        assert gpsd is not None
        assert said is not None
        there, problem = position(said)
        for _ in range(1000):
            latest = gpsd.latest
            new = latest.at == pytest.approx(self.now, abs=0.01) and latest.words.startswith(str(there))
            if latest.problem == problem if there is None else new:
                return
            await asyncio.sleep(0)
        raise AssertionError((line, gpsd.latest))

    def look(self) -> str:
        """Look, act on it as the box does, and return what the evidence means."""
        decision = self.found.look()
        goal = wanted(Word(self.site, override=False), decision, opened=self.open).site
        self.open = bool(goal) and (not decision.doubt or (self.open and goal == self.site))
        self.site = goal
        return CONFLICT if decision.conflict else decision.site or ""


def profiles() -> dict[str, profile.Profile]:
    found = {}
    for site, network in NETWORKS.items():
        text = PROFILE.format(version=1, port=9).replace("st-marys", site)
        # The one without a fence would be the first to count.
        text += f'\n[location]\ndwell = "{10 if site == "valley" else DWELL}s"\n'
        if site != "valley":
            latitude, longitude = ST_MARYS if site == "st-marys" else LAKESIDE
            south, north = latitude - REACH * METRE, latitude + REACH * METRE
            west, east = longitude - 0.005, longitude + 0.005
            ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
            text += f'geofence = {{ type = "Polygon", coordinates = [{ring}] }}\n'
        found[site] = profile.parse(f'{text}[[location.evidence]]\nsubnet = "{network}"\n', "p")
    return found


@contextlib.asynccontextmanager
async def gpsd() -> AsyncIterator[tuple[int, asyncio.Future[asyncio.StreamWriter]]]:
    """Give a port, and the one client that connects to it, greeted as gpsd greets."""
    client: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"class":"VERSION","release":"3.25"}\n')
        await reader.readline()
        client.set_result(writer)

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], client
    finally:
        if client.done():
            client.result().close()
        server.close()


def each_once(found: Sequence[str]) -> tuple[str, ...]:
    return tuple(here for number, here in enumerate(found) if number == 0 or found[number - 1] != here)


@pytest.mark.parametrize("name", TRACKS)
def test_a_track(name: str, told: list[tuple[datetime, bytes]]) -> None:
    track = TRACKS[name]
    means, opens = [], []

    async def run() -> None:
        async with gpsd() as (port, client):
            coach = Coach(port)
            coach.now = begin(name).timestamp()
            await coach.found.take(profiles())
            coach.found.begin(track.before)
            coach.site = track.before
            assert coach.found.gpsd is not None
            listening = asyncio.create_task(coach.found.gpsd.watch())
            writer = await client
            for number, moment in enumerate(track.moments):
                now = begin(name) + timedelta(seconds=STEP * number)
                coach.now, coach.address = now.timestamp(), moment.address
                for line in [line for at, line in told if at == now]:
                    writer.write(line + b"\n")
                    await coach.settle(line)
                await coach.subnet.poll()
                means.append(coach.look())
                opens.append(coach.site if coach.open else "")
            listening.cancel()

    asyncio.run(run())
    assert each_once(means) == tuple(track.means)
    assert each_once(opens) == tuple(track.opens)


def test_gpsd_told_every_fix(told: list[tuple[datetime, bytes]]) -> None:
    """So that no track holds for want of fixes."""
    heard = {at for at, _ in told}
    for name, track in TRACKS.items():
        moments = [begin(name) + timedelta(seconds=STEP * n) for n, each in enumerate(track.moments) if each.fix]
        missing = [moment for moment in moments if moment not in heard]
        assert len(missing) <= 2, (name, missing)
