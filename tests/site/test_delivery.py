"""Delivery to one destination: everything queued arrives exactly once, whatever happens on the way."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest

from capacitord.model.states import DeliveryState
from tests.chaos.proxy import Proxy, Way
from tests.dicom.acceptor import Request
from tests.site.pacs import FAILED, NO_ROOM, STORED, UNKNOWN, Pacs, Reaction
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import acks, content, put_images, states, waiting
from tests.wait import wait_for

STUDY = "1.2.3"


class Once:
    """Reacts to each of some images in a given way the first time, and stores it the next."""

    def __init__(self, reaction: int | Reaction, *uids: str) -> None:
        self._reaction, self._left = reaction, set(uids)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> int | Reaction:
        with self._lock:
            if request.sop_instance_uid in self._left:
                self._left.discard(request.sop_instance_uid)
                return self._reaction
        return STORED


def hasten_until_delivered(box: Rig, name: str = "pacs") -> None:
    """Spare the test the waiting between attempts."""

    def done() -> bool:
        if box.status(name).waiting_images == 0:
            return True
        box.deliveries.one(name).hasten()
        return False

    wait_for(done, within=PATIENCE, what=f"everything to be delivered to {name}")


def nothing_is_kept(box: Rig, name: str = "pacs") -> bool:
    return not box.deliveries.one(name).feed.claimed()


@pytest.mark.parametrize("associations", [1, 4])
def test_everything_arrives_once_and_as_it_was_received(tmp_path: Path, associations: int) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=associations)) as box:
        uids = [uid for study in range(5) for uid in put_images(box.spool, 60, study=f"1.2.{study}", first=study)]
        box.wake()
        status = box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert all(pacs.stored[uid] == [content(int(uid.rpartition(".")[2]))] for uid in uids)
        assert status.delivered_images == len(uids)
        assert states(box.spool, "1.2.0") == ["done"]
        assert 1 <= len(pacs.associations) <= associations
        assert nothing_is_kept(box)


def test_a_backlog_goes_out_on_all_associations_there_may_be(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=4), start=False) as box:
        put_images(box.spool, 300)
        pacs.hold()
        box.become("pacs")
        wait_for(lambda: len(pacs.seen) == 4, within=PATIENCE, what="four associations to be at work")
        pacs.go_on()
        box.wait_until_delivered()
        assert set(pacs.counts.values()) == {1}


@pytest.mark.parametrize(
    ("reaction", "position"),
    [
        *itertools.product([Reaction.ABORT, Reaction.CLOSE, NO_ROOM], [1, 20, 40]),
        (Reaction.HANG, 20),
        (FAILED, 20),
    ],
)
def test_after_any_trouble_with_an_image_only_what_has_no_acknowledgement_is_sent(
    tmp_path: Path, reaction: int | Reaction, position: int
) -> None:
    with (
        Pacs(Once(reaction, f"{STUDY}.{position}")) as pacs,
        rig(tmp_path, destination("pacs", pacs.port, response_timeout=0.5)) as box,
    ):
        uids = put_images(box.spool, 40)
        box.wake()
        wait_for(lambda: f"{STUDY}.{position}" in pacs.seen, within=PATIENCE, what="the image to be sent")
        hasten_until_delivered(box)
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert Counter(pacs.seen) == dict.fromkeys(uids, 1) | {f"{STUDY}.{position}": 2}
        assert nothing_is_kept(box)
        assert not waiting(box.spool)


@pytest.mark.parametrize("count", [100, 1500, 20_000, 45_678])
def test_after_a_cut_only_what_has_no_acknowledgement_is_sent(tmp_path: Path, count: int) -> None:
    with (
        Pacs() as pacs,
        Proxy("127.0.0.1", pacs.port) as link,
        rig(tmp_path, destination("pacs", link.port, associations=2)) as box,
    ):
        link.cut_after(count, Way.UP)
        uids = put_images(box.spool, 60)
        box.wake()
        wait_for(lambda: link.counters.cuts == 1, within=PATIENCE, what="the link to be cut")
        hasten_until_delivered(box)
        assert set(pacs.counts) == set(uids)
        # An answer that was on its way when the link was cut is the only reason to send an image again.
        again = {uid: times for uid, times in pacs.counts.items() if times > 1}
        assert len(again) <= 1
        assert set(again.values()) <= {2}
        assert nothing_is_kept(box)


def test_an_image_whose_answer_was_lost_is_shown_as_in_doubt_and_no_other(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        pacs.hold()
        uids = put_images(box.spool, 5)
        box.wake()
        wait_for(lambda: pacs.seen == uids[:1], within=PATIENCE, what="the first image to be sent whole")
        assert states(box.spool, STUDY) == ["waiting"], "it is on its way, not in doubt"
        assert box.status().doubtful_images == 0
        box.broker.targets["pacs"] = 1
        pacs.react = lambda _: Reaction.CLOSE
        pacs.go_on()
        wait_for(lambda: box.status().doubtful_images == 1, within=PATIENCE, what="an image to be in doubt")
        assert {uid: state for uid, (state, _) in acks(box.spool, STUDY).items()} == {
            uid: "doubt" if uid == uids[0] else "waiting" for uid in uids
        }
        pacs.react = lambda _: STORED
        box.broker.targets["pacs"] = pacs.port
        hasten_until_delivered(box)
        assert pacs.counts == dict.fromkeys(uids, 1)


def test_an_image_that_was_cut_off_in_the_middle_is_in_no_doubt(tmp_path: Path) -> None:
    with Pacs() as pacs, Proxy("127.0.0.1", pacs.port) as link, rig(tmp_path, destination("pacs", link.port)) as box:
        link.cut_after(1_000_000, Way.UP)
        # More than the buffers of two connections hold.
        put_images(box.spool, 1, size=40_000_000)
        box.broker.hold()
        box.wake()
        wait_for(lambda: box.broker.asked.get("pacs"), within=PATIENCE, what="a connection to be asked for")
        box.broker.go_on()
        wait_for(lambda: link.counters.cuts == 1, within=PATIENCE, what="the link to be cut")
        box.broker.hold()
        box.wait_for_reason("closed the connection")
        assert states(box.spool, STUDY) == ["waiting"]
        assert box.status().doubtful_images == 0
        box.broker.go_on()
        hasten_until_delivered(box)
        assert set(pacs.counts.values()) == {1}


def test_an_image_already_there_counts_as_stored_only_if_it_may_be_ours(tmp_path: Path) -> None:
    uids = [f"{STUDY}.{number}" for number in range(1, 4)]
    with Pacs(Once(Reaction.CLOSE, uids[0])) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 3)
        box.wake()
        wait_for(lambda: uids[0] in pacs.seen, within=PATIENCE, what="the first image to be sent")
        pacs.react = lambda request: 0x0111 if request.sop_instance_uid in uids[:2] else STORED
        hasten_until_delivered(box)
        found = acks(box.spool, STUDY)
        assert found[uids[0]][0] == "warning"
        assert "from an earlier attempt" in found[uids[0]][1]
        assert found[uids[1]][0] == "refused"
        assert found[uids[2]][0] == "done"


def test_a_study_is_delivered_when_all_its_images_are_and_failed_when_one_is_refused(tmp_path: Path) -> None:
    with Pacs(Once(UNKNOWN, "1.2.2.2")) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 3, study="1.2.1")
        put_images(box.spool, 3, study="1.2.2")
        box.wake()
        box.wait_until_delivered()
        wait_for(lambda: len(box.notes) >= 2, what="both studies to be told of")
        shorts = {study: box.spool.studies.find(study)[1] for study in ("1.2.1", "1.2.2")}
        assert {(reference, study) for reference, _, study, _ in box.notes} == {
            ("delivery-delivered", shorts["1.2.1"]),
            ("delivery-failed", shorts["1.2.2"]),
        }
        (delivery,) = box.spool.studies.detail(box.spool.studies.find("1.2.2")[0], "").study.deliveries
        assert delivery.state is DeliveryState.FAILED
        assert "1 image was refused" in delivery.reason
        assert "C000" in delivery.reason


def test_images_that_arrive_meanwhile_go_out_on_the_association_that_is_open(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=2)) as box:
        for number in range(1, 11):
            (uid,) = put_images(box.spool, 1, first=number)
            box.wake()
            wait_for(lambda: pacs.seen[-1:] == [uid], within=PATIENCE, what="the image to arrive")  # noqa: B023
        assert len(pacs.associations) == 1


def test_nothing_is_lost_between_two_lives(tmp_path: Path) -> None:
    with Pacs() as pacs:
        with rig(tmp_path, destination("pacs", pacs.port, associations=3)) as box:
            uids = put_images(box.spool, 200)
            box.wake()
            wait_for(lambda: len(pacs.seen) > 20, within=PATIENCE, what="some images to be sent")
        assert pacs.open == 0 or wait_for(lambda: pacs.open == 0, what="the associations to end")
        with rig(tmp_path, destination("pacs", pacs.port, associations=3)) as box:
            box.wait_until_delivered()
            assert pacs.counts == dict.fromkeys(uids, 1)
