"""What is open at the site when the coach is to leave: read here, and judged in `model.departure`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from capacitord.api.departure import Departure, OnTheWay
from capacitord.api.staying import duration
from capacitord.model import departure
from capacitord.model.delivery import Inactive
from capacitord.model.profile import Profile
from capacitord.site.deliveries import Deliveries
from capacitord.site.delivery import Delivery
from capacitord.site.lately import Lately
from capacitord.site.overview import why
from capacitord.spool.store import Spool

_MEASURED: Final = 180.0
"""Seconds over which is measured how fast images leave."""


class Departing:
    """Answers whether the coach may leave. `associations` says how many scanners have open, `trouble` what is wrong."""

    def __init__(
        self,
        spool: Spool,
        deliveries: Deliveries,
        profile: Callable[[], Profile],
        *,
        associations: Callable[[], int] = lambda: 0,
        trouble: Callable[[], str] = lambda: "",
        lately: Lately | None = None,
    ) -> None:
        self._spool, self._deliveries, self._profile = spool, deliveries, profile
        self._associations, self._trouble = associations, trouble
        self._lately = lately or Lately()

    def answer(self) -> Departure:
        """Return what is open now. Raises what the ledger raises."""
        spool, profile = self._spool, self._profile()
        associations = self._associations()
        counts = spool.counts()
        said = spool.evidence.outstanding(self._lately.since(departure.LATELY))
        deliveries = self._deliveries.all()
        ways = [_way(spool, each) for each in deliveries]
        paused = {each.destination.name for each in deliveries if each.state().paused}
        barred = {each.destination.name for each in deliveries if each.destination.barred}
        going = [way for way in ways if way.images and way.destination not in paused | barred]
        waiting = min(sum(way.images for way in going), counts.undelivered)
        known = [way.eta for way in going if way.eta is not None]
        complete = len(known) == len(going) and not counts.unrouted
        eta = max(known, default=0.0) if complete else None
        stranded = spool.studies.stranded([way.destination for way in ways])
        facts = departure.Facts(
            profile.when_inactive,
            waiting=waiting,
            stuck=min(sum(way.images for way in going if way.reason), waiting),
            eta=eta,
            paused=sum(way.images for way in ways if way.destination in paused),
            barred=sum(way.images for way in ways if way.destination in barred - paused),
            stranded=sum(images for _, images in stranded),
            undecided=counts.unrouted,
            associations=associations,
            receiving=spool.studies.receiving(),
            held_studies=spool.studies.held_page(1, "")[1],
            held=counts.held,
            held_back=counts.held_back,
            refused=counts.refused,
            conflicts=sum(number for _, number in spool.studies.undecided()) if counts.conflicts else 0,
            damaged=spool.studies.lost() + spool.report.corrupt if counts.corrupt else 0,
            missing=said.missing,
            missing_studies=len(said.incomplete),
            announced=said.announced,
            begun=said.begun,
            unreported=len(spool.evidence.unreported()),
            unreadable=self._trouble(),
        )
        leave, matters = departure.judged(facts)
        return Departure(
            schema="fluxctl.site.departure/1",
            now=datetime.now(UTC),
            site=profile.id,
            name=profile.name,
            leave=leave,
            matters=matters,
            when_inactive=profile.when_inactive.manner,
            drain_for=profile.when_inactive.seconds,
            after=after(profile.when_inactive, profile.name),
            on_the_way=tuple(way for way in ways if way.images),
            images=facts.waiting,
            bytes=sum(way.bytes for way in going),
            eta=eta,
            undecided=counts.unrouted,
            associations=associations,
            receiving_studies=facts.receiving,
            held_studies=facts.held_studies,
            held_images=counts.held,
            refused_images=counts.refused,
            held_back_images=counts.held_back,
            damaged_images=facts.damaged,
            missing_images=said.missing,
            missing_studies=said.incomplete,
            announced_studies=said.announced,
            begun_studies=said.begun,
        )


def after(inactive: Inactive, name: str) -> str:
    """Return what becomes of the rest when the coach has left."""
    if not inactive.drains:
        return f"stop: what is left stays on this box, sealed, until {name} is active again"
    if inactive.seconds is None:
        return "drain: what is left goes on leaving until nothing can any more; what is held stays held"
    return (
        f"drain {duration(inactive.seconds)}: what is left goes on leaving for that long, "
        f"and then stays, sealed, until {name} is active again; what is held stays held"
    )


def _way(spool: Spool, delivery: Delivery) -> OnTheWay:
    state, name = delivery.state(), delivery.destination.name
    backlog = spool.ledger.backlog(name)
    rate = delivery.feed.rate(_MEASURED)
    reason, _ = why(state, delivery.feed.resting(), time.monotonic(), waits=backlog.images > 0)
    moves = not (state.paused or delivery.destination.barred or state.hindrance or state.circuit.failures)
    if not backlog.images:
        eta: float | None = 0.0
    else:
        # What was measured before something came in the way says nothing of when that is over.
        eta = backlog.bytes / rate if rate > 0 and moves and not reason else None
    return OnTheWay(name, backlog.images, backlog.bytes, rate, eta, moves, delivery.destination.barred or reason)
