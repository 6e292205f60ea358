"""A site that the coach may leave, or not, and one that it has left."""

from __future__ import annotations

from typing import Final

from capacitord.api import messages as m
from capacitord.api.departure import Departure, OnTheWay
from capacitord.model.delivery import Inactive, WhenInactive
from capacitord.model.departure import Facts, Leave, judged
from capacitord.site.departing import after
from capacitord.supervisor.left_behind import departure
from tests.fluxctl import samples as s

STOP: Final = Inactive()
DRAIN: Final = Inactive(WhenInactive.DRAIN, 4 * 3600.0)
_OPEN: Final = judged(
    Facts(
        STOP,
        waiting=34,
        stuck=4,
        associations=1,
        receiving=1,
        held_studies=2,
        held=96,
        missing=4,
        missing_studies=1,
        announced=1,
    )
)
TEN_MINUTES: Final = Inactive(WhenInactive.DRAIN, 600.0)
_STUCK: Final = judged(Facts(TEN_MINUTES, waiting=4, stuck=4))
_GOES: Final = judged(Facts(DRAIN, waiting=34))
CLEAR: Final = Departure(
    schema="fluxctl.site.departure/1",
    now=s.NOW,
    site="st-marys",
    name="St. Mary's Hospital",
    leave=Leave.NOW,
    matters=(),
    when_inactive=STOP.manner,
    drain_for=STOP.seconds,
    after=after(STOP, "St. Mary's Hospital"),
    on_the_way=(),
    images=0,
    bytes=0,
    eta=0.0,
    undecided=0,
    associations=0,
    receiving_studies=0,
    held_studies=0,
    held_images=0,
    refused_images=0,
    held_back_images=0,
    damaged_images=0,
    missing_images=0,
    missing_studies=(),
    announced_studies=0,
    begun_studies=0,
)
DRAINING: Final = s.changed(
    CLEAR,
    leave=_GOES.leave,
    matters=_GOES.matters,
    when_inactive=DRAIN.manner,
    drain_for=DRAIN.seconds,
    after=after(DRAIN, "St. Mary's Hospital"),
    on_the_way=(OnTheWay("pacs", 34, 17 * s.MIB, 60_000.0, 297.0),),
    images=34,
    bytes=17 * s.MIB,
    eta=297.0,
)
REFUSED: Final = s.changed(
    DRAINING,
    leave=_STUCK.leave,
    matters=_STUCK.matters,
    drain_for=TEN_MINUTES.seconds,
    after=after(TEN_MINUTES, "St. Mary's Hospital"),
    on_the_way=(
        OnTheWay("pacs", 4, 2 * s.MIB, 0.0, None, False, "The connection was refused: nothing listens on that port."),
    ),
    images=4,
    bytes=2 * s.MIB,
    eta=None,
)
NOT_YET: Final = s.changed(
    CLEAR,
    leave=_OPEN.leave,
    matters=_OPEN.matters,
    on_the_way=(
        OnTheWay("pacs", 30, 15 * s.MIB, 60_000.0, 262.0),
        OnTheWay("backup", 4, 2 * s.MIB, 0.0, None, False, "The connection was refused: nothing listens on that port."),
    ),
    images=34,
    bytes=17 * s.MIB,
    eta=None,
    associations=1,
    receiving_studies=1,
    held_studies=2,
    held_images=96,
    missing_images=4,
    missing_studies=("3f2a9c",),
    announced_studies=1,
)

GOES_ON: Final = m.Draining(
    "lakeside", m.DrainState.DRAINING, s.ago(minutes=40), None, images=34, bytes=17 * s.MIB, eta=297.0
)
STUCK: Final = m.Draining(
    "north",
    m.DrainState.STUCK,
    s.ago(hours=2),
    s.ago(hours=-2),
    images=4,
    bytes=2 * s.MIB,
    reason="pacs: the connection was refused: nothing listens on that port",
    hint="Check that its destinations can be reached from here. To see more, serve it: fluxctl site activate north",
)
LEFT_BEHIND: Final = m.SiteList(
    "",
    (
        m.SiteEntry("lakeside", "Lakeside Clinic", False, 2, None, 34, held_images=6, draining=GOES_ON),
        m.SiteEntry("north", "North Surgery", False, 1, None, 4, s.ago(minutes=5), held_images=2, draining=STUCK),
        *s.SITES.sites[-1:],
    ),
)
STATUS: Final = s.changed(
    s.STATUS,
    draining=(GOES_ON, STUCK),
    advice=(
        m.Advice("drain-stuck", m.Level.WARNING, f"not draining north: 4 images left: {STUCK.reason}", STUCK.hint),
    ),
)

VALLEY: Final = s.changed(s.SITES.sites[0], id="valley", name="Valley Clinic")
PARKED: Final = departure(CLEAR.schema, s.NOW, (*LEFT_BEHIND.sites[:2], s.SITES.sites[1], VALLEY))
PARKED_DRAINING: Final = departure(CLEAR.schema, s.NOW, (s.changed(LEFT_BEHIND.sites[0], held_images=0),))
PARKED_CLEAR: Final = departure(CLEAR.schema, s.NOW, s.SITES.sites[-1:], ("west",))
