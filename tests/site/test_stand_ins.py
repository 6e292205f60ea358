"""Others stand in for a destination that cannot be reached, or refuses an image for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from capacitord.api import messages as m
from capacitord.model.image import Arrival, Facts
from capacitord.model.states import AckState, DeliveryState
from capacitord.site.advice import advice_on_elsewhere
from capacitord.spool.routed import Decide, Routed
from tests.dicom.acceptor import Request
from tests.site.pacs import NO_ROOM, STORED, UNKNOWN, Pacs, Reaction
from tests.site.reviewing import ANN
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import acks, put_images, waiting
from tests.spool.recount import recount
from tests.wait import wait_for

STUDY = "1.2.3"
SOON = 0.6
REFUSED = 0xA900
DOWN = 1
"""A port at which nothing listens."""


def to(*names: str, or_to: tuple[str, ...] = (), after: float = SOON) -> Decide:
    def decide(_facts: Facts, _arrival: Arrival) -> Routed:
        return Routed(7, names, 1, or_to, after)

    return decide


def until(box: Rig, done: Callable[[], object], what: str) -> None:
    """Do the upkeep until something is so."""

    def looked() -> object:
        box.deliveries.stand_in()
        return done()

    wait_for(looked, within=PATIENCE, what=what)


def test_what_waits_for_a_destination_that_is_down_goes_to_the_next(tmp_path: Path) -> None:
    with (
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", DOWN),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        uids = put_images(box.spool, 5)
        box.wake()
        box.wait_for_reason("Nothing listens")
        box.deliveries.stand_in()
        assert len(waiting(box.spool)) == 5, "it has not been down for long enough"
        until(box, lambda: len(backup.counts) == 5, "all to be at the backup")
        box.wait_until_delivered("backup")
        assert backup.counts == dict.fromkeys(uids, 1)
        assert waiting(box.spool) == []
        assert set(acks(box.spool, STUDY).values()) == {
            ("moved", "Went to backup instead: pacs could not be reached for 1 s.")
        }
        number, short = box.spool.studies.find(STUDY)
        study = box.spool.studies.detail(number, "").study
        there, instead = study.deliveries[1], study.deliveries[0]
        assert (there.state, there.images, there.moved) == (DeliveryState.MOVED, 0, 5)
        assert there.reason == "5 images went to backup instead: pacs could not be reached for 1 s."
        assert (instead.state, instead.acknowledged) == (DeliveryState.DELIVERED, 5)
        assert box.spool.housekeeping.purge(number, 1) == 5
        assert box.queued, "what moved gets its turns"
        assert ("delivery-moved", "5 images that waited for pacs go to backup instead.", "", "pacs") in box.notes
        recount(box.spool)
        # What comes from now on waits as long as the first, and no longer.
        put_images(box.spool, 1, study="1.2.4")
        box.wake()
        until(box, lambda: "1.2.4.1" in backup.counts, "the next study to be at the backup")
        assert short


def test_several_fail_at_once_and_each_has_a_stand_in_of_its_own(tmp_path: Path) -> None:
    with (
        Pacs() as one,
        Pacs() as two,
        rig(
            tmp_path,
            destination("a", DOWN),
            destination("b", DOWN),
            destination("x", one.port),
            destination("y", two.port),
            decide=to("a", "b", or_to=("x", "y")),
        ) as box,
    ):
        uids = put_images(box.spool, 4)
        box.wake()
        until(box, lambda: len(one.counts) == len(two.counts) == 4, "both to have all")
        assert one.counts == two.counts == dict.fromkeys(uids, 1)


def test_a_stand_in_that_fails_later_has_a_stand_in_itself(tmp_path: Path) -> None:
    with (
        Pacs() as last,
        rig(
            tmp_path,
            destination("pacs", DOWN),
            destination("x", DOWN),
            destination("y", last.port),
            decide=to("pacs", or_to=("x", "y")),
        ) as box,
    ):
        box.deliveries.pause("y", paused=True)
        put_images(box.spool, 3)
        box.wake()
        until(box, lambda: len(waiting(box.spool, "x")) == 3, "the first stand-in to have all")
        box.deliveries.pause("y", paused=False)
        until(box, lambda: len(last.counts) == 3, "the second to have all")
        assert {state for state, _ in acks(box.spool, STUDY, "x").values()} == {"moved"}


def test_without_anybody_left_an_image_stays_and_goes_when_its_destination_is_back(tmp_path: Path) -> None:
    with (
        Pacs() as pacs,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("x", DOWN, barred="no"),
            decide=to("pacs", or_to=("x",)),
        ) as box,
    ):
        box.broker.targets["pacs"] = DOWN
        put_images(box.spool, 3)
        box.wake()
        box.wait_for_reason("Nothing listens")
        until(box, lambda: (box.spool.ledger.failing_since("pacs") or 1e9) + 2 * SOON < box.spool.tick(), "a while")
        assert len(waiting(box.spool)) == 3
        box.broker.targets["pacs"] = pacs.port
        box.wait_until_delivered()
        until(box, lambda: box.spool.ledger.failing_since("pacs") is None, "it to be taken for well")


def test_what_is_paused_or_barred_does_not_move(tmp_path: Path) -> None:
    with (
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", DOWN),
            destination("tls", DOWN, barred="no TLS"),
            destination("backup", backup.port),
            decide=to("pacs", "tls", or_to=("backup",)),
        ) as box,
    ):
        put_images(box.spool, 2)
        box.wake()
        wait_for(
            lambda: all(box.deliveries.one(name).state().circuit.failures for name in ("pacs", "tls")),
            within=PATIENCE,
            what="both to fail",
        )
        box.deliveries.pause("pacs", paused=True)
        box.deliveries.stand_in()
        since = box.spool.tick()
        until(box, lambda: box.spool.tick() > since + 2 * SOON, "a while")
        assert len(waiting(box.spool)) == len(waiting(box.spool, "tls")) == 2
        assert not backup.seen


def test_what_is_refused_for_good_goes_to_the_next_and_nothing_else_does(tmp_path: Path) -> None:
    def choosy(request: Request) -> int:
        return UNKNOWN if request.sop_instance_uid.endswith(".2") else STORED

    with (
        Pacs(choosy) as pacs,
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        put_images(box.spool, 3)
        box.wake()
        box.wait_until_delivered()
        wait_for(lambda: list(backup.counts) == [f"{STUDY}.2"], within=PATIENCE, what="the refused one at the backup")
        box.wait_until_delivered("backup")
        state, reason = acks(box.spool, STUDY)[f"{STUDY}.2"]
        assert state == AckState.MOVED
        assert reason.startswith("Went to backup instead: PACS_AE ")
        assert "C000" in reason
        study = box.spool.studies.detail(box.spool.studies.find(STUDY)[0], "").study
        assert {each.destination: each.state for each in study.deliveries} == {
            "pacs": DeliveryState.MOVED,
            "backup": DeliveryState.DELIVERED,
        }
        recount(box.spool)


def test_a_destination_that_refuses_and_is_stood_in_for_says_so(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: REFUSED) as research,
        Pacs() as night,
        rig(
            tmp_path,
            destination("research", research.port),
            destination("night", night.port),
            decide=to("research", or_to=("night",)),
        ) as box,
    ):
        assert box.status("research").elsewhere is None
        put_images(box.spool, 3)
        box.wake()
        box.wait_until_delivered("research")
        box.wait_until_delivered("night")
        found = box.status("research").elsewhere
        assert found is not None
        assert found.images == 3
        assert found.reason.startswith("Went to night instead: RESEARCH_AE ")
        assert "A900" in found.reason
        assert box.status("night").elsewhere is None
        (advice,) = advice_on_elsewhere(box.deliveries.status())
        assert advice.message.startswith(f"3 images for research went elsewhere, the last of study {found.study}: ")
        assert f"fluxctl resend {found.study} --to research" in advice.hint
        answer = b"".join(box.answers().answer("queue.list", m.Empty(), lambda: None, ANN).pieces)
        rows = {row.destination: row for row in msgspec.json.decode(answer, type=m.QueueList).destinations}
        assert rows["research"].elsewhere == found
        assert rows["night"].elsewhere is None


def test_what_waits_for_a_destination_that_is_not_named_has_a_row_with_the_reason(tmp_path: Path) -> None:
    with (
        Pacs() as pacs,
        rig(tmp_path, destination("old", DOWN), destination("pacs", pacs.port), decide=to("old")) as box,
    ):
        put_images(box.spool, 2)
        box.become("pacs")
        answer = b"".join(box.answers().answer("queue.list", m.Empty(), lambda: None, ANN).pieces)
        rows = {row.destination: row for row in msgspec.json.decode(answer, type=m.QueueList).destinations}
        assert rows["pacs"].named
        assert (rows["old"].named, rows["old"].images) == (False, 2)
        assert rows["old"].reason.startswith("Version 2 of the profile does not name old: ")


def test_a_kind_of_image_that_a_destination_does_not_accept_goes_to_the_next(tmp_path: Path) -> None:
    with (
        Pacs(refused=lambda _sop_class, _syntax: True) as pacs,
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        put_images(box.spool, 2)
        box.wake()
        wait_for(lambda: len(backup.counts) == 2, within=PATIENCE, what="both to be at the backup")
        box.wait_until_delivered("backup")
        assert not pacs.seen
        assert {state for state, _ in acks(box.spool, STUDY).values()} == {AckState.MOVED}
        recount(box.spool)


def test_what_is_refused_by_all_needs_a_person(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: UNKNOWN) as pacs,
        Pacs(lambda _: UNKNOWN) as backup,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        put_images(box.spool, 2)
        box.wake()
        wait_for(lambda: box.status("backup").refused_images == 2, within=PATIENCE, what="both to refuse both")
        assert box.status("pacs").refused_images == 0
        number, _ = box.spool.studies.find(STUDY)
        assert box.spool.housekeeping.purge(number, 1) == 0


def test_a_destination_that_answers_and_takes_nothing_is_stood_in_for_too(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: NO_ROOM) as pacs,
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        studies = [f"1.2.{number}" for number in range(3)]
        for study in studies:
            put_images(box.spool, 2, study=study)
        box.wake()
        until(box, lambda: len(backup.counts) == 6, "all to be at the backup")
        assert {words for study in studies for words in acks(box.spool, study).values()} == {
            ("moved", "Went to backup instead: pacs took nothing for 1 s.")
        }


def test_an_image_in_doubt_moves_as_well(tmp_path: Path) -> None:
    with (
        Pacs(lambda _: Reaction.CLOSE) as pacs,
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        uids = put_images(box.spool, 1)
        box.wake()
        wait_for(lambda: box.status().doubtful_images == 1, within=PATIENCE, what="it to be in doubt")
        box.broker.targets["pacs"] = DOWN
        box.deliveries.one("pacs").hasten()
        until(box, lambda: backup.counts == dict.fromkeys(uids, 1), "it to be at the backup")
        number, _ = box.spool.studies.find(STUDY)
        # A person sends it to the first one after all: what is there already is taken for ours.
        assert box.spool.ledger.recipients(number, None) == ["backup"]
        assert box.spool.ledger.resend(number, ["pacs"], None, 1) == 1
        (again,) = box.spool.ledger.due("pacs", 9)
        assert again.repeated


def test_how_long_it_fails_outlives_a_restart_and_it_is_tried_first(tmp_path: Path) -> None:
    names = {"decide": to("pacs", or_to=("backup",), after=3.0)}
    with Pacs() as backup:
        pacs, other = destination("pacs", DOWN), destination("backup", backup.port)
        with rig(tmp_path, pacs, other, **names) as box:  # type: ignore[arg-type]
            put_images(box.spool, 3)
            box.wake()
            box.wait_for_reason("Nothing listens")
            until(box, lambda: box.spool.ledger.failing_since("pacs"), "it to be remembered")
            since = box.spool.ledger.failing_since("pacs") or 0.0
            until(box, lambda: box.spool.tick() > since + 2.0, "most of its time to pass")
        with rig(tmp_path, pacs, other, **names, start=False) as box:  # type: ignore[arg-type]
            box.deliveries.stand_in()
            assert box.spool.ledger.failing_since("pacs") == since
            until(box, lambda: box.spool.tick() > since + 3.5, "its time to be over")
            assert len(waiting(box.spool)) == 3, "it was not tried yet in this life"
            box.become("pacs", "backup")
            until(box, lambda: len(backup.counts) == 3, "all to be at the backup")
            assert box.spool.tick() < since + 30


def test_how_long_a_destination_failed_is_forgotten_while_nothing_waits_for_it(tmp_path: Path) -> None:
    """Nobody tries it then; what comes hours later is owed the whole patience of its route."""
    with (
        Pacs() as backup,
        rig(
            tmp_path,
            destination("pacs", DOWN),
            destination("backup", backup.port),
            decide=to("pacs", or_to=("backup",), after=1.5),
        ) as box,
    ):
        put_images(box.spool, 1)
        box.wake()
        box.wait_for_reason("Nothing listens")
        until(box, lambda: box.spool.ledger.failing_since("pacs") is not None, "it to be taken for failing")
        box.spool.close_arrived(0.0)
        box.spool.housekeeping.discard(box.spool.studies.find(STUDY)[0], 1, "A person said so.")
        until(box, lambda: box.spool.ledger.failing_since("pacs") is None, "that to be forgotten")
        began = time.monotonic()
        put_images(box.spool, 1, study="1.2.4")
        box.wake()
        until(box, lambda: "1.2.4.1" in backup.counts, "the next study to be at the backup")
        assert time.monotonic() - began > 1.5
