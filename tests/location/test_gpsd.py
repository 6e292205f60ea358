"""Positions: from a real gpsd that is killed, frozen and lied to, and from whatever else may answer at its port."""

from __future__ import annotations

import contextlib
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from capacitord.location.evidence import seconds
from capacitord.location.gpsd import Gpsd, Lines
from capacitord.location.positions import Position, Receiver, judge, metres_between, position, report
from tests.location.watching import background, resolve
from tests.peers.gpsd import Fix, receiver
from tests.peers.gpsd import Gpsd as Server
from tests.wait import wait_for

HOSPITAL = Fix(41.88312, -87.6251)
AGE, ERROR = 2.0, 50.0


@contextlib.contextmanager
def watched(port: int, **options: Any) -> Iterator[Gpsd]:
    client = Gpsd(resolve, "127.0.0.1", port, **{"max_age": AGE, "max_error": ERROR, "silence": 1.0, **options})
    with background(client.watch):
        yield client


def until(client: Gpsd, words: str) -> None:
    """Wait until there is no position, with these words."""

    def look() -> bool:
        return client.latest.value is None and words in client.latest.problem

    wait_for(look, what=f"{words!r} instead of {client.latest}")


def until_found(client: Gpsd) -> Any:
    return wait_for(lambda: client.latest.value, what="a position")


def test_a_real_gpsd(tmp_path: Path) -> None:
    with receiver(HOSPITAL) as gps, Server(tmp_path, gps.path) as server, watched(server.port) as client:
        found = until_found(client)
        assert (found.latitude, found.longitude) == pytest.approx((HOSPITAL.latitude, HOSPITAL.longitude), abs=1e-6)
        assert found.accuracy == pytest.approx(HOSPITAL.error)
        assert found.device == gps.path
        assert client.latest.words == f"41.88312, -87.62510 ± 17 m, 3D fix of {gps.path}"
        age = client.latest.age(seconds())
        assert age is not None
        assert age < 1

        gps.fix = Fix(41.9, -87.6)
        wait_for(lambda: client.latest.value and client.latest.value.latitude == pytest.approx(41.9), what="the move")

        gps.fix = HOSPITAL._replace(error=190.0)
        until(client, "the position may be 190 m off, more than 50 m")
        gps.fix = HOSPITAL._replace(quality=0)
        until(client, "the receiver has no fix")
        assert "41.88312" in client.latest.words
        gps.fix = HOSPITAL
        until_found(client)
        gps.fix = None
        until(client, " s old")
        gps.fix = HOSPITAL
        until_found(client)


def test_a_receiver_whose_clock_stands_says_nothing(tmp_path: Path) -> None:
    stopped = time.time()
    with receiver(HOSPITAL) as gps, Server(tmp_path, gps.path) as server, watched(server.port) as client:
        until_found(client)
        gps.clock = lambda: stopped
        until(client, " s old")
        gps.clock = time.time
        until_found(client)


def test_a_simulated_position_is_none(tmp_path: Path) -> None:
    with (
        receiver(HOSPITAL._replace(quality=8)) as gps,
        Server(tmp_path, gps.path) as server,
        watched(server.port) as client,
    ):
        until(client, "the receiver only simulates a position")


def test_a_gpsd_that_dies_comes_back_and_freezes(tmp_path: Path) -> None:
    with receiver(HOSPITAL) as gps, Server(tmp_path, gps.path) as server, watched(server.port) as client:
        until_found(client)
        server.kill()
        assert client.latest.value is not None, "what was heard a moment ago still counts"
        until(client, "can't be reached (Connection refused)")
        assert not client.connected
        server.start()
        until_found(client)

        server.pause()
        until(client, "")
        until(client, "does not answer")
        time.sleep(1)  # what it has not read meanwhile piles up
        server.resume()
        until_found(client)


