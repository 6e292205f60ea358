"""When a condition holds, and why it does or does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from capacitord.errors import Invalid
from capacitord.model import patterns
from capacitord.model.compare import Comparison, Kind, Relation
from capacitord.model.conditions import (
    ALWAYS,
    CalledAs,
    CalledBy,
    Condition,
    During,
    Either,
    Empty,
    Every,
    Exactly,
    Glob,
    Has,
    Never,
    Ordered,
    Reason,
    Regex,
    Subject,
    Test,
    Values,
    decisive,
    explain,
    holds,
    local_time,
)
from capacitord.model.schedule import EVERY_DAY, Window
from tests.model.images import MONDAY_NOON, TAGS, named, subject

NAMES = list(TAGS)
WORDS = st.sampled_from(["", "CT", "MR", "CTA", "HEAD STROKE", "512"])
Expected = tuple[Condition, Callable[[Subject], bool]]


def has(keyword: str, *wanted: Test, unwanted: tuple[Test, ...] = ()) -> Has:
    return Has(named(keyword), Values(wanted, unwanted))


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    values = draw(st.dictionaries(st.sampled_from(NAMES), st.lists(WORDS, max_size=3).map(tuple)))
    minute = draw(st.integers(0, 1439))
    return subject(
        values,
        calling=draw(WORDS),
        called=draw(WORDS),
        local=MONDAY_NOON.replace(hour=minute // 60, minute=minute % 60),
    )


@st.composite
def leaves(draw: st.DrawFn) -> Expected:
    """A condition, and what it means said in Python."""
    word, name = draw(WORDS), draw(st.sampled_from(NAMES))
    start, end = draw(st.integers(0, 1439)), draw(st.integers(1, 1440))

    def there(image: Subject) -> tuple[str, ...]:
        return image.attributes.values(named(name)) or ()

    def within(image: Subject) -> bool:
        now = image.local.hour * 60 + image.local.minute
        return start <= now < end if start < end else now >= start or now < end

    expected: Expected = draw(
        st.sampled_from(
            [
                (has(name, Exactly(word)), lambda image: word in there(image)),
                (has(name, unwanted=(Exactly(word),)), lambda image: word not in there(image)),
                (has(name, Glob(f"{word}*")), lambda image: any(v.startswith(word) for v in there(image))),
                (has(name, Regex(f"{word}$")), lambda image: any(v.endswith(word) for v in there(image))),
                (has(name, Empty()), lambda image: "".join(there(image)) == ""),
                (has(name, Exactly("CT"), Exactly("MR")), lambda image: bool({"CT", "MR"} & set(there(image)))),
                (
                    has(name, Glob("CT*"), unwanted=(Exactly("CTA"),)),
                    lambda image: bool({"CT", "CTA"} & set(there(image))) and "CTA" not in there(image),
                ),
                (CalledBy(Values((Exactly(word),))), lambda image: image.calling_ae_title == word),
                (CalledAs(Values((), (Exactly(word),))), lambda image: image.called_ae_title != word),
                (During((Window(EVERY_DAY, start, end),)), within),
            ]
        )
    )
    return expected


def grouped(inner: st.SearchStrategy[Expected]) -> st.SearchStrategy[Expected]:
    def every(parts: list[Expected]) -> Expected:
        return Every(tuple(c for c, _ in parts)), lambda image: all(says(image) for _, says in parts)

    def either(parts: list[Expected]) -> Expected:
        return Either(tuple(c for c, _ in parts)), lambda image: any(says(image) for _, says in parts)

    def never(part: Expected) -> Expected:
        return Never(part[0]), lambda image: not part[1](image)

    several = st.lists(inner, max_size=3)
    return several.map(every) | several.map(either) | inner.map(never)


conditions = st.recursive(leaves(), grouped, max_leaves=8)


@given(conditions, subjects())
def test_a_condition_means_what_it_says(expected: Expected, image: Subject) -> None:
    condition, says = expected
    assert holds(condition, image) is says(image)


@given(conditions, subjects())
def test_the_reason_says_the_same_and_all_of_it(expected: Expected, image: Subject) -> None:
    condition, says = expected
    reason = explain(condition, image)
    assert reason.holds is says(image)
    assert all(
        each.what in {*NAMES, "calling_ae_title", "called_ae_title", "time", "any", "all"} for each in flat(reason)
    )


def flat(reason: Reason) -> list[Reason]:
    return (
        [each for part in reason.parts for each in flat(part)]
        if reason.parts and reason.what != "not"
        else (flat(reason.parts[0]) if reason.parts else [reason])
    )


def settled(reason: Reason, decided: set[int]) -> bool:
    """Whether a group holds as it did, if only what is said to be decisive is known and all else is the other way."""
    if not reason.parts:
        return reason.holds if id(reason) in decided or reason.what in {"any", "all"} else not reason.holds
    parts = [settled(part, decided) for part in reason.parts]
    return {"all": all(parts), "any": any(parts), "not": not parts[0]}[reason.what]


@given(conditions, subjects())
def test_what_is_decisive_decides(expected: Expected, image: Subject) -> None:
    reason = explain(expected[0], image)
    assert settled(reason, {id(each) for each in decisive(reason)}) is reason.holds


@given(conditions)
def test_conditions_travel(expected: Expected) -> None:
    condition = expected[0]
    assert msgspec.json.decode(msgspec.json.encode(condition), type=Condition) == condition


@pytest.mark.parametrize(
    ("test", "values", "fits"),
    [
        (Exactly("CT"), ("ct",), False),
        (Exactly(""), ("",), True),
        (Exactly("DERIVED"), ("DERIVED", "SECONDARY"), True),
        (Exactly("DERIVED\\SECONDARY"), ("DERIVED", "SECONDARY"), True),
        (Exactly("SECONDARY\\DERIVED"), ("DERIVED", "SECONDARY"), False),
        (Glob("*STROKE*"), ("CT HEAD STROKE PROTOCOL",), True),
        (Glob("*STROKE*"), ("ct stroke",), False),
        (Glob("CT?"), ("CT",), False),
        (Glob("A[12]*"), ("A1",), False),
        (Glob("A[12]*"), ("A[12]B",), True),
        (Glob("a*b"), ("a\nb",), True),
        (Glob("ORIGINAL\\*\\AXIAL"), ("ORIGINAL", "PRIMARY", "AXIAL"), True),
        (Regex("^CT"), ("MR", "CTA"), True),
        (Regex("(?i)stroke"), ("Head STROKE",), True),
        (Regex("^Ä$"), ("Ä",), True),
        (Regex("x"), ("\udcff",), False),
        (Empty(), (), True),
        (Empty(), ("",), True),
        (Empty(), ("", "x"), False),
        (Ordered(Comparison(Kind.NUMBER, Relation.AT_MOST, "1.5")), ("1.25",), True),
        (Ordered(Comparison(Kind.NUMBER, Relation.AT_MOST, "1.5")), ("thin",), False),
        (Ordered(Comparison(Kind.DATE, Relation.AT_LEAST, "2026-01-01")), ("20251231",), False),
    ],
)
def test_what_fits(test: Test, values: tuple[str, ...], fits: bool) -> None:
    assert test.fits(values) is fits


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_glob_without_wildcards_is_the_text(pattern: str, text: str) -> None:
    plain = pattern.replace("*", "").replace("?", "").replace("\\", "")
    assert Glob(plain).fits((text,)) is (plain == text)
    assert Glob(plain).fits((plain,))


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_an_expression_or_refused(pattern: str, text: str) -> None:
    with contextlib.suppress(Invalid):
        patterns.compiled(pattern)
        assert patterns.found(pattern, text) in {True, False}


@pytest.mark.parametrize("pattern", ["(a)\\1", "(?=a)", "(?<!a)b", "(", "a{1001}", "((a{100}){100}){100}", "a" * 1001])
def test_what_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid):
        patterns.compiled(pattern)


def test_what_takes_a_backtracking_engine_for_ever_takes_this_one_no_time() -> None:
    assert not patterns.found("^(a+)+$", "a" * 10_000 + "b")


def test_a_reason_carries_what_was_wanted_and_what_was_there() -> None:
    condition = Every((has("Modality", Exactly("CT"), Exactly("MR")), has("StudyDescription", Glob("*STROKE*"))))
    reason = explain(condition, subject({"Modality": ("US",)}))
    assert list(decisive(reason)) == [
        Reason(False, "Modality", "CT, MR", ("US",)),
        Reason(False, "StudyDescription", "*STROKE*", None),
    ]


def test_times_and_titles_are_explained_as_well() -> None:
    night = During((Window((0, 1, 2, 3, 4), 18 * 60, 7 * 60),))
    condition = Either((night, CalledBy(Values((), (Glob("CT*"),)))))
    assert list(decisive(explain(condition, subject()))) == [
        Reason(False, "time", "Mon-Fri 18:00-07:00", ("Mon 12:00",)),
        Reason(False, "calling_ae_title", "!CT*", ("CT1",)),
    ]


def test_what_has_no_condition_always_holds() -> None:
    assert holds(ALWAYS, subject())


def test_an_image_comes_at_the_time_of_its_site() -> None:
    at = datetime(2026, 7, 1, 3, 30, tzinfo=UTC)
    local = local_time(int(at.timestamp()) * 1_000_000_000, "America/Chicago")
    assert (local.weekday(), local.hour, local.minute) == (1, 22, 30)
