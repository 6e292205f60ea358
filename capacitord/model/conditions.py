"""When a rule of a profile applies to an image, and why it does or does not.

A condition on an attribute holds by its values: those in all items of the sequences on its path, and each value of
an attribute that has several (PS3.5 §6.4). It holds if one of what is `wanted` fits a value, and nothing of what is
`unwanted` fits any. An attribute that is not there has no values, so it is empty, and it is not "CT".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from capacitord.model import patterns, schedule
from capacitord.model.attribute import Attribute
from capacitord.model.compare import Comparison
from capacitord.model.schedule import Window


class Attributes(Protocol):
    """The values of an image's attributes."""

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        """Return all values of what `attribute` names, as text without padding, in the order of the dataset.

        None if there is no such attribute; one without a value has the values ("",).

        A number is written as in PS3.5 §6.2 for IS and DS whatever its VR; a tag in a value of VR AT as "00080060".
        """


class Subject(NamedTuple):
    """An image and how it came: `local` is when, on the wall clock of the site."""

    attributes: Attributes
    calling_ae_title: str
    called_ae_title: str
    local: datetime


class Exactly(msgspec.Struct, frozen=True, tag="exactly"):
    """The text itself, capitals and all."""

    text: str

    def fits(self, values: tuple[str, ...]) -> bool:
        """Return whether one of the values, or all of them joined by backslashes, is the text."""
        return self.text in _joined(values) if "\\" in self.text else self.text in values

    def __str__(self) -> str:
        return self.text


class Glob(msgspec.Struct, frozen=True, tag="glob"):
    """A text in which `*` stands for any characters and `?` for one."""

    pattern: str

    def fits(self, values: tuple[str, ...]) -> bool:
        """Return whether one of the values fits, or all of them joined by backslashes."""
        wild = re.compile(_translated(self.pattern), re.DOTALL)
        texts = _joined(values) if "\\" in self.pattern else values
        return any(wild.fullmatch(text) for text in texts)

    def __str__(self) -> str:
        return self.pattern


class Regex(msgspec.Struct, frozen=True, tag="regex"):
    """An RE2 expression that is searched for anywhere in a value."""

    pattern: str

    def fits(self, values: tuple[str, ...]) -> bool:
        """Return whether it is found in one of the values."""
        return any(patterns.found(self.pattern, value) for value in values)

    def __str__(self) -> str:
        return f"/{self.pattern}/"


class Ordered(msgspec.Struct, frozen=True, tag="ordered"):
    """A comparison of numbers, dates, times or ages."""

    comparison: Comparison

    def fits(self, values: tuple[str, ...]) -> bool:
        """Return whether it holds for one of the values."""
        return any(self.comparison.holds(value) for value in values)

    def __str__(self) -> str:
        return str(self.comparison)


class Empty(msgspec.Struct, frozen=True, tag="empty"):
    """Not there, or there without a value."""

    def fits(self, values: tuple[str, ...]) -> bool:
        """Return whether there is no value, or only empty ones."""
        return not any(values)

    def __str__(self) -> str:
        return '""'


Test = Exactly | Glob | Regex | Ordered | Empty


