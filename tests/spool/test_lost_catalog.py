"""A catalog that is lost or damaged is rebuilt from the objects; with a wrong key nothing is touched."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from capacitord.errors import CapacitordError, DamagedObject, StorageFailed, TryAgain, WrongKey
from capacitord.seal.keys import SiteKey
from capacitord.spool.store import Spool
from tests.spool.kit import (
    LARGE,
    SMALL,
    as_after_a_kill,
    close_studies,
    content,
    datasets,
    deliver,
    due,
    open_spool,
    opened,
    sop_uid,
    take,
)

OTHER_KEY = SiteKey("st-marys", bytes(32))
PAGE = 4096
EXPECTED = {sop_uid(1, n): content(sop_uid(1, n), LARGE if n % 4 == 0 else SMALL) for n in range(12)}


def fill(root: Path) -> None:
    """Make a spool of one study of twelve images, all delivered, none purged."""
    with opened(root) as spool:
        for number in range(12):
            take(spool, number=number, size=LARGE if number % 4 == 0 else SMALL)
        close_studies(spool)
        deliver(spool)


def fingerprint(root: Path) -> dict[str, str]:
    """Return a digest of every file in a folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def crash(root: Path, copy: Path) -> None:
    """Make a copy of a folder as a kill would leave it: the log not written back."""
    spool = open_spool(root)
    take(spool, 2, 1)
    spool.settle()
    as_after_a_kill(root, copy)
    spool.close()


def scribble(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 64)


def check_rebuilt(spool: Spool) -> None:
    assert datasets(spool) == EXPECTED
    assert spool.report.recovered >= len(EXPECTED)
    assert "It is rebuilt from the sealed objects" in spool.report.notes[0]
    # What was acknowledged is not known any more: it is sent again, and known to be a repetition.
    assert all(image.repeated for image in due(spool))
    assert len(due(spool)) == len(EXPECTED)


