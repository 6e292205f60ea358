"""What a storage SCU does with a peer that keeps to nothing: each ending is typed, bounded in time, and in words."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacitord.dicom.classify import End
from capacitord.dicom.storage_scu import NotOpened, Report, State, Stop
from capacitord.model.outcome import Verdict
from tests.dicom.acceptor import (
    ABORT,
    ACCEPTED,
    ASSOCIATE_RQ,
    DATA,
    EXPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    RJ,
    Acceptor,
    Closed,
    MemoryImage,
    Script,
    acceptor,
    associate_ac,
    association,
    command,
    established,
    pdu,
    pdv,
    some_image,
    store_response,
)
from tests.dicom.test_storage_scu import Ledger

SHORT = 0.5
"""A response time-out for peers that are silent, in seconds."""


def read_request_then(*said: bytes) -> Script:
    """Return a script that reads the A-ASSOCIATE-RQ, says something, and listens until the end."""

    def script(peer: Acceptor) -> None:
        assert peer.read_pdu()[0] == ASSOCIATE_RQ
        for data in said:
            peer.send(data)
        peer.read_to_the_end()

    return script


def not_opened(script: Script, timeout: float = 10.0) -> NotOpened:
    with acceptor(script) as connection:
        assoc = association(connection, timeout=timeout)
        result = assoc.open()
        assert isinstance(result, NotOpened), result
        assert assoc.state is State.ENDED
        assert connection.fileno() == -1
        return result


GOOD_AC = associate_ac({1: (ACCEPTED, EXPLICIT)})


@pytest.mark.parametrize(
    ("said", "how"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", End.PROTOCOL),
        (b"\x00" * 100, End.PROTOCOL),
        (b"\xff\xff\xff\xff\xff\xff", End.PROTOCOL),
        (pdu(2, b"short"), End.PROTOCOL),
        (GOOD_AC[:2] + struct.pack(">L", 0xFFFFFFF0) + GOOD_AC[6:], End.PROTOCOL),
        (GOOD_AC[:2] + struct.pack(">L", len(GOOD_AC) - 7) + GOOD_AC[6:-1], End.PROTOCOL),
        (pdu(ASSOCIATE_RQ, bytes(80)), End.PROTOCOL),
        (pdu(DATA, pdv(store_response(1))), End.PROTOCOL),
        (pdu(RELEASE_RP), End.PROTOCOL),
        (pdu(RELEASE_RQ), End.RELEASED),
        (pdu(RJ, b"\0\1\1"), End.PROTOCOL),
        (pdu(RJ, b"\0\1\1\3"), End.REJECTED),
        (pdu(RJ, b"\0\2\3\2"), End.REJECTED),
        (pdu(RJ, b"\0\x4d\x4e\x4f"), End.REJECTED),
        (pdu(ABORT, b"\0\0\0\0"), End.ABORTED),
        (pdu(ABORT, b"\0\0\2\6"), End.ABORTED),
        (pdu(ABORT, b""), End.ABORTED),
    ],
)
def test_an_answer_to_the_request_that_is_no_acceptance(said: bytes, how: End) -> None:
    result = not_opened(read_request_then(said))
    assert result.how is how
    assert "STM_PACS" in result.outcome.reason


def test_a_rejection_says_who_does_not_know_whom() -> None:
    result = not_opened(read_request_then(pdu(RJ, b"\0\1\1\3")))
    assert result.outcome.verdict is Verdict.NEEDS_PERSON
    assert "does not know this box by its AE title (FLUXBOX)" in result.outcome.reason
    assert not_opened(read_request_then(pdu(RJ, b"\0\2\1\1"))).outcome.verdict is Verdict.LATER


def test_a_request_that_is_not_understood_is_aborted_with_a_reason() -> None:
    aborts: list[tuple[int, int]] = []

    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(pdu(0x42))
        aborts.append(peer.expect_abort())

    assert not_opened(script).how is End.PROTOCOL
    assert aborts == [(2, 1)]


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 40, len(GOOD_AC) - 1])
def test_a_connection_closed_while_negotiating(cut: int) -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(GOOD_AC[:cut])

    assert not_opened(script).how is End.CLOSED


def test_a_connection_reset_before_anything_was_said() -> None:
    def script(peer: Acceptor) -> None:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.connection.close()

    assert not_opened(script).how is End.CLOSED


def test_a_peer_that_never_answers() -> None:
    started = time.monotonic()
    assert not_opened(read_request_then(), SHORT).how is End.NO_ANSWER
    assert SHORT <= time.monotonic() - started < SHORT + 3


def test_a_peer_that_dribbles_is_not_waited_for_longer() -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        pause = threading.Event()
        try:
            for byte in GOOD_AC:
                peer.send(bytes([byte]))
                pause.wait(SHORT / 10)
        except OSError:
            return

    started = time.monotonic()
    assert not_opened(script, SHORT).how is End.NO_ANSWER
    assert time.monotonic() - started < SHORT + 3


def after_image(*said: bytes) -> Script:
    """Return a script that accepts, reads one whole image, says something, and listens until the end."""

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read_store()
        for data in said:
            peer.send(data)
        peer.read_to_the_end()

    return script


def broken(script: Script, *, timeout: float = 10.0, size: int = 1000) -> tuple[Report, Ledger]:
    """Send two images and return how that broke."""
    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection, timeout=timeout)
        report = assoc.store([some_image(1, size), some_image(2, size)], ledger)
        assert report.stop is Stop.BROKEN, report
        assert assoc.state is State.ENDED
        assert not assoc.release()
        assert connection.fileno() == -1
    assert report.outcome is not None
    assert report.outcome.verdict is Verdict.LATER
    assert "STM_PACS" in report.outcome.reason
    return report, ledger


def wrong(**changes: int | str) -> bytes:
    right: dict[str, int | str] = {"field": 0x8001, "responded_to": 1, "data_set": 0x0101, "status": 0}
    return pdu(DATA, pdv(command(**right | changes)))


RIGHT = store_response(1)


@pytest.mark.parametrize(
    ("said", "how"),
    [
        (wrong(responded_to=2), End.PROTOCOL),
        (wrong(responded_to=0), End.PROTOCOL),
        (wrong(field=0x8030), End.PROTOCOL),
        (wrong(field=0x0001), End.PROTOCOL),
        (wrong(data_set=0x0000), End.PROTOCOL),
        (wrong(status=0xFF00), End.PROTOCOL),
        (wrong(status=0xFF01), End.PROTOCOL),
        (pdu(DATA, pdv(command(field=0x8001, responded_to=1, data_set=0x0101))), End.PROTOCOL),
        (pdu(DATA, pdv(command(field=0x8001, data_set=0x0101, status=0))), End.PROTOCOL),
        (pdu(DATA, pdv(command(responded_to=1, data_set=0x0101, status=0))), End.PROTOCOL),
        (pdu(DATA, pdv(command(field=0x8001, responded_to=1, status=0))), End.PROTOCOL),
        (pdu(DATA, pdv(b"")), End.PROTOCOL),
        (pdu(DATA, pdv(b"\x12\x34")), End.PROTOCOL),
        (pdu(DATA, pdv(bytes(100))), End.PROTOCOL),
        (pdu(DATA, pdv(RIGHT, context_id=3)), End.PROTOCOL),
        (pdu(DATA, pdv(RIGHT, control=2)), End.PROTOCOL),
        (pdu(DATA, pdv(RIGHT, control=0)), End.PROTOCOL),
        (pdu(DATA, pdv(RIGHT) + pdv(RIGHT)), End.PROTOCOL),
        (pdu(DATA, b""), End.PROTOCOL),
        (pdu(DATA, bytes(3)), End.PROTOCOL),
        (struct.pack(">BxL", DATA, 0xFFFFFFFF), End.PROTOCOL),
        (pdu(DATA, pdv(bytes(16000), control=1)) * 5, End.PROTOCOL),
        (pdu(DATA, pdv(b"", control=1)) * 5, End.PROTOCOL),
        (GOOD_AC, End.PROTOCOL),
        (pdu(RELEASE_RP), End.PROTOCOL),
        (pdu(RELEASE_RQ), End.RELEASED),
        (pdu(ABORT, b"\0\0\2\2"), End.ABORTED),
        (b"\x99" * 64, End.PROTOCOL),
    ],
)
def test_an_answer_that_is_none_acknowledges_nothing(said: bytes, how: End) -> None:
    report, ledger = broken(after_image(said))
    assert report.how is how
    assert report.image is not None
    assert report.image.sop_instance_uid == "1.2.3.4.1"
    assert report.in_doubt
    assert ledger.entries == []


def test_a_wrong_message_id_is_aborted_as_an_unexpected_parameter() -> None:
    aborts: list[tuple[int, int]] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read_store()
        peer.send(wrong(responded_to=77))
        aborts.append(peer.expect_abort())

    broken(script)
    assert aborts == [(2, 5)]


@pytest.mark.parametrize(
    ("behind", "how"),
    [
        (pdu(DATA, pdv(store_response(2))), End.PROTOCOL),
        (pdu(RELEASE_RQ), End.RELEASED),
        (b"\0", End.PROTOCOL),
        (pdu(ABORT), End.ABORTED),
    ],
)
def test_what_comes_behind_an_answer_ends_the_association_but_the_answer_counts(behind: bytes, how: End) -> None:
    report, ledger = broken(after_image(wrong() + behind))
    assert report.how is how
    assert report.image is None
    assert not report.in_doubt
    assert ledger.verdicts == [Verdict.DONE]


@pytest.mark.parametrize(
    ("said", "how"), [(b"", End.CLOSED), (pdu(ABORT, b"\0\0\2\0"), End.ABORTED), (pdu(RELEASE_RQ), End.RELEASED)]
)
def test_an_association_that_ended_while_idle_leaves_no_image_in_doubt(said: bytes, how: End) -> None:
    """A PACS closes what nobody uses; an image that is not even begun then must not be taken for sent."""
    left = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.answer(peer.read_store())
        peer.send(said)
        peer.connection.shutdown(socket.SHUT_WR)
        left.set()
        peer.read_to_the_end()

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.send(some_image(1)).verdict is Verdict.DONE
        assert left.wait(10)
        report = assoc.store([some_image(2)], Ledger())
    assert (report.stop, report.how, report.image, report.in_doubt) == (Stop.BROKEN, how, None, False)


def test_two_answers_to_one_image_are_never_taken_for_answers_to_two() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        peer.answer(request)
        peer.read_store()
        peer.answer(request)
        peer.read_to_the_end()

    report, ledger = broken(script)
    assert report.how is End.PROTOCOL
    assert report.in_doubt
    assert ledger.verdicts == [Verdict.DONE]


@pytest.mark.parametrize("cut", range(0, len(wrong()), 7))
def test_a_connection_closed_in_the_answer_leaves_the_image_in_doubt(cut: int) -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read_store()
        peer.send(wrong()[:cut])

    report, ledger = broken(script)
    assert report.how is End.CLOSED
    assert report.in_doubt
    assert ledger.entries == []


def test_an_answer_that_comes_too_late_is_not_read_any_more() -> None:
    over = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        over.wait(10)
        with contextlib.suppress(OSError):
            peer.answer(request)

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection, timeout=SHORT)
        report = assoc.store([some_image(1), some_image(2)], ledger)
        over.set()
    assert (report.how, report.in_doubt) == (End.NO_ANSWER, True)
    assert ledger.entries == []


LARGE = 20_000_000


def test_a_peer_that_stops_reading_gets_no_more_and_the_image_is_not_in_doubt() -> None:
    release = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        release.wait(10)

    with acceptor(script, receive_buffer=65536) as connection:
        assoc = established(connection, timeout=SHORT)
        started = time.monotonic()
        report = assoc.store([some_image(1, LARGE)], Ledger())
        assert time.monotonic() - started < SHORT + 3
        release.set()
    assert (report.how, report.in_doubt) == (End.STALLED, False)


def test_a_peer_that_closes_in_the_middle_of_an_image() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(100_000)

    report, _ = broken(script, size=LARGE)
    assert (report.how, report.in_doubt) == (End.CLOSED, False)


@pytest.mark.parametrize("then", ["close", "stay", "reset"])
def test_an_abort_in_the_middle_of_an_image_is_noticed_while_sending(then: str) -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(100_000)
        peer.send(pdu(ABORT, b"\0\0\2\0"))
        if then == "stay":
            peer.connection.settimeout(5)
            assert peer.connection.recv(1, socket.MSG_PEEK)
            wait_for_end(peer.connection)
        elif then == "close":
            peer.connection.shutdown(socket.SHUT_WR)
            peer.read_to_the_end()

    report, _ = broken(script, size=LARGE)
    assert (report.how, report.in_doubt) == (End.ABORTED, False)


def wait_for_end(connection: socket.socket) -> None:
    """Wait, without reading, until the other side has closed the connection, or reset it."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    assert poll.poll(30_000), "the connection was left open"


