"""With `send = "study"` no sequence of images, evidence, quiet time, kills and late decisions sends anything early.

A study is modelled by what is here of it, what was named, and which images no route matches. An image may leave only by
a decision that was filed while its study was closed, nothing of it was missing when it was closed and none was held; or
because a person said so.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from capacitord.api.messages import Image, StudyDetail
from capacitord.model.completeness import Completeness, Event
from capacitord.model.delivery import Send
from capacitord.model.evidence import Doing, Named
from capacitord.model.states import StudyState
from capacitord.spool.decisions import Decided, Undecided
from capacitord.spool.evidence import CLASS_INSTANCE_CONFLICT, NO_SUCH_OBJECT
from capacitord.spool.releasing import Person, Release
from capacitord.spool.routed import REASONS, Routed, Standing
from capacitord.spool.store import Spool
from tests.spool.kit import CT, KEY, as_after_a_kill, due, find, sop_uid, study_uid, take
from tests.spool.recount import recount

PACS = Routed(1, ("pacs",), 1)
NOWHERE = Routed(1, standing=Standing.NO_ROUTE, held="no route matches it")
ANN = Person(1001, "ann")
NUMBERS = range(1, 5)
SOME = st.sets(st.sampled_from(NUMBERS), max_size=4)
ALL_EVIDENCE = (Event.COMMITMENT, Event.MPPS)
NEVER = 3600.0


def rules(*, quiet: bool) -> Completeness:
    """Return rules by which all evidence closes a study; with `quiet` it has been quiet for long enough."""
    return Completeness((*ALL_EVIDENCE, Event.QUIET), 0.0 if quiet else NEVER, Send.STUDY)


def open_whole(root: Path) -> Spool:
    return Spool(root, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: None)


def named(numbers: set[int]) -> list[Named]:
    return [Named(CT, sop_uid(1, number)) for number in sorted(numbers)]


def number_of(image: Image) -> int:
    assert image.instance_number is not None
    return image.instance_number


class WholeStudies(RuleBasedStateMachine):
    """One study of up to four images."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="whole-studies-"))
        self.root = self.folder / "0"
        self.spool = open_whole(self.root)
        self.here: set[int] = set()
        self.receiving = False
        self.free: set[int] = set()
        """Images that were here when the study was closed with nothing missing."""
        self.steps: dict[str, tuple[bool, set[int]]] = {}
        self.asked: list[set[int]] = []
        self.page: list[Undecided] = []
        self.unwanted: set[int] = set()
        """Images that no route matches."""
        self.discarded: set[int] = set()
        self.released: set[int] = set()

    @initialize(unwanted=SOME)
    def first_image(self, unwanted: set[int]) -> None:
        self.unwanted = set(unwanted)
        self.arrive(1)

    @property
    def in_the_way(self) -> set[int]:
        return (self.unwanted & self.here) - self.discarded - self.released

    @property
    def expected(self) -> set[int]:
        return set().union(*(images for _, images in self.steps.values()), *self.asked)

    @rule(number=st.sampled_from(NUMBERS))
    def arrive(self, number: int) -> None:
        if number in self.discarded:
            return
        take(self.spool, 1, number, size=200)
        if number not in self.here:
            self.receiving = True
        self.here.add(number)

    @rule(uid=st.sampled_from(["1.9.1", "1.9.2"]))
    def begin_step(self, uid: str) -> None:
        doing = self.spool.evidence.step_began(uid, [study_uid(1)], "CT", time.time_ns())
        assert doing is (Doing.KNOWN if uid in self.steps else Doing.DONE)
        self.steps.setdefault(uid, (False, set()))

    @rule(uid=st.sampled_from(["1.9.1", "1.9.2"]), images=SOME, over=st.booleans())
    def change_step(self, uid: str, images: set[int], over: bool) -> None:
        doing = self.spool.evidence.step_changed(uid, named(images), time.time_ns(), over=over)
        if uid not in self.steps:
            assert doing is Doing.UNKNOWN
        elif self.steps[uid][0]:
            assert doing is Doing.OVER
        else:
            assert doing is Doing.DONE
            self.steps[uid] = over, images

    @rule(images=SOME)
    def ask(self, images: set[int]) -> None:
        self.spool.evidence.asked(f"1.8.{len(self.asked)}", named(images), "CT", "FLUXBOX", time.time_ns())
        if images & self.here:
            self.asked.append(images)
        (request,) = self.spool.evidence.unreported()
        result = self.spool.evidence.result(request.id)
        safe = images & (self.here - self.discarded)
        assert {each.sop_instance_uid for each in result.committed} == {sop_uid(1, n) for n in safe}
        assert {reason for _, reason in result.failed} <= {NO_SUCH_OBJECT}
        self.spool.evidence.reported(request.id)

    @rule(quiet=st.booleans())
    def close(self, quiet: bool) -> None:
        before = self.receiving
        for closed in self.spool.close_arrived(NEVER, rules(quiet=quiet)):
            missing = self.expected - self.here
            if closed.event is not Event.QUIET:
                assert not missing
                assert quiet or self.here <= self.expected
            if not missing:
                self.free |= self.here
            self.receiving = False
            waiting = self.here - self.sent - self.discarded
            assert closed.state is (StudyState.HELD if missing and waiting else closed.state)
        if quiet and before:
            assert not self.receiving, "quiet time always closes a study"

    @rule()
    def look(self) -> None:
        """Read what is to be decided, as the router does; what it decides may be filed much later."""
        self.spool.settle()
        self.page = self.spool.decisions.open(-1, 10, whole=True)

    @rule(most=st.integers(1, 4))
    def decide(self, most: int) -> None:
        before = self.sent
        numbers = {each.object_id: number_of(each) for each in self.detail().images}
        decided = [
            Decided(image.image, 1, NOWHERE if numbers[image.object_id.hex()] in self.unwanted else PACS)
            for image in self.page[:most]
        ]
        self.spool.decisions.file(decided, whole=True)
        assert not self.receiving or self.sent == before, "what another image may have made part of a study stays"
        assert not self.in_the_way or self.sent == before, "what one image holds stays"

    def detail(self) -> StudyDetail:
        self.spool.settle()
        return self.spool.studies.detail(find(self.spool), "")

    @rule(version=st.integers(2, 4))
    def another_version(self, version: int) -> None:
        """Have a version come whose routes match whatever was held until now."""
        before = self.sent
        self.spool.settle()
        images = self.spool.decisions.outdated(version, -1, 10, whole=True)
        decided = [Decided(image.image, 1, PACS._replace(version=version)) for image in images]
        ids = {image.object_id.hex() for image in images}
        if not self.receiving:
            self.unwanted -= {number_of(each) for each in self.detail().images if each.object_id in ids}
        self.spool.decisions.file(decided, whole=True)
        assert not self.in_the_way or self.sent == before, "what one image holds stays"

    @rule(discard=st.booleans())
    def a_person_decides(self, discard: bool) -> None:
        detail = self.detail()
        if detail.study.state is not StudyState.HELD:
            return
        held = {number_of(each): each.held for each in detail.images if each.routing == "held"}
        others = {number for number, why in held.items() if "of the study" in why}
        before, study = self.sent, find(self.spool)
        if discard:
            gone = held.keys() - others or held.keys()
            assert self.spool.releasing.set_aside(study, "a test.", ANN, (1, 1.0)).images == len(gone)
            self.discarded |= gone
            assert self.sent == before
        else:
            assert self.spool.releasing.release(study, Release(("pacs",), "as it is"), ANN, 1) == len(held)
            self.released |= held.keys()
            assert self.sent == before | held.keys()

    @rule()
    def kill(self) -> None:
        copy = as_after_a_kill(self.root, self.folder / str(int(self.root.name) + 1))
        self.spool.close()
        shutil.rmtree(self.root)
        self.root, self.page = copy, []
        self.spool = open_whole(copy)

    @property
    def sent(self) -> set[int]:
        uids = {image.sop_instance_uid for image in due(self.spool)}
        return {number for number in NUMBERS if sop_uid(1, number) in uids}

    @invariant()
    def nothing_leaves_before_its_study_was_closed_and_whole(self) -> None:
        assert self.sent <= self.free | self.released

    @invariant()
    def what_is_missing_is_named(self) -> None:
        if self.here:
            detail = self.detail()
            missing = self.expected - self.here
            assert set(detail.missing_uids) == {sop_uid(1, number) for number in missing}
            assert (detail.study.state == StudyState.RECEIVING) is self.receiving

    def teardown(self) -> None:
        """When everything has come that was named, all of it leaves."""
        try:
            for number in self.expected - self.here:
                self.arrive(number)
            self.close(quiet=True)
            self.close(quiet=True)
            for version in (5, 6, 7):
                self.look()
                self.decide(4)
                self.another_version(version)
            self.look()
            self.decide(4)
            if not self.receiving and self.here <= self.free:
                assert self.sent == self.here - self.discarded
            recount(self.spool)
        finally:
            self.spool.close()
            shutil.rmtree(self.folder)


