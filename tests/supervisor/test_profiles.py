"""The profile store's rules, and what damage does to it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from capacitord.api.messages import How
from capacitord.config import profile as format_
from capacitord.errors import DamagedObject, Invalid, NotFound, Refused, StorageFailed
from capacitord.supervisor.enclosed_files import Enclosed
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.profiles import ProfileStore, Stored
from tests.supervisor.daemon import PROFILE

SITE = "st-marys"
CLOUD = '[[destination]]\nname = "cloud"\nstow = "https://example.org/studies"\ntoken_file = "cloud.token"\n'
TOKEN = {"cloud.token": b"secret-token\n"}


def text(version: int = 1, port: int = 104, site: str = SITE) -> str:
    return PROFILE.format(version=version, port=port).replace(SITE, site)


def put(
    store: ProfileStore, source: str, files: Mapping[str, bytes] | None = None, *, allow_older: bool = False
) -> Stored:
    files = files or {}
    profile = format_.check(source, "profile.toml", beside=Enclosed(files)).profile
    assert profile is not None
    store.check(profile, source.encode(), files, allow_older=allow_older)
    stored = store.keep(profile, source.encode(), files, "anna")
    store.enforce(profile.id, profile.version, "anna", How.IMPORT)
    return stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "profiles"


@pytest.fixture
def store(folder: Path) -> ProfileStore:
    return ProfileStore(folder)


def in_force(store: ProfileStore) -> int:
    return store.read(SITE).profile.version


def test_an_empty_store_has_nothing(store: ProfileStore) -> None:
    assert store.sites() == []
    assert store.listed("") == ([], [])
    with pytest.raises(NotFound):
        store.read(SITE)


def test_the_last_import_counts_and_is_read_back_byte_for_byte(store: ProfileStore) -> None:
    put(store, text(1))
    source = text(2) + "# a comment, kept\n"
    kept = put(store, source)
    again = store.read(SITE)
    assert again == kept
    assert again.text == source
    assert again.summary(active=True).imported_by == "anna"
    assert store.read(SITE, 1).text == text(1)
    with pytest.raises(NotFound, match="no version 3"):
        store.read(SITE, 3)


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
    assert in_force(store) == 1


def test_sites_do_not_know_of_each_other(store: ProfileStore) -> None:
    put(store, text(7))
    put(store, text(1, site="general"))
    put(store, text(2, site="damaged"))
    found, damaged = store.listed("general")
    assert [(each.id, each.version, each.active) for each in found] == [
        ("damaged", 2, False),
        ("general", 1, True),
        (SITE, 7, False),
    ]
    assert damaged == []


# --- the files beside a profile


def test_files_come_back_as_they_were_and_for_the_owner_only(store: ProfileStore, folder: Path) -> None:
    put(store, text() + CLOUD, TOKEN)
    assert store.read(SITE).files == TOKEN
    (kept,) = (folder / SITE / "files").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.name == hashlib.sha256(TOKEN["cloud.token"]).hexdigest()
    (shown,) = store.read(SITE).summary(active=False).files
    assert (shown.name, shown.bytes) == ("cloud.token", 13)
    assert "secret" not in repr(store.read(SITE))


def test_other_files_are_other_contents(store: ProfileStore) -> None:
    put(store, text() + CLOUD, TOKEN)
    for files in ({"cloud.token": b"another"}, {}):
        with pytest.raises(Refused, match="other contents"):
            put(store, text() + CLOUD, files)


def test_a_damaged_file_is_set_aside_and_its_profile_not_used(store: ProfileStore, folder: Path) -> None:
    put(store, text() + CLOUD, TOKEN)
    (kept,) = (folder / SITE / "files").iterdir()
    kept.write_bytes(b"another-token")
    for _ in range(2):
        with pytest.raises(DamagedObject, match=r"cloud\.token|set aside"):
            store.read(SITE)
    (aside,) = folder.with_name("profiles-damaged").glob("*/*")
    assert aside.read_bytes() == b"another-token"
    put(store, text() + CLOUD, TOKEN)
    assert store.read(SITE).files == TOKEN


# --- damage


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"port = 104", b"port = 105"))


def _nonsense(path: Path) -> None:
    path.write_bytes(b"\xff")


@pytest.mark.parametrize("damage", [_edit, _nonsense, Path.unlink])
@pytest.mark.parametrize("name", ["1.toml", "1.json", "active"])
def test_damage_is_found_and_cured_by_importing_again(
    store: ProfileStore, folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    put(store, text(1))
    put(store, text(1, site="general"))
    file = folder / SITE / name
    before = file.read_bytes()
    damage(file)
    if file.exists() and file.read_bytes() == before:
        return
    for _ in range(2):
        with pytest.raises(DamagedObject) as found:
            store.read(SITE)
        assert "fluxctl profile import" in found.value.hint
    whole, (damaged,) = store.listed("")
    assert [each.id for each in whole] == ["general"]
    assert damaged.id == SITE
    assert store.damage.keys() == {SITE}
    put(store, text(1))
    assert store.read(SITE).text == text(1)
    assert not store.damage


def test_what_is_damaged_is_kept_elsewhere(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    (folder / SITE / "1.toml").write_text("not what it was")
    with pytest.raises(DamagedObject) as first:
        store.read(SITE)
    (place,) = folder.with_name("profiles-damaged").iterdir()
    assert place.name.startswith(f"{SITE}.")
    assert {path.name for path in place.iterdir()} == {"1.toml", "1.json"}
    assert (place / "1.toml").read_text() == "not what it was"
    assert str(place) in first.value.message
    with pytest.raises(DamagedObject, match="set aside in") as second:
        store.read(SITE)
    assert str(place) in second.value.message


def test_what_was_set_aside_can_be_imported_again_and_nothing_else_under_its_number(
    store: ProfileStore, folder: Path
) -> None:
    put(store, text(1))
    (folder / SITE / "1.toml").write_text("not what it was")
    with pytest.raises(DamagedObject):
        store.read(SITE)
    with pytest.raises(Refused, match="other contents"):
        put(store, text(1, port=105))
    put(store, text(1))
    assert in_force(store) == 1


def test_another_profile_in_the_place_of_one_is_damage(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(1, site="general"))
    for name in ("1.toml", "1.json"):
        shutil.copy(folder / "general" / name, folder / SITE / name)
    with pytest.raises(DamagedObject, match="another profile's"):
        store.read(SITE)


def test_what_this_version_does_not_accept_is_left_where_it_is(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    later = text(1) + 'telepathy = "on"\n'
    record = json.loads((folder / SITE / "1.json").read_text())
    record["sha256"] = hashlib.sha256(later.encode()).hexdigest()
    (folder / SITE / "1.toml").write_text(later)
    (folder / SITE / "1.json").write_text(json.dumps(record))
    with pytest.raises(Invalid, match="does not accept"):
        store.read(SITE)
    assert store.kept(SITE).text.decode() == later


def test_an_import_that_was_cut_short_leaves_the_old_one_in_force(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    (folder / SITE / "2.toml").write_text(text(2))
    (folder / SITE / "2.json").write_text("{}")
    (folder / "general").mkdir()
    (folder / "general" / "1.toml").write_text(text(1, site="general"))
    assert in_force(store) == 1
    assert store.sites() == [SITE]


@pytest.mark.parametrize("site", ["..", "../profiles/st-marys", "", "ST-MARYS", "st-marys/", "a\0b"])
def test_names_lead_nowhere_else(store: ProfileStore, site: str) -> None:
    put(store, text(1))
    with pytest.raises(NotFound):
        store.read(site)


# --- history


def activations(store: ProfileStore) -> list[tuple[int, str]]:
    return [(each.version, each.how.value) for each in store.history(SITE, "").activations]


def test_history_tells_every_version_that_came_into_force(store: ProfileStore) -> None:
    for version in (1, 2, 4):
        put(store, text(version))
    store.enforce(SITE, 2, "berta", How.ROLLBACK, "the PACS moved back")
    history = store.history(SITE, "")
    assert activations(store) == [(1, "import"), (2, "import"), (4, "import"), (2, "rollback")]
    assert (history.activations[-1].by, history.activations[-1].reason) == ("berta", "the PACS moved back")
    assert [(each.version, each.in_force) for each in history.versions] == [(1, False), (2, True), (4, False)]
    assert store.before(SITE) == 1
    store.enforce(SITE, 1, "berta", How.ROLLBACK)
    with pytest.raises(NotFound, match="was in force before"):
        store.before(SITE)
    put(store, text(5))
    assert store.before(SITE) == 1


def test_the_version_before_is_another_one(store: ProfileStore) -> None:
    put(store, text(1))
    put(store, text(1))
    with pytest.raises(NotFound, match="no version of st-marys was in force before"):
        store.before(SITE)


def test_a_damaged_version_is_told_in_the_history_and_hurts_no_other(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(2))
    (folder / SITE / "1.toml").unlink()
    first, second = store.history(SITE, "").versions
    assert "missing" in first.problem
    assert not second.problem
    assert not store.damage
    assert in_force(store) == 2


def test_lines_that_cannot_be_read_are_counted_and_a_torn_one_is_none(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(2))
    file = folder / SITE / "history.jsonl"
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first[:20] + b"\n" + second + b'{"at":"20')
    history = store.history(SITE, "")
    assert [each.version for each in history.activations] == [2]
    assert history.unreadable == 1
    put(store, text(3))
    assert [each.version for each in store.history(SITE, "").activations] == [2, 3]
    assert store.history(SITE, "").unreadable == 1


def test_an_activation_whose_line_a_crash_kept_back_is_told_nevertheless(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(2))
    file = folder / SITE / "history.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    assert activations(store) == [(1, "import"), (2, "import")]
    (folder / SITE / "intent.json").unlink()
    assert activations(store) == [(1, "import"), (2, "unknown")]
    put(store, text(3))
    assert activations(store) == [(1, "import"), (2, "unknown"), (3, "import")]


def test_what_the_history_cannot_take_is_told_nevertheless_and_written_later(
    store: ProfileStore, folder: Path, tmp_path: Path
) -> None:
    for version in (1, 2, 3):
        put(store, text(version))
    file = folder / SITE / "history.jsonl"
    aside = file.rename(tmp_path / "history.jsonl")
    # It can be read, and not be written.
    file.symlink_to(aside)
    store.enforce(SITE, 1, "berta", How.ROLLBACK, "the PACS moved back")
    assert in_force(store) == 1
    last = store.history(SITE, "").activations[-1]
    assert (last.version, last.how, last.by, last.reason) == (1, How.ROLLBACK, "berta", "the PACS moved back")
    # What it lacks has to be written before anything else changes.
    with pytest.raises(StorageFailed):
        store.enforce(SITE, 2, "berta", How.ROLLBACK)
    assert in_force(store) == 1
    aside.replace(file)
    store.enforce(SITE, 2, "carl", How.ROLLBACK)
    assert activations(store)[2:] == [(3, "import"), (1, "rollback"), (2, "rollback")]
    assert len(file.read_bytes().splitlines()) == 5


def test_a_change_that_never_came_about_is_not_in_the_history(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(2))
    active = folder / SITE / "active"
    store.enforce(SITE, 1, "berta", How.ROLLBACK)
    lines = (folder / SITE / "history.jsonl").read_bytes().splitlines(keepends=True)
    (folder / SITE / "history.jsonl").write_bytes(b"".join(lines[:2]))
    active.write_text("2\n")
    assert activations(store) == [(1, "import"), (2, "import")]


def test_a_store_of_an_earlier_version_opens(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    put(store, text(2) + CLOUD)
    for name in ("history.jsonl", "intent.json"):
        (folder / SITE / name).unlink()
    for version in (1, 2):
        file = folder / SITE / f"{version}.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps({name: record[name] for name in ("imported_at", "imported_by", "sha256")}))
    (found,), _ = store.listed("")
    assert (found.name, found.destinations) == ("St. Mary's Hospital", ("pacs", "cloud"))
    assert activations(store) == [(1, "import"), (2, "import")]
    # It kept no files: they may come with the same version now.
    put(store, text(2) + CLOUD, TOKEN)
    assert store.read(SITE).files == TOKEN
    assert activations(store) == [(1, "import"), (2, "import"), (2, "import")]


# --- what goes with a site


def test_a_removed_site_is_kept_elsewhere(store: ProfileStore, folder: Path) -> None:
    put(store, text(1))
    place = store.remove(SITE)
    assert store.sites() == []
    assert place.parent == folder.with_name("profiles-removed")
    assert (place / "1.toml").read_text() == text(1)
    put(store, text(1))
    store.remove(SITE)
    assert len(list(place.parent.iterdir())) == 2


def test_what_a_spool_held_is_remembered(store: ProfileStore) -> None:
    put(store, text(1))
    assert store.last(SITE) is None
    held = Held(store.read(SITE).record.imported_at, 12)
    store.remember(SITE, held)
    assert store.last(SITE) == held
    store.remember(SITE, None)
    assert store.last(SITE) is None
