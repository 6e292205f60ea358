"""Images go where the first route that matches says, and what no route matches is held."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import apsw
import msgspec
import pytest

from capacitord.errors import Refused
from capacitord.model.conditions import Attributes, CalledBy, During, Exactly, Values
from capacitord.model.image import Arrival
from capacitord.model.profile import Profile
from capacitord.model.routes import Priority
from capacitord.model.schedule import EVERY_DAY, WHOLE_DAY, Window
from capacitord.model.states import StudyState
from capacitord.site.routing import InForce, Routing
from capacitord.spool.admission import Kept
from capacitord.spool.disk import Disk
from capacitord.spool.releasing import Person
from capacitord.spool.routed import Routed
from tests.site.routes import (
    PATIENCE,
    Box,
    box,
    going,
    has,
    put_image,
    route,
    routed_spool,
    running,
    study_of,
    version,
)
from tests.site.stock import facts_of, put, waiting
from tests.spool.faulty import faulty_catalog
from tests.spool.kit import deliver
from tests.spool.recount import recount
from tests.wait import wait_for

STUDY = "1.2.3"
STROKE = has("StudyDescription", "*STROKE*")
STEP = has("RequestAttributesSequence.ScheduledProcedureStepID", "S7")
URGENT = route("pacs", "backup", when=STROKE, priority=Priority.STAT)
CT_ONLY = version(7, URGENT, route("pacs", when=has("Modality", "CT")))


def close(box: Box) -> None:
    assert [closed.study for closed in box.spool.close_arrived(0.0)]


def test_the_first_route_that_matches_wins(tmp_path: Path) -> None:
    routes = (
        route("neuro", "pacs", when=STROKE, priority=Priority.STAT),
        route("steps", when=STEP),
        route("night", when=CalledBy(Values((Exactly("NIGHT"),)))),
        route("pacs", when=has("Modality", "CT")),
    )
    with box(tmp_path, version(7, *routes)) as one:
        put_image(one.spool, STUDY, 1, StudyDescription="ACUTE STROKE", calling_ae="NIGHT")
        put_image(one.spool, STUDY, 2, RequestAttributesSequence={"ScheduledProcedureStepID": "S7"})
        put_image(one.spool, STUDY, 3, calling_ae="NIGHT")
        put_image(one.spool, STUDY, 4)
        one.settled()
        assert going(one.spool, STUDY) == {1: ("neuro", "pacs"), 2: ("steps",), 3: ("night",), 4: ("pacs",)}
        images = one.spool.studies.detail(one.spool.studies.find(STUDY)[0], "").images
        assert [(image.routing, image.route, image.profile_version) for image in images] == [
            ("routed", number, 7) for number in (1, 2, 3, 4)
        ]
        close(one)
        study = study_of(one.spool, STUDY)
        assert study.state is StudyState.MATCHED
        assert study.reason == "Goes by routes 1, 2, 3 and 4 of version 7 of the profile."
        assert {each.destination: each.priority for each in study.deliveries} == {
            "neuro": "stat",
            "pacs": "stat",
            "steps": "routine",
            "night": "routine",
        }
        stat, routine = Priority.STAT.urgency, Priority.ROUTINE.urgency
        told = {name: max(each[name] for each in one.urgencies if name in each) for name in ("neuro", "pacs", "steps")}
        assert told == {"neuro": stat, "pacs": stat, "steps": routine}
        recount(one.spool)


def test_what_needs_no_attributes_is_decided_at_once(tmp_path: Path) -> None:
    night = During((Window(EVERY_DAY, 0, WHOLE_DAY),))
    routes = (route("coach", when=CalledBy(Values((Exactly("COACH"),)))), route("pacs", when=night))
    spool = routed_spool(tmp_path, Routing(version(3, *routes)))
    put_image(spool, STUDY, 1, calling_ae="COACH")
    put_image(spool, STUDY, 2)
    spool.settle()
    assert going(spool, STUDY) == {1: ("coach",), 2: ("pacs",)}
    spool.close()


@pytest.mark.parametrize(
    ("utc", "goes"),
    [("2026-01-14T00:30", "night"), ("2026-01-14T12:59", "night"), ("2026-01-14T13:00", "pacs")],
)
def test_the_clock_is_that_of_the_site(utc: str, goes: str) -> None:
    """From six in the evening to seven in the morning in Chicago, six hours behind UTC in winter."""
    night = During((Window(EVERY_DAY, 18 * 60, 7 * 60),))
    profile = version(3, route("night", when=night), route("pacs"))
    in_force = InForce(msgspec.structs.replace(profile, timezone="America/Chicago"))
    came = int(datetime.fromisoformat(f"{utc}+00:00").timestamp()) * 10**9
    routed = Routing(in_force.profile).decide(facts_of("1.2.3", STUDY), Arrival("A", "B", "127.0.0.1", came))
    assert routed is not None
    assert routed.to == (goes,)
    assert in_force.order == ()


def test_only_what_comes_behind_a_look_at_attributes_is_decided_later(tmp_path: Path) -> None:
    routes = (route("coach", when=CalledBy(Values((Exactly("COACH"),)))), route("pacs", when=STROKE), route("rest"))
    spool = routed_spool(tmp_path, Routing(version(3, *routes)))
    put_image(spool, STUDY, 1, calling_ae="COACH")
    put_image(spool, STUDY, 2)
    spool.settle()
    assert going(spool, STUDY) == {1: ("coach",), 2: ()}
    assert spool.counts().unrouted == 1
    assert spool.close_arrived(0.0) == [], "it is not known yet where an image of it goes"
    spool.close()


def test_what_no_route_matches_is_held_and_routed_by_the_next_version(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        for number in range(1, 4):
            put_image(one.spool, STUDY, number, Modality="US" if number == 2 else "CT")
        one.settled()
        close(one)
        study = study_of(one.spool, STUDY)
        assert (study.state, study.held) == (StudyState.HELD, 1)
        assert study.reason == "1 of 3 images: no route of version 7 of the profile matches it."
        assert going(one.spool, STUDY)[2] == ()
        assert one.spool.counts().held == 1
        assert [each.id for each in one.spool.studies.held()] == [study.id]
        one.become(version(8, route("pacs", when=has("Modality", "MR"))))
        one.settled()
        assert "version 8" in study_of(one.spool, STUDY).reason
        one.become(version(9, route("late", when=has("Modality", "US"))))
        one.settled()
        study = study_of(one.spool, STUDY)
        assert (study.state, study.held) == (StudyState.MATCHED, 0)
        assert study.reason == "Goes by route 2 of version 7 of the profile and by route 1 of version 9 of the profile."
        assert going(one.spool, STUDY) == {1: ("pacs",), 2: ("late",), 3: ("pacs",)}
        recount(one.spool)


def test_a_held_study_goes_where_a_person_sends_it(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        for number in (1, 2):
            put_image(one.spool, STUDY, number, Modality="US")
        one.settled()
        close(one)
        number, _ = one.spool.studies.find(STUDY)
        assert one.spool.ledger.recipients(number, None) == []
        first = one.spool.studies.image(number, f"{STUDY}.1")
        assert one.spool.ledger.resend(number, ["backup"], first, 1) == 1
        study = study_of(one.spool, STUDY)
        assert (study.state, study.held) == (StudyState.HELD, 1)
        assert one.spool.ledger.resend(number, ["backup"], None, 2) == 2
        study = study_of(one.spool, STUDY)
        assert (study.state, study.held) == (StudyState.RELEASED, 0)
        assert study.reason == "Released by an operator to backup."
        one.become(version(8, route("pacs")))
        one.settled()
        assert set(going(one.spool, STUDY).values()) == {("backup",)}, "what a person decided stays"
        recount(one.spool)


def test_a_resend_to_nobody_in_particular_sends_each_image_where_it_was_to_go(tmp_path: Path) -> None:
    with box(
        tmp_path, version(7, route("us", when=has("Modality", "US")), route("ct", when=has("Modality", "CT")))
    ) as one:
        for number, modality in enumerate(("US", "CT", "MR"), 1):
            put_image(one.spool, STUDY, number, Modality=modality)
        one.settled()
        number, _ = one.spool.studies.find(STUDY)
        assert sorted(one.spool.ledger.recipients(number, None)) == ["ct", "us"]
        assert one.spool.ledger.resend(number, ["ct", "us"], None, 1, chosen=False) == 2
        assert going(one.spool, STUDY) == {1: ("us",), 2: ("ct",), 3: ()}
        assert one.spool.counts().held == 1


def test_an_image_whose_attributes_cannot_be_read_is_held_and_says_so(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        put(one.spool, facts_of(f"{STUDY}.1", STUDY), b"\x08\x00\x05\x00CS\xff\x7fno dataset at all")
        one.settled()
        close(one)
        study = study_of(one.spool, STUDY)
        assert study.state is StudyState.HELD
        assert study.reason.startswith("1 of 1 image: the attributes that routes look at cannot be read: ")
        one.become(version(8, CT_ONLY.routes[1]))
        one.settled()
        assert study_of(one.spool, STUDY).state is StudyState.HELD
        one.become(version(9, route("pacs")))
        one.settled()
        assert study_of(one.spool, STUDY).state is StudyState.MATCHED, "no attribute is asked for any more"
        assert waiting(one.spool) == [f"{STUDY}.1"]
        recount(one.spool)


def test_neither_conflicts_nor_damaged_images_are_routed(tmp_path: Path) -> None:
    routing = Routing(CT_ONLY)
    spool = routed_spool(tmp_path, routing)
    for number in (1, 2):
        put_image(spool, STUDY, number)
    assert put(spool, facts_of(f"{STUDY}.1", STUDY), b"other").kept is Kept.CONFLICT
    spool.settle()
    damaged = spool.decisions.open(-1, 9)[1]
    path = spool.layout.segment(damaged.stored.place.segment)
    data = bytearray(path.read_bytes())
    data[damaged.stored.place.offset + 4200] ^= 1
    path.write_bytes(data)
    spool.close()
    with box(tmp_path, CT_ONLY) as one:
        one.settled()
        assert going(one.spool, STUDY) == {0: (), 1: ("pacs",), 2: ()}
        close(one)
        study = study_of(one.spool, STUDY)
        assert (study.state, study.corrupt, study.conflicts) == (StudyState.MATCHED, 1, 1)
        recount(one.spool)


def test_a_destination_that_the_version_does_not_have_gets_nothing(tmp_path: Path) -> None:
    with box(tmp_path, version(7, route("pacs", else_to=("gone",)), names=["pacs"])) as one:
        put_image(one.spool, STUDY, 1)
        one.settled()
        close(one)
        assert study_of(one.spool, STUDY).state is StudyState.HELD
        assert "names gone" in study_of(one.spool, STUDY).reason
        assert waiting(one.spool) == []
        one.become(version(8, route("pacs", else_to=("gone",))))
        one.settled()
        assert waiting(one.spool) == [f"{STUDY}.1"]


def test_without_routes_nothing_goes_anywhere(tmp_path: Path) -> None:
    """A profile that names none has one to all; so none at all is a mistake, and the safe one."""
    with box(tmp_path, msgspec.structs.replace(version(7, route("pacs")), routes=())) as one:
        put_image(one.spool, STUDY, 1)
        one.settled()
        assert one.spool.counts().held == 1


def test_a_held_study_can_be_discarded(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        put_image(one.spool, STUDY, 1, Modality="US")
        one.settled()
        close(one)
        number, _ = one.spool.studies.find(STUDY)
        with pytest.raises(Refused, match="wait for a person"):
            one.spool.housekeeping.discard(number, 1, "A person said so.")
        one.spool.releasing.set_aside(number, "A person said so.", Person(1000, "ann"), (1, 0.0))
        assert one.spool.counts().held == 0
        one.become(version(8, route("pacs")))
        one.settled()
        assert study_of(one.spool, STUDY).state is StudyState.DISCARDED
        assert waiting(one.spool) == []
        recount(one.spool)


def test_held_images_are_neither_purged_nor_in_the_way(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        put_image(one.spool, STUDY, 1)
        put_image(one.spool, STUDY, 2, Modality="US")
        one.settled()
        close(one)
        deliver(one.spool)
        number, _ = one.spool.studies.find(STUDY)
        assert [each.study for each in one.spool.housekeeping.candidates().studies] == [number]
        assert one.spool.housekeeping.purge(number, 1) == 1
        assert one.spool.housekeeping.candidates().studies == []
        assert one.spool.counts().held == one.spool.counts().images == 1


@pytest.mark.parametrize("only", ["write", "sync"])
def test_a_disk_that_fails_while_decisions_are_filed_loses_none(tmp_path: Path, only: str) -> None:
    for step in itertools.count(1, 4):
        root = tmp_path / str(step)
        with faulty_catalog() as (disk, vfs):
            routing = Routing(CT_ONLY)
            spool = routed_spool(root, routing, disk)
            for number in range(1, 7):
                put_image(spool, STUDY, number, Modality="US" if number == 3 else "CT")
            spool.settle()
            vfs.fail_at(step, apsw.IOError, only=only)
            with running(spool, routing) as one:
                one.settled()
                struck = vfs.struck
                vfs.work_again()
                assert going(one.spool, STUDY) == {n: () if n == 3 else ("pacs",) for n in range(1, 7)}
                recount(one.spool)
        if not struck:
            break
    assert step > 1


def test_after_a_lost_catalog_all_is_decided_anew(tmp_path: Path) -> None:
    with box(tmp_path, CT_ONLY) as one:
        for number in (1, 2, 3):
            put_image(one.spool, STUDY, number, Modality="US" if number == 2 else "CT")
        put(one.spool, facts_of(f"{STUDY}.1", STUDY), b"other")
        one.settled()
    (tmp_path / "catalog.db").unlink()
    with box(tmp_path, version(8, route("archive", when=has("Modality", "*")))) as one:
        one.settled()
        assert going(one.spool, STUDY) == {0: (), 1: ("archive",), 2: ("archive",), 3: ("archive",)}
        recount(one.spool)


@pytest.mark.parametrize("at", range(1, 10))
def test_nothing_is_filed_by_a_version_that_holds_no_more(tmp_path: Path, at: int) -> None:
    """The version changes between two images of one page, or after the last: the router asks before each rest."""
    routing = Routing(version(1, route("wrong", when=has("Modality", "CT")), names=("wrong", "right")))
    following = version(2, route("right", when=has("Modality", "CT")), names=("wrong", "right"))
    spool = routed_spool(tmp_path, routing)
    for number in range(1, 9):
        put_image(spool, STUDY, number)
    spool.settle()
    filed_before: list[int] = []
    asked = itertools.count(1)

    def receiving() -> bool:
        if next(asked) == at:
            filed_before.append(sum(map(bool, going(spool, STUDY).values())))
            routing.profile = following
        return False

    with running(spool, routing, receiving) as one:
        wait_for(lambda: filed_before, within=PATIENCE, what="the version to change")
        one.settled()
        found = list(going(spool, STUDY).values())
        assert found.count(("wrong",)) == filed_before[0]
        assert found.count(("right",)) == len(found) - filed_before[0]
        recount(spool)


class _SlowDisk(Disk):
    """A disk on which something else happens while an image is synced."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.meanwhile()


