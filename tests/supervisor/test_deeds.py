"""What a site does by itself, on its way into the audit log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from capacitord.api.messages import AuditEntry, AuditQuery
from capacitord.errors import OutOfSpace
from capacitord.link.messages import Deed
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.deeds import Deeds, in_words
from tests.wait import wait_for


def deed(number: int) -> Deed:
    subjects = (f"{number:010x}",)
    return Deed(f"{number:032x}", datetime.now(UTC), "study.rematch", subjects, "held -> matched")


def subjects(log: AuditLog) -> list[str]:
    return [each.subjects[0] for each in log.show(AuditQuery(action="study.rematch"))]


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit")
    log.open()
    return log


def test_of_more_than_may_wait_nothing_is_said_to_be_written(log: AuditLog) -> None:
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append, most=2)
    for number in (0, 1, 0, 2, 3):
        deeds.take(deed(number))
    assert asyncio.run(deeds.finish())
    assert told == [(deed(0).id, deed(1).id)]
    # They are told of again.
    for number in (2, 3):
        deeds.take(deed(number))
    assert asyncio.run(deeds.finish())
    assert told[1:] == [(deed(2).id, deed(3).id)]
    assert subjects(log) == [f"{number:010x}" for number in range(4)]
    assert log.verify("x").reason == "locked", "in order, and without the key no more can be said"


def test_what_is_told_again_has_one_entry_in_another_life_too(log: AuditLog, tmp_path: Path) -> None:
    told: list[tuple[str, ...]] = []
    for audit in (log, log, AuditLog(tmp_path / "audit")):
        deeds = Deeds(audit, told.append)
        for number in range(2):
            deeds.take(deed(number))
        assert asyncio.run(deeds.finish())
        for _ in range(30):
            log.write(1001, "ann", "held.release", detail=f'it quotes "deed":"{deed(7).id}" {900 * "."}')
        log = AuditLog(tmp_path / "audit")
    assert subjects(log) == ["0000000000", "0000000001"]
    assert told == 3 * [(deed(0).id, deed(1).id)]
    assert log.deeds_among([deed(7).id]) == frozenset()


def test_an_entry_that_was_changed_does_not_count(log: AuditLog, tmp_path: Path) -> None:
    log.write(0, "capacitord", "study.rematch", subjects=("0123456789",), deed=deed(1).id)
    assert log.deeds_among([deed(1).id, deed(2).id]) == {deed(1).id}
    file = tmp_path / "audit" / "log.jsonl"
    file.write_bytes(file.read_bytes().replace(b"0123456789", b"0123456780"))
    assert log.deeds_among([deed(1).id]) == frozenset()
    file.unlink()
    assert log.deeds_among([deed(1).id]) == frozenset()


def test_what_the_disk_refuses_is_written_when_it_works_again(log: AuditLog, tmp_path: Path) -> None:
    file = tmp_path / "audit" / "log.jsonl"
    told: list[tuple[str, ...]] = []

    async def run() -> None:
        deeds = Deeds(log, told.append, again=0.01)
        keeping = asyncio.create_task(deeds.keep())
        file.rename(tmp_path / "aside")
        file.symlink_to(tmp_path)
        deeds.take(deed(1))
        assert not await deeds.finish()
        assert told == []
        assert deeds.problem is not None
        assert deeds.problem.message.startswith("what the site did by itself cannot be written into the audit log: ")
        assert deeds.problem.hint.startswith("It is kept in the site's spool and tried again by itself. Check the disk")
        (tmp_path / "aside").replace(file)
        deeds.take(deed(2))
        await asyncio.to_thread(wait_for, lambda: sum(map(len, told)) == 2, what="both to be said to be written")
        await asyncio.to_thread(wait_for, lambda: deeds.problem is None, what="nothing to be wrong any more")
        keeping.cancel()

    asyncio.run(run())
    assert subjects(log) == ["0000000001", "0000000002"]
    assert [each for ids in told for each in ids] == [deed(1).id, deed(2).id]


class Filling(AuditLog):
    """A log on a disk that has room for so many entries."""

    room = 0

    def write(self, *args: Any, **more: Any) -> AuditEntry:
        if not self.room:
            raise OutOfSpace("the disk is full")
        self.room -= 1
        return super().write(*args, **more)


def test_of_several_those_are_written_for_which_there_is_room(tmp_path: Path) -> None:
    told: list[tuple[str, ...]] = []
    log = Filling(tmp_path / "audit")
    deeds = Deeds(log, told.append)
    for number in range(5):
        deeds.take(deed(number))
    for room, whole in ((2, False), (0, False), (3, True)):
        log.room = room
        assert asyncio.run(deeds.finish()) is whole
    assert told == [(deed(0).id, deed(1).id), (deed(2).id, deed(3).id, deed(4).id)]
    assert subjects(log) == [f"{number:010x}" for number in range(5)]


def test_whoever_is_cancelled_while_he_writes_has_it_written_once(log: AuditLog) -> None:
    async def run() -> None:
        deeds = Deeds(log, lambda _: None)
        for number in range(20):
            deeds.take(deed(number))
        first = asyncio.create_task(deeds.finish())
        await asyncio.sleep(0)
        first.cancel()
        assert await deeds.finish()

    asyncio.run(run())
    assert subjects(log) == [f"{number:010x}" for number in range(20)]


def test_an_entry_that_is_written_late_says_when_it_was_done() -> None:
    done = deed(1)
    assert in_words(done, done.at + timedelta(seconds=50)) == done.detail
    late = in_words(done, done.at + timedelta(days=20))
    assert late == f"held -> matched; done at {done.at:%Y-%m-%d %H:%M:%S} UTC and written down later"
