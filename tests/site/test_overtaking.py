"""A stat image lets no more go before it than what is on the wire, wherever the others are by then."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.contexts import Pair
from capacitord.model.compression import Compression
from capacitord.model.conditions import CalledBy, Exactly, Values
from capacitord.model.image import Arrival, Facts
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.profile import Profile
from capacitord.model.routes import Priority
from capacitord.model.transform import On, Set, Transform
from capacitord.site.feed import Feed
from capacitord.site.overtaking import Urgency, overtakes, place
from capacitord.site.preparation.pool import Pool
from capacitord.site.preparation.preparation import keys_of
from capacitord.spool.ledger import Pending
from capacitord.spool.routed import NOWHERE, Reachable, Routed
from capacitord.spool.store import Spool
from tests.dicom.acceptor import Request
from tests.dicom.transform.kit import at, value
from tests.images import TINY, write_study
from tests.site.pacs import NO_ROOM, STORED, Pacs
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.routes import box as routed_box
from tests.site.routes import put_image, route, version
from tests.site.stock import CT, KEY, content, facts_of, open_spool, put, put_files, put_images
from tests.spool.kit import open_spool as open_filled
from tests.spool.million import IMAGES_A_STUDY, fill
from tests.wait import wait_for

BULK, STAT = "1.2.1", "1.2.9"
MR = Pair("1.2.840.10008.5.1.4.1.1.4", CT.transfer_syntax_uid)
J2K = "1.2.840.10008.1.2.4.90"
COMPRESSED = Pair(CT.sop_class_uid, J2K)
URGENT = Priority.STAT.urgency


def by_caller(_: Facts, arrival: Arrival) -> Routed:
    """Decide as a profile does that has a route for what a scanner of the emergency room sends."""
    urgent = arrival.calling_ae.startswith("ER")
    return Routed(arrival.profile_version, ("pacs",), priority=URGENT if urgent else 0)


def wait_until_in_hand(box: Rig, count: int, what: str = "the association to have looked ahead") -> None:
    feed = box.deliveries.one("pacs").feed
    wait_for(lambda: feed.claimed() - len(feed._ready) == count, within=PATIENCE, what=what)


def put_bulk(box: Rig, count: int, **how: Any) -> list[str]:
    """Have a bulk study arrive of which no association sees a part only."""
    with box.deliveries.one("pacs").feed.at_rest():
        uids = put_images(box.spool, count, **{"study": BULK, **how})
    box.wake()
    return uids


def on_the_wire(box: Rig, pacs: Pacs, images: int = 6) -> list[str]:
    """Have the first image of a bulk study wait for its answer, and the next one be ready behind it."""
    pacs.hold()
    bulk = put_bulk(box, images)
    wait_for(lambda: pacs.seen == bulk[:1], within=PATIENCE, what="the first image of the bulk to be on its way")
    wait_until_in_hand(box, 2)
    return bulk


def on_two_wires(box: Rig, pacs: Pacs) -> tuple[list[str], str, str]:
    """Have two associations wait for an answer each; return the bulk study, and what is on its way."""
    pacs.hold()
    bulk = put_bulk(box, 80)
    wait_for(lambda: len(pacs.seen) == 2, within=PATIENCE, what="two images to be on their way")
    wait_until_in_hand(box, 4)
    one, other = pacs.seen
    return bulk, one, other


def arrive(box: Rig, count: int, *, study: str = STAT, calling_ae: str = "ER", **how: Any) -> list[str]:
    """Have a stat study arrive, as reception tells of it."""
    uids = put_images(box.spool, count, study=study, calling_ae=calling_ae, **how)
    box.deliveries.wake(URGENT)
    return uids


@pytest.mark.parametrize("count", [1, 3])
def test_what_was_handed_out_behind_the_wire_yields(tmp_path: Path, count: int) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), decide=by_caller) as box:
        bulk = on_the_wire(box, pacs)
        stat = arrive(box, count)
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.seen == [bulk[0], *stat, *bulk[1:]]
        assert len(pacs.associations) == 1
        study, _ = box.spool.studies.find(BULK)
        attempts = [ack.attempts for image in box.spool.studies.detail(study, "").images for ack in image.acks]
        assert attempts == [1] * len(bulk)


def test_a_second_stat_study_overtakes_what_has_yielded_before(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), decide=by_caller) as box:
        bulk = on_the_wire(box, pacs)
        first = arrive(box, 1)

        def react(request: Request) -> int:
            if request.sop_instance_uid == first[0]:
                pacs.hold()
            return STORED

        pacs.react = react
        pacs.go_on()
        wait_for(lambda: pacs.counts[first[0]], within=PATIENCE, what="the first stat image")
        wait_for(lambda: len(pacs.seen) == 3, within=PATIENCE, what="the bulk to go on")
        wait_until_in_hand(box, 2)
        second = arrive(box, 2, study="1.2.10")
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.seen == [bulk[0], *first, bulk[1], *second, *bulk[2:]]


def test_what_was_changed_when_its_turn_came_yields(tmp_path: Path) -> None:
    bulk, stat = (write_study(tmp_path / str(seed), images=3, shape=TINY, seed=seed) for seed in (1, 2))
    transforms = (Transform("id", On.OUTBOUND, (Set(at("StudyID"), value("NEW")),)),)
    with Pacs() as pacs:
        where = destination("pacs", pacs.port)
        with rig(tmp_path / "spool", where, decide=by_caller, transforms=transforms) as box:
            pacs.hold()
            with box.deliveries.one("pacs").feed.at_rest():
                first = put_files(box.spool, bulk)
            box.wake()
            wait_for(lambda: pacs.seen, within=PATIENCE, what="the first image")
            wait_until_in_hand(box, 2)
            urgent = put_files(box.spool, stat, calling_ae="ER")
            box.deliveries.wake(URGENT)
            pacs.go_on()
            box.wait_until_delivered()
            assert pacs.seen == [first[0], *urgent, *first[1:]]
            assert all(b"NEW" in data for (data,) in pacs.stored.values())


def test_what_a_helper_has_prepared_yields_and_is_not_prepared_twice(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.site.odd_helper", "same")
    pool = Pool(keys_of(KEY), size=1, command=command)
    where = destination("pacs", compress=Compression(J2K))
    with Pacs() as pacs, rig(tmp_path, where, pool=pool, decide=by_caller) as box:
        box.broker.targets["pacs"] = pacs.port
        pacs.hold()
        with box.deliveries.one("pacs").feed.at_rest():
            bulk = put_images(box.spool, 6, study=BULK)
            # What is in that syntax already needs no helper.
            as_it_is = put_images(box.spool, 1, study=BULK, first=7, pair=COMPRESSED)
        box.wake()
        wait_for(lambda: pacs.seen == bulk[:1], within=PATIENCE, what="the first image")
        # One is on the wire, and one is handed out behind it if it was ready soon.
        wait_until_in_hand(box, 3)
        wait_for(lambda: pool.held == 3000, within=PATIENCE, what="all in hand to be prepared")
        stat = arrive(box, 2, pair=COMPRESSED)
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.seen[:3] == [bulk[0], *stat]
        # What has yielded goes on with the next that is to be prepared, and what was ready goes before it.
        assert sorted(pacs.seen[3:]) == [*bulk[1:], *as_it_is]
        assert next(pool._numbers) == len(bulk), "as many as were to be prepared"
        assert pool.held == 0


def test_what_a_stat_image_needs_another_association_for_goes_on_behind_it(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), decide=by_caller) as box:
        bulk = on_the_wire(box, pacs)
        stat = arrive(box, 2, pair=MR)
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.seen == [bulk[0], *stat, *bulk[1:]]
        assert [len(association.images) for association in pacs.associations] == [1, 7]


def test_a_stat_image_of_another_scanner_goes_under_its_own_title(tmp_path: Path) -> None:
    with Pacs() as pacs:
        where = destination("pacs", pacs.port, calling_ae_title="$calling")
        with rig(tmp_path, where, decide=by_caller) as box:
            bulk = on_the_wire(box, pacs)
            stat = arrive(box, 2, calling_ae="ER1")
            pacs.go_on()
            box.wait_until_delivered()
            assert pacs.seen == [bulk[0], *stat, *bulk[1:]]
            assert [association.calling for association in pacs.associations] == ["SCANNER", "ER1", "SCANNER"]


def test_a_title_that_cannot_be_passed_on_keeps_no_bulk_waiting(tmp_path: Path) -> None:
    with Pacs() as pacs:
        where = destination("pacs", pacs.port, calling_ae_title="$calling")
        with rig(tmp_path, where, decide=by_caller) as box:
            bulk = on_the_wire(box, pacs)
            arrive(box, 2, calling_ae="ER\\1")
            pacs.go_on()
            wait_for(lambda: set(pacs.counts) == set(bulk), within=PATIENCE, what="the bulk")
            box.wait_for_reason("AE title")
            assert pacs.seen == bulk


@pytest.mark.parametrize("pair", [CT, MR])
def test_a_stat_image_that_is_refused_for_now_rests_and_the_bulk_goes_on(tmp_path: Path, pair: Pair) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), decide=by_caller) as box:
        bulk = on_the_wire(box, pacs)
        (stat,) = arrive(box, 1, pair=pair)
        pacs.react = lambda request: NO_ROOM if request.sop_instance_uid == stat else STORED
        pacs.go_on()
        wait_for(lambda: set(pacs.counts) == set(bulk), within=PATIENCE, what="the bulk")
        assert pacs.seen == [bulk[0], stat, *bulk[1:]]
        # Its rest is ended, and from then on it goes behind the others.
        pacs.react = lambda _: STORED
        pacs.hold()
        late = put_bulk(box, 4, study="1.2.2")
        wait_for(lambda: pacs.seen[-1] == late[0], within=PATIENCE, what="more bulk")
        wait_until_in_hand(box, 2)
        box.deliveries.one("pacs").feed.hasten()
        box.deliveries.wake(URGENT)
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.seen[len(bulk) + 1 :] == [*late, stat]


def test_each_of_two_associations_yields(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=2), decide=by_caller) as box:
        bulk, one, other = on_two_wires(box, pacs)
        stat = arrive(box, 3)
        may_end = {one: threading.Event(), other: threading.Event(), stat[0]: threading.Event()}
        every = [*may_end.values()]

        def react(request: Request) -> int:
            assert may_end.get(request.sop_instance_uid, every[0]).wait(PATIENCE)
            return STORED

        pacs.react = react
        pacs.go_on()
        every[0].set()
        wait_for(lambda: pacs.seen[2:] == stat[:1], within=PATIENCE, what="one association to yield")
        # It has the second stat image in hand, behind the first one: so the third one is for the other.
        wait_until_in_hand(box, 4)
        every[1].set()
        wait_for(lambda: pacs.seen[3:4] == stat[2:], within=PATIENCE, what="the other association to yield")
        every[2].set()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys([*bulk, *stat], 1)
        assert len(pacs.associations) == 2


def test_two_associations_give_way_to_an_image_that_fits_neither(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=2), decide=by_caller) as box:
        bulk, *wires = on_two_wires(box, pacs)
        stat = arrive(box, 1, pair=MR)
        came = threading.Event()

        def react(request: Request) -> int:
            if request.sop_instance_uid in stat:
                came.set()
            elif request.sop_instance_uid not in wires:
                assert came.wait(PATIENCE)
            return STORED

        pacs.react = react
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys([*bulk, *stat], 1)
        # The one that did not have to end for it may be quicker with its next image than the new one with the first.
        assert pacs.seen.index(stat[0]) <= 3


def test_a_stat_image_that_comes_back_from_a_broken_association_is_not_forgotten(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=2), decide=by_caller) as box:
        feed = box.deliveries.one("pacs").feed
        box.deliveries.pause("pacs", paused=True)
        put_images(box.spool, 1, study=BULK)
        arrive(box, 1)
        stat, bulk = feed.take(lambda _: True), feed.take(lambda _: True)
        assert stat is not None
        assert bulk is not None
        assert feed.overtaking(bulk) is None, "somebody has it in hand"
        feed.not_sent([stat])
        assert_is(feed.overtaking(bulk), stat)
        assert_is(feed.take(lambda _: True), stat)
        assert feed.overtaking(bulk) is None
        feed.broke_off(stat, "cut", suspect=False, in_doubt=True)
        assert_is(wait_for(lambda: feed.overtaking(bulk), within=PATIENCE, what="it to wait again"), stat)
        feed.not_sent([bulk])


def test_only_those_look_for_whom_something_came(tmp_path: Path) -> None:
    with rig(tmp_path, destination("pacs"), destination("backup")) as box:
        box.deliveries.wake_for({"backup": URGENT, "elsewhere": URGENT})
        routine = _pending(1, 1, 0, None)
        told = {one.destination.name: one.feed._urgency.may_overtake(routine) for one in box.deliveries.all()}
        assert told == {"pacs": False, "backup": True}


def test_a_routine_image_of_a_stat_study_is_as_urgent_as_its_study(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, decide=by_caller)
    for number, calling_ae in enumerate(("ER", "SCANNER"), 1):
        receipt = put(spool, facts_of(f"{STAT}.{number}", STAT), content(number), calling_ae)
        assert receipt.urgencies == {"pacs": URGENT}
    spool.close()


def assert_is(found: Pending | None, image: Pending) -> None:
    assert found is not None
    assert found.image == image.image


# --- who overtakes whom


def _pending(image: int, delivery: int, priority: int, turn: tuple[bytes, bytes] | None) -> Pending:
    stored: Any = None
    return Pending(image, delivery, priority, "", b"", "", "", "", "", 0, False, stored, turn)


TURNS = st.none() | st.tuples(st.sampled_from([b"", b"1", b"2"]), st.sampled_from([b"", b"1"]))
QUEUES = st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2), TURNS), max_size=8).map(
    lambda images: [_pending(number, *each) for number, each in enumerate(images)]
)


@given(QUEUES)
def test_nobody_yields_to_and_fro(queue: list[Pending]) -> None:
    for one in queue:
        for other in queue:
            assert not (overtakes(one, other) and overtakes(other, one))
            for third in queue:
                if overtakes(one, other) and overtakes(other, third):
                    assert overtakes(one, third)


@given(QUEUES, st.randoms(use_true_random=False))
def test_yielding_ends_and_never_with_what_is_less_urgent(queue: list[Pending], chance: random.Random) -> None:
    while queue:
        in_hand = chance.choice(queue)
        yielded = []
        while overtakes(first := min(queue, key=place), in_hand):
            assert in_hand not in yielded
            yielded.append(in_hand)
            in_hand = first
        assert len(yielded) <= 1
        if all(image.turn is None for image in queue):
            assert in_hand.priority == max(image.priority for image in queue)
        queue = [image for image in queue if image is not in_hand]


@pytest.mark.parametrize("order", [("priority",), ("InstanceNumber",), ("SeriesNumber", "priority", "InstanceNumber")])
def test_a_place_is_that_in_the_queue(tmp_path: Path, order: tuple[str, ...]) -> None:
    urgent = route("pacs", when=CalledBy(Values((Exactly("ER"),))), priority=Priority.STAT)
    with routed_box(tmp_path, version(7, urgent, route("pacs"), order=order)) as one:
        chance = random.Random(3)
        for number in range(40):
            study, series = chance.randint(1, 4), chance.randint(1, 3)
            calling = "ER" if study == 3 else "SCANNER"
            put_image(one.spool, f"1.2.{study}", number, SeriesNumber=series, calling_ae=calling)
        one.settled()
        for _ in range(2):
            due = one.spool.ledger.due("pacs", 100)
            assert len(due) == 40
            assert [image.image for image in due] == [image.image for image in sorted(due, key=place)]
            with one.spool._catalog.change() as catalog:
                # As if the turns of some were not known yet.
                catalog.execute("DELETE FROM turn WHERE image % 2")


# --- whether it is worth a look


def test_only_what_is_more_urgent_is_worth_a_look_and_only_until_it_was_looked_for() -> None:
    settled: list[int] = []
    urgency = Urgency(lambda: settled.append(1))
    low, routine, high, stat = (_pending(9, 9, priority, None) for priority in (-1, 0, 1, 2))
    assert not urgency.may_overtake(low), "nothing waits yet"
    urgency.filed(2)
    assert urgency.may_overtake(high)
    assert not urgency.may_overtake(stat)
    first = _pending(1, 1, 1, None)
    assert urgency.look(0, lambda _: first) is first
    assert settled == [1]
    assert urgency.may_overtake(routine)
    assert urgency.may_overtake(low), "nobody has looked for what is less urgent"
    urgency.back(1)
    assert urgency.look(-1, lambda _: None) is None
    assert settled == [1], "what was given back is visible already"
    assert not urgency.may_overtake(low)


def test_what_is_more_urgent_and_leaves_later_is_no_reason_for_another_look() -> None:
    urgency = Urgency(lambda: None)
    urgency.filed(2)
    urgency.look(0, lambda _: _pending(1, 1, 2, (b"2", b"")))
    assert not urgency.may_overtake(_pending(2, 2, 0, (b"1", b"")))
    assert urgency.may_overtake(_pending(3, 2, 0, (b"2", b"")))


def test_what_comes_while_one_looks_is_not_forgotten_and_neither_is_anything_when_a_look_fails() -> None:
    urgency = Urgency(lambda: None)
    routine, high = _pending(1, 1, 0, None), _pending(2, 2, 1, None)
    urgency.filed(1)

    def meanwhile(_: int) -> None:
        assert urgency.may_overtake(routine), "who asks now is not told less"
        urgency.filed(2)

    urgency.look(0, meanwhile)
    assert urgency.may_overtake(high)

    def fails(_: int = 0) -> None:
        msg = "no"
        raise OSError(msg)

    with pytest.raises(OSError, match="no"):
        urgency.look(0, fails)
    assert urgency.may_overtake(high)
    broken = Urgency(fails)
    broken.filed(2)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            broken.look(0, lambda _: None)
        assert broken.may_overtake(high)


# --- what is asked of the queue


class Nobody:
    """No other destination, which would stand in."""

    def reachable(self) -> Reachable:
        return NOWHERE

    def wake(self) -> None:
        """Tell nobody."""


@contextmanager
def feed_of(spool: Spool) -> Iterator[Feed]:
    feed = Feed(spool, "pacs", "PACS", lambda _: None, lambda: None, others=Nobody())
    try:
        yield feed
    finally:
        feed.close()


def leaves(feed: Feed) -> Pending | None:
    """Have the next image leave: whoever has it in hand gives it back as long as it has to yield."""
    pending = feed.take(lambda _: True)
    while pending is not None and feed.overtaking(pending) is not None:
        feed.not_sent([pending])
        pending = feed.take(lambda _: True)
    if pending is not None:
        feed.answered(pending, Outcome(Verdict.DONE, "stored", 0))
    return pending


def ordered(*order: str) -> Profile:
    """Return a version of the profile with this order, in which what comes from the emergency room is urgent."""
    urgent = route("pacs", when=CalledBy(Values((Exactly("ER"),))), priority=Priority.STAT)
    return version(7, urgent, route("pacs"), order=order)


def test_a_stat_image_does_not_wait_because_something_else_comes_before_it(tmp_path: Path) -> None:
    with routed_box(tmp_path, ordered("SeriesNumber", "priority")) as one, feed_of(one.spool) as feed:
        for number in range(40):
            put_image(one.spool, "1.2.5", number, SeriesNumber=5)
        one.settled()
        in_hand = feed.take(lambda _: True)
        assert in_hand is not None
        put_image(one.spool, "1.2.1", 1, SeriesNumber=1)
        put_image(one.spool, "1.2.2", 1, SeriesNumber=2, calling_ae="ER")
        one.settled()
        feed.urge(URGENT)
        first = feed.overtaking(in_hand)
        assert first is not None
        assert first.sop_instance_uid == "1.2.1.1", "what leaves next is what an association has to fit"
        feed.not_sent([in_hand])
        left = [pending.sop_instance_uid for pending in iter(lambda: leaves(feed), None)]
        assert left == ["1.2.1.1", "1.2.2.1", *(f"1.2.5.{number}" for number in range(40))]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_leaves_while_something_waits_that_overtakes_it(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with routed_box(tmp_path, ordered("SeriesNumber", "priority")) as one, feed_of(one.spool) as feed:
        for number in range(30):
            put_image(one.spool, "1.2.5", number, SeriesNumber=chance.randint(3, 7))
        one.settled()
        for number in range(30, 60):
            calling, study = chance.choice([("ER", "1.2.9"), ("SCANNER", "1.2.4"), ("SCANNER", "1.2.5")])
            put_image(one.spool, study, number, SeriesNumber=chance.randint(1, 9), calling_ae=calling)
            one.settled()
            feed.urge(URGENT if calling == "ER" else 0)
            assert feed.flush()
            waiting = one.spool.ledger.due("pacs", 100)
            left = leaves(feed)
            assert left is not None
            assert not any(overtakes(other, left) for other in waiting)


def _steps(root: Path, images: int) -> int:
    """Return what it costs to look for more urgent images, in hundreds of steps, if that many urgent ones rest."""
    fill(root, images + IMAGES_A_STUDY, delivered=0)
    spool = open_filled(root, destinations=("pacs",))
    resting = images // IMAGES_A_STUDY
    with spool._catalog.change() as catalog:
        catalog.execute("UPDATE delivery SET priority = ? WHERE study <= ?", (URGENT, resting))
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        return False

    with feed_of(spool) as feed:
        for study in range(1, resting + 1):
            for number in range(3):
                feed._rests.refused(2 * study, (study << 24) + number, "no room", time.monotonic())
        bulk = feed.take(lambda _: True)
        assert bulk is not None
        assert bulk.priority == 0
        with spool._catalog.read() as catalog:
            catalog.set_progress_handler(step, 100)
        feed.urge(URGENT)
        assert feed.overtaking(bulk) is None
        with spool._catalog.read() as catalog:
            catalog.set_progress_handler(None)
        feed.not_sent([bulk])
    spool.close()
    return len(steps)


def test_what_rests_makes_no_look_dearer(tmp_path: Path) -> None:
    few, many = _steps(tmp_path / "few", IMAGES_A_STUDY), _steps(tmp_path / "many", 12 * IMAGES_A_STUDY)
    assert many < few + 10


def test_what_was_refused_for_now_is_no_reason_to_look(tmp_path: Path) -> None:
    with routed_box(tmp_path, ordered("priority")) as one, feed_of(one.spool) as feed:
        put_image(one.spool, "1.2.1", 1, calling_ae="ER")
        put_image(one.spool, "1.2.2", 1)
        one.settled()
        stat, bulk = feed.take(lambda _: True), feed.take(lambda _: True)
        assert stat is not None
        assert bulk is not None
        feed.answered(stat, Outcome(Verdict.LATER, "no room", 0xA700))
        assert feed.flush()
        wait_for(lambda: feed.claimed() == 1, within=PATIENCE, what="the claim to end")
        assert not feed._urgency.may_overtake(bulk)
        feed.not_sent([bulk])
