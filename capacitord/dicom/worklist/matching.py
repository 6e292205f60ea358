"""Matching of a worklist query: an identifier becomes tests once, which every entry passes or not (PS3.4 §C.2.2.2).

Everything here is pure. Which kind of matching a key asks for:

============ ================================ =================================================================
VR           key                              matching
============ ================================ =================================================================
any          empty                            universal: every entry, one without the attribute too
SQ           no item, or an empty one         universal; all of the sequence is returned
SQ           one item                         at least one item of the entry has to match all keys of it
UI           values                           list of UID: one of them
DA, TM, DT   contains "-"                     range, both ends inclusive; one that runs backwards has nothing in it
DA, TM, DT   otherwise                        single value, by meaning
PN           see `names`                      single value or wildcard, without regard to case and accents
text         contains "*" or "?"              wildcard; regards case
text         otherwise                        single value; regards case
IS, DS, US   otherwise                        single value, by number: "+7" is "007"
============ ================================ =================================================================

Scheduled Procedure Step Start Date and Time, both as ranges of the same form, are one range of moments (PS3.4 table
K.6-1). Of several values in a key other than of VR UI one has to match; the standard has none there. An attribute
with several values matches if one of them does (§C.2.2.3). A key that this box does not support matches everything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from capacitord.dicom.transform.characters import CharacterSet
from capacitord.dicom.transform.level import public_vr
from capacitord.dicom.worklist import moments, names
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.keys import CHARACTER_SET, NAMING, OFFSET, START_DATE, START_TIME, SUPPORTED, Keys
from capacitord.dicom.worklist.moments import Moment, NotAMoment, Span
from capacitord.dicom.worklist.names import NameKey
from capacitord.dicom.worklist.wildcards import Pattern, is_pattern, matches_all
from capacitord.errors import Invalid
from capacitord.model.representation import NUMBERS
from capacitord.model.worklist import Sought

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataset import Dataset

Test: TypeAlias = Callable[[Entry], bool]
"""One key: whether an entry matches it."""

MOST_VALUES: Final = 1000
"""Values of one key that are looked at; a list of UIDs longer than that is refused."""

_WILDCARD_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
_NUMERIC_VRS: Final = frozenset({"IS", "DS"}) | NUMBERS.keys()
_NUMBER: Final = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*?)0*)?(?:[eE]([+-]?\d{1,9}))?", re.ASCII)


class BadKey(ValueError):
    """A key that makes no sense: its tag, and what is wrong with it, without its value."""

    def __init__(self, tag: int, words: str) -> None:
        super().__init__(words)
        self.tag = tag
        self.words = words


@dataclass(frozen=True, slots=True)
class Level:
    """The keys of one dataset of a query: what is returned, and what has to match.

    `returned` are its keys that are no sequences, `tests` what those that are not universal have to pass. `sequences`
    has a level for the items of each sequence, None where all of it is asked for. `unsupported` tells of a key, here
    or deeper, that this box does not support; `asks_characters` of Specific Character Set among the keys.
    """

    returned: tuple[int, ...] = ()
    tests: Mapping[int, Test] = field(default_factory=lambda: MappingProxyType({}))
    sequences: Mapping[int, Level | None] = field(default_factory=lambda: MappingProxyType({}))
    unsupported: bool = False
    asks_characters: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not self.returned and not self.sequences

    @property
    def is_universal(self) -> bool:
        """Whether everything matches."""
        return not self.tests and all(level is None or level.is_universal for level in self.sequences.values())

    def matches(self, entry: Entry) -> bool:
        """Whether all keys match."""
        for test in self.tests.values():
            if not test(entry):
                return False
        for tag, level in self.sequences.items():
            if level is not None and not level.is_universal and not any(map(level.matches, entry.items(tag))):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood. `characters` is the set of the identifier, and one that the scanner understands.

    `sought` is the one patient or order that it asks for by a whole value, None if it does not.
    """

    level: Level
    characters: CharacterSet
    sought: Sought | None = None

    @property
    def unsupported(self) -> bool:
        """Whether the answers have to say that a key was not supported (PS3.4 table K.4.1.1.4-1: FF01)."""
        return self.level.unsupported

    @property
    def names_somebody(self) -> bool:
        """Whether it asks for one patient or one order, rather than for a day or a device."""
        return not NAMING.isdisjoint(self.level.tests)

    def matches(self, entry: Entry) -> bool:
        """Whether an entry matches."""
        return self.level.matches(entry)


def understood(identifier: Dataset) -> Query:
    """Return the query that a C-FIND identifier is. Raises `BadKey`."""
    entry = Entry(identifier)
    offset = "".join(entry.values(OFFSET)[:1])
    level = _level(entry, SUPPORTED, offset)
    return Query(level, entry.characters, _sought(entry, level))


def _sought(keys: Entry, level: Level) -> Sought | None:
    """Return the keys that name one patient or order and have no wildcards, without those that say when or where."""
    found = {tag: [value for value in keys.values(tag) if value] for tag in sorted(NAMING & level.tests.keys())}
    exact = tuple(
        (tag, values[0])
        for tag, values in found.items()
        if len(values) == 1 and (public_vr(tag) == "UI" or not is_pattern(values[0]))
    )
    return Sought(exact, "\\".join(keys.characters.terms)) if exact else None


def matches(identifier: Dataset, entry: Dataset) -> bool:
    """Whether an entry matches an identifier. Raises `BadKey`. For more than one entry take `understood`."""
    return understood(identifier).matches(Entry(entry))