class Values(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wanted of values, and what is not."""

    wanted: tuple[Test, ...] = ()
    unwanted: tuple[Test, ...] = ()

    def fit(self, values: tuple[str, ...]) -> bool:
        """Return whether the values are as wanted."""
        if self.wanted and not any(test.fits(values) for test in self.wanted):
            return False
        return not any(test.fits(values) for test in self.unwanted)

    def __str__(self) -> str:
        return ", ".join([*map(str, self.wanted), *(f"!{test}" for test in self.unwanted)])


class Has(msgspec.Struct, frozen=True, tag="has"):
    """An attribute has such values."""

    attribute: Attribute
    values: Values


class CalledBy(msgspec.Struct, frozen=True, tag="calling"):
    """The sender gave such a calling AE title."""

    values: Values


class CalledAs(msgspec.Struct, frozen=True, tag="called"):
    """The sender asked for such a called AE title."""

    values: Values


class During(msgspec.Struct, frozen=True, tag="during"):
    """The image came in one of these windows."""

    windows: tuple[Window, ...]


class Every(msgspec.Struct, frozen=True, tag="all"):
    """All of them hold. Of none, that is true."""

    of: tuple[Condition, ...] = ()


class Either(msgspec.Struct, frozen=True, tag="any"):
    """One of them holds. Of none, that is false."""

    of: tuple[Condition, ...]


class Never(msgspec.Struct, frozen=True, tag="not"):
    """It does not hold."""

    of: Condition


Condition = Has | CalledBy | CalledAs | During | Every | Either | Never
ALWAYS: Final = Every()


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a condition holds, and why.

    `what` names the attribute or the key. `wanted` is what the profile says. `found` is what was there, None if
    nothing: it may be patient data, and it is for whoever calls to decide who may see it. A group has `parts`.
    """

    holds: bool
    what: str
    wanted: str = ""
    found: tuple[str, ...] | None = None
    parts: tuple[Reason, ...] = ()


def local_time(received_at: int, zone: str) -> datetime:
    """Return nanoseconds since the epoch as a moment on the wall clock of a zone."""
    return datetime.fromtimestamp(received_at // 1_000_000_000, UTC).astimezone(ZoneInfo(zone))


def holds(condition: Condition, subject: Subject) -> bool:
    """Return whether a condition holds; what `explain` says, and faster."""
    match condition:
        case Every(of):
            return all(holds(part, subject) for part in of)
        case Either(of):
            return any(holds(part, subject) for part in of)
        case Never(of):
            return not holds(of, subject)
        case _:
            return _leaf(condition, subject).holds


def explain(condition: Condition, subject: Subject) -> Reason:
    """Return whether a condition holds, with every part of it."""
    match condition:
        case Every(of):
            parts = tuple(explain(part, subject) for part in of)
            return Reason(all(part.holds for part in parts), "all", parts=parts)
        case Either(of):
            parts = tuple(explain(part, subject) for part in of)
            return Reason(any(part.holds for part in parts), "any", parts=parts)
        case Never(of):
            part = explain(of, subject)
            return Reason(not part.holds, "not", parts=(part,))
        case _:
            return _leaf(condition, subject)


def decisive(reason: Reason) -> Iterator[Reason]:
    """Yield the conditions that made the whole hold, or not hold: those that would have to be otherwise.

    Below "not" they are what holds where it must not, and the other way round.
    """
    if not reason.parts:
        yield reason
        return
    for part in reason.parts:
        if reason.what == "not" or part.holds is reason.holds:
            yield from decisive(part)
            if reason.what == "any" and reason.holds:
                return


def _leaf(condition: Has | CalledBy | CalledAs | During, subject: Subject) -> Reason:
    match condition:
        case Has(attribute, values):
            found = subject.attributes.values(attribute)
            return Reason(values.fit(found or ()), attribute.text, str(values), found)
        case CalledBy(values):
            title = (subject.calling_ae_title,)
            return Reason(values.fit(title), "calling_ae_title", str(values), title)
        case CalledAs(values):
            title = (subject.called_ae_title,)
            return Reason(values.fit(title), "called_ae_title", str(values), title)
        case During(windows):
            now = (f"{schedule.DAYS[subject.local.weekday()]} {subject.local:%H:%M}",)
            return Reason(schedule.holds(windows, subject.local), "time", ", ".join(map(str, windows)), now)


def _joined(values: tuple[str, ...]) -> tuple[str, ...]:
    return ("\\".join(values),)


def _translated(pattern: str) -> str:
    """Return a glob as a regular expression; unlike in a shell, brackets mean themselves."""
    return fnmatch.translate(pattern.replace("[", "[[]")).removesuffix(r"\Z")
