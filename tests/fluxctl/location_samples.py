"""Evidence of where a coach is, as the daemon would tell it. Names are invented."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.api.location import ClueNow, EvidenceNow, Location, PositionNow, SiteNow
from capacitord.model.fence import Where
from capacitord.model.location import Decision, Network, Says
from capacitord.model.preflight import Clearance
from capacitord.model.presence import Phase
from capacitord.model.states import GateState
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.following import against
from capacitord.supervisor.gate import Facts, decide
from capacitord.supervisor.location_answers import of_conflict
from tests.fluxctl import samples as s
from tests.fluxctl.samples import changed


class Followed(NamedTuple):
    """What tells a box where it is that goes by it."""

    decision: Decision
    follows: bool = True

    def look(self) -> Decision:
        return self.decision

    def begin(self, site: str) -> None:
        """Take nothing for granted."""


def opened(decision: Decision, chosen: m.Chosen) -> m.Gate:
    """Return the gate of a site that is open, as by this decision or against it."""
    facts = Facts("st-marys", runtime=m.RuntimeState.RUNNING, bound=True, heard=True, clearance=Clearance.SAME)
    facts = replace(facts, against=against(Followed(decision), Choice("st-marys", chosen)))
    return msgspec.structs.replace(decide(GateState.OPEN, facts), since=s.OPEN.since)


SUBNET = ClueNow("subnet", "10.20.0.0/16", Says.FOR, "subnet 10.20.0.0/16: 10.20.5.7 is in it")
NO_WIFI = ClueNow("ssid", "StMarys-Imaging", Says.NOTHING, "Wi-Fi StMarys-Imaging: this box is in no wireless network")
PINNED = ClueNow(
    "endpoint",
    "10.20.1.10:2762",
    Says.FOR,
    "endpoint 10.20.1.10:2762: it shows the certificate 9f86d081884c7d65…",
)
OTHER = ClueNow(
    "endpoint",
    "10.20.1.10:2762",
    Says.AGAINST,
    "endpoint 10.20.1.10:2762: it shows another certificate: 60303ae22b998861…, and not 9f86d081884c7d65…",
)
ST_MARYS = SiteNow(
    "st-marys",
    "St. Mary's Hospital",
    Phase.HERE,
    Network.AGREES,
    Where.INSIDE,
    82.4,
    "82 m inside; its network agrees",
    (SUBNET, NO_WIFI, PINNED),
)
LAKESIDE = SiteNow(
    "lakeside",
    "Lakeside Clinic",
    Phase.AWAY,
    Network.SILENT,
    Where.OUTSIDE,
    -12_402.0,
    "12 km outside; nothing is seen of its network",
)
EVIDENCE = (
    EvidenceNow(
        "position",
        "position",
        "gpsd 127.0.0.1:2947",
        "41.88312, -87.62510 ± 6 m, 3D fix of /dev/ttyUSB0",
        0.8,
        speaks_for=("st-marys",),
    ),
    EvidenceNow("subnet", "addresses", "", "10.20.5.7/24 (eth0)", 3.1, speaks_for=("st-marys",)),
    EvidenceNow("gateway_mac", "gateway", "", "00:11:22:33:44:55 (10.20.5.1, eth0)", 3.1),
    EvidenceNow("ssid", "Wi-Fi", problem="this box is in no wireless network"),
    EvidenceNow("dns_suffix", "DNS suffix", "", "stm.example", 3.1),
    EvidenceNow(
        "endpoint",
        "endpoint",
        "10.20.1.10:2762",
        "it shows the certificate 9f86d081884c7d65…",
        7.4,
        speaks_for=("st-marys",),
    ),
)
HERE = Location(
    schema="fluxctl.site.location/1",
    follows=True,
    manual="",
    site="st-marys",
    conflict=False,
    reasons=("st-marys: 82 m inside", SUBNET.reason, PINNED.reason),
    kept=(),
    position=PositionNow(41.88312, -87.6251, 6.0, 0.8),
    evidence=EVIDENCE,
    sites=(LAKESIDE, ST_MARYS),
)
FAR = changed(
    HERE,
    evidence=(
        *EVIDENCE,
        EvidenceNow(
            "echo",
            "echo",
            "STMARYS_ARCHIVE at archive.radiology.stm.example:11112",
            "it answers a C-ECHO",
            7.4,
            speaks_for=("st-marys",),
        ),
    ),
)
CONFLICT = changed(
    HERE,
    site=None,
    conflict=True,
    reasons=("st-marys: 82 m inside, and its network contradicts", OTHER.reason),
    kept=("st-marys",),
    evidence=(
        *EVIDENCE[:-1],
        changed(
            EVIDENCE[-1],
            value="it shows another certificate: 60303ae22b998861…, and not 9f86d081884c7d65…",
            speaks_for=(),
            against=("st-marys",),
        ),
    ),
    sites=(
        LAKESIDE,
        changed(
            ST_MARYS,
            network=Network.DENIES,
            explanation="82 m inside; its network contradicts",
            clues=(SUBNET, NO_WIFI, OTHER),
        ),
    ),
)
LOST = changed(
    HERE,
    reasons=("nothing says that the box has left st-marys", "the position is 84 s old", SUBNET.reason),
    position=None,
    evidence=(
        changed(
            EVIDENCE[0],
            age=84.0,
            problem="the position is 84 s old",
            hint="See what the receiver sees: cgps",
            speaks_for=(),
        ),
        *EVIDENCE[1:],
    ),
    sites=(
        changed(LAKESIDE, where=None, distance=None, explanation="without a position; nothing is seen of its network"),
        changed(ST_MARYS, where=None, distance=None, explanation="without a position; its network agrees"),
    ),
)
LEAVING = changed(
    HERE,
    reasons=("st-marys is left in 240 s", "st-marys: 919 m outside"),
    evidence=tuple(changed(each, speaks_for=()) for each in EVIDENCE),
    sites=(
        LAKESIDE,
        changed(
            ST_MARYS,
            phase=Phase.LEAVING,
            where=Where.OUTSIDE,
            distance=-919.0,
            network=Network.SILENT,
            explanation="919 m outside; nothing is seen of its network",
            clues=(),
        ),
    ),
)
UNKNOWN = changed(
    LOST,
    reasons=("nothing says that the box has left st-marys", "the position is 84 s old"),
    evidence=tuple(changed(each, speaks_for=()) for each in LOST.evidence),
    sites=(
        LOST.sites[0],
        changed(
            LOST.sites[1],
            network=Network.SILENT,
            explanation="without a position; nothing is seen of its network",
            clues=(NO_WIFI,),
        ),
    ),
)
MANUAL = changed(
    HERE,
    follows=False,
    manual="no profile says how its site is known: none has [location]",
    site=None,
    reasons=("no profile says how its site is known: none has [location]",),
    evidence=(
        EvidenceNow(
            "position",
            "position",
            problem="this box has no GPS",
            hint="Name its gpsd in capacitord.toml: [location] gpsd",
        ),
        *EVIDENCE[1:5],
    ),
    position=None,
    sites=(),
)
LINE = m.LocationLine(True, "st-marys", False, "st-marys: 82 m inside")
LINE_IN_CONFLICT = m.LocationLine(
    True, None, True, "the position says st-marys (82 m inside), and the network says lakeside"
)

_BY_EVIDENCE = m.Chosen(s.ago(hours=6), "evidence", chooser=m.Chooser.EVIDENCE)
OPEN_IN_CONFLICT = changed(
    s.STATUS,
    gate=opened(Decision(None, conflict=True, kept=("st-marys",)), _BY_EVIDENCE),
    location=LINE_IN_CONFLICT,
    chosen=_BY_EVIDENCE,
    advice=(of_conflict(Choice("st-marys", _BY_EVIDENCE), is_open=True),),
)