def test_without_a_catalog_everything_is_found_again(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        check_rebuilt(spool)
        assert "was missing" in spool.report.notes[0]
        assert list(spool.layout.corrupt.iterdir()) == []
        study = spool.studies.detail(1, "x").study
        assert (study.patient_name, study.images, study.modalities) == ("Synthetic^Patient1", 12, ("CT",))
    with opened(tmp_path) as spool:
        assert spool.report.notes == []
        assert spool.report.recovered == 0


@pytest.mark.parametrize("offset", [0, 100])
def test_a_catalog_that_does_not_open_is_set_aside_and_built_anew(tmp_path: Path, offset: int) -> None:
    fill(tmp_path)
    scribble(tmp_path / "catalog.db", offset)
    damaged = (tmp_path / "catalog.db").read_bytes()
    with opened(tmp_path) as spool:
        check_rebuilt(spool)
        (aside,) = spool.layout.corrupt.iterdir()
        assert aside.name in spool.report.notes[0]
        assert aside.read_bytes() == damaged


def test_damage_further_inside_shows_when_it_is_read_and_the_next_start_mends_it(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "catalog.db"
    whole, noticed = path.read_bytes(), 0
    for page in range(1, len(whole) // PAGE):
        scribble(path, page * PAGE + 100)
        noticed += opens_at_last(tmp_path)
        for part in tmp_path.glob("catalog.*"):
            part.unlink()
        path.write_bytes(whole)
    assert noticed > 10


def opens_at_last(root: Path) -> bool:
    """Open the spool until everything can be read, twice at most; return whether it was rebuilt."""
    for _ in range(3):
        with contextlib.suppress(DamagedObject), opened(root) as spool:
            read_everything(spool)
            assert datasets(spool) == EXPECTED
            return bool(spool.report.notes)
    pytest.fail("the spool does not come back")


def read_everything(spool: Spool) -> None:
    datasets(spool)
    due(spool)
    spool.counts()
    spool.studies.detail(1, "x")
    spool.housekeeping.candidates()


def test_an_empty_file_in_place_of_the_catalog_is_a_new_one(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "catalog.db").write_bytes(b"")
    with opened(tmp_path) as spool:
        assert datasets(spool) == EXPECTED


def test_a_log_without_its_database_is_set_aside(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    crash(tmp_path / "spool", tmp_path / "copy")
    (tmp_path / "copy" / "catalog.db").unlink()
    with opened(tmp_path / "copy") as spool:
        assert datasets(spool) == EXPECTED
        assert [path.suffix for path in spool.layout.corrupt.iterdir()] == [".db-wal"]


def test_a_wrong_key_opens_nothing_and_touches_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    crash(tmp_path / "spool", tmp_path / "copy")
    for root in (tmp_path / "spool", tmp_path / "copy"):
        for removed in ((), ("format",), ("catalog.db",)):
            for name in removed:
                (root / name).unlink()
            before = fingerprint(root)
            with pytest.raises(WrongKey) as refused:
                open_spool(root, key=OTHER_KEY)
            assert refused.value.hint
            assert fingerprint(root) == before
    with opened(tmp_path / "copy") as spool:
        assert datasets(spool) == EXPECTED


def test_a_wrong_key_for_a_spool_whose_images_have_all_left_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    before = fingerprint(tmp_path)
    with pytest.raises(WrongKey):
        open_spool(tmp_path, key=OTHER_KEY)
    assert fingerprint(tmp_path) == before
    (tmp_path / "format").unlink()
    with pytest.raises(WrongKey):
        open_spool(tmp_path, key=OTHER_KEY)
    with opened(tmp_path) as spool:
        assert spool.report.notes == []


def test_the_file_that_names_the_format_is_written_again(tmp_path: Path) -> None:
    fill(tmp_path)
    text = (tmp_path / "format").read_text()
    for damage in (b"", b"capacitord spool 1\nsite key 00"):
        (tmp_path / "format").write_bytes(damage)
        with opened(tmp_path) as spool:
            assert len(spool.report.notes) == 1
            assert due(spool) == []
        assert (tmp_path / "format").read_text() == text


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "format"
    path.write_text(path.read_text().replace("spool 1", "spool 2"))
    before = fingerprint(tmp_path)
    with pytest.raises(StorageFailed, match="newer"):
        open_spool(tmp_path)
    assert fingerprint(tmp_path) == before


def test_a_spool_is_open_once(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(TryAgain):
        open_spool(tmp_path)
    with opened(tmp_path):
        pass


def test_strange_files_do_not_matter(tmp_path: Path) -> None:
    fill(tmp_path)
    objects = tmp_path / "objects"
    (objects / "note.txt").write_text("hello")
    (objects / "zz").mkdir()
    (objects / "00" / "00" / "zzzzzzzz.seg").write_bytes(b"")
    (objects / "00" / "00" / "00000007.seg.bak").write_bytes(b"")
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        assert datasets(spool) == EXPECTED


def test_one_bad_header_hides_nothing_behind_it(tmp_path: Path) -> None:
    """Without a catalog: whatever byte of a header is damaged, the other images are found."""
    fill(tmp_path)
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        spool.settle()
        (image, *_) = [one for one in spool.studies.sendable(1) if one.sop_instance_uid == sop_uid(1, 5)]
    path, place = tmp_path / "objects/00/00" / f"{image.stored.place.segment:08x}.seg", image.stored.place
    for offset in (0, 13, 30, 40, 47, 60, 4000, 4096, place.size - 4096):
        whole = path.read_bytes()
        scribble(path, place.offset + offset)
        (tmp_path / "catalog.db").unlink()
        with opened(tmp_path) as spool:
            found = datasets(spool)
            assert found == {uid: data for uid, data in EXPECTED.items() if uid != sop_uid(1, 5)}
        path.write_bytes(whole)


def test_opening_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(CapacitordError) as refused:
        open_spool(tmp_path / "spool")
    assert refused.value.hint
