"""What leaves the spool, when, and how much of it is left to read."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.errors import PartlyDone, Refused, StorageFailed, TryAgain
from capacitord.model.image import Facts
from capacitord.model.outcome import Verdict
from capacitord.model.states import DeliveryState, StudyState
from capacitord.seal.sealed import HEADER_SIZE
from capacitord.spool import retention
from capacitord.spool.admission import Kept
from capacitord.spool.retention import Candidate, Candidates, Share
from capacitord.spool.store import Spool
from tests.spool.faulty import SEGMENT, FaultyDisk
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    as_after_a_kill,
    close_studies,
    content,
    datasets,
    deliver,
    due,
    find,
    open_spool,
    opened,
    sop_uid,
    take,
)

# --- what is due, as a decision ---------------------------------------------------------------------------


class Image(NamedTuple):
    """An image as the model of a spool has it: undelivered ones belong to study 0, which is no candidate."""

    study: int
    segment: int
    size: int


class Model:
    """Images in segments that studies share, some of them purged and not released yet."""

    def __init__(self, images: Sequence[Image], ticks: Sequence[float], purged: set[int], *, cramped: bool) -> None:
        self.images, self.purged, self.cramped = images, set(purged), cramped
        self.ticks = dict(enumerate(ticks, 1))

    def candidates(self) -> Candidates:
        there = {image.study for image in self.images} - self.purged - {0}
        studies = [Candidate(study, self.ticks[study]) for study in there]
        return Candidates(studies, self.leaving(self.purged), self.shares, cramped=self.cramped)

    def shares(self, study: int) -> list[Share]:
        own: Counter[int] = Counter()
        for image in self.images:
            if image.study == study:
                own[image.segment] += image.size
        return [Share(segment, size, *self.segment(segment, self.purged)) for segment, size in own.items()]

    def segment(self, number: int, purged: set[int]) -> tuple[int, int]:
        there = [image for image in self.images if image.segment == number]
        return sum(image.size for image in there if image.study not in purged), sum(image.size for image in there)

    def leaving(self, purged: set[int]) -> int:
        pairs = [self.segment(number, purged) for number in {image.segment for image in self.images}]
        return sum(retention.comes_free(filled, living, cramped=self.cramped) for living, filled in pairs)

    def ordered(self, studies: Iterable[int]) -> list[int]:
        return sorted(studies, key=lambda study: (self.ticks[study], study))


MOST = 6
ticks = st.floats(0, 10)
models = st.builds(
    Model,
    st.lists(st.builds(Image, st.integers(0, MOST), st.integers(1, 4), st.integers(1, 1000)), min_size=4, max_size=30),
    st.lists(ticks, min_size=MOST, max_size=MOST),
    st.sets(st.integers(1, MOST), max_size=3),
    cramped=st.booleans(),
)
keeps = st.sampled_from([0.0, 3.0, 1e9, 1e9])
shortages = st.integers(-10, 5000)


@given(models, ticks, keeps, shortages)
def test_only_candidates_leave_each_once_and_the_oldest_first(
    model: Model, tick: float, keep: float, shortage: int
) -> None:
    candidates = model.candidates()
    chosen = retention.due(candidates, tick, keep, shortage)
    assert chosen == model.ordered(one.study for one in candidates.studies)[: len(chosen)]


@given(models, ticks, keeps, shortages)
def test_what_has_been_kept_long_enough_leaves(model: Model, tick: float, keep: float, shortage: int) -> None:
    candidates = model.candidates()
    chosen = set(retention.due(candidates, tick, keep, shortage))
    assert {one.study for one in candidates.studies if tick - one.tick >= keep} <= chosen


@given(models, ticks, keeps)
def test_with_room_enough_nothing_leaves_before_its_time(model: Model, tick: float, keep: float) -> None:
    chosen = retention.due(model.candidates(), tick, keep, 0)
    assert all(tick - model.ticks[study] >= keep for study in chosen)


@given(models, ticks, keeps, shortages)
def test_when_room_is_short_no_more_leaves_than_is_needed(
    model: Model, tick: float, keep: float, shortage: int
) -> None:
    candidates = model.candidates()
    chosen = retention.due(candidates, tick, keep, shortage)
    if any(tick - model.ticks[study] < keep for study in chosen):
        assert model.leaving(model.purged | set(chosen[:-1])) < shortage
    if len(chosen) < len(candidates.studies):
        assert model.leaving(model.purged | set(chosen)) >= shortage


@given(models, ticks, keeps, shortages)
def test_a_shortage_purges_once_however_long_it_lasts(model: Model, tick: float, keep: float, shortage: int) -> None:
    """Until their segments are released the bytes are as short as before, but they are on their way."""
    model.purged |= set(retention.due(model.candidates(), tick, keep, shortage))
    assert retention.due(model.candidates(), tick, keep, shortage) == [] or not model.candidates().studies


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    """The retention clock is what `tick` says, not the wall clock: images from any time leave in delivery's order."""
    now = 7 * 10**18
    with opened(tmp_path) as spool:
        for study, at in ((1, now), (2, 0), (3, now - 10**18)):
            take(spool, study)
            images = spool.ledger.sending(due(spool), "Images are on their way.")
            spool.ledger.record([one._replace(at=at) for one in answer(images)], float(study))
        assert [one.tick for one in spool.housekeeping.candidates().studies] == [1.0, 2.0, 3.0]
        assert retention.due(spool.housekeeping.candidates(), 3.0, 2.0, 0) == [find(spool, 1)]


