"""Many sites on one box: which is served, how that changes, and what may be removed."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capacitord.api import messages as m
from capacitord.config import profile as format_
from capacitord.config.box import Box, BoxTable
from capacitord.errors import CapacitordError, StorageFailed
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.gate_history import GateHistory
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.profiles import ProfileStore
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites
from tests.supervisor.daemon import PROFILE, Answer, Daemon, can_connect, running
from tests.wait import wait_for

FENCE = """\
[location]
geofence = {{ type = "Polygon", coordinates = [[[{0}, 41], [{1}, 41], [{1}, 41.006], [{0}, 41.006], [{0}, 41]]] }}
"""


def text(site: str, version: int = 1, port: int = 9, rest: str = "") -> str:
    return PROFILE.format(version=version, port=port).replace("st-marys", site) + rest


def take(daemon: Daemon, *texts: str, **request: Any) -> Answer:
    """Import profiles in one go."""
    first, *others = [{"text": each, "name": f"{number}.toml"} for number, each in enumerate(texts)]
    return daemon.ask("POST", "/v1/profiles", {**first, "others": others, **request})


def activate(daemon: Daemon, site: str) -> Answer:
    return daemon.ask("POST", f"/v1/sites/{site}/activate", {"reason": "a test"})


def sites(daemon: Daemon) -> dict[str, Any]:
    return {each["id"]: each for each in daemon.get("/v1/sites")["sites"]}


def served(daemon: Daemon) -> str:
    """Return the site that is served once the gate is open."""
    found: str = daemon.until("open")["site"]["id"]
    return found


def runtimes(daemon: Daemon) -> list[int]:
    """Return the processes that the daemon has had started, each in a container by a process of bubblewrap's."""
    return [inner for outer in children(daemon.process.pid) for inner in children(outer)]


def children(pid: int) -> list[int]:
    done = subprocess.run(["/usr/bin/pgrep", "-P", str(pid)], capture_output=True, check=False)
    return [int(child) for child in done.stdout.split()]


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with running() as started:
        yield started


@pytest.fixture
def two(daemon: Daemon) -> Daemon:
    """A box that serves st-marys and knows lakeside, too."""
    daemon.serve()
    assert take(daemon, text("lakeside")).status == 200
    return daemon


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    """Such a box for tests that leave it as it was, but for sites of their own."""
    with running() as started:
        started.serve()
        assert take(started, text("lakeside")).status == 200
        yield started


# --- which site


def test_a_second_site_is_kept_and_not_served(two: Daemon) -> None:
    assert {name: each["active"] for name, each in sites(two).items()} == {"lakeside": False, "st-marys": True}
    assert served(two) == "st-marys"
    assert sites(two)["st-marys"]["gate"] == "open"
    assert "gate" not in sites(two)["lakeside"] or sites(two)["lakeside"]["gate"] is None


def test_going_over_to_another_site(two: Daemon) -> None:
    before = two.until("open")
    assert activate(two, "lakeside").status == 200
    after = two.until("open")
    assert after["site"]["id"] == "lakeside"
    assert after["runtime"]["pid"] != before["runtime"]["pid"]
    assert runtimes(two) == [after["runtime"]["pid"]]
    assert after["listener"]["port"] == before["listener"]["port"]
    assert two.get("/v1/key")["sites"] == ["lakeside", "st-marys"]
    entry = two.get("/v1/audit?action=site.activate")["entries"][-1]
    assert (entry["subjects"], entry["detail"]) == (["lakeside"], "reason: a test; after st-marys")


def test_who_shares_a_login_is_on_record_as_claimed(two: Daemon) -> None:
    said = {"reason": "a test", "operator": "Dr Ann"}
    done = {
        "site.activate": ("/v1/sites/lakeside/activate", "after st-marys"),
        "profile.rollback": ("/v1/profiles/st-marys/rollback", "version 1 in force"),
        "site.deactivate": ("/v1/sites/deactivate", "after lakeside"),
    }
    take(two, text("st-marys", 2))
    for action, (path, after) in done.items():
        assert two.ask("POST", path, said).status == 200
        begun, ended = two.get(f"/v1/audit?action={action}&operator=Dr%20Ann")["entries"]
        assert begun["detail"] == "operator (as claimed): Dr Ann; reason: a test"
        assert ended["detail"] == f"{begun['detail']}; {after}"
    by = two.until("parked")["gate"]["parked"]["by"]
    assert by.startswith("Dr Ann (as ")
    last = two.get("/v1/profiles/st-marys/history")["activations"][-1]
    assert last["by"] == by


