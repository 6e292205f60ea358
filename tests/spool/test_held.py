"""What this box itself does not send to a destination: held, not refused, until another profile or a person says so."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import apsw
import pytest

from capacitord.api import messages as m
from capacitord.dicom import classify
from capacitord.errors import CapacitordError
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.reasons import Reason
from capacitord.model.states import AckState, DeliveryState
from capacitord.spool.catalog import fetch
from capacitord.spool.failover import Failure
from capacitord.spool.ledger import Answer, Pending
from capacitord.spool.routed import Reachable, Routed
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import KEY, close_studies, deliver, due, find, open_spool, opened, take
from tests.spool.recount import recount

WHY = "Transform 'names' could not map Modality."
_COLUMNS = "SELECT name, hidden FROM pragma_table_xinfo('image')"
BOTH = Reachable(["pacs", "backup"], {})


def hold(spool: Spool, images: list[Pending], version: int, reachable: Reachable = BOTH) -> None:
    given = [
        Answer(each.image, each.delivery, classify.held(WHY, Reason.TRANSFORM_FAILED), 5, profile_version=version)
        for each in images
    ]
    spool.ledger.record(given, spool.tick(), reachable)


def sent(spool: Spool, destination: str = "pacs") -> list[Pending]:
    return spool.ledger.sending(due(spool, destination), "Images are on their way.")


def of(spool: Spool, destination: str = "pacs") -> m.StudyDelivery:
    study = spool.studies.detail(find(spool), "x").study
    return next(each for each in study.deliveries if each.destination == destination)


def told(spool: Spool, destination: str = "pacs") -> list[m.Ack]:
    images = spool.studies.detail(find(spool), "x").images
    return [ack for image in images for ack in image.acks if ack.destination == destination]


def routed(root: Path) -> Spool:
    """Open a spool whose images go to pacs, where backup may stand in after a second."""
    way = Routed(1, ("pacs",), 1, ("backup",), 1.0)
    return Spool(root, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: way)


def test_what_is_held_is_open_as_what_is_refused_is_and_says_who_holds_it(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in (1, 2, 3):
            take(spool, number=number)
        images = sent(spool)
        hold(spool, images[:2], 6)
        stored = Outcome(Verdict.DONE, "Stored.", 0)
        spool.ledger.record([Answer(images[2].image, images[2].delivery, stored, 5, profile_version=6)], spool.tick())
        deliver(spool, "backup")
        close_studies(spool)
        delivery = of(spool)
        assert (delivery.state, delivery.refused, delivery.held) == (DeliveryState.FAILED, 0, 2)
        assert (delivery.images, delivery.acknowledged) == (3, 1)
        assert (
            delivery.reason == f"2 images held back by this box: {classify.held(WHY, Reason.TRANSFORM_FAILED).reason}"
        )
        assert "Correct the profile" in delivery.reason
        assert "fluxctl resend" in delivery.reason
        assert [ack.state for ack in told(spool)] == [AckState.HELD, AckState.HELD, AckState.DONE]
        assert spool.ledger.backlog("pacs")[3:7] == (0, 0, 2, 1)
        assert spool.ledger.progress(images[0].delivery) == (3, 3)
        assert spool.ledger.destinations() == ["pacs"]
        assert [each.short for each in spool.studies.failed()] == [spool.studies.queued()[0].id]
        assert spool.studies.page(m.StudyQuery(undelivered=True)).total == 1
        assert spool.housekeeping.candidates().studies == []
        # The third has reached both.
        assert spool.housekeeping.purge(find(spool), 1) == 1
        recount(spool)


def test_each_reason_is_told_with_how_many_images_it_is_of(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(1, 9):
            take(spool, number=number)
        given = [
            Answer(
                each.image,
                each.delivery,
                classify.held(f"Reason {why}.", Reason.TRANSFORM_FAILED),
                5,
                profile_version=1,
            )
            for each, why in zip(sent(spool), "ADDBBBCE", strict=True)
        ]
        spool.ledger.record(given, spool.tick())
        step = classify.held("", Reason.TRANSFORM_FAILED).reason
        assert of(spool).reason == (
            f"8 images held back by this box. 3 images: Reason B.{step} 2 images: Reason D.{step} "
            f"1 image: Reason A.{step} 2 images: 2 more reasons."
        )


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        (Reason.UNCLEAR_PIXELS, "at the device"),
        (Reason.NOT_WRITABLE, "Have it accept the image as it came"),
        (Reason.TRANSFORM_FAILED, "Correct the profile"),
    ],
)
def test_what_to_do_depends_on_which_reason_it_is_and_on_no_words(reason: Reason, step: str) -> None:
    for words in ("Its device has to send it anew.", "It cannot be written as the destination accepts it.", ""):
        outcome = classify.held(words, reason)
        assert outcome.reason.startswith(words)
        assert step in outcome.reason
        assert outcome.held is reason
        assert ("Correct the profile" in outcome.reason) is (reason is Reason.TRANSFORM_FAILED)


def test_what_is_held_was_never_tried_and_never_moves_to_a_stand_in(tmp_path: Path) -> None:
    spool = routed(tmp_path)
    take(spool)
    hold(spool, sent(spool), 1)
    assert [(ack.state, ack.attempts, ack.status) for ack in told(spool)] == [(AckState.HELD, 0, None)]
    list(spool.ledger.stand_in(Failure("pacs", 50.0), Reachable(["pacs", "backup"], {"pacs": 50.0}), (1, 1.0)))
    assert due(spool, "backup") == []
    assert of(spool).moved == 0
    spool.close()


def test_another_version_of_the_profile_takes_up_what_is_held_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(4):
            take(spool, number=number)
        images = sent(spool)
        hold(spool, images[:2], 6)
        refused = Outcome(Verdict.NEEDS_PERSON, "No.", 0xA900)
        spool.ledger.record([Answer(images[2].image, images[2].delivery, refused, 5)], spool.tick())
        spool.ledger.not_sent(images[3:])
        assert spool.ledger.look_again("pacs", 6, 9) == 0
        assert spool.ledger.look_again("backup", 7, 9) == 0
        assert spool.ledger.look_again("pacs", 7, 9) == 2
        assert spool.ledger.look_again("pacs", 7, 9) == 0
        assert [image.image for image in due(spool)] == [images[0].image, images[1].image, images[3].image]
        assert not any(image.repeated for image in due(spool))
        assert [ack.state for ack in told(spool)].count(AckState.REFUSED) == 1
        recount(spool)


def test_a_delivery_that_had_come_to_its_end_goes_on_and_says_why(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        hold(spool, sent(spool), 6)
        assert of(spool).state is DeliveryState.FAILED
        spool.ledger.look_again("pacs", 7, 9)
        assert (of(spool).state, of(spool).held) == (DeliveryState.QUEUED, 0)
        assert of(spool).reason == "Version 7 of the profile looks again."
        deliver(spool)
        assert of(spool).state is DeliveryState.DELIVERED


def test_others_may_stand_in_for_what_was_held_once_it_can_be_sent(tmp_path: Path) -> None:
    spool = routed(tmp_path)
    take(spool)
    hold(spool, sent(spool), 1)
    spool.ledger.look_again("pacs", 2, 9)
    list(spool.ledger.stand_in(Failure("pacs", 50.0), Reachable(["pacs", "backup"], {"pacs": 50.0}), (1, 1.0)))
    assert (len(due(spool)), len(due(spool, "backup"))) == (0, 1)
    recount(spool)
    spool.close()


@pytest.mark.parametrize("again", ["look", "resend"])
def test_an_image_whose_answer_was_lost_before_it_was_held_may_be_there_still(tmp_path: Path, again: str) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        (image,) = sent(spool)
        lost = Outcome(Verdict.LATER, "The association broke before the answer came.")
        spool.ledger.record([Answer(image.image, image.delivery, lost, 5)], spool.tick())
        hold(spool, sent(spool), 1)
        if again == "look":
            spool.ledger.look_again("pacs", 2, 9)
        else:
            spool.ledger.resend(find(spool), ["pacs"], None, 9)
        assert due(spool)[0].repeated


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("again", ["look", "resend"])
def test_a_duplicate_is_believed_after_a_hold_only_if_an_answer_was_lost(
    tmp_path: Path, again: str, lost: bool
) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        (image,) = sent(spool)
        busy = classify.store_answer("PACS", 0xA700)
        cut = Outcome(Verdict.LATER, "The association broke before the answer came.")
        spool.ledger.record([Answer(image.image, image.delivery, cut if lost else busy, 5)], spool.tick())
        # Held twice, by two versions: what is known outlives both.
        for version in (1, 2):
            hold(spool, sent(spool), version)
            if again == "look":
                assert spool.ledger.look_again("pacs", version + 1, 9) == 1
            else:
                assert spool.ledger.resend(find(spool), ["pacs"], None, 9) == 1
        (image,) = sent(spool)
        assert image.repeated == lost
        outcome = classify.store_answer("PACS", 0x0111)
        outcome = classify.as_repeated(outcome, "PACS") if image.repeated else outcome
        spool.ledger.record([Answer(image.image, image.delivery, outcome, 6)], spool.tick())
        assert told(spool)[0].state is (AckState.WARNING if lost else AckState.REFUSED)
        close_studies(spool)
        assert spool.housekeeping.purge(find(spool), 1) == int(lost)


def test_an_image_that_was_acknowledged_once_may_be_there_after_it_was_held(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        deliver(spool)
        spool.ledger.resend(find(spool), ["pacs"], None, 9)
        hold(spool, sent(spool), 1)
        spool.ledger.look_again("pacs", 2, 9)
        assert due(spool)[0].repeated


def test_what_was_held_under_no_version_is_looked_at_again(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        (image,) = sent(spool)
        spool.ledger.record(
            [Answer(image.image, image.delivery, classify.held(WHY, Reason.TRANSFORM_FAILED), 5)], spool.tick()
        )
        assert spool.ledger.look_again("pacs", 2, 9) == 1


def test_others_may_stand_in_for_what_was_held_and_is_sent_again_by_a_person(tmp_path: Path) -> None:
    spool = routed(tmp_path)
    take(spool)
    hold(spool, sent(spool), 1)
    spool.ledger.resend(find(spool), ["pacs"], None, 9)
    list(spool.ledger.stand_in(Failure("pacs", 50.0), Reachable(["pacs", "backup"], {"pacs": 50.0}), (1, 1.0)))
    assert (len(due(spool)), len(due(spool, "backup"))) == (0, 1)
    recount(spool)
    spool.close()


@pytest.mark.parametrize("again", ["look", "resend"])
def test_what_was_held_has_waited_since_it_came(tmp_path: Path, again: str) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        close_studies(spool)
        since = spool.ledger.backlog("pacs").oldest
        assert since is not None
        hold(spool, sent(spool), 1)
        if again == "look":
            spool.ledger.look_again("pacs", 2, since + 10**12)
        else:
            spool.ledger.resend(find(spool), ["pacs"], None, since + 10**12)
        assert spool.ledger.backlog("pacs").oldest == since


def test_a_large_study_is_looked_at_again_in_pages_between_which_others_have_their_turn(tmp_path: Path) -> None:
    most = 1100
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, destinations=("pacs",), disk=disk)
        take(spool)
        (image,) = sent(spool)
        add_images(spool, image, most - 1)
        hold(spool, due(spool), 1)
        vfs.fail_at(2, apsw.IOError, only="sync")
        with pytest.raises(CapacitordError):
            spool.ledger.look_again("pacs", 2, 9)
        vfs.work_again()
        first = len(due(spool))
        assert 0 < first <= 500
        assert (of(spool).state, of(spool).held) == (DeliveryState.QUEUED, most - first)
        assert spool.ledger.look_again("pacs", 2, 9) == most - first
        assert len(due(spool)) == most
        spool.close()


def add_images(spool: Spool, like: Pending, count: int) -> None:
    """Have more images wait where one does: rows of the catalog, without objects."""
    with spool._catalog.change() as catalog:
        hidden = {"id", "sop_uid"} | {name for name, kind in fetch(catalog, _COLUMNS) if kind}
        columns = ", ".join(name for name, _ in fetch(catalog, _COLUMNS) if name not in hidden)
        for number in range(like.image + 1, like.image + 1 + count):
            sql = f"INSERT INTO image (id, sop_uid, {columns}) SELECT ?, ?, {columns} FROM image WHERE id = ?"  # noqa: S608
            catalog.execute(sql, (number, f"1.2.3.{number}", like.image))
            sql = "INSERT INTO waiting (delivery, image, bytes, since) VALUES (?, ?, ?, 5)"
            catalog.execute(sql, (like.delivery, number, like.length))


def test_an_image_that_is_held_from_two_destinations_is_one_that_stays(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs", "backup")) as spool:
        for number in (1, 2, 3):
            take(spool, number=number)
        hold(spool, sent(spool)[:2], 1)
        hold(spool, sent(spool, "backup")[1:2], 1)
        refused = Outcome(Verdict.NEEDS_PERSON, "No.", 0xA900)
        (one, *_) = sent(spool, "backup")
        spool.ledger.record([Answer(one.image, one.delivery, refused, 5)], spool.tick())
        found = spool.counts()
        assert (found.held_back, found.refused, found.held, found.undelivered) == (2, 1, 0, 1)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("refused", [False, True])
def test_an_image_that_moved_may_be_there_only_if_an_answer_was_lost(tmp_path: Path, refused: bool, lost: bool) -> None:
    spool = routed(tmp_path)
    take(spool)
    (image,) = sent(spool)
    first = Outcome(Verdict.LATER, "It broke.") if lost else classify.store_answer("PACS", 0xA700)
    spool.ledger.record([Answer(image.image, image.delivery, first, 5)], spool.tick())
    if refused:
        no = Outcome(Verdict.NEEDS_PERSON, "No.", 0xA900)
        (image,) = sent(spool)
        spool.ledger.record([Answer(image.image, image.delivery, no, 5)], spool.tick(), BOTH)
    else:
        list(spool.ledger.stand_in(Failure("pacs", 50.0), Reachable(["pacs", "backup"], {"pacs": 50.0}), (1, 1.0)))
    assert [ack.state for ack in told(spool)] == [AckState.MOVED]
    assert spool.ledger.resend(find(spool), ["pacs"], None, 9) == 1
    assert due(spool)[0].repeated == lost
    spool.close()


def test_what_is_damaged_is_held_and_no_profile_mends_that(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        take(spool)
        (image,) = sent(spool)
        place = image.stored.place
        with spool.layout.segment(place.segment).open("r+b") as file:
            file.seek(place.offset + place.size // 2)
            file.write(bytes(64))
        assert spool.housekeeping.examine(image.image)
        assert (of(spool).held, of(spool).refused) == (1, 0)
        assert told(spool)[0].profile_version is None
        assert spool.ledger.look_again("pacs", 7, 9) == 0


def test_a_resend_takes_it_up_and_the_answer_is_of_the_version_that_made_the_copy(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        hold(spool, sent(spool), 1)
        assert [ack.profile_version for ack in told(spool)] == [1]
        assert spool.ledger.resend(find(spool), ["pacs"], None, 9) == 1
        assert [(ack.state, ack.profile_version) for ack in told(spool)] == [(AckState.WAITING, None)]
        (image,) = sent(spool)
        stored = Outcome(Verdict.DONE, "Stored.", 0)
        spool.ledger.record([Answer(image.image, image.delivery, stored, 5, profile_version=6)], spool.tick())
        assert [(ack.state, ack.profile_version) for ack in told(spool)] == [(AckState.DONE, 6)]


def test_an_image_that_moved_after_a_refusal_says_which_version_was_refused(tmp_path: Path) -> None:
    spool = routed(tmp_path)
    take(spool)
    (image,) = sent(spool)
    refused = Outcome(Verdict.NEEDS_PERSON, "No.", 0xA900)
    spool.ledger.record([Answer(image.image, image.delivery, refused, 5, profile_version=3)], spool.tick(), BOTH)
    assert [(ack.state, ack.profile_version) for ack in told(spool)] == [(AckState.MOVED, 3)]
    spool.close()


def test_a_disk_that_fails_leaves_an_image_held_or_waiting_and_never_neither(tmp_path: Path) -> None:
    failed = 0
    for step in itertools.count(1):
        root = tmp_path / str(step)
        with faulty_catalog() as (disk, vfs):
            spool = open_spool(root, disk=disk)
            for number in (1, 2):
                take(spool, number=number)
            hold(spool, sent(spool), 1)
            vfs.fail_at(step, apsw.IOError)
            try:
                spool.ledger.look_again("pacs", 2, 9)
            except CapacitordError:
                failed += 1
            struck = vfs.struck
            vfs.work_again()
            spool.close()
        with opened(root) as again:
            delivery = of(again)
            assert (delivery.held, len(due(again))) in {(2, 0), (0, 2)}
            assert (delivery.state is DeliveryState.FAILED) == (delivery.held == 2)
            recount(again)
            again.ledger.look_again("pacs", 2, 9)
            assert len(due(again)) == 2
        if not struck:
            break
    assert failed


def test_a_discard_forgets_what_was_held(tmp_path: Path) -> None:
    with opened(tmp_path, destinations=("pacs",)) as spool:
        for number in (1, 2):
            take(spool, number=number)
        images = sent(spool)
        hold(spool, images[:1], 1)
        spool.ledger.record(
            [Answer(images[1].image, images[1].delivery, Outcome(Verdict.DONE, "Stored.", 0), 5)], spool.tick()
        )
        close_studies(spool)
        spool.housekeeping.discard(find(spool), 1, "A person said so.")
        assert (of(spool).held, of(spool).acknowledged) == (0, 1)
        assert spool.studies.queued() == ()
        assert spool.ledger.look_again("pacs", 9, 9) == 0
        recount(spool)


def test_what_waits_tells_what_came_of_its_last_attempt_and_no_time_that_is_over(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        (pending,) = sent(spool)
        later = Outcome(Verdict.LATER, "PACS is short of resources. It is tried again.", 0x0213)
        spool.ledger.record([Answer(pending.image, pending.delivery, later, 5)], spool.tick())
        (ack,) = told(spool)
        assert (ack.state, ack.attempts) == (AckState.WAITING, 1)
        assert ack.reason == "It waits to be sent. The last attempt: PACS is short of resources. It is tried again."
        soon = time.time_ns() + 60 * 10**9
        spool.ledger.defer("pacs", "It rests.", soon)
        assert of(spool).next_try is not None
        spool.ledger.defer("pacs", "It rests.", soon - 120 * 10**9)
        assert of(spool).next_try is None
