"""Wherever the program is killed, the power fails or the disk refuses, every key is still there afterwards."""

from __future__ import annotations

import copy
import itertools
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capacitord.errors import DamagedObject, Locked, NotFound, StorageFailed, WrongKey
from capacitord.seal.anchor import Anchor
from capacitord.seal.boxkey import Source
from capacitord.seal.keys import BoxKey, SiteKey
from capacitord.seal.keystore import KeyStore
from tests.seal.keying import CHEAP, OTHER_PHRASE, PHRASE, install_credential
from tests.seal.memory_disk import Choice, MemoryDisk, Stopped

KEYS = Path("/state/keys")
ROOT = Path(__file__).resolve().parent.parent.parent


def _nothing_unsynced(states: int) -> int:
    return 0 * states


def _everything(states: int) -> int:
    return states - 1


def _by_chance(seed: int) -> Choice:
    return random.Random(seed).randrange


def survivors() -> list[Choice]:
    return [_nothing_unsynced, _everything, *(_by_chance(seed) for seed in range(3))]


@dataclass
class Box:
    """A box with two sites' keys on a disk in memory, and what may open it."""

    disk: MemoryDisk
    source: Source
    sites: tuple[SiteKey, ...]
    phrases: tuple[str | None, ...]
    credentials: Path | None = None

    def store(self, disk: MemoryDisk) -> KeyStore:
        return KeyStore(KEYS, credentials=self.credentials, cost=CHEAP, disk=disk)

    def opened(self, disk: MemoryDisk) -> KeyStore:
        """Open the keys on `disk` as a person would: with this passphrase, or else with that."""
        for phrase in self.phrases:
            store = self.store(disk)
            try:
                store.unlock(phrase)
            except (WrongKey, Locked):
                continue
            return store
        pytest.fail("nothing opens the keys")

    def opened_now(self, disk: MemoryDisk) -> KeyStore:
        store = self.store(disk)
        store.unlock(self.phrases[0])
        return store


def box_of(source: Source, credentials: Path) -> Box:
    phrases = (PHRASE, OTHER_PHRASE) if source is Source.PASSPHRASE else (None,)
    installed = install_credential(credentials, BoxKey.new()) if source is Source.CREDENTIAL else None
    disk = MemoryDisk()
    disk.make_directory(KEYS.parent)
    disk.sync(Path("/"))
    store = KeyStore(KEYS, credentials=installed, cost=CHEAP, disk=disk)
    store.init(source, phrases[0])
    sites = tuple(store.create_site(site) for site in ("a", "b"))
    return Box(disk, source, sites, phrases, installed)


@pytest.fixture(params=list(Source))
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    return box_of(request.param, tmp_path / "credentials")


def rotate(box: Box, store: KeyStore) -> None:
    store.rotate(
        passphrase=OTHER_PHRASE if box.source is Source.PASSPHRASE else None,
        new_key=BoxKey.new() if box.source is Source.CREDENTIAL else None,
    )


def interrupted(box: Box, work: Callable[[KeyStore], object]) -> Iterator[MemoryDisk]:
    """Do `work` on a copy of the box's disk, stopped at its first step, its second, and so on; give what is left."""
    for step in itertools.count():
        disk = box.disk.after_power_cut(_nothing_unsynced)
        store = box.opened_now(disk)
        disk.fail_at(step, Stopped())
        try:
            work(store)
        except Stopped:
            yield disk
        else:
            assert step > 3, "the work took no steps, so nothing was tried"
            return


def check_whole(box: Box, disk: MemoryDisk, *, gone: tuple[str, ...] = ()) -> None:
    """Check that the keys on `disk` open, are all there, can be relied on, and are tidy."""
    store = box.opened(disk)
    for key in box.sites:
        if key.site not in gone:
            assert store.site_key(key.site) == key
    new = store.create_site("new")
    assert store.status().leftovers == ()
    assert store.status().damaged == ()

    disk = disk.after_power_cut(_nothing_unsynced)
    store = box.opened(disk)
    assert store.site_key("new") == new
    for key in box.sites:
        if key.site not in gone:
            assert store.site_key(key.site) == key


