"""Connections to real listeners, and every way they can fail, in words."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from capacitord.model.destination import Destination
from capacitord.model.outcome import Verdict
from capacitord.supervisor.broker import MOST_LOOKUPS, Connection, connect, meant


def destination(port: int, host: str = "127.0.0.1", timeout: float = 5.0, source: str = "") -> Destination:
    return Destination("pacs", "PACS", host, port, connect_timeout=timeout, source_address=source)


def attempt(to: Destination) -> Connection:
    return asyncio.run(connect(to))


def refused(to: Destination) -> str:
    made = attempt(to)
    assert made.socket is None
    assert made.failure is not None
    assert made.failure.verdict is Verdict.LATER
    return made.failure.reason


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_connects_without_delay_on_small_packets(listener: socket.socket, host: str) -> None:
    made = attempt(destination(listener.getsockname()[1], host))
    assert made.failure is None
    assert made.socket is not None
    with made.socket as ours, listener.accept()[0] as theirs:
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        ours.send(b"hello")
        assert theirs.recv(5) == b"hello"
    assert 0 <= made.seconds < 5


def test_it_comes_from_the_source_address_that_is_asked_for(listener: socket.socket) -> None:
    made = attempt(destination(listener.getsockname()[1], source="127.0.0.7"))
    assert made.socket is not None
    with made.socket, listener.accept()[0] as theirs:
        assert theirs.getpeername()[0] == "127.0.0.7"


def test_where_nothing_may_be_sent_no_connection_is_made(listener: socket.socket) -> None:
    to = msgspec.structs.replace(destination(listener.getsockname()[1]), barred="nothing is sent there: no TLS")
    assert refused(to) == "pacs: nothing is sent there: no TLS."
    listener.settimeout(0.1)
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_source_address_that_is_not_ours() -> None:
    assert "does not have the source address" in refused(destination(9, source="192.0.2.1"))


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert (
        refused(destination(port))
        == f"127.0.0.1 port {port}: the connection was refused: nothing listens on that port."
    )


def test_a_source_address_goes_only_to_addresses_of_its_own_kind(listener: socket.socket) -> None:
    assert "no address that can be reached" in refused(destination(listener.getsockname()[1], source="::1"))


def test_a_name_that_does_not_exist() -> None:
    assert "name could not be resolved" in refused(destination(104, "no-such-host.invalid"))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1"])
def test_a_name_does_not_lead_back_into_this_box(address: str) -> None:
    """Whoever answers for names on the network of a site could say so, and reach what listens for this box alone."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    back = (family, socket.SOCK_STREAM, 6, "", (address, 104))
    pacs = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 104))
    assert meant("pacs.example", [back, pacs]) == [pacs]
    with pytest.raises(OSError, match="this box itself"):
        meant("pacs.example", [back])
    for said in ("localhost", "Localhost.", address):
        assert meant(said, [back, pacs]) == [back, pacs]


def test_who_asks_again_and_again_does_not_take_all_threads(listener: socket.socket) -> None:
    """A resolver that does not answer has a thread for longer than the one who asked waits."""
    over = threading.Event()
    lookups = {threading.Thread(target=over.wait, args=(60,)) for _ in range(MOST_LOOKUPS)}
    for each in lookups:
        each.start()
    wanted = destination(listener.getsockname()[1], "localhost")
    try:
        made = asyncio.run(connect(wanted, lookups))
        assert made.failure is not None
        assert "too many names" in made.failure.reason
    finally:
        over.set()
    for each in tuple(lookups):
        each.join()
    made = asyncio.run(connect(wanted, lookups))
    assert made.socket is not None
    made.socket.close()
    assert len(lookups) <= 1


def test_a_name_that_cannot_be_one() -> None:
    assert "name could not be resolved" in refused(destination(104, "a" * 70 + ".example"))


def test_a_host_that_does_not_answer_costs_no_more_than_its_time_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # A full backlog drops what comes next, as a firewall does.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        assert "did not answer within 0.3 s" in refused(destination(port, timeout=0.3))
        assert time.monotonic() - began < 3
        for filler in fillers:
            filler.close()


def test_nothing_is_sent_to_an_address_that_the_box_has_itself() -> None:
    done = subprocess.run(
        ["/usr/bin/unshare", "-Urn", sys.executable, "-m", "tests.supervisor.own_address"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    itself = "port PORT: on the network where it is now that is this box itself, so nothing is sent there."
    assert json.loads(done.stdout) == {
        "theirs": f"192.0.2.7 {itself}",
        "any": f"0.0.0.0 {itself}",
        "loopback": "connected",
        "ours": f"127.0.0.1 {itself}",
        "evidence": "192.0.2.7 is an address of this box itself",
        "gpsd": "connected",
        "elsewhere": "198.51.100.7 port PORT: there is no route to the network of the host.",
    }
