"""The fuzzers' targets, with what hypothesis thinks of: seeds, damaged seeds, and noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Return a seed with some of it cut out, doubled, or replaced by other bytes."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 40)))
        middle = draw(st.sampled_from([b"", data[start:stop] * 2]) | st.binary(max_size=8))
        data = data[:start] + middle + data[stop:]
    return data


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_noise(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=600)))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_damaged_seeds(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(damaged(SEEDS[name])))
