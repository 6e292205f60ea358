"""Positions, tracks and names against the areas of sites: of the box, or of profiles on this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from capacitord.api.geofence import (
    AreasChecked,
    Doubt,
    Position,
    SiteArea,
    SiteAreas,
    Spot,
    Stood,
    Tested,
    Track,
    Visit,
)
from capacitord.config.tables.location import LocationTable
from capacitord.errors import Ambiguous, Invalid, NotFound
from capacitord.location import geofence, gpx
from capacitord.location.fences import Fences
from capacitord.location.visits import conflicts, visits
from capacitord.model.fence import MARGIN, Standing, Where
from fluxctl.files import read_bytes
from fluxctl.render.words import count, metres
from fluxctl.validation import profile_of

_NUMBER: Final = re.compile(r"[+-]?\d{1,3}(\.\d{1,15})?", re.ASCII)
_WRITE_IT: Final = "Latitude first, in degrees: 41.88300 -87.62500. Longitudes of the Americas are negative."


def of_files(files: Sequence[Path]) -> SiteAreas:
    """Return the areas of the profiles in files. Raises `NotFound`, `Invalid`, and `Ambiguous` for a site twice."""
    found: dict[str, SiteArea] = {}
    for file in files:
        profile = profile_of(file)
        if profile.id in found:
            raise Ambiguous(f"two files are profiles of {profile.id}", where=str(file), hint="Name one of them.")
        location = profile.location or LocationTable()
        found[profile.id] = SiteArea(
            profile.id, profile.name, profile.timezone, location.geofence, dwell=location.dwell
        )
    return SiteAreas("", tuple(found.values()))


def position(text: str, accuracy: float = 0.0) -> Position:
    """Return the position that a text like "41.883 -87.625" or "41.883,-87.625" names. Raises `Invalid`."""
    numbers = text.replace(",", " ").split()
    if len(numbers) != 2 or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise Invalid("this is not a position", where=text, hint=_WRITE_IT)
    latitude, longitude = map(float, numbers)
    if abs(latitude) > 90 or abs(longitude) > 180:
        swapped = abs(longitude) <= 90 and abs(latitude) <= 180
        hint = "Latitude comes first. Are they swapped?" if swapped else _WRITE_IT
        raise Invalid("there is no such place: latitudes reach to ±90°, longitudes to ±180°", where=text, hint=hint)
    return Position(latitude, longitude, accuracy)


def tested(found: SiteAreas, place: Position) -> Tested:
    """Return how a position stands to each site, the nearest first, and which one it would choose."""
    usable, problems = _usable(found)
    standings = Fences(usable).at(place.latitude, place.longitude, place.accuracy)
    sites = tuple(
        sorted((_stood(site, standings.get(site.id), problems) for site in found.sites), key=_from_inside_out)
    )
    inside = [each for each in sites if each.where is Where.INSIDE]
    chosen = inside[0].site if len(inside) == 1 else None
    return Tested(
        place.accuracy, _reason(sites, inside, place), len(inside) > 1, position=place, chosen=chosen, sites=sites
    )


def tracked(found: SiteAreas, file: Path, accuracy: float) -> Tested:
    """Return the stays of a GPX track in each area. Raises `NotFound` or `Invalid`."""
    reading = gpx.read(read_bytes(file, "track", gpx.LARGEST), str(file))
    usable, _ = _usable(found)
    dwells = {site.id: site.dwell for site in found.sites}
    stays = visits(usable, dwells, reading.fixes, accuracy=accuracy, leave_after=found.leave_after)
    at_once = conflicts(stays)
    times = [fix.at for fix in reading.fixes]
    gap = max(((after - before).total_seconds() for before, after in pairwise(times)), default=0.0)
    track = Track(str(file), len(times), times[0], times[-1], gap, reading.without_time, reading.out_of_order)
    return Tested(accuracy, _story(stays, at_once), bool(at_once), track=track, visits=stays)


def checked(found: SiteAreas, spots: Sequence[str]) -> AreasChecked:
    """Return what needs a look: shapes, overlaps, and where named positions ("NAME=LAT,LON") are in no one area.

    Raises `Invalid` for what names no position.
    """
    usable, problems = _usable(found)
    tables = {site.id: _tables(site) for site in found.sites}
    doubts = [Doubt(site, problem) for site, problem in problems.items()]
    for site, table in tables.items():
        wrong, odd = geofence.check(table)
        doubts += [Doubt(site, f"the area {finding.message}", finding.hint) for finding in (*wrong, *odd)]
    doubts += [
        Doubt(site, f"the area {finding.message}", finding.hint, other)
        for site, other, finding in geofence.overlapping(tables)
    ]
    fences = Fences(usable)
    without = tuple(site.id for site in found.sites if site.geometry is None and site.id not in problems)
    return AreasChecked(fences.sites, without, tuple(doubts), tuple(_spot(fences, text) for text in spots))


def only(found: SiteAreas, site: str) -> SiteArea:
    """Return one of the sites. Raises `NotFound` if there is none, or it has no area."""
    for each in found.sites:
        if each.id == site and each.geometry is not None:
            return each
        if each.id == site:
            raise NotFound(f"{site} has no area", hint="Its profile has none in [location]: see fluxctl profile show")
    raise NotFound(f"there is no site {site}", hint="See which there are: fluxctl site list")


def _usable(found: SiteAreas) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the areas that are ones, and why others cannot be used, by site."""
    usable: dict[str, dict[str, Any]] = {}
    problems = {site.id: site.problem for site in found.sites if site.problem}
    for site in found.sites:
        if site.geometry is None:
            continue
        try:
            Fences({site.id: site.geometry})
        except ValueError as error:
            problems[site.id] = str(error)
        else:
            usable[site.id] = site.geometry
    return usable, problems