def test_no_sequence_of_events_sends_part_of_a_study() -> None:
    run_state_machine_as_test(WholeStudies, settings=settings(max_examples=30, stateful_step_count=20, deadline=None))


def test_a_request_for_another_class_is_a_conflict(tmp_path: Path) -> None:
    spool = open_whole(tmp_path)
    take(spool)
    spool.evidence.asked("1.8.1", [Named("1.2.840.10008.5.1.4.1.1.4", sop_uid(1, 1))], "CT", "BOX", 1)
    (request,) = spool.evidence.unreported()
    ((_, reason),) = spool.evidence.result(request.id).failed
    assert reason == CLASS_INSTANCE_CONFLICT
    spool.close()


def test_a_profile_that_sends_images_as_they_come_frees_what_waited_for_others(tmp_path: Path) -> None:
    spool = open_whole(tmp_path)
    take(spool)
    spool.evidence.step_began("1.9.1", [study_uid(1)], "CT", 1)
    spool.evidence.step_changed("1.9.1", named({1, 2}), 1, over=True)
    (closed,) = spool.close_arrived(0.0, rules(quiet=True))
    assert closed.state is StudyState.HELD
    assert not spool.decisions.outdated(2, -1, 10, whole=True), "another version does not make it whole"
    assert spool.decisions.begin(1, whole=False)
    (image,) = spool.decisions.open(-1, 10)
    spool.decisions.file([Decided(image.image, 1, PACS)])
    assert [each.sop_instance_uid for each in due(spool)] == [sop_uid(1, 1)]
    assert not spool.decisions.begin(1, whole=False)
    recount(spool)
    spool.close()


