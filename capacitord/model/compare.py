"""Values that have an order: numbers, dates, times and ages, as a dataset and as a profile write them."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class Kind(enum.StrEnum):
    """What is compared."""

    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"
    AGE = "age"


class Relation(enum.StrEnum):
    """How a value stands to what it is compared with."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        **dict.fromkeys(("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"), Kind.NUMBER),
        "DA": Kind.DATE,
        "TM": Kind.TIME,
        "DT": Kind.MOMENT,
        "AS": Kind.AGE,
    }
)
"""What has an order, by VR (PS3.5 §6.2)."""

EXAMPLES: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.NUMBER: "1.5",
        Kind.DATE: "2026-01-31",
        Kind.TIME: "18:00",
        Kind.MOMENT: "2026-01-31T18:00",
        Kind.AGE: "18Y",
    }
)

Ordered = tuple[float, ...]
"""What is compared: the parts of a value, the largest first."""

_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)-(\d\d)|\.(\d\d)\.(\d\d)|(\d\d)(\d\d))", re.ASCII)
_TIME: Final = re.compile(r"(\d\d)(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)
_ZONE: Final = re.compile(r"[+-]\d{4}$", re.ASCII)
_DAYS: Final = MappingProxyType({"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25})
_LONGEST: Final = 64


class Comparison(msgspec.Struct, frozen=True, tag="compare"):
    """A relation to an operand; `operand` is what `read` takes for its kind."""

    kind: Kind
    relation: Relation
    operand: str

    def holds(self, value: str) -> bool:
        """Return whether a value of a dataset stands in the relation; one that can't be read does not."""
        wanted, there = read(self.kind, self.operand), read(self.kind, value)
        if wanted is None or there is None:
            return False
        # A date is compared with a moment as a date: "<= 2026-01-31" holds for all of that day.
        return _RELATIONS[self.relation](there[: len(wanted)], wanted)

    def __str__(self) -> str:
        return self.operand if self.relation is Relation.EQUAL else f"{self.relation} {self.operand}"


_RELATIONS: Final[Mapping[Relation, Callable[[Ordered, Ordered], bool]]] = MappingProxyType(
    {
        Relation.EQUAL: lambda a, b: a == b,
        Relation.LESS: lambda a, b: a < b,
        Relation.AT_MOST: lambda a, b: a <= b,
        Relation.MORE: lambda a, b: a > b,
        Relation.AT_LEAST: lambda a, b: a >= b,
    }
)


def read(kind: Kind, text: str) -> Ordered | None:
    """Return what a text means, None if it can't be read as that kind."""
    text = text.strip()
    return _READERS[kind](text) if len(text) <= _LONGEST else None


def _number(text: str) -> Ordered | None:
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return (number,) if math.isfinite(number) else None


def _date(text: str) -> Ordered | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups() if part)
    return (year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _time(text: str) -> Ordered | None:
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23:
        return None
    seconds = float(f"{found[3] or 0}.{found[4] or 0}")
    return (int(found[1]) * 3600 + int(found[2] or 0) * 60 + seconds,)


def _moment(text: str) -> Ordered | None:
    for size in (10, 8):
        date, rest = text[:size], _ZONE.sub("", text[size:])
        if (first := _date(date)) is not None and (rest == "" or (second := _time(rest.lstrip("T "))) is not None):
            return first if rest == "" else (*first, *(second or ()))
    return None


def _age(text: str) -> Ordered | None:
    found = _AGE.fullmatch(text)
    return (int(found[1]) * _DAYS[found[2]],) if found else None


_READERS: Final[Mapping[Kind, Callable[[str], Ordered | None]]] = MappingProxyType(
    {Kind.NUMBER: _number, Kind.DATE: _date, Kind.TIME: _time, Kind.MOMENT: _moment, Kind.AGE: _age}
)
