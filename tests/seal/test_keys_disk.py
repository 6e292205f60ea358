"""What the key store may rely on: the same suite for this machine's disk and for the one in memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from capacitord.errors import CapacitordError, DamagedObject, NotFound, OutOfSpace, Refused, StorageFailed, TryAgain
from capacitord.seal.disk import Disk, LocalDisk, storage_error
from capacitord.seal.envelope import LARGEST_FILE
from tests.seal.memory_disk import MemoryDisk

Place = tuple[Disk, Path]


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    disk: Disk = LocalDisk()
    directory = tmp_path / "keys"
    if request.param == "memory":
        disk, directory = MemoryDisk(), Path("/keys")
    disk.make_directory(directory)
    return disk, directory


def test_reads_what_was_written(place: Place) -> None:
    disk, directory = place
    disk.write(directory / "b", b"two")
    disk.write(directory / "a", b"")
    disk.sync(directory)
    assert disk.names(directory) == ("a", "b")
    assert disk.read(directory / "b") == b"two"
    assert disk.read(directory / "a") == b""


def test_never_writes_over_a_file(place: Place) -> None:
    disk, directory = place
    disk.write(directory / "a", b"one")
    with pytest.raises(StorageFailed):
        disk.write(directory / "a", b"two")
    assert disk.read(directory / "a") == b"one"


def test_renames_over_a_file(place: Place) -> None:
    disk, directory = place
    disk.write(directory / "a", b"one")
    disk.write(directory / "a.new", b"two")
    disk.rename(directory / "a.new", directory / "a")
    assert disk.names(directory) == ("a",)
    assert disk.read(directory / "a") == b"two"


def test_renames_a_directory(place: Place) -> None:
    disk, directory = place
    disk.make_directory(directory / "1.new")
    disk.write(directory / "1.new" / "a", b"one")
    disk.rename(directory / "1.new", directory / "1")
    assert disk.read(directory / "1" / "a") == b"one"


def test_making_a_directory_twice_keeps_it(place: Place) -> None:
    disk, directory = place
    disk.write(directory / "a", b"one")
    disk.make_directory(directory)
    assert disk.names(directory) == ("a",)


def test_removes(place: Place) -> None:
    disk, directory = place
    disk.make_directory(directory / "1")
    disk.write(directory / "1" / "a", b"one")
    with pytest.raises(StorageFailed):
        disk.remove_directory(directory / "1")
    disk.shred(directory / "1" / "a")
    disk.remove_directory(directory / "1")
    assert disk.names(directory) == ()


def test_says_what_is_missing(place: Place) -> None:
    disk, directory = place
    nowhere = directory / "none"
    assert disk.names(nowhere) == ()
    for step in (disk.read, disk.sync, disk.shred, disk.remove_directory):
        with pytest.raises(NotFound):
            step(nowhere)
    with pytest.raises(NotFound):
        disk.rename(nowhere, directory / "other")
    with pytest.raises(NotFound):
        disk.write(nowhere / "a", b"")
    with pytest.raises(NotFound), disk.hold(nowhere):
        pass


def test_one_holder_at_a_time(place: Place) -> None:
    disk, directory = place
    with disk.hold(directory), pytest.raises(TryAgain), disk.hold(directory):
        pass
    with disk.hold(directory):
        pass


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    disk = LocalDisk()
    before = os.umask(0)
    try:
        disk.make_directory(tmp_path / "keys")
        disk.write(tmp_path / "keys" / "a", b"one")
    finally:
        os.umask(before)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_refuses_a_file_that_others_may_touch(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    LocalDisk().write(path, b"one")
    path.chmod(mode)
    with pytest.raises(Refused) as caught:
        LocalDisk().read(path)
    assert f"{mode:04o}" in caught.value.message
    assert f"chmod 600 {path}" in caught.value.hint


def test_refuses_a_directory_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(Refused) as caught:
        LocalDisk().names(tmp_path)
    assert f"chmod 700 {tmp_path}" in caught.value.hint


def test_refuses_what_another_user_owns(tmp_path: Path) -> None:
    theirs = Path("/etc/passwd")
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        LocalDisk().write(theirs, b"one")
        os.chown(theirs, 65534, 65534)
    with pytest.raises(Refused) as caught:
        LocalDisk().read(theirs)
    assert "uid" in caught.value.message
    assert "chown" in caught.value.hint


def test_takes_no_link_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one")
    (tmp_path / "a").symlink_to(tmp_path / "real")
    with pytest.raises(CapacitordError):
        LocalDisk().read(tmp_path / "a")
    with pytest.raises(CapacitordError):
        LocalDisk().shred(tmp_path / "a")
    assert (tmp_path / "real").read_bytes() == b"one"


def test_takes_nothing_else_for_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(DamagedObject):
        LocalDisk().read(tmp_path / "pipe")
    with pytest.raises(DamagedObject):
        LocalDisk().read(tmp_path)


def test_reads_no_more_than_a_key_file_can_have(tmp_path: Path) -> None:
    LocalDisk().write(tmp_path / "a", bytes(LARGEST_FILE))
    LocalDisk().write(tmp_path / "b", bytes(LARGEST_FILE + 1))
    assert len(LocalDisk().read(tmp_path / "a")) == LARGEST_FILE
    with pytest.raises(DamagedObject):
        LocalDisk().read(tmp_path / "b")


def test_shredding_overwrites_in_place(tmp_path: Path) -> None:
    LocalDisk().write(tmp_path / "a", b"one secret")
    (tmp_path / "witness").hardlink_to(tmp_path / "a")
    LocalDisk().shred(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "witness").read_bytes() == bytes(10)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, OutOfSpace),
        (errno.EDQUOT, OutOfSpace),
        (errno.EIO, StorageFailed),
        (errno.EROFS, StorageFailed),
        (errno.EACCES, StorageFailed),
        (errno.ENOENT, NotFound),
    ],
)
def test_says_what_a_refusal_means(number: int, kind: type[CapacitordError]) -> None:
    error = storage_error(OSError(number, "words of the system"), Path("/keys/a"))
    assert type(error) is kind
    assert error.where == "/keys/a"
    assert error.hint


def test_a_real_refusal_is_typed(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed) as caught:
        LocalDisk().write(tmp_path / ("a" * 300), b"")
    assert "too long" in caught.value.message


def test_a_copy_of_the_descriptor_in_a_program_that_is_being_started_keeps_no_lock(tmp_path: Path) -> None:
    disk = LocalDisk()
    until, done = os.pipe()
    with disk.hold(tmp_path):
        if (child := os.fork()) == 0:
            os.close(done)
            os.read(until, 1)
            os._exit(0)
    try:
        with disk.hold(tmp_path):
            pass
    finally:
        os.close(done)
        os.close(until)
        os.waitpid(child, 0)
