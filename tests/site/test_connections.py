"""Connections that are asked of the supervisor, and answers that come too late."""

from __future__ import annotations

import socket
import threading

import pytest

from capacitord.link.channel import LinkClosed
from capacitord.link.messages import Connect, Connected
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.connections import Connection, Connections
from tests.wait import wait_for

REFUSED = Outcome(Verdict.LATER, "Nothing listens there.")


class Asked:
    """Connections whose requests a test answers."""

    def __init__(self) -> None:
        self.requests: list[Connect] = []
        self.connections = Connections(self.requests.append)
        self.results: list[Connection | Outcome] = []

    def open(self, destination: str = "pacs", timeout: float = 60.0) -> threading.Thread:
        """Ask in a thread, and return it once the request is there."""
        count = len(self.requests)
        thread = threading.Thread(target=lambda: self.results.append(self.connections.open(destination, timeout)))
        thread.start()
        wait_for(lambda: len(self.requests) > count, what="the request")
        return thread


def test_each_gets_its_own_answer() -> None:
    asked = Asked()
    first, second = asked.open("first"), asked.open("second")
    ours, theirs = socket.socketpair()
    asked.connections.answer(Connected(asked.requests[1].request, 0.5), theirs.detach())
    second.join(5)
    asked.connections.answer(Connected(asked.requests[0].request, 0.1, REFUSED), None)
    first.join(5)
    made, refused = asked.results
    assert isinstance(made, Connection)
    assert made.seconds == 0.5
    assert made.socket.getblocking()
    assert refused == REFUSED
    with ours, made.socket:
        made.socket.sendall(b"hello")
        assert ours.recv(5) == b"hello"


def test_a_connection_that_nobody_waits_for_is_closed() -> None:
    asked = Asked()
    ours, theirs = socket.socketpair()
    with ours:
        asked.connections.answer(Connected(4711, 0.0), theirs.detach())
        assert ours.recv(1) == b""


def test_one_that_is_given_up_waits_no_more_and_the_others_do() -> None:
    asked = Asked()
    given_up, other = asked.open("moved"), asked.open("other")
    asked.connections.give_up("moved")
    given_up.join(5)
    assert not given_up.is_alive()
    assert other.is_alive()
    ours, theirs = socket.socketpair()
    with ours:
        asked.connections.answer(Connected(asked.requests[0].request, 0.0), theirs.detach())
        assert ours.recv(1) == b""
    asked.connections.close()
    other.join(5)
    assert all(isinstance(result, Outcome) and result.verdict is Verdict.LATER for result in asked.results)


def test_a_connection_that_was_lost_on_the_way_fails_at_once() -> None:
    asked = Asked()
    thread = asked.open()
    asked.connections.answer(Connected(asked.requests[0].request, 0.1), None)
    thread.join(5)
    (result,) = asked.results
    assert isinstance(result, Outcome)
    assert "no descriptor left" in result.reason


def test_after_the_end_nobody_is_asked() -> None:
    asked = Asked()
    asked.connections.close()
    result = asked.connections.open("pacs", 60.0)
    assert isinstance(result, Outcome)
    assert not asked.requests


def test_a_supervisor_that_is_gone_is_not_waited_for() -> None:
    def gone(_: Connect) -> None:
        raise LinkClosed

    result = Connections(gone).open("pacs", 60.0)
    assert isinstance(result, Outcome)
    assert "shutting down" in result.reason


@pytest.mark.parametrize("timeout", [-30.0])
def test_a_supervisor_that_does_not_answer_is_not_waited_for_for_ever(timeout: float) -> None:
    asked = Asked()
    thread = asked.open("pacs", timeout)
    thread.join(5)
    (result,) = asked.results
    assert isinstance(result, Outcome)
    assert "did not answer in time" in result.reason
