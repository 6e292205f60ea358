"""The worklist in the catalog: a whole list takes the place of the one before, or nothing does."""

from __future__ import annotations

import itertools
from pathlib import Path

import apsw
import msgspec

from capacitord.errors import CapacitordError
from capacitord.model.worklist import EntryKey, Listed
from capacitord.model.worklist_cache import Cache, Held, Rhythm, failed, merged, pruned
from capacitord.spool.catalog import fetch_value
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import as_after_a_kill, close_studies, deliver, facts, open_spool, opened, study_uid, take

EXPLICIT = "1.2.840.10008.1.2.1"
RIS = "RIS at 10.0.0.1:104"


def entry(number: int, *, says: bytes = b"", study: str = "", accession: str = "") -> Listed:
    key = EntryKey(f"S{number}", study, accession or f"A{number}", f"R{number}", "Müller")
    return Listed(key, b"entry %d" % number + says, EXPLICIT)


def rows(spool: Spool) -> int:
    with spool._catalog.read() as catalog:
        return int(fetch_value(catalog, "SELECT count(*) FROM worklist"))


def test_before_the_first_list_there_is_none(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        assert spool.worklist.load() == Cache()
        spool.worklist.save(failed(Cache(), "nobody is there", 5.0))
        assert spool.worklist.load() == Cache()


def test_a_list_is_kept_with_all_that_vanished_from_it_and_survives_a_kill(tmp_path: Path) -> None:
    first = merged(Cache(), [entry(1), entry(2), entry(3)], 100.0, RIS)
    second = merged(first, [entry(2, says=b" anew"), entry(4)], 200.0, RIS, lambda held: held.key.step == "S3")
    with opened(tmp_path / "spool") as spool:
        spool.worklist.save(first)
        assert spool.worklist.load() == msgspec.structs.replace(first, tried=None)
        spool.worklist.save(second)
        assert set(spool.worklist.entries()) == set(second.entries)
        copy = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    with opened(copy) as spool:
        loaded = spool.worklist.load()
        assert (loaded.fetched, loaded.source, loaded.tried, loaded.failures) == (200.0, RIS, None, 0)
        assert {held.key.step: held for held in loaded.entries} == {held.key.step: held for held in second.entries}
        assert {held.key.step: held.left for held in loaded.vanished()} == {"S1": False, "S3": True}
        # The next one is compared with what is there, and not with what this life has saved.
        third = merged(loaded, [entry(1)], 300.0, RIS)
        spool.worklist.save(third)
        assert {held.key.step for held in spool.worklist.load().present()} == {"S1"}


def test_what_is_forgotten_is_gone_and_a_failure_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        cache = merged(merged(Cache(), [entry(1), entry(2)], 100.0), [entry(2)], 200.0)
        spool.worklist.save(cache)
        assert rows(spool) == 2
        spool.worklist.save(failed(cache, "it is down", 300.0))
        assert spool.worklist.load().fetched == 200.0
        spool.worklist.save(pruned(cache, 10.0**9, Rhythm(steady=0), spool.worklist.referred))
        assert rows(spool) == 1


def test_what_a_study_that_is_here_may_refer_to_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, 1)
        accession = facts(1).accession_number
        by_study = EntryKey("", study_uid(1), "", "", "")
        by_accession = EntryKey("", "9.9", accession, "", "")
        other = EntryKey("", "9.9", "", "", "COACH-000001")
        assert [spool.worklist.referred(key) for key in (by_study, by_accession, other)] == [True, True, False]
        listed = [entry(1, study=study_uid(1)), entry(2, accession=accession), entry(3)]
        gone = merged(merged(Cache(), listed, 100.0), [], 200.0)
        kept = pruned(gone, 10.0**9, Rhythm(steady=0), spool.worklist.referred)
        assert {held.key.step for held in kept.entries} == {"S1", "S2"}
        close_studies(spool)
        deliver(spool)
        spool.housekeeping.purge(spool.studies.find(study_uid(1))[0], 1)
        assert not any(spool.worklist.referred(key) for key in (by_study, by_accession))


def test_a_disk_that_fails_leaves_the_whole_list_before_or_the_whole_new_one(tmp_path: Path) -> None:
    first = merged(Cache(), [entry(number) for number in range(60)], 100.0, RIS)
    second = merged(first, [entry(number, says=bytes(300)) for number in range(30, 90)], 200.0, RIS)
    refused = 0
    for step in itertools.count(1):
        root = tmp_path / str(step)
        with faulty_catalog() as (disk, vfs):
            spool = open_spool(root, disk=disk)
            spool.worklist.save(first)
            vfs.fail_at(step, apsw.IOError)
            try:
                spool.worklist.save(second)
            except CapacitordError:
                refused += 1
                with opened(as_after_a_kill(root, tmp_path / f"{step} killed")) as killed:
                    assert steps(killed) in (set(first.entries), set(second.entries))
                vfs.work_again()
                spool.worklist.save(second)
            struck = vfs.struck
            vfs.work_again()
            spool.close()
        with opened(root) as again:
            assert steps(again) == set(second.entries)
        if not struck:
            break
    assert refused


def steps(spool: Spool) -> set[Held]:
    return set(spool.worklist.entries())