def test_the_retention_clock_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        first = spool.tick()
        assert spool.tick() > first
    with opened(tmp_path) as spool:
        assert 0 <= spool.tick() - first < 60


# --- purges -----------------------------------------------------------------------------------------------


def test_a_purge_needs_the_word_of_every_destination(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        take(spool, number=1)
        take(spool, number=2)
        study = find_settled(spool)
        assert spool.housekeeping.purge(study, 1) == 0
        deliver(spool, "pacs")
        assert spool.housekeeping.candidates().studies == []
        assert spool.housekeeping.purge(study, 1) == 0
        images = spool.ledger.sending(due(spool, "backup"), "Images are on their way.")
        spool.ledger.record(answer(images[:1]), 5.0)
        assert spool.housekeeping.candidates().studies == []
        assert spool.housekeeping.purge(study, 1) == 1
        spool.ledger.record(answer(images[1:], Verdict.NEEDS_PERSON, 0xC000), 6.0)
        assert spool.housekeeping.candidates().studies == []
        assert spool.housekeeping.purge(study, 1) == 0
        assert spool.ledger.resend(study, ["backup"], None, 9) == 1
        deliver(spool, "backup")
        assert leavers(spool) == {study: SMALL}
        assert spool.housekeeping.purge(study, 1) == 1
        assert spool.housekeeping.candidates().studies == []
        assert spool.counts()[1:6] == (0, 0, 0, 0, 0)


def leavers(spool: Spool) -> dict[int, int]:
    """Return the candidates, and how many bytes of each may leave."""
    candidates = spool.housekeeping.candidates()
    return {one.study: sum(share.own for share in candidates.shares(one.study)) for one in candidates.studies}


def find_settled(spool: Spool, study: int = 1) -> int:
    spool.settle()
    return find(spool, study)


def test_a_warning_is_an_acknowledgement(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        spool.ledger.record(answer(images, Verdict.DONE_WITH_WARNING, 0xB000), 1.0)
        assert spool.housekeeping.purge(find(spool), 1) == 1


def test_images_that_go_to_different_destinations_need_only_their_own(tmp_path: Path) -> None:
    def route(facts: Facts) -> tuple[str, ...]:
        return ("pacs", "backup") if facts.instance_number == 1 else ("pacs",)

    with opened(tmp_path, destinations=route) as spool:
        take(spool, number=1)
        take(spool, number=2)
        deliver(spool, "pacs")
        assert spool.housekeeping.purge(find(spool), 1) == 1
        deliver(spool, "backup")
        assert spool.housekeeping.purge(find(spool), 1) == 1


def test_what_nobody_is_to_get_and_what_is_in_conflict_is_never_purged(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=()) as spool:
        take(spool)
        assert spool.housekeeping.purge(find_settled(spool), 1) == 0
    with opened(tmp_path) as spool:
        take(spool, 2)
        take(spool, 2, variant=1)
        deliver(spool)
        assert leavers(spool) == {find(spool, 2): SMALL}
        assert spool.housekeeping.purge(find(spool, 2), 1) == 1
        assert spool.housekeeping.candidates().studies == []
        assert spool.counts().conflicts == 1


def test_a_purged_image_that_is_sent_again_is_new_and_a_purged_study_cannot_be(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        deliver(spool)
        spool.housekeeping.purge(find(spool), 1)
        assert spool.ledger.resend(find(spool), ["pacs"], None, 1) == 0
        assert spool.ledger.resend(find(spool), ["elsewhere"], None, 1) == 0
        assert [one.destination for one in spool.studies.detail(find(spool), "x").study.deliveries] == ["pacs"]
        assert take(spool).kept is Kept.NEW
        study = spool.studies.detail(find_settled(spool), "x").study
        assert (study.images, study.purged, study.bytes) == (2, 1, SMALL)


# --- space given back -------------------------------------------------------------------------------------


def fill_segments(spool: Spool, images: int = 9) -> None:
    """Take in images that fill segments of 4 MiB, three in each, every one a study of its own."""
    for study in range(1, images + 1):
        take(spool, study, size=LARGE - 1)


def test_segments_in_which_nothing_is_left_are_removed(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        fill_segments(spool)
        take(spool, 10, size=LARGE)
        deliver(spool)
        assert spool.layout.segments() == [0, 1, 2, 3]
        for study in (1, 2, 3, 4, 5, 10):
            assert spool.housekeeping.purge(find(spool, study), 1) == 1
        assert spool.housekeeping.release_segments() == 2
        assert spool.layout.segments() == [1, 2]
        assert spool.housekeeping.release_segments() == 0
        assert datasets(spool, 6) == {sop_uid(6, 1): content(sop_uid(6, 1), LARGE - 1)}
        # The one that is being written stays, even when all that is in it has left.
        for study in (7, 8, 9):
            spool.housekeeping.purge(find(spool, study), 1)
        assert spool.housekeeping.release_segments() == 0
    with opened(tmp_path) as spool:
        assert spool.housekeeping.release_segments() == 1
        assert spool.layout.segments() == [1]


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    for life in range(3):
        with opened(tmp_path) as spool:
            take(spool, life)
            assert spool.layout.segments() == [life]
            deliver(spool)
            spool.housekeeping.purge(find(spool, life), 1)
        with opened(tmp_path) as spool:
            assert spool.housekeeping.release_segments() == 1
            assert spool.layout.segments() == []


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_removal_that_was_stopped_is_finished_later(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    with opened(tmp_path / "spool", disk=disk) as spool:
        for study in (1, 2):
            take(spool, study, size=LARGE)
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        disk.fail_at(step)
        with pytest.raises(StorageFailed):
            spool.housekeeping.release_segments()
        assert disk.struck
        as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
        assert spool.housekeeping.release_segments() == 2
        assert spool.layout.segments() == []
    with opened(tmp_path / "copy") as spool:
        assert spool.housekeeping.release_segments() == 2
        assert spool.layout.segments() == []
        assert spool.counts().images == 0


def test_what_is_left_in_mostly_empty_segments_is_moved_together(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        fill_segments(spool)
        before = {study: due_place(spool, study) for study in (3, 6)}
        deliver(spool)
        for study in (1, 2, 4, 5):
            spool.housekeeping.purge(find(spool, study), 1)
        assert spool.housekeeping.compact() == 2
        assert spool.housekeeping.release_segments() == 2
        assert spool.layout.segments() == [2, 3]
        for study in (3, 6):
            (image,) = spool.studies.sendable(find(spool, study))
            assert image.stored.place != before[study]
            assert datasets(spool, study) == {sop_uid(study, 1): content(sop_uid(study, 1), LARGE - 1)}
        assert spool.housekeeping.compact() == 0
        everything = spool.counts()
    with opened(tmp_path) as spool:
        assert spool.counts() == everything
        assert spool.report.recovered == 0
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        assert spool.counts().images == everything.images


def due_place(spool: Spool, study: int) -> object:
    spool.settle()
    (image,) = spool.studies.sendable(find(spool, study))
    return image.stored.place


def test_a_sender_that_holds_an_image_while_it_is_moved_reads_it_all_the_same(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        fill_segments(spool, 6)
        held = {image.study: image for image in due(spool)}
        reading = held[spool.studies.find("ACC000003")[1]].stored.chunks()
        first = bytes(next(reading))
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        assert spool.housekeeping.compact() == 1
        assert spool.housekeeping.release_segments() == 1
        expected = content(sop_uid(3, 1), LARGE - 1)
        assert first + b"".join(bytes(chunk) for chunk in reading) == expected
        stored = held[spool.studies.find("ACC000003")[1]].stored
        assert b"".join(bytes(chunk) for chunk in stored.chunks()) == expected
        assert take(spool, 3, size=LARGE - 1).kept is Kept.KNOWN


def flip(path: Path, offset: int) -> None:
    """Invert a byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_compaction_never_moves_what_is_not_whole(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        fill_segments(spool, 6)
        (victim,) = [image for image in due(spool) if image.sop_instance_uid == sop_uid(3, 1)]
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        flip(spool.layout.segment(0), victim.stored.place.offset + HEADER_SIZE + 9)
        assert spool.housekeeping.compact() == 0
        assert spool.counts().corrupt == 1
        assert (spool.layout.corrupt / f"{victim.object_id.hex()}.seal").exists()
        assert spool.housekeeping.release_segments() == 1


def test_an_image_that_leaves_while_it_is_moved_leaves_no_copy(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        take(spool, 1, size=LARGE)
        (image,) = due(spool)
        (piece,) = sealed_bytes(spool)
        deliver(spool)
        spool.housekeeping.purge(find(spool), 1)
        assert spool.housekeeping._move(image.image, image.object_id, image.stored.place)
        assert spool.housekeeping.release_segments() == 1
        assert on_disk(tmp_path, [piece]) == 0
        assert spool.housekeeping.release_segments() == 0
        assert spool.counts().images == 0


def test_compaction_beside_a_scanner_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        fill_segments(spool, 12)
        deliver(spool)
        scanner = threading.Thread(target=lambda: [take(spool, 100, number) for number in range(60)])
        scanner.start()
        for study in (1, 2, 4, 5, 7, 8):
            spool.housekeeping.purge(find(spool, study), 1)
            spool.housekeeping.compact()
            spool.housekeeping.release_segments()
        scanner.join()
        for study in (3, 6, 9, 10, 11, 12):
            assert len(datasets(spool, study)) == 1
        assert len(datasets(spool, 100)) == 60


@pytest.mark.parametrize("step", range(1, 6))
def test_a_compaction_that_fails_at_any_step_loses_nothing(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    with opened(tmp_path / "spool", disk=disk) as spool:
        fill_segments(spool, 6)
        deliver(spool)
        for study in (1, 2):
            spool.housekeeping.purge(find(spool, study), 1)
        disk.fail_at(step)
        with contextlib.suppress(StorageFailed):
            spool.housekeeping.compact()
        disk.work_again()
        spool.housekeeping.release_segments()
        assert len(datasets(spool, 3)) == 1
        spool.housekeeping.compact()
        spool.housekeeping.release_segments()
        assert len(datasets(spool, 3)) == 1
        as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    with opened(tmp_path / "copy") as spool:
        assert spool.counts().images == 4
        assert len(datasets(spool, 3)) == 1


# --- discards ---------------------------------------------------------------------------------------------


def sealed_bytes(spool: Spool, study: int = 1) -> list[bytes]:
    """Return a piece of each sealed image of a study as it lies on the disk."""
    pieces = []
    for image in spool.studies.sendable(find(spool, study)):
        place = image.stored.place
        with spool.layout.segment(place.segment).open("rb") as file:
            file.seek(place.offset)
            pieces.append(file.read(place.size)[64:128])
    return pieces


def on_disk(root: Path, pieces: list[bytes]) -> int:
    """Return how many of these pieces can be found in the spool's objects."""
    files = [path.read_bytes() for path in (root / "objects").rglob("*.seg")]
    return sum(any(piece in data for data in files) for piece in pieces)


def start_discard(root: Path, disk: FaultyDisk | None = None) -> tuple[Spool, list[bytes]]:
    """Make a spool with a study of three images that can be discarded, one of them large, and another study."""
    spool = open_spool(root, disk=disk)
    for number, size in ((1, SMALL), (2, 2 * LARGE), (3, SMALL)):
        take(spool, 1, number, size=size)
    take(spool, 2, 1)
    close_studies(spool)
    pieces = sealed_bytes(spool)
    assert on_disk(root, pieces) == 3
    return spool, pieces


def test_a_discarded_study_is_overwritten_and_waits_for_nobody(tmp_path: Path) -> None:
    spool, pieces = start_discard(tmp_path)
    assert spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.") == 3
    assert on_disk(tmp_path, pieces) == 0
    study = spool.studies.detail(find(spool), "x").study
    assert (study.state, study.reason) == (StudyState.DISCARDED, "Discarded by an operator.")
    assert (study.images, study.purged, study.bytes, study.deliveries) == (3, 3, 0, ())
    assert {image.sop_instance_uid for image in due(spool)} == {sop_uid(2, 1)}
    assert spool.housekeeping.release_segments() == 1
    with pytest.raises(Refused):
        spool.housekeeping.discard(find(spool), 1, "Again.")
    spool.close()
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        assert spool.counts().images == 1


def test_a_study_that_is_arriving_is_not_discarded(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        with pytest.raises(TryAgain):
            spool.housekeeping.discard(find_settled(spool), 1, "Too early.")


@pytest.mark.parametrize("step", range(1, 9))
def test_a_discard_that_was_stopped_is_finished_by_the_next_start(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    spool, pieces = start_discard(tmp_path / "spool", disk)
    disk.fail_at(step, for_good=True)
    with pytest.raises(PartlyDone):
        spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.")
    copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    disk.work_again()
    spool.close()
    for root in (copy, tmp_path / "spool"):
        with opened(root) as spool:
            assert on_disk(root, pieces) == 0
            assert spool.studies.detail(find(spool), "x").study.state is StudyState.DISCARDED
            assert datasets(spool, 2) == {sop_uid(2, 1): content(sop_uid(2, 1), SMALL)}
            assert spool.counts().images == 1


def test_what_cannot_be_overwritten_is_not_given_back_and_the_spool_opens_all_the_same(tmp_path: Path) -> None:
    spool, pieces = start_discard(tmp_path)
    spool.close()
    disk = FaultyDisk()
    spool = open_spool(tmp_path, disk=disk)
    disk.fail_at(1, errno.EIO, for_good=True)
    with pytest.raises(PartlyDone):
        spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.")
    disk.work_again()
    assert spool.housekeeping.release_segments() == 0
    spool.housekeeping.wipe()
    assert on_disk(tmp_path, pieces) == 0
    assert spool.housekeeping.release_segments() == 1
    spool.close()


def test_what_was_acknowledged_before_a_discard_stays_known(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "backup", "third")) as spool:
        for number in range(3):
            take(spool, number=number)
        deliver(spool, "pacs")
        images = spool.ledger.sending(due(spool, "backup"), "Images are on their way.")
        spool.ledger.record(answer(images[:1]), 1.0)
        spool.ledger.record(answer(images[1:2], Verdict.NEEDS_PERSON, 0xA900), 1.0)
        close_studies(spool)
        spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.")
        pacs, backup = sorted(
            spool.studies.detail(find(spool), "x").study.deliveries, key=lambda one: one.destination, reverse=True
        )
        assert (pacs.state, pacs.acknowledged) == (DeliveryState.DELIVERED, 3)
        assert (backup.state, backup.acknowledged, backup.refused) == (DeliveryState.FAILED, 1, 0)
        assert "discarded after 1 of its images" in backup.reason
        assert spool.studies.queued() == ()
        # The answer of an image that was on its way comes too late to count, and harms nobody.
        assert spool.ledger.record(answer(images[2:]), 2.0).ended == []
        assert spool.ledger.backlog("backup")[:7] == (0, 0, 0, 0, 0, 0, 1)


def test_a_late_image_of_a_discarded_study_is_taken_in_and_delivered(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        spool.ledger.sending(due(spool), "Images are on their way.")
        close_studies(spool)
        stale = due(spool)
        spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.")
        assert take(spool, number=1).kept is Kept.NEW
        (image,) = due(spool)
        assert image.delivery != stale[0].delivery
        spool.ledger.record(answer(stale), 1.0)
        assert len(due(spool)) == 1
        deliver(spool)
        close_studies(spool)
        study = spool.studies.detail(find(spool), "x").study
        assert (study.state, study.deliveries[0].state) == (StudyState.MATCHED, DeliveryState.DELIVERED)
        assert SEGMENT == 4 << 20
