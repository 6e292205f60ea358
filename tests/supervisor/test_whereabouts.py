"""Where the box is, end to end: a real daemon, a real gpsd, endpoints on the loopback."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capacitord.config import profile
from capacitord.config.tables.whereabouts import HostPort, WhereaboutsTable
from capacitord.location.evidence import Polled, seconds
from capacitord.location.gpsd import Gpsd as Receiver
from capacitord.model.location import Decision, Kind, Wanted
from capacitord.model.outcome import Outcome, Verdict
from capacitord.supervisor.clearing import Clearing
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.supervisor import Supervisor
from capacitord.supervisor.whereabouts import Whereabouts
from tests.peers.gpsd import Fix, Gpsd, receiver
from tests.supervisor.daemon import PROFILE, Daemon, running
from tests.wait import wait_for

ST_MARYS, LAKESIDE = Fix(41.8830, -87.6250), Fix(41.9030, -87.6250)


def square(middle: Fix) -> str:
    west, east = middle.longitude - 0.005, middle.longitude + 0.005
    south, north = middle.latitude - 0.003, middle.latitude + 0.003
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return f'geofence = {{ type = "Polygon", coordinates = [{corners}] }}\n'


def text(site: str, version: int, location: str) -> str:
    found = PROFILE.format(version=version, port=9).replace("st-marys", site)
    return f'{found}\n[location]\ndwell = "1s"\n{location}'


def evidence(port: int) -> str:
    return f'[[location.evidence]]\nendpoint = {{ host = "127.0.0.1", port = {port} }}\n'


def located(daemon: Daemon, matches: Callable[[Any], bool], what: str) -> Any:
    seen: list[Any] = []

    def look() -> Any:
        seen[:] = [daemon.get("/v1/location")]
        return seen[0] if matches(seen[0]) else None

    return wait_for(look, what=f"{what}; it was {seen}")


@pytest.mark.parametrize("what", [Supervisor, Serving, Clearing, Whereabouts, Receiver, Polled])
def test_what_grows_old_does_so_while_the_machine_sleeps(what: type) -> None:
    clock = inspect.signature(what).parameters["clock"].default
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert asleep <= clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert clock is seconds, "where it never slept, others say the same"


def test_a_daemon_finds_out_where_it_is(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as pacs,
        receiver(ST_MARYS) as gps,
        Gpsd(tmp_path, gps.path) as gpsd,
        running(
            config=f'[location]\ngpsd = "127.0.0.1:{gpsd.port}"\npoll = "1s"\nleave_after = "2s"\nmax_age = "2s"\n'
        ) as daemon,
    ):
        manual = located(daemon, lambda found: found["position"] is not None, "a position")
        assert (manual["follows"], manual["site"]) == (False, None)
        assert manual["manual"] == "no profile says how its site is known: none has [location]"
        assert daemon.get("/v1/status")["location"] is None

        port = pacs.getsockname()[1]
        profiles = [
            text("st-marys", 1, square(ST_MARYS) + evidence(port)),
            text("lakeside", 1, square(LAKESIDE)),
        ]
        for each in profiles:
            assert daemon.ask("POST", "/v1/profiles", {"text": each}).status == 200
        here = located(daemon, lambda found: found["site"] == "st-marys", "st-marys")
        assert here["follows"] is True
        assert here["position"]["latitude"] == pytest.approx(ST_MARYS.latitude, abs=1e-5)
        assert here["position"]["accuracy"] == pytest.approx(17.1)
        assert here["position"]["age"] < 2
        mapped = daemon.get("/v1/geofences")["position"]
        assert mapped["latitude"] == pytest.approx(ST_MARYS.latitude, abs=1e-5)
        rows = {row["kind"]: row for row in here["evidence"]}
        assert rows["position"]["speaks_for"] == ["st-marys"]
        assert rows["endpoint"]["speaks_for"] == ["st-marys"]
        assert rows["endpoint"]["value"] == "it listens"
        st_marys = next(site for site in here["sites"] if site["site"] == "st-marys")
        assert (st_marys["phase"], st_marys["network"], st_marys["where"]) == ("here", "agrees", "inside")
        assert daemon.get("/v1/status")["location"]["site"] == "st-marys"

        gps.fix = LAKESIDE
        pacs.close()
        there = located(daemon, lambda found: found["site"] == "lakeside", "lakeside")
        assert any("inside" in reason for reason in there["reasons"])

        gpsd.kill()
        nothing = "nothing says that the box has left lakeside"
        lost = located(daemon, lambda found: found["position"] is None and nothing in found["reasons"], "no position")
        assert lost["site"] == "lakeside"
        assert lost["reasons"][0] == "nothing says that the box has left lakeside"
        advice = {each["reference"] for each in daemon.get("/v1/status")["advice"]}
        assert "gpsd-unreachable" in advice

        decided = [each for each in daemon.get("/v1/audit")["entries"] if each["action"] == "location.decide"]
        assert [each["subjects"] for each in decided if each["subjects"]] == [["st-marys"], ["lakeside"]]
        assert "inside" in decided[0]["detail"]
        assert daemon.stop() == 0


def test_a_conflict_is_said_and_nothing_is_decided(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as pacs,
        receiver(ST_MARYS) as gps,
        Gpsd(tmp_path, gps.path) as gpsd,
        running(config=f'[location]\ngpsd = "127.0.0.1:{gpsd.port}"\npoll = "1s"\n') as daemon,
    ):
        port = pacs.getsockname()[1]
        for each in (
            text("st-marys", 1, square(ST_MARYS)),
            text("lakeside", 1, square(LAKESIDE) + evidence(port)),
        ):
            assert daemon.ask("POST", "/v1/profiles", {"text": each}).status == 200
        found = located(daemon, lambda found: found["conflict"], "a conflict")
        assert found["site"] is None
        assert re.fullmatch(
            r"the position says st-marys \(.* inside\), and the network says lakeside.*", found["reasons"][0]
        )
        status = daemon.get("/v1/status")
        assert status["location"]["conflict"] is True
        assert "location-conflict" in {each["reference"] for each in status["advice"]}


def whereabouts(*texts: str, **table: Any) -> Whereabouts:
    found = Whereabouts(WhereaboutsTable(**table))
    asyncio.run(found.take({each.id: each for each in (profile.parse(text, "p") for text in texts)}))
    return found


@pytest.mark.parametrize(
    ("texts", "table", "words"),
    [
        ((PROFILE.format(version=1, port=9),), {}, "no profile says how its site is known"),
        ((text("a", 1, square(ST_MARYS)),), {}, "there is no source of evidence"),
        ((text("a", 1, square(ST_MARYS)),), {"gpsd": HostPort("127.0.0.1", 2947)}, ""),
        ((text("a", 1, '[[location.evidence]]\nssid = "Imaging"\n'),), {}, ""),
        ((text("a", 1, '[[location.evidence]]\nssid = "Imaging"\n'),), {"follow": False}, "follow is false"),
    ],
)
def test_when_a_box_follows_the_evidence(texts: tuple[str, ...], table: dict[str, Any], words: str) -> None:
    found = whereabouts(*texts, **table)
    assert words in found.manual
    assert found.follows is not bool(words)
    assert found.look().site is None


def test_each_kind_of_evidence_is_taken_from_the_profile() -> None:
    pieces = (
        'subnet = "10.20.0.0/16"',
        'gateway_mac = "00-11-22-33-44-55"',
        'ssid = "Imaging"',
        'dns_suffix = "STM.example"',
        'echo = { ae_title = "PACS", host = "fd20::1", port = 104 }',
        f'endpoint = {{ host = "10.20.1.10", port = 443, certificate_sha256 = "{"9F" * 32}" }}',
    )
    (rule,) = whereabouts(
        text("a", 1, "".join(f"[[location.evidence]]\n{each}\n" for each in pieces)), follow=False
    ).rules
    assert (rule.site, rule.fence, rule.dwell) == ("a", False, 1.0)
    assert rule.wanted == (
        Wanted(Kind.SUBNET, "10.20.0.0/16"),
        Wanted(Kind.GATEWAY_MAC, "00:11:22:33:44:55"),
        Wanted(Kind.SSID, "Imaging"),
        Wanted(Kind.DNS_SUFFIX, "stm.example"),
        Wanted(Kind.ECHO, "PACS at [fd20::1]:104", "fd20::1", 104, "PACS"),
        Wanted(Kind.ENDPOINT, "10.20.1.10:443", "10.20.1.10", 443, certificate_sha256="9f" * 32),
    )


def test_a_node_that_answers_an_echo_is_evidence() -> None:
    changes: list[Decision] = []
    found_out = asyncio.Event()

    def changed(decision: Decision) -> None:
        changes.append(decision)
        found_out.set()

    async def echo(node: Wanted) -> Outcome:
        return Outcome(Verdict.DONE, node.ae_title)

    async def run() -> None:
        found = Whereabouts(WhereaboutsTable.model_validate({"poll": "1s"}), echo=echo, changed=changed)
        piece = '[[location.evidence]]\necho = { ae_title = "PACS", host = "127.0.0.1", port = 104 }\n'
        profiles = {"a": profile.parse(text("a", 1, piece), "p")}
        watching = asyncio.create_task(found.watch())
        await found.take(profiles)
        await asyncio.wait_for(found_out.wait(), 20)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        assert found.decision.reasons == (
            "the network is that of a",
            "C-ECHO PACS at 127.0.0.1:104: it answers a C-ECHO",
        )

    asyncio.run(run())
    assert [each.site for each in changes] == ["a"]


def test_a_box_that_was_somewhere_before_a_restart_is_there_still() -> None:
    found = whereabouts(text("a", 1, square(ST_MARYS)), gpsd=HostPort("127.0.0.1", 9))
    found.begin("a")
    assert found.look().site == "a"


def test_all_of_the_network_is_asked_before_a_site_is_opened_after_a_start() -> None:
    answers, asked = asyncio.Event(), asyncio.Event()

    async def echo(node: Wanted) -> Outcome:
        asked.set()
        await answers.wait()
        return Outcome(Verdict.DONE, node.ae_title)

    async def ssid() -> tuple[tuple[str, ...], str]:
        return ("a",), "a"

    async def run() -> None:
        found = Whereabouts(WhereaboutsTable(), echo=echo)
        found.local = {Kind.SSID: Polled(ssid, every=5.0, within=5.0)}
        found.begin("a")
        node = 'echo = { ae_title = "PACS", host = "127.0.0.1", port = 104 }'
        pieces = {"a": 'ssid = "a"', "b": node}
        texts = {site: text(site, 1, f"[[location.evidence]]\n{piece}\n") for site, piece in pieces.items()}
        await found.take({site: profile.parse(each, "p") for site, each in texts.items()})
        await found.local[Kind.SSID].poll()
        await asked.wait()
        decision = found.look()
        assert (decision.site, decision.reasons[0]) == ("a", "the network is that of a")
        assert "the network has said nothing yet since the start" in decision.doubt
        answers.set()
        for _ in range(100):
            await asyncio.sleep(0)
        assert (found.look().site, found.decision.doubt) == ("a", "")
        await found.probes.stop()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_the_first_site_of_a_box_that_follows_opens_by_evidence_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
    with running(config='[location]\npoll = "1s"\n') as daemon:
        daemon.post("/v1/key/init")
        first = text("lakeside", 1, evidence(port))
        done = daemon.ask("POST", "/v1/profiles", {"text": first}).json
        assert done["active"] is False
        gate = daemon.gate()
        assert (gate["state"], "no site it knows" in gate["reason"]) == ("parked", True)
        actions = [entry["action"] for entry in daemon.get("/v1/audit?limit=1000")["entries"]]
        assert "gate.candidate" not in actions
        daemon.stop()
        daemon.start()
        daemon.up()
        assert daemon.gate()["state"] == "parked"
