"""The record of which site is served, and who wanted none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from capacitord.api.messages import Chooser, Chosen, Parked
from capacitord.errors import CapacitordError, DamagedObject, Problem
from capacitord.supervisor.active_site import ActiveSite, Choice

AT = datetime(2026, 5, 1, 18, 30, tzinfo=UTC)
ALEX = Chosen(AT, "alex", "on the road —\nhome")
GPS = Chosen(AT, "evidence", "inside its fence", Chooser.EVIDENCE)


def test_nothing_was_ever_chosen(tmp_path: Path) -> None:
    assert ActiveSite(tmp_path / "active-site").read() is None


@pytest.mark.parametrize("choice", [Choice(site, by) for site in ("", "st-marys") for by in (None, ALEX, GPS)])
def test_what_is_written_is_read(tmp_path: Path, choice: Choice) -> None:
    record = ActiveSite(tmp_path / "active-site")
    record.write(choice)
    assert record.read() == choice


@pytest.mark.parametrize(
    "damage", [b"", b"\n", b"../keys\n", b"\x00\xff", b"st-marys\nlakeside\n", b"st-mary", b"-", bytes(1 << 15)]
)
def test_a_record_that_names_no_site_is_no_choice(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "active-site").write_bytes(damage)
    with pytest.raises(CapacitordError):
        ActiveSite(tmp_path / "active-site").read()


def test_only_a_person_parks_a_box() -> None:
    assert Choice("", ALEX).parked == Parked(AT, "alex", ALEX.reason)
    assert Choice("", GPS).parked is None
    assert Choice("st-marys", ALEX).parked is None


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "active-site").write_bytes(b"-\n" + msgspec.json.encode(Parked(AT, "alex", "home")) + b"\n")
    assert ActiveSite(tmp_path / "active-site").read() == Choice("", Chosen(AT, "alex", "home"))
    (tmp_path / "active-site").write_bytes(b"st-marys\n")
    assert ActiveSite(tmp_path / "active-site").read() == Choice("st-marys")


def test_a_box_stays_parked_by_a_person_if_it_cannot_be_read_by_whom(tmp_path: Path) -> None:
    (tmp_path / "active-site").write_bytes(b'-\n{"at": 5')
    found = ActiveSite(tmp_path / "active-site").read()
    assert found is not None
    assert found.parked is not None
    assert found.parked.by == "somebody"


def test_what_nobody_knows_is_not_known_after_it_was_written_either(tmp_path: Path) -> None:
    record = ActiveSite(tmp_path / "active-site")
    record.write(Choice("", lost=Problem("damaged", "the record is missing")))
    with pytest.raises(DamagedObject):
        record.read()
