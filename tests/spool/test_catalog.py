"""The catalog's discipline: what is gathered is not lost, what is changed is whole, what is read is settled."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed
from capacitord.spool import schema
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from tests.spool.faulty import FaultyVfs, faulty_catalog
from tests.spool.kit import (
    KEY,
    as_after_a_kill,
    close_studies,
    deliver,
    due,
    find,
    open_spool,
    opened,
    take,
)
from tests.wait import wait_for


def open_catalog(folder: Path, vfs: str | None = None) -> Catalog:
    return Catalog(folder / "catalog.db", KEY, suspect=folder / "suspect", full=(folder / "full").touch, vfs=vfs)


def note(catalog: Catalog, name: str) -> None:
    """Gather a row."""

    def work(writer: apsw.Connection) -> None:
        writer.execute("INSERT INTO fact VALUES (?, 1)", (name,))

    catalog.gather(work)


def names(catalog: Catalog) -> set[str]:
    with catalog.read() as reader:
        return {name for (name,) in fetch(reader, "SELECT name FROM fact")}


def test_readers_see_what_was_settled_and_the_writer_what_was_gathered(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    with catalog.inside():
        # The lock is held: nothing is committed meanwhile.
        note(catalog, "one")
        assert names(catalog) == set()
        with catalog.inside() as writer:
            assert fetch_value(writer, "SELECT count(*) FROM fact") == 1
        catalog.settle()
        assert names(catalog) == {"one"}
    catalog.close()


def test_what_is_gathered_is_committed_a_moment_later_by_itself(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    note(catalog, "one")
    wait_for(lambda: names(catalog) == {"one"}, what="the row to be committed")
    catalog.close()


def test_a_reader_keeps_its_moment_while_others_write(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    with catalog.read() as reader:
        assert fetch_value(reader, "SELECT count(*) FROM fact") == 0
        note(catalog, "one")
        catalog.settle()
        assert fetch_value(reader, "SELECT count(*) FROM fact") == 0
    assert names(catalog) == {"one"}
    catalog.close()


def test_a_change_is_whole_or_not_at_all_and_harms_nothing_gathered(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    note(catalog, "gathered")
    for error in (ValueError("ours"), StorageFailed("ours")):
        with contextlib.suppress(ValueError, StorageFailed), catalog.change() as writer:
            writer.execute("INSERT INTO fact VALUES ('half', 1)")
            raise error
    with pytest.raises(StorageFailed, match="SQLError"), catalog.change() as writer:
        writer.execute("INSERT INTO fact VALUES ('half', 1); INSERT INTO nowhere VALUES (1)")
    assert names(catalog) == {"gathered"}
    with catalog.change() as writer:
        writer.execute("INSERT INTO fact VALUES ('whole', 1)")
    assert names(catalog) == {"gathered", "whole"}
    catalog.close()


def test_a_change_within_a_change_is_an_error_in_this_program(tmp_path: Path) -> None:
    """The inner one would commit half of the outer one."""
    catalog = open_catalog(tmp_path)

    def nested() -> None:
        with catalog.change() as writer:
            writer.execute("INSERT INTO fact VALUES ('half', 1)")
            with catalog.change():
                pass

    with pytest.raises(AssertionError):
        nested()
    assert names(catalog) == set()
    catalog.close()


def test_work_that_fails_takes_nothing_of_its_neighbours_along(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path)
    with catalog.inside():
        note(catalog, "one")
        with pytest.raises(StorageFailed):
            note(catalog, "one")
        note(catalog, "two")
    catalog.settle()
    assert names(catalog) == {"one", "two"}
    catalog.close()


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
def test_rows_outlive_a_commit_that_fails(tmp_path: Path, error: type[apsw.Error]) -> None:
    with faulty_catalog() as (disk, vfs):
        catalog = open_catalog(tmp_path, disk.vfs)
        vfs.fail_at(1, error)
        with catalog.inside():
            note(catalog, "one")
            note(catalog, "two")
            with pytest.raises(CapacitordError):
                catalog.settle()
            note(catalog, "three")
        wait_for(lambda: names(catalog) == {"one", "two", "three"}, what="the rows to be committed")
        assert (tmp_path / "full").exists() is (error is apsw.FullError)
        catalog.close()
    catalog = open_catalog(tmp_path)
    assert names(catalog) == {"one", "two", "three"}
    catalog.close()


def test_after_a_failed_sync_the_whole_log_is_written_back_before_anything_counts_again(tmp_path: Path) -> None:
    """What was in the log may have a hole now; nothing behind a hole would be found after a power cut."""
    with faulty_catalog() as (disk, vfs):
        catalog = open_catalog(tmp_path, disk.vfs)
        note(catalog, "before")
        catalog.settle()
        vfs.fail_at(1, apsw.IOError, only="sync")
        with pytest.raises(StorageFailed), catalog.change() as writer:
            writer.execute("INSERT INTO fact VALUES ('failed', 1)")
        with catalog.change() as writer:
            writer.execute("INSERT INTO fact VALUES ('after', 1)")
        # The log begins anew: what was before is in the database itself.
        shutil.copy(tmp_path / "catalog.db", tmp_path / "alone.db")
        alone = Catalog(tmp_path / "alone.db", KEY, suspect=tmp_path / "x", full=(tmp_path / "y").touch)
        assert "before" in names(alone)
        assert "after" not in names(alone)
        alone.close()
        catalog.close()


def test_while_the_log_cannot_be_written_back_nothing_is_taken_in(tmp_path: Path) -> None:
    with faulty_catalog() as (disk, vfs):
        catalog = open_catalog(tmp_path, disk.vfs)
        vfs.fail_at(1, apsw.FullError, for_good=True)
        with pytest.raises(OutOfSpace), catalog.change() as writer:
            writer.execute("INSERT INTO fact VALUES ('one', 1)")
        for _ in range(3):
            with pytest.raises(OutOfSpace):
                note(catalog, "two")
        vfs.work_again()
        note(catalog, "two")
        catalog.settle()
        assert names(catalog) == {"two"}
        catalog.close()


def test_a_change_that_was_undone_leaves_no_mark_in_what_is_remembered(tmp_path: Path) -> None:
    """An image must not wait in a delivery that is taken for open and is not: nobody would ever look at it."""
    with faulty_catalog() as (disk, vfs), contextlib.closing(open_spool(tmp_path, disk=disk)) as spool:
        take(spool, number=1)
        deliver(spool)
        refuse(vfs, lambda: spool.ledger.resend(find(spool), ["pacs"], None, 1))
        take(spool, number=2)
        assert len(due(spool)) == 1
        deliver(spool)
        refuse(vfs, lambda: close_studies(spool))
        assert spool.studies.detail(find(spool), "x").study.state == "receiving"
        close_studies(spool)
        assert spool.studies.detail(find(spool), "x").study.state == "matched"
        refuse(vfs, lambda: spool.housekeeping.discard(find(spool), 1, "no"))
        take(spool, number=3)
        assert len(due(spool)) == 1


def refuse(vfs: FaultyVfs, change: Callable[[], object]) -> None:
    vfs.fail_at(1, apsw.IOError, only="sync")
    with pytest.raises(StorageFailed):
        change()
    assert vfs.struck


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir()), threading.active_count()
    with opened(tmp_path) as spool:
        take(spool)
        due(spool)
        with spool._catalog.read(), spool._catalog.read():
            pass
    assert (set(Path("/proc/self/fd").iterdir()), threading.active_count()) == before
    assert not (tmp_path / "catalog.db-wal").exists()


def test_a_newer_catalog_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as spool, spool._catalog.inside() as writer:
        writer.pragma("user_version", schema.VERSION + 1)
    with pytest.raises(StorageFailed, match="newer"):
        open_spool(tmp_path)
    assert list((tmp_path / "corrupt").iterdir()) == []


def test_nothing_of_a_patient_can_be_read_in_the_folder(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    for number in range(40):
        take(spool, number=number)
    spool.ledger.sending(due(spool), "Images are on their way.")
    copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    spool.close()
    secrets = [b"Synthetic", b"COACH-", b"ACC000001", b"1.2.3.1", b"20240229", b"pacs", b"SCANNER"]
    files = [path for root in (copy, tmp_path / "spool") for path in root.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    for path in files:
        data = path.read_bytes()
        for secret in secrets:
            assert secret not in data, path.name


def test_files_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with opened(tmp_path / "spool") as spool:
            take(spool)
            spool.settle()
            for path in [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]:
                assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path.name
    finally:
        os.umask(mask)


def test_sorting_never_spills_to_a_file(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        with spool._catalog.read() as reader:
            assert str(reader.pragma("temp_store")) == "2"
        with spool._catalog.inside() as writer:
            assert str(writer.pragma("temp_store")) == "2"
