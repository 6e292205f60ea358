"""A disk that refuses, at each step in turn: an error is raised, nothing acknowledged is lost, nothing half stays."""

from __future__ import annotations

import contextlib
import errno
import shutil
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed
from capacitord.spool.store import Spool
from tests.spool.faulty import FaultyDisk, faulty_catalog
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    as_after_a_kill,
    close_studies,
    content,
    datasets,
    due,
    find,
    open_spool,
    opened,
    parts_left,
    sop_uid,
    take,
)

MOST_STEPS = 60
Acknowledged = dict[str, bytes]


def try_to_take(spool: Spool, number: int, size: int, acknowledged: Acknowledged) -> CapacitordError | None:
    """Have the spool take an image in; return the error if it does not, and remember the image if it does."""
    try:
        take(spool, number=number, size=size)
    except (OutOfSpace, StorageFailed) as error:
        return error
    acknowledged[sop_uid(1, number)] = content(sop_uid(1, number), size)
    return None


def check(
    root: Path,
    acknowledged: Acknowledged,
    delivered: frozenset[str] = frozenset(),
    perhaps: frozenset[str] = frozenset(),
) -> None:
    """Open a copy of the folder as it is now, as after a kill, and find everything that was acknowledged.

    What is `delivered` is due no more. What is so `perhaps` was answered for, but the ledger could not say that it
    is written down.
    """
    copy = as_after_a_kill(root, root.with_name("copy"))
    with opened(copy) as spool:
        found = datasets(spool)
        assert {uid: data for uid, data in found.items() if uid in acknowledged} == acknowledged
        # What was refused may be there as well, if it was whole.
        for uid, data in found.items():
            assert data == content(uid, len(data))
        waiting = {image.sop_instance_uid for image in due(spool)}
        assert set(found) - delivered - perhaps <= waiting <= set(found) - delivered
        assert parts_left(copy) == []
    shutil.rmtree(copy)


@pytest.mark.parametrize(("code", "for_good"), [(errno.EIO, False), (errno.ENOSPC, True)])
@pytest.mark.parametrize(("size", "before"), [(SMALL, 0), (LARGE - 1, 3), (LARGE, 0), (3 * LARGE, 0)])
def test_the_disk_refuses_at_each_step_in_turn(
    tmp_path: Path, size: int, before: int, code: int, for_good: bool
) -> None:
    """The images `before` bring a shared segment close to its end, so that the next one needs another."""
    struck: set[str] = set()
    for step in range(1, MOST_STEPS):
        root = tmp_path / str(step)
        disk = FaultyDisk()
        spool = open_spool(root, disk=disk)
        acknowledged: Acknowledged = {}
        for number in range(before):
            assert try_to_take(spool, number, LARGE - 1, acknowledged) is None
        disk.fail_at(step, code, for_good=for_good)
        error = try_to_take(spool, 100, size, acknowledged)
        disk.work_again()
        if not disk.struck:
            spool.close()
            break
        assert isinstance(error, OutOfSpace) or code != errno.ENOSPC or error is None
        struck.update(call.what for call in disk.struck)
        check(root, acknowledged)
        assert for_good or disk.struck[0].what == "remove" or parts_left(root) == []
        for number, size_again in ((101, SMALL), (102, LARGE), (100, size)):
            assert try_to_take(spool, number, size_again, acknowledged) is None
        spool.close()
        with opened(root) as spool:
            assert datasets(spool) == acknowledged
            assert parts_left(root) == []
        shutil.rmtree(root)
    else:
        pytest.fail("the steps never ended")
    assert struck >= {"create", "write", "sync", "sync folder"} | ({"reserve"} if size < LARGE else {"rename", "cut"})


@pytest.mark.parametrize("step", range(1, 5))
def test_an_image_that_is_abandoned_on_a_broken_disk_leaves_no_part(tmp_path: Path, step: int) -> None:
    disk = FaultyDisk()
    with opened(tmp_path, disk=disk) as spool:
        disk.fail_at(step)
        try_to_take(spool, 1, 4 * LARGE, {})
        assert disk.struck
        assert parts_left(tmp_path) == []