def test_the_choice_outlives_a_restart(two: Daemon) -> None:
    activate(two, "lakeside")
    assert served(two) == "lakeside"
    two.stop()
    two.start()
    two.up()
    assert served(two) == "lakeside"


def test_an_open_association_finishes_with_the_site_it_began_with() -> None:
    with running("--stubborn", grace=1.5) as daemon:
        port = daemon.serve()["listener"]["port"]
        take(daemon, text("lakeside"))
        with socket.create_connection(("127.0.0.1", port), timeout=5) as scanner:
            assert scanner.recv(100)
            asked = subprocess.Popen(
                ["/usr/bin/curl", "-sS", "--unix-socket", str(daemon.socket), "-d", '{"reason": "a test"}',
                 "http://box/v1/sites/lakeside/activate"], stdout=subprocess.PIPE
            )  # fmt: skip
            gate = daemon.until("closing")["gate"]
            assert gate["reason"].startswith("the box goes over to lakeside, as ")
            assert "may finish first, for 1.5 s at most" in gate["hint"]
            assert not can_connect(port)
            assert daemon.get("/v1/status")["site"]["id"] == "st-marys"
            scanner.settimeout(0.2)
            with pytest.raises(TimeoutError):
                scanner.recv(100)
            scanner.settimeout(20)
            assert scanner.recv(100) == b""
        assert json.loads(asked.communicate(timeout=20)[0])["subjects"] == ["lakeside"]
        assert served(daemon) == "lakeside"


def test_the_record_decides_when_the_daemon_is_killed_on_the_way() -> None:
    with running("--stubborn", grace=20.0) as daemon:
        port = daemon.serve()["listener"]["port"]
        take(daemon, text("lakeside"))
        orphans = runtimes(daemon)
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            with subprocess.Popen(
                ["/usr/bin/curl", "-s", "--unix-socket", str(daemon.socket), "-d", '{"reason": "a test"}',
                 "http://box/v1/sites/lakeside/activate"], stdout=subprocess.DEVNULL
            ):  # fmt: skip
                record = daemon.state / "active-site"
                wait_for(
                    lambda: record.read_text().partition("\n")[0] == "lakeside",
                    within=20,
                    what="the record to name the other",
                )
                daemon.stop(signal.SIGKILL)
            daemon.start()
            daemon.up()
            assert served(daemon) == record.read_text().partition("\n")[0] == "lakeside"
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), within=10, what="the old runtime")


def test_a_parked_box_takes_nothing(two: Daemon) -> None:
    port = two.until("open")["listener"]["port"]
    assert two.post("/v1/sites/deactivate", {"reason": "on the road"})["subjects"] == ["st-marys"]
    status = two.until("parked")
    gate = status["gate"]
    assert status["site"] is None
    assert gate["reason"].startswith(f"{gate['parked']['by']} parked this box on 20")
    assert gate["parked"]["reason"] == "on the road"
    assert "site activate" in gate["hint"]
    assert not can_connect(port)
    refused = two.ask("GET", "/v1/studies")
    assert (refused.status, refused.error["message"].partition(",")[0]) == (404, "no site is active")
    assert "fluxctl site activate SITE" in refused.error["hint"]
    left = two.get("/v1/departure")
    assert (left["site"], left["leave"], left["matters"]) == ("", "now", [])
    checks = {each["name"]: each for each in two.get("/v1/doctor")["checks"]}
    assert {name: checks[name]["level"] for name in ("gate", "profile", "runtime")} == {
        "gate": "warning",
        "profile": "ok",
        "runtime": "ok",
    }
    assert checks["gate"]["message"] == f"{gate['reason']}: on the road"
    assert two.post("/v1/sites/deactivate", {"reason": "again"})["message"] == "No site was active."
    # What is imported now does not open the port: somebody has parked the box.
    assert take(two, text("general")).json["active"] is False
    two.stop()
    two.start()
    two.up()
    assert {**two.until("parked")["gate"], "since": None} == {**gate, "since": None}
    activate(two, "st-marys")
    assert served(two) == "st-marys"
    assert two.gate()["parked"] is None


