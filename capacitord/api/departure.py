"""What is open when the coach is to leave: at the active site, or without one at all others; free of patient data."""

from __future__ import annotations

from datetime import datetime

from capacitord.api.messages import Answer, SiteEntry
from capacitord.model.delivery import WhenInactive
from capacitord.model.departure import Leave, Matter


class OnTheWay(Answer, frozen=True):
    """What waits for a destination. `eta` is in seconds at the `rate` (bytes a second) of the last minutes.

    It is None where that is unknown. `moves` is false where nothing leaves at the moment, and then `reason` says why.
    """

    destination: str
    images: int
    bytes: int
    rate: float
    eta: float | None
    moves: bool = True
    reason: str = ""


class Departure(Answer, frozen=True):
    """Whether the coach may leave, and all that is open.

    `after` says what becomes of the rest under this profile: under `when_inactive`, for `drain_for` seconds, None for
    as long as it takes. `eta` is until all of `on_the_way` has left, None if unknown. Of the other images `undecided`
    ones still get to know where they go, `held_images` of `held_studies` go nowhere before a person decides.
    `missing_images` of `missing_studies` and all of `announced_studies` were named by scanners, and are not here.
    `damaged_images` cannot be read here any more, and no destination has taken them in.

    Where no site is active, `site` is empty, and all of it is about the sites in `behind`: those that left something,
    as far as that is known without looking into their spools. Studies are not counted then.
    """

    schema: str
    now: datetime
    site: str
    name: str
    leave: Leave
    matters: tuple[Matter, ...]
    when_inactive: WhenInactive
    drain_for: float | None
    after: str
    on_the_way: tuple[OnTheWay, ...]
    images: int
    bytes: int
    eta: float | None
    undecided: int
    associations: int
    receiving_studies: int
    held_studies: int
    held_images: int
    refused_images: int
    held_back_images: int
    damaged_images: int
    missing_images: int
    missing_studies: tuple[str, ...]
    announced_studies: int
    begun_studies: int
    behind: tuple[SiteEntry, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the coach may leave with nothing open."""
        return self.leave is Leave.NOW
