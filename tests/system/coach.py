"""A coach and the places it goes to: three sites each with a PACS and a network, two scanners, a GPS, and the box."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from capacitord.api import messages as m
from capacitord.api.location import Location
from capacitord.errors import CapacitordError
from capacitord.model.states import GateState
from tests.dicom import scanner as rig
from tests.images import TINY, Image, uid, write_study
from tests.peers.gpsd import Fix, Gpsd, Receiver, receiver
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system import coach_daemon
from tests.system.box import AE_TITLE, PATIENCE, Box, Target
from tests.system.coach_daemon import FAILS_AT, SPEED
from tests.wait import wait_for

HOME = Fix(41.8000, -87.6250)
DWELL = 90
"""Seconds of the coach's day."""
_Found = TypeVar("_Found")


class Site:
    """A facility: where it is, its PACS, and a network in which something of its own listens while the coach is in."""

    def __init__(self, name: str, at: Fix, pacs: Storescp, folder: Path, seed: int) -> None:
        self.name = name
        self.at = at
        self.pacs = pacs
        self.images: list[Image] = []
        """All that the box acknowledged while it was open for this site."""
        self._folder = folder
        self._seed = seed
        self._network: socket.socket | None = None
        # Keeps the port while nobody listens there.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))

    def patient(self, images: int) -> list[Image]:
        """Return the images of a patient nobody has seen before."""
        self._seed += 1
        return write_study(self._folder / f"{self._seed}", images=images, shape=TINY, seed=self._seed)

    def plug_in(self) -> None:
        """Be in its network."""
        self._network = socket.create_server(self._place.getsockname(), backlog=1024)

    def unplug(self) -> None:
        """Be in its network no more."""
        if self._network is not None:
            self._network.close()
            self._network = None

    def close(self) -> None:
        """Give everything back."""
        self.unplug()
        self._place.close()

    def profile(self) -> str:
        """Return its profile: what lies in a square around it, and has its network, is this site."""
        west, east = self.at.longitude - 0.005, self.at.longitude + 0.005
        south, north = self.at.latitude - 0.003, self.at.latitude + 0.003
        square = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        host, port = self._place.getsockname()
        return tomli_w.dumps(
            {
                "schema": 1,
                "id": self.name,
                "name": self.name,
                "version": 1,
                "timezone": "America/Chicago",
                "location": {
                    "geofence": {"type": "Polygon", "coordinates": [square]},
                    "dwell": f"{DWELL}s",
                    "evidence": [{"endpoint": {"host": host, "port": port}}],
                },
                "destination": [Target("pacs", self.pacs.ae_title, self.pacs.port).table()],
                "delivery": {"when_inactive": "drain"},
            }
        )


class Modality:
    """A scanner: sends what it makes, and names in a C-FIND whom it still has."""

    def __init__(self, ae_title: str) -> None:
        self.ae_title = ae_title
        self.patients: list[Mapping[str, object]] = []
        self._says = rig.has(lambda: self.patients)
        self._port = rig.Scanner(self._says)

    @property
    def table(self) -> dict[str, Any]:
        """Its `[[modality]]` table."""
        return {"ae_title": self.ae_title, "host": "127.0.0.1", "port": self._port.port}

    def examine(self, images: Sequence[Image]) -> None:
        """Have a patient on it, who stays until she is deleted."""
        study = {"PatientID": images[0].path.parent.name, "StudyInstanceUID": uid(images[0].path.parent.name)}
        self.patients.append(rig.STUDY | study)

    def forget(self) -> None:
        """Have nobody on it any more."""
        self.patients.clear()

    def hang(self) -> None:
        """Take connections and say nothing, from now on."""
        self._port.script = rig.is_silent

    def start_again(self) -> None:
        """Drop all connections, and say again whom it has."""
        self._port.script = self._says
        self._port.hang_up()

    def close(self) -> None:
        """Switch it off."""
        self._port.switch_off()


class CoachBox(Box):
    """The box of a coach, which follows where that is."""

    def __init__(self, folder: Path, gpsd: Gpsd, scanners: Sequence[Modality], sites: Sequence[Site]) -> None:
        settings: dict[str, Any] = {
            "location": {"gpsd": f"{gpsd.host}:{gpsd.port}", "leave_after": "2m", "max_age": "3m", "poll": "1s"},
            "preflight": {"required": True, "waiver": True, "every": "1s", "timeout": "60s"},
            "modality": [each.table for each in scanners],
            "spool": {"study_quiet": "1s"},
        }
        super().__init__(folder, settings=settings, command=(sys.executable, "-P", coach_daemon.__file__))
        self.sites = sites

    def furnish(self) -> None:
        """See `Box`: all sites at once, so that none of them is the first."""
        first, *others = (m.ProfileSource(site.profile(), f"{site.name}.toml") for site in self.sites)
        self.client.profile_import(m.ProfileImport(first.text, others=tuple(others)))


