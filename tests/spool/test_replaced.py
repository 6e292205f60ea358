"""A good copy of a damaged image goes where it is sent now; what was owed of the damaged one is settled."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacitord.model.states import DeliveryState
from capacitord.spool.failover import Failure
from capacitord.spool.ledger import Pending
from capacitord.spool.routed import Reachable, Routed
from capacitord.spool.store import Spool
from tests.spool.kit import KEY, answer, close_studies, deliver, due, find, take
from tests.spool.recount import recount


class Way:
    """Decides at once, and can be changed."""

    def __init__(self, *to: str) -> None:
        self.routed = Routed(1, to, 1)

    def open(self, root: Path) -> Spool:
        return Spool(root, KEY, reserve=0, warning=0, decide=lambda _facts, _arrival: self.routed)


def damage(spool: Spool, image: Pending) -> None:
    path, place = spool.layout.segment(image.stored.place.segment), image.stored.place
    with path.open("r+b") as file:
        file.seek(place.offset + 9000)
        file.write(b"\xff" * 64)
    assert spool.housekeeping.examine(image.image)


def states(spool: Spool) -> dict[str, tuple[DeliveryState, str]]:
    study = spool.studies.detail(find(spool), "").study
    return {each.destination: (each.state, each.reason) for each in study.deliveries}


@pytest.mark.parametrize("images", [1, 2])
def test_a_delivery_whose_damaged_image_came_again_for_another_is_not_failed(tmp_path: Path, images: int) -> None:
    way = Way("pacs")
    spool = way.open(tmp_path)
    for number in range(1, images + 1):
        take(spool, 1, number)
    damage(spool, due(spool)[0])
    deliver(spool)
    assert states(spool)["pacs"][0] is DeliveryState.FAILED
    way.routed = Routed(2, ("archive",), 1)
    take(spool, 1, 1)
    deliver(spool, "archive")
    close_studies(spool)
    delivered = (DeliveryState.DELIVERED, "")
    assert states(spool) == {"archive": delivered} | ({"pacs": delivered} if images == 2 else {})
    assert [each.study for each in spool.housekeeping.candidates().studies] == [find(spool)]
    assert spool.housekeeping.purge(find(spool), 1) == images
    recount(spool)
    spool.close()


def test_a_stand_in_that_had_the_damaged_image_is_not_failed(tmp_path: Path) -> None:
    way = Way()
    way.routed = Routed(1, ("pacs",), 1, ("backup",), 1.0)
    spool = way.open(tmp_path)
    for number in (1, 2):
        take(spool, 1, number)
    spool.settle()
    list(spool.ledger.stand_in(Failure("pacs", 5.0), Reachable(["pacs", "backup"], {"pacs": 5.0}), (1, 1.0)))
    damage(spool, due(spool, "backup")[0])
    deliver(spool, "backup")
    take(spool, 1, 1)
    deliver(spool, "pacs")
    close_studies(spool)
    assert states(spool)["backup"] == (DeliveryState.DELIVERED, "")
    assert spool.housekeeping.candidates().studies
    recount(spool)
    spool.close()


def test_a_start_settles_what_a_version_before_left(tmp_path: Path) -> None:
    way = Way("pacs")
    spool = way.open(tmp_path)
    for number in (1, 2):
        take(spool, 1, number)
    damage(spool, due(spool)[0])
    deliver(spool)
    with spool._catalog.change() as catalog:
        catalog.execute("DELETE FROM ack WHERE state = 'held'")
    spool.close()
    spool = way.open(tmp_path)
    assert states(spool)["pacs"] == (DeliveryState.DELIVERED, "")
    spool.close()


def test_what_comes_late_of_a_discarded_study_is_purged_though_its_first_delivery_was_given_up(tmp_path: Path) -> None:
    way = Way("pacs")
    spool = way.open(tmp_path)
    for number in (1, 2):
        take(spool, 1, number)
    first = spool.ledger.sending(due(spool)[:1], "On its way.")
    spool.ledger.record(answer(first), spool.tick())
    close_studies(spool)
    spool.housekeeping.discard(find(spool), 1, "A person said so.")
    way.routed = Routed(2, ("archive",), 1)
    take(spool, 1, 3)
    deliver(spool, "archive")
    close_studies(spool)
    for _ in range(2):
        assert states(spool)["pacs"][0] is DeliveryState.FAILED
        assert "discarded after 1 of its images" in states(spool)["pacs"][1]
        assert [each.study for each in spool.housekeeping.candidates().studies] == [find(spool)]
        spool.close()
        spool = way.open(tmp_path)
    assert spool.housekeeping.purge(find(spool), 1) == 1
    recount(spool)
    spool.close()