@dataclass
class Hesitant(MemoryImage):
    """An image of which the last piece is there only after `first` has happened."""

    first: Callable[[], object] = bool

    def chunks(self) -> Iterator[memoryview]:
        for number, chunk in enumerate(super().chunks()):
            if number == len(self.pieces) - 1:
                self.first()
            yield chunk


def test_a_success_before_the_last_of_an_image_was_written_is_not_believed() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(1000)
        peer.send(wrong())
        peer.read_to_the_end()

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        image = Hesitant([bytes(10_000)] * 3, first=partial(select.select, [connection], [], [], 10))
        report = assoc.store([image, some_image(2)], ledger)
        assert assoc.state is State.ENDED
    assert (report.stop, report.how, report.in_doubt) == (Stop.BROKEN, End.EARLY_SUCCESS, True)
    assert ledger.entries == []


def test_a_success_before_the_whole_image_was_received_is_not_believed() -> None:
    """The kernel has taken all of the image, but the peer's kernel has not."""
    over = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(1000)
        peer.send(wrong())
        over.wait(10)

    ledger = Ledger()
    with acceptor(script, receive_buffer=65536) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        assoc = established(connection)
        report = assoc.store([some_image(1, 400_000), some_image(2)], ledger)
        over.set()
    assert (report.stop, report.how, report.in_doubt) == (Stop.BROKEN, End.EARLY_SUCCESS, True)
    assert ledger.entries == []


