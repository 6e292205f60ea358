"""What has been seen on the stage so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from capacitord.api.demo import Answered, Broken, DemoImage, Kept, Listening, Loaded, Report, Sent
from capacitord.api.messages import DestinationStatus, Event, Status, StatusEvent

SUCCESS = 0x0000


@dataclass
class Seen:
    """Everything that the roles and the box have told. `arrived` has, by PACS and UID, each arrival."""

    images: tuple[DemoImage, ...] = ()
    ports: dict[str, int] = field(default_factory=dict)
    answers: dict[str, list[int | None]] = field(default_factory=dict)
    arrived: dict[str, dict[str, list[Kept]]] = field(default_factory=dict)
    orders_done: int = 0
    broken: Broken | None = None
    status: Status | None = None

    def report(self, who: str, report: Report) -> None:
        """Take in what a role reports."""
        match report:
            case Loaded():
                self.images = report.images
            case Listening():
                self.ports[who] = report.port
            case Answered():
                self.answers.setdefault(report.sop_instance_uid, []).append(report.status)
            case Sent():
                self.orders_done += 1
            case Kept():
                self.arrived.setdefault(who, {}).setdefault(report.sop_instance_uid, []).append(report)
            case Broken():
                self.broken = report

    def event(self, event: Event) -> None:
        """Take in what the box tells."""
        if isinstance(event, StatusEvent):
            self.status = event.status

    @property
    def safe(self) -> frozenset[str]:
        """The images that the box answered Success."""
        return frozenset(uid for uid, found in self.answers.items() if SUCCESS in found)

    @property
    def refused(self) -> frozenset[str]:
        """The images that were once answered anything else, or not at all."""
        return frozenset(uid for uid, found in self.answers.items() if set(found) != {SUCCESS})

    def destination(self, name: str) -> DestinationStatus | None:
        """Return what the box says of a destination."""
        traffic = self.status.traffic if self.status is not None else None
        return next((item for item in traffic.destinations if item.name == name), None) if traffic else None

    def has_all(self, name: str) -> bool:
        """Say whether the box thinks that a PACS has every image it answered Success for, but for those held."""
        found = self.destination(name)
        return found is not None and found.waiting_images == 0 and found.delivered_images >= len(self.safe) - self.held

    @property
    def held(self) -> int:
        """How many images go nowhere until a person says so."""
        return self.status.traffic.spool.held_images if self.status is not None and self.status.traffic else 0
