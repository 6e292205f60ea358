"""Tracks as receivers record them: GPX 1.0 and 1.1, read within bounds.

Of a track its segments are taken, of a file without one its routes, else its waypoints. Only fixes with a time count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from xml.parsers import expat

from capacitord.errors import Invalid

LARGEST: Final = 32 << 20
"""The most bytes of a file: more than two days with a fix a second."""
MOST_FIXES: Final = 250_000
DEEPEST: Final = 32
"""Levels of elements; GPX itself has five, and extensions some more."""
_LONGEST_TIME: Final = 64
_POINTS: Final = ("trkpt", "rtept", "wpt")
"""The elements that are fixes, the most telling first."""
_HINT: Final = "Export the track as GPX from the receiver or the app that recorded it."


class Fix(NamedTuple):
    """Where a receiver was at a time (UTC). `first` of a segment: nothing is known of what was before it."""

    at: datetime
    latitude: float
    longitude: float
    first: bool


class Reading(NamedTuple):
    """The fixes in their order, and how many were left out: those without a time, and those before an earlier one."""

    fixes: tuple[Fix, ...]
    without_time: int
    out_of_order: int


def read(data: bytes, file: str, most: int = MOST_FIXES) -> Reading:
    """Return the fixes of a GPX file, which is called `file` in errors and has at most so many. Raises `Invalid`."""
    if len(data) > LARGEST:
        raise Invalid(f"a track has at most {LARGEST >> 20} MiB", where=file, hint="Export the day that is meant.")
    reader = _Reader(file, most)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        msg = f"this is not XML: {expat.ErrorString(error.code)}"
        raise Invalid(msg, where=f"{file}:{error.lineno}", hint=_HINT) from None
    except (LookupError, ValueError):
        raise Invalid("this is in an encoding that is not known", where=file, hint="Save it as UTF-8.") from None
    kind = next((name for name in _POINTS if reader.fixes[name]), None)
    if kind is None:
        without = sum(reader.without_time.values())
        msg = f"none of its {without:,} fixes has a time" if without else "there is no fix in it"
        raise Invalid(msg, where=file, hint=f"A dwell needs fixes with a time. {_HINT}")
    return _ordered(reader.fixes[kind], reader.without_time[kind])


def _ordered(fixes: list[Fix], without_time: int) -> Reading:
    kept: list[Fix] = []
    for fix in fixes:
        if not kept or fix.at >= kept[-1].at:
            kept.append(fix)
    return Reading(tuple(kept), without_time, len(fixes) - len(kept))


class _Reader:
    """Takes from the elements what is needed, and refuses what no receiver writes."""

    def __init__(self, file: str, most: int) -> None:
        self.fixes: dict[str, list[Fix]] = {name: [] for name in _POINTS}
        self.without_time = dict.fromkeys(_POINTS, 0)
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        # Entities are what bombs of XML are made of, and are declared nowhere else.
        self.parser.StartDoctypeDeclHandler = self._declared
        self._file = file
        self._most = most
        self._path: list[str] = []
        self._place: tuple[float, float] = (0.0, 0.0)
        self._time: str | None = None
        self._first = True

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not self._path and local != "gpx":
            raise self._wrong("this is XML, and no GPX", _HINT)
        if len(self._path) == DEEPEST:
            raise self._wrong(f"elements are more than {DEEPEST} deep", _HINT)
        if local in {"trkseg", "rte"}:
            self._first = True
        if local in _POINTS:
            self._place = self._position(attributes)
            self._time = None
        if local == "time" and self._path[-1] in _POINTS:
            self._time = ""
        self._path.append(local)

    def _text(self, text: str) -> None:
        if self._time is not None and self._path[-1] == "time" and self._path[-2] in _POINTS:
            self._time += text
            if len(self._time) > _LONGEST_TIME:
                raise self._wrong("a time is too long to be one", "GPX writes it like 2025-11-21T08:02:11Z.")

    def _end(self, _name: str) -> None:
        local = self._path.pop()
        if local not in _POINTS:
            return
        if self._time is None or not self._time.strip():
            self.without_time[local] += 1
            return
        found = self.fixes[local]
        if len(found) == self._most:
            raise self._wrong(f"there are more than {self._most:,} fixes", "Export the day that is meant.")
        found.append(Fix(self._at(self._time.strip()), *self._place, first=self._first))
        self._first = False

    def _declared(self, *_declaration: object) -> None:
        raise self._wrong("this declares a document type, which no receiver writes", _HINT)

    def _position(self, attributes: Mapping[str, str]) -> tuple[float, float]:
        try:
            latitude, longitude = float(attributes["lat"]), float(attributes["lon"])
        except (KeyError, ValueError):
            raise self._wrong("a fix has no position", "It has lat and lon in degrees.") from None
        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            raise self._wrong("a fix is nowhere on the earth", "Latitudes reach to ±90°, longitudes to ±180°.")
        return latitude, longitude

    def _at(self, text: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._wrong("a time is none", "GPX writes it like 2025-11-21T08:02:11Z.") from None

    def _wrong(self, message: str, hint: str) -> Invalid:
        return Invalid(message, where=f"{self._file}:{self.parser.CurrentLineNumber}", hint=hint)
