"""Runtimes that break the contract, or never get ready: the gate stays shut and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.supervisor.daemon import running
from tests.wait import wait_for


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--garbage"], "broke the contract of the link"),
        (["--gift"], "a descriptor, which none of its messages carries"),
        (["--never-ready", "--silent"], "no sign of life for 0.5 s"),
    ],
)
def test_the_gate_stays_shut_and_says_why(options: list[str], words: str) -> None:
    with running(*options, start_silence=0.5 if "--silent" in options else 60) as daemon:
        daemon.post("/v1/key/init")
        daemon.import_profile()
        wait_for(lambda: words in daemon.gate()["reason"], what=words)
        status = daemon.until("blocked")
        assert not status["listener"]["bound"]
        assert status["runtime"]["state"] in {"backoff", "starting"}


def test_a_runtime_that_keeps_its_status_to_itself_costs_a_moment_and_no_more() -> None:
    with running("--no-status", status_answer=0.2) as daemon:
        daemon.serve()
        assert daemon.get("/v1/status")["traffic"] is None
        gate = daemon.gate()
        assert (gate["state"], gate["may_scan"]) == ("open", False), "nobody has said that images can be kept"
        assert "finding out" in gate["reason"]
        assert daemon.get("/v1/studies")["total"] == 0


def test_a_runtime_that_owes_its_status_for_too_long_is_no_reason_to_scan() -> None:
    with running("--no-status", "--failing", status_answer=0.1, status_old=0.3, pulse=0.1) as daemon:
        daemon.serve()
        words = "does not say whether images can be kept"
        gate = wait_for(
            lambda: now if words in (now := daemon.gate())["reason"] else None, what="the silence to be said"
        )
        assert (gate["state"], gate["may_scan"]) == ("open", False)
        assert gate["hint"].startswith("Leave the studies on the scanner")
        wait_for(
            lambda: (
                {"no-report", "upkeep-failing"}
                <= {each["reference"] for each in daemon.get("/v1/status")["advice"] if each["level"] == "failure"}
            ),
            what="both to be said",
        )


def test_a_heartbeat_that_tells_of_trouble_says_do_not_scan_whatever_the_status_says() -> None:
    with running("--read-only") as daemon:
        daemon.serve()
        gate = wait_for(lambda: None if (now := daemon.gate())["may_scan"] else now, what="the trouble to be noticed")
        assert gate["state"] == "open"
        assert gate["reason"] == "images cannot be kept: the disk has become read-only"
        assert gate["hint"] == "Look at it."


def test_a_stopping_daemon_ends_a_runtime_that_is_not_ready_yet() -> None:
    with running("--never-ready") as daemon:
        daemon.post("/v1/key/init")
        daemon.import_profile()
        pid = wait_for(lambda: daemon.get("/v1/status")["runtime"]["pid"], what="the process")
        assert daemon.gate()["state"] == "preflight"
        assert daemon.stop() == 0
        assert not Path(f"/proc/{pid}").exists()