def _tables(site: SiteArea) -> dict[str, Any]:
    return {"timezone": site.timezone, "location": {} if site.geometry is None else {"geofence": site.geometry}}


def _stood(site: SiteArea, standing: Standing | None, problems: dict[str, str]) -> Stood:
    if standing is None:
        return Stood(site.id, site.name, None, None, site.dwell, problems.get(site.id, ""))
    return Stood(site.id, site.name, standing.where, standing.distance, site.dwell)


def _from_inside_out(stood: Stood) -> tuple[bool, float, str]:
    return stood.distance is None, -(stood.distance or 0.0), stood.site


def _reason(sites: Sequence[Stood], inside: Sequence[Stood], place: Position) -> str:
    """Return in words what a position says of where the box is."""
    if len(inside) > 1:
        return f"It is surely inside {' and '.join(each.site for each in inside)}: their areas overlap there."
    if inside:
        return f"It is surely inside {inside[0].site}, {metres(inside[0].distance or 0.0)} from the edge."
    known = [each for each in sites if each.distance is not None]
    if not known:
        return "No site has an area."
    near = known[0]
    away = metres(abs(near.distance or 0.0))
    if near.where is Where.MAYBE:
        side = "inside" if (near.distance or 0.0) > 0 else "outside"
        wide, right = metres(MARGIN * place.accuracy), metres(place.accuracy)
        return f"It is {away} {side} of the edge of {near.site}: not sure within {wide}, {MARGIN:g} times {right}."
    return f"It is outside of every area; the nearest is {near.site}, {away} away."


def _story(stays: Sequence[Visit], at_once: Sequence[tuple[Visit, Visit]]) -> str:
    if at_once:
        one, other = at_once[0]
        return f"It was at {one.site} and {other.site} at once: their areas overlap, and nothing would open."
    opened = sum(1 for visit in stays if visit.opened is not None)
    if not stays:
        return "It was surely inside of no area."
    passed = len(stays) - opened
    return f"{count(opened, 'arrival').capitalize()}, and {count(passed, 'stay')} shorter than the dwell."


def _spot(fences: Fences, text: str) -> Spot:
    name, equals, place = text.partition("=")
    if not equals or not name.strip():
        raise Invalid("this names no position", where=text, hint="Write it like loading-dock=41.88300,-87.62500")
    at = position(place)
    found = fences.at(at.latitude, at.longitude)
    inside = tuple(site for site, standing in found.items() if standing.where is Where.INSIDE)
    if inside or not found:
        return Spot(name, at.latitude, at.longitude, inside)
    nearest = max(found, key=lambda site: found[site].distance)
    return Spot(name, at.latitude, at.longitude, (), nearest, abs(found[nearest].distance))
