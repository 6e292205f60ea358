"""Windows of the week as people write them: "18:00-07:00", "Mon-Fri 19:00-06:00", "Sat,Sun"."""

from __future__ import annotations

import re
from typing import Final

from capacitord.config.diagnostics import Rejected
from capacitord.model.schedule import DAYS, EVERY_DAY, WHOLE_DAY, Window

HINT: Final = 'Write it like "18:00-07:00", "Mon-Fri 19:00-06:00" or "Sat-Sun".'
_HOURS: Final = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_LONG: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_window(text: str) -> Window:
    """Return the window that `text` says. Raises `Rejected`."""
    found = _HOURS.search(text)
    days, rest = (text[: found.start()], text[found.end() :]) if found else (text, "")
    if rest.strip() or not (found or any(letter.isalpha() for letter in days)):
        msg = f"{text!r} is not a window of time"
        raise Rejected(msg, HINT)
    start, end = (_minute(found[1], found[2]), _minute(found[3], found[4])) if found else (0, WHOLE_DAY)
    if start == end:
        msg = f"{text!r} begins when it ends"
        raise Rejected(msg, 'All day is "00:00-24:00".')
    if start == WHOLE_DAY:
        msg = f"{text!r} begins at the end of a day"
        raise Rejected(msg, "Write 00:00, which is the beginning of the next one.")
    return Window(_days(days.strip()) if days.strip() else EVERY_DAY, start, end)


def _minute(hours: str, minutes: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > WHOLE_DAY:
        msg = f"{hours}:{minutes} is not a time of day"
        raise Rejected(msg, "It goes from 00:00 to 24:00.")
    return minute


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        begin = _day(first)
        end = _day(last) if dash else begin
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(sorted(found))


def _day(word: str) -> int:
    if word in DAYS:
        return DAYS.index(word)
    near = [DAYS[number] for number, name in enumerate(_LONG) if len(word) > 1 and name.startswith(word.lower())]
    msg = f"{word!r} is not a day of the week"
    raise Rejected(msg, f"Write {near[0]}." if len(near) == 1 else f"They are {', '.join(DAYS)}.")
