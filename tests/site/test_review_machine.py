"""No sequence of events delivers an unmatched study without a release."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capacitord.errors import Refused, TryAgain
from capacitord.model.matching import Candidate, MatchKey
from capacitord.model.profile import Profile
from capacitord.model.states import StudyState
from tests.site.reviewing import ANN, TO_PACS, Reviewing, entry, matching, reviewing
from tests.site.routes import put_image
from tests.site.stock import waiting
from tests.spool.recount import recount

PATIENTS = ("P1", "P2")
ORDERS = ("A-1", "A-2", "A-3")
NOTHING = ""
STUDIES = ("1.2.3", "1.2.4")


class Review(RuleBasedStateMachine):
    """Images, lists, versions of the profile, restarts and people, in any order.

    The model of what may leave is one line: an image leaves if its patient was released with its study, or if an entry
    with its
    accession number (or its patient and modality), on a list of that moment, was the only one, as a machine without
    any state would find it. Images may say nothing of their patient, or of their order: then another one of their study
    says it, and never one of another patient.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._closing = contextlib.ExitStack()
        self.version = 1
        self.rematch = False
        self.lists: list[tuple[Candidate, ...]] = [()]
        self.matches = True
        self.number = 0
        self.images: dict[str, tuple[str, str, str]] = {}
        self.released: dict[str, set[str]] = {}

    @initialize(rematch=st.booleans())
    def start(self, rematch: bool) -> None:
        self.rematch = rematch
        self._open()

    def _profile(self) -> Profile:
        found = matching(self.version, rematch=self.rematch)
        return found if self.matches else msgspec.structs.replace(found, matching=None)

    def _open(self) -> None:
        self.one: Reviewing = self._closing.enter_context(reviewing(Path(self._folder.name), self._profile()))
        self.one.fetch(*self.lists[-1], at=10.0 * len(self.lists))

    @rule(
        study=st.sampled_from(STUDIES),
        patient=st.sampled_from([*PATIENTS, NOTHING]),
        order=st.sampled_from([*ORDERS, NOTHING]),
    )
    def image(self, study: str, patient: str, order: str) -> None:
        if not self.matches and not any(study == known for known, _, _ in self.images.values()):
            # Nobody promises anything of a study that a profile without matching was the first to see.
            return
        self.number += 1
        put_image(self.one.spool, study, self.number, PatientID=patient, AccessionNumber=order)
        self.images[f"{study}.{self.number}"] = (study, patient, order)
        self.one.box.settled()

    @rule(entries=st.lists(st.tuples(st.sampled_from(PATIENTS), st.sampled_from(ORDERS)), max_size=3, unique=True))
    def fetch(self, entries: list[tuple[str, str]]) -> None:
        before = {each.reference: each.since for each in self.lists[-1]}
        at = 10.0 * (len(self.lists) + 1)
        fresh = tuple(
            entry(name, before.get(name, at), patient_id=patient, accession_number=order)
            for patient, order in entries
            for name in [f"{patient} {order}"]
        )
        self.lists.append(fresh)
        self.one.fetch(*fresh, at=at)
        self.one.box.settled()

    @rule(rematch=st.booleans(), matches=st.booleans())
    def another_version(self, rematch: bool, matches: bool) -> None:
        self.version, self.rematch, self.matches = self.version + 1, rematch, matches
        self.one.box.become(self._profile())
        self.one.box.settled()

    @rule(study=st.sampled_from(STUDIES))
    def close(self, study: str) -> None:
        if any(study == known for known, _, _ in self.images.values()):
            self.one.closed(study)

    @rule(
        study=st.sampled_from(STUDIES),
        what=st.sampled_from(["release", "discard", "restore"]),
        whose=st.sets(st.sampled_from([*PATIENTS, NOTHING]), min_size=1),
    )
    def decide(self, study: str, what: str, whose: set[str]) -> None:
        if not any(study == known for known, _, _ in self.images.values()):
            return
        releasing, number = self.one.spool.releasing, self.one.id(study)
        held = self.one.spool.studies.detail(number, "").study.state is StudyState.HELD
        try:
            if what == "release":
                seen = {each.patient.id for each in releasing.awaited(number) if each.release}
                releasing.release(number, TO_PACS, ANN, 5)
                assert held
                self.released.setdefault(study, set()).update(seen)
            elif what == "discard":
                releasing.set_aside(
                    number, "a test.", ANN, (5, 0.0), lambda found: [each for each in found if each.id in whose]
                )
                assert held
            else:
                releasing.restore(number)
        except (Refused, TryAgain):
            assert what == "restore" or not held

    @rule()
    def restart(self) -> None:
        self._closing.close()
        self._open()
        self.one.box.settled()

    @invariant()
    def nothing_leaves_that_may_not(self) -> None:
        if self.images:
            self.one.spool.settle()
            for uid in {*waiting(self.one.spool), *waiting(self.one.spool, "archive")}:
                study, patient, _ = self.images[uid]
                assert patient in self.released.get(study, ()) or self._follows(study, patient)
            recount(self.one.spool)

    def _follows(self, study: str, patient: str) -> bool:
        """Return whether an image may leave that no person has seen."""
        return (patient == NOTHING and study in self.released) or self._was_announced(study, patient)

    def _was_announced(self, study: str, patient: str) -> bool:
        """Return whether an image of the study had its own entry on some list, and nobody else's order was on that.

        The entry is not one of another patient.
        """
        said = {(who, order) for known, who, order in self.images.values() if known == study}
        return any(
            sum(each.identity.value(MatchKey.ACCESSION_NUMBER) == order.lower() for each in entries) == 1
            and any(each.reference == f"{owner} {order}" for each in entries)
            for entries in self.lists
            for who, order in said
            for owner in PATIENTS
            if {who, patient} <= {owner, NOTHING}
        )

    def teardown(self) -> None:
        self._closing.close()
        self._folder.cleanup()


Review.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestReview = Review.TestCase
