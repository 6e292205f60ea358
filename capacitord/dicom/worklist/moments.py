"""Dates, times and both together, compared by their meaning and not as text (PS3.4 §C.2.2.2.1.3, §C.2.2.2.5).

Moments are tuples of numbers that compare as they follow each other. What a value leaves out is zero: "1000" is ten
o'clock sharp, in an upper bound too; but an upper bound of date and time without a time is the end of its day.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

Moment: TypeAlias = tuple[int, ...]
"""A date as (yyyymmdd,), a time as (microseconds since midnight,), or both one after the other."""

_DATE: Final = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|\.(\d\d)\.(\d\d))", re.ASCII)
_TIME: Final = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATE_TIME: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.(\d{1,6}))?)?([+-]\d{4})?", re.ASCII)
_DATE_TIMES: Final = re.compile(r"(\d{4,14}(?:\.\d{1,6})?(?:[+-]\d{4})?)? *- *(\d{4,14}(?:\.\d{1,6})?(?:[+-]\d{4})?)?")
_LAST_CLOCK: Final = 86_400_000_000 - 1
_LONGEST: Final = 64


class NotAMoment(ValueError):
    """Text that is no date, no time, or no range of them; says which, without the text."""


class Span(NamedTuple):
    """From `first` to `last`, both inclusive; None is open. `is_range` tells a range from a single value."""

    first: Moment | None
    last: Moment | None
    is_range: bool

    def holds(self, moment: Moment | None) -> bool:
        """Whether a moment lies in it; what is no moment does not."""
        if moment is None:
            return False
        return (self.first is None or self.first <= moment) and (self.last is None or moment <= self.last)


def day(text: str) -> Moment | None:
    """Return a date (VR DA, also as in ACR-NEMA: yyyy.mm.dd), None if it is none."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, date = int(found[1]), int(found[2] or found[4]), int(found[3] or found[5])
    try:
        dt.date(year, month, date)
    except ValueError:
        return None
    return (year * 10000 + month * 100 + date,)


def clock(text: str) -> Moment | None:
    """Return a time (VR TM, also with colons), None if it is none."""
    found = _TIME.fullmatch(text)
    time = None if found is None else _microseconds(found[1], found[2], found[3], found[4])
    return None if time is None else (time,)


def _microseconds(hours: str | None, minutes: str | None, seconds: str | None, fraction: str | None) -> int | None:
    h, m, s = int(hours or 0), int(minutes or 0), int(seconds or 0)
    # PS3.5 §6.2: 60 is a leap second.
    if h > 23 or m > 59 or s > 60:
        return None
    return ((h * 60 + m) * 60 + s) * 1_000_000 + int((fraction or "").ljust(6, "0"))


def date_time(text: str, offset: str = "", *, last: bool = False) -> Moment | None:
    """Return a date and time (VR DT) as one of UTC, None if it is none.

    `offset` from UTC is for values without one of their own; none at all is that of UTC. With `last` what is left out
    below the day is the end of it, and what is left out of the date the end of that year or month.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    year, month, date = int(found[1]), int(found[2] or (12 if last else 1)), int(found[3] or 1)
    time = _microseconds(found[4], found[5], found[6], found[7]) if found[4] or not last else _LAST_CLOCK
    if time is None:
        return None
    try:
        if last and not found[3]:
            date = _days_in(year, month)
        moment = dt.datetime(year, month, date) + dt.timedelta(microseconds=time)  # noqa: DTZ001 - zones are below
        moment -= _offset(found[8] or offset)
    except (ValueError, OverflowError):
        return None
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.year * 10000 + moment.month * 100 + moment.day, (moment - midnight) // dt.timedelta(microseconds=1)


def _days_in(year: int, month: int) -> int:
    return 31 if month == 12 else (dt.date(year, month + 1, 1) - dt.timedelta(days=1)).day


def _offset(text: str) -> dt.timedelta:
    if not re.fullmatch(r"[+-]\d{4}", text):
        return dt.timedelta()
    minutes = int(text[1:3]) * 60 + int(text[3:])
    return dt.timedelta(minutes=-minutes if text[0] == "-" else minutes)


def days(text: str) -> Span:
    """Return the dates that a key of VR DA matches. Raises `NotAMoment`."""
    return _span(text, day, "a date like 20240229, or a range of them like 20240229-20240301")


def clocks(text: str) -> Span:
    """Return the times that a key of VR TM matches. Raises `NotAMoment`."""
    return _span(text, clock, "a time like 081500, or a range of them like 0800-1200")


def date_times(text: str, offset: str = "") -> Span:
    """Return the moments that a key of VR DT matches. Raises `NotAMoment`.

    A hyphen stands for a range and never for an offset of a single value (PS3.4 §C.2.2.2.1.3 note 3).
    """
    words = "a date and time like 20240229081500, or a range of them"
    found = _DATE_TIMES.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        moment = date_time(text, offset) if "-" not in text and len(text) <= _LONGEST else None
        if moment is None:
            raise NotAMoment(f"is not {words}")
        return Span(moment, moment, is_range=False)
    first = date_time(found[1], offset) if found[1] else None
    last = date_time(found[2], offset, last=True) if found[2] else None
    if (found[1] and first is None) or (found[2] and last is None) or not (found[1] or found[2]):
        raise NotAMoment(f"is not {words}")
    return Span(first, last, is_range=True)


def _span(text: str, parse: Callable[[str], Moment | None], words: str) -> Span:
    if len(text) > _LONGEST:
        raise NotAMoment(f"is not {words}")
    before, hyphen, after = (part.strip(" ") for part in text.partition("-"))
    first = parse(before) if before else None
    last = parse(after) if after else None
    if (before and first is None) or (after and last is None) or not (before or after):
        raise NotAMoment(f"is not {words}")
    return Span(first, last, is_range=True) if hyphen else Span(first, first, is_range=False)


def together(dates: Span, times: Span) -> Span | None:
    """Return the moments of a range of dates and one of times, matched as if they were one; None if they are not.

    PS3.4 table K.6-1: July 5 to July 7 and 10am to 6pm is the time from July 5, 10am, until July 7, 6pm. A day without
    a time counts whole. A time without a day is a time of every day, so such ranges are two.
    """
    without_day = (times.first and not dates.first) or (times.last and not dates.last)
    if not (dates.is_range and times.is_range) or without_day:
        return None
    first = dates.first and dates.first + (times.first or (0,))
    last = dates.last and dates.last + (times.last or (_LAST_CLOCK,))
    return Span(first, last, is_range=True)