def test_what_a_site_leaves_behind_is_told() -> None:
    with running(
        "--undelivered", "12", "--held", "3", "--unrouted", "2", "--refused", "1", "--held-back", "4"
    ) as daemon:
        daemon.serve()
        take(daemon, text("lakeside"))
        wait_for(lambda: sites(daemon)["st-marys"]["undelivered_images"] == 12, what="the count")
        assert (
            "stay at st-marys: 12 undelivered, 3 held for a decision, 4 held back, 2 to be routed, 1 refused."
            in activate(daemon, "lakeside").json["message"]
        )
        daemon.stop()
        daemon.start()
        daemon.up()
        status = daemon.until("open")
        (advice,) = [each for each in status["advice"] if each["reference"] == "undelivered-elsewhere"]
        words = "12 undelivered, 3 held for a decision, 4 held back, 2 to be routed, 1 refused of st-marys"
        assert words in advice["message"]
        left = sites(daemon)["st-marys"]
        kinds = ("undelivered", "held", "held_back", "unrouted", "refused")
        assert [left[f"{kind}_images"] for kind in kinds] == [12, 7, 4, 2, 1]
        assert left["as_of"]
        # To see that no port is opened.
        daemon.post("/v1/sites/deactivate", {"reason": "on the road"})
        found = daemon.get("/v1/departure")
        assert (found["site"], found["leave"]) == ("", "not-yet")
        assert {each["id"]: each["undelivered_images"] for each in found["behind"]} == {"st-marys": 12, "lakeside": 12}
        assert all(each["as_of"] for each in found["behind"])
        assert "images of st-marys do not leave: 12 undelivered, 2 to be routed" in {
            each["message"] for each in found["matters"]
        }


def test_the_list_of_sites_says_what_waits_at_this_moment() -> None:
    with running(pulse=3600.0) as daemon:
        daemon.serve()
        assert sites(daemon)["st-marys"]["undelivered_images"] == 0
        (daemon.state / "sites" / "st-marys" / "undelivered").write_text("ab0001 ab0002")
        assert sites(daemon)["st-marys"]["undelivered_images"] == 2


def test_a_site_of_which_nothing_leaves_does_not_keep_others_from_draining() -> None:
    with running("--undelivered", "3", "--deeds", "1", drains=1, drain_still=0.3, pulse=0.1) as box:

        def drains() -> set[str]:
            found = box.get("/v1/status")["draining"]
            return {each["site"] for each in found if each["state"] != "waiting" and each["isolated"]}

        box.post("/v1/key/init")
        for site in ("harbor", "lakeside"):
            assert take(box, text(site, rest='[delivery]\nwhen_inactive = "drain"\n')).status == 200
            activate(box, site)
            served(box)
            # There is something in its spool, and nobody knows how much.
            (box.state / "sites" / site / "catalog.db").write_text("sealed")
        said = box.log.read_text().count("written: ")
        box.post("/v1/sites/deactivate", {"reason": "a test"})
        for site in ("harbor", "lakeside", "harbor"):
            wait_for(lambda: drains() == {site}, what=f"the turn of {site}")  # noqa: B023 - called at once
        wait_for(lambda: box.log.read_text().count("written: ") > said, what="a drain to hear of its deed's entry")


def test_that_a_drain_is_given_up_with_images_left_is_on_record() -> None:
    with running("--undelivered", "3") as box:
        box.post("/v1/key/init")
        assert take(box, text("harbor", rest='[delivery]\nwhen_inactive = "drain"\n')).status == 200
        served(box)
        (box.state / "sites" / "harbor" / "catalog.db").write_text("sealed")
        box.post("/v1/sites/deactivate", {"reason": "a test"})
        wait_for(
            lambda: [each["images"] for each in box.get("/v1/status")["draining"]] == [3],
            what="three images to be left",
        )
        assert take(box, text("harbor", 2)).status == 200
        wait_for(lambda: box.get("/v1/audit?action=drain.abandon")["entries"], what="the entry")
        (entry,) = box.get("/v1/audit?action=drain.abandon")["entries"]
        assert (entry["subjects"], entry["detail"]) == (["harbor"], "its profile does not say drain; 3 images left")


