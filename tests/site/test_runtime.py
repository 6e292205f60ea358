"""The runtime's process over its link: every message, every phase, every end."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.actions import BY_A_SITE, CUT_OFF
from capacitord.dicom.contexts import VERIFICATION
from capacitord.link import messages as link
from tests.dicom.acceptor import Request
from tests.images import TINY, Image, write_study
from tests.peers.wire import Ended, Wire, fragments, store_request
from tests.site.driver import PATIENCE, Supervisor
from tests.site.pacs import STORED, Pacs
from tests.site.rig import destination
from tests.site.stock import KEY, open_spool, put_images
from tests.wait import wait_for


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    return write_study(tmp_path / "study", images=12, shape=TINY)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "box") as supervisor:
        yield supervisor


def scanner(port: int, images: list[Image]) -> Wire:
    return Wire("127.0.0.1", port, [(images[0].sop_class_uid, images[0].transfer_syntax_uid)], called="FLUXBOX")


def send(port: int, images: list[Image]) -> None:
    with scanner(port, images) as association:
        for number, image in enumerate(images, 1):
            assert association.store(image, number) == 0
        association.release()


def begin_image(association: Wire, image: Image) -> bytes:
    """Send the first part of an image, and return the rest of its bytes."""
    context = association.contexts[image.sop_class_uid, image.transfer_syntax_uid]
    association.send_bytes(b"".join(fragments(context, store_request(image, 1), 1, association.max_pdu)))
    dataset = b"".join(fragments(context, image.dataset(), 0, 8192))
    association.send_bytes(dataset[:9000])
    return dataset[9000:]


# --- serving ----------------------------------------------------------------------------------------


def test_what_a_scanner_sends_comes_in_and_goes_out(supervisor: Supervisor, images: list[Image]) -> None:
    with Pacs() as pacs:
        ready = supervisor.start(destination("pacs", pacs.port))
        assert ready.images == 0
        send(supervisor.listen(), images)
        status = supervisor.wait_until_delivered("pacs", len(images))
        assert status.delivered_images == len(images)
        assert {uid: [data] for uid, (data,) in pacs.stored.items()} == {
            image.sop_instance_uid: [image.dataset()] for image in images
        }
        site = supervisor.status()
        assert site.images_received == len(images)
        assert site.spool.images == len(images)
        assert site.last_image is not None
        assert not site.advice
        references = {note.reference for note in supervisor.of(link.Note)}
        assert references == {"delivery-delivered"}


def test_the_port_is_served_while_it_is_open_and_only_then(supervisor: Supervisor, images: list[Image]) -> None:
    supervisor.start()
    port = supervisor.listen()
    with scanner(port, images) as association:
        assert association.store(images[0]) == 0
        supervisor.channel.send(link.CloseListener(link.Port.STORAGE, PATIENCE))
        wait_for(lambda: refuses(port, images), within=PATIENCE, what="the port to be closed")
        # Meanwhile everything else goes on, and so does the association that was open.
        assert [each.images for each in supervisor.status().incoming] == [1]
        assert association.store(images[1], 2) == 0
        association.release()
    wait_for(lambda: not supervisor.status().incoming, within=PATIENCE, what="the association to end")
    send(supervisor.listen(), images)
    assert supervisor.status().spool.images == len(images)


def test_an_association_that_is_cut_off_is_a_deed_of_the_site(supervisor: Supervisor, images: list[Image]) -> None:
    supervisor.start()
    with scanner(supervisor.listen(), images) as association:
        assert association.store(images[0]) == 0
        supervisor.channel.send(link.CloseListener(link.Port.STORAGE, 0.1))
        supervisor.wait_for(link.Deed, 1)
    (deed,) = supervisor.of(link.Deed)
    assert deed.action in BY_A_SITE
    assert deed.detail.startswith("1 association was aborted after 0.1 s, as the storage port was shut")
    assert deed.subjects == ("st-marys",)


def refuses(port: int, images: list[Image]) -> bool:
    try:
        scanner(port, images).abort()
    except Ended:
        return True
    return False


def test_a_new_version_of_the_profile_holds_for_what_comes_next(supervisor: Supervisor, images: list[Image]) -> None:
    with Pacs() as first, Pacs() as second:
        supervisor.start(destination("first", first.port))
        port = supervisor.listen()
        send(port, images[:3])
        supervisor.wait_until_delivered("first", 3)
        supervisor.update(destination("first", first.port), destination("second", second.port))
        wait_for(lambda: len(supervisor.status().destinations) == 2, within=PATIENCE, what="the new destination")
        send(port, images[3:6])
        supervisor.wait_until_delivered("second", 3)
        supervisor.wait_until_delivered("first", 6)
        assert len(first.associations) <= 2
        supervisor.update(destination("second", second.port))
        wait_for(lambda: len(supervisor.status().destinations) == 1, within=PATIENCE, what="the old one to go")


def test_status_is_answered_once_for_each_request(supervisor: Supervisor) -> None:
    supervisor.start(destination("pacs", 1))
    for number in range(1, 21):
        supervisor.channel.send(link.AskStatus(number))
    wait_for(
        lambda: [each.request for each in supervisor.of(link.StatusReport)] == list(range(1, 21)),
        within=PATIENCE,
        what="twenty answers",
    )


def test_somebody_who_is_turned_away_is_told_of(tmp_path: Path, images: list[Image]) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(storage=link.Storage("FLUXBOX", calling_ae_titles=("SCANNER",)))
        with pytest.raises(Ended):
            scanner(supervisor.listen(), images)
        (advice,) = supervisor.status().advice
        assert advice.reference == "turned-away"
        assert "WIRE" in advice.message


def test_an_image_with_a_uid_that_is_none_is_told_of_when_its_association_is_gone(
    supervisor: Supervisor, images: list[Image]
) -> None:
    supervisor.start()
    other = replace(images[0], sop_instance_uid="1.2.x")
    with scanner(supervisor.listen(), images) as association:
        assert association.store(other, 1) == 0x0117
        association.release()
    wait_for(lambda: not supervisor.status().incoming, within=PATIENCE, what="the association to be gone")
    refused = supervisor.status().unfit
    assert refused is not None
    assert (refused.count, refused.calling_ae, refused.status) == (1, "WIRE", "0117")
    assert refused.reason == "The SOP Instance UID is not a UID."


def test_heartbeats_come_from_the_start_and_while_nothing_happens(supervisor: Supervisor) -> None:
    supervisor.start()
    supervisor.wait_for(link.Heartbeat, 2)


def test_it_does_nothing_while_there_is_nothing_to_do(supervisor: Supervisor) -> None:
    supervisor.start(destination("pacs", 1))
    supervisor.listen()
    supervisor.status()

    def switches() -> int:
        return sum(
            int((task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
            for task in Path(f"/proc/{supervisor.process.pid}/task").iterdir()
        )

    def quiet() -> bool:
        before, beats = switches(), len(supervisor.of(link.Heartbeat))
        wait_for(lambda: len(supervisor.of(link.Heartbeat)) > beats, what="a heartbeat, about a second later")
        return switches() - before <= 12

    wait_for(quiet, within=PATIENCE, what="a second in which next to nobody wakes up")


# --- opening ----------------------------------------------------------------------------------------


def test_a_spool_that_a_predecessor_has_is_waited_for(supervisor: Supervisor) -> None:
    predecessor = open_spool(supervisor.spool, "pacs")
    put_images(predecessor, 3)
    supervisor.tell_start()
    supervisor.wait_for(link.Heartbeat, 2)
    assert not supervisor.of(link.Ready)
    predecessor.close()
    assert supervisor.wait_for(link.Ready).images == 3


def test_a_supervisor_that_goes_while_the_spool_is_waited_for_is_not_waited_for(supervisor: Supervisor) -> None:
    supervisor.spool.mkdir()
    with (supervisor.spool / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        supervisor.tell_start()
        supervisor.wait_for(link.Heartbeat)
        supervisor.close_link()
        assert supervisor.wait() == 0


def test_a_wrong_key_is_said_with_what_to_do(supervisor: Supervisor) -> None:
    spool = open_spool(supervisor.spool, "pacs")
    put_images(spool, 1)
    spool.close()
    supervisor.tell_start(key=bytes(32))
    failed = supervisor.wait_for(link.Failed)
    assert supervisor.wait() == 1
    assert failed.error.reference == "wrong-key"
    assert "recovery file" in failed.error.hint
    assert not supervisor.of(link.Ready)
    assert KEY.secret.hex() not in supervisor.log


# --- ends -------------------------------------------------------------------------------------------


def test_a_link_that_ends_before_the_start(supervisor: Supervisor) -> None:
    supervisor.close_link()
    assert supervisor.wait() == 0


def test_a_link_that_ends_at_once_after_the_start(supervisor: Supervisor) -> None:
    supervisor.tell_start()
    supervisor.close_link()
    assert supervisor.wait() == 0


def test_a_link_that_ends_while_nothing_happens(supervisor: Supervisor) -> None:
    supervisor.start(destination("pacs", 1))
    supervisor.listen()
    supervisor.close_link()
    assert supervisor.wait() == 0
    assert "supervisor is gone" in supervisor.log


def test_a_start_that_is_none_is_refused(supervisor: Supervisor) -> None:
    supervisor.channel.send(link.AskStatus(1))
    assert supervisor.wait() == 1
    assert "did not begin" in supervisor.log


@pytest.mark.parametrize("garbage", [b"{", b"null", b'{"kind":"none"}', b"\xff" * 1000, b"x" * (1 << 18)])
def test_garbage_on_the_link_ends_it_in_good_order(supervisor: Supervisor, images: list[Image], garbage: bytes) -> None:
    supervisor.start()
    send(supervisor.listen(), images[:2])
    supervisor.socket.send(garbage)
    assert supervisor.wait() == 0
    assert "no message" in supervisor.log
    spool = open_spool(supervisor.spool)
    assert spool.counts().images == 2
    spool.close()


def test_garbage_instead_of_a_start(supervisor: Supervisor) -> None:
    supervisor.socket.send(b"garbage")
    assert supervisor.wait() == 1


def test_a_message_out_of_turn_is_passed_over(supervisor: Supervisor) -> None:
    supervisor.start()
    supervisor.tell_start()
    with Path(os.devnull).open() as odd:
        supervisor.channel.send(link.AskStatus(77), odd.fileno())
        supervisor.channel.send(link.Listener(link.Port.STORAGE), odd.fileno())
    supervisor.channel.send(link.Connected(4711, 0.0))
    assert supervisor.status()
    assert "out of turn: Start" in supervisor.log


@pytest.mark.parametrize("by_message", [True, False])
def test_an_association_in_the_middle_of_an_image_gets_its_answer(
    supervisor: Supervisor, images: list[Image], *, by_message: bool
) -> None:
    supervisor.start()
    port = supervisor.listen()
    with scanner(port, images) as association:
        rest = begin_image(association, images[0])
        if by_message:
            supervisor.channel.send(link.Shutdown(PATIENCE))
        else:
            supervisor.close_link()
        wait_for(lambda: refuses(port, images), within=PATIENCE, what="the port to be closed")
        association.send_bytes(rest)
        assert association.read_status() == 0
        association.release()
    assert supervisor.wait() == 0
    spool = open_spool(supervisor.spool)
    assert spool.counts().images == 1
    spool.close()


def test_an_association_that_does_not_end_is_aborted_after_the_bound(
    supervisor: Supervisor, images: list[Image]
) -> None:
    supervisor.start()
    with scanner(supervisor.listen(), images) as association:
        assert association.store(images[0]) == 0
        begin_image(association, images[1])
        supervisor.channel.send(link.Shutdown(0.5))
        with pytest.raises(Ended):
            association.read_status()
    assert supervisor.wait() == 0
    assert "aborted after 0.5 s" in supervisor.log
    assert [deed.action for deed in supervisor.of(link.Deed)] == [CUT_OFF]


def test_an_image_on_its_way_out_is_finished_and_the_rest_waits(supervisor: Supervisor, images: list[Image]) -> None:
    def slowly(_: Request) -> int:
        # The deliveries hear of the end a moment after the port; no PACS is so quick as to get all of them in that.
        threading.Event().wait(0.2)
        return STORED

    with Pacs(slowly) as pacs:
        pacs.hold()
        supervisor.start(destination("pacs", pacs.port))
        port = supervisor.listen()
        send(port, images)
        wait_for(lambda: pacs.seen, within=PATIENCE, what="an image to be under way")
        supervisor.channel.send(link.Shutdown(PATIENCE))
        wait_for(lambda: refuses(port, images), within=PATIENCE, what="the runtime to have begun to end")
        pacs.go_on()
        assert supervisor.wait() == 0
        sent = len(pacs.counts)
        assert sent < len(images)
        spool = open_spool(supervisor.spool)
        backlog = spool.ledger.backlog("pacs")
        assert (backlog.images, backlog.doubtful) == (len(images) - sent, 0)
        spool.close()


def test_a_destination_that_hangs_does_not_keep_it(supervisor: Supervisor, images: list[Image]) -> None:
    with Pacs() as pacs:
        pacs.hold()
        supervisor.start(destination("pacs", pacs.port, response_timeout=600.0))
        send(supervisor.listen(), images)
        wait_for(lambda: pacs.seen, within=PATIENCE, what="an image to be under way")
        supervisor.channel.send(link.Shutdown(0.5))
        assert supervisor.wait() == 0
        spool = open_spool(supervisor.spool)
        assert spool.ledger.backlog("pacs").doubtful == 1
        spool.close()


def test_an_export_that_nobody_reads_does_not_keep_it(supervisor: Supervisor) -> None:
    spool = open_spool(supervisor.spool)
    put_images(spool, 3, size=3_000_000)
    spool.close()
    supervisor.start()
    with supervisor.open_call("study.export", m.Export("1.2.3")) as stream:
        assert stream.recv(100)
        supervisor.channel.send(link.Shutdown(0.5))
        assert supervisor.wait() == 0


def test_a_request_that_comes_during_the_end_is_refused_or_answered_but_never_left(supervisor: Supervisor) -> None:
    supervisor.start()
    streams = [supervisor.open_call("study.list", m.StudyQuery()) for _ in range(5)]
    supervisor.channel.send(link.Shutdown(5.0))
    for stream in streams:
        with stream:
            assert stream.recv(1 << 16)
    assert supervisor.wait() == 0


def test_ctrl_c_at_a_terminal_is_for_the_supervisor(supervisor: Supervisor) -> None:
    supervisor.start()
    os.kill(supervisor.process.pid, signal.SIGINT)
    assert supervisor.status()


# --- descriptors ------------------------------------------------------------------------------------


def test_no_descriptors_are_left_behind(supervisor: Supervisor, images: list[Image]) -> None:
    with Pacs(refused=lambda sop_class, _: sop_class == VERIFICATION.sop_class_uid) as pacs:
        supervisor.start(destination("pacs", pacs.port), destination("down", 1))
        port = supervisor.listen()

        def round_trip() -> None:
            send(port, images)
            supervisor.ask("study.list", m.StudyQuery())
            supervisor.call("study.export", m.Export("nonsense"))
            supervisor.call("nonsense")
            supervisor.ask("destination.echo", m.DestinationRef("pacs"))
            supervisor.ask("destination.echo", m.DestinationRef("down"))
            supervisor.status()

        for _ in range(3):
            round_trip()
        supervisor.wait_until_delivered("pacs", len(images))
        wait_for(lambda: pacs.open == 0, within=PATIENCE, what="the association to be released")
        before = supervisor.descriptors()
        for _ in range(10):
            round_trip()
        wait_for(
            lambda: supervisor.descriptors() <= before + 1,
            within=PATIENCE,
            what=f"no more than {before} descriptors, and one for a probe",
        )