def test_a_disk_that_forgets_shows_a_missing_sync() -> None:
    disk = MemoryDisk()
    disk.make_directory(Path("/a"))
    disk.sync(Path("/"))
    disk.write(Path("/a/file"), b"one")
    assert disk.after_power_cut(_nothing_unsynced).names(Path("/a")) == ()
    assert disk.after_power_cut(_everything).names(Path("/a")) == ("file",)


def test_rotation(box: Box) -> None:
    for disk in interrupted(box, lambda store: rotate(box, store)):
        for choice in survivors():
            check_whole(box, disk.after_power_cut(choice))


def test_rotation_killed_and_then_cut_while_it_is_cleared_away(tmp_path: Path) -> None:
    box = box_of(Source.FILE, tmp_path)
    for killed in interrupted(box, lambda store: rotate(box, store)):
        for step in itertools.count():
            disk = copy.deepcopy(killed)
            disk.fail_at(step, Stopped())
            try:
                box.opened(disk)
            except Stopped:
                for choice in survivors():
                    check_whole(box, disk.after_power_cut(choice))
            else:
                break


def test_a_new_site(box: Box) -> None:
    for disk in interrupted(box, lambda store: store.create_site("c")):
        for choice in survivors():
            check_whole(box, disk.after_power_cut(choice))


def test_a_new_site_is_durable_when_it_is_given_out(box: Box) -> None:
    disk = box.disk.after_power_cut(_nothing_unsynced)
    key = box.opened(disk).create_site("c")
    for choice in survivors():
        assert box.opened(disk.after_power_cut(choice)).site_key("c") == key


def test_a_site_key_found_after_a_kill_is_durable_when_it_is_given_out(box: Box) -> None:
    for disk in interrupted(box, lambda store: store.create_site("c")):
        killed = disk.after_power_cut(_everything)
        try:
            key = box.opened(disk).site_key("c")
        except NotFound:
            continue
        assert box.opened(killed).site_key("c") == key
        assert box.opened(disk.after_power_cut(_nothing_unsynced)).site_key("c") == key


def test_a_rotation_found_after_a_kill_is_durable_when_it_is_used(box: Box) -> None:
    for disk in interrupted(box, lambda store: rotate(box, store)):
        key = box.opened(disk).create_site("c")
        assert box.opened(disk.after_power_cut(_nothing_unsynced)).site_key("c") == key


def test_erasing(box: Box) -> None:
    for disk in interrupted(box, lambda store: store.erase_site("a")):
        for choice in survivors():
            left = disk.after_power_cut(choice)
            check_whole(box, left, gone=("a",))
            store = box.opened(left)
            if "a" in store.status().sites:
                assert store.site_key("a") == box.sites[0]


def test_making_the_first_keys() -> None:
    disk = MemoryDisk()
    disk.make_directory(KEYS.parent)
    disk.sync(Path("/"))
    for step in itertools.count():
        left = disk.after_power_cut(_nothing_unsynced)
        left.fail_at(step, Stopped())
        try:
            KeyStore(KEYS, disk=left).init(Source.FILE)
        except Stopped:
            for choice in survivors():
                again = KeyStore(KEYS, disk=left.after_power_cut(choice))
                if again.status().present:
                    again.unlock()
                else:
                    again.init(Source.FILE)
                assert again.status().leftovers == ()
        else:
            break
    assert step > 6
    made = left.after_power_cut(_nothing_unsynced)
    store = KeyStore(KEYS, disk=made)
    store.unlock()
    site = store.create_site("a")
    again = KeyStore(KEYS, disk=made.after_power_cut(_nothing_unsynced))
    again.unlock()
    assert again.site_key("a") == site