def test_a_site_that_is_not_there_cannot_be_activated(shared: Daemon) -> None:
    assert activate(shared, "nowhere").status == 404
    assert served(shared) == "st-marys"


def test_a_box_of_an_earlier_version_serves_its_site(daemon: Daemon) -> None:
    daemon.serve()
    daemon.stop()
    (daemon.state / "active-site").unlink()
    (daemon.state / "last-open").unlink()
    (daemon.state / "profiles" / "st-marys" / "history.jsonl").unlink()
    daemon.start()
    daemon.up()
    assert served(daemon) == "st-marys"
    assert (daemon.state / "active-site").read_text() == "st-marys\n"


def test_a_damaged_record_shuts_the_gate_until_somebody_chooses(two: Daemon) -> None:
    two.stop()
    (two.state / "active-site").write_bytes(b"\x00\xff\x00")
    two.start()
    two.up()
    gate = two.until("blocked")["gate"]
    assert "which site is active" in gate["reason"]
    activate(two, "lakeside")
    assert served(two) == "lakeside"


# --- importing


def test_the_first_profile_is_served_and_several_are_not(daemon: Daemon) -> None:
    daemon.post("/v1/key/init")
    answer = take(daemon, text("st-marys"), text("lakeside")).json
    assert [answer["id"], *(each["id"] for each in answer["others"])] == ["st-marys", "lakeside"]
    assert daemon.until("parked")["gate"]["reason"] == "no site is active"
    assert (daemon.state / "active-site").read_text() == "-\n"
    assert answer["active_site"] == ""
    # Nobody wanted that: it is what the doctor calls broken, until somebody chooses a site or none.
    levels = [each["level"] for each in daemon.get("/v1/doctor")["checks"] if each["name"] == "gate"]
    assert levels == ["failure"]
    daemon.post("/v1/sites/deactivate")
    assert daemon.gate()["parked"]["reason"] == ""
    daemon.post("/v1/sites/lakeside/activate", {"reason": "a test"})
    assert served(daemon) == "lakeside"
    assert take(daemon, text("general")).json["active_site"] == "lakeside"


@pytest.mark.parametrize(
    ("second", "status", "words"),
    [
        (text("lakeside", port=0), 400, "port"),
        (text("st-marys", version=3), 409, "0.toml and 1.toml are both profiles of st-marys"),
        (text("lakeside", version=1), 409, "is in force, and this is version 1"),
    ],
)
def test_of_several_all_are_imported_or_none(two: Daemon, second: str, status: int, words: str) -> None:
    take(two, text("lakeside", version=2))
    refused = take(two, text("st-marys", version=2), second)
    assert refused.status in {status, 422}
    assert words in json.dumps(refused.json)
    assert {name: each["version"] for name, each in sites(two).items()} == {"lakeside": 2, "st-marys": 1}


def test_everything_that_is_wrong_in_all_of_them_is_said_at_once(shared: Daemon) -> None:
    refused = take(shared, text("a", port=0), text("b", port=99999))
    assert refused.error["message"] == "2 of 2 profiles have 2 problems"
    assert [line.split(":")[0] for line in refused.error["candidates"]] == ["0.toml", "1.toml"]


def test_where_areas_overlap_is_a_warning(shared: Daemon) -> None:
    assert take(shared, text("east", rest=FENCE.format(-87.63, -87.62))).status == 200
    answer = take(shared, text("general", rest=FENCE.format(-87.625, -87.61))).json
    (warning,) = [each for each in answer["findings"] if each["level"] == "warning"]
    assert "overlaps with that of east" in warning["message"]
    both = take(shared, text("north", rest=FENCE.format(-80, -79.99)), text("south", rest=FENCE.format(-80, -79.99)))
    assert "overlaps with that of south" in json.dumps(both.json["findings"])
    assert "overlaps with that of north" in json.dumps(both.json["others"][0]["findings"])


