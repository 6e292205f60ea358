from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from capacitord.dicom.classify import End
from capacitord.dicom.echo import Echoed, NotEchoed, echo
from capacitord.errors import Invalid
from capacitord.model.destination import Destination
from capacitord.model.outcome import Verdict
from tests.dicom.acceptor import (
    ACCEPTED,
    DATA,
    RELEASE_RP,
    RELEASE_RQ,
    RJ,
    Acceptor,
    acceptor,
    associate_ac,
    command,
    destination,
    pdu,
    pdv,
)
from tests.peers.storescp import Storescp

IMPLICIT = "1.2.840.10008.1.2"


def accept_echo(peer: Acceptor) -> None:
    peer.read_pdu()
    peer.send(associate_ac({1: (ACCEPTED, IMPLICIT)}))
    kind, body = peer.read_pdu()
    assert kind == DATA
    assert b"1.2.840.10008.1.1" in body


def answer_echo(peer: Acceptor, **changes: int | str) -> None:
    right: dict[str, int | str] = {"field": 0x8030, "responded_to": 1, "data_set": 0x0101, "status": 0}
    peer.send(pdu(DATA, pdv(command(**right | changes))))


def release(peer: Acceptor) -> None:
    assert peer.read_pdu()[0] == RELEASE_RQ
    peer.send(pdu(RELEASE_RP))


@pytest.mark.peers
def test_storescp_answers(tmp_path: Path) -> None:
    with Storescp(tmp_path / "pacs") as pacs:
        connection = socket.create_connection((pacs.host, pacs.port))
        result = echo(connection, Destination("pacs", "STORESCP", pacs.host, pacs.port), "FLUXBOX")
    assert isinstance(result, Echoed)
    assert result.outcome.verdict is Verdict.DONE
    assert result.outcome.reason == "STORESCP answers."
    assert 0 < result.round_trip < 1
    assert 0 < result.negotiation < 1
    assert connection.fileno() == -1


def test_the_round_trip_is_the_peers_time() -> None:
    def script(peer: Acceptor) -> None:
        accept_echo(peer)
        started = time.perf_counter()
        while time.perf_counter() - started < 0.1:
            pass
        answer_echo(peer)
        release(peer)

    with acceptor(script) as connection:
        result = echo(connection, destination(), "FLUXBOX")
    assert isinstance(result, Echoed)
    assert 0.1 <= result.round_trip < 1


def test_an_answer_other_than_success_is_shown() -> None:
    def script(peer: Acceptor) -> None:
        accept_echo(peer)
        answer_echo(peer, status=0x0122, comment="not today")
        release(peer)

    with acceptor(script) as connection:
        result = echo(connection, destination(), "FLUXBOX")
    assert isinstance(result, Echoed)
    assert result.outcome.verdict is Verdict.NEEDS_PERSON
    assert result.outcome.status == 0x0122
    assert result.outcome.comment == "not today"


@pytest.mark.parametrize(
    "changes", [{"field": 0x8001}, {"responded_to": 2}, {"data_set": 1}, {"field": 0x0030}], ids=str
)
def test_a_wrong_answer_is_none(changes: dict[str, int | str]) -> None:
    def script(peer: Acceptor) -> None:
        accept_echo(peer)
        answer_echo(peer, **changes)
        assert peer.expect_abort() == (2, 5)

    with acceptor(script) as connection:
        result = echo(connection, destination(), "FLUXBOX")
        assert connection.fileno() == -1
    assert isinstance(result, NotEchoed)
    assert result.how is End.PROTOCOL


def test_a_peer_that_is_silent() -> None:
    def script(peer: Acceptor) -> None:
        accept_echo(peer)
        peer.read_to_the_end()

    with acceptor(script) as connection:
        result = echo(connection, destination(timeout=0.2), "FLUXBOX")
    assert isinstance(result, NotEchoed)
    assert result.how is End.NO_ANSWER


def test_a_peer_that_rejects() -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(pdu(RJ, b"\0\1\1\7"))
        peer.read_to_the_end()

    with acceptor(script) as connection:
        result = echo(connection, destination(), "FLUXBOX")
    assert isinstance(result, NotEchoed)
    assert result.how is End.REJECTED
    assert "does not call itself STM_PACS" in result.outcome.reason


def test_a_peer_that_does_not_take_an_echo() -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(associate_ac({1: (3, "")}))
        release(peer)

    with acceptor(script) as connection:
        result = echo(connection, destination(), "FLUXBOX")
    assert isinstance(result, NotEchoed)
    assert result.how is None
    assert "Verification" in result.outcome.reason


def test_a_bad_ae_title_closes_the_connection() -> None:
    with acceptor(lambda peer: peer.read_to_the_end()) as connection:
        with pytest.raises(Invalid):
            echo(connection, destination(), "A" * 17)
        assert connection.fileno() == -1
