"""Gaps in numbers and counts that do not agree are said, and numbers that are no count are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.model.doubts import Numbered, doubts


def series(*instances: int | None, number: int | None = 2, acquisition: int | None = None) -> list[Numbered]:
    return [Numbered("1.2.3", number, instance, acquisition) for instance in instances]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], []),
        (series(1, 2, 3), []),
        (series(7, 8, 9), []),
        (series(1, 2, 4), ["Series 2 has gaps in its instance numbers: 3."]),
        (series(4, 1, 6, 7, 8, None), ["Series 2 has gaps in its instance numbers: 2 to 3, 5."]),
        (series(1, 3, 5, 7, 9, 11), ["Series 2 has gaps in its instance numbers: 2, 4, 6 and 2 more."]),
        (series(1, 1000, 2000), []),
        (series(None, None), []),
        (
            series(1, 2, number=None, acquisition=3),
            ["A series without a number says that an acquisition of it has 3 images, and 2 are here."],
        ),
        (series(1, 2, acquisition=2), []),
    ],
)
def test_what_is_said(images: list[Numbered], said: list[str]) -> None:
    assert list(doubts(images)) == said


@given(st.integers(1, 50), st.integers(1, 1000))
def test_a_series_without_gaps_leaves_no_doubt(count: int, first: int) -> None:
    assert not list(doubts(series(*range(first, first + count), acquisition=count)))
