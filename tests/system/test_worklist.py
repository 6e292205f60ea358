"""The worklist on the real box: DCMTK's server as the site's source, DCMTK's findscu as the scanner."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest
import tomli_w

from capacitord.api import messages as m
from capacitord.errors import NotFound
from capacitord.model.states import GateState
from capacitord.model.worklist_cache import ListState
from tests.chaos.link import Way
from tests.chaos.proxy import Proxy
from tests.dicom.worklist import painters
from tests.peers.findscu import Found, findscu
from tests.peers.wlmscpfs import Wlmscpfs
from tests.system.box import AE_TITLE, SITE, Box, Target
from tests.system.test_sites import activate
from tests.wait import wait_for

pytestmark = pytest.mark.peers

OTHER = "lakeside"
ZONE = ZoneInfo("America/Chicago")
NOWHERE = Target("worklist", "NOWHERE", 1)
"""A destination that has the name of what is none."""

VERMEER, VIGEE, KLEE = "VJ16321031", "VE17550416", "KP18791218"


class Ris(Wlmscpfs):
    """The worklist server of a site; its entries are of today unless a test says otherwise."""

    def put(self, *accessions: str, day: int = 0, **changed: str) -> None:
        """Have it know these entries of the painters, so many days from today, some attributes of them changed."""
        today = f"{dt.datetime.now(ZONE) + dt.timedelta(days=day):%Y%m%d}"
        for said in painters.entries():
            if said["AccessionNumber"] in accessions:
                (step,) = said["ScheduledProcedureStepSequence"]
                of_today = {**step, "ScheduledProcedureStepStartDate": today}
                path = self.entries / f"{said['AccessionNumber']}.wl"
                painters.write({**said, **changed, "ScheduledProcedureStepSequence": [of_today]}, path)

    def take_away(self, accession: str) -> None:
        (self.entries / f"{accession}.wl").unlink()


def table(port: int, **more: Any) -> dict[str, Any]:
    """Return a profile's `[worklist]` whose source is on this port."""
    return {"source": {"ae_title": "RIS", "host": "127.0.0.1", "port": port}, "refresh": "10m", **more}


class Coach:
    """A box with a worklist, its source, and the link between them."""

    def __init__(self, folder: Path, ris: Ris, link: Proxy, box: Box) -> None:
        self.folder, self.ris, self.link, self.box = folder, ris, link, box
        self._queries = itertools.count(1)

    @property
    def port(self) -> int:
        """The worklist port, as the status tells it."""
        listener = self.box.wait(lambda status: status.worklist, what="a worklist port")
        return listener.port

    def ask(self, *keys: str, port: int | None = None) -> Found:
        """Ask for the worklist as the scanner does."""
        asked = ("AccessionNumber", "PatientName", "PatientID", "StudyInstanceUID", *keys)
        step = "ScheduledProcedureStepSequence[0].ScheduledStationAETitle"
        folder = self.folder / f"query{next(self._queries)}"
        return findscu(folder, self.port if port is None else port, keys=(step, *asked), called=AE_TITLE)

    def listed(self) -> set[str]:
        """Return the accession numbers that the scanner gets."""
        found = self.ask()
        assert found.status == 0, found.log
        return accessions(found)

    def known(self) -> m.WorklistStatus:
        known = self.box.traffic().worklist
        assert known is not None
        return known

    def wait_for(self, state: ListState, entries: int) -> None:
        """Wait until the list is so, with so many entries."""

        def look(status: m.Status) -> bool:
            known = status.traffic and status.traffic.worklist
            return bool(known and known.state is state and known.entries == entries)

        self.box.wait(look, what=f"a list that is {state} with {entries} entries")


@contextmanager
def coach(folder: Path, *, down: bool = False, **more: Any) -> Iterator[Coach]:
    """Run a box whose source knows two patients; it is not there from the start if it is `down`."""
    with Ris(folder / "ris") as ris, Proxy(ris.host, ris.port) as link:
        ris.put("10000", "20001")
        if down:
            link.refuse()
        tables = {"worklist": table(link.port, **more)}
        settings = {"worklist": {"port": 0}}
        with Box(folder / "box", NOWHERE, settings=settings, tables=tables) as box:
            yield Coach(folder, ris, link, box)


def accessions(found: Found) -> set[str]:
    return {str(each.AccessionNumber) for each in datasets(found)}


