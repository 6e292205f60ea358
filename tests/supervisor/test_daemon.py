"""The daemon end to end: a real process, a real runtime process, asked with curl."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.supervisor.daemon import CURL, PROFILE, Daemon, can_connect, folder, running
from tests.wait import wait_for

PASSPHRASE = "correct horse battery staple"  # noqa: S105


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def serving() -> Iterator[Daemon]:
    """One daemon that serves version 1, for tests that leave it as they found it."""
    with running() as started:
        started.serve()
        yield started


def test_a_new_box_says_what_to_do_first_and_next(daemon: Daemon) -> None:
    gate = daemon.gate()
    assert (gate["state"], gate["may_scan"]) == ("parked", False)
    assert "fluxctl key init" in gate["hint"]
    assert "fluxctl profile import" in gate["hint"]
    daemon.post("/v1/key/init")
    assert daemon.gate()["hint"] == "Import one: fluxctl profile import FILE"
    assert daemon.import_profile().status == 200
    status = daemon.until("open")
    assert status["gate"]["may_scan"]
    assert status["site"] == {
        "id": "st-marys",
        "name": "St. Mary's Hospital",
        "profile_version": 1,
        "timezone": "America/Chicago",
    }
    assert status["runtime"]["state"] == "running"
    assert status["runtime"]["isolated"] is True
    assert "not-isolated" not in [advice["reference"] for advice in status["advice"]]
    assert status["traffic"]["destinations"][0]["name"] == "pacs"
    assert can_connect(status["listener"]["port"])


def test_what_the_profile_says_in_vain_is_in_the_status(daemon: Daemon) -> None:
    def idle() -> list[str]:
        return [each["message"] for each in daemon.get("/v1/status")["advice"] if each["reference"] == "profile-idle"]

    assert daemon.import_profile().status == 200
    assert idle() == []
    text = PROFILE.format(version=2, port=1) + "tls = { ca = 'ca.pem' }\n"
    assert daemon.ask("POST", "/v1/profiles", {"text": text, "name": "st-marys.toml"}).status == 200
    assert idle() == ["the profile's destination[0].tls does not act yet"]


def test_a_profile_whose_area_is_none_is_refused(serving: Daemon) -> None:
    crossing = "[[[0.0, 0.0], [0.01, 0.01], [0.01, 0.0], [0.0, 0.01], [0.0, 0.0]]]"
    fence = f"[location]\nnetwork = 'none'\ngeofence = {{ type = 'Polygon', coordinates = {crossing} }}\n"
    text = PROFILE.format(version=2, port=1) + fence
    refused = serving.ask("POST", "/v1/profiles", {"text": text, "name": "st-marys.toml"})
    assert (refused.status, refused.error["exit_code"]) == (400, 7)
    assert "the outline crosses itself at [0.005, 0.005]" in refused.error["message"]


def test_a_profile_without_a_key_blocks_the_gate(daemon: Daemon) -> None:
    assert daemon.import_profile().status == 200
    gate = daemon.gate()
    assert gate["state"] == "blocked"
    assert "fluxctl key init" in gate["hint"]
    refused = daemon.ask("GET", "/v1/studies")
    assert (refused.status, refused.error["reference"]) == (409, "locked")
    daemon.post("/v1/sites/deactivate", {"reason": "x"})
    active = daemon.ask("POST", "/v1/sites/st-marys/activate", {"reason": "x"}).json
    assert "its storage port stays shut: " in active["message"]
    daemon.post("/v1/key/init")
    daemon.until("open")


def test_sites_routes_without_a_profile_say_so(daemon: Daemon) -> None:
    refused = daemon.ask("GET", "/v1/studies")
    assert (refused.status, refused.error["exit_code"]) == (404, 5)
    assert "profile import" in refused.error["hint"]


def test_it_serves_the_same_after_a_restart(daemon: Daemon) -> None:
    before = daemon.serve()
    sites = daemon.get("/v1/key")["sites"]
    assert sites == ["st-marys"]
    assert daemon.stop() == 0
    assert not daemon.socket.exists()
    assert not can_connect(before["listener"]["port"])
    daemon.start()
    daemon.up()
    after = daemon.until("open")
    assert after["site"] == before["site"]
    assert daemon.get("/v1/key")["sites"] == sites


def test_a_killed_runtime_shuts_the_port_and_is_started_again(serving: Daemon) -> None:
    before = serving.until("open")
    port, pid = before["listener"]["port"], before["runtime"]["pid"]
    os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        status = serving.get("/v1/status")
        return bool(status["gate"]["state"] == "open" and status["runtime"]["pid"] != pid)

    wait_for(again, what="another runtime")
    assert serving.get("/v1/status")["listener"]["port"] == port
    assert can_connect(port)


def test_a_runtime_that_always_dies_leaves_the_port_shut_and_says_why() -> None:
    with running("--dies") as daemon:
        daemon.post("/v1/key/init")
        daemon.import_profile()
        wait_for(lambda: "exit code 3" in daemon.gate()["reason"], what="the reason")
        status = daemon.until("blocked")
        assert "journalctl" in status["gate"]["hint"]
        assert not status["listener"]["bound"]
        wait_for(lambda: daemon.get("/v1/status")["runtime"]["restarts"] >= 3, what="some restarts")
        refused = daemon.ask("GET", "/v1/studies")
        assert (refused.status, refused.error["reference"]) == (503, "try-again")


def test_what_a_runtime_says_before_it_fails_is_the_reason() -> None:
    with running("--fails") as daemon:
        daemon.post("/v1/key/init")
        daemon.import_profile()
        gate = daemon.until("blocked")["gate"]
        assert gate["reason"] == "the catalog is sealed under another key"
        assert gate["hint"] == "Ask."


def test_a_hung_runtime_is_killed_and_started_again() -> None:
    with running("--silent", heartbeat=0.5) as daemon:
        first = daemon.serve()["runtime"]["pid"]
        wait_for(lambda: "no sign of life" in daemon.log.read_text(), what="the watchdog to bark")
        wait_for(lambda: not Path(f"/proc/{first}").exists(), what="the hung runtime to be gone")
        assert daemon.until("open")["runtime"]["pid"] != first


def test_the_port_waits_for_whoever_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with folder() as path:
            daemon = Daemon(path)
            daemon.up()
            assert daemon.stop() == 0
            text = (path / "capacitord.toml").read_text().replace("port = 0", f"port = {port}")
            (path / "capacitord.toml").write_text(text)
            daemon.start()
            try:
                daemon.up().post("/v1/key/init")
                daemon.import_profile()
                gate = daemon.until("blocked")["gate"]
                assert gate["reason"] == f"port {port} is in use"
                assert f":{port}" in gate["hint"]
                taken.close()
                daemon.until("open")
                assert can_connect(port)
            finally:
                daemon.stop(signal.SIGKILL)


def test_a_full_disk_keeps_the_port_open_and_says_do_not_scan() -> None:
    with running("--disk-full") as daemon:
        daemon.serve()
        gate = wait_for(lambda: None if (now := daemon.gate())["may_scan"] else now, what="the disk to be noticed")
        assert gate["state"] == "open"
        assert "reserve" in gate["reason"]


def test_sigterm_waits_for_the_runtime_and_a_second_one_does_not() -> None:
    with running("--stubborn", grace=15.0, grace_margin=15.0) as daemon:
        status = daemon.serve()
        daemon.process.send_signal(signal.SIGTERM)
        closing = daemon.until("closing")
        assert not closing["listener"]["bound"]
        assert not can_connect(status["listener"]["port"])
        assert daemon.process.poll() is None
        started = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        assert time.monotonic() - started < 5


def test_a_stubborn_runtime_is_killed_when_the_grace_is_over() -> None:
    with running("--stubborn", grace=0.3, grace_margin=0.3) as daemon:
        pid = daemon.serve()["runtime"]["pid"]
        assert daemon.stop() == 0
        assert not Path(f"/proc/{pid}").exists()


def test_a_killed_supervisor_leaves_no_runtime_and_no_trouble(daemon: Daemon) -> None:
    status = daemon.serve()
    daemon.stop(signal.SIGKILL)
    assert daemon.socket.exists()
    wait_for(lambda: not Path(f"/proc/{status['runtime']['pid']}").exists(), what="the orphan to finish")
    daemon.start()
    daemon.up()
    assert daemon.until("open")["gate"]["may_scan"]


def test_hangup_changes_nothing_and_says_so(serving: Daemon) -> None:
    serving.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "SIGHUP" in serving.log.read_text(), what="a word in the log")
    assert serving.gate()["state"] == "open"


# --- profiles ---------------------------------------------------------------------------------------------


def test_a_new_version_reaches_the_running_runtime(daemon: Daemon) -> None:
    pid = daemon.serve()["runtime"]["pid"]
    with socket.socket() as pacs:
        pacs.bind(("127.0.0.1", 0))
        pacs.listen()
        summary = daemon.import_profile(version=2, port=pacs.getsockname()[1])
        assert summary.status == 200
        assert summary.json["version"] == 2
        echo = wait_for(
            lambda: (e := daemon.post("/v1/destinations/pacs/echo"))["ok"] and e, what="the new port to be used"
        )
        assert echo["connect_time"] is not None
    status = daemon.get("/v1/status")
    assert status["site"]["profile_version"] == 2
    assert status["runtime"]["pid"] == pid


def test_a_wrong_profile_says_all_that_is_wrong(serving: Daemon) -> None:
    text = PROFILE.format(version=1, port=99999).replace('name = "pacs"', 'name = "The PACS"')
    refused = serving.ask("POST", "/v1/profiles", {"text": text, "name": "st-marys.toml"})
    assert (refused.status, refused.error["exit_code"]) == (400, 7)
    assert [c.split(":")[0:4] for c in refused.error["candidates"]] == [
        ["st-marys.toml", "7", "8", " destination[0].name"],
        ["st-marys.toml", "10", "8", " destination[0].port"],
    ]
    assert serving.get("/v1/status")["site"]["profile_version"] == 1


def test_a_refused_profile_is_in_the_audit_log_under_its_site(daemon: Daemon) -> None:
    daemon.serve()
    text = PROFILE.format(version=1, port=99999)
    assert daemon.ask("POST", "/v1/profiles", {"text": text}).status == 400
    assert daemon.ask("POST", "/v1/profiles", {"text": "id = 'Not A Site'\n"}).status == 400
    told = [(e["result"], e["subjects"]) for e in daemon.get("/v1/audit?action=profile.import")["entries"]]
    assert told[2:] == [("begun", ["st-marys"]), ("invalid", ["st-marys"]), ("begun", []), ("invalid", [])]


def test_the_same_import_again_changes_nothing_and_says_so(daemon: Daemon) -> None:
    daemon.serve()
    again = daemon.import_profile().json
    assert (again["version"], again["before"], again["unchanged"]) == (1, 1, True)
    assert len(daemon.get("/v1/profiles/st-marys/history")["activations"]) == 1
    assert daemon.get("/v1/audit?action=profile.import")["entries"][-1]["detail"].startswith(
        "st-marys version 1, in force already"
    )
    assert daemon.import_profile(version=2).json["unchanged"] is False
    lines = [line for line in daemon.log.read_text().splitlines() if "of the profile of st-marys is in force" in line]
    assert [re.findall("Version ([0-9])", line) for line in lines] == [["1"], ["2"]]


def test_the_profile_is_shown_as_it_was_imported(serving: Daemon) -> None:
    shown = serving.get("/v1/profiles/st-marys")
    assert shown["text"] == PROFILE.format(version=1, port=9)
    assert shown["summary"]["imported_by"]
    assert serving.get("/v1/profiles")["profiles"] == [shown["summary"]]
    assert serving.ask("GET", "/v1/profiles/..%2f..%2fetc").status == 404


def test_a_dry_run_imports_nothing(serving: Daemon) -> None:
    summary = serving.import_profile(version=2, dry_run=True).json
    assert (summary["version"], summary["active"]) == (2, False)
    assert [p["version"] for p in serving.get("/v1/profiles")["profiles"]] == [1]


def test_a_damaged_profile_is_reported_and_not_used(daemon: Daemon) -> None:
    daemon.serve()
    daemon.stop()
    stored = daemon.state / "profiles" / "st-marys" / "1.toml"
    stored.write_text(stored.read_text().replace("127.0.0.1", "10.0.0.66"))
    daemon.start()
    daemon.up()
    gate = daemon.until("blocked")["gate"]
    assert "not what was imported" in gate["reason"]
    assert daemon.get("/v1/status")["runtime"]["state"] == "absent"
    assert daemon.import_profile().status == 200
    daemon.until("open")


def test_a_spool_whose_key_is_gone_is_not_given_a_new_one(daemon: Daemon) -> None:
    daemon.serve()
    daemon.stop()
    (daemon.state / "sites" / "st-marys" / "catalog.db").write_bytes(b"images")
    for key in (daemon.state / "keys").rglob("st-marys.site-key"):
        key.unlink()
    daemon.start()
    daemon.up()
    gate = daemon.until("blocked")["gate"]
    assert "its key is missing" in gate["reason"]
    assert daemon.get("/v1/key")["sites"] == []


# --- keys -------------------------------------------------------------------------------------------------


def test_a_passphrase_locks_the_box_until_a_person_gives_it(daemon: Daemon) -> None:
    secret = PASSPHRASE
    daemon.post("/v1/key/init", {"source": "passphrase", "passphrase": {"value": secret}})
    daemon.import_profile()
    daemon.until("open")
    daemon.stop()
    daemon.start()
    daemon.up()
    gate = daemon.until("blocked")["gate"]
    assert "fluxctl key unlock" in gate["hint"]
    wrong = daemon.ask("POST", "/v1/key/unlock", {"passphrase": {"value": "incorrect horse battery"}})
    assert (wrong.status, wrong.error["reference"]) == (403, "wrong-key")
    assert daemon.gate()["state"] == "blocked"
    assert daemon.ask("POST", "/v1/key/init", {}).status == 409
    assert "fluxctl key unlock" in daemon.gate()["hint"]
    daemon.post("/v1/key/unlock", {"passphrase": {"value": secret}})
    daemon.until("open")
    everything = b"".join(p.read_bytes() for p in daemon.folder.rglob("*") if p.is_file())
    assert secret.encode() not in everything


def test_keys_rotate_and_leave_the_box_only_under_a_passphrase(serving: Daemon) -> None:
    before = serving.until("open")
    first = serving.get("/v1/key")
    rotated = serving.post("/v1/key/rotate")
    assert rotated["generation"] == first["generation"] + 1
    assert rotated["id"] != first["id"]
    assert serving.get("/v1/status")["runtime"]["pid"] == before["runtime"]["pid"]
    weak = serving.ask("POST", "/v1/key/export", {"passphrase": {"value": "short"}})
    assert weak.status == 400
    text = serving.post("/v1/key/export", {"passphrase": {"value": PASSPHRASE}})["text"]
    assert "RECOVERY FILE" in text
    again = serving.ask("POST", "/v1/key/init", {})
    assert (again.status, again.error["exit_code"]) == (409, 6)


def test_the_configuration_can_demand_where_the_key_comes_from() -> None:
    with running(config='[keys]\nsource = "passphrase"\n') as daemon:
        refused = daemon.ask("POST", "/v1/key/init", {})
        assert (refused.status, refused.error["reference"]) == (409, "refused")
        assert "passphrase" in refused.error["hint"]


# --- the relay --------------------------------------------------------------------------------------------


def test_answers_of_the_site_are_relayed_whole(serving: Daemon) -> None:
    serving.until("open")
    empty = {"schema": "fluxctl.study.list/1", "studies": [], "total": 0, "next": "", "announced": []}
    assert serving.get("/v1/studies") == empty
    missing = serving.ask("GET", "/v1/studies/ACC%2F123")
    assert (missing.status, missing.error["reference"]) == (404, "not-found")
    lines = serving.ask("POST", "/v1/doctor/verify").body.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["progress"] * 3 + ["report"]
    assert (
        len(serving.ask("GET", "/v1/studies/a/export", None, "-o", "/dev/null", "-w", "\n%{size_download}").body) == 0
    )


def test_an_export_comes_in_whole_and_a_broken_one_is_seen() -> None:
    with running("--export-pieces", "40", "--dies-in-export") as daemon:
        daemon.serve()
        done = subprocess.run(
            [CURL, "-sS", "--unix-socket", str(daemon.socket), "http://box/v1/studies/a/export"],
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert len(done.stdout) <= 40 << 16
        assert done.returncode == 18, done.stderr  # CURLE_PARTIAL_FILE
        entries = daemon.get("/v1/audit?action=study.export")["entries"]
        wait_for(
            lambda: (
                [e["result"] for e in daemon.get("/v1/audit?action=study.export")["entries"]] == ["begun", "broken off"]
            ),
            what=f"the audit log to say so, after {entries}",
        )


def test_a_runtime_that_dies_before_it_answers_is_told() -> None:
    with running("--dies-in-discard") as daemon:
        daemon.serve()
        body = {"reason": "test", "confirm": "abc"}
        refused = daemon.ask("POST", "/v1/studies/abc/discard", body)
        assert (refused.status, refused.error["reference"], refused.error["exit_code"]) == (503, "unanswered", 75)
        assert "may have been done" in refused.error["hint"]
        daemon.until("open")

        def on_record() -> list[dict[str, Any]]:
            return list(daemon.get("/v1/audit?action=study.discard")["entries"])

        # The next runtime finds in its spool that it was done.
        wait_for(lambda: len(on_record()) > 2, what="what came of it to be on record")
        first, second, last = on_record()
        assert [each["result"] for each in (first, second, last)] == ["begun", "unanswered", "done"]
        assert "may have been done" in second["detail"]
        assert last["detail"] == "reason: test; delivered -> discarded, 3 images are gone"
        assert [(each["user"], each["subjects"], each["deed"]) for each in (second, last)] == 2 * [
            (first["user"], first["subjects"], first["deed"])
        ]


def test_a_runtime_that_lets_go_of_its_link_has_its_port_shut_while_it_lingers() -> None:
    with running("--lingers", grace=1.0, grace_margin=0.5) as daemon:
        before = daemon.serve()
        refused = subprocess.Popen(
            [CURL, "-s", "--unix-socket", str(daemon.socket), "-d", "{}", "http://box/v1/studies/a/resend"],
            stdout=subprocess.DEVNULL,
        )
        daemon.until("blocked")
        assert not can_connect(before["listener"]["port"])
        assert Path(f"/proc/{before['runtime']['pid']}").exists()
        assert daemon.until("open")["runtime"]["pid"] != before["runtime"]["pid"]
        assert refused.wait(20) == 0


# --- the broker -------------------------------------------------------------------------------------------


def test_the_broker_connects_to_what_the_profile_names_and_to_nothing_else(daemon: Daemon) -> None:
    daemon.post("/v1/key/init")
    with socket.socket() as pacs:
        pacs.bind(("127.0.0.1", 0))
        pacs.listen()
        daemon.import_profile(port=pacs.getsockname()[1])
        daemon.until("open")
        assert daemon.post("/v1/destinations/pacs/echo")["ok"]
        pacs.settimeout(5)
        peer, _ = pacs.accept()
        with peer:
            assert peer.recv(5) == b"hello"
    refused = daemon.post("/v1/destinations/pacs/echo")
    assert not refused["ok"]
    assert "refused" in refused["reason"]
    unknown = daemon.post("/v1/destinations/elsewhere/echo")
    assert "no destination of that name" in unknown["reason"]


# --- the audit log ----------------------------------------------------------------------------------------


def test_every_change_is_written_down_before_and_after(daemon: Daemon) -> None:
    daemon.serve()
    daemon.post("/v1/queue/pause", {"destination": "pacs"})
    daemon.ask("POST", "/v1/studies/ACC-4711/resend", {})
    entries = daemon.get("/v1/audit")["entries"]
    told = [(e["action"], e["result"], e["subjects"]) for e in entries if not e["action"].startswith("gate.")]
    assert told == [
        ("daemon.start", "done", []),
        ("key.init", "begun", []),
        ("audit.seal", "done", []),
        ("key.init", "done", []),
        ("profile.import", "begun", ["st-marys"]),
        ("profile.import", "done", ["st-marys"]),
        ("queue.pause", "begun", ["pacs"]),
        ("queue.pause", "done", ["pacs", "abc123"]),
        ("study.resend", "begun", ["abc1234567"]),
        ("study.resend", "not-found", ["abc1234567"]),
    ]
    assert {e["uid"] for e in entries} == {os.geteuid()}
    assert b"ACC-4711" not in (daemon.state / "audit" / "log.jsonl").read_bytes()
    report = daemon.post("/v1/audit/verify")
    assert (report["ok"], report["entries"]) == (True, len(entries))
    assert [e["number"] for e in daemon.get("/v1/audit?limit=2&action=key.init")["entries"]] == [2, 4]
    assert [e["action"] for e in daemon.get("/v1/audit?subject=abc123")["entries"]] == ["queue.pause"]


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("ACC-9", []),
        ("9900112233", []),  # digits only: it may be an accession number
        ("a900112233", ["a900112233"]),
        ("1.2.840.9.1", ["1.2.840.9.1"]),
        ("1.2.3.4", ["abc1234567"]),
    ],
)
def test_what_is_refused_is_on_record_with_its_study_unless_that_may_say_of_a_patient(
    serving: Daemon, given: str, recorded: list[str]
) -> None:
    refused = serving.ask("POST", f"/v1/held/{given}/release", {"destinations": ["pacs"], "reason": "test"})
    assert refused.status == 404
    first, last = serving.get("/v1/audit?limit=2&action=held.release")["entries"]
    assert (first["result"], last["result"]) == ("begun", "not-found")
    assert first["subjects"] == last["subjects"]
    assert [each for each in last["subjects"] if each != "pacs"] == recorded


def test_what_can_be_no_destination_is_not_on_record(serving: Daemon) -> None:
    serving.ask("POST", "/v1/held/abc/release", {"destinations": ["DOE^JANE", "pacs"], "reason": "test"})
    first, last = serving.get("/v1/audit?limit=2&action=held.release")["entries"]
    assert first["subjects"] == last["subjects"] == ["abc1234567", "pacs"]
    assert "DOE" not in (serving.state / "audit" / "log.jsonl").read_text()


def test_a_release_as_an_entry_that_there_is_none_of_is_refused_without_its_name_on_record(serving: Daemon) -> None:
    asked = {"destinations": ["pacs"], "reason": "test", "match": "ACC-999"}
    refused = serving.ask("POST", "/v1/held/abc/release", asked)
    assert (refused.status, refused.error["message"]) == (404, "no such study or entry")
    first, last = serving.get("/v1/audit?limit=2&action=held.release")["entries"]
    assert first["subjects"] == last["subjects"] == ["abc1234567", "pacs"]
    assert (first["result"], last["result"]) == ("begun", "not-found")


def test_what_was_begun_when_the_daemon_was_killed_is_on_record_with_its_study_and_said_so() -> None:
    with running("--hangs") as daemon:
        daemon.serve()
        url = "http://box/v1/held/ACC-4711/release"
        body = '{"destinations": ["pacs"], "reason": "test", "match": "ACC-4711"}'
        asking = subprocess.Popen(
            [CURL, "-s", "--unix-socket", str(daemon.socket), "-d", body, url], stdout=subprocess.DEVNULL
        )
        selected = "/v1/audit?action=held.release"
        wait_for(lambda: daemon.get(selected)["entries"], what="the release to begin")
        assert daemon.get(selected)["cut_short"] == []
        daemon.stop(signal.SIGKILL)
        asking.wait(20)
        daemon.start()
        daemon.up()
        daemon.until("open")
        found = daemon.get("/v1/audit?study=ACC-4711")
        (entry,) = found["entries"]
        assert (entry["action"], entry["subjects"], entry["result"]) == (
            "held.release",
            ["abc1234567", "pacs", "5be10c77"],
            "begun",
        )
        assert found["cut_short"] == [entry["number"]]


def test_the_audit_log_is_asked_for_a_study_as_everything_else_is() -> None:
    with running() as daemon:
        daemon.serve()
        daemon.ask("POST", "/v1/studies/abc/resend", {})
        for name in ("ACC-4711", "1.2.3.4", "abc1234567", "abc1"):
            assert len(daemon.get(f"/v1/audit?study={name}")["entries"]) == 2, name
        unknown = daemon.ask("GET", "/v1/audit?study=zzz")
        assert (unknown.status, unknown.error["exit_code"]) == (404, 5)
        assert "short id" in unknown.error["hint"]
        daemon.post("/v1/sites/deactivate", {"reason": "test"})
        assert len(daemon.get("/v1/audit?study=abc1234567")["entries"]) == 2
        unresolved = daemon.ask("GET", "/v1/audit?study=ACC-4711")
        assert (unresolved.status, unresolved.error["exit_code"]) == (404, 5)


def answered(daemon: Daemon, count: int) -> bool:
    """Return whether the runtimes were told of so many deeds that they are written."""
    return daemon.log.read_text().count("written: ") == count


def test_what_a_site_does_by_itself_is_in_the_audit_log_once() -> None:
    with running("--deeds", "3") as daemon:
        daemon.serve()
        for life in (1, 2):
            # The next runtime tells of the same deeds again, as if no answer had come.
            wait_for(partial(answered, daemon, 3 * life), what="all to be said to be written")
            entries = daemon.get("/v1/audit?action=study.rematch")["entries"]
            assert [(each["user"], each["subjects"], each["result"]) for each in entries] == [
                ("capacitord", [f"{number:010x}"], "done") for number in range(3)
            ]
            daemon.stop(signal.SIGKILL)
            daemon.start()
            daemon.up().until("open")
        assert daemon.post("/v1/audit/verify")["ok"]


def test_the_status_says_why_the_audit_log_lacks_what_a_site_did() -> None:
    with running("--deeds", "3") as daemon:
        daemon.serve()
        daemon.stop()
        log = daemon.state / "audit" / "log.jsonl"
        log.rename(daemon.folder / "aside")
        log.symlink_to(daemon.folder)
        daemon.start()
        daemon.up()

        def advice() -> Any:
            found = daemon.get("/v1/status")["advice"]
            return next((each for each in found if each["reference"] == "audit-behind"), None)

        said = wait_for(advice, what="the status to say it")
        assert "what the site did cannot be written into the audit log: " in said["message"]
        assert "kept in the site's spool" in said["hint"]
        (daemon.folder / "aside").replace(log)
        wait_for(lambda: advice() is None, what="the status to be well")
        assert len(daemon.get("/v1/audit?action=study.rematch")["entries"]) == 3


def test_a_changed_audit_log_is_found(daemon: Daemon) -> None:
    daemon.post("/v1/key/init")
    log = daemon.state / "audit" / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"key.init", b"key.show", 1))
    report = daemon.post("/v1/audit/verify")
    assert not report["ok"]
    assert "line 2" in report["message"]
    checks = {check["name"]: check for check in daemon.get("/v1/doctor")["checks"]}
    assert checks["audit log"]["level"] == "failure"
    # It is written down, and said by the status, before anybody starts anything again.
    told = daemon.get("/v1/audit?action=audit.damage")["entries"]
    assert [each["detail"] for each in told] == [report["message"]]
    assert "audit-damaged" in {advice["reference"] for advice in daemon.get("/v1/status")["advice"]}


def test_an_anchor_that_was_taken_away_is_found_and_said_by_the_status(daemon: Daemon) -> None:
    daemon.post("/v1/key/init")
    daemon.post("/v1/key/rotate")
    report = daemon.post("/v1/audit/verify")
    assert (report["ok"], "since entry 3 the key store vouches" in report["message"]) == (True, True), report
    (daemon.state / "keys" / "generation-2" / "audit.anchor").unlink()
    assert "is missing, and these keys had one" in daemon.post("/v1/audit/verify")["message"]
    daemon.post("/v1/key/rotate")
    assert "audit-damaged" in {advice["reference"] for advice in daemon.get("/v1/status")["advice"]}


def test_nothing_is_changed_that_cannot_be_written_down(daemon: Daemon) -> None:
    log = daemon.state / "audit" / "log.jsonl"
    log.rename(log.with_name("elsewhere"))
    log.mkdir()
    refused = daemon.ask("POST", "/v1/key/init", {})
    assert (refused.status, refused.error["reference"]) == (500, "storage-failed")
    assert daemon.get("/v1/key")["present"] is False


# --- the doctor -------------------------------------------------------------------------------------------


def test_the_doctor_looks_at_everything(serving: Daemon) -> None:
    serving.until("open")
    checks = {check["name"]: check for check in serving.get("/v1/doctor")["checks"]}
    assert set(checks) == {
        "groups",
        "control socket",
        "state folder",
        "disk",
        "clock",
        "keys",
        "profile",
        "audit log",
        "runtime",
        "isolation",
        "gate",
        "images",
        "destination pacs",
        "queue pacs",
    }
    assert checks["destination pacs"]["level"] == "failure"
    assert "refused" in checks["destination pacs"]["message"]
    assert {name for name, check in checks.items() if check["level"] == "failure"} == {"destination pacs"}
    assert all(check["hint"] for check in checks.values() if check["level"] != "ok")
