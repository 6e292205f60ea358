"""Discards that meet: with each other in one segment, and with a compaction. Whatever is given up is overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from capacitord.errors import PartlyDone
from capacitord.model.states import StudyState
from capacitord.spool.disk import Disk
from capacitord.spool.store import Spool
from tests.spool.faulty import FaultyDisk
from tests.spool.kit import (
    LARGE,
    close_studies,
    content,
    datasets,
    deliver,
    find,
    open_spool,
    opened,
    sop_uid,
    take,
)

REASON = "Discarded by an operator."


class Meeting(Disk):
    """The real disk, on which something else happens at the end of the next overwriting, or at the next write."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] | None = None
        self.refuses = False
        self._overwriting: set[int] = set()

    def open(self, path: Path, *, writing: bool = False) -> int:
        descriptor = super().open(path, writing=writing)
        if writing:
            self._overwriting.add(descriptor)
        return descriptor

    def write(self, descriptor: int, parts: Sequence[memoryview | bytes], offset: int) -> None:
        if self.refuses and descriptor in self._overwriting:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().write(descriptor, parts, offset)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def pieces(spool: Spool, study: int) -> list[bytes]:
    """Return a piece of each sealed image of a study as it lies on the disk."""
    found = []
    for image in spool.studies.sendable(find(spool, study)):
        place = image.stored.place
        whole = spool.layout.segment(place.segment).read_bytes()
        found.append(whole[place.offset + 64 : place.offset + 128])
    return found


def on_disk(root: Path, wanted: Sequence[bytes]) -> int:
    """Return how often these pieces are found in the spool's objects."""
    files = [path.read_bytes() for path in (root / "objects").rglob("*.seg")]
    return sum(data.count(piece) for data in files for piece in wanted)


def test_a_discard_that_ends_while_another_begins_forgets_only_what_it_overwrote(tmp_path: Path) -> None:
    disk = Meeting()
    with opened(tmp_path, disk=disk) as spool:
        for study in (1, 2, 3):
            take(spool, study)
        close_studies(spool)
        first, second = pieces(spool, 1), pieces(spool, 2)

        def discard_the_other() -> None:
            disk.refuses = True
            with pytest.raises(PartlyDone):
                spool.housekeeping.discard(find(spool, 2), 1, REASON)
            disk.refuses = False

        disk.meanwhile = discard_the_other
        spool.housekeeping.discard(find(spool, 1), 1, REASON)
        assert disk.meanwhile is None
        assert (on_disk(tmp_path, first), on_disk(tmp_path, second)) == (0, 1)
    with opened(tmp_path) as spool:
        assert on_disk(tmp_path, second) == 0
        assert datasets(spool, 3) == {sop_uid(3, 1): content(sop_uid(3, 1), 20_000)}


@pytest.mark.parametrize("step", [2, 5, 9, 14])
def test_many_discards_at_once_on_a_disk_that_refuses_now_and_then(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    spool = open_spool(tmp_path, disk=disk)
    studies = range(1, 9)
    for number in (1, 2):
        for study in (*studies, 100):
            take(spool, study, number)
    close_studies(spool)
    secrets = [piece for study in studies for piece in pieces(spool, study)]
    ids = {study: find(spool, study) for study in studies}
    began = threading.Barrier(len(studies))

    def discard(study: int) -> None:
        began.wait()
        with contextlib.suppress(PartlyDone):
            spool.housekeeping.discard(ids[study], 1, REASON)

    threads = [threading.Thread(target=discard, args=(study,)) for study in studies]
    disk.fail_at(step)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.struck
    spool.close()
    with opened(tmp_path) as spool:
        assert on_disk(tmp_path, secrets) == 0
        assert {spool.studies.detail(ids[study], "x").study.state for study in studies} == {StudyState.DISCARDED}
        assert len(datasets(spool, 100)) == 2


def test_an_image_that_is_discarded_while_it_is_moved_leaves_no_copy(tmp_path: Path) -> None:
    """The move has written its copy when the discard comes: neither may stay, and both segments are given back."""
    disk = Meeting()
    with opened(tmp_path, disk=disk) as spool:
        for study in (1, 2):
            take(spool, study, size=LARGE - 1)
        close_studies(spool)
        (secret,) = pieces(spool, 2)
        deliver(spool)
        spool.housekeeping.purge(find(spool, 1), 1)
        spool._writer.finish()
        spool.settle()
        other = find(spool, 2)

        def discard() -> None:
            spool.housekeeping.discard(other, 1, REASON)

        def discard_at_the_next_sync() -> None:
            disk.meanwhile = discard

        # The first sync is that of the new segment, the second that of the copy.
        disk.meanwhile = discard_at_the_next_sync
        assert spool.housekeeping.compact() == 1
        assert disk.meanwhile is None
        assert on_disk(tmp_path, [secret]) == 0
        assert spool.housekeeping.release_segments() == 2
        assert spool.layout.segments() == []
