"""The cache's table: examples, and a machine that fetches, fails, forgets and turns the clock."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from capacitord.model.worklist import EntryKey, Listed
from capacitord.model.worklist_cache import (
    SOUGHT_FOR,
    Cache,
    Held,
    ListState,
    News,
    Rhythm,
    added,
    age,
    awaited,
    bounded,
    due_in,
    failed,
    may_ask,
    merged,
    news,
    pruned,
    sentence,
    state,
    warning,
)

RHYTHM = Rhythm(refresh=120, stale_after=1000, retry=5, demand=10, keep=5000, steady=0)
NOBODY = Cache()


def listed(name: str, data: bytes = b"x") -> Listed:
    return Listed(EntryKey(name, "", "", "", ""), data, "1.2.840.10008.1.2")


A, B = listed("a"), listed("b")


def test_a_fresh_list_takes_the_place_of_the_old_one() -> None:
    cache = merged(merged(NOBODY, [A, B], 10), [listed("a", b"y")], 20)
    assert cache.present() == (Held(listed("a", b"y"), 10, 20),)
    assert cache.vanished() == (Held(B, 10, 10, 20),)
    again = merged(cache, [B], 30)
    assert again.present() == (Held(B, 10, 30),)
    assert again.vanished()[0].vanished == 30


def test_a_failure_changes_nothing_of_the_list() -> None:
    cache = merged(NOBODY, [A], 10)
    later = failed(failed(cache, "No answer.", 130), "No path.", 135)
    assert later.entries == cache.entries
    assert (later.fetched, later.tried, later.failures, later.failure) == (10, 135, 2, "No path.")
    assert merged(later, [A], 200).failures == 0


@pytest.mark.parametrize(
    ("cache", "now", "expected", "told"),
    [
        (NOBODY, 5, ListState.NEVER, "No worklist has been fetched yet: this list is empty."),
        (merged(NOBODY, [], 0), 1000, ListState.FRESH, ""),
        (merged(NOBODY, [], 0), 1001, ListState.STALE, "This worklist is old: fetched 16 min ago."),
        (merged(NOBODY, [], 0), 50000, ListState.STALE, "This worklist is old: fetched 13 h 53 min ago."),
        (merged(NOBODY, [], 0), 500000, ListState.STALE, "This worklist is old: fetched 5 days ago."),
        (merged(NOBODY, [], 1000), 990, ListState.FRESH, ""),
        (merged(NOBODY, [], 1000), 900, ListState.STALE, "This worklist is of unknown age: the clock was set back."),
    ],
)
def test_states_and_what_the_scanner_is_told(cache: Cache, now: float, expected: ListState, told: str) -> None:
    assert state(cache, now, RHYTHM) is expected
    assert warning(cache, now, RHYTHM) == told
    assert len(told) <= 64
    assert told.isascii()


def test_a_person_is_told_why() -> None:
    assert sentence(merged(NOBODY, [], 0), 59, RHYTHM) == "The worklist was fetched 59 s ago."
    assert sentence(merged(NOBODY, [], 0), 240, RHYTHM) == "The worklist was fetched 4 min ago."
    assert sentence(failed(NOBODY, "RIS does not answer.", 1), 2, RHYTHM) == (
        "No worklist has been fetched yet, and scanners get an empty one. The last try failed: RIS does not answer."
    )
    old = failed(failed(merged(NOBODY, [], 0), "x", 1), "RIS is off.", 2)
    assert sentence(old, 7200, RHYTHM) == (
        "The worklist was fetched 2 h 00 min ago and is out of date. The last 2 tries failed: RIS is off."
    )
    assert "unknown age" in sentence(merged(NOBODY, [], 1000), 0, RHYTHM)


def test_when_the_source_is_asked() -> None:
    assert due_in(NOBODY, 5, RHYTHM) == 0
    cache = merged(NOBODY, [], 100)
    assert due_in(cache, 100, RHYTHM) == 120
    assert due_in(cache, 230, RHYTHM) == 0
    assert due_in(cache, 50, RHYTHM) == 0
    waits = []
    for number in range(1, 8):
        cache = failed(cache, "x", 100)
        waits.append(due_in(cache, 100, RHYTHM))
        assert due_in(cache, 100, RHYTHM, jitter=0) == waits[-1] / 2, number
    assert waits == [5, 10, 20, 40, 80, 120, 120]
    assert due_in(msgspec.structs.replace(cache, failures=10**9), 100, RHYTHM) == 120


def test_asking_out_of_turn_is_bounded() -> None:
    assert may_ask(NOBODY, 0, RHYTHM)
    assert not may_ask(merged(NOBODY, [], 100), 109, RHYTHM)
    assert not may_ask(failed(NOBODY, "x", 100), 109, RHYTHM)
    assert may_ask(merged(NOBODY, [], 100), 110, RHYTHM)
    assert may_ask(merged(NOBODY, [], 100), 50, RHYTHM)


def test_what_vanished_is_kept_while_a_study_may_refer_to_it() -> None:
    cache = merged(merged(NOBODY, [A, B], 0), [], 10)
    assert pruned(cache, 5010, RHYTHM, lambda _: False) is cache
    assert pruned(cache, -100000, RHYTHM, lambda _: False) is cache
    assert [held.key for held in pruned(cache, 5011, RHYTHM, lambda key: key == B.key).entries] == [B.key]
    assert cache.find(A.key) == Held(A, 0, 0, 10)
    assert pruned(cache, 5011, RHYTHM, lambda _: False).find(A.key) is None


def test_after_a_leap_of_the_clock_nothing_is_forgotten_for_a_while() -> None:
    rhythm = msgspec.structs.replace(RHYTHM, steady=3)
    day = 86400.0
    cache = merged(merged(NOBODY, [A, B], 0), [A], 100)
    for number in range(4):
        assert pruned(cache, 15 * day, rhythm, lambda _: False).find(B.key), number
        cache = merged(cache, [A], 15 * day + 120 * number)
    assert pruned(cache, 15 * day, rhythm, lambda _: False).find(B.key) is None
    back = merged(cache, [A], 1000)
    assert pruned(back, 15 * day, rhythm, lambda _: False).find(B.key), "the clock was set back again"


def test_an_entry_that_left_the_days_asked_for_is_not_said_to_have_vanished() -> None:
    cache = merged(merged(NOBODY, [A, B], 0), [], 10, outside=lambda held: held.key == B.key)
    assert {held.key.step: (held.vanished, held.left) for held in cache.entries} == {"a": (10, False), "b": (10, True)}
    back = merged(cache, [B], 20)
    assert back.present() == (Held(B, 0, 20),)


def test_a_list_of_another_source_is_never_called_fresh() -> None:
    cache = merged(NOBODY, [A], 0, "RIS at 10.0.0.1:104")
    other = msgspec.structs.replace(RHYTHM, source="OTHER at 10.0.0.2:104")
    assert state(cache, 1, other) is ListState.STALE
    told = warning(cache, 1, other)
    assert "source before" in told
    assert len(told) <= 64
    assert "RIS at 10.0.0.1:104: the new one has not sent its list yet" in sentence(cache, 1, other)
    assert state(merged(cache, [A], 2, other.source), 3, other) is ListState.FRESH
    assert state(cache, 1, RHYTHM) is ListState.FRESH


def test_before_the_list_of_the_last_life_is_read_nobody_says_that_there_was_none() -> None:
    cache = Cache(preparing=True)
    assert state(cache, 5, RHYTHM) is ListState.PREPARING
    assert warning(cache, 5, RHYTHM) == "The worklist is being prepared: ask again in a moment."
    assert "No worklist" not in sentence(cache, 5, RHYTHM)


def test_a_cache_can_be_written_down() -> None:
    cache = failed(merged(merged(NOBODY, [A, B], 1), [B], 2), "x", 3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(cache), type=Cache) == cache


@pytest.mark.parametrize(
    ("cache", "served", "why"),
    [
        (Cache(preparing=True), NOBODY, "being prepared"),
        (Cache(fetched=5.0), NOBODY, "being prepared"),
        (NOBODY, NOBODY, "source is being asked"),
        (NOBODY, Cache((Held(listed("a"), 1.0, 1.0, sought=1.0),)), "source is being asked"),
        (Cache(fetched=5.0), Cache(fetched=5.0), ""),
        (failed(NOBODY, "It is off.", 6.0), failed(NOBODY, "It is off.", 6.0), ""),
    ],
)
def test_studies_wait_until_it_is_known_what_is_on_the_list(cache: Cache, served: Cache, why: str) -> None:
    found = awaited(cache, served)
    assert why in found
    assert bool(found) == bool(why)


def test_where_nobody_asks_the_source_no_study_waits_for_what_it_would_say() -> None:
    assert not awaited(NOBODY, NOBODY, asks=False)
    assert awaited(Cache(fetched=5.0), NOBODY, asks=False)


class Keeping(RuleBasedStateMachine):
    """A source, a site and a clock, and beside the cache the plainest notes of what has happened."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = NOBODY
        self.now = 1_000_000.0
        self.last: dict[str, bytes] | None = None
        self.fetched = 0.0
        self.ever: dict[str, float] = {}
        self.referred: set[str] = set()

    @rule(names=st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=2), max_size=6))
    def fetch(self, names: dict[str, bytes]) -> None:
        for name in (self.last or {}).keys() - names.keys():
            self.ever[name] = self.now
        self.cache = merged(self.cache, [listed(name, data) for name, data in names.items()], self.now)
        self.last, self.fetched = names, self.now

    @rule()
    def fail(self) -> None:
        before = self.cache
        self.cache = failed(before, "no answer", self.now)
        assert self.cache.entries == before.entries
        assert self.cache.fetched == before.fetched
        assert due_in(self.cache, self.now, RHYTHM) <= RHYTHM.refresh

    @rule(seconds=st.floats(-3000, 8000))
    def tick(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from("abcdef"))
    def study_arrives(self, name: str) -> None:
        if self.cache.find(listed(name).key) is not None:
            self.referred.add(name)

    @rule()
    def prune(self) -> None:
        self.cache = pruned(self.cache, self.now, RHYTHM, lambda key: key.step in self.referred)
        present = (self.last or {}).keys()
        self.ever = {
            name: at
            for name, at in self.ever.items()
            if name not in present and (name in self.referred or self.now - at <= RHYTHM.keep)
        }

    @invariant()
    def what_is_served_is_the_last_whole_list(self) -> None:
        assert {held.key.step: held.listed.data for held in self.cache.present()} == (self.last or {})

    @invariant()
    def nothing_that_may_be_needed_is_lost(self) -> None:
        known = {held.key.step for held in self.cache.entries}
        assert len(known) == len(self.cache.entries)
        assert self.ever.keys() | (self.last or {}).keys() == known
        assert self.referred <= known

    @invariant()
    def an_old_list_is_never_called_fresh(self) -> None:
        found = state(self.cache, self.now, RHYTHM)
        assert (found is ListState.NEVER) is (self.last is None)
        if found is ListState.FRESH:
            assert -60 <= self.now - self.fetched <= RHYTHM.stale_after
        else:
            assert warning(self.cache, self.now, RHYTHM)
        old = age(self.cache, self.now)
        assert old is None or old >= 0

    @invariant()
    def the_source_is_asked_in_time(self) -> None:
        assert 0 <= due_in(self.cache, self.now, RHYTHM) <= RHYTHM.refresh


