"""Durations, sizes, shares of a disk and rates as people write them: "90s", "200 MB", "5 %", "8 Mbit/s"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord.errors import Invalid

SECONDS: Final[Mapping[str, int]] = MappingProxyType({"d": 86400, "h": 3600, "m": 60, "s": 1})
SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "B": 1,
        "kB": 10**3,
        "KB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "TB": 10**12,
        "KiB": 2**10,
        "MiB": 2**20,
        "GiB": 2**30,
        "TiB": 2**40,
    }
)
RATES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "kbit/s": 10**3,
        "Mbit/s": 10**6,
        "Gbit/s": 10**9,
        "kB/s": 8 * 10**3,
        "MB/s": 8 * 10**6,
        "KiB/s": 8 * 2**10,
        "MiB/s": 8 * 2**20,
    }
)
"""Bits a second."""
SLOWEST: Final = 1000
LONGEST: Final = 3650 * 86400
LARGEST: Final = 2**60

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_DURATION_PART: Final = re.compile(rf"({_NUMBER})\s?([dhms])", re.ASCII)
_DURATION: Final = re.compile(rf"{_NUMBER}\s?[dhms](?:\s?{_NUMBER}\s?[dhms])*", re.ASCII)
_SIZE: Final = re.compile(rf"({_NUMBER})\s?([A-Za-z]{{1,3}})", re.ASCII)
_RATE: Final = re.compile(rf"({_NUMBER})\s?([A-Za-z]{{1,4}}/s)", re.ASCII)
_SHARE: Final = re.compile(rf"({_NUMBER})\s?%", re.ASCII)

DURATION_HINT: Final = 'Write it like "90s", "2m", "1h30m" or "1d".'
SIZE_HINT: Final = 'Write it like "200 MB" (millions of bytes) or "1 MiB" (1048576 bytes).'
RATE_HINT: Final = 'Write it like "8 Mbit/s" (millions of bits) or "1 MB/s" (millions of bytes).'
SPACE_HINT: Final = 'Write it like "5 GiB" or "5%".'


class Space(msgspec.Struct, frozen=True):
    """Room on a disk: a number of bytes, or a share of the whole disk (0 to 1)."""

    size: int = 0
    share: float = 0.0

    def on(self, total: int) -> int:
        """Return the bytes this is on a disk of `total` bytes."""
        return self.size + int(self.share * total)

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share else format_size(self.size)


def parse_duration(text: str) -> float:
    """Return the seconds that `text` says; the units are d, h, m and s, larger ones first. Raises `Invalid`."""
    if _DURATION.fullmatch(text) is None:
        msg = f"{text!r} is not a duration"
        raise Invalid(msg, hint=DURATION_HINT)
    parts = [(float(number), unit) for number, unit in _DURATION_PART.findall(text)]
    units = [unit for _, unit in parts]
    if units != sorted(set(units), key=list(SECONDS).index):
        msg = f"{text!r} gives a unit twice or a small one before a large one"
        raise Invalid(msg, hint=DURATION_HINT)
    seconds = sum(number * SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST:
        msg = f"{text!r} is longer than ten years"
        raise Invalid(msg, hint=DURATION_HINT)
    return seconds


def parse_size(text: str) -> int:
    """Return the whole bytes that `text` says. Raises `Invalid`."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2] not in SIZES:
        msg = f"{text!r} is not a size"
        raise Invalid(msg, hint=SIZE_HINT)
    whole, _, fraction = found[1].partition(".")
    # Whole numbers all the way: a float would lose bytes of a large size.
    scale = int("1" + "0" * len(fraction))
    size = int(whole + fraction) * SIZES[found[2]] // scale
    if size > LARGEST:
        msg = f"{text!r} is more than any disk holds"
        raise Invalid(msg, hint=SIZE_HINT)
    return size


def parse_space(text: str) -> Space:
    """Return the room that `text` says, as a size or as a share of the disk. Raises `Invalid`."""
    found = _SHARE.fullmatch(text)
    if found is None:
        try:
            return Space(size=parse_size(text))
        except Invalid as error:
            raise Invalid(error.message, hint=SPACE_HINT) from None
    share = float(found[1]) / 100
    if share >= 1:
        msg = f"{text!r} leaves no room on the disk"
        raise Invalid(msg, hint=SPACE_HINT)
    return Space(share=share)


def parse_rate(text: str) -> int:
    """Return the bits a second that `text` says. Raises `Invalid`."""
    found = _RATE.fullmatch(text)
    if found is None or found[2] not in RATES:
        msg = f"{text!r} is not a rate"
        raise Invalid(msg, hint=RATE_HINT)
    rate = float(found[1]) * RATES[found[2]]
    if not SLOWEST <= rate <= LARGEST:
        msg = f"{text!r} is slower than 1 kbit/s or faster than any link"
        raise Invalid(msg, hint=RATE_HINT)
    return int(rate)


def format_duration(seconds: int) -> str:
    """Return whole seconds as `parse_duration` reads them."""
    parts = []
    for unit, length in SECONDS.items():
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_size(size: int) -> str:
    """Return bytes as `parse_size` reads them, exactly, in the largest binary unit that divides them."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % SIZES[unit] == 0:
            return f"{size // SIZES[unit]} {unit}"
    return f"{size} B"
