"""What a storage SCU does with a peer that keeps to the standard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from capacitord.dicom.contexts import Pair, propose
from capacitord.dicom.storage_scu import Opened, Progress, Report, Sendable, State, Stop, StoreAssociation
from capacitord.errors import DamagedObject, Invalid, StorageFailed
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import IllegalTransition
from tests.dicom.acceptor import (
    ACCEPTED,
    ASSOCIATE_RQ,
    CT,
    CT_EXPLICIT,
    DATA,
    EXPLICIT,
    J2K,
    MR,
    ONE_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    Acceptor,
    MemoryImage,
    Request,
    acceptor,
    associate_ac,
    association,
    content,
    destination,
    established,
    pdu,
    pdv,
    some_image,
    store_response,
)
from tests.wait import wait_for


class Ledger:
    """What `answered` was told, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Outcome]] = []

    def __call__(self, image: Sendable, outcome: Outcome) -> None:
        self.entries.append((image.sop_instance_uid, outcome))

    @property
    def verdicts(self) -> list[Verdict]:
        return [outcome.verdict for _, outcome in self.entries]


def test_images_arrive_byte_for_byte_and_are_answered_in_order() -> None:
    images = [some_image(n, size) for n, size in enumerate((1, 2, 999, 65536, 65537, 300_001), start=1)]
    served: list[Request] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        served.extend(peer.serve())

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.store(images, ledger) == Report(Stop.FINISHED)
        assert assoc.state is State.ESTABLISHED
        assert assoc.release()
    assert [request.data for request in served] == [content(image) for image in images]
    assert [request.message_id for request in served] == [1, 2, 3, 4, 5, 6]
    assert [uid for uid, _ in ledger.entries] == [image.sop_instance_uid for image in images]
    assert ledger.verdicts == [Verdict.DONE] * 6


def test_an_image_that_does_not_stand_when_its_turn_comes_is_not_sent() -> None:
    images = [some_image(n, 1000) for n in range(1, 5)]
    served: list[Request] = []
    asked: list[tuple[str, int]] = []
    given: list[str] = []
    ledger = Ledger()

    def script(peer: Acceptor) -> None:
        peer.accept()
        served.extend(peer.serve())

    def handed() -> Iterator[Sendable]:
        for image in images:
            given.append(image.sop_instance_uid)
            yield image

    def stands(image: Sendable) -> bool:
        asked.append((image.sop_instance_uid, len(ledger.entries)))
        return image is not images[2]

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.store(handed(), ledger, stands) == Report(Stop.STOPPED)
        assert assoc.state is State.ESTABLISHED
        assert assoc.release()
    uids = [image.sop_instance_uid for image in images]
    assert [request.sop_instance_uid for request in served] == uids[:2]
    assert [uid for uid, _ in ledger.entries] == uids[:2]
    assert given == uids[:3]
    # Each was asked about when the answer to the one before was known.
    assert asked == list(zip(uids[:3], range(3), strict=True))


@pytest.mark.parametrize(
    ("theirs", "ours", "longest"),
    [
        (0, 131072, 131066),
        (16384, 131072, 16378),
        (131072, 16384, 16378),
        (4097, 0, 4090),
        (14, 131072, 8),
        (7, 131072, 2),
        (None, 131072, 131066),
    ],
)
def test_fragments_respect_the_smaller_maximum(theirs: int | None, ours: int, longest: int) -> None:
    size = 4000 if longest < 10 else 400_000
    image = some_image(1, size, chunk=262144)
    served: list[Request] = []

    def script(peer: Acceptor) -> None:
        peer.accept(theirs)
        served.extend(peer.serve())

    with acceptor(script) as connection:
        assoc = established(connection, max_pdu=ours)
        assert assoc.send(image).verdict is Verdict.DONE
        assoc.release()
    assert served[0].data == content(image)
    assert served[0].longest_fragment == longest
    assert served[0].longest_pdu == longest + 6


def test_odd_chunks_are_sent_in_even_fragments() -> None:
    pieces: list[bytes | Exception] = [b"abc", b"", b"d", b"e", b"fghij", b"k"]
    served: list[Request] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        served.extend(peer.serve())

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.send(MemoryImage(pieces)).verdict is Verdict.DONE
        assoc.release()
    assert served[0].data == b"abcdefghijk"


def test_what_the_kernel_takes_in_parts_arrives_whole() -> None:
    images = [some_image(n, 3_000_001, chunk=1_000_003) for n in (1, 2)]
    served: list[Request] = []

    def script(peer: Acceptor) -> None:
        peer.accept(0)
        served.extend(peer.serve())

    with acceptor(script, unix=True) as connection:
        assoc = established(connection, max_pdu=0)
        assert assoc.store(images, Ledger()).stop is Stop.FINISHED
        assoc.release()
    assert [request.data for request in served] == [content(image) for image in images]


