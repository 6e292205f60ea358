"""Windows of the week as people write them: "18:00-07:00", "Mon-Fri 19:00-06:00", "Sat,Sun"."""

from __future__ import annotations

import re
from typing import Final

from capacitord.config.diagnostics import Rejected, quoted
from capacitord.model.schedule import DAYS, EVERY_DAY, WHOLE_DAY, Window

HINT: Final = 'Write it like "18:00-07:00", "Mon-Fri 19:00-06:00" or "Sat-Sun".'
_DASH: Final = 'The dash is the plain one of the keyboard, as in "18:00-07:00".'
_HOURS: Final = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_LONG: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_window(text: str) -> Window:
    """Return the window that `text` says. Raises `Rejected`."""
    found = _HOURS.search(text)
    days, rest = (text[: found.start()], text[found.end() :]) if found else (text, "")
    # What has digits where the days are, such as "Fri 7pm", is hours that are written in another way.
    if rest.strip() or any(map(str.isdigit, days)) or not (found or any(map(str.isalpha, days))):
        msg = f"{quoted(text)} is not a window of time"
        raise Rejected(msg, _DASH if re.search("[\u2010-\u2015\u2212]", text) else HINT)
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
    msg = f"{quoted(word)} is not a day of the week" if word else "a day is missing beside a comma or a dash"
    raise Rejected(msg, f"Write {near[0]}." if len(near) == 1 else f"They are {', '.join(DAYS)}.")
