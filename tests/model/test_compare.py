"""Numbers, dates, times and ages compare as what they mean, however they are written."""

from __future__ import annotations

import datetime as dt
import operator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.model.compare import EXAMPLES, KINDS, Comparison, Kind, Relation, read

OPERATORS = {
    Relation.EQUAL: operator.eq,
    Relation.LESS: operator.lt,
    Relation.AT_MOST: operator.le,
    Relation.MORE: operator.gt,
    Relation.AT_LEAST: operator.ge,
}
relations = st.sampled_from(list(Relation))
dates = st.dates(dt.date(1800, 1, 1))
moments = st.datetimes().filter(lambda moment: moment.year >= 1000)
times = st.times().map(lambda moment: moment.replace(tzinfo=None, fold=0))


@given(relations, st.floats(-1e15, 1e15), st.floats(-1e15, 1e15), st.sampled_from(["{}", " {} ", "{:+.16e}"]))
def test_numbers(relation: Relation, value: float, operand: float, form: str) -> None:
    comparison = Comparison(Kind.NUMBER, relation, repr(operand))
    assert comparison.holds(form.format(value)) is OPERATORS[relation](float(form.format(value)), operand)


@given(relations, dates, dates, st.sampled_from(["%Y%m%d", "%Y.%m.%d", "%Y-%m-%d"]))
def test_dates(relation: Relation, value: dt.date, operand: dt.date, form: str) -> None:
    written = f"{value.year:04d}" + value.strftime(form.removeprefix("%Y"))
    assert Comparison(Kind.DATE, relation, operand.isoformat()).holds(written) is OPERATORS[relation](value, operand)


@given(relations, times, times, st.booleans())
def test_times(relation: Relation, value: dt.time, operand: dt.time, colons: bool) -> None:
    written = value.strftime("%H:%M:%S.%f" if colons else "%H%M%S.%f")
    comparison = Comparison(Kind.TIME, relation, operand.isoformat())
    assert comparison.holds(written) is OPERATORS[relation](value, operand)


@given(relations, moments, moments)
def test_moments(relation: Relation, value: dt.datetime, operand: dt.datetime) -> None:
    written = f"{value.year:04d}" + value.strftime("%m%d%H%M%S.%f+0100")
    whole = Comparison(Kind.MOMENT, relation, operand.isoformat())
    assert whole.holds(written) is OPERATORS[relation](value, operand)
    day = Comparison(Kind.MOMENT, relation, operand.date().isoformat())
    assert day.holds(written) is OPERATORS[relation](value.date(), operand.date())


@pytest.mark.parametrize(
    ("value", "relation", "operand", "result"),
    [
        ("018Y", Relation.AT_LEAST, "18Y", True),
        ("017Y", Relation.AT_LEAST, "18Y", False),
        ("215M", Relation.LESS, "18Y", True),
        ("002W", Relation.EQUAL, "14D", True),
        ("18", Relation.AT_LEAST, "1Y", False),
    ],
)
def test_ages(value: str, relation: Relation, operand: str, result: bool) -> None:
    assert Comparison(Kind.AGE, relation, operand).holds(value) is result


@given(st.sampled_from(list(Kind)), relations, st.text(max_size=12) | st.from_regex(r"\A[0-9:.TYDMW+-]{0,20}\Z"))
def test_what_cannot_be_read_compares_with_nothing(kind: Kind, relation: Relation, text: str) -> None:
    comparison = Comparison(kind, relation, EXAMPLES[kind])
    if read(kind, text) is None:
        assert not comparison.holds(text)
    else:
        assert comparison.holds(text) in {True, False}


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "1,5", "", "٣", "0x10", "1" * 65])
def test_what_only_a_programmer_takes_for_a_number_is_none(text: str) -> None:
    assert read(Kind.NUMBER, text) is None


def test_every_kind_has_an_example_that_can_be_read_and_a_vr() -> None:
    assert all(read(kind, EXAMPLES[kind]) is not None for kind in Kind)
    assert set(KINDS.values()) == set(Kind)


@pytest.mark.parametrize("relation", list(Relation))
def test_a_comparison_reads_as_it_is_written(relation: Relation) -> None:
    words: Any = str(Comparison(Kind.NUMBER, relation, "5"))
    assert words == ("5" if relation is Relation.EQUAL else f"{relation} 5")