def test_the_verdict_is_the_peers_with_its_comment_cleaned() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.answer(peer.read_store(), 0xA700, comment="disk\x1b full ")
        peer.answer(peer.read_store(), 0xB000)
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        refused = assoc.send(some_image(1))
        assert (refused.verdict, refused.status, refused.comment) == (Verdict.LATER, 0xA700, "disk full")
        assert "STM_PACS is out of resources" in refused.reason
        assert assoc.send(some_image(2)).verdict is Verdict.DONE_WITH_WARNING
        assert assoc.release()


def test_an_answer_for_another_instance_is_stored_with_a_warning() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.answer(peer.read_store(), sop_instance="1.2.3.4.1")
        peer.answer(peer.read_store(), sop_instance="9.9.9")
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.send(some_image(1)).verdict is Verdict.DONE
        outcome = assoc.send(some_image(2))
        assert outcome.verdict is Verdict.DONE_WITH_WARNING
        assert "another SOP Instance UID" in outcome.reason
        assoc.release()


def test_an_answer_in_many_pieces_is_one_answer() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        command_set = store_response(request.message_id)
        pdus = b"".join(pdu(DATA, pdv(bytes([byte]), control=1)) for byte in command_set[:-1])
        for byte in pdus + pdu(DATA, pdv(command_set[-1:])):
            peer.send(bytes([byte]))
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.send(some_image(1)).verdict is Verdict.DONE
        assert assoc.release()


def test_what_the_peer_does_not_take_is_reported_and_the_rest_is_sent() -> None:
    refused = MemoryImage([b"ab"], "1.2.9", CT, J2K)
    unplanned = MemoryImage([b"ab"], "1.2.8", MR, EXPLICIT)

    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(associate_ac({1: (ACCEPTED, EXPLICIT), 3: (4, "")}))
        assert len(peer.serve()) == 2

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = association(connection, proposal=propose([CT_EXPLICIT, Pair(CT, J2K)]))
        opened = assoc.open()
        assert isinstance(opened, Opened)
        assert set(opened.agreement.accepted) == {CT_EXPLICIT}
        report = assoc.store([refused, some_image(1), unplanned, some_image(2)], ledger)
        assert report.stop is Stop.FINISHED
        assert assoc.release()
    assert ledger.verdicts == [Verdict.NEEDS_PERSON, Verdict.DONE, Verdict.LATER, Verdict.DONE]
    assert "STM_PACS does not accept CT Image Storage as JPEG 2000 Lossless." in ledger.entries[0][1].reason
    assert "was not proposed" in ledger.entries[2][1].reason


def test_a_peer_that_takes_nothing_leaves_an_association_to_release() -> None:
    def script(peer: Acceptor) -> None:
        peer.read_pdu()
        peer.send(associate_ac({1: (3, "")}))
        assert peer.serve() == []

    with acceptor(script) as connection:
        assoc = established(connection)
        assert not assoc.agreement.accepted
        assert assoc.send(some_image()).verdict is Verdict.NEEDS_PERSON
        assert assoc.release()


def test_the_next_image_is_read_while_the_answer_is_awaited() -> None:
    second_was_read = threading.Event()

    class Watched(MemoryImage):
        def chunks(self) -> Iterator[memoryview]:
            for chunk in super().chunks():
                second_was_read.set()
                yield chunk

    def script(peer: Acceptor) -> None:
        peer.accept()
        first = peer.read_store()
        assert second_was_read.wait(10), "the next image was not read before this one was answered"
        peer.answer(first)
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        report = assoc.store([some_image(1), Watched([b"abcd"])], Ledger())
        assert report.stop is Stop.FINISHED
        assoc.release()


def test_message_ids_go_round_and_are_never_zero() -> None:
    ids: list[int] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        ids.extend(request.message_id for request in peer.serve())

    with acceptor(script) as connection:
        assoc = established(connection)
        assoc._message_id = 0xFFFE
        assoc.store([some_image(n, 2) for n in range(3)], Ledger())
        assoc.release()
    assert ids == [0xFFFF, 1, 2]


