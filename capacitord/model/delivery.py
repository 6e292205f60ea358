"""When and in which portions images leave."""

from __future__ import annotations

import enum

import msgspec


class Policy(enum.StrEnum):
    """When images leave: as they come, while the box is in one of its networks, or in windows of time."""

    REALTIME = "realtime"
    DOCKED = "docked"
    SCHEDULED = "scheduled"


class WhenInactive(enum.StrEnum):
    """What becomes of a site's queue after the coach has left."""

    STOP = "stop"
    DRAIN = "drain"


class Inactive(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same with how long: what drains does so for `seconds` at most; None: until nothing is left."""

    manner: WhenInactive = WhenInactive.STOP
    seconds: float | None = None

    @property
    def drains(self) -> bool:
        """Whether images go on leaving."""
        return self.manner is WhenInactive.DRAIN


class Send(enum.StrEnum):
    """Whether images leave as they arrive, or whole studies only."""

    STUDY = "study"
    IMAGE = "image"


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """After how much an association is closed: images, bytes, or a whole study. All empty: when nothing waits."""

    images: int | None = None
    size: int | None = None
    study: bool = False
