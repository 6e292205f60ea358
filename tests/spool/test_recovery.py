"""What a power cut leaves: objects of now, and a catalog of a moment ago. Everything acknowledged is found."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from tests.spool.faulty import FaultyDisk
from tests.spool.kit import (
    LARGE,
    SMALL,
    as_after_a_kill,
    close_studies,
    content,
    datasets,
    deliver,
    due,
    find,
    open_spool,
    opened,
    parts_left,
    sop_uid,
    take,
)


def test_a_catalog_of_any_earlier_moment_will_do(tmp_path: Path) -> None:
    """Small and large images, several scanners, several segments; the catalog's log is cut off at many places."""
    root = tmp_path / "spool"
    spool = open_spool(root, disk=FaultyDisk())
    sizes = [SMALL, LARGE - 1, LARGE, 700, LARGE - 1, 2 * LARGE]
    take(spool, 9, 0)
    spool.settle()
    moments: list[Path] = []

    def send(study: int) -> None:
        for number in range(12):
            take(spool, study, number, size=sizes[(number + study) % len(sizes)])

    threads = [threading.Thread(target=send, args=(study,)) for study in (1, 2, 3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        moment = tmp_path / f"catalog-{len(moments)}"
        moment.mkdir()
        with spool._catalog.inside():
            for name in ("catalog.db", "catalog.db-wal"):
                shutil.copy(root / name, moment / name)
        moments.append(moment)
        threads[0].join(0.02)
    spool.close()
    assert len(moments) > 3
    for moment in moments[:: max(1, len(moments) // 12)]:
        copy = as_after_a_kill(root, tmp_path / "copy")
        for part in copy.glob("catalog.*"):
            part.unlink()
        for part in moment.iterdir():
            shutil.copy(part, copy / part.name)
        with opened(copy) as spool:
            for study in (1, 2, 3):
                expected = {
                    sop_uid(study, n): content(sop_uid(study, n), sizes[(n + study) % len(sizes)]) for n in range(12)
                }
                assert datasets(spool, study) == expected
            assert spool.report.corrupt == spool.report.removed == 0
            assert spool.counts().images == len(due(spool)) == 37
        shutil.rmtree(copy)


def test_what_was_being_written_is_cleared_away_and_a_torn_object_is_kept_apart(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for number in range(3):
            take(spool, number=number)
        torn = due(spool)[2]
    (tmp_path / "catalog.db").unlink()
    (tmp_path / "incoming" / "0123.part").write_bytes(b"half an image")
    place = torn.stored.place
    with (tmp_path / "objects/00/00/00000000.seg").open("r+b") as file:
        file.truncate(place.offset + 8192)
    with opened(tmp_path) as spool:
        assert (spool.report.recovered, spool.report.removed, spool.report.corrupt) == (2, 1, 1)
        assert set(datasets(spool)) == {sop_uid(1, 0), sop_uid(1, 1)}
        assert parts_left(tmp_path) == []
        assert [path.name for path in spool.layout.corrupt.iterdir()] == [f"{torn.object_id.hex()}.seal"]
    with opened(tmp_path) as spool:
        assert spool.report.corrupt == spool.report.recovered == 0


def test_what_the_power_cut_short_is_no_damage_and_takes_no_room(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    with opened(root) as spool:
        for number in range(3):
            take(spool, number=number)
        spool.settle()
        before = {name: (root / name).read_bytes() for name in ("catalog.db", "catalog.db-wal")}
        take(spool, number=3)
        (last,) = (image for image in due(spool) if image.sop_instance_uid == sop_uid(1, 3))
        copy = as_after_a_kill(root, tmp_path / "copy")
    for name, data in before.items():
        (copy / name).write_bytes(data)
    segment, place = copy / "objects/00/00/00000000.seg", last.stored.place
    with segment.open("r+b") as file:
        file.seek(place.offset + 8192)
        file.write(bytes(place.size - 8192))
    with opened(copy) as spool:
        assert (spool.report.recovered, spool.report.removed, spool.counts().corrupt) == (0, 1, 0)
        assert any("being written" in note for note in spool.report.notes)
        assert segment.stat().st_size == place.offset
        assert set(datasets(spool)) == {sop_uid(1, number) for number in range(3)}
        assert [path.name for path in spool.layout.corrupt.iterdir()] == [f"{last.object_id.hex()}.seal"]
        deliver(spool)
        close_studies(spool)
        for study in spool.housekeeping.candidates().studies:
            spool.housekeeping.purge(study.study, 1)
        spool.housekeeping.release_segments()
        assert not segment.exists()


def test_what_is_found_again_is_routed_and_its_study_arrives_again(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=1)
        deliver(spool)
        close_studies(spool)
        earlier = {name: (tmp_path / name).read_bytes() for name in ("catalog.db", "catalog.db-wal")}
        take(spool, number=2)
    for name, data in earlier.items():
        (tmp_path / name).write_bytes(data)
    with opened(tmp_path, destinations=("backup",)) as spool:
        assert spool.report.recovered == 1
        assert due(spool, "pacs") == []
        assert [image.sop_instance_uid for image in due(spool, "backup")] == [sop_uid(1, 2)]
        assert spool.studies.detail(find(spool), "x").study.state == "receiving"
        close_studies(spool)
        assert spool.studies.detail(find(spool), "x").study.state == "matched"


def test_the_same_image_found_twice_is_filed_once_and_another_is_in_conflict(tmp_path: Path) -> None:
    """An image that was refused after it was durable, and sent again: both lie on the disk."""
    with opened(tmp_path / "one") as spool:
        take(spool, number=1)
        take(spool, number=2)
    with opened(tmp_path / "two") as spool:
        take(spool, number=1)
        take(spool, number=2, variant=1)
    first, second = (tmp_path / name / "objects/00/00/00000000.seg" for name in ("one", "two"))
    with first.open("ab") as file:
        file.write(second.read_bytes())
    (tmp_path / "one" / "catalog.db").unlink()
    with opened(tmp_path / "one") as spool:
        assert spool.report.recovered == 3
        assert spool.counts()[1:6] == (3, 3 * SMALL, 2, 1, 0)
