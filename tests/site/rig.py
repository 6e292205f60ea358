"""Deliveries of a real spool to peers on this machine, without the runtime's process around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from capacitord.api import messages as m
from capacitord.model.deidentify import Deidentification
from capacitord.model.destination import Destination
from capacitord.model.profile import Profile
from capacitord.model.routes import Route
from capacitord.model.transform import Transform
from capacitord.site.answers import Answers, Desks
from capacitord.site.backoff import Backoff
from capacitord.site.deciding import Deciding
from capacitord.site.deliveries import Deliveries
from capacitord.site.departing import Departing
from capacitord.site.explaining import Explaining
from capacitord.site.matching import NO_LIST, Matcher
from capacitord.site.preparation.pool import Pool
from capacitord.site.preparation.preparation import Preparation, keys_of
from capacitord.site.previewing import Previewing
from capacitord.site.resolving import Resolving
from capacitord.site.reviewing import Reviewing
from capacitord.site.worklist.answering import WorklistAnswers
from capacitord.site.worklist.keeper import WorklistKeeper
from capacitord.spool.disk import Disk
from capacitord.spool.routed import Decide
from capacitord.spool.store import Spool
from tests.site.broker import Broker
from tests.site.stock import KEY, open_spool
from tests.wait import wait_for

PATIENCE = 20.0
QUICK = Backoff(base=0.2, cap=1.0, least=0.05)


@dataclass
class Rig:
    """A spool, its deliveries, and what they said."""

    spool: Spool
    broker: Broker
    deliveries: Deliveries
    preparation: Preparation
    worklist: WorklistAnswers
    destinations: dict[str, Destination]
    notes: list[tuple[str, str, str, str]] = field(default_factory=list)
    version: int = 1
    queued: list[int] = field(default_factory=list)
    transforms: tuple[Transform, ...] = ()
    deidentifications: tuple[Deidentification, ...] = ()

    def wake(self) -> None:
        self.deliveries.wake()

    def become(self, *names: str, **changed: dict[str, Any]) -> None:
        """Take a new version of the profile with these destinations, some of their settings changed."""
        self.version += 1
        for name, settings in changed.items():
            self.destinations[name] = msgspec.structs.replace(self.destinations[name], **settings)
        self.preparation.take(self.profile(*names))
        self.deliveries.want([self.destinations[name] for name in names], self.version)
        self.deliveries.become()

    def profile(self, *names: str) -> Profile:
        """Return this version of the profile, with these destinations."""
        return Profile(
            "st-marys",
            "St. Mary's",
            self.version,
            "UTC",
            tuple(self.destinations[name] for name in names),
            transforms=self.transforms,
            deidentifications=self.deidentifications,
        )

    def answers(self) -> Answers:
        """Return what answers requests of the control socket."""
        names = tuple(self.destinations)
        profile = msgspec.structs.replace(self.profile(*names), routes=(Route(names),))
        explaining = Explaining(self.spool, lambda: profile, self.preparation, receiving=lambda: False)
        resolving = Resolving(self.spool, lambda: profile, self.preparation, receiving=lambda: False)
        previewing = Previewing(self.spool, self.preparation.pool)
        reviewing = Reviewing(
            self.spool, lambda: profile, Matcher(lambda: NO_LIST), self.worklist.entries, lambda: tuple(names)
        )
        departing = Departing(self.spool, self.deliveries, lambda: profile)
        deciding = Deciding(self.spool, self.worklist.entries, lambda: tuple(names))
        desks = Desks(explaining, resolving, previewing, self.worklist, reviewing, deciding, departing)
        return Answers(self.spool, self.deliveries, desks, lambda: None)

    def status(self, name: str = "pacs") -> m.DestinationStatus:
        return next(status for status in self.deliveries.status() if status.name == name)

    def wait_until_delivered(self, name: str = "pacs") -> m.DestinationStatus:
        """Wait until nothing waits for a destination."""
        return wait_for(
            lambda: status if (status := self.status(name)).waiting_images == 0 else None,
            within=PATIENCE,
            what=f"everything to be delivered to {name}",
        )

    def wait_for_reason(self, words: str, name: str = "pacs") -> m.DestinationStatus:
        """Wait until a destination's status gives a reason with these words."""
        wait_for(lambda: words in self.status(name).reason, within=PATIENCE, what=f"{name} to say {words!r}")
        return self.status(name)


def destination(name: str, port: int = 0, **settings: Any) -> Destination:
    """Return a destination of this machine; it does not wait long for answers."""
    return Destination(
        **{
            "name": name,
            "ae_title": f"{name.upper()}_AE",
            "host": "127.0.0.1",
            "port": port,
            "connect_timeout": 5.0,
            "response_timeout": 20.0,
            **settings,
        }
    )


@contextmanager
def rig(
    root: Path,
    *destinations: Destination,
    disk: Disk | None = None,
    start: bool = True,
    transforms: tuple[Transform, ...] = (),
    deidentifications: tuple[Deidentification, ...] = (),
    pool: Pool | None = None,
    decide: Decide | None = None,
) -> Iterator[Rig]:
    """Deliver from the spool at `root` while the block runs. Images go to all destinations, or as `decide` says.

    `pool` prepares them, and is closed in the end.
    """
    spool = open_spool(root, *(one.name for one in destinations), disk=disk, decide=decide)
    notes: list[tuple[str, str, str, str]] = []
    queued: list[int] = []
    with Broker(**{one.name: one.port for one in destinations}) as broker:
        preparation = Preparation(keys_of(KEY), Profile("st-marys", "", 0, "UTC", ()), pool)
        deliveries = Deliveries(
            spool,
            broker.connections,
            preparation,
            lambda *note: notes.append(note),
            QUICK,
            queued=lambda: queued.append(1),
        )
        keeper = WorklistKeeper(spool, broker.connections, Profile("st-marys", "", 0, "UTC", ()), hashes=bytes(32))
        worklist = WorklistAnswers(keeper, KEY)
        made = Rig(spool, broker, deliveries, preparation, worklist, {one.name: one for one in destinations}, notes)
        made.queued = queued
        made.transforms, made.deidentifications = transforms, deidentifications
        preparation.take(made.profile(*made.destinations))
        try:
            if start:
                deliveries.want(destinations, made.version)
                deliveries.become()
            yield made
        finally:
            deliveries.stop(1.0)
            preparation.close()
            keeper.stop()
            keeper.wait()
            spool.close()
