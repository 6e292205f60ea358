"""The ports of a site: that for the worklist is bound while the gate is open and the site has one, and never else."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.supervisor.daemon import PROFILE, Daemon, can_connect, running
from tests.wait import wait_for

WORKLIST = "[worklist]\nsource = { ae_title = 'RIS', host = '127.0.0.1', port = 9 }\n"
ANY_PORT = "[worklist]\nport = 0\nae_title = 'COACHWL'\n"


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with running(config=ANY_PORT) as started:
        started.post("/v1/key/init")
        yield started


def take(daemon: Daemon, version: int, *, worklist: bool) -> None:
    """Import a version of the profile."""
    text = PROFILE.format(version=version, port=9) + (WORKLIST if worklist else "")
    answer = daemon.ask("POST", "/v1/profiles", {"text": text})
    assert answer.status == 200, answer


def until_bound(daemon: Daemon) -> dict[str, Any]:
    """Wait until the worklist port is bound, and return it."""

    def look() -> dict[str, Any] | None:
        port: dict[str, Any] | None = daemon.get("/v1/status")["worklist"]
        return port if port and port["bound"] else None

    return wait_for(look, what="the worklist port to be bound")


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        return peer.recv(100)


def test_both_ports_are_open_with_the_gate_and_each_is_what_it_is_called(daemon: Daemon) -> None:
    take(daemon, 1, worklist=True)
    status = daemon.until("open")
    worklist = until_bound(daemon)
    assert (worklist["ae_title"], worklist["address"]) == ("COACHWL", "127.0.0.1")
    assert greeting(worklist["port"]) == b"fake runtime, worklist\n"
    assert greeting(status["listener"]["port"]) == b"fake runtime, storage\n"

    daemon.post("/v1/sites/deactivate", {"reason": "a test"})
    daemon.until("parked")
    assert daemon.get("/v1/status")["worklist"] is None
    assert not can_connect(worklist["port"])
    assert not can_connect(status["listener"]["port"])


def test_a_site_without_a_worklist_has_no_port_for_it(daemon: Daemon) -> None:
    take(daemon, 1, worklist=False)
    storage = daemon.until("open")["listener"]["port"]
    assert daemon.get("/v1/status")["worklist"] is None
    take(daemon, 2, worklist=True)
    port = until_bound(daemon)["port"]
    take(daemon, 3, worklist=False)
    wait_for(lambda: not can_connect(port), what="the worklist port to be shut")
    assert daemon.gate()["state"] == "open"
    assert can_connect(storage), "the scanner may send all the time"


def test_a_runtime_that_is_gone_has_no_ports_and_the_next_one_has_the_same(daemon: Daemon) -> None:
    take(daemon, 1, worklist=True)
    before = daemon.until("open")
    port = until_bound(daemon)["port"]
    os.kill(before["runtime"]["pid"], signal.SIGKILL)

    def again() -> bool:
        status = daemon.get("/v1/status")
        return bool(status["runtime"]["pid"] != before["runtime"]["pid"] and status["worklist"]["bound"])

    wait_for(again, what="another runtime with its ports")
    assert daemon.get("/v1/status")["worklist"]["port"] == port


def test_a_worklist_port_that_is_taken_keeps_no_image_out_and_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(config=f"[worklist]\nport = {port}\n") as daemon:
            daemon.post("/v1/key/init")
            take(daemon, 1, worklist=True)
            status = daemon.until("open")
            assert status["gate"]["may_scan"]
            assert not status["worklist"]["bound"]
            (advice,) = [each for each in status["advice"] if each["reference"] == "worklist-port"]
            assert advice["message"] == f"no scanner gets a worklist: port {port} is in use"
            assert f"ss -ltnp 'sport = :{port}'" in advice["hint"]
            taken.close()
            assert until_bound(daemon)["port"] == port
            references = [each["reference"] for each in daemon.get("/v1/status")["advice"]]
            assert "worklist-port" not in references


def test_doctor_looks_at_the_source_of_the_worklist(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as source:
        text = PROFILE.format(version=1, port=9) + WORKLIST.replace("= 9 ", f"= {source.getsockname()[1]} ")
        assert daemon.ask("POST", "/v1/profiles", {"text": text}).status == 200
        daemon.until("open")
        assert looked(daemon)["level"] == "ok"
    found = looked(daemon)
    assert found["level"] == "failure"
    assert "fluxctl worklist refresh" in found["hint"]


def looked(daemon: Daemon) -> dict[str, Any]:
    checks = daemon.get("/v1/doctor")["checks"]
    return next(each for each in checks if each["name"] == "worklist source")
