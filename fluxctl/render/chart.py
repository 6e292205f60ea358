"""Areas on a small map: which part of the earth it shows, and how it is drawn in letters of a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from rich.text import Text

from capacitord.api.geofence import Position, SiteArea
from fluxctl.render.look import Look
from fluxctl.render.words import clean, metres

DEGREE: Final = 111_195.0
"""Metres of a degree of latitude."""
STYLES: Final = ("cyan", "magenta", "green", "yellow", "blue", "red")
MOST_ROWS: Final = 24
LEAST_ROWS: Final = 8
_MARGIN: Final = 1.16
_LEAST: Final = 50.0
"""Metres that a map shows at least."""
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The dots of a braille pattern by row and column (Unicode Standard, Braille Patterns)."""

Point = tuple[float, float]
_LEVELS: Final = (0.5, 0.25, 0.75, 0.125, 0.875)
"""How high up in an area there may be room for its name, the first that will do."""


class Frame(NamedTuple):
    """The part of the earth that a map shows: its middle in degrees, its width and its height in metres."""

    longitude: float
    latitude: float
    width: float
    height: float

    def metres(self, place: Sequence[float]) -> Point:
        """Return how far east and north of the middle a position [longitude, latitude] is."""
        away = (place[0] - self.longitude + 180) % 360 - 180
        return away * math.cos(math.radians(self.latitude)) * DEGREE, (place[1] - self.latitude) * DEGREE


def frame(sites: Iterable[SiteArea], position: Position | None) -> Frame | None:
    """Return the part of the earth that shows all these, with a margin; None if there is nothing to show."""
    places = [place for site in sites for ring in rings(site) for place in ring]
    if position is not None:
        # A degree of longitude is shorter, so the circle may reach beyond the map; the margin is for that.
        reach = position.accuracy / DEGREE
        at = [position.longitude, position.latitude]
        places += [at, [at[0], at[1] - reach], [at[0], at[1] + reach]]
    if not places:
        return None
    first = places[0][0]
    easts = [(place[0] - first + 180) % 360 - 180 for place in places]
    norths = [place[1] for place in places]
    latitude = (min(norths) + max(norths)) / 2
    width = (max(easts) - min(easts)) * math.cos(math.radians(latitude)) * DEGREE
    height = (max(norths) - min(norths)) * DEGREE
    longitude = ((first + (min(easts) + max(easts)) / 2) + 180) % 360 - 180
    return Frame(longitude, latitude, max(width, _LEAST) * _MARGIN, max(height, _LEAST) * _MARGIN)


def rings(site: SiteArea) -> Iterator[list[list[float]]]:
    """Yield the rings of a site's area."""
    if site.geometry is None:
        return
    found: list[Any] = site.geometry["coordinates"]
    for polygon in [found] if site.geometry["type"] == "Polygon" else found:
        yield from polygon


def roomy(outlines: Sequence[Sequence[Point]], tall: float) -> tuple[Point, float]:
    """Return where there is room for a name in an area that these rings enclose, and how wide it is there.

    That is half way up, unless the area is much wider elsewhere; never in a hole. The name reaches `tall` up and down.
    """
    heights = [y for ring in outlines for _, y in ring]
    low, high = min(heights), max(heights)
    stretches = [
        (end - begin, (begin + end) / 2, low + (high - low) * share)
        for share in _LEVELS
        for begin, end in _clear(outlines, low + (high - low) * share, tall)
    ]
    if not stretches:
        return outlines[0][0], 0.0
    widest = max(stretches)[0]
    wide, x, y = next(each for each in stretches if each[0] >= widest / 2)
    return (x, y), wide


def _clear(outlines: Sequence[Sequence[Point]], y: float, tall: float) -> Iterator[tuple[float, float]]:
    """Yield from where to where lines at these heights are all within the area."""
    for stretches in product(*(_stretches(outlines, each) for each in (y - tall, y, y + tall))):
        begin, end = max(begin for begin, _ in stretches), min(end for _, end in stretches)
        if begin < end:
            yield begin, end


def _stretches(outlines: Sequence[Sequence[Point]], y: float) -> list[tuple[float, float]]:
    """Return from where to where a horizontal line is within the area, by the even-odd rule."""
    crossed = sorted(
        ax + (y - ay) * (bx - ax) / (by - ay)
        for ring in outlines
        for (ax, ay), (bx, by) in pairwise(ring)
        if (ay <= y) is not (by <= y)
    )
    whole: list[tuple[float, float]] = []
    for begin, end in zip(crossed[::2], crossed[1::2], strict=True):
        # Parts that touch are one, as those of an area that was cut at 180°.
        touches = bool(whole) and math.isclose(whole[-1][1], begin, abs_tol=1e-6)
        whole.append((whole.pop()[0] if touches else begin, end))
    return whole


def is_cut(begin: Sequence[float], end: Sequence[float]) -> bool:
    """Return whether an edge is only where an area was cut at 180° (RFC 7946 §3.1.9)."""
    return abs(begin[0]) == abs(end[0]) == 180


