"""The list of what waits for a person: whole images, those in conflict, held copies; and what she can do about it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

from capacitord.api import messages as m
from capacitord.dicom import classify
from capacitord.errors import CapacitordError, Refused
from capacitord.model.image import Arrival, Facts
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.reasons import FOR_A_DESTINATION, WORDS, Reason
from capacitord.model.states import AckState, DeliveryState, StudyState
from capacitord.spool.ledger import Answer
from capacitord.spool.releasing import GRACE, Person
from capacitord.spool.routed import Routed, Standing
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import KEY, close_studies, deliver, due, find, open_spool, opened, study_uid, take
from tests.spool.recount import recount

ANN = Person(1001, "ann")
CLOCKS = (5, 0.0)


def hold(spool: Spool, reason: Reason, destination: str = "pacs", *, images: int = 1) -> None:
    """Have the first images that wait for a destination be held on their way there."""
    waiting = spool.ledger.sending(due(spool, destination), "Images are on their way.")[:images]
    outcome = classify.held("So it is.", reason)
    given = [Answer(each.image, each.delivery, outcome, 5, profile_version=1) for each in waiting]
    spool.ledger.record(given, spool.tick())


def awaited(spool: Spool, study: int = 1) -> list[tuple[str, int, str]]:
    """Return why something of a study waits, how many images, and for which destination."""
    spool.settle()
    found = dict(spool.studies.held_page(9, "")[0])
    number = find(spool, study)
    return [(why.reason, why.images, why.destination) for why in found[number].held_for] if number in found else []


def of(spool: Spool, destination: str) -> m.StudyDelivery | None:
    found = spool.studies.detail(find(spool), "").study.deliveries
    return next((each for each in found if each.destination == destination), None)


@pytest.mark.parametrize("reason", sorted(FOR_A_DESTINATION))
def test_what_is_held_for_one_destination_is_listed_with_its_reason_sentence_and_step(
    tmp_path: Path, reason: Reason
) -> None:
    with opened(tmp_path) as spool:
        for number in (1, 2):
            take(spool, number=number)
        hold(spool, reason)
        deliver(spool)
        close_studies(spool)
        ((_, study),), total, following = spool.studies.held_page(9, "")
        (why,) = study.held_for
        assert (why.reason, why.images, why.destination) == (reason, 1, "pacs")
        assert why.sentence == WORDS[reason].sentence.format(destination="pacs")
        assert study.id in why.next_step or reason in {Reason.DAMAGED}
        assert "{" not in why.sentence + why.next_step
        assert (total, following, study.held) == (1, "", 0)
        (ack,) = [
            ack
            for image in spool.studies.detail(find(spool), "").images
            for ack in image.acks
            if ack.state is AckState.HELD
        ]
        assert ack.held == reason


def test_the_kind_is_kept_over_a_restart_and_not_told_from_words(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        hold(spool, Reason.BURNED_IN)
    with opened(tmp_path, destinations=("pacs",)) as spool:
        assert awaited(spool) == [("burned-in", 1, "pacs")]


def test_a_study_waits_for_several_reasons_and_is_listed_once(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        take(spool)
        take(spool, variant=1)
        hold(spool, Reason.TRANSFORM_FAILED)
        hold(spool, Reason.BURNED_IN, "backup")
        assert awaited(spool) == [
            ("duplicate", 1, ""),
            ("burned-in", 1, "backup"),
            ("transform-failed", 1, "pacs"),
        ]
        assert spool.studies.held_page(9, "")[1] == 1


def test_pages_are_of_all_kinds_the_oldest_first(tmp_path: Path) -> None:
    def decide(facts: Facts, _arrival: Arrival) -> Routed:
        if facts.study_uid == study_uid(3):
            return Routed(1, standing=Standing.NO_ROUTE, held="no route")
        return Routed(1, ("pacs",))

    with contextlib.closing(Spool(tmp_path, KEY, reserve=0, warning=0, decide=decide)) as spool:
        take(spool, 1)
        take(spool, 1, variant=1)
        take(spool, 2)
        take(spool, 3)
        take(spool, 4)
        waiting = {each.study: each for each in spool.ledger.sending(due(spool), "On their way.")}
        second = spool.studies.detail(find(spool, 2), "").study.id
        held = Answer(waiting[second].image, waiting[second].delivery, classify.held("No.", Reason.NOT_WRITABLE), 5)
        spool.ledger.record([held], 0.0)
        ids, after = [], ""
        while True:
            rows, total, after = spool.studies.held_page(1, after)
            assert total == 3
            ids += [number for number, _ in rows]
            if not after:
                break
        assert ids == [find(spool, 1), find(spool, 2), find(spool, 3)]
        reasons = [study.held_for[0].reason for _, study in spool.studies.held_page(9, "")[0]]
        assert reasons == ["duplicate", "not-writable", "no-route"]


def test_copies_that_are_left_out_wait_no_more_and_the_rest_is_purged_with_proof(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "research")) as spool:
        for number in (1, 2):
            take(spool, number=number)
        hold(spool, Reason.BURNED_IN, "research")
        deliver(spool)
        deliver(spool, "research")
        close_studies(spool)
        study = find(spool)
        assert spool.housekeeping.candidates().studies == []
        done = spool.releasing.set_aside(study, "ultrasound", ANN, CLOCKS)
        assert done == (0, {"research": 1})
        assert awaited(spool) == []
        research = of(spool, "research")
        assert research is not None
        assert (research.state, research.images, research.held) == (DeliveryState.DELIVERED, 1, 0)
        assert [each.study for each in spool.housekeeping.candidates().studies] == [study]
        assert spool.studies.detail(study, "").study.state is StudyState.MATCHED
        recount(spool)
        assert spool.housekeeping.purge(study, 9) == 2
        with pytest.raises(Refused, match="is not held"):
            spool.releasing.set_aside(study, "again", ANN, CLOCKS)


def test_an_image_that_nobody_got_stays_when_it_is_left_out_and_can_be_sent_again(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("research",)) as spool:
        take(spool)
        hold(spool, Reason.UNCLEAR_PIXELS, "research")
        close_studies(spool)
        study = find(spool)
        assert spool.releasing.set_aside(study, "a phantom", ANN, CLOCKS).left_out == {"research": 1}
        assert of(spool, "research") is None
        assert spool.housekeeping.purge(study, 9) == 0
        assert spool.releasing.over(GRACE + 1) == []
        assert spool.ledger.resend(study, ["research"], None, 9) == 1
        assert len(due(spool, "research")) == 1
        recount(spool)


def test_a_delivery_with_refusals_says_what_is_left_of_its_reason(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        for number in (1, 2):
            take(spool, number=number)
        hold(spool, Reason.TRANSFORM_FAILED)
        (one,) = due(spool)
        no = Outcome(Verdict.NEEDS_PERSON, "No.", 0xA900)
        spool.ledger.record([Answer(one.image, one.delivery, no, 5)], 0.0)
        close_studies(spool)
        spool.releasing.set_aside(find(spool), "a test", ANN, CLOCKS)
        pacs = of(spool, "pacs")
        assert pacs is not None
        assert (pacs.state, pacs.refused, pacs.reason) == (DeliveryState.FAILED, 1, "1 image was refused: No.")
        recount(spool)


def test_what_still_waits_is_sent_when_the_rest_is_left_out(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        for number in (1, 2):
            take(spool, number=number)
        hold(spool, Reason.TRANSFORM_FAILED)
        close_studies(spool)
        spool.releasing.set_aside(find(spool), "a test", ANN, CLOCKS)
        assert len(due(spool)) == 1
        deliver(spool)
        pacs = of(spool, "pacs")
        assert pacs is not None
        assert (pacs.state, pacs.images) == (DeliveryState.DELIVERED, 1)


def test_a_twin_that_is_left_out_can_be_had_back_and_is_gone_in_a_day(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        first = take(spool)
        other = take(spool, variant=1)
        deliver(spool)
        close_studies(spool)
        study = find(spool)
        before = spool.studies.detail(study, "").study
        assert awaited(spool) == [("duplicate", 1, "")]
        assert spool.releasing.set_aside(study, "the second is a slip", ANN, CLOCKS) == (1, {})
        assert awaited(spool) == []
        assert spool.studies.undecided() == []
        assert spool.studies.page(m.StudyQuery(undelivered=True)).total == 0
        after = spool.studies.detail(study, "").study
        assert (after.state, after.reason) == (before.state, before.reason)
        assert (
            spool.ledger.resend(study, ["pacs"], spool.studies.image(study, other.object_id.hex()), 6, matches=False)
            == 0
        )
        assert spool.releasing.restore(study) == 1
        assert awaited(spool) == [("duplicate", 1, "")]
        recount(spool)
        spool.releasing.set_aside(study, "the second is a slip", ANN, (7, 10.0))
        assert spool.releasing.over(10.0 + GRACE) == [study]
        assert spool.housekeeping.discard_set_aside(study, 9, 10.0 + GRACE) == 1
        recount(spool)
        left = [image for image in spool.studies.detail(study, "").images if not image.purged]
        assert [image.object_id for image in left] == [first.object_id.hex()]
        assert spool.counts().conflicts == 0


def test_the_same_twin_that_comes_again_after_it_was_left_out_waits_again(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        take(spool, variant=1)
        close_studies(spool)
        spool.releasing.set_aside(find(spool), "a slip", ANN, CLOCKS)
        take(spool, variant=1)
        assert awaited(spool) == [("duplicate", 1, "")]


def test_a_twin_that_a_person_sends_waits_for_nobody(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        other = take(spool, variant=1)
        close_studies(spool)
        study = find(spool)
        spool.ledger.resend(study, ["pacs"], spool.studies.image(study, other.object_id.hex()), 6, matches=False)
        assert awaited(spool) == []
        with pytest.raises(Refused, match="is not held"):
            spool.releasing.set_aside(study, "too late", ANN, CLOCKS)


def test_a_disk_that_fails_leaves_all_as_it_was_or_discards_all(tmp_path: Path) -> None:
    struck = True
    failed = 0
    for step in range(1, 40):
        with faulty_catalog() as (disk, vfs):
            spool = open_spool(tmp_path / str(step), disk=disk)
            take(spool)
            take(spool, variant=1)
            hold(spool, Reason.BURNED_IN)
            close_studies(spool)
            study, before = find(spool), awaited(spool)
            vfs.fail_at(step, apsw.IOError)
            try:
                spool.releasing.set_aside(study, "a test", ANN, CLOCKS)
            except CapacitordError:
                failed += 1
            struck = bool(vfs.struck)
            vfs.work_again()
            assert awaited(spool) in ([], before)
            recount(spool)
            spool.close()
        if not struck:
            break
    assert failed
    assert not struck
