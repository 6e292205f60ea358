"""Whoever asks for a long answer keeps nobody waiting, and nothing is done for somebody who has gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.link import messages as link
from tests.chaos.faults import broken, dawdles
from tests.site.driver import PATIENCE, Supervisor
from tests.site.rig import destination
from tests.site.stock import open_spool, put_images
from tests.wait import wait_for

PAUSE = m.QueueSelect("pacs")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "box") as supervisor:
        spool = open_spool(supervisor.spool, "pacs")
        put_images(spool, 3, size=3_000_000)
        spool.close()
        supervisor.start(destination("pacs", 1))
        yield supervisor


def test_exports_that_nobody_reads_keep_no_order_waiting(supervisor: Supervisor) -> None:
    streams = [supervisor.open_call("study.export", m.Export("1.2.3")) for _ in range(20)]
    began = time.monotonic()
    supervisor.ask("queue.pause", PAUSE)
    assert supervisor.destination().paused
    assert supervisor.ask("study.list", m.StudyQuery()).total == 1
    assert time.monotonic() - began < PATIENCE / 2
    for stream in streams:
        stream.close()
    # The turns come back.
    assert supervisor.call("study.export", m.Export("1.2.3")).whole


def test_an_order_whose_time_is_over_is_not_carried_out(supervisor: Supervisor) -> None:
    with supervisor.open_call("queue.pause", PAUSE, within=-0.001) as stream:
        assert stream.recv(1) == b"", "nobody is told, as nobody waits"
    assert not supervisor.destination().paused
    assert "queue.pause was not done" in supervisor.log


def test_an_order_of_somebody_who_has_gone_is_not_carried_out(supervisor: Supervisor) -> None:
    os.kill(supervisor.process.pid, signal.SIGSTOP)
    try:
        supervisor.open_call("queue.pause", PAUSE).close()
    finally:
        os.kill(supervisor.process.pid, signal.SIGCONT)
    wait_for(lambda: "queue.pause was not done" in supervisor.log, within=PATIENCE, what="the log to say so")
    assert not supervisor.destination().paused


def test_a_long_rebuild_of_the_catalog_is_full_of_heartbeats(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "box" / "spool", "pacs")
    put_images(spool, 12, size=1_000_000)
    spool.close()
    for path in (tmp_path / "box" / "spool").glob("catalog.db*"):
        path.unlink()
    segments = [path for path in (tmp_path / "box" / "spool" / "objects").rglob("*") if path.is_file()]
    slow = broken(tmp_path / "strace", ["preadv2"], dawdles(0.03), last=60000, paths=segments)
    with Supervisor(tmp_path / "box", before=slow) as supervisor:
        began = time.monotonic()
        supervisor.tell_start(destination("pacs", 1))
        ready = supervisor.wait_for(link.Ready)
        took = time.monotonic() - began
        assert ready.recovered == 12
        assert took > 2.5, "it was no long rebuild"
        before = supervisor.received[: supervisor.received.index(ready)]
        assert len([each for each in before if isinstance(each, link.Heartbeat)]) >= 2
        supervisor.close_link()
        supervisor.wait()
