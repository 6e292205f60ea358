"""Dates moved by whole days; times of day stay, so that what was an hour apart still is (PS3.15 §E.3.6)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_DATE: Final = re.compile(r"(\d{4})(?:(\.?)(\d{2})\2(\d{2}))", re.ASCII)
_DATE_TIME: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?((?:\d{2}){0,3}(?:\.\d{1,6})?)([+-]\d{4})?", re.ASCII)
_TIME: Final = re.compile(r"\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?", re.ASCII)
_ZONE: Final = re.compile(r"[+-]\d{4}", re.ASCII)
_MIDDLE: Final = "15"


def shifted(value: str, vr: str, days: int) -> str | None:
    """Return one value of the VR DA, DT or TM with its date moved, None if it is none."""
    if vr == "TM":
        return value if _TIME.fullmatch(value) else None
    return _date(value, days) if vr == "DA" else _date_time(value, days) if vr == "DT" else None


def zone(value: str) -> str | None:
    """Return a Timezone Offset From UTC, None if it is none."""
    return value if _ZONE.fullmatch(value) else None


def spellings(value: str) -> list[str]:
    """Return the ways in which people write a date of the VR DA; none if it is no date."""
    found = _DATE.fullmatch(value)
    if found is None:
        return []
    year, month, day = found[1], found[3], found[4]
    orders = ((year, month, day), (day, month, year), (month, day, year))
    return [separator.join(order) for order in orders for separator in ("", "-", ".", "/")]


def _date(value: str, days: int) -> str | None:
    found = _DATE.fullmatch(value)
    moved = _moved(found[1], found[3], found[4], days) if found else None
    return None if moved is None else f"{moved:%Y%m%d}"


def _date_time(value: str, days: int) -> str | None:
    found = _DATE_TIME.fullmatch(value)
    if found is None or (found[4] and not found[3]):
        return None
    moved = _moved(found[1], found[2] or "07", found[3] or _MIDDLE, days)
    if moved is None:
        return None
    digits = 4 + 2 * bool(found[2]) + 2 * bool(found[3])
    return f"{moved:%Y%m%d}"[:digits] + found[4] + (found[5] or "")


def _moved(year: str, month: str, day: str, days: int) -> dt.date | None:
    try:
        moved = dt.date(int(year), int(month), int(day)) + dt.timedelta(days)
    except (ValueError, OverflowError):
        return None
    return moved if moved.year >= 1000 else None
