"""What an operator and a new profile do to a delivery that is under way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from capacitord.errors import NotFound
from capacitord.model.states import DeliveryState
from tests.dicom.acceptor import Request
from tests.site.pacs import STORED, Pacs, Reaction
from tests.site.rig import PATIENCE, destination, rig
from tests.site.stock import put_images, waiting
from tests.site.test_refusals import delivery_of
from tests.wait import wait_for

STUDY = "1.2.3"


class Gate:
    """Stores images up to a number, and holds the next one until it is let go."""

    def __init__(self, number: int) -> None:
        self.reached, self.going = threading.Event(), threading.Event()
        self._number, self._seen = number, 0

    def __call__(self, _request: Request) -> int | Reaction:
        self._seen += 1
        if self._seen == self._number:
            self.reached.set()
            assert self.going.wait(30)
        return STORED


def test_a_pause_lets_the_image_under_way_finish_and_outlives_a_restart(tmp_path: Path) -> None:
    gate = Gate(3)
    with Pacs(gate) as pacs:
        with rig(tmp_path, destination("pacs", pacs.port)) as box:
            uids = put_images(box.spool, 20)
            box.wake()
            assert gate.reached.wait(PATIENCE)
            box.deliveries.one("pacs").pause(paused=True)
            gate.going.set()
            wait_for(lambda: pacs.open == 0, within=PATIENCE, what="the association to end")
            assert list(pacs.counts) == uids[:3]
            status = box.wait_for_reason("Paused by an operator")
            assert status.paused
            wait_for(lambda: box.status().waiting_images == 17, within=PATIENCE, what="the answers to be written")
            wait_for(lambda: delivery_of(box).reason == "Paused by an operator.", what="the study to say so")
        with rig(tmp_path, destination("pacs", pacs.port)) as box:
            put_images(box.spool, 1, study="1.2.4")
            box.wake()
            box.wait_for_reason("Paused by an operator")
            wait_for(
                lambda: delivery_of(box, "1.2.4").reason == "Paused by an operator.",
                what="what arrived during the pause to say why it waits",
            )
            assert len(pacs.counts) == 3
            box.deliveries.one("pacs").pause(paused=False)
            box.wait_until_delivered()
            assert set(pacs.counts.values()) == {1}
            assert len(pacs.counts) == 21
            assert not box.status().paused


def test_a_flush_tries_at_once_what_would_wait_for_long(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", 1)) as box:
        put_images(box.spool, 2)
        box.wake()
        box.wait_for_reason("Nothing listens")
        box.broker.targets["pacs"] = pacs.port
        box.deliveries.one("pacs").hasten()
        box.wait_until_delivered()
        assert box.status().reason == ""


def test_what_a_destination_refused_is_asked_anew_by_a_resend(tmp_path: Path) -> None:
    with Pacs(refused=lambda *_: True) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        uids = put_images(box.spool, 3)
        box.wake()
        wait_for(lambda: delivery_of(box).state is DeliveryState.FAILED, within=PATIENCE, what="it to fail")
        pacs.refused = lambda *_: False
        box.deliveries.one("pacs").hasten()
        box.spool.ledger.resend(box.spool.studies.find(STUDY)[0], ["pacs"], None, 1)
        box.wake()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert delivery_of(box).state is DeliveryState.DELIVERED


def test_a_resend_that_the_destination_knows_already_counts_as_stored(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 3)
        box.wake()
        box.wait_until_delivered()
        pacs.react = lambda _: 0x0111
        assert box.spool.ledger.resend(box.spool.studies.find(STUDY)[0], ["pacs"], None, 1) == 3
        box.wake()
        box.wait_until_delivered()
        delivery = delivery_of(box)
        assert (delivery.state, delivery.warnings, delivery.refused) == (DeliveryState.DELIVERED, 3, 0)


def test_a_new_profile_adds_a_destination_and_disturbs_no_other(tmp_path: Path) -> None:
    gate = Gate(5)
    with Pacs(gate) as old, Pacs() as new, rig(tmp_path, destination("old", old.port)) as box:
        box.destinations["new"] = destination("new", new.port)
        box.broker.targets["new"] = new.port
        put_images(box.spool, 20)
        box.wake()
        assert gate.reached.wait(PATIENCE)
        box.become("new", "old")
        gate.going.set()
        box.wait_until_delivered("old")
        assert len(old.associations) == 1
        assert set(old.counts.values()) == {1}
        assert [status.name for status in box.deliveries.status()] == ["new", "old"]


def test_a_destination_that_moves_gets_the_rest_at_its_new_place(tmp_path: Path) -> None:
    gate = Gate(5)
    with (
        Pacs(gate) as before,
        Pacs() as after,
        Pacs() as other,
        rig(tmp_path, destination("pacs", before.port), destination("other", other.port)) as box,
    ):
        uids = put_images(box.spool, 20)
        box.wake()
        assert gate.reached.wait(PATIENCE)
        box.wait_until_delivered("other")
        box.broker.targets["pacs"] = after.port
        change = threading.Thread(target=lambda: box.become("pacs", "other", pacs={"port": after.port}))
        change.start()
        wait_for(lambda: not box.deliveries.one("pacs").goes_on, what="the old one to be told to end")
        gate.going.set()
        change.join(PATIENCE)
        assert not change.is_alive()
        box.wait_until_delivered()
        assert before.counts + after.counts == dict.fromkeys(uids, 1)
        assert len(before.counts) == 5
        assert box.status().port == after.port


def test_a_destination_that_hangs_while_it_is_changed_delays_no_new_one(tmp_path: Path) -> None:
    with Pacs() as hanging, Pacs() as new, rig(tmp_path, destination("pacs", hanging.port)) as box:
        hanging.hold()
        put_images(box.spool, 5)
        box.wake()
        wait_for(lambda: hanging.seen, within=PATIENCE, what="an image to be under way")
        box.destinations["new"] = destination("new", new.port)
        box.broker.targets["new"] = new.port
        change = threading.Thread(target=lambda: box.become("pacs", "new", pacs={"port": 1}))
        change.start()
        wait_for(
            lambda: "new" in {status.name for status in box.deliveries.status()},
            within=PATIENCE,
            what="the new one to be there",
        )
        assert change.is_alive()
        box.spool.ledger.resend(box.spool.studies.find(STUDY)[0], ["new"], None, 1)
        box.wake()
        box.wait_until_delivered("new")
        hanging.go_on()
        change.join(PATIENCE)
        assert not change.is_alive()


def test_one_that_waits_for_a_connection_ends_at_once(tmp_path: Path) -> None:
    with rig(tmp_path, destination("pacs", 1, connect_timeout=60.0)) as box:
        box.broker.never.add("pacs")
        put_images(box.spool, 1)
        box.wake()
        wait_for(lambda: box.broker.asked, within=PATIENCE, what="a connection to be asked for")
        ending = threading.Thread(target=lambda: box.deliveries.stop(1.0))
        ending.start()
        ending.join(5)
        assert not ending.is_alive()


def test_what_waits_for_a_destination_that_is_named_no_more_is_kept_and_says_so(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", 1), destination("other", pacs.port)) as box:
        uids = put_images(box.spool, 3)
        box.wake()
        box.wait_until_delivered("other")
        box.become("other")
        assert waiting(box.spool) == uids
        assert delivery_of(box).reason == "Version 2 of the profile does not name pacs."
        with pytest.raises(NotFound) as error:
            box.deliveries.one("pacs")
        assert error.value.candidates == ("other",)
        # An image may still be filed for it that came in under the version before.
        put_images(box.spool, 1, study="1.2.4")
        box.deliveries.explain_unnamed()
        assert "does not name pacs" in delivery_of(box, "1.2.4").reason
        box.broker.targets["pacs"] = pacs.port
        box.become("other", "pacs")
        box.wait_until_delivered()
        assert pacs.counts[uids[0]] == 2, "once for each of the two destinations"


def test_the_last_of_many_versions_holds(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        changes = []
        for port in (1, 2, 3, pacs.port):
            changes.append(threading.Thread(target=lambda port=port: box.become("pacs", pacs={"port": port})))
            changes[-1].start()
            changes[-1].join()
        assert box.status().port == pacs.port
        put_images(box.spool, 3)
        box.wake()
        box.wait_until_delivered()
        assert len(pacs.counts) == 3
