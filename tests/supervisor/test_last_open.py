"""The record of the site that was open last: read as written, and anything else is doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacitord.errors import CapacitordError
from capacitord.model.preflight import Last
from capacitord.supervisor.last_open import DAMAGED, MISSING, UNKNOWN, LastOpen


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = LastOpen(tmp_path / "last-open")
    assert record.read() == MISSING
    for site in ("", "st-marys", "a" * 64):
        assert record.write(site) == record.read() == Last(site)


def test_that_nobody_knows_is_doubt(tmp_path: Path) -> None:
    record = LastOpen(tmp_path / "last-open")
    assert record.forget() == record.read() == UNKNOWN
    assert UNKNOWN.doubt


def test_every_byte_that_turns_is_doubt(tmp_path: Path) -> None:
    record = LastOpen(tmp_path / "last-open")
    record.write("st-marys")
    whole = (tmp_path / "last-open").read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            turned = bytearray(whole)
            turned[place] ^= 1 << bit
            (tmp_path / "last-open").write_bytes(turned)
            assert record.read() == DAMAGED
    for length in range(len(whole)):
        (tmp_path / "last-open").write_bytes(whole[:length])
        assert record.read() == DAMAGED


def test_a_record_that_cannot_be_read_is_doubt(tmp_path: Path) -> None:
    (tmp_path / "last-open").mkdir()
    assert LastOpen(tmp_path / "last-open").read() == DAMAGED
    with pytest.raises(CapacitordError):
        LastOpen(tmp_path / "last-open").write("st-marys")
