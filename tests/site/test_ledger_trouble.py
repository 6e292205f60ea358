"""A disk that takes no more: delivery stops politely, says so, and goes on by itself; no answer is forgotten."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import apsw
import pytest

from capacitord.api import messages as m
from capacitord.errors import TryAgain
from capacitord.model.states import DeliveryState
from tests.dicom.acceptor import Request
from tests.site.pacs import STORED, Pacs, Reaction
from tests.site.reviewing import ANN
from tests.site.rig import PATIENCE, destination, rig
from tests.site.stock import put_images, states, waiting
from tests.site.test_refusals import delivery_of
from tests.spool.faulty import FaultyVfs, faulty_catalog
from tests.wait import wait_for

STUDY = "1.2.3"


def fill(vfs: FaultyVfs) -> None:
    """Have the catalog find no room, until `vfs.work_again`."""
    vfs.fail_at(1, apsw.FullError, only="write", for_good=True)


class FullFrom:
    """Stores, and has the catalog find no room from a certain image on."""

    def __init__(self, vfs: FaultyVfs, uid: str) -> None:
        self._vfs, self._uid = vfs, uid
        self.happened = threading.Event()

    def __call__(self, request: Request) -> int | Reaction:
        if request.sop_instance_uid == self._uid:
            fill(self._vfs)
            self.happened.set()
        return STORED


def test_answers_that_cannot_be_written_are_kept_until_they_can(tmp_path: Path) -> None:
    with (
        faulty_catalog() as (disk, vfs),
        Pacs(react := FullFrom(vfs, f"{STUDY}.40")) as pacs,
        rig(tmp_path, destination("pacs", pacs.port, associations=2), disk=disk) as box,
    ):
        uids = put_images(box.spool, 200)
        box.wake()
        assert react.happened.wait(PATIENCE)
        status = box.wait_for_reason("disk is full")
        assert status.waiting_images > 0
        wait_for(lambda: pacs.open == 0, within=PATIENCE, what="the associations to end")
        sent = len(pacs.seen)
        assert sent < 200, "nothing is sent that could not be marked before"
        pacs.react = lambda _: STORED
        vfs.work_again()
        box.wait_until_delivered()
        assert Counter(pacs.seen) == dict.fromkeys(uids, 1)
        wait_for(lambda: box.status().reason == "", what="the trouble to be over")
        assert delivery_of(box).state is DeliveryState.DELIVERED
        assert vfs.struck


def test_a_ledger_that_takes_nothing_from_the_beginning_is_waited_for(tmp_path: Path) -> None:
    with (
        faulty_catalog() as (disk, vfs),
        Pacs() as pacs,
        rig(tmp_path, destination("pacs", pacs.port), disk=disk, start=False) as box,
    ):
        uids = put_images(box.spool, 5)
        fill(vfs)
        box.become("pacs")
        box.wait_for_reason("disk is full")
        assert not pacs.seen, "nothing leaves that is not marked before"
        vfs.work_again()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)


def test_an_end_while_the_ledger_takes_nothing_leaves_doubt_and_loses_nothing(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs), Pacs(react := FullFrom(vfs, f"{STUDY}.5")) as pacs:
        with rig(tmp_path, destination("pacs", pacs.port), disk=disk) as box:
            uids = put_images(box.spool, 20)
            box.wake()
            assert react.happened.wait(PATIENCE)
            box.wait_for_reason("disk is full")
        with rig(tmp_path, destination("pacs", 1)) as box:
            left = waiting(box.spool)
            assert set(left) | set(pacs.counts) == set(uids)
            assert "doubt" in states(box.spool, STUDY)
            box.broker.targets["pacs"] = pacs.port
            pacs.react = lambda _: STORED
            box.deliveries.one("pacs").hasten()
            box.wait_until_delivered()
            assert set(pacs.counts) == set(uids)


def test_a_damaged_image_is_set_aside_and_the_rest_goes(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        uids = put_images(box.spool, 5, size=400_000)
        due = box.spool.ledger.due("pacs", 5)
        # One is damaged at its beginning, one in the middle.
        for pending, offset in ((due[1], 8192), (due[3], 300_000)):
            place = pending.stored.place
            with box.spool.layout.segment(place.segment).open("r+b") as segment:
                segment.seek(place.offset + offset)
                segment.write(b"\xff" * 64)
        box.become("pacs")
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys([uids[0], uids[2], uids[4]], 1)
        assert len(pacs.associations) == 2, "only in the middle of an image the association has to be aborted"
        delivery = delivery_of(box)
        assert delivery.state is DeliveryState.FAILED
        assert "damaged" in delivery.reason
        assert box.spool.counts().corrupt == 2
        assert not box.deliveries.one("pacs").feed.claimed()


def test_a_study_that_is_discarded_while_it_is_sent_ends_there(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        pacs.hold()
        put_images(box.spool, 40, study="1.2.1")
        others = put_images(box.spool, 5, study="1.2.2")
        box.wake()
        wait_for(lambda: pacs.seen, within=PATIENCE, what="the first image to be under way")
        study, short = box.spool.studies.find("1.2.1")
        assert short in [closed.study for closed in box.spool.close_arrived(0.0)]
        box.spool.housekeeping.discard(study, 1, "by a test")
        pacs.go_on()
        wait_for(lambda: set(others) <= set(pacs.counts), within=PATIENCE, what="the other study to arrive")
        box.wait_until_delivered()
        assert len([uid for uid in pacs.counts if uid.startswith("1.2.1.")]) <= 2, "what was in hand, and no more"
        wait_for(lambda: not box.deliveries.one("pacs").feed.claimed(), what="nothing to be claimed")


def test_nothing_is_promised_to_be_sent_again_while_the_answers_before_are_not_written(tmp_path: Path) -> None:
    """The late answer would take the image out of the queue again, and the operator had been told otherwise."""
    with (
        faulty_catalog() as (disk, vfs),
        Pacs(react := FullFrom(vfs, f"{STUDY}.3")) as pacs,
        rig(tmp_path, destination("pacs", pacs.port), disk=disk) as box,
    ):
        uids = put_images(box.spool, 3)
        box.wake()
        assert react.happened.wait(PATIENCE)
        box.wait_for_reason("disk is full")
        answers = box.answers()
        request = m.Resend(box.spool.studies.find(STUDY)[1])
        with pytest.raises(TryAgain, match="not all written yet") as told:
            answers.answer("study.resend", request, lambda: None, ANN)
        assert told.value.hint
        pacs.react = lambda _: STORED
        vfs.work_again()
        box.wait_until_delivered()
        answers.answer("study.resend", request, lambda: None, ANN)
        wait_for(lambda: Counter(pacs.seen) == dict.fromkeys(uids, 2), within=PATIENCE, what="all to be sent again")
