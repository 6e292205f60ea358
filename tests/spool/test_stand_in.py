"""Who stands in for whom: decided purely, and kept by the ledger whatever happens in whatever order."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capacitord.errors import CapacitordError
from capacitord.model.outcome import Verdict
from capacitord.model.states import AckState, DeliveryState, StudyState
from capacitord.spool.decisions import Decided
from capacitord.spool.failover import Failure
from capacitord.spool.routed import Reachable, Routed, Standing, stand_in
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import KEY, answer, as_after_a_kill, due, find, take
from tests.spool.machines import run
from tests.spool.recount import recount

NAMES = ("a", "b", "x", "y", "z")
SOME = st.lists(st.sampled_from(NAMES), unique=True)
FAILING = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([1.0, 20.0, float("inf")]))
MEMORY = Path("/dev/shm")  # noqa: S108 - the tests sync after every step, and need no disk for it


@given(SOME, SOME, SOME, FAILING, st.booleans())
def test_only_a_spare_that_may_be_sent_to_and_has_not_got_it_stands_in(
    spare: list[str], taken: list[str], named: list[str], unusable: dict[str, float], waits: bool
) -> None:
    reachable = Reachable(named, unusable)
    found = stand_in(spare, taken, reachable, 10.0, waits=waits)
    free = [name for name in spare if name in named and name not in taken]
    ready = [name for name in free if unusable.get(name, 0.0) < 10.0]
    if ready:
        assert found == ready[0], "in the order that the route names"
    elif waits:
        assert found is None, "nothing is gained by waiting elsewhere"
    else:
        assert found == (free[0] if free else None), "it cannot stay, so anybody is better than nobody"


@dataclass
class Model:
    """Where an image may go, and where it was sent or waits."""

    to: tuple[str, ...]
    else_to: tuple[str, ...]
    given_up: set[str] = field(default_factory=set)
    routing: str = "routed"


DECISIONS = [
    Routed(1, ("a",), 1, ("x", "y"), 10.0),
    Routed(1, ("a", "b"), 2, ("x", "y"), 10.0),
    Routed(1, ("b",), 3, ("a",), 5.0, priority=2),
    Routed(1, ("z",), 4),
]
NO_ROUTE = Routed(1, standing=Standing.NO_ROUTE, held="no route of version 1 of the profile matches it")


class Moves(RuleBasedStateMachine):
    """A scanner, five destinations that come and go, refuse and fail, and a power supply."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="moves-", dir=MEMORY if MEMORY.is_dir() else None))
        self.root = self.folder / "0"
        self.choice: Routed | None = DECISIONS[0]
        self.spool = self.open()
        self.images: dict[bytes, Model] = {}
        self.number = 0

    def open(self) -> Spool:
        return Spool(self.root, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: self.choice)

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        for choice in DECISIONS:
            self.arrive(choice, 1)

    @rule(choice=st.sampled_from([*DECISIONS, NO_ROUTE, None]), study=st.integers(1, 2))
    def arrive(self, choice: Routed | None, study: int) -> None:
        self.choice = choice
        self.number += 1
        receipt = take(self.spool, study, self.number, size=100)
        assert receipt.later == (choice is None)
        self.images[receipt.object_id] = Model((), (), routing="unrouted")
        if choice is not None:
            self.decided(receipt.object_id, choice)

    def decided(self, object_id: bytes, choice: Routed) -> None:
        model = self.images[object_id]
        model.to, model.else_to = choice.to, choice.else_to
        model.routing = "routed" if choice.to else "held"

    @rule(choice=st.sampled_from([*DECISIONS, NO_ROUTE]), other=st.sampled_from(DECISIONS), count=st.integers(1, 3))
    def decide(self, choice: Routed, other: Routed, count: int) -> None:
        self.spool.settle()
        images = self.spool.decisions.open(-1, count)
        self.spool.decisions.file([Decided(image.image, 1, choice) for image in images])
        # Whoever decides again, after a crash or by mistake, changes nothing.
        self.spool.decisions.file([Decided(image.image, 1, other) for image in images])
        for image in images:
            self.decided(image.object_id, choice)

    @rule(version=st.integers(2, 4), choice=st.sampled_from(DECISIONS), count=st.integers(1, 3))
    def another_version(self, version: int, choice: Routed, count: int) -> None:
        self.spool.settle()
        images = self.spool.decisions.outdated(version, -1, count)
        routed = choice._replace(version=version)
        self.spool.decisions.file([Decided(image.image, 1, routed) for image in images])
        for image in images:
            assert self.images[image.object_id].routing == "held"
            self.decided(image.object_id, routed)

    @rule(study=st.integers(1, 2), name=st.sampled_from(NAMES))
    def release(self, study: int, name: str) -> None:
        """A person sends what is held to one destination; what was routed gets it too, as he says so."""
        self.spool.settle()
        try:
            number = find(self.spool, study)
        except CapacitordError:
            return
        for image in self.spool.studies.detail(number, "").images:
            model = self.images[bytes.fromhex(image.object_id)]
            if image.routing == "held":
                only = self.spool.studies.image(number, image.object_id)
                assert self.spool.ledger.resend(number, [name], only, 1, matches=False) == 1
                model.to, model.routing = (name,), "routed"

    @rule()
    def grow_quiet(self) -> None:
        for closed in self.spool.close_arrived(0.0):
            images = self.spool.studies.detail(self.spool.studies.find(closed.study)[0], "").images
            assert "unrouted" not in {image.routing for image in images}
            assert (closed.state is StudyState.HELD) == ("held" in {image.routing for image in images})

    @rule(name=st.sampled_from(NAMES), named=SOME, unusable=FAILING, failing=st.sampled_from([1.0, 7.0, 60.0]))
    def fail(self, name: str, named: list[str], unusable: dict[str, float], failing: float) -> None:
        self.spool.settle()
        before = {image.object_id for image in due(self.spool, name)}
        moved = list(self.spool.ledger.stand_in(Failure(name, failing), Reachable(named, unusable), (9, 1.0)))
        after = {image.object_id for image in due(self.spool, name)}
        assert sum(each.images for each in moved) == len(before - after)
        assert {one for each in moved for one in each.to} <= set(named)
        for object_id in before - after:
            self.images[object_id].given_up.add(name)

    @rule(
        name=st.sampled_from(NAMES),
        named=SOME,
        verdict=st.sampled_from([Verdict.DONE, Verdict.NEEDS_PERSON, Verdict.HELD]),
        status=st.sampled_from([None, 0xC000]),
        count=st.integers(1, 3),
    )
    def answered(self, name: str, named: list[str], verdict: Verdict, status: int | None, count: int) -> None:
        images = self.spool.ledger.sending(due(self.spool, name)[:count], "On their way.")
        recorded = self.spool.ledger.record(answer(images, verdict, status, 1), 1.0, Reachable(named, {}))
        assert recorded.stand_ins <= set(named)
        if verdict is not Verdict.NEEDS_PERSON or status is None:
            assert not recorded.stand_ins

    @rule(name=st.sampled_from(NAMES), version=st.integers(1, 2))
    def look_again(self, name: str, version: int) -> None:
        held = self.spool.ledger.backlog(name).held
        assert self.spool.ledger.look_again(name, version, 3) == (held if version != 1 else 0)

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        if kill:
            copy = as_after_a_kill(self.root, self.folder / str(int(self.root.name) + 1))
            self.spool.close()
            shutil.rmtree(self.root)
            self.root = copy
        else:
            self.spool.close()
        self.spool = self.open()

    @invariant()
    def every_image_is_owed_by_as_many_as_its_route_says_and_by_nobody_else(self) -> None:
        self.spool.settle()
        seen = 0
        for study in {1, 2} if self.number else ():
            try:
                detail = self.spool.studies.detail(find(self.spool, study), "")
            except CapacitordError:
                continue
            for image in detail.images:
                seen += 1
                model = self.images[bytes.fromhex(image.object_id)]
                names = {ack.destination for ack in image.acks}
                assert image.routing == model.routing
                assert set(model.to) <= names <= {*model.to, *model.else_to}
                owed = [ack for ack in image.acks if ack.state is not AckState.MOVED]
                assert len(owed) == len(model.to), "for each that was given up another one, and no more"
            assert detail.study.held == sum(image.routing == "held" for image in detail.images)
            assert detail.study.state is not StudyState.HELD or detail.study.held
            for delivery in detail.study.deliveries:
                ended = delivery.state in {DeliveryState.DELIVERED, DeliveryState.MOVED, DeliveryState.FAILED}
                waits = delivery.images - delivery.acknowledged - delivery.refused - delivery.held
                assert ended == (waits == 0)
                assert delivery.state is not DeliveryState.MOVED or (delivery.moved and delivery.reason)
        assert seen == len(self.images)
        recount(self.spool)

    @invariant()
    def nothing_may_leave_that_somebody_still_owes(self) -> None:
        for candidate in self.spool.housekeeping.candidates().studies:
            assert candidate.tick is not None


