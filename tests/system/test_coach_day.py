"""A day of a coach: three sites, two scanners, outages, a forgotten patient, and a power failure in every state.

The daemon is the real one with a clock that is 100 times as fast; gpsd, PACS and senders are real programs.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.location import Location
from capacitord.model.presence import Phase
from capacitord.model.states import GateState
from tests.fluxctl.conftest import command
from tests.images import CT_STORAGE, EXPLICIT_LITTLE
from tests.peers.wire import Wire
from tests.system.box import AE_TITLE
from tests.system.coach import DWELL, HOME, Coach, Site, coach
from tests.system.coach_daemon import SPEED

pytestmark = pytest.mark.peers

PARKED, CANDIDATE, PREFLIGHT = GateState.PARKED, GateState.CANDIDATE, GateState.PREFLIGHT
BLOCKED, OPEN, CLOSING = GateState.BLOCKED, GateState.OPEN, GateState.CLOSING
OPENED = (
    ("st-marys", "it was never open before"),
    ("lakeside", "the preflight is clean"),
    ("valley", "the preflight is waived"),
    ("st-marys", "the preflight is clean"),
)
"""For which sites it is opened, and why that may be."""


def test_at_the_end_of_the_day_each_pacs_has_its_own_images_and_no_other(tmp_path: Path) -> None:
    with coach(tmp_path) as (bus, (st_marys, lakeside, valley)):
        home_and_a_drive_past(bus, st_marys, valley)
        morning(bus, st_marys)
        over_to_lakeside(bus, st_marys, lakeside)
        noon(bus, lakeside)
        without_gps(bus, lakeside, valley)
        evening(bus, st_marys)
        everything_is_where_it_belongs(bus, st_marys, lakeside, valley)


def home_and_a_drive_past(bus: Coach, st_marys: Site, valley: Site) -> None:
    bus.at("06:30, parked at home")
    bus.expect_gate(PARKED, None, "at no site it knows")
    bus.crash(PARKED)
    bus.expect_gate(PARKED, None, "at no site it knows")

    bus.at("07:10, driving past St. Mary's")
    bus.drive(st_marys.at)
    bus.expect_location("to have come near", lambda found: phase(found, st_marys) is not Phase.AWAY)
    bus.drive(HOME)
    bus.expect_location("to be gone again", lambda found: phase(found, st_marys) is Phase.AWAY)

    bus.at("07:40, at St. Mary's, with a network that is Valley's")
    arrived = time.monotonic()
    bus.drive(st_marys.at)
    bus.plug_in(valley)
    bus.expect_gate(PARKED, None, "disagrees", "the position says st-marys (", "and the network says valley")
    bus.check(SPEED * (time.monotonic() - arrived) > DWELL, "nothing to be decided before the dwell is over")
    bus.expect("advice about the conflict", lambda s: "location-conflict" in {each.reference for each in s.advice})
    bus.check(not gates(bus), "the gate never to have left parked")


def morning(bus: Coach, st_marys: Site) -> None:
    bus.at("07:50, at St. Mary's, with its own network")
    bus.crash_when(CANDIDATE, lambda: bus.plug_in(st_marys))
    bus.expect_gate(OPEN, st_marys)
    bus.scan(st_marys, bus.ct, 3)
    bus.scan(st_marys, bus.us, 2)
    bus.expect_delivered(st_marys)

    bus.at("10:00, the PACS of St. Mary's is down")
    st_marys.pacs.stop()
    bus.scan(st_marys, bus.ct, 2)
    bus.scan(st_marys, bus.us, 1)
    bus.expect("3 images to wait", lambda status: status.traffic and status.traffic.spool.undelivered_images == 3)
    bus.crash(OPEN)
    bus.expect_gate(OPEN, st_marys)
    bus.expect("3 images to wait", lambda status: status.traffic and status.traffic.spool.undelivered_images == 3)
    bus.check(not bus.box.client.site_departure().is_clear, "something to be open at departure")


def over_to_lakeside(bus: Coach, st_marys: Site, lakeside: Site) -> None:
    bus.at("11:00, leaving St. Mary's while the CT is still sending")
    (last,) = st_marys.patient(1)
    with Wire(bus.box.host, bus.box.port, [(CT_STORAGE, EXPLICIT_LITTLE)], called=AE_TITLE, calling="CT_1") as wire:
        bus.check(wire.store(last) == 0, "the last image of St. Mary's to be acknowledged")
        st_marys.images.append(last)
        bus.ct.forget()
        bus.ct.hang()
        bus.go(lakeside)
        bus.expect_gate(CLOSING, st_marys, "goes over to lakeside")
        bus.crash(CLOSING)

    bus.at("11:40, at Lakeside; the CT hangs")
    bus.expect_gate(PREFLIGHT, lakeside)
    bus.crash(PREFLIGHT)
    bus.expect_gate(PREFLIGHT, lakeside, "scanners are asked")
    bus.expect("images of St. Mary's to go on leaving", lambda status: [d.images for d in status.draining] == [4])

    bus.at("12:00, the CT is started again; two patients of St. Mary's are still on the ultrasound")
    bus.ct.start_again()
    bus.expect_gate(BLOCKED, lakeside, "US_1 still has 2 studies")
    bus.crash(BLOCKED)
    bus.expect_gate(BLOCKED, lakeside, "US_1 still has 2 studies")

    bus.at("12:20, the patients are deleted")
    bus.us.forget()
    bus.expect_gate(OPEN, lakeside)


def noon(bus: Coach, lakeside: Site) -> None:
    bus.at("13:00, at Lakeside")
    bus.scan(lakeside, bus.us, 2)
    bus.scan(lakeside, bus.ct, 4)
    bus.expect_delivered(lakeside)


def without_gps(bus: Coach, lakeside: Site, valley: Site) -> None:
    bus.at("14:30, the aerial is torn off on the road")
    bus.us.forget()
    bus.gps.fix = None
    lakeside.unplug()
    lost = f"nothing says that the box has left {lakeside.name}"
    bus.expect_location("no evidence any more", lambda found: found.position is None and lost in found.reasons)
    bus.expect_gate(OPEN, lakeside)

    bus.at("15:00, at Valley, which a person says; a patient of Lakeside can't be deleted on the CT")
    bus.box.client.site_activate(valley.name, "the aerial is gone")
    bus.expect_gate(BLOCKED, valley, "CT_1 still has 1 study")
    bus.box.client.site_activate(valley.name, "the CT is of 2009 and keeps him until midnight", waive_preflight=True)
    bus.expect_gate(OPEN, valley)
    bus.check(bus.box.status().override, "the activation to be shown as an override")
    bus.scan(valley, bus.ct, 2)
    bus.scan(valley, bus.us, 3)
    bus.expect_delivered(valley)

    bus.at("15:30, a new aerial")
    bus.go(valley)
    bus.expect_location("valley", lambda found: found.site == valley.name)
    bus.box.client.site_follow("the aerial is back")
    bus.expect_gate(OPEN, valley)
    bus.check(not bus.box.status().override, "the override to be ended")
    bus.ct.forget()
    bus.us.forget()


def evening(bus: Coach, st_marys: Site) -> None:
    bus.at("17:00, on the road")
    bus.drive(HOME)
    bus.expect_gate(PARKED, None, "at no site it knows")

    bus.at("17:30, at St. Mary's again, whose PACS is up")
    st_marys.pacs.start()
    bus.go(st_marys)
    bus.expect_gate(OPEN, st_marys)
    bus.scan(st_marys, bus.us, 1)
    bus.expect_delivered(st_marys)


def everything_is_where_it_belongs(bus: Coach, *sites: Site) -> None:
    bus.at("18:30, the end of the day")
    bus.expect("nothing to be open at departure", lambda _: bus.box.client.site_departure().is_clear)
    for words in (("site", "departure"), ("audit", "verify")):
        done = subprocess.run(
            [*command("--socket", str(bus.box.client.socket_path), *words)], capture_output=True, text=True, check=False
        )
        bus.check(done.returncode == 0, f"fluxctl {' '.join(words)} to be content; it says {done.stdout}{done.stderr}")
    bus.check(not bus.box.status().draining, "no site to be draining")
    for entry in bus.box.client.site_list().sites:
        bus.check(not entry.undelivered_images, f"nothing of {entry.id} to be undelivered")
    for site in sites:
        sent = sorted((image.sop_instance_uid, image.sha256()) for image in site.images)
        got = sorted((image.sop_instance_uid, image.sha256()) for image in site.pacs.images())
        bus.check(got == sent, f"the PACS of {site.name} to have its images and no other; {sent} and not {got}")
    cleared = [(*entry.subjects, entry.detail) for entry in audit(bus, "gate.clear")]
    bus.check(len(cleared) == len(OPENED), f"the box to have opened {len(OPENED)} times: {cleared}")
    for (site_id, detail), (wanted, why) in zip(cleared, OPENED, strict=True):
        bus.check(site_id == wanted and why in detail, f"the box to have opened for {wanted} as {why}: {detail}")


def phase(found: Location, site: Site) -> Phase:
    return next(each.phase for each in found.sites if each.site == site.name)


def gates(bus: Coach) -> list[m.AuditEntry]:
    return [entry for entry in audit(bus) if entry.action.startswith("gate.")]


def audit(bus: Coach, action: str = "") -> list[m.AuditEntry]:
    return list(bus.box.client.audit_show(m.AuditQuery(limit=1000, action=action)).entries)