def test_fixes_that_were_held_up_are_as_old_as_they_are(tmp_path: Path) -> None:
    """A frozen gpsd has the receiver's sentences pile up. It tells them in one go, as if they were of now."""
    with (
        receiver(HOSPITAL) as gps,
        Server(tmp_path, gps.path) as server,
        watched(server.port, silence=60.0) as client,
    ):
        until_found(client)
        server.pause()
        until(client, " s old")
        gps.fix = None
        wait_for(lambda: (client.latest.age(seconds()) or 0) > 2 * AGE + 1, what="the last of them to grow old")
        moved = Fix(41.9, -87.6)
        server.resume()
        seen = []
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            seen.append(client.latest.value)
            time.sleep(0.01)
        assert all(each is None for each in seen)
        gps.fix = moved
        assert until_found(client).latitude == pytest.approx(41.9)


def test_two_receivers(tmp_path: Path) -> None:
    near, far = HOSPITAL._replace(error=19.0, latitude=41.88322), Fix(41.9, -87.6, error=19.0)
    with (
        receiver(HOSPITAL._replace(error=38.0)) as one,
        receiver(near) as other,
        Server(tmp_path, one.path, other.path) as server,
        watched(server.port) as client,
        watched(server.port, device=one.path) as choosy,
    ):
        wait_for(lambda: client.latest.value and client.latest.value.device == other.path, what="the more exact one")
        assert until_found(choosy).device == one.path
        other.fix = far
        until(client, " m apart by what they say")
        assert until_found(choosy).device == one.path
        other.fix = None
        assert until_found(client).device == one.path


def test_a_gpsd_without_a_receiver(tmp_path: Path) -> None:
    with receiver(None) as gps, Server(tmp_path, gps.path) as server, watched(server.port) as client:
        until(client, "gpsd has no receiver that says anything")
        assert client.connected