TestKeeping = Keeping.TestCase


def test_news_are_what_a_list_has_more_less_and_otherwise() -> None:
    def entry(step: str, data: bytes = b"") -> Listed:
        return Listed(EntryKey(step, "", "", "", ""), data, "1.2.840.10008.1.2.1")

    first = merged(Cache(), [entry("1"), entry("2"), entry("3")], 1.0, "RIS")
    second = merged(first, [entry("2"), entry("3", b"anew"), entry("4")], 2.0, "RIS")
    found = news(first, second)
    steps = [[key.step for key in keys] for keys in (found.new, found.vanished, found.changed)]
    assert steps == [["4"], ["1"], ["3"]]
    assert news(second, failed(second, "it is down", 3.0)) == News()
    back = merged(second, [entry("1"), entry("2"), entry("3", b"anew"), entry("4")], 4.0)
    assert [key.step for key in news(second, back).new] == ["1"], "who was away is new again"
    assert (second.source, back.source) == ("RIS", "")


def always(outside: bool | None) -> Callable[[Held], bool | None]:
    """Return an answer of the keeper's: whether an entry is of other days than the list."""
    return lambda _: outside


def test_what_was_given_for_a_scanner_stays_beside_lists_of_other_days_for_a_day() -> None:
    cache = added(merged(Cache(), [A], 1000.0), [B], 1010.0)
    assert [held.key for held in cache.present()] == [A.key, B.key]
    assert (cache.fetched, cache.present()[1].sought, cache.present()[1].seen) == (1000.0, 1010.0, 1010.0)
    for outside, stays in ((True, True), (None, True), (False, False)):
        after = merged(cache, [A], 1020.0, outside=always(outside))
        assert (len(after.present()) == 2) is stays, outside
    assert len(merged(cache, [A], 1020.0, outside=lambda _: False, asked=1005.0).present()) == 2, "it is newer"
    late = merged(cache, [A], 1011.0 + SOUGHT_FOR, outside=lambda _: True)
    assert [(held.key, held.left) for held in late.vanished()] == [(B.key, True)]


