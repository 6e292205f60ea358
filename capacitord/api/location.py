"""Where the box is by the evidence, as the control socket tells it. Ages are in seconds, lengths in metres."""

from __future__ import annotations

from capacitord.api.messages import Answer
from capacitord.model.fence import Where
from capacitord.model.location import Network, Says
from capacitord.model.presence import Phase


class PositionNow(Answer, frozen=True):
    """Where a receiver says the box is, in degrees (WGS 84), right within `accuracy` metres; `age` is in seconds."""

    latitude: float
    longitude: float
    accuracy: float
    age: float


class EvidenceNow(Answer, frozen=True):
    """A piece of evidence, what was seen of it last, and how many seconds ago.

    `kind` is "position", or the key of a profile's evidence; `asked` is who is asked for it. With a `problem` it is no
    evidence now. `speaks_for` and `against` are sites.
    """

    kind: str
    label: str
    asked: str = ""
    value: str = ""
    age: float | None = None
    problem: str = ""
    hint: str = ""
    speaks_for: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


class ClueNow(Answer, frozen=True):
    """What a piece of network evidence of a site says, and why."""

    kind: str
    wanted: str
    says: Says
    reason: str


class SiteNow(Answer, frozen=True):
    """What the evidence says of one site; `distance` is to the edge of its area, positive inside."""

    site: str
    name: str
    phase: Phase
    network: Network
    where: Where | None
    distance: float | None
    explanation: str
    clues: tuple[ClueNow, ...] = ()


class Location(Answer, frozen=True):
    """All evidence, and the decision that follows from it.

    `follows` says whether sites are chosen by evidence on this box, and `manual` why not. With a `conflict` there is no
    site; `kept` are then sites that the box has not left as far as is known. `position` counts now, or is None.
    """

    schema: str
    follows: bool
    manual: str
    site: str | None
    conflict: bool
    reasons: tuple[str, ...]
    kept: tuple[str, ...]
    position: PositionNow | None
    evidence: tuple[EvidenceNow, ...]
    sites: tuple[SiteNow, ...]
