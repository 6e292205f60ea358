"""Nothing is acknowledged before it is on stable storage, and nothing is synced twice after it failed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacitord.errors import StorageFailed
from tests.spool.faulty import ROOMY, SEGMENT, Call, FaultyDisk
from tests.spool.kit import LARGE, SMALL, opened, take

WRITES = {"write", "reserve", "cut"}


def unsynced(calls: list[Call], root: Path) -> set[Path]:
    """Return what a power cut could take of the segments: files whose bytes, and folders whose names, were not synced.

    The end of a file that only gives space back does not matter.
    """
    files: set[Path] = set()
    folders: set[Path] = set()
    for what, path in calls:
        if what in {"write", "reserve"}:
            files.add(path)
        elif what == "sync":
            files.discard(path)
        elif what in {"create", "rename", "make folder"}:
            folders.add(path.parent)
        elif what == "sync folder":
            folders.discard(path)
    # A file in `incoming` has a name that nobody depends on.
    return {path for path in files | folders if path != root / "incoming"}


@pytest.mark.parametrize("size", [0, SMALL, LARGE - 1, LARGE, 3 * LARGE])
def test_a_receipt_comes_after_everything_it_depends_on_is_synced(tmp_path: Path, size: int) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        disk.calls.clear()
        for number in range(3):
            take(spool, number=number, size=size)
            assert unsynced(disk.calls, tmp_path) == set()


def test_the_first_image_makes_its_folders_last(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with opened(tmp_path / "site", disk=disk) as spool:
        take(spool)
        path = spool.layout.segment(0)
    for folder in (path.parent, path.parent.parent, spool.layout.objects, spool.layout.root):
        assert Call("sync folder", folder.parent) in disk.calls
    assert disk.calls.index(Call("create", path)) > disk.calls.index(Call("sync folder", path.parent.parent))


def test_folders_that_a_stopped_program_made_are_made_to_last_again(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool)
        path = spool.layout.segment(0)
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        disk.calls.clear()
        take(spool, number=2)
    assert Call("sync folder", path.parent.parent) in disk.calls
    assert Call("sync folder", path.parent.parent.parent) in disk.calls


def test_a_segment_is_synced_before_another_is_begun(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        disk.calls.clear()
        for number in range(9):
            take(spool, number=number, size=LARGE - 1)
            assert unsynced(disk.calls, tmp_path) == set()
        assert len(list(spool.layout.segments())) == 3
        assert spool.layout.segment(0).stat().st_size <= SEGMENT
    assert ROOMY.free // 64 == SEGMENT


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_shared_segment_that_failed_once_is_never_written_again(tmp_path: Path, what: str) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        take(spool, number=1)
        disk.fail_at(1 if what == "write" else 2)
        with pytest.raises(StorageFailed):
            take(spool, number=2)
        (struck,) = disk.struck
        assert struck == Call(what, spool.layout.segment(0))
        disk.calls.clear()
        take(spool, number=3)
        take(spool, number=2)
        assert not [call for call in disk.calls if call.path == struck.path and call.what in WRITES | {"sync"}]
        assert Call("sync", spool.layout.segment(1)) in disk.calls
