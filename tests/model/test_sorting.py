"""Keys of bytes are ordered as the values are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.attribute import Attribute, Step
from capacitord.model.compare import Kind
from capacitord.model.sorting import By, key

FIRST, SECOND = Attribute("First", (Step(0x00200011),)), Attribute("Second", (Step(0x00200013),))


class Values:
    """Attributes by name."""

    def __init__(self, **values: tuple[str, ...] | None) -> None:
        self._values = values

    def values(self, attribute: Attribute) -> tuple[str, ...] | None:
        return self._values.get(attribute.text)


def keys(kind: Kind | None, values: Sequence[tuple[str, ...] | None]) -> list[bytes]:
    return [key([By(FIRST, kind)], Values(First=value)) for value in values]


@given(st.lists(st.floats(-1e9, 1e9)))
def test_numbers_are_ordered_as_numbers(numbers: list[float]) -> None:
    found = sorted(zip(keys(Kind.NUMBER, [(repr(number),) for number in numbers]), numbers, strict=True))
    assert [number for _, number in found] == sorted(numbers)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=20)))
def test_texts_are_ordered_by_their_characters(texts: list[str]) -> None:
    texts = [text.strip() for text in texts if text.strip()]
    found = sorted(zip(keys(None, [(text,) for text in texts]), texts, strict=True))
    assert [text.casefold() for _, text in found] == sorted(text.casefold() for text in texts)


@pytest.mark.parametrize(
    ("kind", "ascending"),
    [
        (Kind.NUMBER, ["-10", "-2.5", "0", "2", "10", "1e3"]),
        (Kind.DATE, ["19991231", "20240229", "20240301"]),
        (Kind.TIME, ["0730", "073001", "1200", "235959.5"]),
        (Kind.MOMENT, ["20240229", "202402291200", "20240301"]),
        (None, ["", "a", "A1", "ab", "b"][1:]),
    ],
)
def test_each_kind_has_its_order_and_what_is_missing_comes_last(kind: Kind | None, ascending: list[str]) -> None:
    found = keys(kind, [*((text,) for text in ascending), None])
    assert found == sorted(found)
    missing = keys(kind, [None, ("",), ("  ",), ()])
    if kind is not None:
        missing += keys(kind, [("no such value",)])
    assert set(missing) == {found[-1]}
    assert all(one < found[-1] for one in found[:-1])


@given(st.lists(st.tuples(st.sampled_from(["a", "ab", "b", ""]), st.sampled_from(["1", "2", "10", ""]))))
def test_the_first_attribute_counts_most(pairs: list[tuple[str, str]]) -> None:
    by = [By(FIRST, None), By(SECOND, Kind.NUMBER)]

    def made(pair: tuple[str, str]) -> bytes:
        return key(by, Values(First=(pair[0],), Second=(pair[1],)))

    def rank(pair: tuple[str, str]) -> tuple[bool, str, float]:
        return pair[0] == "", pair[0], float(pair[1] or "inf")

    for one, other in itertools.combinations(pairs, 2):
        assert (made(one) < made(other)) == (rank(one) < rank(other))
        assert (made(one) == made(other)) == (rank(one) == rank(other))
