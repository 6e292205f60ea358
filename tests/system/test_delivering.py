"""The real daemon delivers to PACS that others wrote, as far as each acknowledged, whatever they and the links do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pynetdicom import AllStoragePresentationContexts

from capacitord.api import messages as m
from capacitord.model.states import AckState, DeliveryState
from tests.chaos.proxy import Proxy, Way
from tests.images import CT, MIB, TINY, Image, Shape, shipped, uid, write_study
from tests.peers.dcmqrscp import Dcmqrscp
from tests.peers.orthanc import Orthanc
from tests.peers.program import Server, free_port
from tests.peers.senders import movescu, send_exactly, start_storescu, storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

SLOW = ("--accept-all", "--sleep-during", "1")


def to(server: Server | Proxy, ae_title: str = "STORESCP", name: str = "pacs", **settings: object) -> Target:
    """Return a server, or a link to one, as a destination."""
    return Target(name, ae_title, server.port, settings=settings)


def datasets(images: Sequence[Image]) -> dict[str, str]:
    return {image.sop_instance_uid: image.sha256() for image in images}


def send(box: Box, images: Sequence[Image]) -> None:
    assert storescu(images, box.host, box.port, called=AE_TITLE).acknowledged == [image.path for image in images]


def test_a_study_reaches_every_kind_of_pacs_unchanged(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=12, shape=TINY)
    large = write_study(tmp_path / "large", images=3, shape=CT, seed=1)
    with (
        Storescp(tmp_path / "a") as storescp,
        Dcmqrscp(tmp_path / "b") as dcmqrscp,
        Orthanc(tmp_path / "c") as orthanc,
        Box(
            tmp_path / "box",
            to(storescp, name="storescp"),
            to(dcmqrscp, "QRSCP", name="dcmqrscp", calling_ae_title="$calling"),
            to(orthanc, "ORTHANC", name="orthanc", associations=3),
        ) as box,
    ):
        send(box, [*study, *large])
        box.wait_until_delivered()
        assert {each.delivered_images for each in box.client.destination_list().destinations} == {15}
        assert {delivery.state for each in box.studies() for delivery in each.deliveries} == {DeliveryState.DELIVERED}
        assert datasets(storescp.wait_for_images(15)) == datasets([*study, *large])
        assert datasets(dcmqrscp.images()) == datasets([*study, *large])
        assert orthanc.wait_for_instances(15).keys() == datasets([*study, *large]).keys()
        assert storescp.requests() == 15
        for image in [study[0], large[-1]]:
            assert orthanc.download(image.sop_instance_uid).endswith(image.dataset())
        # And back into the box, where all of it is known already.
        orthanc.know(AE_TITLE, box.host, box.port)
        assert orthanc.send(AE_TITLE)["FailedInstancesCount"] == 0
        box.wait_for_spool(images=15, undelivered_images=0, conflicts=0)


def test_a_pacs_moves_into_the_box(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=3, shape=TINY)
    with Storescp(tmp_path / "pacs") as pacs, Box(tmp_path / "box", to(pacs)) as box:
        knows = {AE_TITLE: (box.host, box.port)}
        with Dcmqrscp(tmp_path / "archive", knows=knows) as archive:
            assert len(storescu(study, archive.host, archive.port, called="QRSCP").acknowledged) == 3
            moved = movescu(archive.host, archive.port, called="QRSCP", destination=AE_TITLE, study_uid=uid(0, "study"))
        assert (moved.completed, moved.failed) == (3, 0)
        assert datasets(pacs.wait_for_images(3)) == datasets(study)


@pytest.mark.parametrize("hostility", ["--abort-after", "--abort-during", "--refuse"])
def test_a_hostile_pacs_gets_everything_once_it_behaves(tmp_path: Path, hostility: str) -> None:
    study = write_study(tmp_path / "study", images=4, shape=TINY)
    with (
        Storescp(tmp_path / "hostile", options=("--accept-all", hostility)) as hostile,
        Box(tmp_path / "box", to(hostile)) as box,
    ):
        send(box, study)
        status = box.wait(
            lambda status: each if (each := pacs_of(status)) and each.reason and each.waiting_images == 4 else None,
            what="four images to wait for a reason",
        )
        assert "STORESCP" in status.reason
        assert status.delivered_images == 0
        states = {ack.state for ack in box.acks("pacs").values()}
        assert states <= {AckState.WAITING, AckState.DOUBT}
        hostile.kill()
        with Storescp(tmp_path / "mended", port=hostile.port) as mended:
            box.client.queue_flush(m.ALL)
            box.wait_until_delivered()
            assert datasets(mended.wait_for_images(4)) == datasets(study)
            assert mended.requests() == 4


def pacs_of(status: m.Status, name: str = "pacs") -> m.DestinationStatus | None:
    return next((each for each in status.traffic.destinations if each.name == name), None) if status.traffic else None


def test_a_dead_and_a_mute_destination_delay_nobody(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=30, shape=TINY)
    with Storescp(tmp_path / "good") as good, Storescp(tmp_path / "mute") as mute:
        mute.pause()
        dead = Target("dead", "NOBODY", free_port())
        with Box(tmp_path / "box", dead, to(mute, name="mute"), to(good)) as box:
            send(box, study)
            box.wait_until_delivered("pacs", within=20)
            assert datasets(good.wait_for_images(30)) == datasets(study)
            missed = box.wait(
                lambda status: each if (each := pacs_of(status, "dead")) and each.next_try else None, what="a next try"
            )
            assert "nothing listens" in missed.reason
            wait_for(
                lambda: [each.waiting_images for each in box.traffic().destinations] == [30, 30, 0],
                what="the status to say what waits",
            )
            (delivered, waiting) = (
                {d.destination for d in study.deliveries if (d.state is DeliveryState.DELIVERED) is ended}
                for study in box.studies()
                for ended in (True, False)
            )
            assert (delivered, waiting) == ({"pacs"}, {"dead", "mute"})
            mute.resume()
            box.wait_until_delivered("mute")


def test_a_slow_pacs_is_waited_for(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=1, shape=TINY)
    with Storescp(tmp_path / "pacs", options=SLOW) as pacs, Box(tmp_path / "box", to(pacs)) as box:
        send(box, study)
        transfer = box.wait(
            lambda status: each.transfers[0] if (each := pacs_of(status)) and each.transfers else None,
            what="a transfer to be shown",
        )
        assert (transfer.image, transfer.images) == (1, 1)
        box.wait_until_delivered()
        assert pacs.requests() == 1


def test_a_cut_link_costs_only_what_was_on_it(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=20, shape=CT)
    with (
        Storescp(tmp_path / "pacs", keep_copies=True) as pacs,
        Proxy(pacs.host, pacs.port) as link,
        Box(tmp_path / "box", to(link)) as box,
    ):
        link.cut_after(4 * MIB, Way.UP)
        send(box, study)
        wait_for(lambda: link.counters.cuts, what="the link to be cut")
        box.client.queue_flush(m.ALL)
        box.wait_until_delivered()
        assert datasets(pacs.wait_for_images(20)) == datasets(study)
        # One request had begun when the link was cut.
        assert pacs.requests() <= 21


def test_a_syntax_the_pacs_refuses_is_said_in_words_and_holds_up_nothing_else(tmp_path: Path) -> None:
    compressed = [image for image in shipped() if image.path.name == "J2K_pixelrep_mismatch.dcm"]
    study = write_study(tmp_path / "study", images=3, shape=TINY)
    with Storescp(tmp_path / "pacs", options=("--prefer-uncompr",)) as pacs, Box(tmp_path / "box", to(pacs)) as box:
        assert len(send_exactly([*compressed, *study], box.host, box.port).acknowledged) == 4
        box.wait_until_delivered()
        assert datasets(pacs.wait_for_images(3)) == datasets(study)
        ack = box.acks("pacs")[compressed[0].sop_instance_uid]
        assert ack.state is AckState.HELD
        # Its codestream and its header do not agree on the sign, so it cannot be unpacked for this PACS either.
        assert ack.reason.startswith("It cannot be written as the destination accepts it. Explicit VR Little")
        assert "a sign" in ack.reason
        (failed,) = [
            (each.id, delivery)
            for each in box.studies()
            for delivery in each.deliveries
            if delivery.state is DeliveryState.FAILED
        ]
        assert ack.reason in failed[1].reason
        pacs.kill()
        with Storescp(tmp_path / "mended", port=pacs.port) as mended:
            box.client.study_resend(m.Resend(failed[0]))
            box.wait_until_delivered()
            assert datasets(mended.wait_for_images(1)) == datasets(compressed)


def test_an_operator_pauses_resumes_flushes_and_sends_again(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=3, shape=TINY)
    with Storescp(tmp_path / "pacs", keep_copies=True) as pacs, Box(tmp_path / "box", to(pacs)) as box:
        assert "Paused: pacs" in box.client.queue_pause("pacs").message
        send(box, study)
        status = box.wait(
            lambda status: each if (each := pacs_of(status)) and each.waiting_images == 3 else None, what="a queue"
        )
        assert (status.paused, status.reason) == (True, "Paused by an operator.")
        box.restart()
        assert box.destination("pacs").paused, "a pause outlives a restart"
        box.client.queue_flush("pacs")
        (row,) = box.client.queue_list().destinations
        assert (row.paused, row.images) == (True, 3)
        box.client.queue_resume("pacs")
        box.wait_until_delivered()
        (known,) = box.studies()
        box.client.study_resend(m.Resend(known.id, image=study[1].sop_instance_uid))
        box.wait_until_delivered()
        pacs.wait_for_images(4)
        box.client.study_resend(m.Resend(known.id, ("pacs",)))
        box.wait_until_delivered()
        pacs.wait_for_images(7)
        pacs.kill()
        box.client.study_resend(m.Resend(known.id))
        wait_for(lambda: box.destination("pacs").reason, what="the PACS to be missed")
        pacs.start()
        box.client.queue_flush(m.ALL)
        box.wait_until_delivered()
        pacs.wait_for_images(10)
        actions = [entry.action for entry in box.client.audit_show(m.AuditQuery()).entries]
        assert {"queue.pause", "queue.resume", "queue.flush", "study.resend"} <= set(actions)


def test_a_restart_delivers_what_was_left(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=6, shape=TINY)
    with Storescp(tmp_path / "pacs") as pacs, Box(tmp_path / "box", to(pacs)) as box:
        pacs.stop()
        send(box, study[:3])
        box.restart()
        send(box, study[3:])
        assert [row.images for row in box.client.queue_list().destinations] == [6]
        box.kill()
        pacs.start()
        box.start()
        box.wait_until_delivered()
        assert datasets(pacs.wait_for_images(6)) == datasets(study)
        assert pacs.requests() == 6


def test_more_kinds_of_images_than_an_association_has_contexts(tmp_path: Path) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    assert len(classes) > 128
    images = [
        image
        for number, sop_class in enumerate(classes)
        for image in write_study(
            tmp_path / "study", images=1, shape=Shape(8, 8, sop_class_uid=sop_class), series_number=number
        )
    ]
    with Storescp(tmp_path / "pacs") as pacs, Box(tmp_path / "box", to(pacs)) as box:
        box.client.queue_pause(m.ALL)
        for part in (images[:100], images[100:]):
            assert len(send_exactly(part, box.host, box.port).acknowledged) == len(part)
        before = pacs.associations()
        box.client.queue_resume(m.ALL)
        box.wait_until_delivered()
        refused = {uid for uid, ack in box.acks("pacs").items() if ack.state is AckState.REFUSED}
        # DCMTK's storescp knows fewer SOP classes than pynetdicom.
        assert len(refused) < len(images) - 100
        assert datasets(pacs.wait_for_images(len(images) - len(refused))) == {
            uid: digest for uid, digest in datasets(images).items() if uid not in refused
        }
        assert pacs.associations() - before >= 2


def test_a_new_profile_drops_no_association(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=12, shape=CT)
    with Storescp(tmp_path / "a") as first, Storescp(tmp_path / "b") as second, Box(tmp_path / "box", to(first)) as box:
        with Proxy(box.host, box.port) as link:
            link.throttle(MIB)
            with start_storescu(study, link.host, link.port) as sending:
                wait_for(lambda: len(sending.so_far()) >= 2, what="a study to be on its way")
                box.serve(to(first), to(second, name="backup"))
                link.clear()
                sent = sending.finish()
            assert link.counters.connections == 1
        assert sent.acknowledged == [image.path for image in study]
        assert "Peer Requested Release" not in sent.output
        box.wait_until_delivered()
        assert datasets(first.wait_for_images(12)) == datasets(study)
        late = {image.sop_instance_uid for image in box.images() if len(image.acks) == 2}
        assert 0 < len(late) < 12, "images that came under the new profile, and only these, go to its new destination"
        assert datasets(second.wait_for_images(len(late))).keys() == late
        # The destination that did not change kept its association.
        assert first.associations() - second.associations() <= 3
