"""The audit log's chain: whatever is changed is found, and a power cut is not mistaken for it."""

from __future__ import annotations

from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from capacitord.api.messages import AuditEntry
from capacitord.supervisor.chain import START, Head, entry_in, examine, judge, line_of, sealed


def chain(length: int) -> list[bytes]:
    lines: list[bytes] = []
    previous = START
    for number in range(1, length + 1):
        entry = sealed(
            AuditEntry(
                number=number,
                at=datetime(2026, 5, 1, 12, 0, number % 60, tzinfo=UTC),
                uid=1000 + number,
                user="anna",
                action="queue.pause",
                subjects=("pacs",),
                detail='with "quotes" and ü',
                result="done",
                previous=previous,
                digest="",
            )
        )
        previous = entry.digest
        lines.append(line_of(entry))
    return lines


LINES = chain(6)
LOG = b"".join(LINES)


def head_of(lines: list[bytes]) -> Head:
    if not lines:
        return Head()
    entry = entry_in(lines[-1])
    assert entry is not None
    return Head(entry.number, entry.digest)


HEAD = head_of(LINES)


def verdict(log: bytes, head: Head | None = HEAD) -> str:
    return judge(examine(log.splitlines(keepends=True)), head)


def test_a_whole_log_is_whole() -> None:
    assert verdict(LOG) == ""
    assert examine(LINES).size == len(LOG)


@given(st.integers(0, len(LOG) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(position: int, flip: int) -> None:
    changed = bytearray(LOG)
    changed[position] ^= flip
    assert verdict(bytes(changed)) != ""


@given(st.integers(0, len(LOG)), st.binary(min_size=1, max_size=200))
def test_an_insertion_is_found(position: int, more: bytes) -> None:
    changed = LOG[:position] + more + LOG[position:]
    # A torn line after the last entry is what a power cut leaves.
    torn = position == len(LOG) and b"\n" not in more
    assert (verdict(changed) == "") is (changed == LOG or torn)


@given(st.integers(0, len(LOG)), st.integers(1, len(LOG)))
def test_a_deletion_is_found(start: int, length: int) -> None:
    changed = LOG[:start] + LOG[start + length :]
    assert (verdict(changed) == "") is (changed == LOG)


@given(st.permutations(LINES))
def test_another_order_is_found(lines: list[bytes]) -> None:
    assert (verdict(b"".join(lines)) == "") is (lines == LINES)


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_entries_left_out_or_doubled_are_found(lines: list[bytes]) -> None:
    assert (verdict(b"".join(lines)) == "") is (lines == LINES)


@given(st.integers(0, len(LOG)))
def test_a_power_cut_in_the_middle_of_an_entry_is_told_from_a_cut(end: int) -> None:
    log = LOG[:end]
    whole = log.splitlines(keepends=True)
    if whole and not whole[-1].endswith(b"\n"):
        whole = whole[:-1]
    # The head is written after its entry: a torn entry was never in it.
    assert verdict(log, head_of(whole)) == ""
    finding = examine(log.splitlines(keepends=True))
    assert finding.size == sum(map(len, whole))
    assert finding.torn == len(log) - finding.size


def test_a_power_cut_between_entry_and_head_is_told_from_a_forged_head() -> None:
    assert verdict(LOG, head_of(LINES[:-1])) == ""
    assert "head file names entry 4" in verdict(LOG, head_of(LINES[:-2]))
    assert verdict(LOG, Head(5, "0" * 64)) != ""
    assert verdict(LOG, Head(6, "0" * 64)) != ""
    assert "head file is missing" in verdict(LOG, None)
    assert "log ends at entry 0" in verdict(b"", HEAD)


def test_a_chain_begun_anew_is_found() -> None:
    other = chain(6)
    other[2:] = LINES[2:]
    assert verdict(b"".join(other)) == ""
    forged = entry_in(LINES[0])
    assert forged is not None
    first = sealed(msgspec.structs.replace(forged, user="eve"))
    assert "entry 2 does not continue the chain" in verdict(b"".join([line_of(first), *LINES[1:]]))
