"""The recurring work: what leaves the disk and when, and that nothing ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import StudyState
from capacitord.site.pulse import Pulse
from capacitord.site.upkeep import Upkeep
from capacitord.spool.disk import Disk, Space
from capacitord.spool.ledger import Answer
from capacitord.spool.store import Spool
from tests.site.stock import open_spool, put_images
from tests.spool.faulty import faulty_catalog
from tests.wait import wait_for

NEVER = 1e9


class Room(Disk):
    """The real disk, with as much free space as a test says; writing can be held up."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.waiting = 0
        self.going = threading.Event()
        self.going.set()

    def space(self, path: Path) -> Space:
        del path
        return Space(1 << 40, self.free)

    def write(self, descriptor: int, parts: Sequence[memoryview | bytes], offset: int) -> None:
        self.waiting += not self.going.is_set()
        assert self.going.wait(30)
        super().write(descriptor, parts, offset)


@contextmanager
def upkeep(
    spool: Spool,
    *,
    keep: float = NEVER,
    quiet: float = NEVER,
    purge_every: float = 0.05,
    got_on: list[int] | None = None,
) -> Iterator[Upkeep]:
    beats = got_on if got_on is not None else []
    work = Upkeep(
        spool,
        keep=lambda: keep,
        quiet=quiet,
        got_on=lambda: beats.append(1),
        doubt=lambda: None,
        every=0.02,
        purge_every=purge_every,
    )
    try:
        yield work
    finally:
        work.stop()


def deliver(spool: Spool, *studies: str) -> None:
    """Have the destination acknowledge everything of some studies."""
    due = [each for each in spool.ledger.due("pacs", 1000) if each.sop_instance_uid.rpartition(".")[0] in studies]
    answers = [Answer(each.image, each.delivery, Outcome(Verdict.DONE, "stored", 0), 1) for each in due]
    spool.ledger.record(answers, spool.tick())


def looked(beats: list[int], times: int = 3) -> bool:
    return len(beats) >= times


def test_delivered_images_leave_after_their_time_and_no_others(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 3, study="1.2.1")
    put_images(spool, 3, study="1.2.2")
    deliver(spool, "1.2.1")
    with upkeep(spool, keep=0.0):
        wait_for(lambda: spool.counts().images == 3, what="the delivered study to be purged")
    assert spool.counts().undelivered == 3
    spool.close()


def test_nothing_leaves_before_its_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 3, study="1.2.1")
    deliver(spool, "1.2.1")
    beats: list[int] = []
    with upkeep(spool, keep=3600.0, got_on=beats):
        wait_for(lambda: looked(beats, 10), what="ten looks")
    assert spool.counts().images == 3
    spool.close()


def test_when_space_is_short_the_oldest_go_first_and_never_what_one_destination_lacks(tmp_path: Path) -> None:
    disk = Room(free=1 << 30)
    spool = open_spool(tmp_path, "pacs", disk=disk, warning=1 << 20)
    for number in (1, 2, 3):
        put_images(spool, 2, study=f"1.2.{number}", size=300_000)
    deliver(spool, "1.2.3")
    deliver(spool, "1.2.1")
    # Of the second study one image was not acknowledged.
    due = [each for each in spool.ledger.due("pacs", 10) if each.sop_instance_uid == "1.2.2.1"]
    spool.ledger.record([Answer(due[0].image, due[0].delivery, Outcome(Verdict.DONE, "stored", 0), 1)], spool.tick())
    beats: list[int] = []
    with upkeep(spool, got_on=beats):
        wait_for(lambda: looked(beats), what="looks while there is room")
        assert spool.counts().images == 6
        disk.free = (1 << 20) - 1000
        wait_for(lambda: spool.counts().images == 4, what="the study that was delivered first to go")
        assert spool.studies.detail(spool.studies.find("1.2.3")[0], "").study.purged == 2
        disk.free = 0
        wait_for(lambda: spool.counts().images == 2, what="the other one to go")
        before = len(beats)
        wait_for(lambda: looked(beats, before + 5), what="more looks")
    assert spool.counts().images == 2
    assert spool.studies.detail(spool.studies.find("1.2.2")[0], "").study.purged == 0
    spool.close()


