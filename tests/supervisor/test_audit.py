"""The audit log on a real disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api.messages import AuditQuery
from capacitord.errors import OutOfSpace, StorageFailed
from capacitord.supervisor.audit import AuditLog


def opened(folder: Path) -> AuditLog:
    log = AuditLog(folder / "audit")
    log.open()
    return log


def fill(log: AuditLog, count: int) -> None:
    for number in range(count):
        log.write(1000, "anna", "queue.pause", subjects=(f"pacs-{number % 3}",), detail="long " * 200)


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    fill(opened(tmp_path), 3)
    again = opened(tmp_path)
    assert again.write(0, "root", "key.init").number == 4
    report = again.verify("x/1")
    # Nothing is wrong with it, and nobody vouches for it without a key.
    assert (report.ok, report.reason, report.entries) == (False, "locked", 4)


def test_it_is_private(tmp_path: Path) -> None:
    fill(opened(tmp_path), 1)
    assert {p.stat().st_mode & 0o077 for p in (tmp_path / "audit").rglob("*")} == {0}
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700


def test_show_gives_the_newest_that_fit(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 100)  # more than one block of reading backwards
    assert [e.number for e in log.show(AuditQuery(limit=3))] == [98, 99, 100]
    assert [e.number for e in log.show(AuditQuery(limit=2, subject="pacs-0"))] == [97, 100]
    assert len(log.show(AuditQuery(limit=1000))) == 100
    assert log.show(AuditQuery(action="key.init")) == ()
    since = log.show(AuditQuery(limit=5))[0].at
    assert [e.number for e in log.show(AuditQuery(limit=1000, since=since))][-1] == 100


def test_a_torn_line_is_taken_off_and_told(tmp_path: Path) -> None:
    fill(opened(tmp_path), 2)
    path = tmp_path / "audit" / "log.jsonl"
    with path.open("ab") as file:
        file.write(b'{"number":3,"at"')
    torn = AuditLog(tmp_path / "audit").verify("x/1")
    assert torn.reason == "locked"
    assert "16 bytes of an unfinished entry" in torn.message
    log = opened(tmp_path)
    assert log.trouble == ""
    assert log.show(AuditQuery(limit=1))[0].action == "audit.repair"
    assert log.verify("x/1").entries == 3


def test_that_a_torn_line_was_taken_off_is_told_as_soon_as_it_can_be(tmp_path: Path) -> None:
    fill(opened(tmp_path), 2)
    with (tmp_path / "audit" / "log.jsonl").open("ab") as file:
        file.write(b'{"number":3,"at"')
    blocker = tmp_path / "audit" / ".head.new"
    blocker.mkdir()
    log = AuditLog(tmp_path / "audit")
    with pytest.raises(StorageFailed):
        log.open()
    with pytest.raises(StorageFailed):
        log.write(1, "x", "y")
    blocker.rmdir()
    log.write(1, "x", "y")
    assert [entry.action for entry in log.show(AuditQuery(limit=2))] == ["audit.repair", "y"]
    assert (log.verify("x/1").entries, log.trouble) == (4, "")


@given(st.sampled_from('x\x00\u2028\U0001f600é"'))
def test_no_entry_is_too_long_to_be_read_back(character: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, much = opened(Path(folder)), 2000 * character
        log.write(
            1, much, much, subjects=tuple(f"{number:03d}{much}" for number in range(200)), detail=much, result=much
        )
        log.write(1, "x", "y")
        assert log.verify("x/1").entries == 2
        assert (log.verify("x/1").reason, opened(Path(folder)).trouble) == ("locked", "")


def test_entries_cut_off_the_end_are_missed(tmp_path: Path) -> None:
    fill(opened(tmp_path), 5)
    path = tmp_path / "audit" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    log = opened(tmp_path)
    assert log.trouble == "the log ends at entry 3, and 5 were written"
    fill(log, 1)
    assert log.verify("x/1").reason == "damaged"


@pytest.mark.parametrize("name", ["log.jsonl", "head"])
def test_a_missing_file_is_missed(tmp_path: Path, name: str) -> None:
    fill(opened(tmp_path), 2)
    (tmp_path / "audit" / name).unlink()
    log = opened(tmp_path)
    assert log.trouble
    told = log.show(AuditQuery(action="audit.damage"))
    assert [entry.detail for entry in told] == [log.trouble]
    # Both are missed for ever: without a head nobody knows how far the log got.
    fill(log, 1)
    assert log.verify("x/1").reason == "damaged"
    assert opened(tmp_path).verify("x/1").reason == "damaged"


def test_a_full_disk_refuses_the_entry_and_leaves_the_log_whole(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    before = (tmp_path / "audit" / "log.jsonl").read_bytes()
    limit = len(before) + 100
    if (child := os.fork()) == 0:
        import resource
        import signal

        code = 1
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            log.write(1, "x", "y")
        except (OutOfSpace, StorageFailed):
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "audit" / "log.jsonl").read_bytes() == before
    assert opened(tmp_path).verify("x/1").reason == "locked"


def test_an_entry_whose_head_cannot_be_written_was_never_made(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    blocker = tmp_path / "audit" / ".head.new"
    blocker.mkdir()
    with pytest.raises(StorageFailed):
        log.write(1, "x", "y")
    with pytest.raises(StorageFailed):
        log.write(1, "x", "y")
    blocker.rmdir()
    assert log.write(1, "x", "y").number == 3
    assert log.verify("x/1").reason == "locked"


def test_what_never_ended_is_told_of_daemons_that_ended_only(tmp_path: Path) -> None:
    log = opened(tmp_path)
    release, one, other = "held.release", ("1111111111", "pacs"), ("2222222222", "pacs")
    log.write(1, "ann", release, subjects=one, result="begun")
    log.write(1, "ann", release, subjects=other, result="begun")
    log.write(1, "ann", release, subjects=one, result="refused")
    log.write(0, "capacitord", "daemon.start")
    log.write(1, "ann", release, subjects=one, result="begun")
    entries, cut_short = log.told(AuditQuery())
    assert (len(entries), cut_short) == (5, (2,))
    # What a query leaves out counts all the same.
    assert log.told(AuditQuery(until=entries[0].at))[1] == ()
    assert log.told(AuditQuery(study="2222"))[1] == (2,)
