"""A spool that cannot be opened: the supervisor hears why, with the next step, before the runtime ends."""

from __future__ import annotations

from pathlib import Path

from capacitord.link import messages as link
from tests.site.driver import Supervisor
from tests.site.stock import open_spool


def refused(folder: Path, spool: Path) -> link.Failed:
    """Return what a runtime says that is to open this spool."""
    with Supervisor(folder) as supervisor:
        supervisor.spool = spool
        supervisor.tell_start()
        failed = supervisor.wait_for(link.Failed)
        assert supervisor.wait() == 1
        assert not supervisor.of(link.Ready)
        return failed


def test_a_catalog_that_cannot_be_opened(tmp_path: Path) -> None:
    open_spool(tmp_path / "spool").close()
    for path in (tmp_path / "spool").glob("catalog.db*"):
        path.unlink()
    (tmp_path / "spool" / "catalog.db").mkdir()
    failed = refused(tmp_path, tmp_path / "spool")
    assert failed.error.reference == "storage-failed"
    assert failed.error.hint


def test_what_nobody_foresaw_is_told_as_well(tmp_path: Path) -> None:
    failed = refused(tmp_path, Path("no path has a \0 in it"))
    assert failed.error.reference == "runtime-failed"
    assert "unforeseen" in failed.error.message
    assert "journalctl" in failed.error.hint