def test_an_image_damaged_at_its_start_is_reported_and_never_begun() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert [request.sop_instance_uid for request in peer.serve()] == ["1.2.3.4.1", "1.2.3.4.2"]

    damaged = MemoryImage([DamagedObject("flipped")], "1.2.66")
    short = MemoryImage([b"abcd"], "1.2.67", length=2)
    empty = MemoryImage([], "1.2.68")
    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        report = assoc.store([damaged, some_image(1), short, some_image(2), empty], ledger)
        assert report.stop is Stop.FINISHED
        assert assoc.release()
    held, done = Verdict.HELD, Verdict.DONE
    assert ledger.verdicts == [held, done, held, done, held]
    assert "damaged" in ledger.entries[0][1].reason


@pytest.mark.parametrize(
    "pieces",
    [
        [bytes(1000), DamagedObject("flipped"), bytes(1000)],
        [bytes(1000), bytes(999)],
        [bytes(1000), bytes(1001)],
    ],
    ids=["flipped", "short", "long"],
)
def test_an_image_damaged_in_the_middle_is_aborted_and_the_peer_has_no_whole_image(
    pieces: list[bytes | Exception],
) -> None:
    damaged = MemoryImage(pieces, "1.2.66", length=2000)

    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.answer(peer.read_store())
        while True:
            kind, body = peer.read_pdu()
            if kind != DATA:
                break
            # Command fragments have bit 0; a data fragment marked as last would make the image whole.
            assert body[5] != 2
        assert (kind, body[2]) == (7, 0)

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        report = assoc.store([some_image(1), damaged, some_image(2)], ledger)
        assert report == Report(Stop.DAMAGED, image=damaged)
        assert assoc.state is State.ENDED
    assert ledger.verdicts == [Verdict.DONE, Verdict.HELD]
    assert "damaged" in ledger.entries[1][1].reason


def test_another_failure_in_the_middle_of_an_image_aborts_and_goes_through() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert peer.expect_abort() == (0, 0)

    with acceptor(script) as connection:
        assoc = established(connection)
        with pytest.raises(StorageFailed):
            assoc.store([MemoryImage([bytes(10), StorageFailed("EIO"), bytes(10)], length=20)], Ledger())
        assert assoc.state is State.ENDED


def test_a_failure_while_looking_ahead_waits_for_the_answer_that_is_due() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert len(peer.serve()) == 2

    def images() -> Iterator[Sendable]:
        yield some_image(1)
        raise StorageFailed("EIO")

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)
        with pytest.raises(StorageFailed):
            assoc.store(images(), ledger)
        assert ledger.verdicts == [Verdict.DONE]
        assert assoc.state is State.ESTABLISHED
        with pytest.raises(StorageFailed):
            assoc.store([MemoryImage([StorageFailed("EIO")])], ledger)
        assert assoc.send(some_image(2)).verdict is Verdict.DONE
        assert assoc.release()


def test_a_ledger_that_fails_leaves_the_association_between_images() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert len(peer.serve()) == 1

    def answered(_: Sendable, outcome: Outcome) -> None:
        raise StorageFailed(str(outcome.verdict))

    with acceptor(script) as connection:
        assoc = established(connection)
        with pytest.raises(StorageFailed, match="done"):
            assoc.store([some_image(1), some_image(2)], answered)
        assert assoc.release()


def test_stop_lets_the_image_under_way_finish() -> None:
    begun = threading.Event()
    stopped = threading.Event()

    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        begun.set()
        assert stopped.wait(10)
        peer.answer(request)
        assert peer.serve() == []

    ledger = Ledger()
    with acceptor(script) as connection:
        assoc = established(connection)

        def stopper() -> None:
            begun.wait(10)
            assoc.stop()
            stopped.set()

        thread = threading.Thread(target=stopper)
        thread.start()
        report = assoc.store([some_image(n) for n in range(100)], ledger)
        thread.join()
        assert report == Report(Stop.STOPPED)
        assert assoc.release()
    assert ledger.verdicts == [Verdict.DONE]


def test_stopped_before_it_begins_nothing_is_sent() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert peer.serve() == []

    with acceptor(script) as connection:
        assoc = established(connection)
        assoc.stop()
        assert assoc.store([some_image()], Ledger()) == Report(Stop.STOPPED)
        assert assoc.release()


def test_progress_can_be_seen_from_another_thread() -> None:
    looks: list[Progress] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        looks.append(wait_for(lambda: _complete(assoc), what="all bytes to be written"))
        peer.answer(request)
        peer.serve()

    image = some_image(7, 200_000)
    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.progress().sop_instance_uid == ""
        assoc.send(image)
        assert assoc.progress().images == 1
        assert assoc.progress().bytes > 200_000
        assoc.release()
    assert looks[0].sop_instance_uid == "1.2.3.4.7"
    assert looks[0].sent == looks[0].length == 200_000
    assert looks[0].images == 0


