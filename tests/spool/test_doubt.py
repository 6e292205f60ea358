"""What may have been sent is said to be in doubt: after a crash, after a catalog was lost, and after both."""

from __future__ import annotations

import contextlib
import errno
import shutil
from pathlib import Path

import apsw
import pytest

from capacitord.errors import CapacitordError
from capacitord.model.states import AckState
from capacitord.spool.disk import Disk
from capacitord.spool.store import Spool
from tests.spool.faulty import FaultyDisk, faulty_catalog
from tests.spool.kit import LARGE, SMALL, answer, as_after_a_kill, close_studies, due, find, open_spool, opened, take

MOST_STEPS = 100


def fill(root: Path) -> None:
    """Make a spool of three images: one was acknowledged, one is on its way, one was never sent."""
    spool = open_spool(root.with_name("filled"))
    for number, size in enumerate((SMALL, LARGE, SMALL), 1):
        take(spool, number=number, size=size)
    sent = spool.ledger.sending(due(spool)[:2], "Images are on their way.")
    spool.ledger.record(answer(sent[:1]), spool.tick())
    close_studies(spool)
    as_after_a_kill(root.with_name("filled"), root)
    spool.close()


def told(spool: Spool) -> list[AckState]:
    """Return what a person is told of the images of the study, in their order."""
    spool.settle()
    return [image.acks[0].state for image in spool.studies.detail(find(spool), "x").images]


def all_in_doubt(spool: Spool) -> None:
    assert told(spool) == [AckState.DOUBT] * 3
    assert spool.ledger.backlog("pacs").doubtful == 3
    assert spool.studies.detail(find(spool), "x").study.deliveries[0].doubtful == 3
    assert [image.repeated for image in due(spool)] == [True] * 3


def test_after_a_kill_what_was_on_its_way_is_in_doubt_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    for _ in range(2):
        with opened(tmp_path / "spool") as spool:
            assert told(spool) == [AckState.DONE, AckState.DOUBT, AckState.WAITING]
            assert spool.ledger.backlog("pacs").doubtful == 1
            assert [image.repeated for image in due(spool)] == [True, False]


@pytest.mark.parametrize("left", [None, b""])
def test_without_its_catalog_everything_that_is_here_is_in_doubt(tmp_path: Path, left: bytes | None) -> None:
    fill(tmp_path / "spool")
    spoil(tmp_path / "spool", left)
    for _ in range(2):
        with opened(tmp_path / "spool") as spool:
            all_in_doubt(spool)


def test_a_rebuild_that_was_stopped_at_any_step_of_the_disk_leaves_all_in_doubt(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    spoil(tmp_path / "spool")
    for step in range(1, MOST_STEPS):
        copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
        disk = FaultyDisk()
        disk.fail_at(step, errno.EIO, for_good=True)
        stopped(copy, disk)
        if not disk.struck:
            break
        shutil.rmtree(copy)
    else:
        pytest.fail("the steps never ended")


def test_a_rebuild_that_was_stopped_at_any_sync_of_the_catalog_leaves_all_in_doubt(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    spoil(tmp_path / "spool", b"\xa5" * 8192)
    with faulty_catalog() as (disk, vfs):
        for step in range(1, MOST_STEPS):
            copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
            vfs.fail_at(step, apsw.IOError, only="sync", for_good=True)
            stopped(copy, disk)
            struck = vfs.struck
            vfs.work_again()
            shutil.rmtree(copy)
            if not struck:
                break
        else:
            pytest.fail("the steps never ended")


def spoil(root: Path, left: bytes | None = None) -> None:
    """Remove a spool's catalog, or leave something else in its place."""
    for part in root.glob("catalog.db*"):
        part.unlink()
    if left is not None:
        (root / "catalog.db").write_bytes(left)


def stopped(root: Path, disk: Disk) -> None:
    """Open a spool on a disk that refuses at some step and is never heard of again; then on a sound one."""
    with contextlib.suppress(CapacitordError):
        open_spool(root, disk=disk).close()
    with opened(root) as spool:
        all_in_doubt(spool)
