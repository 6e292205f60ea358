"""A destination that takes some and not others, or nothing at all: what it refuses never keeps the rest from it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.messages import CircuitState
from capacitord.dicom.contexts import Pair
from capacitord.model.states import DeliveryState
from capacitord.site.backoff import DEFAULT, Backoff
from capacitord.site.situation import sooner
from tests.dicom.acceptor import Request
from tests.site.pacs import FAILED, NO_ROOM, STORED, Pacs, Reaction
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import acks, put_images, states
from tests.wait import wait_for

STUDY = "1.2.3"
SECONDARY_CAPTURE = Pair("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2.1")


def delivery_of(box: Rig, study: str = STUDY, name: str = "pacs") -> m.StudyDelivery:
    detail = box.spool.studies.detail(box.spool.studies.find(study)[0], "")
    return next(one for one in detail.study.deliveries if one.destination == name)


@pytest.mark.parametrize("reaction", [NO_ROOM, FAILED, Reaction.ABORT, Reaction.CLOSE])
def test_an_image_at_which_it_fails_each_time_does_not_keep_the_others_from_it(
    tmp_path: Path, reaction: int | Reaction
) -> None:
    bad = f"{STUDY}.1"
    with (
        Pacs(lambda request: reaction if request.sop_instance_uid == bad else STORED) as pacs,
        rig(tmp_path, destination("pacs", pacs.port)) as box,
    ):
        uids = put_images(box.spool, 30)
        later = put_images(box.spool, 5, study="1.2.4")
        box.wake()
        wait_for(lambda: len(pacs.counts) == 34, within=PATIENCE, what="all others to arrive")
        assert pacs.counts == dict.fromkeys([*uids[1:], *later], 1)
        wait_for(lambda: box.status().waiting_images == 1, what="the answers to be written")
        assert delivery_of(box, "1.2.4").state is DeliveryState.DELIVERED


@pytest.mark.parametrize("reaction", [NO_ROOM, Reaction.ABORT])
def test_a_study_that_it_never_takes_does_not_keep_the_others_from_it(tmp_path: Path, reaction: int | Reaction) -> None:
    with (
        Pacs(lambda request: reaction if request.sop_instance_uid.startswith("1.2.1.") else STORED) as pacs,
        rig(tmp_path, destination("pacs", pacs.port)) as box,
    ):
        put_images(box.spool, 40, study="1.2.1")
        others = put_images(box.spool, 40, study="1.2.2")
        box.wake()
        wait_for(lambda: set(pacs.counts) == set(others), within=PATIENCE, what="the other study to arrive")
        tried = {uid for uid in pacs.seen if uid.startswith("1.2.1.")}
        assert len(tried) <= 4, "a study is left alone after a few of its images"


def test_images_that_it_never_takes_keep_no_other_study_from_it_however_often_somebody_flushes(tmp_path: Path) -> None:
    def reaction(request: Request) -> int:
        return NO_ROOM if request.sop_instance_uid.startswith("1.2.1") else STORED

    def takes_nothing() -> bool:
        return box.status().circuit is not CircuitState.CLOSED

    with Pacs(reaction) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        for number in range(10, 16):
            put_images(box.spool, 1, study=f"1.2.{number}")
        box.wake()
        wait_for(takes_nothing, within=PATIENCE, what="the destination to take nothing")
        # What it tries by itself in between would say nothing of the order after the flush.
        box.deliveries.one("pacs").pause(paused=True)
        wait_for(lambda: not pacs.open, within=PATIENCE, what="the associations to end")
        seen, refused = len(pacs.seen), set(pacs.seen)
        good = put_images(box.spool, 20, study="1.2.2")
        box.deliveries.one("pacs").pause(paused=False)
        box.deliveries.one("pacs").hasten()
        wait_for(lambda: pacs.counts.keys() >= set(good), within=PATIENCE, what="the good study to arrive")
        since = pacs.seen[seen:]
        before = since[: max(map(since.index, good))]
        assert not refused & set(before), "what was refused goes behind what was not"


def test_a_destination_that_can_be_reached_is_offered_an_image_again_soon() -> None:
    assert sooner(DEFAULT).ceiling(99) == 10.0
    assert sooner(Backoff(base=0.5, cap=1.0)).ceiling(99) == 1.0
    assert sooner(Backoff(base=60.0, cap=90.0)).ceiling(99) == 60.0


def test_an_image_that_rests_says_why_and_when_it_is_tried_again(tmp_path: Path) -> None:
    with (
        Pacs(lambda request: NO_ROOM if request.sop_instance_uid == f"{STUDY}.2" else STORED) as pacs,
        rig(tmp_path, destination("pacs", pacs.port)) as box,
    ):
        put_images(box.spool, 3)
        box.wake()
        wait_for(lambda: delivery_of(box).state is DeliveryState.DEFERRED, within=PATIENCE, what="it to be deferred")
        delivery = delivery_of(box)
        assert "out of resources" in delivery.reason
        assert delivery.next_try is not None
        status = box.wait_for_reason("out of resources")
        assert status.circuit is m.CircuitState.CLOSED, "others are welcome"
        assert status.next_try is not None
        before = len(pacs.seen)
        pacs.react = lambda _: STORED
        box.deliveries.one("pacs").hasten()
        box.wait_until_delivered()
        assert pacs.seen[before:] == [f"{STUDY}.2"]
        assert delivery_of(box).state is DeliveryState.DELIVERED


def test_a_destination_that_takes_nothing_is_not_offered_everything(tmp_path: Path) -> None:
    with Pacs(lambda _: NO_ROOM) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        uids = [uid for study in range(20) for uid in put_images(box.spool, 10, study=f"1.2.{study}")]
        box.wake()
        status = box.wait_for_reason("out of resources")
        wait_for(lambda: pacs.open == 0, within=PATIENCE, what="the association to be released")
        assert status.waiting_images == 200
        assert len(set(pacs.seen)) <= 12
        wait_for(
            lambda: {delivery_of(box, f"1.2.{study}").state for study in range(20)} == {DeliveryState.DEFERRED},
            within=PATIENCE,
            what="all to say why they wait",
        )
        pacs.react = lambda _: STORED
        box.deliveries.one("pacs").hasten()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)


@pytest.mark.parametrize("reaction", [Reaction.ABORT, Reaction.CLOSE])
def test_a_destination_that_breaks_off_at_every_image_is_left_alone_for_longer_and_longer(
    tmp_path: Path, reaction: Reaction
) -> None:
    with Pacs(lambda _: reaction) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        for study in range(10):
            put_images(box.spool, 1, study=f"1.2.{study}")
        box.wake()

        def opened() -> bool:
            box.deliveries.one("pacs").hasten()
            return box.status().circuit is m.CircuitState.OPEN

        wait_for(opened, within=PATIENCE, what="the circuit to open, though each association is accepted")
        assert "destination-down" in {reference for reference, *_ in box.notes}
        pacs.react = lambda _: STORED

        def mended() -> bool:
            if box.status().waiting_images == 0:
                return True
            box.deliveries.one("pacs").hasten()
            return False

        wait_for(mended, within=PATIENCE, what="everything to be delivered")
        assert "destination-up" in {reference for reference, *_ in box.notes}
        assert box.status().reason == ""


def test_a_syntax_it_refuses_fails_its_images_with_a_sentence_and_the_rest_goes(tmp_path: Path) -> None:
    with (
        Pacs(refused=lambda sop_class, _: sop_class == SECONDARY_CAPTURE.sop_class_uid) as pacs,
        rig(tmp_path, destination("pacs", pacs.port)) as box,
    ):
        taken = put_images(box.spool, 3)
        not_taken = put_images(box.spool, 2, first=10, pair=SECONDARY_CAPTURE)
        box.wake()
        box.wait_until_delivered()
        assert set(pacs.counts) == set(taken)
        delivery = delivery_of(box)
        assert delivery.state is DeliveryState.FAILED
        assert "2 images were refused" in delivery.reason
        assert "Secondary Capture" in delivery.reason
        found = acks(box.spool, STUDY)
        assert {uid: found[uid][0] for uid in not_taken} == dict.fromkeys(not_taken, "refused")


def test_one_that_takes_no_more_associations_is_not_called_down_while_it_stores(tmp_path: Path) -> None:
    seats = threading.Semaphore(2)

    def welcome(_calling: str) -> tuple[int, int, int] | None:
        return None if seats.acquire(blocking=False) else (2, 3, 2)

    with (
        Pacs(welcome=welcome) as pacs,
        rig(tmp_path, destination("pacs", pacs.port, associations=4), start=False) as box,
    ):
        put_images(box.spool, 300)
        pacs.hold()
        box.become("pacs")
        wait_for(lambda: pacs.rejected == 1 and len(pacs.seen) == 2, within=PATIENCE, what="the third to be rejected")
        status = box.status()
        assert status.circuit is m.CircuitState.CLOSED
        assert status.reason == ""
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.rejected == 1, "it is not asked again at once"
        assert set(pacs.counts.values()) == {1}
        assert not box.notes[:-1]


def test_several_associations_that_end_of_one_cause_are_one_failure(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: Reaction.CLOSE) as pacs,
        rig(tmp_path, destination("pacs", pacs.port, associations=4), start=False) as box,
    ):
        put_images(box.spool, 300)
        pacs.hold()
        box.become("pacs")
        wait_for(lambda: len(pacs.seen) == 4, within=PATIENCE, what="four associations to be at work")
        box.broker.never.add("pacs")
        pacs.go_on()
        wait_for(lambda: box.broker.asked["pacs"] == 5, within=PATIENCE, what="the next try")
        assert box.deliveries.one("pacs").state().circuit.failures == 1
        assert box.status().circuit is m.CircuitState.CLOSED


def test_one_destination_that_hangs_refuses_or_aborts_delays_no_other(tmp_path: Path) -> None:
    with (
        Pacs() as good,
        Pacs(lambda _: Reaction.HANG) as hanging,
        Pacs(lambda _: Reaction.ABORT) as aborting,
        Pacs(welcome=lambda _: (1, 1, 3)) as rejecting,
        rig(
            tmp_path,
            destination("silent", good.port),
            destination("hanging", hanging.port, response_timeout=60.0),
            destination("aborting", aborting.port),
            destination("rejecting", rejecting.port),
            destination("closed", 1),
            destination("good", good.port),
        ) as box,
    ):
        # Nobody ever answers the request for a connection to it.
        box.broker.never.add("silent")
        for study in range(3):
            put_images(box.spool, 100, study=f"1.2.{study}")
        box.wake()
        box.wait_until_delivered("good")
        assert len(good.counts) == 300
        statuses = {status.name: status for status in box.deliveries.status()}
        assert {name: status.waiting_images for name, status in statuses.items()} == {
            "silent": 300,
            "hanging": 300,
            "aborting": 300,
            "rejecting": 300,
            "closed": 300,
            "good": 0,
        }
        box.wait_for_reason("does not know this box by its AE title", "rejecting")
        box.wait_for_reason("Nothing listens", "closed")


def test_a_rejected_association_is_everybodys_reason(tmp_path: Path) -> None:
    with Pacs(welcome=lambda _: (1, 1, 3)) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 2, study="1.2.1")
        box.wake()
        box.wait_for_reason("does not know this box by its AE title")
        # What comes while it is down says so too.
        put_images(box.spool, 2, study="1.2.2")
        box.wake()
        for study in ("1.2.1", "1.2.2"):
            wait_for(
                lambda: "AE title" in delivery_of(box, study).reason,  # noqa: B023
                within=PATIENCE,
                what=f"study {study} to say why it waits",
            )
        assert states(box.spool, "1.2.1") == ["waiting"]
        pacs.welcome = lambda _: None
        box.deliveries.one("pacs").hasten()
        box.wait_until_delivered()