@pytest.mark.torture
def test_whatever_fails_in_whatever_order_images_are_owed_by_those_the_route_names() -> None:
    run(Moves, examples=25, steps=30)


def test_a_disk_that_fails_while_images_move_loses_none_and_doubles_none(tmp_path: Path) -> None:
    step = struck = 1
    while struck:
        with faulty_catalog() as (disk, vfs):
            spool = Spool(
                tmp_path / str(step), KEY, reserve=0, warning=0, decide=lambda _f, _a: DECISIONS[0], disk=disk
            )
            for number in range(5):
                take(spool, 1, number, size=100)
            spool.settle()
            vfs.fail_at(step, apsw.IOError)
            with contextlib.suppress(CapacitordError):
                list(spool.ledger.stand_in(Failure("a", 60.0), Reachable(NAMES, {}), (9, 1.0)))
            struck = vfs.struck
            vfs.work_again()
            assert len(due(spool, "a")) + len(due(spool, "x")) == 5
            assert len(due(spool, "a")) in {0, 5}
            recount(spool)
            spool.close()
        step += 5


def test_a_look_in_vain_can_end_at_any_page_and_be_gone_on_with(tmp_path: Path) -> None:
    choice = Routed(1, ("a", "x"), 1, ("x", "y"), 1.0)
    spool = Spool(tmp_path, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: choice)
    for number in range(1, 206):
        take(spool, 1, number, size=100)
    spool.settle()
    failure, reachable = Failure("a", 5.0), Reachable(["a", "x", "y"], {"a": 5.0, "y": 5.0})
    first = next(spool.ledger.stand_in(failure, reachable, (9, 1.0)))
    assert first.images == 0
    assert first.after is not None
    prospects = spool.ledger.prospects(failure, reachable)
    assert prospects.ready
    (rest,) = spool.ledger.stand_in(failure, reachable, (9, 1.0), beyond=first.after)
    assert (rest.images, rest.after) == (0, None)
    assert spool.ledger.prospects(failure, reachable) == prospects, "it would be in vain again"
    back = Reachable(["a", "x", "y"], {"a": 5.0})
    assert spool.ledger.prospects(failure, back) != prospects
    assert spool.ledger.prospects(failure, Reachable(["a"], {})).ready == frozenset()
    (rest,) = spool.ledger.stand_in(failure, back, (9, 1.0), beyond=first.after)
    assert (rest.images, sorted(rest.to), len(rest.keys)) == (5, ["y"], 5)
    take(spool, 1, 300, size=100)
    spool.settle()
    assert spool.ledger.prospects(failure, reachable).queue != prospects.queue
    spool.close()