def _complete(assoc: StoreAssociation) -> Progress | None:
    progress = assoc.progress()
    return progress if progress.sent == progress.length > 0 else None


def test_no_thread_is_started() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.serve()

    with acceptor(script) as connection:
        before = threading.active_count()
        assoc = established(connection)
        assoc.send(some_image())
        assert threading.active_count() == before
        assoc.release()


def test_waiting_for_an_answer_takes_no_processor_time() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        request = peer.read_store()
        # Half a second of silence is what is measured here.
        threading.Event().wait(0.5)
        peer.answer(request)
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        before = time.thread_time()
        assoc.send(some_image())
        assert time.thread_time() - before < 0.05
        assoc.release()


def test_a_slow_link_is_not_a_silent_peer() -> None:
    """The time-out begins anew as long as bytes of ours are still being carried."""
    timeout = 0.4
    image = some_image(1, 150_000)
    lasted: list[float] = []

    def script(peer: Acceptor) -> None:
        peer.accept()
        started = time.monotonic()
        pace = threading.Event()
        for _ in range(image.length // 4096):
            peer.read(4096)
            pace.wait(0.03)
        lasted.append(time.monotonic() - started)
        peer.connection.recv(1 << 16)
        peer.send(pdu(DATA, pdv(store_response(1))))
        peer.serve()

    with acceptor(script, unix=True) as connection:
        assoc = established(connection, timeout=timeout)
        assert assoc.send(image).verdict is Verdict.DONE
        assoc.release()
    assert lasted[0] > 2 * timeout


def test_an_association_that_ended_is_not_used_again() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        peer.serve()

    with acceptor(script) as connection:
        assoc = established(connection)
        assert assoc.release()
        assert not assoc.release()
        assert connection.fileno() == -1
        with pytest.raises(IllegalTransition):
            assoc.store([some_image()], Ledger())
        with pytest.raises(IllegalTransition):
            assoc.open()
        assoc.abort()


def test_an_association_is_opened_before_it_is_used() -> None:
    with acceptor(lambda peer: peer.read_to_the_end()) as connection:
        assoc = association(connection)
        with pytest.raises(IllegalTransition):
            assoc.store([some_image()], Ledger())
        assert not assoc.release()
        assert connection.fileno() == -1


def test_a_bad_ae_title_closes_the_connection_unused() -> None:
    received: list[bytes] = []
    with acceptor(lambda peer: received.append(peer.read_to_the_end())) as connection:
        assoc = StoreAssociation(connection, destination(), "A" * 17, ONE_CONTEXT)
        with pytest.raises(Invalid):
            assoc.open()
        assert connection.fileno() == -1
    assert received[0][:1] != bytes([ASSOCIATE_RQ])


def test_both_may_ask_for_the_release_at_once() -> None:
    def script(peer: Acceptor) -> None:
        peer.accept()
        assert peer.read_pdu()[0] == RELEASE_RQ
        peer.send(pdu(RELEASE_RQ))
        assert peer.read_pdu()[0] == RELEASE_RP
        peer.send(pdu(RELEASE_RP))

    with acceptor(script) as connection:
        assert established(connection).release()


def test_an_image_that_is_not_ready_is_asked_for_again_after_the_answer() -> None:
    images = [some_image(1), None, None, some_image(2), None, some_image(3), None]
    asked: list[int] = []
    ledger = Ledger()

    def upcoming() -> Iterator[Sendable | None]:
        for image in images:
            asked.append(len(ledger.entries))
            yield image

    served: list[list[Request]] = []

    def serve(peer: Acceptor) -> None:
        peer.accept()
        served.append(peer.serve())

    with acceptor(serve) as connection:
        assoc = established(connection)
        assert assoc.store(upcoming(), ledger).stop is Stop.FINISHED
        assert assoc.release()
    assert [request.sop_instance_uid for request in served[0]] == ["1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"]
    assert ledger.verdicts == [Verdict.DONE] * 3
    # While an answer is due it asks once, and no more before it has it.
    assert asked == [0, 0, 1, 1, 1, 2, 2]


def test_a_peer_that_leaves_while_an_image_is_prepared_is_noticed() -> None:
    def leave(peer: Acceptor) -> None:
        peer.accept()

    def upcoming() -> Iterator[Sendable | None]:
        while True:
            time.sleep(0.001)
            yield None

    with acceptor(leave) as connection:
        report = established(connection).store(upcoming(), Ledger())
    assert (report.stop, report.image) == (Stop.BROKEN, None)