def test_the_areas_of_all_sites_are_told(two: Daemon) -> None:
    fence = FENCE.format(12, 12.01) + 'dwell = "2m"\n'
    assert take(two, text("west", rest=fence), text("east", rest=FENCE.format(13, 13.01))).status == 200
    stored = two.state / "profiles" / "east" / "1.toml"
    stored.write_text(stored.read_text().replace("127.0.0.1", "10.0.0.66"))
    found = {each["id"]: each for each in two.get("/v1/geofences")["sites"]}
    assert list(found) == ["east", "lakeside", "st-marys", "west"]
    assert found["west"]["geometry"]["coordinates"][0][0] == [12, 41]
    assert (found["west"]["dwell"], found["west"]["active"], found["west"]["problem"]) == (120.0, False, "")
    assert (found["st-marys"]["geometry"], found["st-marys"]["active"]) == (None, True)
    assert found["east"]["geometry"] is None
    assert "east" in found["east"]["problem"]


def test_files_come_with_a_profile_and_leave_with_the_permission_to_operate_only(shared: Daemon) -> None:
    cloud = '[[destination]]\nname = "cloud"\nstow = "https://example.org/s"\ntoken_file = "c.token"\n'
    files = [{"name": name, "data": base64.b64encode(b"token-1").decode()} for name in ("c.token", "stray.txt")]
    answer = take(shared, text("cloudy", 2, rest=cloud), files=files).json
    assert [each["name"] for each in answer["files"]] == ["c.token"]
    assert "dG9rZW4tMQ" not in json.dumps(shared.get("/v1/profiles/cloudy"))
    exported = shared.post("/v1/profiles/cloudy/export")
    assert exported["files"] == [files[0]]
    entry = shared.get("/v1/audit?action=profile.export")["entries"][-1]
    assert (entry["subjects"], entry["detail"]) == (["cloudy"], "version 2 left the box, with 1 files beside it")
    missing = take(shared, text("cloudy", 3, rest=cloud)).json
    assert "c.token is not beside the profile" in json.dumps(missing["findings"])


@pytest.mark.parametrize("name", ["../ca.pem", "/etc/passwd", "a/../b"])
def test_files_have_names_that_lead_nowhere(shared: Daemon, name: str) -> None:
    refused = take(shared, text("nameless"), files=[{"name": name, "data": ""}])
    assert (refused.status, refused.error["where"]) == (400, name) or refused.status == 422