@contextlib.contextmanager
def impostor(*pieces: bytes) -> Iterator[int]:
    """Give a port at which everybody gets the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            listener.settimeout(0.05)
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    peer, _ = listener.accept()
                    with peer:
                        for piece in pieces:
                            peer.sendall(piece)
                        ended.wait(0.3)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not gpsd"),
        (b'{"class":"TPV"}\n', "is not gpsd"),
        (b"\0" * (1 << 20) + b"\n", "hung up"),
        (b'{"class":"VERSION"}\n', "hung up"),
    ],
)
def test_whatever_answers_is_no_position(said: bytes, words: str) -> None:
    with impostor(said) as port, watched(port) as client:
        until(client, words)


def tpv(**fields: Any) -> bytes:
    whole = {
        "class": "TPV",
        "device": "/dev/gps",
        "mode": 3,
        "time": "2026-01-01T00:00:00.000Z",
        "lat": 41.0,
        "lon": -87.0,
        "eph": 5.0,
    }
    return msgspec.json.encode({key: value for key, value in (whole | fields).items() if value is not None})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"mode": 2}, ""),
        ({"eph": None, "epx": 3.0, "epy": 4.0}, ""),
        ({"time": "2026-01-01T00:00:00+00:00"}, ""),
        ({"mode": 1}, "no fix"),
        ({"mode": None}, "no fix"),
        ({"status": 8}, "simulates"),
        ({"status": 7}, "only tells the time"),
        ({"status": 5}, "only reckons"),
        ({"status": 2}, ""),
        ({"status": 6}, ""),
        ({"lat": None}, "no position"),
        ({"lat": 91.0}, "no position"),
        ({"lon": -180.1}, "no position"),
        ({"eph": None}, "how exact"),
        ({"eph": None, "epx": 3.0}, "how exact"),
        ({"eph": 0.0}, "how exact"),
        ({"eph": -1.0}, "how exact"),
        ({"time": None}, "when it was there"),
        ({"time": "yesterday"}, "when it was there"),
        ({"time": "2026-01-01T00:00:00"}, "when it was there"),
    ],
)
def test_what_makes_a_position(fields: dict[str, Any], words: str) -> None:
    said = report(tpv(**fields))
    assert said is not None
    found, problem = position(said)
    assert (found is None) is bool(words)
    assert words in problem
    assert found is None or found.accuracy == 5.0


def heard(gps: Receiver, seconds: float, now: float, **fields: Any) -> None:
    said = report(tpv(time=datetime.fromtimestamp(1_700_000_000 + seconds, UTC).isoformat(), **fields))
    assert said is not None
    gps.take(said, now)


def problem(gps: Receiver, now: float) -> str:
    return judge([gps], now, 10.0, 100.0).problem


def test_ages_by_both_clocks() -> None:
    gps = Receiver("/dev/gps")
    heard(gps, 0.0, 100.0)
    assert "the next one counts" in problem(gps, 100.0)
    heard(gps, 1.0, 101.0)
    assert problem(gps, 101.0) == ""
    assert gps.age(105.0) == 4.0
    assert problem(gps, 111.5) == "the position is 10 s old"
    heard(gps, 2.0, 120.0)
    assert gps.age(120.0) == pytest.approx(18.0, abs=0.1), "it was held up for 18 s"
    heard(gps, 21.0, 121.0)
    assert gps.age(121.0) == pytest.approx(0.0, abs=0.1)
    for now in range(122, 135):
        heard(gps, 21.0, float(now))
    assert problem(gps, 134.0) == "the position is 13 s old and repeated: the receiver's clock stands"


def test_a_clock_that_was_put_back_has_to_show_that_it_goes() -> None:
    gps = Receiver("/dev/gps")
    heard(gps, 1000.0, 1.0)
    heard(gps, 1001.0, 2.0)
    heard(gps, 0.0, 3.0)
    assert "the next one counts" in problem(gps, 3.0)
    heard(gps, 1.0, 4.0)
    assert problem(gps, 4.0) == ""


def test_a_clock_may_drift_for_days() -> None:
    gps = Receiver("/dev/gps")
    for second in range(200_000):
        heard_at = second * 1.0001
        if second % 50 == 0:
            heard(gps, float(second), heard_at)
    assert problem(gps, 199_951 * 1.0001) == ""


def test_what_was_seen_grows_old_while_the_machine_sleeps() -> None:
    look = "import time; from capacitord.location.evidence import Polled; "
    look += "print(Polled(None, every=1, within=1)._clock() - time.monotonic())"
    slept = ["/usr/bin/unshare", "--user", "--map-root-user", "--time", "--boottime", "1000000", "--fork"]
    done = subprocess.run([*slept, sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 900_000


def place(latitude: float, longitude: float) -> Position:
    return Position("/dev/gps", latitude, longitude, 5.0, 3, 0.0)


def test_distances() -> None:
    assert metres_between(place(41.0, -87.0), place(41.001, -87.0)) == pytest.approx(111.2, abs=0.1)
    assert metres_between(place(60.0, 10.0), place(60.0, 10.001)) == pytest.approx(55.6, abs=0.1)
    assert metres_between(place(0.0, 179.9995), place(0.0, -179.9995)) == pytest.approx(111.2, abs=0.1)


@given(pieces=st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"abc\n", b"x" * 30])))
def test_lines_are_whole_and_bounded_however_they_arrive(pieces: list[bytes]) -> None:
    lines = Lines(longest=20)
    found = [line for piece in pieces for line in lines.feed(piece)]
    whole = b"".join(pieces).split(b"\n")[:-1]
    assert found == [line for line in whole if len(line) <= 20]
    assert len(lines._rest) <= 20


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
REPORTS = st.dictionaries(st.sampled_from(["mode", "lat", "lon", "eph", "epx", "epy", "time", "status"]), VALUES)


@given(garbage=st.binary() | REPORTS.map(lambda fields: tpv(**fields)))
def test_any_line_is_a_position_or_none(garbage: bytes) -> None:
    said = report(garbage)
    if said is None:
        return
    found, words = position(said)
    assert (found is None) is bool(words)
    if found is not None:
        assert abs(found.latitude) <= 90
        assert 0 < found.accuracy < math.inf
    gps = Receiver(said.device)
    gps.take(said, 1.0)
    assert judge([gps], 1.0, 10.0, 100.0).value is None