def test_installing_the_new_credential(tmp_path: Path) -> None:
    box = box_of(Source.CREDENTIAL, tmp_path / "credentials")
    new = BoxKey.new()
    anchor = Anchor(7, "0" * 64, "0" * 64, 3)
    box.opened(box.disk).set_anchor(anchor)
    box.opened(box.disk).rotate(new_key=new)
    install_credential(tmp_path / "credentials", new)
    for step in range(12):
        disk = box.disk.after_power_cut(_nothing_unsynced)
        disk.fail_at(step, Stopped())
        try:
            box.opened(disk)
        except Stopped:
            for choice in survivors():
                check_whole(box, disk.after_power_cut(choice))
    disk = box.disk.after_power_cut(_nothing_unsynced)
    assert box.opened(disk).anchor() == anchor
    disk.shred(KEYS / "generation-2" / "audit.anchor")
    with pytest.raises(DamagedObject, match="these keys had one"):
        box.opened(disk).anchor()


def test_an_anchor_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    box = box_of(Source.FILE, tmp_path)
    first, second = (Anchor(number, f"{number:064x}", "0" * 64, 1) for number in (1, 2))
    for disk in interrupted(box, lambda store: store.set_anchor(first)):
        for choice in survivors():
            left = disk.after_power_cut(choice)
            assert box.opened(left).anchor() in (None, first)
            check_whole(box, left)
    box.opened(box.disk).set_anchor(first)
    for disk in interrupted(box, lambda store: store.set_anchor(second)):
        for choice in survivors():
            assert box.opened(disk.after_power_cut(choice)).anchor() in (first, second)


def test_a_rotation_that_is_stopped_keeps_the_anchor(tmp_path: Path) -> None:
    box = box_of(Source.FILE, tmp_path)
    anchor = Anchor(7, "0" * 64, "0" * 64, 3)
    box.opened(box.disk).set_anchor(anchor)
    for disk in interrupted(box, lambda store: rotate(box, store)):
        for choice in survivors():
            assert box.opened(disk.after_power_cut(choice)).anchor() == anchor


def test_a_rotation_carries_the_anchor_over_and_that_there_is_one(box: Box) -> None:
    anchor = Anchor(7, "0" * 64, "0" * 64, 3)
    store = box.opened(box.disk)
    store.set_anchor(anchor)
    rotate(box, store)
    left = box.disk.after_power_cut(_nothing_unsynced)
    assert box.opened(left).anchor() == anchor
    place = KEYS / "generation-2"
    left.shred(place / "audit.anchor")
    with pytest.raises(DamagedObject, match="these keys had one"):
        box.opened(left).anchor()


def test_a_disk_that_refuses_leaves_the_keys_in_use(box: Box) -> None:
    refused = 0
    for step in itertools.count():
        disk = box.disk.after_power_cut(_nothing_unsynced)
        store = box.opened_now(disk)
        disk.fail_at(step, StorageFailed("the disk refused"))
        try:
            rotate(box, store)
        except StorageFailed:
            refused += 1
        if disk.fails_no_more:
            check_whole(box, disk.after_power_cut(_everything))
            check_whole(box, disk.after_power_cut(_nothing_unsynced))
            rotate(box, store if not store.status().locked else box.opened(disk))
            check_whole(box, disk)
        else:
            break
    assert refused > 5


def test_killed_at_every_step_on_a_real_disk(tmp_path: Path) -> None:
    origin = KeyStore(tmp_path / "origin")
    origin.init(Source.FILE)
    sites = {site: origin.create_site(site) for site in ("a", "b")}
    generations = set()
    for steps in itertools.count(1):
        keys = tmp_path / "keys"
        shutil.copytree(tmp_path / "origin", keys)
        command = [sys.executable, "-m", "tests.seal.rotate_and_die", str(keys), str(steps)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
        store = KeyStore(keys)
        store.unlock()
        assert {site: store.site_key(site) for site in sites} == sites
        assert store.status().leftovers == ()
        generations.add(store.status().generation)
        shutil.rmtree(keys)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert steps > 15
    assert generations == {1, 2}
