"""The audit log's chain: whatever is changed is found, and a power cut is not mistaken for it."""

from __future__ import annotations

from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from capacitord.api.messages import AuditEntry
from capacitord.seal.anchor import Anchor
from capacitord.supervisor.chain import (
    START,
    Head,
    SealingKey,
    entry_in,
    examine,
    judge,
    judge_anchor,
    line_of,
    sealed,
    with_seal,
)


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


KEY = SealingKey("aa11", bytes(range(32)))
SEALED_FROM = 3


def with_seals(seals: list[str]) -> list[bytes]:
    """Return the log with one seal, or none, for each entry."""
    found = [entry for line in LINES if (entry := entry_in(line)) is not None]
    return [line_of(msgspec.structs.replace(entry, seal=seal)) for entry, seal in zip(found, seals, strict=True)]


SEALS = [KEY.seal(head_of([line]).digest) if place + 1 >= SEALED_FROM else "" for place, line in enumerate(LINES)]


def anchor_of(number: int) -> Anchor:
    """Return the anchor that the box kept with that entry, made step by step as it does."""
    seals = START
    for place in range(SEALED_FROM, number + 1):
        seals = with_seal(seals, place, SEALS[place - 1])
    return Anchor(number, head_of(LINES[:number]).digest, seals, SEALED_FROM)


def against(lines: list[bytes], anchor: Anchor) -> str:
    return judge_anchor(examine(lines, anchor.number), anchor)


@given(st.integers(SEALED_FROM, 6), st.integers(0, 6))
def test_a_log_that_was_cut_off_does_not_fit_its_anchor_and_one_that_went_on_does(anchored: int, left: int) -> None:
    assert (against(with_seals(SEALS)[:left], anchor_of(anchored)) == "") is (left >= anchored)


@given(st.integers(SEALED_FROM, 6), st.lists(st.sampled_from(["", "seal", "made up"]), min_size=6, max_size=6))
def test_seals_up_to_the_anchor_cannot_be_changed(anchored: int, change: list[str]) -> None:
    made_up = SealingKey("bb22", bytes(32)).seal(START)
    seals = [{"": "", "seal": seal, "made up": made_up}[how] for how, seal in zip(change, SEALS, strict=True)]
    assert (against(with_seals(seals), anchor_of(anchored)) == "") is (seals[:anchored] == SEALS[:anchored])


@given(st.integers(SEALED_FROM, 6), st.integers(1, 6))
def test_a_chain_made_anew_from_some_entry_on_fits_only_behind_its_anchor(anchored: int, forged: int) -> None:
    lines, previous = with_seals(SEALS), START
    for place, line in enumerate(lines):
        entry = entry_in(line)
        assert entry is not None
        user = "eve" if place + 1 == forged else entry.user
        entry = msgspec.structs.replace(
            sealed(msgspec.structs.replace(entry, user=user, previous=previous)), seal=entry.seal
        )
        lines[place], previous = line_of(entry), entry.digest
    assert examine(lines).damage == ""
    assert (against(lines, anchor_of(anchored)) == "") is (forged > anchored)
