"""What a box knows of its last life by what that left: which site was chosen, or that nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacitord.api.messages import Chooser, Chosen, How
from capacitord.config import profile
from capacitord.errors import DamagedObject
from capacitord.model.preflight import Last
from capacitord.supervisor.active_site import ActiveSite, Choice
from capacitord.supervisor.last_open import DAMAGED, MISSING, UNKNOWN
from capacitord.supervisor.profiles import ProfileStore
from capacitord.supervisor.resuming import has_spools, known_place, last_choice
from tests.supervisor.daemon import PROFILE

AT = datetime(2026, 5, 1, 18, 30, tzinfo=UTC)
ALEX = Chosen(AT, "alex", "home")
GPS = Chosen(AT, "evidence", "inside its fence", Chooser.EVIDENCE)


def store(folder: Path, *sites: str) -> ProfileStore:
    found = ProfileStore(folder / "profiles")
    for site in sites:
        text = PROFILE.format(version=1, port=9).replace("st-marys", site)
        found.keep(profile.parse(text, "p"), text.encode(), {}, "alex")
        found.enforce(site, 1, "alex", How.IMPORT)
    return found


@pytest.mark.parametrize(
    ("last", "spools", "sites"),
    [
        (Last("lakeside"), True, ("lakeside",)),
        (Last("lakeside"), False, ("lakeside", "valley")),
        (Last("lakeside"), True, ()),
        (DAMAGED, True, ("lakeside",)),
        (DAMAGED, False, ()),
        (UNKNOWN, True, ("lakeside",)),
        (Last(), True, ("lakeside",)),
        (MISSING, True, ("lakeside", "valley")),
    ],
)
def test_on_a_box_that_was_in_use_a_missing_record_is_lost(
    tmp_path: Path, last: Last, spools: bool, sites: tuple[str, ...]
) -> None:
    chosen = ActiveSite(tmp_path / "active-site")
    with pytest.raises(DamagedObject, match="nobody knows whether this box was parked") as raised:
        last_choice(chosen, store(tmp_path, *sites), last, spools=spools)
    assert "fluxctl site activate SITE" in raised.value.hint
    assert "fluxctl site follow" in raised.value.hint
    assert not chosen.exists(), "the next start does not know, either"


@pytest.mark.parametrize(
    ("last", "spools", "sites", "site"),
    [
        pytest.param(Last(), False, (), "", id="a new box"),
        pytest.param(Last(), False, ("lakeside",), "lakeside", id="its first import was cut short"),
        pytest.param(Last(), False, ("lakeside", "valley"), "", id="that of several was"),
        pytest.param(UNKNOWN, False, (), "", id="a new box that has the keys of another"),
        pytest.param(MISSING, True, (), "", id="a new box that has the spools of another"),
        pytest.param(MISSING, True, ("lakeside",), "lakeside", id="a box of an earlier version"),
    ],
)
def test_where_nothing_was_chosen_nothing_is_lost(
    tmp_path: Path, last: Last, spools: bool, sites: tuple[str, ...], site: str
) -> None:
    chosen = ActiveSite(tmp_path / "active-site")
    assert last_choice(chosen, store(tmp_path, *sites), last, spools=spools) == Choice(site)
    assert chosen.read() == (Choice(site) if site else None)


def test_what_was_chosen_is_known(tmp_path: Path) -> None:
    chosen = ActiveSite(tmp_path / "active-site")
    chosen.write(Choice("", ALEX))
    assert last_choice(chosen, store(tmp_path, "lakeside"), Last("lakeside"), spools=True) == Choice("", ALEX)


def test_a_box_has_spools_once_it_served_a_site(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    assert not has_spools(sites)
    sites.mkdir()
    assert not has_spools(sites)
    (sites / "lakeside").mkdir()
    assert has_spools(sites)


@pytest.mark.parametrize(
    ("choice", "site"),
    [
        (Choice("lakeside", GPS), "lakeside"),
        (Choice("lakeside"), "lakeside"),
        (Choice("lakeside", ALEX), ""),
        (Choice("", GPS), ""),
    ],
)
def test_a_persons_word_is_no_evidence(choice: Choice, site: str) -> None:
    assert known_place(choice) == site