def _level(keys: Entry, supported: Keys, offset: str) -> Level:
    returned: list[int] = []
    tests: dict[int, Test] = {}
    sequences: dict[int, Level | None] = {}
    unsupported = asks_characters = False
    for tag in keys.tags():
        if tag == CHARACTER_SET:
            asks_characters = True
        elif tag == OFFSET or not tag & 0xFFFF:
            # An offset says how to read the other keys, and a group length (PS3.5 §7.2) nothing at all.
            continue
        elif tag not in supported:
            unsupported = True
        elif (inside := supported[tag]) is not None:
            sequences[tag] = below = _items(keys, tag, inside, offset)
            unsupported = unsupported or (below is not None and below.unsupported)
        else:
            returned.append(tag)
            test = _test(tag, keys, offset)
            if test is not None:
                tests[tag] = test
    _combine(keys, tests)
    return Level(tuple(returned), MappingProxyType(tests), MappingProxyType(sequences), unsupported, asks_characters)


def _items(keys: Entry, tag: int, inside: Keys, offset: str) -> Level | None:
    items = keys.items(tag)
    if len(items) > 1:
        raise BadKey(tag, "a sequence has more than one item")
    if not items and not keys.is_empty(tag):
        raise BadKey(tag, "a sequence cannot be read")
    if not items or not any(items[0].tags()):
        return None
    return _level(items[0], inside, offset)


def _test(tag: int, keys: Entry, offset: str) -> Test | None:
    """Return the test of a key that is no sequence, None if it is universal."""
    wanted = [value for value in keys.values(tag) if value]
    if not wanted:
        if not keys.is_blank(tag):
            raise BadKey(tag, "a key cannot be read")
        return None
    if len(wanted) > MOST_VALUES:
        raise BadKey(tag, f"a key has more than {MOST_VALUES} values")
    vr = public_vr(tag)
    try:
        if vr in {"DA", "TM", "DT"}:
            return _of_moments(tag, vr, wanted, offset)
        if vr in _NUMERIC_VRS:
            return _of_numbers(tag, wanted)
        if (vr == "PN" or vr in _WILDCARD_VRS) and any(map(matches_all, wanted)):
            return None
        if vr == "PN":
            return None if any(map(names.says_nothing, wanted)) else _of_names(tag, wanted)
        return _of_text(tag, wanted, wildcards=vr in _WILDCARD_VRS)
    except NotAMoment as error:
        raise BadKey(tag, f"a key {error}") from None
    except Invalid as error:
        raise BadKey(tag, f"a key {error.message}") from None


def _of_text(tag: int, wanted: Iterable[str], *, wildcards: bool) -> Test:
    texts = frozenset(text for text in wanted if not (wildcards and is_pattern(text)))
    found = [Pattern(text) for text in wanted if wildcards and is_pattern(text)]

    if not found:
        # By far the most frequent, and a list may be long.
        return lambda entry: not texts.isdisjoint(entry.values(tag))

    def test(entry: Entry) -> bool:
        values = entry.values(tag)
        return not texts.isdisjoint(values) or any(pattern.matches(value) for pattern in found for value in values)

    return test


def _of_names(tag: int, wanted: Iterable[str]) -> Test:
    keys = [NameKey(text) for text in wanted]

    def test(entry: Entry) -> bool:
        known = entry.memory(tag, lambda: tuple(map(names.folded, entry.values(tag))))
        return any(key.matches(name) for key in keys for name in known)

    return test


def _of_numbers(tag: int, wanted: Iterable[str]) -> Test:
    numbers = frozenset(map(_number, wanted))

    def test(entry: Entry) -> bool:
        return any(_number(value) in numbers for value in entry.values(tag))

    return test


def _number(text: str) -> str:
    """Return a number as it is written in one way only; what is no number is the text itself."""
    found = _NUMBER.fullmatch(text.strip(" "))
    if found is None or not any(char.isdigit() for char in text):
        return text
    digits = found[2] + (found[3] or "")
    significant = digits.lstrip("0").rstrip("0")
    if not significant:
        return "0"
    exponent = int(found[4] or 0) - len(found[3] or "") + len(digits) - len(digits.rstrip("0"))
    return f"{'-' if found[1] == '-' else ''}{significant}e{exponent}"


def _of_moments(tag: int, vr: str, wanted: Iterable[str], offset: str) -> Test:
    if vr == "DT":
        spans = [moments.date_times(text, offset) for text in wanted]

        def within(entry: Entry) -> bool:
            own = "".join(entry.values(OFFSET)[:1])
            return any(span.holds(moments.date_time(value, own)) for span in spans for value in entry.values(tag))

        return within
    read, span_of = (moments.day, moments.days) if vr == "DA" else (moments.clock, moments.clocks)
    ranges = [span_of(text) for text in wanted]

    def test(entry: Entry) -> bool:
        known = entry.memory(tag, lambda: tuple(map(read, entry.values(tag))))
        return any(span.holds(moment) for span in ranges for moment in known)

    return test


def _combine(keys: Entry, tests: dict[int, Test]) -> None:
    """Make one test of the start date's and the start time's, if both are ranges that make one of moments."""
    dates, times = keys.values(START_DATE), keys.values(START_TIME)
    if not (START_DATE in tests and START_TIME in tests and len(dates) == len(times) == 1):
        return
    span = moments.together(moments.days(dates[0]), moments.clocks(times[0]))
    if span is not None:
        del tests[START_TIME]
        tests[START_DATE] = functools.partial(_starts_within, span)


def _starts_within(span: Span, entry: Entry) -> bool:
    return any(span.holds(start) for start in entry.memory("start", lambda: _starts(entry)))


def _starts(entry: Entry) -> tuple[Moment, ...]:
    """Return when a step starts; one without a time starts with its day."""
    days = map(moments.day, entry.values(START_DATE))
    clocks = [moments.clock(value) for value in entry.values(START_TIME)] or [(0,)]
    return tuple(day + time for day, time in zip(days, clocks, strict=False) if day is not None and time is not None)
