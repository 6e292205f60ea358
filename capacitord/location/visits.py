"""The stays of a track in the areas of sites, as the box itself would have counted them from positions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from capacitord.api.geofence import Visit
from capacitord.location.fences import Fences
from capacitord.location.gpx import Fix
from capacitord.model.fence import Where
from capacitord.model.presence import Phase, Presence, step


def visits(
    areas: Mapping[str, Mapping[str, Any]],
    dwells: Mapping[str, float],
    fixes: Sequence[Fix],
    *,
    accuracy: float,
    leave_after: float,
) -> tuple[Visit, ...]:
    """Return the stays in each of `areas` (GeoJSON, by site) in the order in which they began.

    `dwells` has the seconds of each site that make an arrival; `accuracy` is that of every fix in metres.
    """
    fences = Fences(areas)
    walks = [_Walk(site, dwells[site], leave_after) for site in fences.sites]
    found_along = fences.along([(fix.latitude, fix.longitude) for fix in fixes], accuracy)
    for fix, found in zip(fixes, found_along, strict=True):
        for walk in walks:
            if fix.first:
                walk.look(None, fix)
            walk.look(found[walk.site].where, fix)
    stays = [visit for walk in walks for visit in walk.all()]
    return tuple(sorted(stays, key=lambda visit: visit.entered))


def conflicts(found: Sequence[Visit]) -> list[tuple[Visit, Visit]]:
    """Return pairs of stays at two sites of which both were open, and neither was left."""
    opened = sorted((visit for visit in found if visit.opened), key=lambda visit: visit.entered)
    return [
        (one, other)
        for number, one in enumerate(opened)
        for other in opened[number + 1 :]
        if one.site != other.site and _meet(one, other)
    ]


def _meet(one: Visit, other: Visit) -> bool:
    if one.opened is None or other.opened is None:
        return False
    begin = max(one.opened, other.opened)
    return all(visit.left is None or visit.left > begin for visit in (one, other))


class _Walk:
    """One site along a track."""

    def __init__(self, site: str, dwell: float, leave_after: float) -> None:
        self.site = site
        self._dwell = dwell
        self._leave_after = leave_after
        self._presence = Presence()
        self._now: Visit | None = None
        self._done: list[Visit] = []

    def look(self, where: Where | None, fix: Fix) -> None:
        before = self._presence
        after = step(before, where, fix.at.timestamp(), dwell=self._dwell, leave_after=self._leave_after)
        self._presence = after
        if self._now is None and after.phase is not Phase.AWAY:
            self._now = Visit(self.site, fix.at, fix.at, 0.0, self._dwell)
        if self._now is None:
            return
        self._now = self._grown(self._now, before, where, fix)
        if after.phase is Phase.AWAY:
            self._done.append(self._now)
            self._now = None

    def _grown(self, visit: Visit, before: Presence, where: Where | None, fix: Fix) -> Visit:
        after = self._presence
        changes: dict[str, Any] = {}
        if where is Where.INSIDE:
            changes["seen"] = fix.at
        if after.phase is Phase.ARRIVING:
            changes["inside"] = max(visit.inside, after.counted)
        if after.phase is Phase.HERE:
            changes |= {"inside": self._dwell, "opened": visit.opened or fix.at, "left": None}
        if after.phase is Phase.LEAVING and before.phase is Phase.HERE:
            changes["left"] = fix.at
        if after.phase is Phase.AWAY and before.here:
            changes |= {"left": visit.left or fix.at, "closed": fix.at}
        return msgspec.structs.replace(visit, **changes) if changes else visit

    def all(self) -> list[Visit]:
        """Return the stays, also the one that lasts."""
        return [*self._done, *([] if self._now is None else [self._now])]
