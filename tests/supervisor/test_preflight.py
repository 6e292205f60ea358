"""The preflight on a real daemon: who is asked, what opens and what does not, and what is on record of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dicom import scanner as odd
from tests.dicom.scanner import STUDY, Scanner, has
from tests.supervisor.daemon import PROFILE, Answer, Daemon, can_connect, running
from tests.wait import wait_for

NAME = "VERMEER"
"""What no log and no record may hold."""
WAIT = 40.0
LAXER = "[preflight]\nrequired = false\n"
"""Of a profile: of no effect on a box that requires one."""


def config(*scanners: Scanner, required: bool = True, waiver: bool = False, root: str = "study-root") -> str:
    tables = [
        f'[[modality]]\nae_title = "CT_{number}"\nhost = "127.0.0.1"\nport = {each.port}\nquery = "{root}"\n'
        for number, each in enumerate(scanners, 1)
    ]
    said = f"required = {str(required).lower()}\nwaiver = {str(waiver).lower()}\nanswers = 20\n"
    return "".join(tables) + f'[preflight]\nevery = "1s"\ntimeout = "2s"\n{said}'


def text(site: str, rest: str = "") -> str:
    return PROFILE.format(version=1, port=9).replace("st-marys", site) + rest


def begin(daemon: Daemon, rest: str = "") -> int:
    """Open for st-marys, know lakeside too, and return the storage port."""
    port: int = daemon.serve()["listener"]["port"]
    assert daemon.ask("POST", "/v1/profiles", {"text": text("lakeside", rest)}).status == 200
    return port


def activate(daemon: Daemon, site: str = "lakeside", **request: Any) -> Answer:
    return daemon.ask("POST", f"/v1/sites/{site}/activate", {"reason": "a test", **request})


def open_for(daemon: Daemon, site: str) -> None:
    def look() -> bool:
        status = daemon.get("/v1/status")
        return bool(status["gate"]["state"] == "open" and status["site"]["id"] == site)

    wait_for(look, within=WAIT, what=f"the gate to be open for {site}; log: {daemon.log.read_text()[-2000:]}")


def run(daemon: Daemon, **request: Any) -> list[dict[str, Any]]:
    answer = daemon.ask("POST", "/v1/preflight", request)
    assert answer.status == 200, answer
    return [json.loads(line) for line in answer.body.splitlines()]


def record(daemon: Daemon) -> str:
    return (daemon.state / "last-open").read_text().partition("\n")[0]


def audit(daemon: Daemon, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.get(f"/v1/audit?action={action}&limit=1000")["entries"]
    return found


def says_nothing_of_patients(daemon: Daemon) -> None:
    for path in (daemon.log, *daemon.state.rglob("*")):
        # What is about to get another name may be gone by now; it is there under that one.
        with suppress(FileNotFoundError, IsADirectoryError):
            assert NAME.encode() not in path.read_bytes(), path


class Holding:
    """What is on a scanner; tests change it."""

    def __init__(self, *studies: Mapping[str, object]) -> None:
        self.studies = list(studies)

    def __call__(self) -> list[Mapping[str, object]]:
        return self.studies


@pytest.fixture
def held() -> Holding:
    return Holding(STUDY)


@pytest.fixture
def ct(held: Holding) -> Iterator[Scanner]:
    with Scanner(has(held)) as scanner:
        yield scanner


def test_the_first_site_and_the_same_one_again_ask_nobody(ct: Scanner) -> None:
    with running(config=config(ct)) as daemon:
        begin(daemon)
        assert record(daemon) == "st-marys"
        daemon.stop()
        daemon.start()
        daemon.up()
        open_for(daemon, "st-marys")
        daemon.post("/v1/sites/deactivate", {})
        daemon.until("parked")
        assert activate(daemon, "st-marys").status == 200
        open_for(daemon, "st-marys")
        grounds = [entry["detail"] for entry in audit(daemon, "gate.clear")]
    assert ct.calls == 0
    assert grounds == ["cleared, as it was never open before"]


def test_a_patient_who_was_forgotten_keeps_the_port_shut_until_she_is_gone(ct: Scanner, held: Holding) -> None:
    with running(config=config(ct)) as daemon:
        port = begin(daemon, LAXER)
        done = activate(daemon).json
        assert "Scanners must be clean before that, as this box was open for st-marys last" in done["message"]
        look = partial(daemon.get, "/v1/status")
        still = "CT_1 still has 1 study of 1 patient"
        wait_for(lambda: still in look()["gate"]["reason"], within=WAIT, what="the gate to say who is there")
        gate = look()["gate"]
        assert "fluxctl preflight" in gate["hint"]
        calls = ct.calls
        wait_for(lambda: ct.calls > calls + 1, within=WAIT, what="the scanner to be asked again")
        assert not can_connect(port)
        assert record(daemon) == "st-marys"
        assert daemon.get("/v1/sites")["chosen"]["by"]
        held.studies = []
        open_for(daemon, "lakeside")
        assert can_connect(port)
        assert record(daemon) == "lakeside"
        (first, cleared) = audit(daemon, "gate.clear")
        assert first["subjects"] == ["st-marys"]
        assert cleared["subjects"] == ["lakeside"]
        for words in (": a test", "the preflight is clean", "open last: st-marys", "CT_1: clean (status 0000)"):
            assert words in cleared["detail"]
        blocked, opened = audit(daemon, "gate.blocked")[-1], audit(daemon, "gate.open")[-1]
        assert "1 study of 1 patient" in blocked["detail"]
        assert blocked["number"] < cleared["number"] < opened["number"]
        says_nothing_of_patients(daemon)


def test_back_at_the_same_site_before_the_other_one_opened_nobody_is_asked(ct: Scanner) -> None:
    with running(config=config(ct)) as daemon:
        begin(daemon)
        refused = activate(daemon, waive_preflight=True)
        assert (refused.status, refused.error["message"]) == (409, "this box lets nobody waive the preflight")
        open_for(daemon, "st-marys")
        activate(daemon)
        daemon.until("blocked", within=WAIT)
        activate(daemon, "st-marys")
        open_for(daemon, "st-marys")
        calls = ct.calls
        activate(daemon)
        daemon.until("blocked", within=WAIT)
        assert ct.calls > calls, "an old answer was taken for another activation"


def test_a_scanner_that_does_not_say_so_is_not_clean() -> None:
    scripts = (odd.goes_on_for_ever, odd.is_silent, odd.talks_rubbish, odd.rejects, odd.drips)
    with ExitStack() as stack:
        scanners = [stack.enter_context(Scanner(script)) for script in scripts]
        daemon = stack.enter_context(running(config=config(*scanners)))
        port = begin(daemon)
        activate(daemon)
        (found,) = run(daemon)
        assert found["clean"] is False
        assert [each["clean"] for each in found["scanners"]] == [False] * len(scripts)
        assert all(each["reason"] for each in found["scanners"])
        daemon.until("blocked", within=WAIT)
        assert not can_connect(port)
        assert record(daemon) == "st-marys"
        says_nothing_of_patients(daemon)


def test_a_scanner_that_is_off_is_not_clean_and_one_of_two_is_not_enough(held: Holding) -> None:
    held.studies = []
    with Scanner(has(held)) as one, Scanner(has(held)) as other, running(config=config(one, other)) as daemon:
        begin(daemon)
        other.switch_off()
        activate(daemon)
        gate = daemon.until("blocked", within=WAIT)["gate"]
        assert "nothing listens on that port" in gate["reason"]
        assert "Switch the scanner on" in gate["hint"]
        (found,) = run(daemon)
        assert [each["clean"] for each in found["scanners"]] == [True, False]


def test_without_a_scanner_to_ask_nothing_is_certain() -> None:
    with running(config=config()) as daemon:
        begin(daemon)
        activate(daemon)
        look = partial(daemon.get, "/v1/status")
        wait_for(lambda: "[[modality]]" in look()["gate"]["hint"], within=WAIT, what="the gate to say what is missing")
        assert look()["gate"]["state"] == "blocked"
        (found,) = run(daemon)
        assert (found["clean"], found["scanners"]) == (False, [])


def test_where_none_is_required_nobody_is_asked_but_for_a_site_that_is_stricter(ct: Scanner) -> None:
    with running(config=config(ct, required=False)) as daemon:
        begin(daemon)
        assert daemon.ask("POST", "/v1/profiles", {"text": text("valley", "[preflight]\n")}).status == 200
        activate(daemon)
        open_for(daemon, "lakeside")
        assert audit(daemon, "gate.clear")[-1]["detail"].endswith("no preflight is required; open last: st-marys")
        assert ct.calls == 0
        activate(daemon, "valley")
        assert "still has" in daemon.until("blocked", within=WAIT)["gate"]["reason"]


def test_any_doubt_about_the_last_site_needs_one(ct: Scanner) -> None:
    with running(config=config(ct)) as daemon:
        begin(daemon)
        for damage, words in (("lakeside\n" + "0" * 64 + "\n", "damaged"), (None, "missing")):
            daemon.stop()
            if damage is None:
                (daemon.state / "last-open").unlink()
            else:
                (daemon.state / "last-open").write_text(damage)
            daemon.start()
            daemon.up()
            gate = daemon.until("blocked", within=WAIT)["gate"]
            assert f"the record of the site that was open last is {words}" in gate["reason"]
            assert not can_connect(daemon.get("/v1/status")["listener"]["port"])


def test_a_waiver_is_for_one_activation(ct: Scanner) -> None:
    with running(config=config(ct, waiver=True)) as daemon:
        begin(daemon)
        assert activate(daemon, "st-marys", waive_preflight=True).status == 409
        assert activate(daemon).status == 200
        daemon.until("blocked", within=WAIT)
        assert "waived, this once" in activate(daemon, waive_preflight=True, operator="Dr Ann").json["message"]
        open_for(daemon, "lakeside")
        (waived,) = audit(daemon, "gate.waive")
        assert audit(daemon, "gate.clear")[-1]["detail"] == waived["detail"]
        assert re.search(r"waived by Dr Ann \(as \S+\): a test", waived["detail"])
        assert "CT_1: not clean" in waived["detail"]
        assert ", preflight waived" in audit(daemon, "site.activate")[-1]["detail"]
        activate(daemon, "st-marys")
        assert "still has" in daemon.until("blocked", within=WAIT)["gate"]["reason"]


def test_by_hand_it_lists_who_is_there_and_tells_the_gate(ct: Scanner, held: Holding) -> None:
    with running(config=config(ct).replace('every = "1s"', 'every = "1h"')) as daemon:
        begin(daemon)
        (before,) = run(daemon)
        assert (before["site"], before["needed"], before["why"]) == (
            "st-marys",
            False,
            "it was open for this site last",
        )
        (other,) = run(daemon, site="lakeside")
        assert (other["needed"], other["why"]) == (True, "this box was open for st-marys last")
        (row,) = other["scanners"][0]["remaining"]
        assert (row["patient_name"], row["study_date"], row["images"]) == ("VERMEER^JAN", "20260301", 120)
        assert daemon.ask("POST", "/v1/preflight", {"site": "nowhere"}).status == 404
        activate(daemon)
        daemon.until("blocked", within=WAIT)
        threading.Timer(1.0, held.studies.clear).start()
        watched = run(daemon, watch=True)
        assert [each["clean"] for each in watched][-1] is True
        assert not any(each["clean"] for each in watched[:-1])
        first, *_, last = [each["detail"] for each in audit(daemon, "preflight.run") if each["result"] == "done"]
        assert (first, last) == ("CT_1 still has 1 study of 1 patient.", "CT_1 has no patient.")
        says_nothing_of_patients(daemon)
        open_for(daemon, "lakeside")
        says_nothing_of_patients(daemon)


def test_a_probe_that_is_killed_is_no_clean_scanner_and_another_one_takes_its_place() -> None:
    with Scanner(odd.is_silent) as ct, running(config=config(ct).replace('"2s"', '"20s"')) as daemon:
        begin(daemon)
        activate(daemon)
        wait_for(lambda: ct.calls, within=WAIT, what="the scanner to be asked")
        os.kill(_probe(daemon), signal.SIGKILL)
        gate = daemon.until("blocked", within=WAIT)["gate"]
        assert "the probe ended before it answered" in gate["reason"]
        ct.script = has(list)
        open_for(daemon, "lakeside")


def _probe(daemon: Daemon) -> int:
    done = subprocess.run(
        ["/usr/bin/pgrep", "-P", str(daemon.process.pid), "-f", "capacitord.probe"], capture_output=True, check=True
    )
    return int(done.stdout)


def test_what_cannot_be_put_on_record_opens_nothing(ct: Scanner, held: Holding) -> None:
    held.studies = []
    with running(config=config(ct)) as daemon:
        port = begin(daemon)
        aside = daemon.state / ".last-open.new"
        aside.mkdir()
        activate(daemon)
        assert "it can't be put on record" in daemon.until("blocked", within=WAIT)["gate"]["reason"]
        assert not can_connect(port)
        aside.rmdir()
        open_for(daemon, "lakeside")


class Kill(NamedTuple):
    """The daemon is killed before one of its threads makes this system call for the first time, on a file or any.

    `late`: it is on its way to the other site by then, and waits for the scanner.
    """

    call: str
    file: str | None
    late: bool = False


KILLS = [
    Kill("rename", ".active-site.new"),
    Kill("openat", ""),
    Kill("openat", "audit/log.jsonl"),
    Kill("rename", "audit/.head.new", late=True),
    Kill("openat", ".last-open.new"),
    Kill("rename", ".last-open.new"),
    Kill("listen", None),
]


class Coach(NamedTuple):
    """A box with two sites, and what is on the scanner that both have."""

    daemon: Daemon
    held: Holding


@pytest.fixture(scope="module")
def coach() -> Iterator[Coach]:
    held = Holding()
    with Scanner(has(held)) as ct, running(config=config(ct)) as daemon:
        begin(daemon)
        yield Coach(daemon, held)


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: f"{kill.call}-{kill.file}")
def test_wherever_it_is_killed_it_opens_for_no_site_that_was_not_cleared(
    coach: Coach, kill: Kill, tmp_path: Path
) -> None:
    daemon, held = coach
    before = daemon.until("open", within=WAIT)["site"]["id"]
    (after,) = {"st-marys", "lakeside"} - {before}
    if kill.late:
        held.studies = [STUDY]
        activate(daemon, after)
        daemon.until("blocked", within=WAIT)
    with _killed_at(daemon, kill, tmp_path / "trace"):
        if not kill.late:
            _send(daemon, after)
        held.studies = []
        daemon.process.wait(WAIT)
    # A patient comes between: nobody asks the scanner whether she is of the site that is opened for.
    held.studies = [STUDY]
    daemon.start()
    daemon.up()
    status = wait_for(lambda: _settled(daemon), within=WAIT, what=f"the gate to settle; {daemon.log.read_text()}")
    chosen = (daemon.state / "active-site").read_text().partition("\n")[0]
    assert status["site"]["id"] == chosen
    held.studies = []
    if status["gate"]["state"] == "open":
        assert record(daemon) == chosen
        assert chosen == before or audit(daemon, "gate.clear")[-1]["subjects"] == [chosen]
    else:
        assert (chosen, record(daemon)) == (after, before)
        assert not can_connect(status["listener"]["port"])
        open_for(daemon, after)
    assert daemon.post("/v1/audit/verify")["ok"]


def _send(daemon: Daemon, site: str) -> None:
    """Ask for a site and wait for no answer: there may be none."""
    body = b'{"reason": "a test"}'
    head = f"POST /v1/sites/{site}/activate HTTP/1.1\r\nHost: box\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.socket))
        connection.sendall(head.encode() + body)
        with suppress(ConnectionError):
            connection.recv(1)


@contextmanager
def _killed_at(daemon: Daemon, kill: Kill, log: Path) -> Iterator[None]:
    """Have the running daemon killed when one of its threads begins that call."""
    paths = [] if kill.file is None else ["-P", str(daemon.state / kill.file) if kill.file else str(daemon.state)]
    inject = f"inject={kill.call}:signal=SIGKILL:when=1"
    tracer = subprocess.Popen(
        ["/usr/bin/strace", "-f", "-o", str(log), *paths, "-e", f"trace={kill.call}", "-e", inject,
         "-p", str(daemon.process.pid)], stderr=subprocess.PIPE
    )  # fmt: skip
    try:
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        yield
        tracer.wait(WAIT)
    finally:
        tracer.kill()
        tracer.wait()


def _settled(daemon: Daemon) -> Any:
    status = daemon.get("/v1/status")
    return status if status["gate"]["state"] in {"open", "blocked"} else None
