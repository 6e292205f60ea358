"""The storage SCP against peers that are slow, cut off, out of order or out of their minds."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capacitord.dicom.accept import StorageSettings
from capacitord.dicom.intake import Announced
from capacitord.model.image import Facts
from tests.dicom.memory_intake import MemoryIntake
from tests.dicom.samples import CT, dataset
from tests.dicom.serving import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    BOUND,
    CONTEXTS,
    DATA,
    HOST,
    RELEASE_RP,
    RELEASE_RQ,
    Requestor,
    Scp,
    associate_rq,
    command_set,
    data_pdu,
    echo_rq,
    listening,
    pdu,
    pdv,
    serving,
    store_rq,
)
from tests.wait import wait_for

UID = "1.2.3.4.5"
IMAGE = dataset(CT, UID, pixels=300)
STORE = data_pdu(store_rq(UID), 3) + data_pdu(IMAGE, 2)
HALF = data_pdu(store_rq(UID), 3) + data_pdu(IMAGE[:200], 0)

PROVIDER = 2
NOT_SPECIFIED, UNRECOGNIZED, UNEXPECTED_PARAMETER, INVALID = 0, 1, 5, 6


@pytest.fixture(name="scp")
def an_scp() -> Iterator[Scp]:
    with serving() as scp:
        yield scp


def assert_aborted(requestor: Requestor, *, source: int = PROVIDER, reason: int = NOT_SPECIFIED) -> None:
    kind, body = requestor.read()
    assert (kind, body[2:]) == (ABORT, bytes((source, reason)))
    assert requestor.read() == (0, b"")


# What is allowed, however odd


def test_byte_by_byte(scp: Scp) -> None:
    with Requestor.associated(scp.port) as requestor:
        for byte in STORE:
            requestor.send(bytes([byte]))
        assert requestor.status() == 0
        requestor.release()
    assert [kept.data for kept in scp.intake.kept] == [IMAGE]


def test_everything_at_once(scp: Scp) -> None:
    with Requestor.associated(scp.port) as requestor:
        requestor.send(STORE + data_pdu(echo_rq(), 3, 3) + STORE + pdu(RELEASE_RQ))
        assert [requestor.status() for _ in range(3)] == [0, 0, 0]
        assert requestor.read()[0] == RELEASE_RP
    assert [kept.data for kept in scp.intake.kept] == [IMAGE] * 2


def test_command_and_data_in_one_pdu(scp: Scp) -> None:
    with Requestor.associated(scp.port) as requestor:
        requestor.send(pdu(DATA, pdv(store_rq(UID), 3) + pdv(IMAGE[:99], 0) + pdv(IMAGE[99:], 2)))
        assert requestor.status() == 0
    assert scp.intake.kept[0].data == IMAGE


def test_empty_values_and_odd_fragments(scp: Scp) -> None:
    command = store_rq(UID)
    with Requestor.associated(scp.port) as requestor:
        requestor.send(data_pdu(b"", 1) + data_pdu(command[:33], 1) + data_pdu(command[33:], 1) + data_pdu(b"", 3))
        for start in range(0, len(IMAGE), 7):
            requestor.send(data_pdu(IMAGE[start : start + 7], 0) + data_pdu(b"", 0))
        requestor.send(data_pdu(b"", 2))
        assert requestor.status() == 0
    assert scp.intake.kept[0].data == IMAGE


@pytest.mark.parametrize("fragment", [3000, 40000, 131060, 1 << 20])
@pytest.mark.parametrize("chunk", [1000, 131056])
def test_large_images_in_fragments_of_any_size(fragment: int, chunk: int) -> None:
    image = dataset(CT, UID, pixels=0) + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 2_000_000)
    image += os.urandom(2_000_000)
    stream = data_pdu(store_rq(UID), 3)
    for start in range(0, len(image), fragment):
        piece = image[start : start + fragment]
        stream += data_pdu(piece, 2 if start + fragment >= len(image) else 0)
    with serving(intake=MemoryIntake(chunk_size=chunk)) as scp, Requestor.associated(scp.port) as requestor:
        requestor.send(stream)
        assert requestor.status() == 0
        assert scp.intake.kept[0].data == image


def test_a_request_that_makes_no_sense_ends_at_most_its_association(scp: Scp) -> None:
    find = command_set(field=0x20, message_id=1, priority=0, data_set=1, sop_class=CT)
    for context_id in CONTEXTS:
        with Requestor.associated(scp.port) as requestor:
            requestor.send(data_pdu(find, 3, context_id) + data_pdu(b"", 2, context_id))
            assert requestor.read()[0] in {DATA, ABORT}
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store(UID, IMAGE) == 0


def test_a_refused_large_image_is_let_go_by_and_the_next_is_taken(scp: Scp) -> None:
    other = dataset(CT, "1.2.3", pixels=1_000_000)
    with Requestor.associated(scp.port) as requestor:
        requestor.send(data_pdu(store_rq("1.2.x"), 3))
        for start in range(0, len(other), 131060):
            requestor.send(data_pdu(other[start : start + 131060], 2 if start + 131060 >= len(other) else 0))
        assert requestor.status() == 0x0117
        assert requestor.store(UID, IMAGE) == 0
    assert len(scp.intake.kept) == 1


# What is not


VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "a PDU of no type": (b"\x09\0\0\0\0\4\0\0\0\0", UNRECOGNIZED),
    "noise": (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", UNRECOGNIZED),
    "an empty P-DATA-TF": (pdu(DATA, b""), INVALID),
    "a value longer than its PDU": (pdu(DATA, struct.pack(">LBB", 100, 1, 3) + b"xx"), INVALID),
    "a value of no length": (pdu(DATA, struct.pack(">LBB", 0, 1, 3)), INVALID),
    "a context nobody accepted": (data_pdu(store_rq(UID), 3, 99), INVALID),
    "a data set out of nowhere": (data_pdu(IMAGE, 2), UNEXPECTED_PARAMETER),
    "a command set in a data set": (HALF + data_pdu(store_rq(UID), 3), UNEXPECTED_PARAMETER),
    "another context in a data set": (HALF + data_pdu(IMAGE[200:], 2, 3), UNEXPECTED_PARAMETER),
    "a command set that is none": (data_pdu(b"nonsense", 3), INVALID),
    "an endless command set": (data_pdu(bytes(30000), 1) * 3, INVALID),
    "a PDU of no type in a data set": (HALF + b"\x77\0\0\0\0\0", UNRECOGNIZED),
    "another association request": (associate_rq(CONTEXTS), NOT_SPECIFIED),
    "an association request in a data set": (HALF + associate_rq(CONTEXTS), NOT_SPECIFIED),
    "an acceptance": (pdu(ASSOCIATE_AC, bytes(80)), NOT_SPECIFIED),
    "a release response": (pdu(RELEASE_RP), NOT_SPECIFIED),
    "an association request of 4 GiB": (struct.pack(">BxL", 1, 0xFFFFFFFF), NOT_SPECIFIED),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_violations_are_answered_by_an_abort(scp: Scp, what: str) -> None:
    stream, reason = VIOLATIONS[what]
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store(UID, IMAGE) == 0
        requestor.send(stream)
        assert_aborted(requestor, reason=reason)
    scp.drained()
    assert len(scp.intake.kept) == 1, "and what was acknowledged stays"


@pytest.mark.parametrize(
    "noise",
    [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", pdu(DATA, pdv(b"", 3)), pdu(RELEASE_RQ)],
    ids=["bytes", "HTTP", "data", "a release"],
)
def test_noise_instead_of_an_association_request(scp: Scp, noise: bytes) -> None:
    with Requestor(scp.port) as requestor:
        requestor.send(noise)
        assert requestor.read()[0] in {0, ABORT}
        assert requestor.read()[0] == 0
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store(UID, IMAGE) == 0


def test_a_huge_association_request_takes_no_memory(scp: Scp) -> None:
    with Requestor(scp.port) as requestor:
        requestor.send(struct.pack(">BxL", 1, 0xFFFFFFF0) + bytes(100_000))
        assert requestor.read()[0] == ABORT


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (associate_rq(CONTEXTS, application="1.2.3"), bytes((0, 1, 1, 2))),
        (associate_rq(CONTEXTS).replace(b"\0\1\0\0", b"\0\2\0\0", 1), bytes((0, 1, 2, 2))),
    ],
    ids=["another application context", "another protocol version"],
)
def test_requests_that_are_not_dicoms_are_rejected(scp: Scp, request_: bytes, answer: bytes) -> None:
    with Requestor(scp.port) as requestor:
        requestor.send(request_)
        assert requestor.read() == (ASSOCIATE_RJ, answer)


# Ends in the middle


@pytest.mark.parametrize("how", ["abort", "close", "reset", "release"])
def test_an_end_in_the_middle_of_an_image_leaves_nothing(scp: Scp, how: str) -> None:
    with Requestor.associated(scp.port) as requestor:
        requestor.send(HALF)
        wait_for(lambda: scp.intake.open, what="the image to be on its way")
        if how == "abort":
            requestor.send(pdu(ABORT))
        elif how == "release":
            requestor.send(pdu(RELEASE_RQ))
            assert requestor.read()[0] == RELEASE_RP
        elif how == "reset":
            requestor.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        requestor.close()
        scp.drained()
    assert scp.intake.kept == []
    assert scp.intake.abandoned == 1


def test_a_peer_that_does_not_wait_for_its_answer_loses_nothing() -> None:
    with serving() as scp:
        with Requestor.associated(scp.port) as requestor:
            requestor.send(STORE)
        wait_for(lambda: scp.intake.kept, what="the image to be kept")
        scp.drained()


# Too much


def test_connections_beyond_what_can_be_rejected_are_closed_unheard() -> None:
    with serving(StorageSettings(maximum_associations=1)) as scp, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Requestor(scp.port)) for _ in range(30)]
        wait_for(lambda: "too many connections" in reasons(scp), what="a connection to be closed unheard")
        assert silent[-1].read() == (0, b"")
        silent[0].send(associate_rq(CONTEXTS))
        assert silent[0].read()[0] == ASSOCIATE_AC


def reasons(scp: Scp) -> str:
    return " ".join(refusal.reason for refusal in scp.server.refusals())


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Leave this process, which is the server's and the client's, exactly that many descriptors to open."""
    # What is garbage already must not give descriptors back in between.
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    taken: list[int] = []
    try:
        # Above the highest there is room for all that are to be left, however few gaps there are below it.
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for descriptor in taken[:count]:
            os.close(descriptor)
        del taken[:count]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