def datasets(found: Found) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(io.BytesIO(data), force=True) for data in found.files]


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def fluxctl(box: Box, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fluxctl")
    command = [str(program), "--socket", str(box.client.socket_path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_scanner_gets_the_corrected_list_and_people_see_before_and_after(tmp_path: Path) -> None:
    corrections: dict[str, Any] = {
        "correct": [{"match": {"Modality": "MR"}, "set": {"ScheduledStationAETitle": "COACHMR"}}]
    }
    with coach(tmp_path, **corrections) as coached:
        box, ris = coached.box, coached.ris
        coached.wait_for(ListState.FRESH, 2)
        found = coached.ask()
        assert (found.status, accessions(found)) == (0, {"10000", "20001"})
        stations = {
            str(each.AccessionNumber): str(each.ScheduledProcedureStepSequence[0].ScheduledStationAETitle)
            for each in datasets(found)
        }
        assert stations == {"10000": "COACHMR", "20001": "COACH1"}

        ris.put("40001")
        ris.put("20001", PatientSex="O")
        ris.take_away("10000")
        said = fluxctl(box, "worklist", "refresh")
        assert said.returncode == 0, said.stderr
        assert "New: 1" in said.stdout
        assert "Vanished: 1" in said.stdout
        assert "Changed: 1" in said.stdout
        assert "KLEE, PAUL" in said.stdout
        assert coached.listed() == {"20001", "40001"}

        known = box.client.worklist_list(vanished=True)
        assert [each.accession_number for each in known.entries if each.vanished] == ["10000"]
        detail = box.client.worklist_show("10000")
        (station,) = [each for each in detail.attributes if each.name.endswith("ScheduledStationAETitle")]
        assert (station.before, station.after, station.by) == ("COACH1\\COACH2", "COACHMR", ("worklist.correct[0]",))
        assert box.client.worklist_show(detail.entry.id[:5]).entry == detail.entry

        box.stop()
        for said_of_her in ("VERMEER", VERMEER, "10000", "KLEE", KLEE, "40001"):
            assert said_of_her not in box.log


def test_a_new_version_of_the_profile_corrects_what_there_is_anew_and_without_a_worklist_there_is_no_port(
    tmp_path: Path,
) -> None:
    with coach(tmp_path) as coached:
        box = coached.box
        coached.wait_for(ListState.FRESH, 2)
        coached.link.refuse()
        port = coached.port

        def stations() -> set[str]:
            steps = [each.ScheduledProcedureStepSequence[0] for each in datasets(coached.ask(port=port))]
            return {str(step.ScheduledStationAETitle) for step in steps}

        assert "HERE" not in stations()
        box.transforms = [{"on": "worklist", "set": {"ScheduledStationAETitle": "HERE"}}]
        box.serve(NOWHERE)
        wait_for(lambda: stations() == {"HERE"}, what="the list to be corrected anew")
        assert not [each for each in box.status().advice if each.reference == "profile-idle"]

        box._tables = {}
        box.transforms = []
        box.serve(NOWHERE)
        box.wait(lambda status: status.worklist is None, what="the profile without a worklist")
        wait_for(lambda: refused(port), what="the worklist port to be shut")
        with pytest.raises(NotFound, match="has no worklist"):
            box.client.worklist_list()


def test_no_list_that_is_not_whole_takes_the_place_of_a_good_one(tmp_path: Path) -> None:
    with coach(tmp_path) as coached, talking_nonsense() as nonsense:
        box, link, ris = coached.box, coached.link, coached.ris
        coached.wait_for(ListState.FRESH, 2)
        ris.put("40001")
        faults: dict[str, Callable[[], object]] = {
            "nobody is there": link.refuse,
            "it breaks off": lambda: link.cut_after(700, Way.DOWN),
            "it speaks no DICOM": lambda: link.redirect("127.0.0.1", nonsense),
            "it is dead": ris.kill,
        }
        for what, fault in faults.items():
            fault()
            answer = box.client.worklist_refresh()
            assert not answer.ok, what
            assert answer.reason
            link.clear()
            link.redirect(ris.host, ris.port)
            assert coached.listed() == {"10000", "20001"}, what
        known = coached.known()
        assert (known.state, known.entries) == (ListState.FRESH, 2)
        assert known.failures >= len(faults)
        said = fluxctl(box, "worklist", "refresh")
        assert said.returncode == 75
        assert "did not send its list" in said.stdout
        recorded = box.client.audit_show(m.AuditQuery(action="worklist.refresh")).entries
        assert {each.result for each in recorded} == {"begun", "try-again"}
        ris.start()
        assert box.client.worklist_refresh().ok
        assert coached.listed() == {"10000", "20001", "40001"}
        assert coached.known().failures == 0


def test_a_source_that_is_down_from_the_start_gives_an_empty_list_with_a_warning_and_no_wait(tmp_path: Path) -> None:
    with coach(tmp_path, down=True) as coached:
        box = coached.box
        began = time.monotonic()
        found = coached.ask("PatientID=nobody")
        assert time.monotonic() - began < 30, "scanners wait half a minute or longer"
        assert (found.status, found.files) == (0, ())
        assert "No worklist has been fetched yet: this list is empty." in found.log
        advice = box.wait(lambda status: advised(status, "worklist-none"), what="advice on the worklist")
        assert "scanners get an empty one" in advice.message
        assert "fluxctl worklist refresh" in advice.hint
        assert "Worklist port" in fluxctl(box, "status").stdout
        coached.link.clear()
        # It is asked again by itself.
        coached.wait_for(ListState.FRESH, 2)
        assert "This list is empty" not in coached.ask().log
        assert box.status().traffic is not None
        assert advised(box.status(), "worklist-none") is None


def advised(status: m.Status, reference: str) -> m.Advice | None:
    advice = status.traffic.advice if status.traffic else ()
    return next((each for each in advice if each.reference == reference), None)


def test_a_list_that_is_out_of_date_is_served_and_the_scanner_status_and_log_say_so(tmp_path: Path) -> None:
    with coach(tmp_path, stale_after="2s") as coached:
        box = coached.box
        coached.wait_for(ListState.FRESH, 2)
        coached.link.refuse()
        coached.wait_for(ListState.STALE, 2)
        found = coached.ask()
        assert (found.status, len(found.files)) == (0, 2)
        assert re.search(r"This worklist is old: fetched (just now|[0-9]+ s ago)\.", found.log)
        assert advised(box.status(), "worklist-old") is not None
        wait_for(lambda: "is out of date" in box.log, what="a word in the log")
        assert box.log.count("is out of date") == 1


def test_whoever_is_not_on_the_list_is_looked_for_at_the_source(tmp_path: Path) -> None:
    with coach(tmp_path) as coached:
        coached.wait_for(ListState.FRESH, 2)
        assert coached.box.client.worklist_refresh().ok
        coached.ris.put("40001")
        assert coached.listed() == {"10000", "20001"}, "nobody in particular was asked for"
        assert accessions(coached.ask("PatientID=" + KLEE)) == {"40001"}
        coached.ris.put("40002", "30001", day=40)
        assert accessions(coached.ask("AccessionNumber=40002")) == {"40002"}, "a moment later, and of another day"
        assert coached.box.client.worklist_refresh().ok
        assert coached.listed() == {"10000", "20001", "40001", "40002"}

        coached.link.refuse()
        found = coached.ask("AccessionNumber=30001")
        assert (found.status, found.files) == (0, ())
        assert "The source could not be asked for this patient or order." in found.log
        coached.box.stop()
        for said_of_him in ("KLEE", KLEE, "40001", "40002", "30001"):
            assert said_of_him not in coached.box.log


def test_a_killed_runtime_serves_the_list_again_without_the_source(tmp_path: Path) -> None:
    with coach(tmp_path) as coached:
        box = coached.box
        coached.wait_for(ListState.FRESH, 2)
        coached.ris.take_away("20001")
        assert box.client.worklist_refresh().ok
        coached.link.refuse()
        assert box.kill_runtime()
        box.wait_until_open()
        assert coached.listed() == {"10000"}
        (gone,) = [each for each in box.client.worklist_list(vanished=True).entries if each.vanished]
        assert gone.accession_number == "20001"
        box.restart()
        assert coached.listed() == {"10000"}
        assert not list(box.state.rglob("*.wl"))
        for path in box.state.rglob("*"):
            assert not path.is_file() or VERMEER.encode() not in path.read_bytes(), path


def test_a_site_never_serves_the_list_of_another_and_a_parked_box_serves_none(tmp_path: Path) -> None:
    with coach(tmp_path) as coached, Ris(tmp_path / "other") as theirs:
        box = coached.box
        coached.wait_for(ListState.FRESH, 2)
        ours = coached.port
        theirs.put("40001")
        box.client.profile_import(m.ProfileImport(_profile(OTHER, table(theirs.port))))
        activate(box, OTHER)
        coached.wait_for(ListState.FRESH, 1)
        assert coached.listed() == {"40001"}

        box.client.site_deactivate("a test")
        box.wait(lambda status: status.gate.state is GateState.PARKED, what="the box to be parked")
        assert box.status().worklist is None
        assert refused(ours)

        coached.link.refuse()
        theirs.kill()
        activate(box, SITE)
        assert coached.listed() == {"10000", "20001"}
        activate(box, OTHER)
        assert coached.listed() == {"40001"}

        box.client.profile_import(m.ProfileImport(_profile("clinic", None)))
        activate(box, "clinic")
        assert box.status().worklist is None
        assert refused(ours)


def _profile(site: str, worklist: dict[str, Any] | None) -> str:
    tables = {"schema": 1, "id": site, "name": site, "version": 1, "timezone": str(ZONE)}
    more = {} if worklist is None else {"worklist": worklist}
    return tomli_w.dumps({**tables, "destination": [NOWHERE.table()], **more})


@contextmanager
def talking_nonsense() -> Iterator[int]:
    """Run a server that answers everybody with something that is no DICOM; yield its port."""

    class Nonsense(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
