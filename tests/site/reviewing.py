"""What the tests of matching and review share: a worklist in memory, and a box that matches with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from capacitord.model.matching import Candidate, Identity, MatchKey, Rule
from capacitord.model.profile import Matching, Profile
from capacitord.model.review import Terms
from capacitord.model.states import StudyState
from capacitord.site.matching import Listing
from capacitord.site.routing import Routing
from capacitord.spool.releasing import Person, Release
from capacitord.spool.store import Spool
from tests.site.routes import Box, route, routed_spool, running, study_of, version
from tests.wait import wait_for

RULES: tuple[Rule, ...] = ((MatchKey.ACCESSION_NUMBER,), (MatchKey.PATIENT_ID, MatchKey.MODALITY))
ANN = Person(1001, "ann")
BOB = Person(1002, "bob", "Dr Bob")
TO_PACS = Release(("pacs",), "she is Jane")


def entry(reference: str, since: float = 1.0, **values: str) -> Candidate:
    """Return an entry with values by the names of `MatchKey`, in small letters."""
    return Candidate(reference, since, Identity({MatchKey[name.upper()]: value for name, value in values.items()}))


def matching(number: int = 1, *, rematch: bool = False, release_to: tuple[str, ...] = ()) -> Profile:
    """Return a version of a profile that matches, and sends what matches to pacs."""
    plain = version(number, route("pacs"), names=("pacs", "archive"))
    return msgspec.structs.replace(plain, matching=Matching(RULES, Terms(rematch, release_to)))


@dataclass
class Reviewing:
    """A box, and the worklist it matches with, which was looked at `looks` times."""

    box: Box
    entries: list[Candidate] = field(default_factory=list)
    listing: Listing = field(default_factory=Listing)
    looks: int = 0

    @property
    def spool(self) -> Spool:
        return self.box.spool

    def fetch(self, *entries: Candidate, at: float = 10.0) -> None:
        """Have a list come."""
        self.listing = Listing(entries, at)
        self.box.router.wake()

    def closed(self, study: str) -> StudyState:
        """Wait until everything is decided and the study is closed; return what it came to."""
        self.box.settled()

        def done() -> bool:
            self.spool.close_arrived(0.0)
            return study_of(self.spool, study).state not in {StudyState.RECEIVING, StudyState.COMPLETE}

        wait_for(done, within=20.0, what="the study to be closed")
        return study_of(self.spool, study).state

    def id(self, study: str) -> int:
        return self.spool.studies.find(study)[0]


@contextmanager
def reviewing(root: Path, profile: Profile) -> Iterator[Reviewing]:
    """Match and route while the block runs."""
    routing = Routing(profile)
    made: list[Reviewing] = []
    spool = routed_spool(root, routing)

    def listing() -> Listing:
        if not made:
            return Listing()
        made[0].looks += 1
        return made[0].listing

    with running(spool, routing, worklist=listing) as box:
        made.append(Reviewing(box))
        yield made[0]