def test_what_was_given_and_then_listed_is_like_any_other() -> None:
    cache = added(merged(Cache(), [A], 1000.0), [A, B], 1010.0)
    assert [held.since for held in cache.present()] == [1000.0, 1010.0]
    both = merged(cache, [A, B], 1020.0)
    assert [(held.since, held.sought) for held in both.present()] == [(1000.0, None), (1010.0, None)]
    assert added(both, [], 1030.0) is both


def test_what_vanished_and_is_given_again_is_served_again() -> None:
    gone = merged(merged(Cache(), [A], 1000.0), [], 1010.0)
    again = added(gone, [A], 1020.0)
    assert [(held.since, held.vanished) for held in again.entries] == [(1000.0, None)]


def test_of_what_was_given_for_scanners_only_so_much_is_kept() -> None:
    def names(cache: Cache) -> list[str]:
        return [held.listed.key.step for held in cache.entries]

    cache = added(merged(NOBODY, [listed("on-list")], 1.0), [listed("on-list", b"y"), listed("first")], 2.0)
    for number in range(3):
        cache = added(cache, [listed(f"given{number}")], 3.0 + number)
    assert names(bounded(cache, lambda _: False, 4)) == names(cache)
    assert names(bounded(cache, lambda _: False, 2)) == ["on-list", "given1", "given2"]
    assert names(bounded(cache, lambda key: key.step == "first", 2)) == ["on-list", "first", "given2"]
    assert names(bounded(cache, lambda _: True, 2)) == names(cache)
    gone = merged(cache, [], 10.0)
    assert len(gone.vanished()) == 5
    assert names(bounded(gone, lambda _: False, 0)) == ["on-list"], "what vanished of these is bounded too"


def test_a_scanner_is_told_that_the_source_could_not_be_asked() -> None:
    cache, rhythm = merged(Cache(), [A], 1000.0), Rhythm()
    assert "could not be asked" in warning(cache, 1010.0, rhythm, unasked=True)
    assert "could not be asked; the list is of 25 h 00 min ago" in warning(cache, 91000.0, rhythm, unasked=True)
    assert "this is a part of it" in warning(added(Cache(), [A], 5.0), 6.0, rhythm)
    for of in (cache, Cache(), added(Cache(), [A], 5.0)):
        for now in (1010.0, 91000.0, 9e9):
            assert len(warning(of, now, rhythm, unasked=True)) <= 64
