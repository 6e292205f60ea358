"""Whoever has no box key can forge the chain of digests, and not the seals."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from capacitord.api.messages import AuditEntry, AuditQuery, AuditReport
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.chain import START, Head, SealingKey, entry_in, line_of, sealed

KEY = SealingKey("aa11", bytes(range(32)))
ROTATED = SealingKey("bb22", bytes(range(1, 33)))


def opened(folder: Path, key: SealingKey | None = KEY) -> AuditLog:
    log = AuditLog(folder / "audit")
    log.open()
    if key is not None:
        log.take_key(key)
    return log


def put(log: AuditLog, *actions: str) -> None:
    for action in actions:
        log.write(1001, "ann", action, subjects=("3f2a9c01b7",), detail="operator (as claimed): Dr Ann; reason: x")


def verified(log: AuditLog) -> AuditReport:
    return log.verify("fluxctl.audit.verify/1")


def lines(folder: Path) -> list[bytes]:
    return (folder / "audit" / "log.jsonl").read_bytes().splitlines(keepends=True)


def forge(folder: Path, change: str) -> None:
    """Change an entry, and mend digests, chain and head as whoever may write the files can; seals stay as they are."""
    previous, made = START, []
    for line in lines(folder):
        entry = entry_in(line)
        assert entry is not None
        if entry.action == change:
            entry = msgspec.structs.replace(entry, user="nobody")
        forged: AuditEntry = msgspec.structs.replace(
            sealed(msgspec.structs.replace(entry, previous=previous)), seal=entry.seal
        )
        previous = forged.digest
        made.append(line_of(forged))
    (folder / "audit" / "log.jsonl").write_bytes(b"".join(made))
    (folder / "audit" / "head").write_bytes(msgspec.json.encode(Head(len(made), previous)))


def test_a_sealed_log_is_whole_and_outlives_restarts_and_rotations(tmp_path: Path) -> None:
    log = opened(tmp_path, None)
    put(log, "key.init")
    assert "not checked" in verified(log).message
    log.take_key(KEY)
    put(log, "held.release")
    assert (verified(log).ok, "vouches" in verified(log).message) == (True, True)
    again = opened(tmp_path)
    put(again, "held.discard")
    again.take_key(ROTATED)
    put(again, "held.restore")
    assert verified(again).ok
    assert verified(opened(tmp_path, ROTATED)).ok


@pytest.mark.parametrize("changed", ["held.release", "key.init"])
def test_a_forged_entry_is_found_though_the_chain_was_mended(tmp_path: Path, changed: str) -> None:
    log = opened(tmp_path, None)
    put(log, "key.init")
    log.take_key(KEY)
    put(log, "held.release")
    forge(tmp_path, changed)
    assert not verified(log).ok
    restarted = opened(tmp_path, None)
    assert verified(restarted).ok
    restarted.take_key(KEY)
    assert "is not right" in restarted.trouble
    assert not verified(restarted).ok
    assert restarted.show(AuditQuery(action="audit.damage"))
    later = opened(tmp_path)
    put(later, "held.release")
    assert "tells of damage" in verified(later).message


def test_log_and_head_cut_back_to_an_earlier_seal_are_found_while_the_daemon_runs(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release", "held.discard")
    kept = lines(tmp_path)[:-1]
    last = entry_in(kept[-1])
    assert last is not None
    (tmp_path / "audit" / "log.jsonl").write_bytes(b"".join(kept))
    (tmp_path / "audit" / "head").write_bytes(msgspec.json.encode(Head(last.number, last.digest)))
    assert "entry 3 was written last" in verified(log).message
    put(log, "held.restore")
    assert not verified(log).ok
    assert not verified(opened(tmp_path)).ok


def test_seals_that_were_taken_away_show_by_the_first_that_is_left(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert "the first that is sealed is entry 1" in verified(log).message
    put(log, "held.release", "held.discard")
    bare = [entry_in(line) for line in lines(tmp_path)]
    made = [line_of(msgspec.structs.replace(each, seal="")) for each in bare if each is not None]
    (tmp_path / "audit" / "log.jsonl").write_bytes(b"".join(made))
    assert "the first that is sealed is entry 4" in verified(opened(tmp_path)).message


def test_an_entry_that_was_added_without_the_key_is_found(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    put(opened(tmp_path, None), "held.discard")
    assert "has no seal" in verified(log).message


def test_a_log_from_before_there_were_seals_is_read_as_it_is(tmp_path: Path) -> None:
    log = opened(tmp_path, None)
    put(log, "key.init")
    assert b"seal" not in lines(tmp_path)[-1]
    log.take_key(KEY)
    assert b'"seal":"aa11:' in lines(tmp_path)[-1]


def test_entries_are_selected_by_study_operator_and_time(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    entry = log.write(1002, "bob", "queue.pause", subjects=("pacs",))
    assert [each.action for each in log.show(AuditQuery(study="3f2a"))] == ["held.release"]
    assert [each.action for each in log.show(AuditQuery(operator="Dr Ann"))] == ["held.release"]
    assert [each.action for each in log.show(AuditQuery(operator="bob"))] == ["queue.pause"]
    assert entry not in log.show(AuditQuery(until=log.show(AuditQuery())[0].at))
