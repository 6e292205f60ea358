"""Durations, sizes and shares."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.config.units import (
    LARGEST,
    LONGEST,
    SECONDS,
    SIZES,
    Space,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    parse_space,
)
from capacitord.errors import Invalid


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("24h", 86400),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1 d 2 h", 93600),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "-1s", "1w", "1s1s", "30m1h", "1h ", " 1h", "1e3s", "٣s", "4000d", "9" * 400 + "s", "nan s"]
)
def test_what_is_not_a_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_duration(text)
    assert "1h30m" in refused.value.hint


@given(st.integers(0, LONGEST))
def test_durations_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200 MB", 200_000_000),
        ("1 MiB", 1 << 20),
        ("5 GiB", 5 << 30),
        ("1.5 KiB", 1536),
        ("7B", 7),
        ("0 B", 0),
        ("1 TB", 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "MiB", "-1 B", "1 mib", "1 XB", "1  MiB", "1,5 MiB", "9999999 TiB", "0x10 B", "inf B"]
)
def test_what_is_not_a_size_says_how_to_write_one(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_size(text)
    assert "200 MB" in refused.value.hint


@given(st.integers(0, LARGEST // 2))
def test_sizes_read_back_to_the_byte(size: int) -> None:
    # 15 digits are what a person may write; more come only from programs, in larger units.
    text = format_size(size)
    if len(text.split()[0]) <= 15:
        assert parse_size(text) == size


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZES)))
def test_every_unit_counts(number: int, unit: str) -> None:
    expected = number * SIZES[unit]
    if expected <= LARGEST:
        assert parse_size(f"{number}{unit}") == parse_size(f"{number} {unit}") == expected


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_refused_in_words(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_space):
        with contextlib.suppress(Invalid):
            assert parse(text) is not None


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(sorted(SECONDS))), min_size=1, max_size=6))
def test_units_come_once_and_in_order(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    units = [unit for _, unit in parts]
    ordered = units == [unit for unit in "dhms" if unit in units] and len(set(units)) == len(units)
    if ordered:
        assert parse_duration(text) == sum(number * SECONDS[unit] for number, unit in parts)
    else:
        with pytest.raises(Invalid):
            parse_duration(text)


def test_space_is_a_size_or_a_share() -> None:
    assert parse_space("5 GiB") == Space(size=5 << 30)
    assert parse_space("5%").on(1000) == 50
    assert parse_space("12.5 %") == Space(share=0.125)
    assert str(parse_space("12.5%")) == "12.5%"
    assert str(parse_space("5 GiB")) == "5 GiB"
    for text in ("100%", "250%", "-5%", "%", "5"):
        with pytest.raises(Invalid):
            parse_space(text)
