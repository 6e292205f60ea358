"""Promises about the disk that belong to no one part: what is synced, what is kept, what a rebuild brings back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.model.outcome import Verdict
from capacitord.spool.store import Spool
from tests.spool.faulty import FaultyDisk, faulty_catalog
from tests.spool.kit import (
    LARGE,
    SMALL,
    answer,
    arrival,
    close_studies,
    content,
    deliver,
    due,
    facts,
    find,
    open_spool,
    opened,
    sop_uid,
    take,
)

CHANGES: dict[str, Callable[[Spool], object]] = {
    "sending": lambda spool: spool.ledger.sending(due(spool), "Images are on their way."),
    "not sent": lambda spool: spool.ledger.not_sent(due(spool)),
    "done": lambda spool: spool.ledger.record(answer(due(spool)[:1]), 1.0),
    "refused": lambda spool: spool.ledger.record(answer(due(spool)[:1], Verdict.NEEDS_PERSON, 0xC000), 1.0),
    "later": lambda spool: spool.ledger.record(answer(due(spool)[:1], Verdict.LATER, None), 1.0),
    "defer": lambda spool: spool.ledger.defer("pacs", "No answer.", 1),
    "requeue": lambda spool: spool.ledger.requeue("pacs"),
    "resend": lambda spool: spool.ledger.resend(find(spool), ["backup"], None, 1),
    "pause": lambda spool: spool.ledger.pause("pacs", paused=True),
    "discard": lambda spool: spool.housekeeping.discard(find(spool), 1, "Discarded by an operator."),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_ledger_is_synced_before_it_returns(tmp_path: Path, name: str) -> None:
    with faulty_catalog() as (disk, vfs):
        spool = open_spool(tmp_path, disk=disk)
        for number in (1, 2, 3):
            take(spool, number=number)
        close_studies(spool)
        spool.ledger.sending(due(spool)[:2], "Images are on their way.")
        spool.settle()
        before, writes = vfs.steps["sync"], vfs.steps["write"]
        CHANGES[name](spool)
        assert vfs.steps["write"] > writes
        assert vfs.steps["sync"] > before
        spool.close()


def test_nothing_in_corrupt_is_ever_deleted(tmp_path: Path) -> None:
    with opened(tmp_path, disk=FaultyDisk()) as spool:
        for number in (1, 2, 3):
            take(spool, number=number)
        take(spool, 2, 1, size=LARGE)
        victim = due(spool)[0].stored.place
    path = tmp_path / "objects/00/00" / f"{victim.segment:08x}.seg"
    whole = path.read_bytes()
    path.write_bytes(whole[: victim.offset + 5000] + bytes(8) + whole[victim.offset + 5008 :])
    (tmp_path / "catalog.db").write_bytes(b"\xa5" * 4096)
    kept: dict[str, bytes] = {}

    def look() -> None:
        now = {file.name: file.read_bytes() for file in (tmp_path / "corrupt").iterdir()}
        assert kept.items() <= now.items()
        kept.update(now)

    with opened(tmp_path) as spool:
        look()
        assert {Path(name).suffix for name in kept} == {".db", ".seal"}
        deliver(spool)
        close_studies(spool)
        for candidate in spool.housekeeping.candidates().studies:
            spool.housekeeping.purge(candidate.study, 1)
        spool.housekeeping.release_segments()
        look()
        assert {Path(name).suffix for name in kept} == {".db", ".seal", ".seg"}, "something in it was never read"
        spool.housekeeping.discard(find(spool), 1, "Discarded by an operator.")
        spool.housekeeping.compact()
        look()
    (tmp_path / "catalog.db").unlink()
    for _ in range(2):
        with opened(tmp_path):
            look()


def test_a_rebuilt_catalog_knows_all_of_an_image_that_the_first_one_knew(tmp_path: Path) -> None:
    def told(spool: Spool) -> m.StudyDetail:
        spool.settle()
        detail = spool.studies.detail(find(spool), "x")
        images = tuple(msgspec.structs.replace(image, acks=()) for image in detail.images)
        study = msgspec.structs.replace(detail.study, state="", reason="", deliveries=(), closed_by="", closed_at=None)
        return msgspec.structs.replace(detail, study=study, images=images)

    with opened(tmp_path) as spool:
        for number, size in ((1, SMALL), (2, LARGE), (3, 0)):
            take(spool, number=number, size=size)
        take(spool, number=1, variant=1)
        close_studies(spool)
        before = told(spool)
    (tmp_path / "catalog.db").unlink()
    with opened(tmp_path) as spool:
        assert told(spool) == before


@pytest.mark.parametrize("size", [SMALL, LARGE - 1, 3 * LARGE])
def test_no_plain_byte_of_an_image_is_on_the_disk_while_it_arrives_or_after(tmp_path: Path, size: int) -> None:
    whole = content(sop_uid(1, 1), size)
    pieces = [whole[at : at + 24] for at in range(0, size - 24, size // 16)]

    def look() -> None:
        for path in tmp_path.rglob("*"):
            data = path.read_bytes() if path.is_file() and path.name != "ballast" else b""
            assert not any(piece in data for piece in pieces), path.name

    with opened(tmp_path) as spool:
        incoming = spool.begin(arrival())
        for at in range(0, size, size // 4):
            incoming.write(memoryview(whole)[at : at + size // 4])
            look()
        incoming.commit(facts(1, 1))
        spool.settle()
        look()
        spool.housekeeping.examine(due(spool)[0].image)
        deliver(spool)
    look()
