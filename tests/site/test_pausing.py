"""A pause and its end: what the ledger remembers and what is done are one."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest

from capacitord.api import messages as m
from capacitord.errors import CapacitordError, OutOfSpace, PartlyDone
from tests.site.pacs import Pacs
from tests.site.reviewing import ANN
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import put_images
from tests.spool.faulty import FaultyVfs, faulty_catalog
from tests.wait import wait_for


def is_paused(box: Rig, name: str = "pacs") -> bool:
    """Return whether it is paused; the ledger and the delivery have to agree."""
    done = box.deliveries.one(name).state().paused
    assert (name in box.spool.ledger.paused()) is done
    return done


def quiet(box: Rig, vfs: FaultyVfs) -> None:
    """Have the catalog mend itself, and wait until nobody else writes to it."""
    vfs.work_again()
    box.spool.save_tick()
    situation = box.deliveries.one("pacs")._situation
    wait_for(lambda: not situation.unexplained, within=PATIENCE, what="what waits to say why")
    box.spool.save_tick()


@pytest.mark.parametrize("paused", [True, False])
def test_a_ledger_that_fails_at_any_step_leaves_everything_as_it_was(tmp_path: Path, *, paused: bool) -> None:
    with faulty_catalog() as (disk, vfs), rig(tmp_path, destination("pacs", 1), disk=disk) as box:
        put_images(box.spool, 3)
        box.deliveries.pause("pacs", paused=True)
        wait_for(lambda: not box.spool.ledger.unexplained("pacs"), within=PATIENCE, what="the study to say why")
        if paused:
            box.deliveries.pause("pacs", paused=False)
        failures = 0
        for step in range(1, 100):
            quiet(box, vfs)
            vfs.fail_at(step, apsw.FullError, only="write")
            try:
                box.deliveries.pause("pacs", paused=paused)
            except OutOfSpace:
                failures += 1
                assert is_paused(box) is not paused
            else:
                break
        vfs.work_again()
        assert is_paused(box) is paused
        assert failures


def test_of_several_the_answer_says_which_are_done(tmp_path: Path) -> None:

    with (
        faulty_catalog() as (disk, vfs),
        rig(tmp_path, destination("first", 1), destination("second", 1), disk=disk) as box,
    ):
        answers = box.answers()
        told: set[type[CapacitordError]] = set()
        for step in range(1, 30):
            box.deliveries.pause("first", paused=False)
            box.deliveries.pause("second", paused=False)
            vfs.fail_at(step, apsw.FullError, only="write")
            try:
                answers.answer("queue.pause", m.QueueSelect(m.ALL), lambda: None, ANN)
            except PartlyDone as error:
                told.add(PartlyDone)
                left = error.candidates
                assert left == ("second",)
                assert (is_paused(box, "first"), is_paused(box, "second")) == (True, False)
            except OutOfSpace:
                told.add(OutOfSpace)
                assert (is_paused(box, "first"), is_paused(box, "second")) == (False, False)
            else:
                vfs.work_again()
                break
        assert told == {PartlyDone, OutOfSpace}


def test_orders_that_come_at_once_leave_both_of_one_mind(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        for _ in range(20):
            orders = [
                threading.Thread(target=box.deliveries.pause, args=("pacs",), kwargs={"paused": paused})
                for paused in (True, False, True, False)
            ]
            for order in orders:
                order.start()
            for order in orders:
                order.join(PATIENCE)
            is_paused(box)


def test_what_this_box_cannot_do_now_says_when_it_is_tried_again(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs), Pacs() as pacs, rig(tmp_path, destination("pacs", 1), disk=disk) as box:
        put_images(box.spool, 3)
        box.wake()
        box.wait_for_reason("Nothing listens")
        box.broker.targets["pacs"] = pacs.port
        vfs.fail_at(1, apsw.FullError, only="write", for_good=True)
        box.deliveries.one("pacs").hasten()
        status = box.wait_for_reason("disk is full")
        assert status.next_try is not None
        vfs.work_again()
        box.wait_until_delivered()