def test_what_was_said_of_a_study_that_is_here_is_never_forgotten(tmp_path: Path) -> None:
    spool = open_whole(tmp_path)
    take(spool)
    for uid, study in (("1.9.1", 1), ("1.9.2", 2)):
        spool.evidence.step_began(uid, [study_uid(study)], "CT", 1)
    spool.settle()
    spool.evidence.forget(time.time_ns())
    assert spool.evidence.step_changed("1.9.1", None, 2, over=True) is Doing.DONE
    assert spool.evidence.step_changed("1.9.2", None, 2, over=True) is Doing.UNKNOWN
    spool.close()


def test_every_standing_that_holds_has_its_reason() -> None:
    assert set(REASONS) == {standing for standing in Standing if standing > Standing.OPEN}
    assert all("{study}" in reason.next_step and reason.sentence.endswith(".") for reason in REASONS.values())
    assert len({reason.word for reason in REASONS.values()}) == len(REASONS)


def test_a_decision_that_another_image_has_overtaken_is_not_filed(tmp_path: Path) -> None:
    spool = open_whole(tmp_path)
    take(spool)
    (closed,) = spool.close_arrived(0.0, rules(quiet=True))
    assert closed.state is StudyState.COMPLETE
    decided = [Decided(image.image, 1, PACS) for image in spool.decisions.open(-1, 10, whole=True)]
    take(spool, 1, 2)
    spool.decisions.file(decided, whole=True)
    assert due(spool) == []
    assert spool.decisions.open(-1, 10, whole=True) == []
    spool.close_arrived(0.0, rules(quiet=True))
    spool.decisions.file(
        [Decided(image.image, 1, PACS) for image in spool.decisions.open(-1, 10, whole=True)], whole=True
    )
    assert len(due(spool)) == 2
    assert spool.studies.detail(find(spool), "").study.state is StudyState.MATCHED
    spool.close()