def test_without_descriptors_the_port_waits_says_so_once_and_goes_on(
    scp: Scp, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(3)]
        with descriptors_left(0):
            for client in clients:
                client.connect((HOST, scp.port))
                client.sendall(associate_rq(CONTEXTS))
            wait_for(lambda: said(caplog), what="the port to say that it can accept nobody")
            spent = time.process_time()
            clients[0].settimeout(1.2)
            with pytest.raises(TimeoutError):
                clients[0].recv(1)
            assert time.process_time() - spent < 0.5, "the port asks again and again"
            assert said(caplog) == ["no connection can be accepted for now: Too many open files; those who call wait"]
        for client in clients:
            client.settimeout(BOUND)
            assert client.recv(1)[0] == ASSOCIATE_AC
        assert said(caplog)[1:] == ["connections are accepted again"]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "accepted" in record.getMessage()]


def test_a_connection_that_cannot_be_served_is_closed_and_the_port_goes_on(scp: Scp) -> None:
    with socket.socket() as client:
        client.settimeout(BOUND)
        # One for the accepted connection, and one too few for what an association needs beside it.
        with descriptors_left(2):
            client.connect((HOST, scp.port))
            assert client.recv(1) == b""
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store(UID, IMAGE) == 0


# Silence


def test_silence_before_the_request_ends_the_connection() -> None:
    with serving(StorageSettings(artim_timeout=0.3)) as scp:
        for beginning in (b"", b"\1\0\0", associate_rq(CONTEXTS)[:50]):
            with Requestor(scp.port) as requestor:
                requestor.send(beginning)
                assert requestor.read()[0] in {0, ABORT}


