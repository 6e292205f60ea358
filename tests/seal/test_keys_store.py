"""The key store: making, unlocking, rotating, erasing and repairing, and what it says about itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacitord.errors import CapacitordError, DamagedObject, Invalid, Locked, NotFound, Refused, TryAgain, WrongKey
from capacitord.seal.boxkey import CREDENTIAL, Source
from capacitord.seal.disk import LocalDisk
from capacitord.seal.keys import BoxKey, SiteKey
from capacitord.seal.keystore import KeyStore
from tests.seal.keying import CHEAP, OTHER_PHRASE, PHRASE, install_credential


def store_at(directory: Path, credentials: Path | None = None) -> KeyStore:
    return KeyStore(directory, credentials=credentials, cost=CHEAP)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def files(keys: Path) -> list[str]:
    return sorted(str(path.relative_to(keys)) for path in keys.rglob("*"))


# --- making and unlocking -----------------------------------------------------------------------------


def test_a_box_without_keys_says_so(keys: Path) -> None:
    store = store_at(keys)
    status = store.status()
    assert (status.present, status.locked, status.source) == (False, True, None)
    assert "fluxctl key init" in status.hint
    for attempt in (store.unlock, store.keys, store.rotate):
        with pytest.raises(Locked) as caught:
            attempt()
        assert "fluxctl key init" in caught.value.hint
    for step in (store.create_site, store.site_key, store.erase_site):
        with pytest.raises(Locked):
            step("a")
    assert not keys.exists()


def test_a_key_file_opens_by_itself(keys: Path) -> None:
    store = store_at(keys)
    status = store.init(Source.FILE)
    assert (status.present, status.locked, status.source, status.generation) == (True, False, Source.FILE, 1)
    assert status.created is not None
    assert status.rotated is None
    assert (keys / "generation-1" / "box.key").stat().st_mode & 0o777 == 0o600
    site = store.create_site("st-marys")

    again = store_at(keys)
    assert again.locked
    assert again.status().locked
    assert "fluxctl key unlock" in again.status().hint
    again.unlock()
    assert again.site_key("st-marys") == site
    assert again.status() == store.status()


def test_a_passphrase_is_asked_for(keys: Path) -> None:
    site = _with_passphrase(keys)
    store = store_at(keys)
    status = store.status()
    assert status.locked
    assert "passphrase" in status.reason
    assert status.sites == ("st-marys",)
    with pytest.raises(Locked) as locked:
        store.unlock()
    assert locked.value.hint == status.hint
    with pytest.raises(Locked):
        store.site_key("st-marys")
    with pytest.raises(WrongKey):
        store.unlock(OTHER_PHRASE)
    assert store.locked
    store.unlock(PHRASE)
    assert store.site_key("st-marys") == site


def _with_passphrase(keys: Path) -> SiteKey:
    store = store_at(keys)
    store.init(Source.PASSPHRASE, PHRASE)
    return store.create_site("st-marys")


def test_a_passphrase_may_be_typed_on_any_keyboard(keys: Path) -> None:
    store_at(keys).init(Source.PASSPHRASE, "B\u00e4rentatze unterm Pier")
    store_at(keys).unlock("Ba\u0308rentatze unterm Pier")


def test_locking_forgets(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    store.create_site("a")
    store.lock()
    with pytest.raises(Locked):
        store.site_key("a")


@pytest.mark.parametrize("source", list(Source))
def test_keys_are_made_once(keys: Path, tmp_path: Path, source: Source) -> None:
    store_at(keys).init(Source.FILE)
    before = files(keys)
    credentials = install_credential(tmp_path / "credentials", BoxKey.new())
    phrase = PHRASE if source is Source.PASSPHRASE else None
    with pytest.raises(Refused) as caught:
        store_at(keys, credentials).init(source, phrase)
    assert "rotate" in caught.value.hint
    assert files(keys) == before


@pytest.mark.parametrize(
    ("source", "phrase", "kind"),
    [
        (Source.PASSPHRASE, None, Invalid),
        (Source.PASSPHRASE, "short", Invalid),
        (Source.FILE, PHRASE, Invalid),
        (Source.CREDENTIAL, None, Locked),
    ],
)
def test_keys_that_cannot_be_made_leave_nothing(
    keys: Path, source: Source, phrase: str | None, kind: type[CapacitordError]
) -> None:
    with pytest.raises(kind) as caught:
        store_at(keys).init(source, phrase)
    assert caught.value.hint
    assert files(keys) == []
    store_at(keys).init(Source.FILE)


def test_another_process_at_work_is_left_alone(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    with LocalDisk().hold(keys):
        for step in (store.rotate, store.unlock, lambda: store.create_site("a")):
            with pytest.raises(TryAgain):
                step()
    store.create_site("a")


def test_a_store_does_not_show_its_keys(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    assert repr(store) == f"<KeyStore {keys}, unlocked>"


# --- sites --------------------------------------------------------------------------------------------


def test_each_site_has_its_own_key(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    made = {site: store.create_site(site) for site in ("a", "b", "C.d_e-1")}
    assert len(set(made.values())) == 3
    assert {site: store.site_key(site) for site in made} == made
    assert store.status().sites == ("C.d_e-1", "a", "b")
    with pytest.raises(Refused):
        store.create_site("a")
    assert store.site_key("a") == made["a"]


@pytest.mark.parametrize("site", ["", ".", "..", "../a", "a/b", "a b", "-a", "ä", "a\n", "a" * 65, "a\0"])
def test_a_site_id_is_no_path(keys: Path, site: str) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    before = files(keys)
    for step in (store.create_site, store.site_key):
        with pytest.raises(Invalid):
            step(site)
    with pytest.raises(NotFound):
        store.erase_site(site)
    assert files(keys) == before


def test_a_site_without_key_is_not_found(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    for step in (store.site_key, store.erase_site):
        with pytest.raises(NotFound):
            step("a")


def test_swapped_sites_are_told_apart(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    a, b = store.create_site("a"), store.create_site("b")
    one, two = (keys / "generation-1" / f"{site}.site-key" for site in "ab")
    texts = one.read_bytes(), two.read_bytes()
    one.write_bytes(texts[1])
    two.write_bytes(texts[0])
    for site in "ab":
        with pytest.raises(WrongKey) as caught:
            store.site_key(site)
        assert "swapped" in caught.value.hint
    assert store.status().damaged == ("a", "b")

    one.write_bytes(texts[1].replace(b'"site": "b"', b'"site": "a"'))
    with pytest.raises(DamagedObject):
        store.site_key("a")

    one.write_bytes(texts[0])
    two.write_bytes(texts[1])
    assert (store.site_key("a"), store.site_key("b")) == (a, b)


def test_a_file_of_an_earlier_generation_does_not_open(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    store.create_site("a")
    old = (keys / "generation-1" / "a.site-key").read_bytes()
    store.rotate()
    (keys / "generation-2" / "a.site-key").write_bytes(old)
    with pytest.raises(WrongKey):
        store.site_key("a")
    locked = store_at(keys).status()
    assert (locked.sites, locked.damaged) == ((), ("a",))


def test_one_damaged_site_leaves_the_others(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    store.create_site("a")
    b = store.create_site("b")
    path = keys / "generation-1" / "a.site-key"
    path.write_bytes(path.read_bytes()[:-10])
    again = store_at(keys)
    again.unlock()
    assert again.site_key("b") == b
    assert (again.status().sites, again.status().damaged) == (("b",), ("a",))
    for step in (again.rotate, again.keys):
        with pytest.raises(DamagedObject) as caught:
            step()
        assert "a.site-key" in caught.value.where
    assert again.status().generation == 1


def test_a_recovered_key_repairs_a_site(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    a, b = store.create_site("a"), store.create_site("b")
    (keys / "generation-1" / "a.site-key").write_bytes(b"{}")
    (keys / "generation-1" / "b.site-key").unlink()
    store.repair_site(a)
    store.repair_site(b)
    assert (store.site_key("a"), store.site_key("b")) == (a, b)
    store.repair_site(a)
    with pytest.raises(Refused):
        store.repair_site(SiteKey.new("a"))
    assert store.site_key("a") == a


def test_an_erased_site_is_gone_and_may_begin_anew(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    old, other = store.create_site("a"), store.create_site("b")
    witness = keys.parent / "witness"
    witness.hardlink_to(keys / "generation-1" / "a.site-key")
    store.erase_site("a")
    assert not any(witness.read_bytes())
    with pytest.raises(NotFound):
        store.site_key("a")
    assert files(keys / "generation-1") == ["b.site-key", "box.key"]
    assert store.site_key("b") == other
    assert store.create_site("a") != old


def test_a_site_is_erased_without_the_passphrase(keys: Path) -> None:
    _with_passphrase(keys)
    store_at(keys).erase_site("st-marys")
    assert store_at(keys).status().sites == ()


# --- rotating -----------------------------------------------------------------------------------------


def test_rotation_keeps_the_site_keys_and_drops_the_box_key(keys: Path) -> None:
    store = store_at(keys)
    first = store.init(Source.FILE)
    made = {site: store.create_site(site) for site in "abc"}
    witness = keys.parent / "witness"
    witness.hardlink_to(keys / "generation-1" / "box.key")
    second = store.rotate()
    assert second.id != first.id
    assert second.created == first.created
    assert second.rotated is not None
    assert (second.generation, second.sites, second.leftovers) == (2, ("a", "b", "c"), ())
    assert not any(witness.read_bytes())
    assert files(keys)[0] == "generation-2"
    for opened in (store, store_at(keys)):
        opened.unlock()
        assert {site: opened.site_key(site) for site in made} == made


def test_rotation_changes_the_passphrase(keys: Path) -> None:
    site = _with_passphrase(keys)
    store = store_at(keys)
    store.unlock(PHRASE)
    with pytest.raises(Invalid):
        store.rotate()
    store.rotate(passphrase=OTHER_PHRASE)
    again = store_at(keys)
    with pytest.raises(WrongKey):
        again.unlock(PHRASE)
    again.unlock(OTHER_PHRASE)
    assert again.site_key("st-marys") == site


def test_rotation_changes_the_source(keys: Path, tmp_path: Path) -> None:
    credentials = install_credential(tmp_path / "credentials", BoxKey.new())
    store = store_at(keys, credentials)
    store.init(Source.FILE)
    site = store.create_site("a")
    for source, phrase, name in (
        (Source.PASSPHRASE, PHRASE, "box.key.wrapped"),
        (Source.CREDENTIAL, None, "box.key.credential"),
        (Source.FILE, None, "box.key"),
    ):
        status = store.rotate(source=source, passphrase=phrase)
        assert (status.source, status.credential_pending) == (source, False)
        assert files(keys / f"generation-{status.generation}") == ["a.site-key", name]
        again = store_at(keys, credentials)
        again.unlock(phrase)
        assert again.site_key("a") == site


def test_rotation_takes_no_passphrase_in_vain(keys: Path) -> None:
    store = store_at(keys)
    store.init(Source.FILE)
    with pytest.raises(Invalid):
        store.rotate(passphrase=PHRASE)
    with pytest.raises(Invalid):
        store.rotate(new_key=BoxKey.new())
    assert store.status().generation == 1


def test_a_rotation_by_another_process_is_noticed(keys: Path) -> None:
    ours = store_at(keys)
    ours.init(Source.FILE)
    site = ours.create_site("a")
    theirs = store_at(keys)
    theirs.unlock()
    theirs.rotate()
    for step in (ours.rotate, ours.keys, lambda: ours.site_key("a"), lambda: ours.create_site("b")):
        with pytest.raises(Locked):
            step()
    assert ours.status().locked
    ours.unlock()
    assert ours.site_key("a") == site


# --- the credential -----------------------------------------------------------------------------------


def test_a_credential_is_the_box_key(keys: Path, tmp_path: Path) -> None:
    key = BoxKey.new()
    credentials = install_credential(tmp_path / "credentials", key)
    store = store_at(keys, credentials)
    status = store.init(Source.CREDENTIAL)
    assert status.id == key.id.hex()
    site = store.create_site("a")
    assert all(key.secret.hex() not in path.read_text() for path in (keys / "generation-1").iterdir())

    (credentials / CREDENTIAL).unlink()
    for locked in (store_at(keys, credentials), store_at(keys)):
        with pytest.raises(Locked) as caught:
            locked.unlock()
        assert CREDENTIAL in caught.value.hint
        assert locked.status().reason == caught.value.message

    install_credential(credentials, BoxKey.new())
    with pytest.raises(WrongKey) as wrong:
        store_at(keys, credentials).unlock()
    assert key.id.hex() in wrong.value.message

    install_credential(credentials, key)
    again = store_at(keys, credentials)
    again.unlock()
    assert again.site_key("a") == site


def test_both_credentials_open_until_the_new_one_is_installed(keys: Path, tmp_path: Path) -> None:
    old, new = BoxKey.new(), BoxKey.new()
    credentials = install_credential(tmp_path / "credentials", old)
    store = store_at(keys, credentials)
    store.init(Source.CREDENTIAL)
    site = store.create_site("a")
    with pytest.raises(Invalid):
        store.rotate()
    with pytest.raises(Invalid):
        store.rotate(new_key=old)
    status = store.rotate(new_key=new)
    assert (status.id, status.credential_pending) == (new.id.hex(), True)

    with_old = store_at(keys, credentials)
    with_old.unlock()
    assert with_old.site_key("a") == site
    assert with_old.status().credential_pending

    install_credential(credentials, new)
    with_new = store_at(keys, credentials)
    with_new.unlock()
    assert with_new.site_key("a") == site
    assert not with_new.status().credential_pending

    install_credential(credentials, old)
    with pytest.raises(WrongKey):
        store_at(keys, credentials).unlock()


def test_a_new_credential_lost_before_it_was_installed_is_replaced(keys: Path, tmp_path: Path) -> None:
    old, lost, new = BoxKey.new(), BoxKey.new(), BoxKey.new()
    credentials = install_credential(tmp_path / "credentials", old)
    store = store_at(keys, credentials)
    store.init(Source.CREDENTIAL)
    site = store.create_site("a")
    store.rotate(new_key=lost)
    store.rotate(new_key=new)
    for installed, opens in ((lost, False), (old, True), (new, True)):
        install_credential(credentials, installed)
        again = store_at(keys, credentials)
        if opens:
            again.unlock()
            assert again.site_key("a") == site
        else:
            with pytest.raises(WrongKey):
                again.unlock()
