"""Windows of the week on the wall clock of a site: "Mon-Fri 19:00-06:00".

A window that ends before it begins goes over midnight and belongs to the day on which it begins: "Fri 19:00-06:00"
holds on Saturday at five. What counts is what the clock on the wall shows. So when clocks are put forward, the hour
that is left out is in no window, and when they are put back, an hour that comes twice is in its window twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WHOLE_DAY: Final = 24 * 60
EVERY_DAY: Final = tuple(range(7))


class Window(msgspec.Struct, frozen=True):
    """From `start` until just before `end`, in minutes of the day; `days` are those it begins on, 0 for Monday."""

    days: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        hours = "" if (self.start, self.end) == (0, WHOLE_DAY) else f"{clock(self.start)}-{clock(self.end)}"
        days = "" if self.days == EVERY_DAY and hours else days_text(self.days)
        return " ".join(part for part in (days, hours) if part)

    @property
    def over_midnight(self) -> bool:
        """Whether it ends on the day after."""
        return self.end <= self.start

    def holds(self, local: datetime) -> bool:
        """Return whether a moment on the site's wall clock is within."""
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if not self.over_midnight:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


class Change(msgspec.Struct, frozen=True):
    """Clocks that are put forward or back on a date: from `before` to `after`, in minutes of the day."""

    date: str
    weekday: int
    before: int
    after: int


def holds(windows: Iterable[Window], local: datetime) -> bool:
    """Return whether a moment on the site's wall clock is in one of the windows."""
    return any(window.holds(local) for window in windows)


def clock(minute: int) -> str:
    """Return a minute of the day as "19:00"; the end of the day is "24:00"."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def days_text(days: tuple[int, ...]) -> str:
    """Return days as "Mon-Fri" or "Mon,Wed"."""
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs)


def changes(zone: ZoneInfo, year: int) -> list[Change]:
    """Return when the clocks of a zone are put forward or back in a year."""
    found = []
    moment = datetime(year, 1, 1, tzinfo=zone).astimezone(_UTC)
    end = datetime(year + 1, 1, 1, tzinfo=zone).astimezone(_UTC)
    while moment < end:
        later = min(moment + timedelta(days=1), end)
        if _offset(moment, zone) != _offset(later, zone):
            found.append(_change(moment, later, zone))
        moment = later
    return found


def left_out(window: Window, change: Change) -> bool:
    """Return whether a window does not come at all on the day on which the clocks are put forward."""
    return (
        change.weekday in window.days
        and not window.over_midnight
        and change.before <= window.start
        and window.end <= change.after
    )


_UTC: Final = ZoneInfo("UTC")


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> Change:
    """Return the change between two moments of which it is known that there is one."""
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        if _offset(middle, zone) == _offset(low, zone):
            low = middle
        else:
            high = middle
    instant = high.replace(second=0, microsecond=0)
    before = instant.replace(tzinfo=None) + _offset(instant - timedelta(minutes=1), zone)
    after = instant.replace(tzinfo=None) + _offset(instant, zone)
    first = before.hour * 60 + before.minute
    return Change(str(before.date()), before.weekday(), first, first + int((after - before).total_seconds() // 60))