def scale(width: float) -> float:
    """Return a round number of metres that is at most a quarter of a map's width."""
    power = 10.0 ** math.floor(math.log10(width / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= width / 4)


def drawn(sites: Sequence[SiteArea], position: Position | None, shown: Frame, look: Look) -> list[Text]:
    """Return the map line by line, its scale below; as wide as the page, and at most `MOST_ROWS` high."""
    canvas = _Canvas(shown, look)
    for number, site in enumerate(sites):
        for ring in rings(site):
            for begin, end in pairwise(ring):
                if not is_cut(begin, end):
                    canvas.line(begin, end, STYLES[number % len(STYLES)])
    if position is not None:
        canvas.circle(position)
        canvas.mark(position)
    for number, site in enumerate(sites):
        canvas.name(site, STYLES[number % len(STYLES)])
    return [*canvas.lines(), Text(), canvas.legend()]


class _Canvas:
    """Cells of two by four dots, and letters over them."""

    def __init__(self, shown: Frame, look: Look) -> None:
        self._shown = shown
        self._look = look
        wide = look.width * 2
        self._unit = max(shown.width / wide, shown.height / (MOST_ROWS * 4))
        """Metres of a dot."""
        self._rows = min(max(math.ceil(shown.height / self._unit / 4), LEAST_ROWS), MOST_ROWS)
        self._size = (wide, self._rows * 4)
        self._dots: dict[tuple[int, int], int] = {}
        self._styles: dict[tuple[int, int], str] = {}
        self._letters: dict[tuple[int, int], tuple[str, str]] = {}

    def _at(self, place: Sequence[float]) -> Point:
        east, north = self._shown.metres(place)
        return self._size[0] / 2 + east / self._unit, self._size[1] / 2 - north / self._unit

    def line(self, begin: Sequence[float], end: Sequence[float], style: str) -> None:
        kept = _clipped(self._at(begin), self._at(end), self._size)
        if kept is None:
            return
        (ax, ay), (bx, by) = kept
        steps = max(1, math.ceil(max(abs(bx - ax), abs(by - ay))))
        for step in range(steps + 1):
            self._dot(ax + (bx - ax) * step / steps, ay + (by - ay) * step / steps, style)

    def circle(self, position: Position) -> None:
        x, y = self._at((position.longitude, position.latitude))
        reach = position.accuracy / self._unit
        if not 2 <= reach <= sum(self._size):
            return
        pieces = max(8, math.ceil(reach * 3))
        for piece in range(pieces):
            turn = 2 * math.pi * piece / pieces
            self._dot(x + reach * math.cos(turn), y + reach * math.sin(turn), "")

    def mark(self, position: Position) -> None:
        x, y = self._at((position.longitude, position.latitude))
        cell = (int(x // 2), int(y // 4))
        if 0 <= x < self._size[0] and 0 <= y < self._size[1]:
            self._letters[cell] = ("@", "bold")

    def _dot(self, x: float, y: float, style: str) -> None:
        column, row = int(x), int(y)
        if 0 <= x < self._size[0] and 0 <= y < self._size[1]:
            cell = (column // 2, row // 4)
            self._dots[cell] = self._dots.get(cell, 0) | _DOTS[row % 4][column % 2]
            self._styles[cell] = style

    def name(self, site: SiteArea, style: str) -> None:
        """Write a site's id in the middle of its area, or where there is room above or below it."""
        outlines = [[self._at(place) for place in ring] for ring in rings(site)]
        places = [place for ring in outlines for place in ring]
        if not places:
            return
        (x, y), wide = roomy(outlines, 4.0)
        xs, ys = [x for x, _ in places], [y for _, y in places]
        if max(xs) < 0 or min(xs) >= self._size[0] or max(ys) < 0 or min(ys) >= self._size[1]:
            return
        text = clean(site.id)[: self._size[0] // 2]
        fits = wide > (len(text) + 2) * 2 and max(ys) - min(ys) >= 12
        left = int((x if fits else (min(xs) + max(xs)) / 2) / 2 - len(text) / 2)
        left = min(max(left, 0), self._size[0] // 2 - len(text))
        middle, above, below = int(y // 4), int(min(ys) // 4) - 1, int(max(ys) // 4) + 1
        for row in (middle, above, below) if fits else (above, below, middle):
            cells = [(left + number, row) for number in range(len(text))]
            if 0 <= row < self._rows and not any(cell in self._letters for cell in cells):
                self._letters |= {cell: (letter, style) for cell, letter in zip(cells, text, strict=True)}
                return

    def lines(self) -> Iterator[Text]:
        for row in range(self._rows):
            line = Text(no_wrap=True)
            for column in range(self._size[0] // 2):
                line.append(*self._cell((column, row)))
            yield line

    def _cell(self, cell: tuple[int, int]) -> tuple[str, str]:
        if cell in self._letters:
            return self._letters[cell]
        dots = self._dots.get(cell, 0)
        if not dots:
            return " ", ""
        return chr(0x2800 + dots) if self._look.unicode else "#", self._styles[cell]

    def legend(self) -> Text:
        """Return the scale, and where north is."""
        long = scale(self._size[0] * self._unit)
        width = max(2, round(long / self._unit / 2))
        left, line, right, up = "├─┤↑" if self._look.unicode else "|-|^"
        text = Text(f"{left}{line * (width - 2)}{right} {metres(long)}", no_wrap=True)
        text.pad_right(max(1, self._look.width - text.cell_len - 3))
        return text.append(f"N {up}")


def _clipped(begin: Point, end: Point, size: tuple[int, int]) -> tuple[Point, Point] | None:
    """Return the part of a line that is on the canvas (Liang and Barsky), None if none is."""
    first, last = 0.0, 1.0
    for start, along, most in zip(begin, (end[0] - begin[0], end[1] - begin[1]), size, strict=True):
        for towards, room in ((-along, start), (along, most - start)):
            if towards == 0:
                if room < 0:
                    return None
            elif towards < 0:
                first = max(first, room / towards)
            else:
                last = min(last, room / towards)
    if first > last:
        return None
    across, down = end[0] - begin[0], end[1] - begin[1]
    return (begin[0] + first * across, begin[1] + first * down), (begin[0] + last * across, begin[1] + last * down)
