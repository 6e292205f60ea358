"""What is told of changes without end."""

from __future__ import annotations

from capacitord.supervisor.sparing import Sparing


def test_evidence_that_flaps_for_a_day_fills_no_log_and_its_last_word_is_told() -> None:
    now = 0.0
    changes: Sparing[int] = Sparing(most=3, every=300.0, clock=lambda: now)
    assert changes.wait is None
    told = []
    for number in range(17_280):
        changes.add(number)
        if (found := changes.take()) is not None:
            told.append(found)
        now += 5
    assert told[:4] == [(0, 0), (1, 0), (2, 0), (60, 57)]
    assert len(told) == 3 + 287
    wait = changes.wait
    assert wait is not None
    assert 0 <= wait <= 300
    now += wait + 1
    last, passed = changes.take() or (0, 0)
    assert last == 17_279
    assert sum(each for _, each in told) + passed + len(told) + 1 == 17_280
    assert (changes.take(), changes.wait) == (None, None)
    now += 10_000
    for number in range(3):
        changes.add(number)
        assert changes.take() == (number, 0)