class Coach:
    """The coach, and all who are with it; `hour` says what time it is, and what is going on."""

    def __init__(self, box: CoachBox, gps: Receiver, ct: Modality, us: Modality) -> None:
        self.box = box
        self.gps = gps
        self.ct, self.us = ct, us
        self.hour = ""
        self._site: Site | None = None

    # --- where it is

    def at(self, hour: str) -> None:
        """Begin an hour of the day."""
        self.hour = hour

    def drive(self, to: Fix) -> None:
        """Leave whatever network it is in, and be somewhere."""
        if self._site is not None:
            self._site.unplug()
            self._site = None
        self.gps.fix = to

    def go(self, site: Site) -> None:
        """Be at a site, in its network."""
        self.drive(site.at)
        self.plug_in(site)

    def plug_in(self, site: Site) -> None:
        """Be in the network of a site, be it the wrong one, and in no other."""
        if self._site is not None:
            self._site.unplug()
        site.plug_in()
        self._site = site

    # --- what is expected

    def expect(self, what: str, look: Callable[[m.Status], _Found | None]) -> _Found:
        """Wait until the box says what is expected at this hour."""

        def condition() -> _Found | None:
            assert self.box.program.running, "the daemon has ended"
            try:
                return look(self.box.status())
            except CapacitordError:
                return None

        return wait_for(condition, within=PATIENCE, what=what)

    def check(self, right: object, what: str) -> None:
        """Fail unless something is so at this hour."""
        assert right, f"expected {what}"

    def expect_gate(self, state: GateState, site: Site | None, *words: str) -> m.Gate:
        """Wait until the gate is in a state for a site, or none, with these words in its reason; check the port."""

        def look(status: m.Status) -> m.Gate | None:
            found = status.site.id if status.site else None
            right = found == (site and site.name) and status.gate.state is state
            return status.gate if right and all(word in status.gate.reason for word in words) else None

        whose = f" for {site.name}" if site else ""
        gate = self.expect(f"the gate to be {state}{whose}{' as ' if words else ''}{' … '.join(words)}", look)
        if state is GateState.OPEN:
            self.expect("a scanner to be let in", lambda status: status.gate.may_scan)
            self.check(self.is_listening, "the storage port to take connections")
        else:
            self.check(not self.is_listening, "the storage port to refuse connections")
        return gate

    def expect_location(self, what: str, look: Callable[[Location], _Found | None]) -> _Found:
        """Wait until the box says something of where it is."""
        return self.expect(what, lambda _: look(self.box.client.site_location()))

    @property
    def is_listening(self) -> bool:
        """Whether anything takes connections on the storage port."""
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex((self.box.host, self.box.port)) == 0

    # --- what happens

    def scan(self, site: Site, modality: Modality, images: int) -> None:
        """Examine a patient of a site, and send her images, all of which must be acknowledged."""
        made = site.patient(images)
        modality.examine(made)
        sent = storescu(made, self.box.host, self.box.port, called=AE_TITLE, calling=modality.ae_title)
        self.check(len(sent.acknowledged) == images, f"{images} images of {site.name} to be acknowledged")
        site.images += made

    def expect_delivered(self, site: Site) -> None:
        """Wait until the PACS of the active site has as many images as the box has acknowledged, and said so."""

        def look(_: m.Status) -> bool:
            waiting = sum(row.images for row in self.box.client.queue_list().destinations)
            return not waiting and len(site.pacs.received()) >= len(site.images)

        self.expect(f"{len(site.images)} images at the PACS of {site.name}", look)

    def crash(self, state: GateState) -> None:
        """Have the power fail while the gate is in a state, and start the box again."""
        self.check(self.box.status().gate.state is state, f"the gate to be {state} when the power fails")
        self._fail(state)

    def crash_when(self, state: GateState, act: Callable[[], None]) -> None:
        """Have the power fail at the moment when what is done brings the gate into a state; start the box again."""
        order = self.box.folder / FAILS_AT
        order.write_text(f"the gate is {state}:")
        act()
        wait_for(lambda: not self.box.program.running, what=f"the power to fail in {state}")
        self._fail(state)

    def _fail(self, state: GateState) -> None:
        self.box.kill()
        last = [line for line in self.box.log.splitlines() if "the gate is " in line][-1]
        self.check(f"the gate is {state}:" in last, f"the power to fail in {state}, and not later: {last}")
        self.box.launch()
        self.expect("the box to answer", lambda status: status)


@contextmanager
def coach(folder: Path) -> Iterator[tuple[Coach, list[Site]]]:
    """Give a coach at its home base, with a box that was just switched on, and three sites that it knows."""
    began = time.time() - SPEED * time.monotonic()
    with ExitStack() as stack:
        gps = stack.enter_context(receiver(HOME, clock=lambda: began + SPEED * time.monotonic()))
        gpsd = stack.enter_context(Gpsd(folder, gps.path))
        sites = []
        for number, name in enumerate(("st-marys", "lakeside", "valley"), 1):
            pacs = stack.enter_context(Storescp(folder / name, ae_title=f"PACS_{number}", keep_copies=True))
            place = Fix(41.8630 + 0.02 * number, -87.6250)
            sites.append(Site(name, place, pacs, folder / "images", 100 * number))
            stack.callback(sites[-1].close)
        scanners = Modality("CT_1"), Modality("US_1")
        for each in scanners:
            stack.callback(each.close)
        box = stack.enter_context(CoachBox(folder / "box", gpsd, scanners, sites))
        bus = Coach(box, gps, *scanners)
        try:
            yield bus, sites
        except BaseException as error:
            error.add_note(f"It was {bus.hour}. The box said last:\n{box.log[-4000:]}")
            raise
