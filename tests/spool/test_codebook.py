"""The codes that were sent: kept with the answer or not at all, once, and for as long as the study is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import apsw
import pytest

from capacitord.errors import CapacitordError
from capacitord.model.codes import Code, Coded, Kind
from capacitord.model.outcome import Verdict
from capacitord.spool.catalog import fetch_value
from capacitord.spool.codebook import Recorded
from capacitord.spool.ledger import Answer, Pending
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import answer, as_after_a_kill, close_studies, due, find, open_spool, opened, sop_uid, take

PATIENT, NAME = Code(Kind.PATIENT_ID, "TP7PQWGYQGBF"), Code(Kind.PATIENT_NAME, "TP7PQWGYQGBF")
ACCESSION = Code(Kind.ACCESSION, "0123456789AB")
CODES = ("TP7PQWGYQGBF", "0123456789AB")


def answers(
    images: list[Pending], *codes: Code, to: str = "pacs", verdict: Verdict = Verdict.DONE, status: int | None = 0
) -> list[Answer]:
    return [each._replace(coded=Coded(to, codes)) for each in answer(images, verdict, status)]


def send(spool: Spool, *codes: Code, to: str = "pacs") -> None:
    images = spool.ledger.sending(due(spool, to), "Images are on their way.")
    spool.ledger.record(answers(images, *codes, to=to), spool.tick())


def rows(spool: Spool) -> int:
    with spool._catalog.read() as catalog:
        return int(fetch_value(catalog, "SELECT count(*) FROM code"))


def test_codes_are_kept_once_for_each_study_and_destination_and_what_is_kept_stays(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "research")) as spool:
        for study in (1, 2):
            for number in range(3):
                take(spool, study, number)
        assert spool.codebook.destinations() == set()
        send(spool, PATIENT, NAME, to="research")
        send(spool, PATIENT, NAME, to="research")
        send(spool)
        assert rows(spool) == 4
        assert spool.codebook.destinations() == {"research"}
        one, two = find(spool, 1), find(spool, 2)
        both = [Recorded("research", kind, study) for study in (two, one) for kind in (Kind.PATIENT_ID, NAME.kind)]
        assert spool.codebook.recorded(CODES, ("research",)) == both
        assert spool.codebook.recorded(CODES, ("pacs",)) == []
        assert spool.codebook.recorded(("TP7PQWGYQGBE",), ("research",)) == []
        # Another version of the profile has other codes: those from before were sent all the same.
        spool.ledger.resend(one, ["research"], None, 1)
        send(spool, ACCESSION, to="research")
        assert spool.codebook.recorded(CODES, ("research",)) == [
            *both[:2],
            Recorded("research", Kind.ACCESSION, one),
            *both[2:],
        ]


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.DONE_WITH_WARNING, 0xB000),
        (Verdict.NEEDS_PERSON, 0xC000),
        (Verdict.LATER, 0xA700),
        (Verdict.LATER, None),
    ],
)
def test_whatever_is_answered_the_codes_that_were_sent_are_kept(
    tmp_path: Path, verdict: Verdict, status: int | None
) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        spool.ledger.record(answers(images, PATIENT, verdict=verdict, status=status), spool.tick())
        assert spool.codebook.recorded(CODES, ("pacs",)) == [Recorded("pacs", Kind.PATIENT_ID, find(spool))]


def test_codes_outlive_the_images_and_a_discarded_study_whose_delivery_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, 1)
        take(spool, 2)
        handed = spool.ledger.sending(due(spool), "Images are on their way.")
        of_one, of_two = ([each for each in handed if each.sop_instance_uid == sop_uid(study, 1)] for study in (1, 2))
        spool.ledger.record(answers(of_one, PATIENT), spool.tick())
        close_studies(spool)
        assert spool.housekeeping.purge(find(spool, 1), 5) == 1
        spool.housekeeping.discard(find(spool, 2), 5, "A person said so.")
        assert spool.studies.detail(find(spool, 2), "").study.deliveries == ()
        # The answer of an image that was on its way meanwhile.
        spool.ledger.record(answers(of_two, ACCESSION), spool.tick())
        one, two = find(spool, 1), find(spool, 2)
    with opened(tmp_path) as spool:
        assert spool.codebook.recorded(CODES, ("pacs",)) == [
            Recorded("pacs", Kind.ACCESSION, two),
            Recorded("pacs", Kind.PATIENT_ID, one),
        ]


def test_codes_are_there_after_a_kill_if_and_only_if_the_answer_is(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    with opened(root) as spool:
        take(spool)
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        before = as_after_a_kill(root, tmp_path / "before")
        spool.ledger.record(answers(images, PATIENT), spool.tick())
        after = as_after_a_kill(root, tmp_path / "after")
    for copy, known in ((before, False), (after, True)):
        with opened(copy) as again:
            assert bool(again.codebook.recorded(CODES, ("pacs",))) is known
            assert (due(again) == []) is known


@pytest.mark.parametrize("only", ["write", "sync"])
def test_a_disk_that_refuses_the_answer_refuses_its_codes(tmp_path: Path, only: str) -> None:
    refused = 0
    for step in itertools.count(1):
        root = tmp_path / str(step)
        with faulty_catalog() as (disk, vfs):
            spool = open_spool(root, disk=disk)
            take(spool)
            images = spool.ledger.sending(due(spool), "Images are on their way.")
            given = answers(images, PATIENT, NAME, ACCESSION)
            vfs.fail_at(step, apsw.IOError, only=only)
            try:
                spool.ledger.record(given, spool.tick())
            except CapacitordError:
                refused += 1
                with opened(as_after_a_kill(root, tmp_path / f"{step} killed")) as killed:
                    assert bool(killed.codebook.recorded(CODES, ("pacs",))) is (due(killed) == [])
                vfs.work_again()
                # It is offered again, as the recorder does.
                spool.ledger.record(given, spool.tick())
            struck = vfs.struck
            vfs.work_again()
            spool.close()
        with opened(root) as again:
            assert due(again) == []
            assert rows(again) == 3
        if not struck:
            break
    assert refused


def test_all_that_codes_may_stand_for_comes_in_pages_the_newest_first(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        assert list(spool.codebook.studies()) == []
        assert list(spool.codebook.images()) == []
        for study in (1, 2):
            for number in range(3):
                take(spool, study, number)
        close_studies(spool)
        send(spool)
        spool.housekeeping.purge(find(spool, 1), 5)
        (studies,) = spool.codebook.studies()
        assert [each.study for each in studies] == [find(spool, 2), find(spool, 1)]
        assert studies[0][1:] == ("1.2.3.2", "COACH-000002", "Synthetic^Patient2", "", "ACC000002")
        (images,) = spool.codebook.images()
        assert [each.sop_uid for each in images] == [sop_uid(study, number) for study in (2, 1) for number in (2, 1, 0)]
        assert [each.study for each in images] == [find(spool, 2)] * 3 + [find(spool, 1)] * 3
        assert {each.series_uid for each in images} == {"1.2.3.1.1", "1.2.3.2.1"}
