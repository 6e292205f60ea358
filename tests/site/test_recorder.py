"""Answers on their way into the ledger: written in order, bounded, and never thrown away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from capacitord.errors import OutOfSpace
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.recorder import MOST_UNWRITTEN, Recorder
from capacitord.spool.ledger import Answer
from tests.wait import wait_for

DONE = Outcome(Verdict.DONE, "stored", 0)


def answer(number: int) -> Answer:
    return Answer(number, 1, DONE, number)


class Book:
    """A ledger that writes when it is let, and refuses when it is told to."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.batches: list[int] = []
        self.refusing: Exception | None = None
        self.attempts = 0
        self.going = threading.Event()
        self.going.set()
        self.changes: list[str] = []
        self.recorder = Recorder("pacs", self.record, lambda _: None, lambda: None)

    def record(self, answers: list[Answer]) -> None:
        self.attempts += 1
        assert self.going.wait(30)
        if self.refusing is not None:
            raise self.refusing
        self.written += [one.image for one in answers]
        self.batches.append(len(answers))


def started(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_all_are_written_in_their_order() -> None:
    book = Book()
    for number in range(500):
        book.recorder.put(answer(number))
    book.recorder.close()
    assert book.written == list(range(500))
    assert max(book.batches) <= MOST_UNWRITTEN // 2


def test_whoever_brings_more_than_the_bound_waits() -> None:
    book = Book()
    book.going.clear()
    for number in range(MOST_UNWRITTEN):
        book.recorder.put(answer(number))
    one_more = started(lambda: book.recorder.put(answer(MOST_UNWRITTEN)))
    assert not book.recorder.flush(0.1)
    assert one_more.is_alive()
    book.going.set()
    one_more.join(10)
    assert not one_more.is_alive()
    book.recorder.close()
    assert book.written == list(range(MOST_UNWRITTEN + 1))


@pytest.mark.parametrize("error", [OutOfSpace("full"), ValueError("a mistake")])
def test_what_the_ledger_does_not_take_is_offered_again_until_it_does(error: Exception) -> None:
    book = Book()
    book.refusing = error
    for number in range(10):
        book.recorder.put(answer(number))
    wait_for(lambda: book.recorder.trouble, what="the trouble to be known")
    assert "ledger" in book.recorder.trouble or book.recorder.trouble == "full"
    book.refusing = None
    assert book.recorder.flush(10)
    assert book.recorder.trouble == ""
    assert book.written == list(range(10))
    assert book.attempts >= 2
    book.recorder.close()


def test_nobody_waits_for_a_ledger_that_is_in_trouble() -> None:
    book = Book()
    book.refusing = OutOfSpace("full")
    book.recorder.put(answer(0))
    wait_for(lambda: book.recorder.trouble, what="the trouble to be known")
    for number in range(1, MOST_UNWRITTEN + 10):
        book.recorder.put(answer(number))
    book.refusing = None
    book.recorder.close()
    assert book.written == list(range(MOST_UNWRITTEN + 10))


def test_the_end_does_not_wait_for_a_ledger_that_takes_nothing() -> None:
    book = Book()
    book.refusing = OutOfSpace("full")
    for number in range(100):
        book.recorder.put(answer(number)) if number < MOST_UNWRITTEN else None
    ending = started(book.recorder.close)
    ending.join(10)
    assert not ending.is_alive()
    assert book.written == []
