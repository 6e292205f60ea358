"""The profile store's rules, and what damage does to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from capacitord.config import profile as format_
from capacitord.errors import DamagedObject, NotFound, Refused
from capacitord.supervisor.profiles import ProfileStore, Stored
from tests.supervisor.daemon import PROFILE


def text(version: int = 1, port: int = 104, site: str = "st-marys") -> str:
    return PROFILE.format(version=version, port=port).replace("st-marys", site)


def put(store: ProfileStore, source: str, *, allow_older: bool = False) -> Stored:
    profile = format_.parse(source, "profile.toml")
    store.check(profile, source, allow_older=allow_older)
    return store.put(profile, source, "anna")


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    return ProfileStore(tmp_path / "profiles")


def test_an_empty_store_has_nothing(store: ProfileStore) -> None:
    assert store.active() is None
    with pytest.raises(NotFound):
        store.read("st-marys")


def test_the_last_import_counts_and_is_read_back_byte_for_byte(store: ProfileStore) -> None:
    put(store, text(1))
    source = text(2) + "# a comment, kept\n"
    kept = put(store, source)
    again = store.active()
    assert again == kept
    assert again is not None
    assert again.text == source
    assert again.summary.imported_by == "anna"


def test_the_same_version_again_is_fine_and_with_other_contents_refused(store: ProfileStore) -> None:
    put(store, text(3))
    put(store, text(3))
    with pytest.raises(Refused, match="imported before with other contents") as refused:
        put(store, text(3, port=105))
    assert "new version, 4" in refused.value.hint


def test_going_back_has_to_be_meant(store: ProfileStore) -> None:
    put(store, text(1))
    put(store, text(5))
    with pytest.raises(Refused, match="version 5 of st-marys is in force") as refused:
        put(store, text(1))
    assert "--allow-older" in refused.value.hint
    put(store, text(1), allow_older=True)
    active = store.active()
    assert active is not None
    assert active.profile.version == 1


def test_another_site_is_refused(store: ProfileStore) -> None:
    put(store, text(1))
    with pytest.raises(Refused, match="this box serves st-marys"):
        put(store, text(1, site="general"))


def test_two_sites_in_the_store_are_damage(store: ProfileStore, tmp_path: Path) -> None:
    put(store, text(1))
    other = tmp_path / "profiles" / "general"
    other.mkdir()
    (other / "active").write_text("1\n")
    with pytest.raises(DamagedObject, match="several sites"):
        store.active()
    with pytest.raises(Refused, match="several sites"):
        put(store, text(2))


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"port = 104", b"port = 105"))


def _nonsense(path: Path) -> None:
    path.write_bytes(b"\xff")


@pytest.mark.parametrize("damage", [_edit, _nonsense, Path.unlink])
@pytest.mark.parametrize("name", ["1.toml", "1.json", "active"])
def test_damage_is_found_and_cured_by_importing_again(
    store: ProfileStore, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    put(store, text(1))
    file = tmp_path / "profiles" / "st-marys" / name
    before = file.read_bytes()
    damage(file)
    if file.exists() and file.read_bytes() == before:
        assert store.active() is not None
        return
    if (name, damage) == ("active", Path.unlink):
        assert store.active() is None  # an import that was cut short before it counted
    else:
        with pytest.raises(DamagedObject) as found:
            store.active()
        assert "fluxctl profile import" in found.value.hint
    put(store, text(1))
    active = store.active()
    assert active is not None
    assert active.text == text(1)


def test_an_import_that_was_cut_short_leaves_the_old_one_in_force(store: ProfileStore, tmp_path: Path) -> None:
    put(store, text(1))
    folder = tmp_path / "profiles" / "st-marys"
    (folder / "2.toml").write_text(text(2))
    (folder / "2.json").write_text("{}")
    active = store.active()
    assert active is not None
    assert active.profile.version == 1


@pytest.mark.parametrize("site", ["..", "../profiles/st-marys", "", "ST-MARYS", "st-marys/", "a\0b"])
def test_names_lead_nowhere_else(store: ProfileStore, site: str) -> None:
    put(store, text(1))
    with pytest.raises(NotFound):
        store.read(site)