def test_an_abort_or_an_end_is_noticed_before_the_last_of_an_image_is_written() -> None:
    for said, how in ((pdu(ABORT, b"\0\0\2\0"), End.ABORTED), (b"", End.CLOSED)):

        def script(peer: Acceptor, said: bytes = said) -> None:
            peer.accept()
            peer.read(1000)
            peer.send(said)
            peer.connection.shutdown(socket.SHUT_WR)
            peer.read_to_the_end()

        with acceptor(script) as connection:
            assoc = established(connection)
            awaited = partial(select.select, [connection], [], [], 10)
            report = assoc.store([Hesitant([bytes(10_000)] * 3, first=awaited)], Ledger())
        assert (report.stop, report.how, report.in_doubt) == (Stop.BROKEN, how, False)


def test_a_refusal_before_the_whole_image_was_sent_is_believed() -> None:
    """PS3.7 lets a peer say no at once; it still has to take the rest of the image."""

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(12 + 2000)
        peer.send(wrong(status=0xA700))
        rest = LARGE
        while rest > 0:
            rest -= len(peer.connection.recv(1 << 20))
        peer.read_to_the_end()

    ledger = Ledger()
    with acceptor(script, receive_buffer=65536) as connection:
        assoc = established(connection)
        report = assoc.store([some_image(1, LARGE)], ledger)
        assert report.stop is Stop.FINISHED
        assert assoc.state is State.ESTABLISHED
        assoc.abort()
    assert ledger.verdicts == [Verdict.LATER]