def test_a_request_that_trickles_in_ends_the_connection() -> None:
    with serving(StorageSettings(artim_timeout=0.5)) as scp, Requestor(scp.port) as requestor:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in associate_rq(CONTEXTS):
                requestor.send(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - start < 4


def test_silence_between_messages_ends_the_association() -> None:
    with serving(StorageSettings(idle_timeout=0.3)) as scp, Requestor.associated(scp.port) as requestor:
        assert requestor.store(UID, IMAGE) == 0
        assert_aborted(requestor, source=0)
        requestor.close()
        scp.drained()


@pytest.mark.parametrize(
    "beginning",
    [HALF, HALF[:-30], data_pdu(store_rq(UID), 3), data_pdu(store_rq(UID), 3)[:40]],
    ids=["between fragments", "in a fragment", "after the command set", "in the command set"],
)
def test_silence_in_a_message_ends_the_association(beginning: bytes) -> None:
    with serving(StorageSettings(stall_timeout=0.3)) as scp, Requestor.associated(scp.port) as requestor:
        requestor.send(beginning)
        assert_aborted(requestor)
        requestor.close()
        scp.drained()
        assert scp.intake.kept == []


# Stopping


def test_stopping_refuses_new_connections_and_lets_open_ones_finish() -> None:
    with serving() as scp, Requestor.associated(scp.port) as requestor:
        requestor.send(HALF)
        wait_for(lambda: scp.intake.open, what="the image to be on its way")
        aborted: list[int] = []
        stopping = threading.Thread(target=lambda: aborted.append(scp.server.stop(BOUND)))
        stopping.start()
        wait_for(lambda: not reachable(scp.port), what="the port to be shut")
        requestor.send(data_pdu(IMAGE[200:], 2))
        assert requestor.status() == 0
        requestor.release()
        stopping.join(BOUND)
        assert aborted == [0]
        assert [kept.data for kept in scp.intake.kept] == [IMAGE]


def reachable(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("sent", [b"", HALF, data_pdu(store_rq(UID), 3)[:40]], ids=["idle", "an image", "a command"])
def test_after_the_grace_what_is_open_is_aborted(sent: bytes) -> None:
    with serving() as scp, Requestor.associated(scp.port) as requestor:
        requestor.send(sent)
        wait_for(scp.server.associations, what="the association to be shown")
        start = time.monotonic()
        assert scp.server.stop(0.2) == 1
        assert time.monotonic() - start < 3
        assert requestor.read()[0] == ABORT
        assert scp.intake.kept == []
        assert scp.intake.open == set()


def test_a_commit_under_way_is_answered_even_after_the_grace() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def committing(_: Announced) -> None:
        begun.set()
        assert go_on.wait(BOUND)

    with serving(intake=MemoryIntake(committing=committing)) as scp, Requestor.associated(scp.port) as requestor:
        requestor.send(STORE)
        assert begun.wait(BOUND)
        stopping = threading.Thread(target=scp.server.stop, args=[0])
        stopping.start()
        wait_for(lambda: not reachable(scp.port), what="the port to be shut")
        go_on.set()
        assert requestor.status() == 0
        stopping.join(BOUND)
        assert len(scp.intake.kept) == 1


def test_a_connection_that_said_nothing_does_not_hold_up_the_stop() -> None:
    with serving() as scp, Requestor(scp.port):
        start = time.monotonic()
        scp.server.stop(BOUND)
        assert time.monotonic() - start < BOUND / 2


# Nothing is left behind


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_threads_and_descriptors_are_given_back(scp: Scp) -> None:
    def visit(end: Callable[[Requestor], None]) -> None:
        with Requestor.associated(scp.port) as requestor:
            requestor.store(UID, IMAGE)
            end(requestor)

    ends: list[Callable[[Requestor], None]] = [
        Requestor.release,
        Requestor.close,
        lambda r: r.send(pdu(ABORT)),
        lambda r: r.send(b"\xff" * 10),
    ]
    # Other tests of this process may have left threads that wait for more to do.
    idle = threading.active_count()
    visit(Requestor.release)
    scp.drained()
    wait_for(lambda: threading.active_count() <= idle, what="the threads of the first association to end")
    before = descriptors()
    for end in ends * 5:
        visit(end)
    scp.drained()
    wait_for(lambda: threading.active_count() <= idle, what="all threads to end")
    wait_for(lambda: descriptors() <= before, what="all descriptors to be closed")


class Counting:
    """An image of which nothing is kept but its length."""

    def __init__(self, buffer: memoryview, lengths: list[int]) -> None:
        self._buffer = buffer
        self._lengths = lengths
        self._length = 0

    def space(self) -> memoryview:
        return self._buffer

    def advance(self, count: int) -> None:
        self._length += count

    def write(self, data: memoryview) -> None:
        self._length += len(data)

    def commit(self, facts: Facts) -> None:
        assert facts.sop_instance_uid == UID
        self._lengths.append(self._length)

    def abandon(self) -> None:
        pass


class CountingIntake:
    """Keeps lengths."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def begin(self, _announced: Announced) -> Counting:
        return Counting(memoryview(bytearray(131056)), self.lengths)


def peak() -> int:
    """Return the most memory this process has had resident since the last `forget_peak`, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def test_an_image_of_a_gibibyte_passes_in_a_few_mebibytes() -> None:
    beginning = dataset(CT, UID, pixels=0) + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 1 << 30)
    piece = data_pdu(bytes(131060), 0)
    intake = CountingIntake()
    with listening(StorageSettings(), intake) as (_, port), Requestor.associated(port) as requestor:
        requestor.send(data_pdu(store_rq(UID), 3) + data_pdu(beginning, 0))
        forget_peak()
        before = peak()
        count = (1 << 30) // 131060
        for _ in range(count):
            requestor.send(piece)
        requestor.send(data_pdu(bytes((1 << 30) - count * 131060), 2))
        assert requestor.status() == 0
        assert peak() - before < 16 << 20
    assert intake.lengths == [len(beginning) + (1 << 30)]
