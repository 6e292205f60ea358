"""Where the box is: what is known, how sites are known, and what was decided. `model/locating.py` decides.

Times are seconds of a monotonic clock, distances metres.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord.model.fence import Standing, Where
from capacitord.model.presence import Phase, Presence


class Agreement(enum.StrEnum):
    """How much of the evidence of the network must agree with the position."""

    ANY = "any"
    ALL = "all"
    NONE = "none"


class Kind(enum.StrEnum):
    """What a piece of network evidence is about; the names are those of the profile's keys."""

    SUBNET = "subnet"
    GATEWAY_MAC = "gateway_mac"
    SSID = "ssid"
    DNS_SUFFIX = "dns_suffix"
    ECHO = "echo"
    ENDPOINT = "endpoint"


LINK: Final = frozenset({Kind.SUBNET, Kind.GATEWAY_MAC, Kind.SSID, Kind.DNS_SUFFIX})
"""What the box sees of its own link. The other kinds answer over the network, and a routed one reaches them, too."""


class Wanted(msgspec.Struct, frozen=True):
    """A piece of network evidence as a profile asks for it. `value` is it in words, and for the simple kinds itself."""

    kind: Kind
    value: str
    host: str = ""
    port: int = 0
    ae_title: str = ""
    certificate_sha256: str = ""

    @property
    def is_singular(self) -> bool:
        """Whether other places do not have the same by chance, as they have a private subnet."""
        return self.kind is Kind.GATEWAY_MAC or bool(self.certificate_sha256)


class Says(enum.StrEnum):
    """What one piece of evidence says of a site. That something is not there says nothing: it may be down."""

    FOR = "for"
    NOTHING = "nothing"
    AGAINST = "against"


class Clue(msgspec.Struct, frozen=True):
    """One piece of network evidence of a site, what it says now, and why."""

    wanted: Wanted
    says: Says
    reason: str


class SiteRules(msgspec.Struct, frozen=True):
    """How a site is known, by its profile. `dwell` in seconds."""

    site: str
    fence: bool
    dwell: float
    agreement: Agreement = Agreement.ANY
    wanted: tuple[Wanted, ...] = ()

    @property
    def by_network(self) -> bool:
        """Whether its network evidence counts at all."""
        return bool(self.wanted) and self.agreement is not Agreement.NONE


class Evidence(msgspec.Struct, frozen=True):
    """All that is known at one moment.

    `standings` are of the sites with a geofence, and None without a position that counts; `no_position` says why.
    """

    standings: Mapping[str, Standing] | None = None
    no_position: str = "there is no position"
    clues: Mapping[str, tuple[Clue, ...]] = MappingProxyType({})


class Network(enum.StrEnum):
    """What all network evidence of a site says together."""

    AGREES = "agrees"
    SILENT = "silent"
    DENIES = "denies"
    NOT_ASKED = "not asked"


class SiteView(msgspec.Struct, frozen=True):
    """What the evidence says of one site: the phase since `since`, the distance to the fence if there is one."""

    site: str
    phase: Phase
    since: float
    network: Network
    where: Where | None
    distance: float | None
    explanation: str


class Decision(msgspec.Struct, frozen=True):
    """The site the evidence means, or none, and why.

    With a `conflict` there is no site, and nothing may be opened. `kept` are then the sites that the box was at and has
    not left as far as is known: one of them that is open may stay so. Without a conflict no site means: at none.

    `doubt` says why the site must not be opened now, though one that is open stays so: it is being left, or nothing has
    said since a start that the box is still there.
    """

    site: str | None
    conflict: bool = False
    reasons: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    sites: tuple[SiteView, ...] = ()
    doubt: str = ""

    @property
    def outcome(self) -> tuple[str | None, bool, tuple[str, ...]]:
        """What it comes to: two decisions with the same one differ in their reasons only."""
        return self.site, self.conflict, self.kept


class Memory(msgspec.Struct, frozen=True):
    """What is carried from one decision to the next: each site's presence, and the site that was decided last.

    `unsaid` is when the box began to be asked, until something says that it is at that site still; None from then on.
    `left` says in words which site was left last and why, until there is a site again. `fitting` are the sites whose
    network agreed, too, while the box was surely at the one that was decided; None if it was not yet since a start.
    """

    presences: Mapping[str, Presence] = MappingProxyType({})
    site: str = ""
    unsaid: float | None = None
    left: str = ""
    fitting: frozenset[str] | None = None


NOWHERE: Final = Memory()


def at(site: str, now: float) -> Memory:
    """Return the memory of a box that was at a site when it was last asked, and has heard nothing since."""
    return Memory(MappingProxyType({site: Presence(phase=Phase.HERE, since=now)}), site, unsaid=now)
