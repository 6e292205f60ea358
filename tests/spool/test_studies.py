"""Images of a study in the order a person expects, without holding the study in memory."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from capacitord.api.messages import StudyQuery
from capacitord.errors import Ambiguous, NotFound
from capacitord.model.image import Facts
from capacitord.spool.store import Spool
from tests.spool.kit import arrival, close_studies, content, deliver, facts, find, opened, sop_uid, take
from tests.spool.million import IMAGES_A_STUDY, fill

SERIES = ((None, "1.2.3.1.9"), (1, "1.2.3.1.5"), (2, "1.2.3.1.3"), (2, "1.2.3.1.4"), (10, "1.2.3.1.2"))
INSTANCES = (None, 1, 2, 9, 10, 100)


def take_facts(spool: Spool, image: Facts) -> None:
    incoming = spool.begin(arrival())
    try:
        incoming.write(memoryview(content(image.sop_instance_uid, 700)))
        incoming.commit(image)
    finally:
        incoming.abandon()


def test_images_come_series_by_series_and_by_instance_number_however_they_arrived(tmp_path: Path) -> None:
    expected = [
        msgspec.structs.replace(
            facts(1, number), series_number=series, series_uid=uid, instance_number=instance, sop_instance_uid=f"1.{n}"
        )
        for number, (series, uid) in enumerate(SERIES)
        for n, instance in enumerate(INSTANCES, 100 * number)
    ]
    arriving = random.Random(1).sample(expected, len(expected))
    with opened(tmp_path) as spool:
        for image in arriving:
            take_facts(spool, image)
        spool.settle()
        uids = [image.sop_instance_uid for image in spool.studies.sendable(find(spool))]
        assert uids == [image.sop_instance_uid for image in expected]
        assert uids == [image.sop_instance_uid for image in spool.studies.detail(find(spool), "x").images]


def test_an_image_is_named_by_the_beginning_of_either_id_if_that_names_one(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        first, second, other = take(spool, 1, 1), take(spool, 1, 2), take(spool, 1, 1, variant=1)
        spool.settle()
        study = find(spool)
        for receipt in (first, second, other):
            named = receipt.object_id.hex()
            assert spool.studies.image(study, named) == spool.studies.image(study, named[:16].upper())
        assert spool.studies.image(study, sop_uid(1, 2)) == spool.studies.image(study, second.object_id.hex())
        for ambiguous in (sop_uid(1, 1), sop_uid(1, 2)[:-1]):
            with pytest.raises(Ambiguous) as error:
                spool.studies.image(study, ambiguous)
            assert {first.object_id.hex(), other.object_id.hex()} <= set(error.value.candidates)
        for nothing in ("", "ab", sop_uid(1, 2)[:3], "z" * 8, "%%%%", sop_uid(1, 3)):
            with pytest.raises(NotFound):
                spool.studies.image(study, nothing)


def test_images_that_leave_while_a_study_is_gone_through_are_left_out(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(450):
            take(spool, 1, number, size=10)
        deliver(spool)
        close_studies(spool)
        images = spool.studies.sendable(find(spool))
        first = next(images)
        take(spool, 1, 450, size=10)
        spool.settle()
        spool.housekeeping.purge(find(spool), 1)
        assert first.sop_instance_uid == "1.2.3.1.1.0"
        assert len(list(images)) == 199, "those that were looked up before they left; reading one says that it is gone"


def test_a_study_of_very_many_images_is_gone_through_with_little_memory(tmp_path: Path) -> None:
    fill(tmp_path, 80 * IMAGES_A_STUDY)
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        with spool._catalog.change() as catalog:
            catalog.execute("UPDATE image SET id = (100 << 24) + id / 16777216 * 1000 + id % 16777216")
        tracemalloc.start()
        count = sum(1 for _ in spool.studies.sendable(100))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 80 * IMAGES_A_STUDY
    assert most < 2_000_000


def test_a_reference_that_fits_two_studies_names_neither_and_a_whole_short_id_names_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, 1, 1)
        spool.settle()
        (first,) = spool.studies.page(StudyQuery()).studies
        for study, accession_number in ((2, first.id[:4]), (3, first.id)):
            take_facts(spool, msgspec.structs.replace(facts(study, 1), accession_number=accession_number))
        spool.settle()
        with pytest.raises(Ambiguous) as error:
            spool.studies.find(first.id[:4])
        assert first.id in error.value.candidates
        assert spool.studies.find(first.id)[1] == first.id