def test_the_spool_opens_on_a_disk_that_refuses_at_each_step_or_says_why(tmp_path: Path) -> None:
    acknowledged: Acknowledged = {}
    with opened(tmp_path / "first") as spool:
        for number, size in enumerate((SMALL, LARGE)):
            try_to_take(spool, number, size, acknowledged)
    for step in range(1, MOST_STEPS):
        for state in ("empty", "used"):
            root = tmp_path / f"{state}-{step}"
            if state == "used":
                shutil.copytree(tmp_path / "first", root)
            disk = FaultyDisk()
            disk.fail_at(step)
            with contextlib.suppress(StorageFailed):
                open_spool(root, disk=disk).close()
            if not disk.struck and state == "used":
                return
            with opened(root) as spool:
                if state == "used":
                    assert datasets(spool) == acknowledged
            shutil.rmtree(root)
    pytest.fail("the steps never ended")


# --- the catalog's own writes -----------------------------------------------------------------------------


class Fault(NamedTuple):
    """A step of the catalog that fails, counted among those of its kind."""

    step: int
    error: type[apsw.Error]
    only: str


def deliver_with_a_broken_catalog(root: Path, fault: Fault) -> tuple[int, int]:
    """Take images in and have them delivered while the catalog's step fails.

    Returns how many steps of that kind there were in the part that may fail, and how often one did.
    """
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(root, disk=disk)
        acknowledged: Acknowledged = {}
        delivered: set[str] = set()
        perhaps: set[str] = set()
        for number, size in enumerate((SMALL, LARGE)):
            assert try_to_take(spool, number, size, acknowledged) is None
        spool.settle()
        before = vfs.steps[fault.only]
        vfs.fail_at(fault.step, fault.error, only=fault.only)
        try_to_take(spool, 10, SMALL, acknowledged)
        try_to_take(spool, 11, LARGE, acknowledged)
        with contextlib.suppress(OutOfSpace, StorageFailed):
            images = spool.ledger.sending(due(spool), "Images are on their way.")[:2]
            perhaps.update(image.sop_instance_uid for image in images)
            spool.ledger.record(answer(images), spool.tick())
            delivered.update(perhaps)
        steps, struck = vfs.steps[fault.only] - before, vfs.struck
        vfs.work_again()
        check(root, acknowledged, frozenset(delivered), frozenset(perhaps))
        for number, size in ((12, SMALL), (13, LARGE), (10, SMALL), (11, LARGE)):
            assert try_to_take(spool, number, size, acknowledged) is None
        images = spool.ledger.sending(due(spool), "Images are on their way.")
        assert {image.sop_instance_uid for image in images} == set(acknowledged) - delivered
        spool.ledger.record(answer(images), spool.tick())
        close_studies(spool)
        spool.close()
    with opened(root) as spool:
        assert datasets(spool) == acknowledged
        assert due(spool) == []
    return steps, struck


@pytest.mark.parametrize(
    ("error", "only"), [(apsw.FullError, "write"), (apsw.IOError, "write"), (apsw.IOError, "sync")]
)
def test_the_catalog_is_refused_at_writes_and_syncs(tmp_path: Path, error: type[apsw.Error], only: str) -> None:
    refuse_catalog(tmp_path, error, only, cycles=7)


def refuse_catalog(folder: Path, error: type[apsw.Error], only: str, cycles: int) -> int:
    """Let the catalog fail at some steps, spread over all there are; return how many."""
    steps, _ = deliver_with_a_broken_catalog(folder / "all", Fault(0, error, only))
    chosen = sorted({1 + number * (steps - 1) // (cycles - 1) for number in range(cycles)})
    struck = 0
    for step in chosen:
        struck += deliver_with_a_broken_catalog(folder / str(step), Fault(step, error, only))[1]
        shutil.rmtree(folder / str(step))
    # How many steps there are depends on how commits fall together, so some of the chosen may not come.
    assert struck >= len(chosen) // 2
    return struck


def test_while_the_catalog_cannot_commit_images_are_refused_and_come_in_again_later(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path / "spool", disk=disk)
        acknowledged: Acknowledged = {}
        vfs.fail_at(1, apsw.FullError, for_good=True)
        refused = [try_to_take(spool, number, SMALL, acknowledged) for number in range(30)]
        with pytest.raises(OutOfSpace):
            spool.settle()
        refused += [try_to_take(spool, number, SMALL, acknowledged) for number in range(30, 40)]
        assert all(isinstance(error, OutOfSpace) for error in refused[-9:])
        check(tmp_path / "spool", acknowledged)
        vfs.work_again()
        for number in range(40):
            assert try_to_take(spool, number, SMALL, acknowledged) is None
        assert datasets(spool) == acknowledged
        assert find(spool) == 1
        spool.close()
