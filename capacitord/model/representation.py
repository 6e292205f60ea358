"""What a value of each VR may be (PS3.5 table 6.2-1), and how many values an attribute has (PS3.6)."""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final


class Unfit(ValueError):
    """A value cannot be read, or must not be written. Says why, without the value."""


SINGLE_VRS: Final = frozenset({"LT", "ST", "UR", "UT"})
"""VRs with one value in which a backslash is a character."""

NUMBERS: Final = MappingProxyType(
    {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
)
"""VRs of binary numbers, with the letter `struct` has for them."""

HASHED_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UT"})
"""VRs that a hash is a value of."""

LONGEST: Final = MappingProxyType({"AE": 16, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "UI": 64})
"""The most characters of a value; of a person name, of each component group."""
_MANY_LINES: Final = frozenset({"LT", "ST", "UT"})
_LINE_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TEXT_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_PATTERNS: Final = MappingProxyType(
    {
        "AE": (re.compile(r"(?! *$)[ -\[\]-~]{1,16}"), "is not an AE title of 1 to 16 characters"),
        "AS": (re.compile(r"\d{3}[DWMY]", re.ASCII), "is not an age like 042Y"),
        "CS": (re.compile(r"[A-Z0-9 _]{1,16}"), "is not 1 to 16 upper-case letters, digits, spaces and underscores"),
        "DA": (re.compile(r"\d{8}", re.ASCII), "is not a date like 20240229"),
        "DS": (
            re.compile(r"(?=.{1,16}$) *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *", re.ASCII),
            "is not a decimal number of at most 16 characters",
        ),
        "DT": (
            re.compile(r"(\d{4})(\d{2})?(\d{2})?([01]\d|2[0-3])?([0-5]\d)?([0-5]\d|60)?(\.\d{1,6})?([+-]\d{4})?", re.A),
            "is not a date and time like 20240229081500",
        ),
        "IS": (re.compile(r"(?=.{1,12}$) *[+-]?\d+ *", re.ASCII), "is not a whole number of at most 12 characters"),
        "TM": (
            re.compile(r"([01]\d|2[0-3])(?:[0-5]\d(?:([0-5]\d|60)(?:\.\d{1,6})?)?)?", re.ASCII),
            "is not a time like 081500",
        ),
        "UI": (re.compile(r"(?=.{1,64}$)(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII), "is not a UID"),
        "UR": (re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+"), "is not a URI"),
    }
)


def split(text: str, vr: str) -> list[str]:
    """Return the values of an element, without padding; an empty element has none."""
    if vr in SINGLE_VRS:
        values = [text.rstrip(" \0")]
    else:
        values = [value.rstrip(" \0") if vr == "UC" else value.strip(" \0") for value in text.split("\\")]
    return values if any(values) or len(values) > 1 else []


def check(value: str, vr: str) -> None:
    """Raise `Unfit` if a value that is not empty may not be written under this VR."""
    if vr in _PATTERNS:
        pattern, words = _PATTERNS[vr]
        found = pattern.fullmatch(value)
        if found is None or not _CALENDAR.get(vr, _any)(value):
            raise Unfit(f"the value {words} (VR {vr})")
    elif vr in NUMBERS:
        number(value, vr)
    elif vr in LONGEST or vr in {"UC", "UT"}:
        _check_text(value, vr)
    else:
        raise Unfit(f"text cannot be written under the VR {vr}")


def check_count(multiplicity: str, count: int) -> None:
    """Raise `Unfit` if an attribute may not have so many values; none is always allowed here.

    `multiplicity` is what PS3.6 says of it, like "1", "2-n" or "1-3".
    """
    least, _, most = multiplicity.partition("-")
    if not most:
        fits = count == int(least)
    elif most.endswith("n"):
        step = int(most[:-1] or 1)
        fits = count >= int(least) and (count - int(least)) % step == 0
    else:
        fits = int(least) <= count <= int(most)
    if count and not fits:
        values = "1 value" if multiplicity == "1" else f"{multiplicity} values"
        raise Unfit(f"the attribute has {values} (PS3.6), not {count}")


def number(value: str, vr: str) -> int | float:
    """Return a number that fits a binary VR. Raises `Unfit`."""
    try:
        found = float(value) if vr in {"FL", "FD"} else int(value)
        struct.pack("<" + NUMBERS[vr], found)
    except (ValueError, OverflowError, struct.error):
        raise Unfit(f"the value is not a number that fits the VR {vr}") from None
    if not math.isfinite(found):
        raise Unfit(f"the value is not a number that fits the VR {vr}")
    return found


def conforms(values: Sequence[str], vr: str) -> bool:
    """Whether all values are as their VR wants them."""
    try:
        for value in values:
            if value:
                check(value, vr)
    except Unfit:
        return False
    return True


def without_controls(value: str, vr: str, instead: str) -> str:
    """Return a value with `instead` for each control character that its VR does not allow (PS3.5 §6.1.3)."""
    return value if value.isprintable() else _controls(vr).sub(instead, value)


def _controls(vr: str) -> re.Pattern[str]:
    return _TEXT_CONTROLS if vr in _MANY_LINES else _LINE_CONTROLS


def _check_text(value: str, vr: str) -> None:
    many_lines = vr in _MANY_LINES
    if _controls(vr).search(value):
        raise Unfit(f"the value has control characters, which the VR {vr} does not allow")
    if "\\" in value and not many_lines:
        raise Unfit("the value has a backslash, which separates values")
    if vr == "PN":
        _check_name(value)
    elif len(value) > LONGEST.get(vr, len(value)):
        raise Unfit(f"the value has {len(value)} characters, and the VR {vr} allows {LONGEST[vr]}")


def _check_name(value: str) -> None:
    groups = value.split("=")
    if len(groups) > 3:
        raise Unfit("a person name has at most three component groups (PS3.5 §6.2.1)")
    for group in groups:
        if group.count("^") > 4:
            raise Unfit("a person name has at most five components (PS3.5 §6.2.1)")
        if len(group) > LONGEST["PN"]:
            raise Unfit(f"a component group of the name has {len(group)} characters, and the VR PN allows 64")


def _any(_value: str) -> bool:
    return True


def _is_date(value: str) -> bool:
    try:
        dt.date(int(value[:4]), int(value[4:6]), int(value[6:8]))
    except ValueError:
        return False
    return True


def _is_date_time(value: str) -> bool:
    digits = re.split(r"[.+-]", value)[0]
    return ("." not in value or len(digits) == 14) and _is_date(digits + "00000101"[len(digits) :])


def _fits_32_bits(value: str) -> bool:
    return -(1 << 31) <= int(value) < 1 << 31


_CALENDAR: Final[MappingProxyType[str, Callable[[str], bool]]] = MappingProxyType(
    {"DA": _is_date, "DT": _is_date_time, "IS": _fits_32_bits}
)
