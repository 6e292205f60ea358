"""One shortage purges just enough: studies share segments, and bytes come free later than they are purged."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacitord.errors import OutOfSpace
from capacitord.model.image import Facts
from capacitord.spool import retention
from capacitord.spool.disk import Disk, Space
from tests.spool.faulty import FaultyDisk
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    content,
    datasets,
    deliver,
    due,
    find,
    open_spool,
    opened,
    sop_uid,
    study_uid,
    take,
)

CAPACITY = 256 << 20
"""So little that a shared segment has 4 MiB."""
BIG = 1_000_000
"""Three or four of these share a segment."""


class Small(Disk):
    """The real disk, which says that it is small and holds nothing but the objects."""

    def __init__(self, objects: Path) -> None:
        self._objects = objects

    def space(self, path: Path) -> Space:
        del path
        return Space(CAPACITY, CAPACITY - self.used())

    def used(self) -> int:
        return sum(file.stat().st_blocks * 512 for file in self._objects.rglob("*.seg"))


class Rig:
    """A spool on a small disk, with a list of the studies in the order in which they were delivered."""

    def __init__(self, root: Path) -> None:
        self.disk = Small(root / "objects")
        self.spool = open_spool(root, disk=self.disk)
        self.images: dict[int, list[int]] = {}
        self.delivered: list[int] = []

    def scan(self, images: list[tuple[int, int]]) -> None:
        """Take images in, each given by its study and its size, so that studies share segments."""
        for study, size in images:
            numbers = self.images.setdefault(study, [])
            take(self.spool, study, len(numbers), size=size)
            numbers.append(size)

    def deliver(self, study: int) -> None:
        self.spool.settle()
        short = self.spool.studies.find(study_uid(study))[1]
        waiting = [image for image in due(self.spool) if image.study == short]
        self.delivered.append(study)
        images = self.spool.ledger.sending(waiting, "Images are on their way.")
        self.spool.ledger.record(answer(images), float(len(self.delivered)))

    def shortage(self, room: int) -> int:
        return room - self.disk.space(Path()).free

    def purge(self, room: int) -> list[int]:
        """Purge what is due while `room` bytes are to be free; return the studies, as the scanner numbers them."""
        self.spool.settle()
        numbers = {find(self.spool, study): study for study in self.images}
        candidates = self.spool.housekeeping.candidates()
        chosen = retention.due(candidates, 1e6, 1e9, self.shortage(room))
        return [numbers[study] for study in chosen if self.spool.housekeeping.purge(study, 1)]

    def give_back(self) -> None:
        self.spool.housekeeping.release_segments()
        self.spool.housekeeping.compact()
        self.spool.housekeeping.release_segments()


scans = st.lists(st.tuples(st.integers(1, 5), st.sampled_from([700, BIG // 4, BIG, BIG, LARGE + BIG])), max_size=24)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(scans, st.permutations([1, 2, 3, 4, 5]), st.integers(1, 4), st.integers(1, 8 * BIG))
def test_a_shortage_purges_just_enough_and_nothing_undelivered(
    scan: list[tuple[int, int]], order: list[int], undelivered: int, lacking: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder) / "spool")
        rig.scan(scan)
        for study in order[undelivered:]:
            if study in rig.images:
                rig.deliver(study)
        room = CAPACITY - rig.disk.used() + lacking
        purged = rig.purge(room)
        assert purged == rig.delivered[: len(purged)]
        everything = purged == rig.delivered
        # As long as nothing has come free the shortage is the same, and nothing else is purged for it.
        assert rig.shortage(room) == lacking
        assert rig.purge(room) == []
        # When it has there is no shortage any more, unless there was nothing else to purge.
        rig.give_back()
        assert rig.shortage(room) <= 0 or everything
        assert rig.purge(room) == []
        for study, sizes in rig.images.items():
            here = {} if study in purged else {sop_uid(study, n): size for n, size in enumerate(sizes)}
            assert {uid: len(data) for uid, data in datasets(rig.spool, study).items()} == here
        rig.spool.close()


def test_what_can_never_be_purged_is_not_waited_for(tmp_path: Path) -> None:
    """A study with an image that nobody is to get stays a candidate; it gives no room, so the next ones have to."""

    def route(image: Facts) -> tuple[str, ...]:
        return () if image.study_uid == study_uid(1) and image.instance_number == 2 else ("pacs",)

    with opened(tmp_path, destinations=route, disk=FaultyDisk()) as spool:
        for study, number in ((1, 1), (1, 2), (2, 1)):
            take(spool, study, number, size=LARGE)
        deliver(spool)
        for shortage in (1, LARGE + 1):
            for study in retention.due(spool.housekeeping.candidates(), 1.0, 1e9, shortage):
                spool.housekeeping.purge(study, 1)
        assert {uid for study in (1, 2) for uid in datasets(spool, study)} == {sop_uid(1, 2)}


def test_bytes_that_cannot_be_moved_for_want_of_room_are_not_waited_for(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        for study in range(1, 10):
            take(spool, study, size=BIG)
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        assert retention.due(spool.housekeeping.candidates(), 1.0, 1e9, 2 * BIG) == []
        disk.fail_at(1, errno.ENOSPC)
        with pytest.raises(OutOfSpace):
            spool.housekeeping.compact()
        # Now only what empties a segment helps: 3 and 4 share one with what was purged.
        chosen = retention.due(spool.housekeeping.candidates(), 1.0, 1e9, 2 * BIG)
        assert chosen == [find(spool, study) for study in (3, 4)]
        assert spool.housekeeping.compact() == 2
        assert spool.housekeeping.candidates().cramped is False


def test_the_segment_that_is_being_written_does_not_keep_what_was_purged(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        for study in (1, 2, 3):
            take(spool, study)
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        assert spool.housekeeping.release_segments() == 0
        assert spool.housekeeping.compact() == 1
        assert spool.housekeeping.release_segments() == 1
        assert datasets(spool, 3) == {sop_uid(3, 1): content(sop_uid(3, 1), SMALL)}
        take(spool, 4)
        assert len(datasets(spool, 4)) == 1


def test_when_it_is_urgent_nothing_is_waited_for_that_has_to_be_moved(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for study in (1, 2):
            take(spool, study, 0, size=LARGE - 1)
        deliver(spool)
        assert len(spool.close_arrived(0.0)) == 2
        (first, _) = sorted(spool.housekeeping.candidates().studies)
        assert spool.housekeeping.purge(first.study, 1) == 1
        assert spool.housekeeping.candidates().leaving > 0
        assert spool.housekeeping.candidates(urgent=True).leaving == 0
        hasty = retention.due(spool.housekeeping.candidates(urgent=True), spool.tick(), 1e9, 1000)
        calm = retention.due(spool.housekeeping.candidates(), spool.tick(), 1e9, 1000)
        assert (len(hasty), calm) == (1, [])
