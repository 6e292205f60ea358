"""The ledger against a model of it: whatever happens in whatever order, the promises hold.

The model knows of each image and destination whether it waits, was acknowledged or refused, or is held. What the spool
says is compared with it after every step.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from capacitord.errors import NotFound, Refused, TryAgain
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import DeliveryState, StudyState
from capacitord.spool.admission import Kept
from capacitord.spool.ledger import Answer, Pending
from tests.spool.kit import as_after_a_kill, close_studies, due, find, open_spool, sop_uid, take
from tests.spool.machines import run
from tests.spool.recount import recount

DESTINATIONS = ("pacs", "backup")
STUDIES = (1, 2)
NUMBERS = st.integers(0, 4)
VERSIONS = st.integers(1, 2)
SIZE = 300
MEMORY = Path("/dev/shm")  # noqa: S108 - the tests sync after every step, and need no disk for it


@dataclass
class Image:
    """One image, as the model knows it. One that is sent again after it has left is another."""

    study: int
    uid: str
    variant: int
    conflict: bool
    here: bool = True
    waiting: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    held: dict[str, int] = field(default_factory=dict)
    """The version of the profile under which it was held, by destination."""

    @property
    def may_leave(self) -> bool:
        return self.here and bool(self.acknowledged) and not self.waiting and not self.troubled

    @property
    def troubled(self) -> set[str]:
        return self.refused | set(self.held)


class Ledgers(RuleBasedStateMachine):
    """A scanner, two destinations, an operator, and a power supply."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=MEMORY if MEMORY.is_dir() else None))
        self.root = self.folder / "0"
        self.spool = open_spool(self.root, destinations=DESTINATIONS)
        self.images: dict[bytes, Image] = {}
        self.held: dict[str, list[Pending]] = {name: [] for name in DESTINATIONS}
        self.paused: set[str] = set()
        self.gave_up: set[tuple[int, str]] = set()
        self.receiving: set[int] = set()

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)

    def of(self, study: int) -> Iterator[Image]:
        return (image for image in self.images.values() if image.study == study)

    # --- what happens -------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """Most of what is interesting needs a study that was sent in part."""
        for study, count in ((1, 4), (2, 2)):
            for number in range(count):
                self.arrive(study, number, 0)

    @rule(study=st.sampled_from(STUDIES), numbers=st.lists(NUMBERS, min_size=1), variant=st.sampled_from([0, 0, 1]))
    def scan(self, study: int, numbers: list[int], variant: int) -> None:
        for number in numbers:
            self.arrive(study, number, variant)

    def arrive(self, study: int, number: int, variant: int) -> None:
        uid = sop_uid(study, number)
        twins = [image for image in self.of(study) if image.here and image.uid == uid]
        known = any(image.variant == variant for image in twins)
        receipt = take(self.spool, study, number, size=SIZE, variant=variant)
        assert receipt.kept is (Kept.KNOWN if known else Kept.CONFLICT if twins else Kept.NEW)
        if known:
            return
        self.receiving.add(study)
        image = Image(study, uid, variant, conflict=bool(twins))
        self.images[receipt.object_id] = image
        if not twins:
            image.waiting.update(DESTINATIONS)
            self.gave_up -= {(study, name) for name in DESTINATIONS}

    @precondition(lambda self: any(image.waiting for image in self.images.values()))
    @rule(destination=st.sampled_from(DESTINATIONS), count=st.integers(1, 8))
    def hand_out(self, destination: str, count: int) -> None:
        busy = {(image.delivery, image.image) for image in self.held[destination]}
        free = [image for image in due(self.spool, destination) if (image.delivery, image.image) not in busy]
        chosen = free[:count]
        assert self.spool.ledger.sending(chosen, "Images are on their way.") == chosen
        self.held[destination] += chosen

    @precondition(lambda self: any(self.held.values()))
    @rule(
        destination=st.sampled_from(DESTINATIONS),
        count=st.integers(1, 8),
        verdict=st.sampled_from([Verdict.DONE, Verdict.DONE, *Verdict]),
        status=st.sampled_from([None, 0xA700]),
        version=VERSIONS,
    )
    def answer(self, destination: str, count: int, verdict: Verdict, status: int | None, version: int) -> None:
        handed, self.held[destination] = self.held[destination][:count], self.held[destination][count:]
        outcome = Outcome(verdict, f"It was {verdict}.", status if verdict is Verdict.LATER else 0)
        given = [Answer(image.image, image.delivery, outcome, 1, profile_version=version) for image in handed]
        before = {study for study in STUDIES if self.waits(study, destination)}
        ended = self.spool.ledger.record(given, self.spool.tick()).ended
        for pending in handed:
            image = self.images[pending.object_id]
            if destination in image.waiting and verdict is not Verdict.LATER:
                image.waiting.discard(destination)
                if verdict is Verdict.HELD:
                    image.held[destination] = version
                else:
                    (image.refused if verdict is Verdict.NEEDS_PERSON else image.acknowledged).add(destination)
        after = {study for study in STUDIES if self.waits(study, destination)}
        assert {short for short, _, _ in ended} == {self.spool.studies.find(f"1.2.3.{s}")[1] for s in before - after}

    @precondition(lambda self: any(image.waiting for image in self.images.values()))
    @rule(
        destination=st.sampled_from(DESTINATIONS),
        count=st.integers(1, 8),
        verdict=st.sampled_from(Verdict),
        version=VERSIONS,
    )
    def send(self, destination: str, count: int, verdict: Verdict, version: int) -> None:
        self.hand_out(destination, count)
        self.answer(destination, count, verdict, 0xA700, version)

    @precondition(lambda self: any(image.held for image in self.images.values()))
    @rule(destination=st.sampled_from(DESTINATIONS), version=VERSIONS)
    def look_again(self, destination: str, version: int) -> None:
        again = [
            image for image in self.images.values() if image.here and image.held.get(destination, version) != version
        ]
        assert self.spool.ledger.look_again(destination, version, 9) == len(again)
        for image in again:
            del image.held[destination]
            image.waiting.add(destination)
            self.gave_up.discard((image.study, destination))

    def waits(self, study: int, destination: str) -> bool:
        return any(destination in image.waiting for image in self.of(study))

    @precondition(lambda self: any(self.held.values()))
    @rule(destination=st.sampled_from(DESTINATIONS))
    def put_back(self, destination: str) -> None:
        self.spool.ledger.not_sent(self.held[destination])
        self.held[destination].clear()

    @rule(destination=st.sampled_from(DESTINATIONS), later=st.booleans())
    def defer_or_requeue(self, destination: str, later: bool) -> None:
        if later:
            self.spool.ledger.defer(destination, "It does not answer.", 7)
        else:
            self.spool.ledger.requeue(destination)

    @rule(destination=st.sampled_from(DESTINATIONS), paused=st.booleans())
    def pause(self, destination: str, paused: bool) -> None:
        self.spool.ledger.pause(destination, paused=paused)
        (self.paused.add if paused else self.paused.discard)(destination)

    @rule(
        study=st.sampled_from(STUDIES), destinations=st.sampled_from([("pacs",), DESTINATIONS]), one=st.none() | NUMBERS
    )
    def resend(self, study: int, destinations: tuple[str, ...], one: int | None) -> None:
        self.spool.settle()
        here = {object_id: image for object_id, image in self.images.items() if image.study == study and image.here}
        if not here:
            return
        if one is None:
            number, chosen = None, [image for image in here.values() if not image.conflict]
        else:
            object_id = sorted(here)[one % len(here)]
            number, chosen = self.spool.studies.image(find(self.spool, study), object_id.hex()), [here[object_id]]
        count = self.spool.ledger.resend(find(self.spool, study), destinations, number, 9, matches=False)
        assert count == len(chosen) * len(destinations)
        for image in chosen:
            image.waiting.update(destinations)
            image.acknowledged.difference_update(destinations)
            image.refused.difference_update(destinations)
            for name in destinations:
                image.held.pop(name, None)
        if chosen:
            self.gave_up -= {(study, name) for name in destinations}

    @rule()
    def grow_quiet(self) -> None:
        close_studies(self.spool)
        self.receiving.clear()

    @precondition(lambda self: any(image.acknowledged for image in self.images.values()))
    @rule(study=st.sampled_from(STUDIES))
    def purge(self, study: int) -> None:
        self.spool.settle()
        leaving = [image for image in self.of(study) if image.may_leave]
        if any(True for _ in self.of(study)):
            assert self.spool.housekeeping.purge(find(self.spool, study), 5) == len(leaving)
        for image in leaving:
            image.here = False

    @rule()
    def tidy(self) -> None:
        self.spool.housekeeping.compact()
        self.spool.housekeeping.release_segments()

    @rule(study=st.sampled_from(STUDIES))
    def discard(self, study: int) -> None:
        self.spool.settle()
        try:
            count = self.spool.housekeeping.discard(find(self.spool, study), 5, "A person said so.")
        except NotFound:
            assert not any(True for _ in self.of(study))
            return
        except TryAgain:
            assert study in self.receiving
            return
        except Refused:
            assert not any(image.here for image in self.of(study))
            return
        assert count == sum(image.here for image in self.of(study))
        for name in DESTINATIONS:
            unfinished = any(name in image.waiting | image.troubled for image in self.of(study))
            if unfinished and any(name in image.acknowledged for image in self.of(study)):
                self.gave_up.add((study, name))
        for image in self.of(study):
            image.here = False
            image.waiting.clear()
            image.refused.clear()
            image.held.clear()

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        if kill:
            copy = as_after_a_kill(self.root, self.folder / str(int(self.root.name) + 1))
            self.spool.close()
            shutil.rmtree(self.root)
            self.root = copy
        else:
            self.spool.close()
        self.spool = open_spool(self.root, destinations=DESTINATIONS)
        for held in self.held.values():
            held.clear()

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def the_queue_is_what_was_not_answered(self) -> None:
        for name in DESTINATIONS:
            expected = {object_id for object_id, image in self.images.items() if name in image.waiting}
            assert {image.object_id for image in due(self.spool, name)} == expected
            backlog = self.spool.ledger.backlog(name)
            assert backlog.images == len(expected)
            assert backlog.bytes == SIZE * len(expected)
            assert backlog.refused == sum(name in image.refused for image in self.images.values())
            assert backlog.held == sum(name in image.held for image in self.images.values())
            assert backlog.delivered == sum(name in image.acknowledged for image in self.images.values())

    @invariant()
    def states_say_what_the_images_came_to(self) -> None:
        for study in STUDIES:
            if not any(True for _ in self.of(study)):
                continue
            seen = self.spool.studies.detail(find(self.spool, study), "x").study
            assert (seen.state is StudyState.RECEIVING) == (study in self.receiving)
            for delivery in seen.deliveries:
                name = delivery.destination
                waiting, troubled = self.waits(study, name), any(name in image.troubled for image in self.of(study))
                assert delivery.images > 0
                if waiting:
                    assert delivery.state in {DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DEFERRED}
                elif troubled or (study, name) in self.gave_up:
                    assert delivery.state is DeliveryState.FAILED
                    assert delivery.reason
                else:
                    assert delivery.state is DeliveryState.DELIVERED
                    assert delivery.delivered_at is not None

    @invariant()
    def counts_add_up(self) -> None:
        recount(self.spool)
        counts = self.spool.counts()
        here = [image for image in self.images.values() if image.here]
        assert (counts.images, counts.bytes) == (len(here), SIZE * len(here))
        assert counts.undelivered == sum(bool(image.waiting) for image in self.images.values())
        assert counts.conflicts == sum(image.conflict for image in here)
        assert self.spool.ledger.paused() == self.paused

    @invariant()
    def only_what_every_destination_has_is_a_candidate(self) -> None:
        for candidate in self.spool.housekeeping.candidates().studies:
            (study,) = [study for study in STUDIES if self.has(study) and find(self.spool, study) == candidate.study]
            assert not any(image.waiting or image.troubled for image in self.of(study))

    def has(self, study: int) -> bool:
        return any(True for _ in self.of(study))


@pytest.mark.torture
def test_the_ledger_keeps_its_promises_whatever_happens() -> None:
    run(Ledgers, examples=25, steps=40)