def test_a_study_of_which_nothing_comes_any_more_is_complete(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 1)
    study, _ = spool.studies.find("1.2.3")
    with upkeep(spool, quiet=0.1):
        wait_for(
            lambda: spool.studies.detail(study, "").study.state is StudyState.MATCHED, what="the study to be complete"
        )
    assert spool.studies.detail(study, "").study.reason == "Goes to every destination of version 1 of the profile."
    spool.close()


def test_errors_are_said_once_and_end_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "capacitord.site.upkeep")
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, "pacs", disk=disk)
        put_images(spool, 1)
        vfs.fail_at(1, apsw.FullError, only="write", for_good=True)
        beats: list[int] = []
        with upkeep(spool, quiet=0.0, got_on=beats):
            wait_for(lambda: looked(beats, 10), what="ten looks")
            assert len([each for each in caplog.messages if "could not close studies" in each]) == 1
            vfs.work_again()
            study, _ = spool.studies.find("1.2.3")
            wait_for(
                lambda: spool.studies.detail(study, "").study.state is StudyState.MATCHED,
                what="the study to be complete after all",
            )
        assert "Upkeep can close studies again." in caplog.messages
        spool.close()


def test_a_mistake_of_ours_ends_nothing_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = open_spool(tmp_path, "pacs")
    beats: list[int] = []

    def mistaken() -> float:
        raise ValueError("a patient's name")

    work = Upkeep(
        spool,
        keep=mistaken,
        quiet=NEVER,
        got_on=lambda: beats.append(1),
        doubt=lambda: None,
        every=0.02,
        purge_every=0.02,
    )
    wait_for(lambda: looked(beats, 5), what="five looks")
    work.stop()
    assert any("unforeseen error: ValueError" in each for each in caplog.messages)
    assert "a patient's name" not in caplog.text
    spool.close()


def half_empty(root: Path, disk: Disk) -> Spool:
    """Return a spool with a closed segment of which most was delivered, and eight images are not."""
    spool = open_spool(root, "pacs", disk=disk)
    put_images(spool, 30, study="1.2.1", size=100_000)
    put_images(spool, 8, study="1.2.2", size=100_000)
    deliver(spool, "1.2.1")
    spool.close()
    return open_spool(root, "pacs", disk=disk, warning=1 << 20)


def places(spool: Spool) -> set[tuple[int, int]]:
    return {each.stored.place[:2] for each in spool.ledger.due("pacs", 100)}


def test_a_compaction_gives_a_sign_of_progress_for_each_image(tmp_path: Path) -> None:
    disk = Room(free=1 << 30)
    spool = half_empty(tmp_path, disk)
    before, beats = places(spool), list[int]()
    disk.going.clear()
    with upkeep(spool, keep=0.0, got_on=beats):
        wait_for(lambda: spool.counts().images == 8, what="the delivered study to go")
        disk.going.set()
        wait_for(lambda: not places(spool) & before, what="the others to be moved")
    assert len(beats) >= 1 + 8
    spool.close()


def test_a_compaction_ends_when_it_is_told(tmp_path: Path) -> None:
    disk = Room(free=1 << 30)
    spool = half_empty(tmp_path, disk)
    before = places(spool)
    disk.going.clear()
    with upkeep(spool, keep=0.0) as work:
        wait_for(lambda: spool.counts().images == 8, what="the delivered study to go")
        wait_for(lambda: disk.waiting, what="the first image to be about to move")
        ending = threading.Thread(target=work.stop)
        ending.start()
        wait_for(lambda: work.ending, what="the end to be known")
        disk.going.set()
        ending.join(10)
        assert not ending.is_alive()
    assert len(places(spool) & before) == 7, "one had begun to move"
    spool.close()


def test_the_heart_beats_while_work_takes_its_time_but_not_for_ever() -> None:
    beats: list[int] = []
    pulse = Pulse(lambda: beats.append(1), patience=0.3, every=0.01)
    wait_for(lambda: len(beats) > 3, what="beats without any progress")
    wait_for(lambda: stands_still(beats), what="the beating to end")
    pulse.got_on()
    before = len(beats)
    wait_for(lambda: len(beats) > before, what="it to go on after progress")
    pulse.stop()
    count = len(beats)
    assert len(beats) == count


def stands_still(beats: list[int]) -> bool:
    before = len(beats)
    threading.Event().wait(0.1)
    return len(beats) == before
