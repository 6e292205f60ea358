"""The record of which site is served, and who wanted none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacitord.api.messages import Parked
from capacitord.errors import CapacitordError
from capacitord.supervisor.active_site import ActiveSite, Choice

PARKED = Parked(datetime(2026, 5, 1, 18, 30, tzinfo=UTC), "alex", "on the road —\nhome")


def test_nothing_was_ever_chosen(tmp_path: Path) -> None:
    assert ActiveSite(tmp_path / "active-site").read() is None


@pytest.mark.parametrize("choice", [Choice("st-marys"), Choice(""), Choice("", PARKED)])
def test_what_is_written_is_read(tmp_path: Path, choice: Choice) -> None:
    record = ActiveSite(tmp_path / "active-site")
    record.write(choice)
    assert record.read() == choice


@pytest.mark.parametrize("damage", [b"", b"\n", b"../keys\n", b"\x00\xff", b"st-marys\nlakeside\n", bytes(1 << 15)])
def test_a_record_that_names_no_site_is_no_choice(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "active-site").write_bytes(damage)
    with pytest.raises(CapacitordError):
        ActiveSite(tmp_path / "active-site").read()


def test_a_box_stays_parked_if_it_cannot_be_read_by_whom(tmp_path: Path) -> None:
    (tmp_path / "active-site").write_bytes(b'-\n{"at": 5')
    assert ActiveSite(tmp_path / "active-site").read() == Choice("")
