"""Spools of earlier versions go on loading, with all that is in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from capacitord.api.messages import StudyDelivery
from capacitord.model.states import AckState, DeliveryState, StudyState
from capacitord.spool.store import Spool
from tests.spool.kit import content, datasets, deliver, due, find, opened, sop_uid, take
from tests.spool.old.make import DESTINATIONS, LONG, make
from tests.spool.recount import recount

OLD = Path(__file__).parent / "old"


def copy(version: str, folder: Path) -> Path:
    """Copy an old spool to where it may be changed; one version is what this one writes."""
    if version == "of now":
        make(folder / "spool")
    else:
        shutil.copytree(OLD / version, folder / "spool")
        # Folders in which nothing is are not checked in.
        assert not (folder / "spool" / "incoming").exists()
    return folder / "spool"


def delivery(spool: Spool, study: int, destination: str) -> StudyDelivery:
    deliveries = spool.studies.detail(find(spool, study), "x").study.deliveries
    return next(one for one in deliveries if one.destination == destination)


@pytest.mark.parametrize("version", ["v1", "v2", "of now"])
def test_an_old_spool_opens_with_all_that_is_in_it(tmp_path: Path, version: str) -> None:
    with opened(copy(version, tmp_path), destinations=DESTINATIONS) as spool:
        assert spool.report.notes == []
        assert spool.counts()[:4] == (6, 8, LONG + 3 * 500 + 2 * 700 + 500, 3)
        assert datasets(spool, 1) == datasets(spool, 4) == {}
        assert datasets(spool, 2) == {
            sop_uid(2, 1): content(sop_uid(2, 1), LONG),
            sop_uid(2, 2): content(sop_uid(2, 2), 500),
        }
        assert datasets(spool, 6) == {sop_uid(6, 1): b""}
        assert len(spool.studies.detail(find(spool, 3), "x").images) == 3
        states = {n: spool.studies.detail(find(spool, n), "x").study.state for n in range(1, 7)}
        assert states == {
            **dict.fromkeys((1, 2, 3, 5), StudyState.MATCHED),
            4: StudyState.DISCARDED,
            6: StudyState.RECEIVING,
        }
        assert delivery(spool, 2, "pacs").state is DeliveryState.DELIVERED
        assert delivery(spool, 3, "pacs").doubtful == 1
        assert (delivery(spool, 5, "pacs").state, delivery(spool, 5, "pacs").refused) == (DeliveryState.FAILED, 2)
        assert spool.ledger.paused() == {"backup"}
        (refused, _) = spool.studies.detail(find(spool, 5), "x").images
        assert {(ack.destination, ack.state) for ack in refused.acks} == {
            ("backup", AckState.DONE),
            ("pacs", AckState.REFUSED),
        }
        recount(spool)
        assert {image.sop_instance_uid for image in due(spool)} == {sop_uid(3, 1), sop_uid(3, 2), sop_uid(6, 1)}
        take(spool, 7, 1)
        deliver(spool)
        assert due(spool) == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_old_spool_without_its_catalog_is_read_from_its_objects(tmp_path: Path, version: str) -> None:
    root = copy(version, tmp_path)
    (root / "catalog.db").unlink()
    with opened(root, destinations=DESTINATIONS) as spool:
        # What was purged is still there, and what was discarded is not.
        assert spool.report.recovered == 10
        assert len(datasets(spool, 1)) == 2
        assert spool.counts().conflicts == 1


def test_the_smallest_spool_opens(tmp_path: Path) -> None:
    """A folder in which nothing was ever taken in, as version 1 leaves it."""
    with opened(tmp_path / "spool"):
        pass
    shutil.rmtree(tmp_path / "spool" / "objects")
    shutil.rmtree(tmp_path / "spool" / "incoming")
    with opened(tmp_path / "spool") as spool:
        assert tuple(spool.counts()) == (0,) * 10
