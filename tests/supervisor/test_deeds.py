"""What a site does by itself, on its way into the audit log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capacitord.api.messages import AuditEntry, AuditQuery
from capacitord.errors import OutOfSpace
from capacitord.link.messages import Deed
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.deeds import Allowance, Deeds, in_words
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
    assert log.traces([deed(7).id]) == (frozenset(), {})


def asked(number: int) -> Deed:
    """Return what a runtime tells of something that ann asked for."""
    return msgspec.structs.replace(deed(number), action="held.release", detail="held (unmatched) -> released, 3 images")


def about(log: AuditLog, number: int) -> list[tuple[str, str, str]]:
    entries = log.show(AuditQuery(action="held.release", subject=f"{number:010x}"))
    return [(each.user, each.result, each.detail) for each in entries]


def begin(log: AuditLog, number: int) -> None:
    said = asked(number)
    log.write(
        1001, "ann", said.action, subjects=(*said.subjects, "pacs"), detail="reason: x", result="begun", deed=said.id
    )


BEGUN = ("ann", "begun", "reason: x")
ENDED = ("ann", "done", "reason: x; held (unmatched) -> released, 3 images")


def test_what_was_done_before_a_crash_has_its_end_in_the_name_of_who_asked(log: AuditLog) -> None:
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append)
    begin(log, 1)
    begin(log, 2)
    log.write(1001, "ann", "held.release", subjects=(f"{2:010x}",), result="unanswered", deed=asked(2).id)
    log.write(0, "capacitord", "daemon.start")
    assert len(log.told(AuditQuery())[1]) == 1
    for number in (1, 2, 1):
        deeds.take(asked(number))
    assert asyncio.run(deeds.finish())
    deeds.take(asked(1))
    assert asyncio.run(deeds.finish())
    assert about(log, 1) == [BEGUN, ENDED]
    assert about(log, 2) == [BEGUN, ("ann", "unanswered", ""), ENDED]
    assert log.told(AuditQuery())[1] == ()
    assert log.show(AuditQuery(limit=1))[0].subjects == (f"{2:010x}", "pacs")
    assert told == [(asked(1).id, asked(2).id), (asked(1).id,)]


def test_what_is_being_answered_is_left_to_whoever_answers(log: AuditLog) -> None:
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append)
    one, other = asked(1), asked(2)
    with deeds.apart(one.id, "begun"):
        begin(log, 1)
    deeds.take(one)
    deeds.take(other)
    assert asyncio.run(deeds.finish())
    assert (told, about(log, 1)) == ([(other.id,)], [BEGUN])
    with deeds.apart(one.id, "done"):
        log.write(1001, "ann", "held.release", subjects=one.subjects, detail="by the answer", deed=one.id)
        assert asyncio.run(deeds.finish())
    assert asyncio.run(deeds.finish())
    assert (told[1:], about(log, 1)) == ([(one.id,)], [BEGUN, ("ann", "done", "by the answer")])


def test_what_could_not_be_begun_or_answered_is_left_to_nobody(log: AuditLog) -> None:
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append)
    for number, result in ((1, "begun"), (2, "done")):
        with pytest.raises(OutOfSpace), deeds.apart(asked(number).id, result):
            raise OutOfSpace("the disk is full")
        deeds.take(asked(number))
    assert asyncio.run(deeds.finish())
    assert told == [(asked(1).id, asked(2).id)]
    # A log that does not know who asked names nobody.
    words = "held (unmatched) -> released, 3 images; who asked is in no entry of this log"
    assert about(log, 1) == [("unknown", "done", words)]


@pytest.mark.parametrize(
    ("result", "entries"),
    [
        ("partly-done", 0),
        ("refused", 0),
        ("unanswered", 1),
        ("given-up", 1),
        ("failed", 1),
        ("broken off", 1),
        ("storage-failed", 1),
    ],
)
def test_an_end_that_says_what_came_of_it_is_the_last(log: AuditLog, result: str, entries: int) -> None:
    begin(log, 1)
    log.write(1001, "ann", "held.release", subjects=asked(1).subjects, result=result, deed=asked(1).id)
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append)
    deeds.take(asked(1))
    assert asyncio.run(deeds.finish())
    assert told == [(asked(1).id,)]
    assert len(about(log, 1)) == 2 + entries


@pytest.mark.parametrize("action", ["audit.damage", "daemon.start", "gate.open", "key.rotate", "held.list"])
def test_no_site_has_an_entry_of_what_no_site_does(log: AuditLog, action: str) -> None:
    begin(log, 1)
    log.write(1001, "ann", "key.rotate", result="begun", deed=deed(2).id)
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append)
    for number in (1, 2, 3):
        deeds.take(msgspec.structs.replace(deed(number), action=action))
    assert asyncio.run(deeds.finish())
    assert sum(map(len, told)) == 3, "it is told of no more"
    assert [each.result for each in log.show(AuditQuery())] == ["begun", "begun"]


def test_what_sites_have_written_is_no_more_than_the_disk_bears(log: AuditLog) -> None:
    told: list[tuple[str, ...]] = []
    deeds = Deeds(log, told.append, burst=3)
    for number in range(5):
        deeds.take(deed(number))
    assert not asyncio.run(deeds.finish())
    assert len(subjects(log)) == sum(map(len, told)) == 3
    assert deeds.problem is not None
    assert "sites did more at once than it takes" in deeds.problem.message
    now = 0.0
    allowance = Allowance(2, 0.5, lambda: now)
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    now = 2.0
    assert [allowance.take() for _ in range(2)] == [True, False]
    now = 100.0
    assert [allowance.take() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_nobody_can_count_to_is_no_time(log: AuditLog, at: str) -> None:
    deeds = Deeds(log, lambda _: None)
    deeds.take(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(deed(1)) | {"at": at}), type=Deed))
    assert asyncio.run(deeds.finish())
    assert subjects(log) == ["0000000001"]


def test_a_deed_has_its_bounds() -> None:
    fields = msgspec.to_builtins(deed(1))
    for wrong in (
        {"at": "2026-01-01T00:00:00"},
        {"action": "x" * 65},
        {"subjects": ["x" * 65]},
        {"subjects": ["x"] * 101},
        {"detail": "x" * 1001},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(fields | wrong, Deed)


def test_an_entry_that_was_changed_does_not_count(log: AuditLog, tmp_path: Path) -> None:
    log.write(0, "capacitord", "study.rematch", subjects=("0123456789",), deed=deed(1).id)
    assert log.traces([deed(1).id, deed(2).id]).ended == {deed(1).id}
    file = tmp_path / "audit" / "log.jsonl"
    file.write_bytes(file.read_bytes().replace(b"0123456789", b"0123456780"))
    assert not log.traces([deed(1).id]).ended
    file.unlink()
    assert not log.traces([deed(1).id]).ended


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
        assert deeds.problem.message.startswith("what the site did cannot be written into the audit log: ")
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
