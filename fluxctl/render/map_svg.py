"""The map of the sites as an SVG picture that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from capacitord.api.geofence import Position, SiteArea
from fluxctl.render.chart import Frame, frame, rings, roomy, scale
from fluxctl.render.words import clean, metres

SIDE: Final = 900.0
"""Units of the longer side."""
COLORS: Final = ("#0b7285", "#862e9c", "#2b8a3e", "#e67700", "#1864ab", "#c92a2a")
_FOOT: Final = 40.0
_LETTER: Final = 14.0


def svg(sites: Sequence[SiteArea], position: Position | None, centre: SiteArea | None) -> bytes:
    """Return areas and position as SVG: north is up, with names and a scale. `centre` fills the picture if given."""
    shown = frame((centre,), None) if centre is not None else frame(sites, position)
    return "\n".join(_lines(sites, position, shown or Frame(0.0, 0.0, 1000.0, 1000.0))).encode() + b"\n"


def _lines(sites: Sequence[SiteArea], position: Position | None, shown: Frame) -> Iterator[str]:
    unit = max(shown.width, shown.height) / SIDE
    width, height = shown.width / unit, shown.height / unit

    def at(place: Sequence[float]) -> tuple[float, float]:
        east, north = shown.metres(place)
        return width / 2 + east / unit, height / 2 - north / unit

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height + _FOOT:.1f}" '
        f'font-family="sans-serif" font-size="{_LETTER:.0f}">'
    )
    yield "<title>The areas of the sites</title>"
    yield f'<rect width="{width:.1f}" height="{height + _FOOT:.1f}" fill="#ffffff"/>'
    yield f'<svg width="{width:.1f}" height="{height:.1f}">'
    for number, site in enumerate(sites):
        outline = " ".join(_path([at(place) for place in ring]) for ring in rings(site))
        if not outline:
            continue
        color = COLORS[number % len(COLORS)]
        name = escape(_printable(f"{site.id}: {site.name}"))
        yield f'<path d="{outline}" fill="{color}" fill-opacity="0.15" fill-rule="evenodd" stroke="{color}">'
        yield f"<title>{name}</title></path>"
    for number, site in enumerate(sites):
        outlines = [[at(place) for place in ring] for ring in rings(site)]
        if outlines:
            (x, y), _ = roomy(outlines, _LETTER)
            color = COLORS[number % len(COLORS)]
            name = escape(_printable(site.id))
            yield f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{color}">{name}</text>'
    if position is not None:
        x, y = at((position.longitude, position.latitude))
        reach = position.accuracy / unit
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{reach:.1f}" fill="#000000" fill-opacity="0.1" stroke="#000000"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#000000"><title>the box</title></circle>'
    yield "</svg>"
    long = scale(shown.width)
    line = height + _FOOT / 2
    yield f'<path d="M10 {line - 5:.1f}v10m0 -5h{long / unit:.1f}m0 -5v10" stroke="#000000" fill="none"/>'
    yield f'<text x="{20 + long / unit:.1f}" y="{line + 5:.1f}">{metres(long)}</text>'
    yield f'<text x="{width - 10:.1f}" y="{line + 5:.1f}" text-anchor="end">N ↑</text>'
    yield "</svg>"


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places[:-1]) + "Z"


def _printable(text: str) -> str:
    """Return a text with only the characters that XML 1.0 §2.2 allows, as those of a profile may be others."""
    return "".join(c for c in clean(text) if c in "\t\n" or ("\x20" <= c <= "\ufffd") or c >= "\U00010000")
