"""Segments of zeros made ahead: whole or not there at all, and nothing but zeros behind the last object."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from capacitord.spool.disk import Space
from capacitord.spool.segment import SEGMENT_SIZE, Layout
from capacitord.spool.spares import Spares
from capacitord.spool.writer import SegmentWriter
from tests.spool.faulty import Call, FaultyDisk
from tests.spool.kit import LARGE, as_after_a_kill, datasets, opened, take
from tests.spool.test_writer import Book, check_orders, sealed
from tests.wait import wait_for

ROOM = Space(1 << 40, 1 << 39)
OBJECT = 1 << 20


def make(root: Path, disk: FaultyDisk, reserve: int = 0) -> tuple[Spares, Layout]:
    layout = Layout(root)
    layout.objects.mkdir(parents=True)
    layout.incoming.mkdir()
    return Spares(disk, layout, reserve), layout


def taken(spares: Spares) -> Path:
    spares.want()
    return wait_for(spares.take, what="a spare to be made")


def idle() -> bool:
    return all(thread.name != "spare segment" for thread in threading.enumerate())


def test_a_spare_is_all_zeros_and_synced_before_anybody_gets_it(tmp_path: Path) -> None:
    disk = FaultyDisk(ROOM)
    spares, _ = make(tmp_path, disk)
    assert spares.take() is None
    spares.want()
    spares.want()
    path = wait_for(spares.take, what="a spare to be made")
    assert path.read_bytes() == bytes(SEGMENT_SIZE)
    assert disk.calls[-1] == Call("sync", path)
    assert [call.what for call in disk.calls].count("create") == 1
    assert spares.take() is None
    spares.close()


@pytest.mark.parametrize("step", [1, 2, 3, 30, 67])
def test_a_spare_that_could_not_be_made_leaves_nothing(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk(ROOM)
    spares, layout = make(tmp_path, disk)
    disk.fail_at(step)
    spares.want()
    wait_for(idle, what="the maker of spares to end")
    assert disk.struck
    assert spares.take() is None
    assert list(layout.incoming.iterdir()) == []
    assert taken(spares).stat().st_size == SEGMENT_SIZE
    spares.close()


def test_without_a_thread_there_is_no_spare_and_nothing_else_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _STARVED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no thread\nno spare\na spare\n"


_STARVED = """
import pathlib, resource, sys, threading, time
from capacitord.spool.disk import Disk
from capacitord.spool.segment import Layout
from capacitord.spool.spares import Spares
layout = Layout(pathlib.Path(sys.argv[1]))
layout.incoming.mkdir()
spares = Spares(Disk(), layout, 0)
before = resource.getrlimit(resource.RLIMIT_AS)
threading.stack_size(1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, before[1]))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
spares.want()
print("no spare" if spares.take() is None else "a spare")
resource.setrlimit(resource.RLIMIT_AS, before)
threading.stack_size(0)
spares.want()
deadline = time.monotonic() + 30
while spares.take() is None and time.monotonic() < deadline:
    time.sleep(0.01)
print("a spare" if time.monotonic() < deadline else "no spare")
spares.close()
"""


def test_no_spare_is_made_of_the_reserve(tmp_path: Path) -> None:
    disk = FaultyDisk(ROOM)
    spares, _ = make(tmp_path, disk, reserve=ROOM.free)
    spares.want()
    wait_for(idle, what="the maker of spares to end")
    assert disk.calls == [Call("remove", disk.calls[0].path)]
    spares.close()


@pytest.mark.parametrize("when", ["at once", "begun", "ready"])
def test_closing_takes_a_spare_along_whether_it_is_ready_or_not(tmp_path: Path, when: str) -> None:
    disk = FaultyDisk(ROOM)
    spares, layout = make(tmp_path, disk)
    spares.want()
    if when == "begun":
        wait_for(lambda: any(call.what == "write" for call in disk.calls), what="the first zeros to be written")
    if when == "ready":
        wait_for(idle, what="the maker of spares to end")
    spares.close()
    assert list(layout.incoming.iterdir()) == []
    spares.want()
    assert idle()


def test_a_writer_goes_on_in_a_spare_when_there_is_one(tmp_path: Path) -> None:
    disk, book = FaultyDisk(ROOM), Book()
    spares, layout = make(tmp_path, disk)
    writer = SegmentWriter(disk, layout, 0, spares=spares, announce=book.announce, close=book.close)
    data = sealed(OBJECT)
    spare = taken(spares)
    spare.rename(spare.with_name("kept.spare"))
    writer.append(data, book.file)
    assert layout.segment(0).stat().st_size == SEGMENT_SIZE
    spares._ready = spare.with_name("kept.spare")
    for _ in range(SEGMENT_SIZE // OBJECT):
        writer.append(data, book.file)
    created = {call.path for call in disk.calls if call.what == "create"}
    assert layout.segment(0) in created
    assert layout.segment(1) not in created
    writer.finish()
    assert layout.segment(1).read_bytes() == bytes(data)
    check_orders(book, disk, layout)
    spares.close()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_spare_that_cannot_be_used_is_an_error_like_any_other(tmp_path: Path, step: int) -> None:
    disk, book = FaultyDisk(ROOM), Book()
    spares, layout = make(tmp_path, disk)
    writer = SegmentWriter(disk, layout, 0, spares=spares, announce=book.announce, close=book.close)
    layout.segment(0).parent.mkdir(parents=True)
    writer.number()
    spares._ready = taken(spares)
    disk.fail_at(step)
    with pytest.raises(Exception, match="disk refused"):
        writer.append(sealed(OBJECT), book.file)
    assert disk.struck[0].what in {"rename", "open", "sync folder"}
    assert layout.segments() == []
    assert list(layout.incoming.iterdir()) == []
    writer.append(sealed(OBJECT), book.file)
    assert layout.segments() == [2]
    writer.finish()
    spares.close()


def test_images_that_come_steadily_get_a_spare_and_a_kill_leaves_no_trace_of_it(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        for number in range(17):
            take(spool, number=number, size=LARGE - 1)
        # However quick this disk is, images did not come as quickly as all that.
        spool._writer._began -= 60.0
        spool._writer._wanted = False
        take(spool, number=17, size=LARGE - 1)
        wait_for(lambda: list(spool.layout.incoming.glob("*.spare")), what="a spare to be begun")
        as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    with opened(tmp_path / "copy") as spool:
        assert list(spool.layout.incoming.iterdir()) == []
        assert spool.report.removed == 0
        assert len(datasets(spool)) == 18
