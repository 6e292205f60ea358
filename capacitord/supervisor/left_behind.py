"""What sites that are not active have left on this box, for whoever asks whether the coach may leave and none is.

It is what is known without looking into a spool: what a runtime told last, and what those tell that drain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from capacitord.api.departure import Departure
from capacitord.api.draining import told
from capacitord.api.messages import Draining, DrainState, SiteEntry
from capacitord.api.staying import leaving, waiting
from capacitord.errors import CapacitordError
from capacitord.model.delivery import WhenInactive
from capacitord.model.departure import LATELY, Leave, Matter
from capacitord.supervisor.provision import Provision, is_empty

_SERVE: Final = "Serve it: fluxctl site activate {}"
_DECIDE: Final = f"{_SERVE}. Then decide on each: fluxctl study list --undelivered"
_UNTOLD: Final = "The scanner is told when it asks, or when the box is open for that site again."
_GOES: Final = "Nothing: they go on leaving."
_LIMIT: Final = "For how long they may is in its profile: when_inactive."


async def without_spool(provision: Provision, entries: Iterable[SiteEntry]) -> frozenset[str]:
    """Return which of these sites nothing is known of because they have no spool: there nothing can be left."""

    def look() -> frozenset[str]:
        return frozenset(each.id for each in entries if each.undelivered_images is None and _has_none(each.id))

    def _has_none(site: str) -> bool:
        try:
            return is_empty(provision.folder_of(site))
        except CapacitordError:
            return False

    return await asyncio.to_thread(look)


def departure(schema: str, now: datetime, entries: Iterable[SiteEntry], empty: Collection[str] = ()) -> Departure:
    """Return what is left behind at all sites, none of which is active; those in `empty` have nothing.

    What nobody knows keeps the coach, as does what goes nowhere by itself.
    """
    known = [each for each in entries if not (each.undelivered_images is None and each.id in empty)]
    open_ = [(each, tuple(_matters(each, now))) for each in known]
    matters = sorted((matter for _, found in open_ for matter in found), key=lambda matter: not matter.stays)
    leave = Leave.DRAINING if matters else Leave.NOW
    if any(matter.stays for matter in matters):
        leave = Leave.NOT_YET
    behind = tuple(each for each, found in open_ if found)
    drains = [each.draining for each in behind if each.draining is not None]
    times = [each.draining.eta if each.draining is not None else None for each in behind if leaving(each)]
    etas = [eta for eta in times if eta is not None]
    return Departure(
        schema=schema,
        now=now,
        site="",
        name="",
        leave=leave,
        matters=tuple(matters),
        when_inactive=WhenInactive.STOP,
        drain_for=None,
        after="",
        on_the_way=(),
        images=sum(each.undelivered_images or 0 for each in behind),
        bytes=sum(each.bytes or 0 for each in drains),
        eta=max(etas, default=0.0) if len(etas) == len(times) else None,
        undecided=sum(each.unrouted_images for each in behind),
        associations=0,
        receiving_studies=0,
        held_studies=0,
        held_images=sum(each.held_images - each.held_back_images for each in behind),
        refused_images=sum(each.refused_images for each in behind),
        held_back_images=sum(each.held_back_images for each in behind),
        damaged_images=0,
        missing_images=sum(each.missing_images for each in behind),
        missing_studies=(),
        announced_studies=sum(each.announced_studies for each in behind),
        begun_studies=0,
        behind=behind,
    )


def _matters(site: SiteEntry, now: datetime) -> Iterator[Matter]:
    if site.draining is not None:
        yield from _of_a_drain(site.draining, now)
    elif site.undelivered_images is None:
        why = f": {site.problem}" if site.problem else ""
        yield Matter("unknown", f"what {site.id} has left is not known{why}", site.hint or _SERVE.format(site.id))
    elif words := leaving(site):
        yield Matter("left-behind", f"images of {site.id} do not leave: {words}", _SERVE.format(site.id))
    if words := _expected(site, now):
        yield Matter("missing", f"of {site.id} scanners have named what has not come: {words}", _SERVE.format(site.id))
    if site.untold_results:
        words = _some(site.untold_results, "result", "results")
        yield Matter(
            "commitment", f"{words} of storage commitment of {site.id} could not be told", _UNTOLD, stays=False
        )
    if words := waiting(site):
        yield Matter("held", f"images of {site.id} wait for a person: {words}", _DECIDE.format(site.id))


def _some(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _expected(site: SiteEntry, now: datetime) -> str:
    if site.as_of is not None and now - site.as_of > timedelta(seconds=LATELY):
        # Nobody waits any more for what was named so long ago.
        return ""
    kinds = ((site.missing_images, "image", "images"), (site.announced_studies, "study", "studies"))
    return " and ".join(_some(*kind) for kind in kinds if kind[0])


def _of_a_drain(found: Draining, now: datetime) -> Iterator[Matter]:
    if found.images == 0:
        return
    words = told(found) + (f": {found.reason}" if found.reason else "")
    ends = found.until is not None and found.eta is not None and now + timedelta(seconds=found.eta) > found.until
    if ends:
        yield Matter("draining", f"{words}, which is longer than they may", _LIMIT)
    elif found.state is DrainState.STUCK or found.hint:
        yield Matter("draining", words, found.hint or _SERVE.format(found.site))
    else:
        yield Matter("draining", words, _GOES, stays=False)