def test_a_peer_that_talks_without_end_while_we_send_is_not_listened_to_for_ever() -> None:
    said = 0

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(100_000)
        peer.connection.settimeout(SHORT)
        nonlocal said
        try:
            while True:
                said += peer.connection.send(pdu(DATA, pdv(bytes(16000), control=0)))
        except OSError:
            return

    report, _ = broken(script, size=LARGE, timeout=SHORT)
    assert said < 16_000_000, "more than the kernel's buffers hold was taken in"
    assert report.how in {End.STALLED, End.CLOSED}
    assert not report.in_doubt


@pytest.mark.parametrize("size", [1000, LARGE], ids=["awaiting", "sending"])
def test_interrupt_ends_it_from_another_thread(size: int) -> None:
    under_way = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read(500)
        under_way.set()
        with pytest.raises((Closed, ConnectionResetError)):
            peer.expect_abort() if size == 1000 else wait_for_end_and_read(peer)

    with acceptor(script) as connection:
        assoc = established(connection, timeout=30)

        def interrupter() -> None:
            under_way.wait(10)
            assoc.interrupt()

        thread = threading.Thread(target=interrupter)
        thread.start()
        started = time.monotonic()
        report = assoc.store([some_image(1, size)], Ledger())
        thread.join()
        assert time.monotonic() - started < 5
    assert report.stop is Stop.BROKEN
    assert report.how is End.STOPPED
    assert report.outcome is not None
    assert report.outcome.reason == "Sending was stopped at this box."
    assert report.in_doubt == (size == 1000)


