"""Numbers, sizes, ages and times in words; and texts made harmless for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from fluxctl.render.look import Look

MINUTE, HOUR, DAY = 60, 3600, 86400
MIB, GIB, TIB = 2**20, 2**30, 2**40
NOTHING = "—"
ASCII = str.maketrans("✔✘⚠→—…·•█░▸", "+x!>-~.*#.>")
_STEERING = r"\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""The characters that a terminal obeys, or that reverse or reorder a line (Unicode Standard Annex #9)."""
_UNSEEN = (
    r"\u00ad\u034f\u115f\u1160\u180e\u200b\u2028\u2029\u2060-\u2064\u3164\ufeff\uffa0\ufff9-\ufffb"
    r"\U000e0000-\U000e007f"
)
"""The characters that make two names or ids differ and look alike; those that join letters are not among them."""
_HARMFUL = re.compile(f"[{_STEERING}{_UNSEEN}]")


def clean(text: str) -> str:
    """Return `text` with every character made visible as "�" that steers a terminal, reverses a line, or is unseen."""
    return _HARMFUL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return what a person typed as part of a line: a line break in it is made visible, too, and fakes no line."""
    return clean(text).replace("\n", "\ufffd")


def plain(text: str) -> str:
    """Return `text` for a terminal that has no more than its own letters: our symbols in ASCII, one for one."""
    return text.translate(ASCII)


def shortened(name: str, room: int) -> str:
    """Return a name of a file in `room` characters: what does not fit is left out of its middle, where "…" stands."""
    if len(name) <= room:
        return name
    tail = (room - 1) // 2
    return f"{name[: max(room - 1 - tail, 0)]}…{name[len(name) - tail :]}"


def begun(text: str) -> str:
    """Return `text` as the beginning of a line: with a capital."""
    return text[:1].upper() + text[1:]


def joined(parts: Iterable[str]) -> str:
    """Return remarks as one text: "; " between them, but what follows a full stop is a new sentence."""
    text = ""
    for part in parts:
        if text.endswith((".", "!", "?")):
            text += f" {begun(part)}"
        else:
            text += f"; {part}" if text else part
    return text


def count(number: int, noun: str, plural: str = "") -> str:
    """Return "1 image", "1,204 images", "no images"."""
    if number == 0:
        return f"no {plural or noun + 's'}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: float) -> str:
    """Return bytes as MiB, as GiB from 10 GiB on, as TiB from 10 TiB on."""
    if number <= 0:
        return "0 MiB"
    if number >= 10 * TIB:
        return f"{number / TIB:,.1f} TiB"
    if number >= 10 * GIB:
        return f"{number / GIB:,.0f} GiB"
    if number >= 100 * MIB:
        return f"{number / MIB:,.0f} MiB"
    return f"{max(number / MIB, 0.1):.1f} MiB"


def rate(number: float) -> str:
    """Return bytes a second in words."""
    return f"{size(number)}/s" if number > 0 else NOTHING


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: "12 s", "4 min", "2 h 10 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        hours, minutes = divmod(whole // MINUTE, 60)
        return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"
    days, hours = divmod(whole // HOUR, 24)
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"


def metres(number: float) -> str:
    """Return a distance as people read it: "8 m", "340 m", "2.4 km", "1,204 km"."""
    if number < 10:
        return f"{number:.1f} m" if number < 9.95 and round(number, 1) % 1 else f"{number:.0f} m"
    if number < 999.5:
        return f"{number:.0f} m"
    return f"{number / 1000:.1f} km" if number < 99_950 else f"{number / 1000:,.0f} km"


def millis(seconds: float | None) -> str:
    """Return a short time in milliseconds."""
    return (
        NOTHING if seconds is None else f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    )


def span(seconds: float) -> str:
    """Return seconds in their largest unit only: "12 s", "4 min", "2 h", "3 d"."""
    return " ".join(duration(seconds).split()[:2])


def age(then: datetime | None, look: Look) -> str:
    """Return how long ago `then` was, in the largest unit only."""
    return NOTHING if then is None else span((look.now - then).total_seconds())


def ago(then: datetime | None, look: Look) -> str:
    """Return how long ago `then` was, as the end of a sentence."""
    return "never" if then is None else f"{age(then, look)} ago"


def until(then: datetime | None, look: Look) -> str:
    """Return how long it is until `then`: "in 40 s", or "now"."""
    if then is None:
        return NOTHING
    seconds = (then - look.now).total_seconds()
    return f"in {duration(seconds)}" if seconds >= 1 else "now"


def clock(then: datetime | None, look: Look) -> str:
    """Return a local time with its zone; the date only if it is not today's."""
    if then is None:
        return NOTHING
    local, now = then.astimezone(look.zone), look.now.astimezone(look.zone)
    zone = local.tzname() or local.strftime("%z")
    if local.date() == now.date():
        return f"{local:%H:%M} {zone}"
    return f"{local:%Y-%m-%d %H:%M} {zone}"


def stamp(then: datetime, look: Look) -> str:
    """Return a local date and time with its zone, to the second."""
    local = then.astimezone(look.zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname() or local.strftime('%z')}"


def dicom_date(text: str) -> str:
    """Return a DA value (PS3.5 §6.2) as 2025-11-21; as it is if it is not one."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdecimal() else text


def dicom_time(text: str) -> str:
    """Return a TM value (PS3.5 §6.2) as 14:02; as it is if it is not one."""
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isdecimal() else text


def dicom_name(text: str) -> str:
    """Return the first group of a PN value (PS3.5 §6.2.1) that says something as "Family, Given"."""
    group = next((group for group in text.split("=") if group.strip("^ ")), "")
    family, _, rest = group.partition("^")
    given = " ".join(part for part in rest.split("^")[:2] if part)
    return ", ".join(part for part in (family, given) if part)
