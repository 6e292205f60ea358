"""In which order images leave, and what the ledger says of those that were handed out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from capacitord.dicom.contexts import Pair
from capacitord.model.outcome import Outcome, Verdict
from capacitord.spool.ledger import Answer, Pending
from capacitord.spool.store import Spool
from tests.site.stock import CT, acks, facts_of, open_spool, put, put_images, set_priority, states, waiting

STUDY = "1.2.3"


def due(spool: Spool, limit: int = 100) -> list[Pending]:
    return spool.ledger.due("pacs", limit)


@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
def test_pages_join_without_gaps_whatever_the_priorities(tmp_path: Path, page: int) -> None:
    spool = open_spool(tmp_path, "pacs")
    chance = random.Random(page)
    studies = [f"1.2.{number}" for number in range(12)]
    expected = []
    for number, study in enumerate(studies):
        uids = put_images(spool, chance.randint(1, 5), study=study)
        priority = chance.choice([-1, 0, 0, 5, 9])
        set_priority(spool, study, priority)
        expected.append((-priority, number, uids))
    found: list[str] = []
    beyond = None
    while images := spool.ledger.due("pacs", page, beyond=beyond):
        found += [image.sop_instance_uid for image in images]
        beyond = images[-1]
    assert found == [uid for _, _, uids in sorted(expected) for uid in uids]
    spool.close()


def test_what_becomes_urgent_while_pages_are_read_is_found_by_beginning_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    early, late = put_images(spool, 3, study="1.2.1"), put_images(spool, 3, study="1.2.2")
    (first,) = due(spool, 1)
    set_priority(spool, "1.2.2", 9)
    rest = spool.ledger.due("pacs", 100, beyond=first)
    assert [image.sop_instance_uid for image in rest] == early[1:]
    assert waiting(spool) == late + early
    spool.close()


def test_an_image_that_was_handed_out_is_in_no_doubt_before_something_happened_to_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 2)
    handed = spool.ledger.sending(due(spool), "on their way")
    assert {state for state, _ in acks(spool, STUDY).values()} == {"waiting"}
    assert spool.ledger.backlog("pacs").doubtful == 0
    spool.ledger.not_sent(handed)
    assert not any(image.repeated for image in due(spool))
    spool.close()


def test_after_a_crash_what_was_handed_out_is_in_doubt_and_stays_so_when_it_is_handed_back(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 3)
    spool.ledger.sending(due(spool, 2), "on their way")
    spool.close()
    spool = open_spool(tmp_path, "pacs")
    assert spool.ledger.backlog("pacs").doubtful == 2
    assert [image.repeated for image in due(spool)] == [True, True, False]
    spool.ledger.not_sent(spool.ledger.sending(due(spool), "on their way"))
    assert [image.repeated for image in due(spool)] == [True, True, False]
    assert states(spool, STUDY) == ["doubt", "waiting"]
    spool.close()


def test_a_lost_answer_leaves_doubt_and_a_refusal_for_now_does_not(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 2)
    lost, refused = spool.ledger.sending(due(spool), "on their way")
    spool.ledger.record(
        [
            Answer(lost.image, lost.delivery, Outcome(Verdict.LATER, "cut"), 1),
            Answer(refused.image, refused.delivery, Outcome(Verdict.LATER, "no room", 0xA700), 1),
        ],
        0.0,
    )
    assert [state for state, _ in acks(spool, STUDY).values()] == ["doubt", "waiting"]
    assert [image.repeated for image in due(spool)] == [True, False]
    spool.close()


def test_an_image_in_conflict_is_never_taken_for_a_repetition(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put(spool, facts_of("1.2.3.1", STUDY), b"one")
    put(spool, facts_of("1.2.3.1", STUDY), b"other")
    spool.settle()
    study, _ = spool.studies.find(STUDY)
    conflict = next(image for image in spool.studies.detail(study, "").images if image.conflict)
    spool.ledger.resend(study, ["pacs"], spool.studies.image(study, conflict.object_id), 1, matches=False)
    for image in spool.ledger.sending(due(spool), "on their way"):
        spool.ledger.record([Answer(image.image, image.delivery, Outcome(Verdict.LATER, "cut"), 1)], 0.0)
    assert [image.repeated for image in due(spool)] == [True, False]
    spool.close()


def test_a_study_that_was_discarded_while_it_was_sent_is_not_brought_back(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 3)
    chosen = due(spool)
    handed = spool.ledger.sending(chosen[:2], "on their way")
    study, short = spool.studies.find(STUDY)
    assert [closed.study for closed in spool.close_arrived(0.0)] == [short]
    spool.housekeeping.discard(study, 1, "by a test")
    assert spool.ledger.sending(chosen, "on their way") == []
    answers = [Answer(image.image, image.delivery, Outcome(Verdict.DONE, "stored", 0), 1) for image in handed]
    assert spool.ledger.record(answers, 0.0).ended == []
    spool.ledger.not_sent(chosen)
    assert waiting(spool) == []
    spool.close()


def test_only_the_images_that_leave_first_decide_what_is_proposed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 3)
    put_images(spool, 3, first=10, pair=Pair("1.2.840.10008.5.1.4.1.1.1", CT.transfer_syntax_uid))
    put_images(spool, 3, study="1.2.4")
    assert spool.ledger.kinds("pacs", 3) == [CT]
    assert [sop_class for sop_class, _ in spool.ledger.kinds("pacs", 4)] == [
        CT.sop_class_uid,
        "1.2.840.10008.5.1.4.1.1.1",
    ]
    spool.close()


def test_after_the_catalog_was_lost_nothing_is_taken_for_sent_the_first_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, "pacs")
    put_images(spool, 2)
    spool.close()
    (tmp_path / "catalog.db").write_bytes(b"this is no database" * 1000)
    spool = open_spool(tmp_path, "pacs")
    assert len(due(spool)) == 2
    assert all(image.repeated for image in due(spool))
    spool.close()
