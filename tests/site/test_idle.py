"""A box that has nothing to do does nothing: no thread looks around all the time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capacitord.api import messages as m
from tests.site.pacs import NO_ROOM, Pacs
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import put_images
from tests.wait import wait_for

A_WHILE = 0.5


def wake_ups() -> int:
    """Return how often the threads of this process gave the processor away of themselves (proc(5))."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            status = (task / "status").read_text()
            if int(task.name) != threading.get_native_id():
                total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def empty(box: Rig, _pacs: Pacs) -> None:
    put_images(box.spool, 3)
    box.wake()
    box.wait_until_delivered()


def paused(box: Rig, _pacs: Pacs) -> None:
    box.deliveries.one("pacs").pause(paused=True)
    put_images(box.spool, 3)
    box.wake()
    box.wait_for_reason("Paused")


def resting(box: Rig, pacs: Pacs) -> None:
    pacs.react = lambda _: NO_ROOM
    put_images(box.spool, 100)
    box.wake()
    box.wait_for_reason("out of resources")


def down(box: Rig, _pacs: Pacs) -> None:
    box.broker.targets["pacs"] = 1
    put_images(box.spool, 100)
    box.wake()
    wait_for(
        lambda: box.status().circuit is m.CircuitState.OPEN, within=PATIENCE, what="the destination to be called down"
    )


def connecting(box: Rig, _pacs: Pacs) -> None:
    box.broker.never.add("pacs")
    put_images(box.spool, 100)
    box.wake()
    wait_for(lambda: box.broker.asked, within=PATIENCE, what="a connection to be asked for")


def hanging(box: Rig, pacs: Pacs) -> None:
    pacs.hold()
    put_images(box.spool, 300)
    box.wake()
    wait_for(lambda: len(pacs.seen) == 4, within=PATIENCE, what="all associations to be at work")


@pytest.mark.parametrize("become", [empty, paused, resting, down, connecting, hanging])
def test_nobody_wakes_up_for_nothing(tmp_path: Path, become: Callable[[Rig, Pacs], None]) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=4, response_timeout=60.0)) as box:
        become(box, pacs)

        def quiet() -> bool:
            before = wake_ups()
            time.sleep(A_WHILE)
            return wake_ups() - before <= 6

        wait_for(quiet, within=PATIENCE, what="half a second in which next to nobody wakes up")
