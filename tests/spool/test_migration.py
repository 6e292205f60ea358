"""An old catalog becomes one of this version in one transaction, and is then as one that was made anew."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import apsw
import pytest

from capacitord.errors import CapacitordError
from capacitord.model.states import AckState
from capacitord.spool import schema
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.disk import Disk
from capacitord.spool.routed import Standing
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import close_studies, deliver, due, find, open_spool, opened, take
from tests.spool.old.make import DESTINATIONS
from tests.spool.recount import recount

OLD = Path(__file__).parent / "old"


def old(folder: Path, number: int = 1) -> Path:
    shutil.copytree(OLD / f"v{number}", folder)
    return folder


def columns(spool: Spool) -> dict[str, set[tuple[object, ...]]]:
    """Return every table's columns: name, type, NOT NULL, default, key, hidden. Their order is no matter."""
    with spool._catalog.read() as catalog:
        tables = [name for (name,) in fetch(catalog, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: {row[1:] for row in fetch(catalog, f"PRAGMA table_xinfo({name})")} for name in tables}


def made_of(spool: Spool, kind: str) -> dict[str, str]:
    with spool._catalog.read() as catalog:
        rows = fetch(catalog, "SELECT name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL", (kind,))
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows}


def version(spool: Spool) -> int:
    with spool._catalog.read() as catalog:
        return int(fetch_value(catalog, "PRAGMA user_version"))


@pytest.mark.parametrize("number", [1, 2])
def test_a_catalog_that_was_migrated_is_as_one_that_was_made_anew(tmp_path: Path, number: int) -> None:
    with opened(old(tmp_path / "old", number), destinations=DESTINATIONS) as migrated, opened(tmp_path / "new") as new:
        assert version(migrated) == version(new) == schema.VERSION
        assert columns(migrated) == columns(new)
        for kind in ("index", "trigger"):
            assert made_of(migrated, kind) == made_of(new, kind)
        with migrated._catalog.read() as catalog:
            assert fetch(catalog, "PRAGMA integrity_check") == [("ok",)]


def test_what_was_decided_before_stays_decided(tmp_path: Path) -> None:
    with opened(old(tmp_path / "old"), destinations=DESTINATIONS) as spool:
        with spool._catalog.read() as catalog:
            assert fetch(catalog, "SELECT DISTINCT routing, route, held FROM image") == [(Standing.DECIDED, None, "")]
        assert spool.decisions.open(-1, 9) == []
        assert {delivery.priority for delivery in spool.studies.detail(find(spool, 2), "").study.deliveries} == {
            "routine"
        }
        recount(spool)
        before = len(due(spool))
        # What comes now meets what was there: a late image of a study that was delivered.
        take(spool, 2, 9)
        assert len(due(spool)) == before + 1
        deliver(spool)
        deliver(spool, "backup")
        close_studies(spool)
        assert {ack.state for image in spool.studies.detail(find(spool, 2), "").images for ack in image.acks} == {
            AckState.DONE
        }
        recount(spool)


def open_with(root: Path, disk: Disk) -> Spool | None:
    try:
        return open_spool(root, destinations=DESTINATIONS, disk=disk)
    except CapacitordError:
        return None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("only", ["write", "sync"])
def test_a_migration_that_is_cut_short_leaves_a_catalog_of_the_version_before(
    tmp_path: Path, only: str, number: int
) -> None:
    cut = 0
    for step in itertools.count(1):
        root = old(tmp_path / str(step), number)
        with faulty_catalog() as (disk, vfs):
            vfs.fail_at(step, apsw.IOError, only=only)
            spool = open_with(root, disk)
            struck = vfs.struck
            if spool is not None:
                spool.close()
        cut += spool is None
        if not struck:
            break
        with opened(root, destinations=DESTINATIONS) as again:
            assert again.counts()[:2] == (6, 8)
            assert len(due(again)) == 3
            assert version(again) == schema.VERSION
            recount(again)
    assert cut
