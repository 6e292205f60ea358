"""Times as people give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from capacitord.errors import Invalid

_AGE: Final = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str, now: datetime | None = None) -> datetime | None:
    """Return the time that `text` means: an age ("2h", "3d") or a local time in ISO 8601; None if it is empty.

    A time without a zone is local. Raises `Invalid`.
    """
    if not text:
        return None
    if age := _AGE.fullmatch(text.strip()):
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise Invalid(f"{text!r} is not a time", hint="Give an age (90s, 10min, 2h, 3d) or 2025-11-21T14:00.") from None
