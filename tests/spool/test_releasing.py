"""A release is all or nothing, whatever the disk does, and of two who decide at once one does."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest

from capacitord.errors import CapacitordError, OutOfSpace, Refused, StorageFailed, TryAgain
from capacitord.model.completeness import Completeness, Event
from capacitord.model.delivery import Send
from capacitord.model.evidence import Named
from capacitord.model.matching import Identity
from capacitord.model.review import Record, State
from capacitord.model.states import StudyState
from capacitord.spool.decisions import Decided
from capacitord.spool.disk import Disk
from capacitord.spool.releasing import Person, Release
from capacitord.spool.review import Reviewed
from capacitord.spool.routed import Routed, Standing
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import KEY, as_after_a_kill, close_studies, due, find, take
from tests.spool.recount import recount

ANN = Person(1001, "ann")
TO_PACS = Release(("pacs", "archive"), "she is Jane")
UNMATCHED = Routed(1, standing=Standing.UNMATCHED, held="nothing on the worklist agrees with it")
MOST_STEPS = 60
AFTER = {
    "release": (StudyState.RELEASED, 6),
    "discard": (StudyState.DISCARDED, 0),
    "restore": (StudyState.HELD, 0),
}


def held_spool(root: Path, disk: Disk | None = None, images: int = 3) -> Spool:
    """Return a spool with one study that is held."""
    spool = Spool(root, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: UNMATCHED, disk=disk)
    for number in range(1, images + 1):
        take(spool, number=number)
    spool.settle()
    close_studies(spool)
    return spool


def state_of(spool: Spool) -> tuple[StudyState, int]:
    """Return a study's state, and how many images of it wait to be sent."""
    study = spool.studies.detail(find(spool), "").study
    assert (study.held == 0) is (study.state is not StudyState.HELD)
    return study.state, len(due(spool)) + len(due(spool, "archive"))


@pytest.mark.parametrize(
    ("what", "error"),
    [("release", apsw.IOError), ("release", apsw.FullError), ("discard", apsw.IOError), ("restore", apsw.IOError)],
)
def test_the_disk_refuses_at_each_step_in_turn(tmp_path: Path, what: str, error: type[apsw.Error]) -> None:
    struck = False
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        with faulty_catalog() as (disk, vfs):
            spool = held_spool(root, disk)
            study = find(spool)
            if what == "restore":
                spool.releasing.set_aside(study, "a test.", ANN, (5, 0.0))
            before = state_of(spool)
            vfs.fail_at(step, error)
            done = _tried(spool, study, what)
            struck = vfs.struck > 0
            vfs.work_again()
            copy = as_after_a_kill(root, tmp_path / f"copy {step}")
            found = Spool(copy, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: UNMATCHED)
            assert state_of(found) in ({AFTER[what]} if done else {before, AFTER[what]})
            recount(found)
            found.close()
            spool.close()
        if not struck:
            assert done
            return
    pytest.fail("there was always another step")


def _tried(spool: Spool, study: int, what: str) -> bool:
    try:
        if what == "release":
            spool.releasing.release(study, TO_PACS, ANN, 5)
        elif what == "discard":
            spool.releasing.set_aside(study, "a test.", ANN, (5, 0.0))
        else:
            spool.releasing.restore(study)
    except (StorageFailed, OutOfSpace):
        return False
    return True


def test_of_many_who_release_at_once_one_does_and_the_others_are_told_who(tmp_path: Path) -> None:
    spool = held_spool(tmp_path)
    study = find(spool)
    start = threading.Barrier(8)
    told: list[CapacitordError | None] = []

    def release(number: int) -> None:
        start.wait()
        try:
            spool.releasing.release(study, TO_PACS, Person(number, f"user{number}"), 5)
        except CapacitordError as error:
            told.append(error)
        else:
            told.append(None)

    threads = [threading.Thread(target=release, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [error for error in told if error is not None]
    released = spool.releasing.last(study)
    assert released is not None
    assert (len(refused), {type(error) for error in refused}) == (7, {Refused})
    assert all(f"was released by {released.by}" in error.message for error in refused)
    assert state_of(spool) == (StudyState.RELEASED, 6)
    spool.close()


def test_nobody_decides_for_images_of_which_it_is_still_decided_where_they_go(tmp_path: Path) -> None:
    ways = [UNMATCHED, None]
    spool = Spool(tmp_path, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: ways.pop(0))
    take(spool, number=1)
    receipt = take(spool, number=2)
    spool.settle()
    study = find(spool)
    uid = spool.studies.detail(study, "").study.study_uid
    assert receipt.later
    spool.evidence.step_began("1.9.1", [uid], "CT1", 1)
    spool.evidence.step_changed("1.9.1", [Named("1.2", "1.2.9.9.9")], 2, over=True)
    spool.close_arrived(0.0, Completeness((Event.QUIET,), 0.0, Send.STUDY))
    assert state_of(spool) == (StudyState.HELD, 0)
    assert spool.decisions.begin(1, whole=False)
    with pytest.raises(TryAgain, match="being decided"):
        spool.releasing.release(study, TO_PACS, ANN, 5)
    (image,) = spool.decisions.open(-1, 10)
    spool.decisions.file([Decided(image.image, 1, UNMATCHED)])
    assert spool.releasing.release(study, TO_PACS, ANN, 5) == 2
    spool.close()


def test_what_is_judged_again_by_another_list_is_not_called_not_held(tmp_path: Path) -> None:
    spool = held_spool(tmp_path)
    study = find(spool)
    assert spool.review.reopen(study) == 3
    assert state_of(spool)[0] is not StudyState.HELD
    refusal = spool.releasing.refusal(study)
    assert refusal is not None
    assert refusal.exit_code == TryAgain.exit_code == 75
    for decide in (spool.releasing.release, lambda *_: spool.releasing.set_aside(study, "x", ANN, (5, 5.0))):
        with pytest.raises(TryAgain, match="being decided"):
            decide(study, TO_PACS, ANN, 5)
    spool.close()


def test_a_decision_made_by_an_old_record_does_not_count(tmp_path: Path) -> None:
    spool = Spool(tmp_path, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: None)
    take(spool)
    spool.settle()
    (image,) = spool.decisions.open(-1, 10)
    seen = Record(State.UNMATCHED, Identity())
    matched = Reviewed(seen, Record(State.MATCHED, Identity()), Identity())
    filed = spool.decisions.file([Decided(image.image, 1, Routed(1, ("pacs",)), reviewed=matched)])
    assert (filed.urgencies, filed.again) == ({}, True)
    assert due(spool) == []
    spool.close()