def test_a_key_that_is_not_the_certificates_is_refused(shared: Daemon, tmp_path: Path) -> None:
    files = []
    for name in ("box", "other"):
        pem, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        subprocess.run(
            ["/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", "/CN=box", "-days", "90", "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True
        )  # fmt: skip
        files += [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in (pem, key)]
    tls = "tls = { ca = 'box.pem', certificate = 'box.pem', key = 'other.key' }\n"
    refused = take(shared, text("keyed", rest=tls), files=files)
    assert "other.key is not the key of box.pem" in json.dumps(refused.json)
    assert take(shared, text("keyed", rest=tls.replace("other", "box")), files=files).status == 200


# --- rolling back


def test_rolling_back_and_its_history(two: Daemon) -> None:
    two.import_profile(version=2, port=10)
    answer = two.post("/v1/profiles/st-marys/rollback", {"reason": "the PACS moved back"})
    assert (answer["version"], answer["active"]) == (1, True)
    wait_for(lambda: two.get("/v1/status")["site"]["profile_version"] == 1, what="version 1")
    history = two.get("/v1/profiles/st-marys/history")
    told = [(each["version"], each["how"], each.get("reason", "")) for each in history["activations"]]
    assert told == [(1, "import", ""), (2, "import", ""), (1, "rollback", "the PACS moved back")]
    again = two.ask("POST", "/v1/profiles/st-marys/rollback", {"reason": "x", "version": 1})
    assert (again.status, again.error["message"]) == (409, "version 1 of st-marys is in force already")
    assert two.ask("POST", "/v1/profiles/st-marys/rollback", {"reason": "x", "version": 9}).status == 404
    assert "port = 10" in two.get("/v1/profiles/st-marys?version=2")["text"]


def test_rolling_back_without_a_version_before(shared: Daemon) -> None:
    assert shared.ask("POST", "/v1/profiles/lakeside/rollback", {"reason": "x"}).status == 404


class _Failing(ProfileStore):
    """A store whose disk fails once a version is in force, when the name of the record is to last."""

    def enforce(self, site: str, version: int, user: str, how: m.How, reason: str = "") -> None:
        super().enforce(site, version, user, how, reason)
        raise StorageFailed("the disk refused: Input/output error", hint="Check the disk.")


def test_a_rollback_that_fails_half_way_is_acted_on_and_says_so(tmp_path: Path) -> None:
    async def rolled_back() -> tuple[CapacitordError, int]:
        box, history = Box(box=BoxTable(state=str(tmp_path))), GateHistory(AuditLog(tmp_path / "audit"))
        launcher = Launcher(["/bin/false"], box.isolation)
        serving = Serving(box, launcher, Bounds(), lambda _: None, probe=launcher, journal=history.write)
        store = serving.profiles = _Failing(tmp_path / "profiles")
        for version in (1, 2):
            source = text("st-marys", version)
            profile = format_.check(source, "profile.toml").profile
            assert profile is not None
            store.keep(profile, source.encode(), {}, "anna")
            ProfileStore.enforce(store, "st-marys", version, "anna", m.How.IMPORT)
        serving.site, serving.stored = "st-marys", store.read("st-marys")
        with pytest.raises(StorageFailed) as failed:
            await Sites(serving).rollback(m.ProfileRollback("st-marys", "the PACS moved back", 1), "berta")
        return failed.value, serving.stored.profile.version

    error, acted_on = asyncio.run(rolled_back())
    assert acted_on == 1
    assert error.message == "the disk refused: Input/output error; version 1 of st-marys is in force"
    assert error.done == "version 1 of st-marys is in force"
    assert error.hint == "Check the disk. Then look: fluxctl profile history st-marys"


# --- damage


def test_a_damaged_site_cannot_open_and_the_others_can(two: Daemon) -> None:
    two.stop()
    stored = two.state / "profiles" / "lakeside" / "1.toml"
    stored.write_text(stored.read_text().replace("127.0.0.1", "10.0.0.66"))
    two.start()
    two.up()
    assert served(two) == "st-marys"
    (advice,) = [each for each in two.get("/v1/status")["advice"] if each["reference"] == "profile-damaged"]
    assert "lakeside" in advice["message"]
    assert "profile import" in advice["hint"]
    (damaged,) = two.get("/v1/profiles")["damaged"]
    assert (damaged["id"], damaged["version"]) == ("lakeside", 1)
    assert "set aside" in sites(two)["lakeside"]["problem"]
    assert any("lakeside" in check["message"] for check in two.get("/v1/doctor")["checks"])
    refused = activate(two, "lakeside")
    assert (refused.status, refused.error["reference"]) == (500, "damaged-object")
    assert served(two) == "st-marys"
    assert "lakeside" in two.log.read_text()
    take(two, text("lakeside"))
    activate(two, "lakeside")
    assert served(two) == "lakeside"


def test_a_damaged_version_can_be_left_by_rolling_back(two: Daemon) -> None:
    two.import_profile(version=2)
    two.stop()
    (two.state / "profiles" / "st-marys" / "2.toml").write_bytes(b"\xff")
    two.start()
    two.up()
    assert "rollback st-marys" in two.until("blocked")["gate"]["hint"]
    assert two.post("/v1/profiles/st-marys/rollback", {"reason": "damage"})["version"] == 1
    assert served(two) == "st-marys"


# --- removing


def remove(daemon: Daemon, site: str, **body: str) -> Answer:
    return daemon.ask("POST", f"/v1/profiles/{site}/remove", {"confirm": site, **body})


def test_a_site_is_removed_with_its_history_kept(two: Daemon) -> None:
    assert remove(two, "lakeside").status == 200
    assert sites(two).keys() == {"st-marys"}
    (place,) = (two.state / "profiles-removed").iterdir()
    assert (place / "1.toml").read_text() == text("lakeside")
    assert remove(two, "lakeside").status == 404


def test_the_active_site_is_not_removed_nor_one_that_was_not_named_twice(shared: Daemon) -> None:
    assert "is the active site" in remove(shared, "st-marys").error["message"]
    assert remove(shared, "lakeside", confirm="lakeshore").status == 409
    assert sites(shared).keys() >= {"lakeside", "st-marys"}


def test_a_site_whose_studies_wait_is_not_removed(two: Daemon) -> None:
    activate(two, "lakeside")
    served(two)
    activate(two, "st-marys")
    served(two)
    folder = two.state / "sites" / "lakeside"
    for kind in ("held", "unrouted", "conflicts"):
        (folder / kind).write_text(f"{kind}0001")
    (folder / "undelivered").write_text(" ".join(f"ab{number:04}" for number in range(30)))
    refused = remove(two, "lakeside")
    assert refused.status == 409
    assert refused.error["message"] == "33 studies of lakeside wait here"
    assert refused.error["candidates"][:4] == [
        "held0001  held",
        "unrouted0001  to be routed",
        "conflicts0001  in conflict",
        "ab0000  undelivered",
    ]
    assert refused.error["candidates"][-1] == "and 23 more"
    assert "fluxctl site activate lakeside" in refused.error["hint"]
    assert "DOE" not in json.dumps(refused.json)
    for file in folder.iterdir():
        file.write_text("")
    answer = remove(two, "lakeside").json
    assert "stays sealed" in answer["message"]
    assert folder.exists()
    assert "lakeside" in two.get("/v1/key")["sites"]
    assert len(runtimes(two)) == 1


def test_a_site_whose_spool_cannot_be_looked_into_is_not_removed(two: Daemon) -> None:
    activate(two, "lakeside")
    served(two)
    activate(two, "st-marys")
    (two.state / "sites" / "lakeside" / "catalog.db").write_bytes(b"")
    (two.state / "profiles" / "lakeside" / "1.json").unlink()
    refused = remove(two, "lakeside")
    assert refused.status == 409
    assert "can't be found out" in refused.error["message"]
    assert sites(two).keys() == {"lakeside", "st-marys"}


def test_what_stops_an_import_of_several_leaves_all_of_them_as_they_were(two: Daemon) -> None:
    foreign = two.state / "profiles" / "general"
    foreign.mkdir(mode=0o755)
    foreign.chmod(0o755)
    texts = [text("lakeside", version=2), text("st-marys", version=2), text("general")]
    assert take(two, *texts).status == 409
    assert {name: each["version"] for name, each in sites(two).items()} == {"lakeside": 1, "st-marys": 1}
    foreign.chmod(0o700)
    assert take(two, *texts).status == 200
    assert {name: each["version"] for name, each in sites(two).items()} == {"general": 1, "lakeside": 2, "st-marys": 2}


def test_what_came_into_force_before_an_import_was_cut_short_is_acted_on(two: Daemon) -> None:
    active = two.state / "profiles" / "lakeside" / "active"
    active.unlink()
    active.mkdir()
    texts = [text("st-marys", version=2), text("lakeside", version=2)]
    refused = take(two, *texts)
    assert refused.error["reference"] == "storage-failed"
    assert "In force already: st-marys." in refused.error["hint"]
    assert two.get("/v1/audit?action=profile.import")["entries"][-1]["detail"] == "in force: st-marys"
    wait_for(lambda: two.get("/v1/status")["site"]["profile_version"] == 2, what="version 2")
    active.rmdir()
    assert take(two, *texts).status == 200
    assert sites(two)["lakeside"]["version"] == 2


def test_an_import_says_what_would_wait_for_a_destination_that_it_does_not_name() -> None:
    text = PROFILE.format(version=2, port=9).replace('name = "pacs"', 'name = "archive"')
    with running("--undelivered", "12") as daemon:
        daemon.serve()
        wait_for(lambda: sites(daemon)["st-marys"]["undelivered_images"] == 12, what="the count")
        assert daemon.import_profile(dry_run=True).json["findings"] == []
        for dry_run in (True, False):
            answer = daemon.ask("POST", "/v1/profiles", {"text": text, "dry_run": dry_run}).json
            (finding,) = answer["findings"]
            assert finding["message"] == "12 images wait for pacs, which this version does not name"
            assert finding["level"] == "warning"
            assert finding["hint"]