@pytest.mark.parametrize("before", ["nobody", "wrong"])
def test_an_image_is_filed_by_the_version_that_holds_when_it_is_durable(tmp_path: Path, before: str) -> None:
    """The router has made its pass for the new version when the image is filed, and nobody wakes it again."""
    called = CalledBy(Values((Exactly("SCANNER" if before == "wrong" else "COACH"),)))
    names = ("wrong", "right")
    routing, disk = Routing(version(1, route("wrong", when=called), names=names)), _SlowDisk()
    with running(routed_spool(tmp_path, routing, disk), routing) as one:
        one.settled()
        disk.meanwhile = lambda: one.become(version(2, route("right"), names=names))
        put_image(one.spool, STUDY, 1)
        disk.meanwhile = lambda: None
        one.spool.settle()
        assert going(one.spool, STUDY) == {1: ("right",)}


class _Failing(InForce):
    """A version of the profile at which deciding for one image fails a few times, in a way that nobody foresaw."""

    def __init__(self, profile: Profile, calling_ae: str, times: int) -> None:
        super().__init__(profile)
        self.calling_ae, self.times = calling_ae, times

    def routed(self, attributes: Attributes, calling_ae: str, called_ae: str, received_at: int) -> Routed:
        if calling_ae == self.calling_ae:
            self.times -= 1
            if self.times >= 0:
                raise MemoryError
        return super().routed(attributes, calling_ae, called_ae, received_at)


@pytest.mark.parametrize("times", [3, 1000])
def test_an_unforeseen_error_is_tried_again_and_keeps_no_other_image_waiting(tmp_path: Path, times: int) -> None:
    routing = Routing(version(1, route("pacs", when=has("Modality", "CT"))))
    routing.in_force = _Failing(routing.profile, "ODD", times)
    spool = routed_spool(tmp_path, routing)
    for number in range(1, 5):
        put_image(spool, STUDY, number, calling_ae="ODD" if number == 1 else "SCANNER")
    with running(spool, routing) as one:
        one.settled()
        assert going(spool, STUDY) == {n: () if n == 1 and times > 3 else ("pacs",) for n in range(1, 5)}
        if times > 3:
            close(one)
            assert "an unforeseen error" in study_of(spool, STUDY).reason
            one.become(version(2, route("pacs", when=has("Modality", "CT"))))
            one.settled()
            assert going(spool, STUDY)[1] == ("pacs",)
        wait_for(lambda: one.router.failing is None, within=PATIENCE, what="the trouble to be over")
        recount(spool)
