"""Status is never older than the question of whoever reads it, and many who ask at once ask once."""

from __future__ import annotations

import asyncio

import msgspec

from capacitord.api import messages as m
from capacitord.errors import TryAgain
from capacitord.link.messages import AskStatus, Heartbeat, StatusReport, ToRuntime
from capacitord.supervisor.reporter import Reporter


class Runtime:
    """A runtime that counts what it is asked, and answers when the test says so."""

    connected = True

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gone = False

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        assert isinstance(message, AskStatus)
        assert descriptor is None
        if self.gone:
            raise TryAgain("the site's runtime is not there")
        self.asked.append(message.request)


def report(request: int, images: int) -> StatusReport:
    """Return an answer by which it can be told from others."""
    spool = m.SpoolStatus(0, images, 0, 0, 0, 0, 0)
    status = m.SiteStatus((), images, 0, None, spool, m.Disk(0, 0, 0, 0, m.Level.OK), (), ())
    return StatusReport(request, msgspec.Raw(msgspec.json.encode(status)))


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def images(status: m.SiteStatus | None) -> int | None:
    return None if status is None else status.images_received


def test_who_asks_while_an_older_question_is_open_gets_a_newer_answer() -> None:
    async def story() -> None:
        runtime = Runtime()
        reporter = Reporter(runtime, patience=30.0, longest=60.0)
        early = asyncio.create_task(reporter.traffic())
        await turn()
        late = [asyncio.create_task(reporter.traffic()) for _ in range(3)]
        await turn()
        assert runtime.asked == [1]
        reporter.arrived(report(1, images=10))
        await turn()
        assert images(await early) == 10
        assert runtime.asked == [1, 2]
        assert not any(task.done() for task in late)
        reporter.arrived(report(2, images=20))
        assert [images(await task) for task in late] == [20, 20, 20]

    asyncio.run(story())


def test_an_answer_that_nobody_waits_for_is_no_answer_to_a_later_question() -> None:
    async def story() -> None:
        runtime = Runtime()
        reporter = Reporter(runtime, patience=0.01, longest=60.0)
        assert await reporter.traffic() is None
        asked = asyncio.create_task(reporter.traffic())
        await turn()
        reporter.arrived(report(1, images=10))
        await turn()
        assert not asked.done()
        assert images(reporter.current) == 10
        reporter.arrived(report(2, images=20))
        assert images(await asked) == 20

    asyncio.run(story())


def test_without_a_runtime_there_is_no_answer() -> None:
    async def story() -> None:
        runtime = Runtime()
        reporter = Reporter(runtime, patience=30.0, longest=60.0)
        waiting = asyncio.create_task(reporter.traffic())
        await turn()
        behind = asyncio.create_task(reporter.traffic())
        await turn()
        reporter.forget()
        assert await waiting is None
        assert await behind is None
        runtime.gone = True
        assert await reporter.traffic() is None

    asyncio.run(story())


def test_a_runtime_that_begins_is_asked_at_once_and_has_said_nothing_yet() -> None:
    async def story() -> None:
        runtime = Runtime()
        reporter = Reporter(runtime, patience=30.0, longest=60.0)
        for run in (1, 2):
            reporter.began()
            assert runtime.asked == list(range(1, run + 1))
            assert not reporter.heard
            reporter.beat(Heartbeat(busy=False))
            assert not reporter.heard, "a heartbeat does not say that the disk was tried"
            reporter.arrived(report(run, images=0))
            assert reporter.heard
            reporter.forget()
            assert not reporter.heard

    asyncio.run(story())
