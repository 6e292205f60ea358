"""Where positions are, what is wrong with areas, and the map of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.geofence import AreasChecked, Mapped, SiteArea, Spot, Stood, Tested, Visit
from capacitord.model.fence import Where
from capacitord.model.presence import LONGEST_GAP
from fluxctl.render import chart
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, Column, columns, hanging, stack
from fluxctl.render.words import NOTHING, ago, count, duration, metres, stamp

_NONE: Final = "Give one to a profile, in its [location]: see capacitord-profile(5)."
_SIGNS: Final = {Where.INSIDE: ("✔ inside", GOOD), Where.MAYBE: ("⚠ maybe", CARE), Where.OUTSIDE: ("outside", "")}


def place(latitude: float, longitude: float) -> str:
    """Return a position as people write it: latitude first."""
    return f"{latitude:.5f}, {longitude:.5f}"


def _lasting(seconds: float) -> str:
    """Return seconds that are few in seconds: a dwell of 90 s is no "1 min"."""
    return f"{seconds:.0f} s" if seconds < 600 and seconds % 60 else duration(seconds)


def tested(found: Tested, look: Look) -> RenderableType:
    """Return how a position stands to the sites, nearest first."""
    parts: list[RenderableType] = [_verdict(found)]
    here = next((each for each in found.sites if each.site == found.chosen), None)
    if here is not None:
        parts.append(hanging(" ", f"That counts when it has held for {_lasting(here.dwell)}."))
    known = [each for each in found.sites if each.where is not None]
    if known:
        heads = [
            Column("Site"),
            Column("Name", keep=False, most=34),
            Column("It is"),
            Column("To the edge", right=True),
            Column("Dwell", right=True),
        ]
        parts += [BLANK, columns(heads, [_row(each) for each in known], look)]
    for each in found.sites:
        if each.problem:
            parts += [BLANK, hanging("✘", f"{each.site}: {each.problem}", style=BAD)]
    if without := [each.site for each in found.sites if each.where is None and not each.problem]:
        parts += [BLANK, _without(without)]
    return stack(parts)


def _verdict(found: Tested) -> RenderableType:
    if found.chosen is not None:
        return hanging("✔", found.reason, style=GOOD)
    unsure = any(each.where is Where.MAYBE for each in found.sites)
    return hanging("⚠" if unsure else "✘", found.reason, style=CARE if unsure else BAD)


def _row(each: Stood) -> tuple[str | Text, ...]:
    words, style = _SIGNS[each.where or Where.OUTSIDE]
    away = metres(abs(each.distance or 0.0))
    return each.site, each.name or NOTHING, Text(words, style=style), away, _lasting(each.dwell)


def _without(sites: list[str]) -> RenderableType:
    return Text(f"Without an area: {', '.join(sites)}", style=QUIET)


def tracked(found: Tested, look: Look) -> RenderableType:
    """Return the stays of a track."""
    parts: list[RenderableType] = []
    if found.track is not None:
        track = found.track
        begin, end = stamp(track.begin, look), stamp(track.end, look)
        parts.append(Text(f"{track.file}: {count(track.fixes, 'fix', 'fixes')}, {begin} to {end}"))
    parts.append(hanging("✘" if found.conflict else "✔", found.reason, style=BAD if found.conflict else ""))
    if found.visits:
        heads = [
            Column("Site"),
            Column("Entered"),
            Column("Opens"),
            Column("Left"),
            Column("Closes"),
            Column("Stay", wrap=True, keep=False, least=9),
        ]
        parts += [BLANK, columns(heads, [_stay(visit, look) for visit in found.visits], look)]
    parts += [BLANK, *_remarks(found)]
    return stack(parts)


def _time(then: datetime | None, visit: Visit, look: Look, otherwise: str = NOTHING) -> str:
    """Return a time of day, with the date if it is another day's than that of the entry; the head has the zone."""
    if then is None:
        return otherwise
    local, first = then.astimezone(look.zone), visit.entered.astimezone(look.zone)
    return f"{local:%H:%M:%S}" if local.date() == first.date() else f"{local:%m-%d %H:%M:%S}"


def _stay(visit: Visit, look: Look) -> tuple[str | Text, ...]:
    entered = _time(visit.entered, visit, look)
    if visit.opened is None:
        short = f"{_lasting(visit.inside)} of {_lasting(visit.dwell)}"
        return visit.site, entered, Text("no", style=CARE), NOTHING, NOTHING, short
    opened = Text(_time(visit.opened, visit, look), style=GOOD)
    left, closed = _time(visit.left, visit, look), _time(visit.closed, visit, look, "not yet")
    stayed = duration(((visit.left or visit.seen) - visit.entered).total_seconds())
    return visit.site, entered, opened, left, closed, stayed


