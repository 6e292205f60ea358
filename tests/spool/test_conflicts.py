"""Two images with one SOP Instance UID: which of them is sent does not change, whatever happens to the catalog."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from capacitord.api.messages import StudyQuery
from capacitord.model.image import Arrival
from capacitord.spool.admission import Receipt
from capacitord.spool.store import Spool
from tests.spool.faulty import FaultyDisk
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    as_after_a_kill,
    close_studies,
    content,
    deliver,
    due,
    facts,
    find,
    open_spool,
    opened,
    sop_uid,
    study_uid,
    take,
)
from tests.spool.recount import recount


def take_twin(spool: Spool, variant: int, received_at: int, study: int = 1) -> Receipt:
    """Have the spool take in an image with the UID of the first study's first, in this study and with this content."""
    incoming = spool.begin(Arrival("SCANNER", "FLUXBOX", "10.0.0.7", received_at))
    try:
        incoming.write(memoryview(content(sop_uid(1, 1), SMALL, variant)))
        return incoming.commit(msgspec.structs.replace(facts(1, 1), study_uid=study_uid(study)))
    finally:
        incoming.abandon()


def waiting(spool: Spool) -> list[bytes]:
    return [image.object_id for image in due(spool) if image.sop_instance_uid == sop_uid(1, 1)]


def test_a_compaction_and_a_lost_catalog_do_not_swap_what_is_sent(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        first = take(spool, 1, 1)
        for study in (2, 3, 4, 5):
            take(spool, study, size=LARGE - 1)
        other = take(spool, 1, 1, variant=1)
        assert waiting(spool) == [first.object_id]
        before = {image.object_id: image.stored.place for image in spool.studies.sendable(find(spool))}
        leaving = [image for image in due(spool) if image.object_id != first.object_id]
        spool.ledger.record(answer(spool.ledger.sending(leaving, "Images are on their way.")), 1.0)
        for study in (2, 3, 4):
            spool.housekeeping.purge(find(spool, study), 1)
        assert spool.housekeeping.compact() == 1
        assert spool.housekeeping.release_segments() == 1
        after = {image.object_id: image.stored.place for image in spool.studies.sendable(find(spool))}
        assert before[first.object_id] < before[other.object_id] == after[other.object_id] < after[first.object_id]
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        assert waiting(spool) == [first.object_id]
        assert spool.counts().conflicts == 1
        recount(spool)


def test_a_study_with_an_image_in_conflict_is_listed_as_undelivered_until_a_person_decides(tmp_path: Path) -> None:
    def undelivered(spool: Spool) -> int:
        spool.settle()
        return spool.studies.page(StudyQuery(undelivered=True)).total

    with opened(tmp_path) as spool:
        take(spool, 1, 1)
        other = take(spool, 1, 1, variant=1)
        deliver(spool)
        assert undelivered(spool) == 1
        number = find(spool)
        image = spool.studies.image(number, other.object_id.hex())
        spool.ledger.resend(number, ["pacs"], image, 1, matches=False)
        assert undelivered(spool) == 1
        deliver(spool)
        assert undelivered(spool) == 0


@pytest.mark.parametrize("times", [*itertools.permutations([10, 20, 30]), (10, 10, 10), (20, 10, 10)])
@pytest.mark.parametrize("studies", [(1, 1, 1), (1, 2, 3), (1, 2, 2)])
def test_the_first_to_arrive_is_sent_wherever_it_lies(
    tmp_path: Path, times: tuple[int, ...], studies: tuple[int, ...]
) -> None:
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        took = [
            take_twin(spool, variant, at, study) for variant, (at, study) in enumerate(zip(times, studies, strict=True))
        ]
        take(spool, 1, 2)
    (tmp_path / "catalog.db").unlink()
    _, first = min((at, receipt.object_id) for at, receipt in zip(times, took, strict=True))
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        assert waiting(spool) == [first]
        assert [image.object_id for image in due(spool, "backup") if image.object_id == first] == [first]
        assert spool.counts().conflicts == 2
        recount(spool)
        for study in set(studies):
            detail = spool.studies.detail(find(spool, study), "x")
            theirs = {image.object_id for image in detail.images if image.sop_instance_uid == sop_uid(1, 1)}
            due_there = first.hex() in theirs or study == 1
            assert [delivery.destination for delivery in detail.study.deliveries] == ["backup", "pacs"] * due_there
            for image in detail.images:
                told = image.object_id == first.hex() or image.sop_instance_uid == sop_uid(1, 2)
                assert (image.conflict, len(image.acks)) == ((False, 2) if told else (True, 0))
        deliver(spool, "pacs")
        deliver(spool, "backup")
        close_studies(spool)
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        assert waiting(spool) == []
        recount(spool)


def test_what_a_living_catalog_decided_stays_decided(tmp_path: Path) -> None:
    """The one that was filed first may have been sent: one with an earlier time that is found later is a conflict."""
    spool = open_spool(tmp_path / "spool")
    first = take_twin(spool, 0, 20)
    spool.settle()
    with spool._catalog.inside():
        moment = {name: (tmp_path / "spool" / name).read_bytes() for name in ("catalog.db", "catalog.db-wal")}
    take_twin(spool, 1, 10)
    copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    spool.close()
    for name, data in moment.items():
        (copy / name).write_bytes(data)
    with opened(copy) as spool:
        assert spool.report.recovered == 1
        assert waiting(spool) == [first.object_id]
        assert spool.counts().conflicts == 1
