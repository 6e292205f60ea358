"""What the box did by itself is to be told of from the moment it is done, and until the audit log has it."""

from __future__ import annotations

import itertools
from pathlib import Path

import apsw

from capacitord.errors import CapacitordError
from capacitord.model.matching import Identity
from capacitord.model.review import Record, State
from capacitord.spool.decisions import Decided
from capacitord.spool.outbox import Deed
from capacitord.spool.review import Reviewed
from capacitord.spool.routed import Routed
from capacitord.spool.store import Spool
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import as_after_a_kill, find, open_spool, opened, take

NOBODY = Identity()


def let_through(spool: Spool, *to: str) -> None:
    """File that study 1, of which image 0 was taken in, goes somewhere though nothing matches it."""
    study = find(spool, 1)
    seen = spool.review.record(study)
    record = Record(State.LET_THROUGH, NOBODY, to=to)
    deed = Deed("study.let-through", ("abc1234567", *to), f"to {to}")
    decided = Decided(study << 24, 1, Routed(1, to), reviewed=Reviewed(seen, record, NOBODY, deed=deed))
    assert spool.decisions.file([decided]).deeds == 1


def told(spool: Spool) -> list[tuple[str, ...]]:
    return [each.deed.subjects for each in spool.outbox.oldest(9)]


def test_rows_outlive_a_kill_in_their_order_until_they_are_told(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        take(spool, number=0)
        spool.settle()
        for name in ("a", "b", "c"):
            let_through(spool, name)
        after = as_after_a_kill(tmp_path / "spool", tmp_path / "copy")
    with opened(after) as spool:
        assert told(spool) == [("abc1234567", name) for name in "abc"]
        first, second, third = spool.outbox.oldest(9)
        assert spool.outbox.oldest(2) == [first, second]
        assert (first.deed.action, first.deed.detail) == ("study.let-through", "to ('a',)")
        spool.outbox.told([second.id, "of another catalog"])
        assert spool.outbox.oldest(9) == [first, third]
        let_through(spool, "d")
        assert told(spool)[2] == ("abc1234567", "d")
        assert len({each.id for each in (first, second, *spool.outbox.oldest(9))}) == 4


def test_a_decision_that_somebody_else_was_ahead_of_tells_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        take(spool, number=0)
        spool.settle()
        let_through(spool, "a")
        stale = Reviewed(None, Record(State.LET_THROUGH, NOBODY), NOBODY, deed=Deed("study.let-through", (), ""))
        assert spool.decisions.file([Decided(find(spool, 1) << 24, 1, Routed(1), reviewed=stale)]).deeds == 0
        assert len(told(spool)) == 1


def test_a_deed_and_its_row_are_there_together_or_not_at_all(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        take(spool, number=0)
    failed = 0
    for step in itertools.count(1):
        root = as_after_a_kill(tmp_path / "spool", tmp_path / str(step))
        with opened(root):
            pass
        with faulty_catalog() as (disk, vfs):
            spool = open_spool(root, disk=disk)
            vfs.fail_at(step, apsw.IOError)
            try:
                let_through(spool, "a")
            except CapacitordError:
                failed += 1
            struck = vfs.struck
            spool.close()
        with opened(root) as again:
            assert (again.review.record(find(again, 1)) is not None) == bool(told(again))
        if not struck:
            break
    assert failed