def _remarks(found: Tested) -> Iterator[RenderableType]:
    track = found.track
    if track is not None and track.longest_gap > LONGEST_GAP:
        gap, most = duration(track.longest_gap), duration(LONGEST_GAP)
        yield hanging("⚠", f"There are gaps of up to {gap}; a dwell begins anew after one of {most}.", style=CARE)
    if track is not None and track.without_time:
        yield hanging("⚠", f"{count(track.without_time, 'fix', 'fixes')} without a time left out.", style=CARE)
    if track is not None and track.out_of_order:
        yield hanging("⚠", f"{count(track.out_of_order, 'fix', 'fixes')} before an earlier one left out.", style=CARE)
    yield Text("Positions alone; evidence of the network is not in a track.", style=QUIET)


def checked(found: AreasChecked, look: Look) -> RenderableType:
    """Return what needs a look: doubts first, then where named positions are."""
    if not found.sites and not found.doubts:
        return stack([Text("No site has an area."), hanging("  next:", _NONE)])
    parts: list[RenderableType] = []
    astray = [spot for spot in found.spots if len(spot.sites) != 1]
    if astray:
        words = f"{len(astray)} of {count(len(found.spots), 'named position')} "
        parts.append(hanging("✘", f"{words}{'is' if len(astray) == 1 else 'are'} not in one area.", style=BAD))
    for doubt in found.doubts:
        parts += [hanging("⚠", f"{doubt.site}: {doubt.message}", style=CARE)]
        if doubt.hint:
            parts.append(hanging("  next:", doubt.hint))
    if not found.doubts:
        number = count(len(found.sites), "area")
        parts.append(hanging("·" if astray else "✔", f"{number}: none overlaps, and none looks odd.", style=GOOD))
    if found.spots:
        heads = [Column("Position"), Column("At"), Column("In", wrap=True, keep=False, least=14)]
        parts += [BLANK, columns(heads, [_spot(spot) for spot in found.spots], look)]
    if found.without:
        parts += [BLANK, _without(list(found.without))]
    return stack(parts)


def _spot(spot: Spot) -> tuple[str | Text, ...]:
    at = place(spot.latitude, spot.longitude)
    if len(spot.sites) == 1:
        return spot.name, at, Text(f"✔ {spot.sites[0]}", style=GOOD)
    if spot.sites:
        return spot.name, at, Text(f"⚠ {', '.join(spot.sites)}: they overlap", style=CARE)
    if spot.nearest is None or spot.distance is None:
        return spot.name, at, Text("✘ none", style=BAD)
    return spot.name, at, Text(f"✘ none, {spot.nearest} is {metres(spot.distance)} away", style=BAD)


def drawn(found: Mapped, centre: SiteArea | None, look: Look) -> RenderableType:
    """Return the map, and below it which sites are on it; `centre` fills it if given."""
    sites = [site for site in found.sites if site.geometry is not None]
    shown = chart.frame((centre,), None) if centre is not None else chart.frame(sites, found.position)
    parts: list[RenderableType] = []
    if shown is None:
        parts += [Text("No site has an area."), hanging("  next:", _NONE)]
    else:
        parts += [*chart.drawn(sites, found.position, shown, look), BLANK]
    for number, site in enumerate(sites):
        style = chart.STYLES[number % len(chart.STYLES)]
        line = Text(no_wrap=True, overflow="ellipsis").append(site.id, style).append(f"  {site.name}")
        parts.append(line.append("  ✔ active", GOOD) if site.active else line)
    parts.append(_position(found, look))
    parts += [hanging("✘", f"{site.id}: {site.problem}", style=BAD) for site in found.sites if site.problem]
    if without := [site.id for site in found.sites if site.geometry is None and not site.problem]:
        parts.append(_without(without))
    return stack(parts)


def _position(found: Mapped, look: Look) -> Text:
    position = found.position
    if position is None:
        return Text("The position of the box is not known.", style=QUIET)
    text = f"@  the box, {place(position.latitude, position.longitude)}"
    if position.accuracy:
        text += f", right within {metres(position.accuracy)}"
    return Text(text if position.at is None else f"{text}, {ago(position.at, look)}")


def written(found: Mapped) -> RenderableType:
    """Return which files were written."""
    return stack([hanging("✔", f"Written: {file}", style=GOOD) for file in found.files])