def wait_for_end_and_read(peer: Acceptor) -> None:
    wait_for_end(peer.connection)
    while True:
        peer.read(1 << 16)


def test_interrupt_ends_a_negotiation() -> None:
    asked = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        asked.set()
        peer.read_to_the_end()

    with acceptor(script) as connection:
        assoc = association(connection, timeout=30)

        def interrupter() -> None:
            asked.wait(10)
            assoc.interrupt()

        thread = threading.Thread(target=interrupter)
        thread.start()
        result = assoc.open()
        thread.join()
    assert isinstance(result, NotOpened)
    assert result.how is End.STOPPED


def test_interrupt_before_and_after_is_harmless() -> None:
    with acceptor(lambda peer: peer.read_to_the_end()) as connection:
        assoc = association(connection)
        assoc.interrupt()
        result = assoc.open()
        assert isinstance(result, NotOpened)
        assert result.how is End.STOPPED
        assoc.interrupt()


@pytest.mark.parametrize(
    ("said", "took_part"),
    [
        (pdu(RELEASE_RP), True),
        (pdu(DATA, pdv(RIGHT)) * 3 + pdu(RELEASE_RP), True),
        (b"", False),
        (pdu(ABORT), False),
        (b"garbage", False),
        (GOOD_AC, False),
    ],
)
def test_a_release_always_comes_to_an_end(said: bytes, took_part: bool) -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert peer.read_pdu()[0] == RELEASE_RQ
        peer.send(said)
        peer.read_to_the_end()

    with acceptor(script) as connection:
        # Only a peer that says nothing is waited for.
        assoc = established(connection, timeout=10 if said else SHORT)
        assert assoc.release() is took_part
        assert connection.fileno() == -1


def test_a_release_is_not_drowned_in_data() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert peer.read_pdu()[0] == RELEASE_RQ
        try:
            while True:
                peer.send(pdu(DATA, pdv(bytes(16000))))
        except OSError:
            return

    with acceptor(script) as connection:
        assert not established(connection).release()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=200), st.builds(pdu, st.integers(0, 8), st.binary(max_size=120))))
def test_any_bytes_instead_of_an_answer_break_it_and_acknowledge_nothing(said: bytes) -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read_store()
        peer.send(said)
        peer.connection.shutdown(socket.SHUT_WR)
        peer.read_to_the_end()

    report, ledger = broken(script)
    assert report.in_doubt
    assert ledger.entries == []


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(wrong()) - 1), st.integers(1, 255))
def test_an_answer_with_any_byte_changed_is_an_answer_or_breaks_it(position: int, flip: int) -> None:
    changed = bytearray(wrong())
    changed[position] ^= flip

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.read_store()
        peer.send(bytes(changed))
        peer.connection.shutdown(socket.SHUT_WR)
        peer.read_to_the_end()

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        report = assoc.store([some_image(1)], ledger)
        assoc.abort()
    assert len(ledger.entries) == (report.stop is Stop.FINISHED)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=200), st.builds(pdu, st.integers(2, 7), st.binary(max_size=120))))
def test_any_bytes_instead_of_an_acceptance_open_nothing_or_an_association(said: bytes) -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(said)
        peer.connection.shutdown(socket.SHUT_WR)
        peer.read_to_the_end()

    with acceptor(script) as connection:
        assoc = association(connection)
        assoc.open()
        assoc.abort()
        assert connection.fileno() == -1
