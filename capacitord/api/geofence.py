"""The areas of the sites as the control socket tells them, and what `fluxctl geofence` finds of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from capacitord.api.messages import Answer
from capacitord.model.fence import Where
from capacitord.model.presence import LEAVE_AFTER


class Position(Answer, frozen=True):
    """A position in degrees (WGS 84), right within `accuracy` metres; `at` is when it was taken, if anybody knows."""

    latitude: float
    longitude: float
    accuracy: float = 0.0
    at: datetime | None = None


class SiteArea(Answer, frozen=True):
    """The area of a site: a GeoJSON geometry (RFC 7946), None if its profile has none or cannot be read.

    `dwell` is how many seconds the coach must have been inside. `problem` says why the profile cannot be read.
    """

    id: str
    name: str
    timezone: str
    geometry: dict[str, Any] | None
    dwell: float = 90.0
    active: bool = False
    problem: str = ""


class SiteAreas(Answer, frozen=True):
    """The areas of all sites, how many seconds outside end a presence, and where the box is if it knows."""

    schema: str
    sites: tuple[SiteArea, ...]
    leave_after: float = LEAVE_AFTER
    position: Position | None = None


class Stood(Answer, frozen=True, tag_field="kind", tag="site"):
    """How a position stands to a site: `distance` in metres to the edge is positive inside.

    Both are None of a site without an area, with the reason in `problem` if there should be one.
    """

    site: str
    name: str
    where: Where | None
    distance: float | None
    dwell: float
    problem: str = ""


class Visit(Answer, frozen=True, tag_field="kind", tag="visit"):
    """A stay of a track in an area: surely inside since `entered`, and again and again until `seen`.

    `opened` is when the dwell was over, None if it never was. From `left` on it was surely outside, and at `closed` for
    long enough; both are None if the track ends before. `inside` are the seconds of the dwell that were counted.
    """

    site: str
    entered: datetime
    seen: datetime
    inside: float
    dwell: float
    opened: datetime | None = None
    left: datetime | None = None
    closed: datetime | None = None


class Track(Answer, frozen=True):
    """What was read of a track: its fixes with a time, what was left out, and the longest gap in seconds."""

    file: str
    fixes: int
    begin: datetime
    end: datetime
    longest_gap: float
    without_time: int = 0
    out_of_order: int = 0


class Tested(Answer, frozen=True):
    """What positions come to: of one position how it stands to each site, of a track the stays in each area.

    `chosen` is the site that the position alone would choose; if it is None, `reason` says why. `conflict` says that
    several sites were there at the same time.
    """

    accuracy: float
    reason: str
    conflict: bool = False
    position: Position | None = None
    chosen: str | None = None
    sites: tuple[Stood, ...] = ()
    track: Track | None = None
    visits: tuple[Visit, ...] = ()

    @property
    def lines(self) -> tuple[Stood | Visit, ...]:
        """What there is a line of: stays, or sites."""
        return self.visits if self.track is not None else self.sites


class Doubt(Answer, frozen=True, tag_field="kind", tag="doubt"):
    """Something about the area of a site that needs a look. `other` is the site that it overlaps with."""

    site: str
    message: str
    hint: str = ""
    other: str = ""


class Spot(Answer, frozen=True, tag_field="kind", tag="spot"):
    """A named position: the sites that it is in, and else the `nearest` one and the metres to it."""

    name: str
    latitude: float
    longitude: float
    sites: tuple[str, ...]
    nearest: str | None = None
    distance: float | None = None


class AreasChecked(Answer, frozen=True):
    """All that needs a look; `without` are the sites that have no area."""

    sites: tuple[str, ...]
    without: tuple[str, ...]
    doubts: tuple[Doubt, ...]
    spots: tuple[Spot, ...]

    @property
    def lines(self) -> tuple[Doubt | Spot, ...]:
        """What there is a line of."""
        return (*self.doubts, *self.spots)

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a look: each named position is in one area, and of no area there is a doubt."""
        return not self.doubts and all(len(spot.sites) == 1 for spot in self.spots)


class Mapped(Answer, frozen=True):
    """The map: the areas on it, the position if it is known, and the files that were written."""

    sites: tuple[SiteArea, ...]
    position: Position | None = None
    files: tuple[str, ...] = ()
