"""What leaves first, where the profile names attributes for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from capacitord.model.conditions import CalledBy, Exactly, Values
from capacitord.model.routes import Priority
from capacitord.spool.failover import Failure
from capacitord.spool.routed import Reachable
from tests.site.pacs import Pacs
from tests.site.rig import PATIENCE, destination, rig
from tests.site.routes import Box, box, put_image, route, routed_spool, running, version
from tests.site.stock import waiting
from tests.wait import wait_for

STAT = route("pacs", when=CalledBy(Values((Exactly("STAT"),))), priority=Priority.STAT)
BY_NUMBER = ("SeriesNumber", "InstanceNumber")


def fill(one: Box) -> list[tuple[bool, int, int, str]]:
    """Take in three studies in a random order; return what identifies each image: urgent, series, number, UID."""
    made = [(study == 2, number % 3, number, f"1.2.{study}") for study in range(3) for number in range(1, 8)]
    random.Random(1).shuffle(made)
    for urgent, series, number, uid in made:
        put_image(one.spool, uid, number, SeriesNumber=series, calling_ae="STAT" if urgent else "SCANNER")
    one.settled()
    return made


def uids(images: list[tuple[bool, int, int, str]]) -> list[str]:
    return [f"{study}.{number}" for _, _, number, study in images]


@pytest.mark.parametrize("order", [BY_NUMBER, ("priority", *BY_NUMBER), ("SeriesNumber", "priority", "InstanceNumber")])
def test_images_leave_in_the_order_of_their_attributes(tmp_path: Path, order: tuple[str, ...]) -> None:
    with box(tmp_path, version(7, STAT, route("pacs", "backup"), order=order)) as one:
        made = fill(one)

        def rank(image: tuple[bool, int, int, str]) -> tuple[object, ...]:
            urgent, series, number, _ = image
            if order[0] == "SeriesNumber" and "priority" in order:
                return series, not urgent, number
            return not urgent, series, number

        found = waiting(one.spool)
        ranks = {f"{image[3]}.{image[2]}": rank(image) for image in made}
        assert [ranks[uid] for uid in found] == sorted(ranks.values())
        assert sorted(found) == sorted(uids(made))
        assert sorted(waiting(one.spool, "backup")) == sorted(uids([image for image in made if not image[0]]))


def test_a_new_version_sorts_what_waits_anew(tmp_path: Path) -> None:
    with box(tmp_path, version(7, STAT, route("pacs"), order=("priority",))) as one:
        made = fill(one)
        as_it_came = waiting(one.spool)
        one.become(version(8, STAT, route("pacs"), order=("InstanceNumber",)))
        wait_for(lambda: waiting(one.spool) != as_it_came, within=PATIENCE, what="the order to change")
        one.settled()
        numbers = [int(uid.rpartition(".")[2]) for uid in waiting(one.spool)]
        assert numbers == [*range(1, 8), *sorted([*range(1, 8)] * 2)]
        one.become(version(9, STAT, route("pacs"), order=("priority",)))
        wait_for(lambda: waiting(one.spool) == as_it_came, within=PATIENCE, what="the first order to be back")
        assert sorted(as_it_came) == sorted(uids(made))


def test_what_is_sent_again_or_moves_has_its_turn(tmp_path: Path) -> None:
    routes = (route("pacs", else_to=("backup",), else_after=1.0),)
    with box(tmp_path, version(7, *routes, order=("InstanceNumber",))) as one:
        for number in (3, 1, 2):
            put_image(one.spool, "1.2.3", number)
        one.settled()
        study, _ = one.spool.studies.find("1.2.3")
        assert len(list(one.spool.ledger.stand_in(Failure("pacs", 5.0), Reachable(["backup"], {}), (9, 1.0)))) == 1
        assert len(waiting(one.spool, "backup")) == 3, "nothing is out of sight while its turn is not known"
        one.settled()
        assert waiting(one.spool, "backup") == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
        one.spool.ledger.resend(study, ["pacs"], None, 1)
        one.settled()
        assert waiting(one.spool) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]


def test_a_study_that_becomes_urgent_takes_its_images_along(tmp_path: Path) -> None:
    with box(tmp_path, version(7, STAT, route("pacs"), order=("priority", "InstanceNumber"))) as one:
        for study in ("1.2.1", "1.2.2"):
            for number in (1, 2):
                put_image(one.spool, study, number)
        one.settled()
        put_image(one.spool, "1.2.2", 9, calling_ae="STAT")
        one.settled()
        assert waiting(one.spool) == ["1.2.2.1", "1.2.2.2", "1.2.2.9", "1.2.1.1", "1.2.1.2"]


def test_turns_outlive_a_restart(tmp_path: Path) -> None:
    profile = version(7, route("pacs"), order=("InstanceNumber",))
    with box(tmp_path, profile) as one:
        for number in (3, 1, 2):
            put_image(one.spool, "1.2.3", number)
        one.settled()
        routing = one.routing
    spool = routed_spool(tmp_path, routing)
    assert waiting(spool) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    with running(spool, routing) as one:
        one.settled()


def test_a_destination_gets_them_in_that_order(tmp_path: Path) -> None:
    profile = version(7, route("pacs"), order=("InstanceNumber",))
    numbers = list(range(1, 41))
    with box(tmp_path, profile) as one:
        for number in random.Random(2).sample(numbers, len(numbers)):
            put_image(one.spool, "1.2.3", number)
        one.settled()
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as made:
        made.wait_until_delivered()
        assert pacs.seen == [f"1.2.3.{number}" for number in numbers]
