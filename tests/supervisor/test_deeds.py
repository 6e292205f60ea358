"""What a site does by itself, on its way into the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from capacitord.api.messages import AuditQuery
from capacitord.link.messages import Deed
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.deeds import Deeds
from tests.wait import wait_for


def deed(number: int) -> Deed:
    return Deed("study.rematch", (f"{number:010x}",), "held -> matched", "done")


def test_more_than_may_wait_are_counted(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit")
    log.open()
    deeds = Deeds(log, most=2)
    for number in range(5):
        deeds.take(deed(number))
    assert asyncio.run(deeds.finish())
    *written, last = log.show(AuditQuery())
    assert [each.subjects for each in written] == [("0000000000",), ("0000000001",)]
    assert (last.action, last.detail.partition(" ")[0]) == ("audit.lost", "3")


def test_what_the_disk_refuses_is_written_when_it_works_again(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit")
    log.open()
    file = tmp_path / "audit" / "log.jsonl"

    async def run() -> None:
        deeds = Deeds(log, again=0.01)
        keeping = asyncio.create_task(deeds.keep())
        file.rename(tmp_path / "aside")
        file.mkdir()
        deeds.take(deed(1))
        assert not await deeds.finish()
        file.rmdir()
        (tmp_path / "aside").rename(file)
        deeds.take(deed(2))
        await asyncio.to_thread(wait_for, lambda: len(log.show(AuditQuery())) == 2, what="both to be written")
        keeping.cancel()

    asyncio.run(run())
    assert [each.subjects for each in log.show(AuditQuery())] == [("0000000001",), ("0000000002",)]
