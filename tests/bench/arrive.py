"""How long a scanner waits at a new site: from the first evidence of it until its connection is taken.

A real box is told where it is by a real gpsd, or finds a network. Before each round it has left its last site, and
nothing says where it is. A site counts when it was seen for `DWELL` and the box looks once in `DWELL`, both as short as
a configuration may have them; that second is not the box's, so it is left out, and the look before it is not.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import tomli_w

from capacitord.api import messages as m
from capacitord.model.presence import Phase
from tests.bench.receivers import BARE
from tests.peers.dcmqrscp import Dcmqrscp
from tests.peers.gpsd import Fix, Gpsd, Receiver, receiver
from tests.peers.program import free_port
from tests.system.box import SITE, Box, Target
from tests.wait import wait_for

DWELL: Final = 1.0
_OTHER: Final = "lakeside"
_DEPOT: Final = "depot"
"""A site at which the box never counts as being, for its network is not there; all others are left for it."""
_PLACES: Final = {SITE: Fix(41.883, -87.625), _OTHER: Fix(41.903, -87.625), _DEPOT: Fix(41.923, -87.625)}
_ROAD: Final = Fix(42.5, -87.625)
_PATIENCE: Final = 60.0
_TIMES: Final = {"dwell": f"{DWELL:g}s"}


class Arrival(NamedTuple):
    """A way to arrive: what tells the box, and how many scanners it asks before it opens."""

    name: str
    by_position: bool
    scanners: int


ARRIVALS: Final = (
    Arrival("position", by_position=True, scanners=0),
    Arrival("network", by_position=False, scanners=0),
    Arrival("position, 2 scanners to ask", by_position=True, scanners=2),
)


class Coach:
    """A box that follows the evidence, and what tells it where it is."""

    def __init__(self, box: Box, gps: Receiver, arrival: Arrival, ports: Mapping[str, int]) -> None:
        self.box = box
        self._gps = gps
        self._arrival = arrival
        self._ports = ports
        self._network = contextlib.ExitStack()

    def appear_at(self, site: str) -> None:
        """Have the evidence of a site."""
        if self._arrival.by_position:
            self._gps.fix = _PLACES[site]
        else:
            self._network.enter_context(socket.create_server(("127.0.0.1", self._ports[site])))

    def leave(self) -> None:
        """Be on the road, with no site in the evidence and none that counts as not left."""
        self._network.close()
        for fix, here in ((_PLACES[_DEPOT], {_DEPOT}), (_ROAD, set[str]())):
            self._gps.fix = fix
            wait_for(lambda here=here: self._counted() == here, within=_PATIENCE, what="the last site to be left")  # type: ignore[misc]
        wait_for(lambda: not self._connects(), within=_PATIENCE, what="the port to be shut")
        wait_for(lambda: not self.box.status().runtime.pid, within=_PATIENCE, what="the runtime to be gone")

    def arrive(self, site: str) -> float:
        """Appear at a site; return the seconds until a scanner gets through."""
        began = time.perf_counter()
        self.appear_at(site)
        while not self._connects():
            if time.perf_counter() - began > _PATIENCE:
                msg = f"the port was not opened; the box said last:\n{self.box.log[-3000:]}"
                raise AssertionError(msg)
            time.sleep(0.002)
        return time.perf_counter() - began

    def end(self) -> None:
        """Take the evidence away."""
        self._network.close()

    def _counted(self) -> set[str]:
        return {each.site for each in self.box.client.site_location().sites if each.phase is not Phase.AWAY}

    def _connects(self) -> bool:
        with socket.socket() as scanner:
            return scanner.connect_ex((self.box.host, self.box.port)) == 0


def waits(folder: Path, arrival: Arrival, rounds: int, *, contained: bool) -> list[float]:
    """Return what each arrival at another site took beyond the dwell, in seconds."""
    found = []
    with _coach(folder, arrival, contained=contained) as coach:
        for number in range(rounds + 1):
            coach.leave()
            took = coach.arrive((_OTHER, SITE)[number % 2]) - DWELL
            status = coach.box.wait_until_open()
            assert status.runtime.isolated is contained, status.runtime
            found.append(took)
    # The first one makes a site's folder and key.
    return found[1:]


@contextlib.contextmanager
def _coach(folder: Path, arrival: Arrival, *, contained: bool) -> Iterator[Coach]:
    folder.mkdir(parents=True)
    ports = {site: free_port() for site in _PLACES}
    with contextlib.ExitStack() as peers:
        gps = peers.enter_context(receiver(_ROAD))
        gpsd = peers.enter_context(Gpsd(folder / "gpsd", gps.path))
        scanners = [
            peers.enter_context(Dcmqrscp(folder / f"ct{n}", ae_title=f"CT{n}")) for n in range(arrival.scanners)
        ]
        settings: dict[str, Any] = {
            "location": {"gpsd": f"127.0.0.1:{gpsd.port}", "poll": _TIMES["dwell"], "leave_after": "1s"},
            "preflight": {"required": bool(scanners)},
            "modality": [{"ae_title": each.ae_title, "host": each.host, "port": each.port} for each in scanners],
        }
        box = Box(
            folder / "box",
            Target("pacs", "NOBODY", 9),
            settings=settings,
            tables={"location": _location(SITE, arrival, ports)},
            before=() if contained else BARE,
        )
        coach = Coach(box, gps, arrival, ports)
        peers.callback(coach.end)
        # A box is ready when it serves its first site.
        coach.appear_at(SITE)
        peers.enter_context(box)
        for site in (_OTHER, _DEPOT):
            box.client.profile_import(m.ProfileImport(_profile(site, arrival, ports)))
        yield coach


def _location(site: str, arrival: Arrival, ports: Mapping[str, int]) -> dict[str, Any]:
    here = _PLACES[site]
    west, east, south, north = (
        here.longitude - 0.005,
        here.longitude + 0.005,
        here.latitude - 0.003,
        here.latitude + 0.003,
    )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    fence = {"geofence": {"type": "Polygon", "coordinates": [ring]}}
    network = {"evidence": [{"endpoint": {"host": "127.0.0.1", "port": ports[site]}}]}
    if site == _DEPOT:
        return {**_TIMES, **fence, **network}
    return {**_TIMES, **(fence if arrival.by_position else network)}


def _profile(site: str, arrival: Arrival, ports: Mapping[str, int]) -> str:
    head = {"schema": 1, "id": site, "name": site, "version": 1, "timezone": "America/Chicago"}
    target = Target("pacs", "NOBODY", 9).table()
    return tomli_w.dumps({**head, "destination": [target], "location": _location(site, arrival, ports)})
