"""The three orders on which recovery rests, whatever threads and a failing disk make of them."""

from __future__ import annotations

import errno
import itertools
import mmap
import random
import threading
from pathlib import Path

import pytest

from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed
from capacitord.seal.sealed import ALIGNMENT
from capacitord.spool.segment import Layout, Place
from capacitord.spool.spares import Spares
from capacitord.spool.writer import SegmentWriter
from tests.spool.faulty import SEGMENT, FaultyDisk


class Book:
    """A catalog that only writes down in which order it is told what."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, int]] = []
        self.refuse = False
        self._lock = threading.Lock()

    def announce(self, number: int) -> None:
        self._note("announce", number, 0)

    def close(self, number: int) -> None:
        self._note("close", number, 0)

    def file(self, place: Place) -> None:
        self._note("file", place.segment, place.offset)

    def _note(self, *entry: object) -> None:
        with self._lock:
            if self.refuse:
                raise StorageFailed("The catalog says no.")
            self.entries.append(entry)  # type: ignore[arg-type]  # see the callers


def make(root: Path) -> tuple[SegmentWriter, Book, FaultyDisk, Layout]:
    disk, layout, book = FaultyDisk(), Layout(root), Book()
    layout.objects.mkdir(parents=True)
    writer = SegmentWriter(disk, layout, 0, spares=Spares(disk, layout, 0), announce=book.announce, close=book.close)
    return writer, book, disk, layout


def sealed(size: int) -> memoryview:
    """Return something that looks like an object: a page-aligned buffer, full of one byte."""
    data = memoryview(mmap.mmap(-1, size))
    data[:] = b"x" * size
    return data


def check_orders(book: Book, disk: FaultyDisk, layout: Layout) -> None:
    for number in {number for _, number, _ in book.entries}:
        path = layout.segment(number)
        told = [(what, offset) for what, of, offset in book.entries if of == number]
        assert told[0][0] == "announce"
        filed = [offset for what, offset in told if what == "file"]
        assert filed == sorted(filed)
        assert [what for what, _ in told if what == "close"] in ([], ["close"])
        assert "close" not in [what for what, _ in told[:-1]]
        assert not [call for call in disk.calls if call.path == path] or ("announce", number, 0) in book.entries
    announced = [number for what, number, _ in book.entries if what == "announce"]
    assert announced == list(range(len(announced)))


def test_the_orders_hold_for_many_threads_on_a_failing_disk(tmp_path: Path) -> None:
    writer, book, disk, layout = make(tmp_path)
    written: list[tuple[int, Place]] = []

    def send(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            size = ALIGNMENT * chance.choice([2, 3, 6, 200, 257])
            if chance.random() < 0.15:
                disk.fail_at(chance.randint(1, 4), chance.choice([errno.EIO, errno.ENOSPC]))
            places: list[Place] = []

            def filed(place: Place, places: list[Place] = places) -> None:
                book.file(place)
                places.append(place)

            try:
                writer.append(sealed(size), filed)
            except (OutOfSpace, StorageFailed):
                assert not places
            else:
                (place,) = places
                written.append((size, place))

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.finish()
    check_orders(book, disk, layout)
    assert len(written) > 100
    assert len({place.segment for _, place in written}) > 5
    for size, place in written:
        assert place.size == size
        assert place.offset + size <= layout.segment(place.segment).stat().st_size <= SEGMENT
        with layout.segment(place.segment).open("rb") as file:
            file.seek(place.offset)
            assert file.read(size) == b"x" * size
    ends = sorted((place.segment, place.offset, place.offset + size) for size, place in written)
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize("error", [StorageFailed("no"), ValueError("a mistake of ours")])
def test_an_error_of_one_is_not_the_others(tmp_path: Path, error: Exception) -> None:
    """Whoever leads serves those that queue behind: they must all get an answer, and their own."""
    writer, book, _, _ = make(tmp_path)
    outcomes: dict[int, object] = {}
    entered, go_on = threading.Event(), threading.Event()

    def slow(place: Place) -> None:
        entered.set()
        go_on.wait(10)
        book.file(place)

    def failing(_: Place) -> None:
        raise error

    def send(number: int) -> None:
        filed = slow if number == 0 else failing if number == 2 else book.file
        try:
            writer.append(sealed(8192), filed)
        except (CapacitordError, ValueError) as said:
            outcomes[number] = said
        else:
            outcomes[number] = "filed"

    threads = [threading.Thread(target=send, args=(number,)) for number in range(5)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert outcomes == {0: "filed", 1: "filed", 2: error, 3: "filed", 4: "filed"}


def test_a_catalog_that_refuses_a_new_segment_leaves_no_file_and_answers_everybody(tmp_path: Path) -> None:
    writer, book, _, layout = make(tmp_path)
    book.refuse = True
    for _ in range(2):
        with pytest.raises(StorageFailed):
            writer.append(sealed(8192), book.file)
    assert layout.segments() == []
    book.refuse = False
    writer.append(sealed(8192), book.file)
    assert layout.segments() == [0]


def test_a_segment_that_could_not_be_closed_is_closed_later(tmp_path: Path) -> None:
    writer, book, _, _ = make(tmp_path)
    places: list[Place] = []

    def last_word(place: Place) -> None:
        """The new segment was announced, the image filed; then the catalog refuses what is left of this turn."""
        places.append(place)
        book.refuse = True

    for number in range(6):
        book.refuse = False
        writer.append(sealed(257 * ALIGNMENT), last_word if number == 3 else places.append)
    assert ("close", 0, 0) in book.entries
    assert [place.segment for place in places] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("what", ["write", "sync"])
def test_what_a_failed_write_leaves_takes_no_room(tmp_path: Path, what: str) -> None:
    writer, book, disk, layout = make(tmp_path)
    writer.append(sealed(ALIGNMENT), book.file)
    disk.fail_at(1 if what == "write" else 2)
    with pytest.raises(StorageFailed):
        writer.append(sealed(ALIGNMENT), book.file)
    assert disk.struck[0].what == what
    assert layout.segment(0).stat().st_blocks * 512 == ALIGNMENT
    assert ("close", 0, 0) in book.entries
    writer.append(sealed(ALIGNMENT), book.file)
    assert book.entries[-1] == ("file", 1, 0)
    writer.finish()
    check_orders(book, disk, layout)


def test_a_segment_that_could_not_be_cut_is_left_to_the_next_start(tmp_path: Path) -> None:
    writer, book, disk, layout = make(tmp_path)
    writer.append(sealed(ALIGNMENT), book.file)
    disk.fail_at(1, for_good=True)
    with pytest.raises(StorageFailed):
        writer.append(sealed(ALIGNMENT), book.file)
    disk.work_again()
    assert layout.segment(0).stat().st_size > ALIGNMENT
    writer.finish()
    assert ("close", 0, 0) not in book.entries
