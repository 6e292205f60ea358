"""Routes of a running site, between a scanner and destinations that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.errors import Refused
from capacitord.link import messages as link
from capacitord.model.conditions import CalledBy, During, Exactly, Values
from capacitord.model.destination import Destination
from capacitord.model.routes import Priority
from capacitord.model.schedule import EVERY_DAY, WHOLE_DAY, Window
from capacitord.model.states import StudyState
from tests.peers.orthanc import Orthanc
from tests.peers.program import free_port
from tests.peers.senders import start_storescu, storescu
from tests.peers.storescp import Storescp
from tests.site.driver import AE_TITLE, PATIENCE, Supervisor
from tests.site.pacs import Pacs
from tests.site.rig import destination
from tests.site.routes import has, route, write_image
from tests.wait import wait_for

pytestmark = pytest.mark.peers

QUICK = link.SpoolSettings(reserve=0, warning=0, study_quiet=0.5)
STROKE = has("StudyDescription", "*STROKE*")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "box") as supervisor:
        yield supervisor


def at(peer: Storescp | Orthanc, name: str) -> Destination:
    return destination(name, peer.port, ae_title=peer.ae_title)


def send(port: int, files: list[Path], calling: str = "SCANNER") -> None:
    sent = storescu(files, "127.0.0.1", port, called=AE_TITLE, calling=calling)
    assert len(sent.acknowledged) == len(files)


def study(supervisor: Supervisor, uid: str) -> m.StudyDetail:
    found: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(uid))
    return found


def wait_until(supervisor: Supervisor, uid: str, state: StudyState) -> m.Study:
    def reached() -> m.Study | None:
        found = study(supervisor, uid).study
        return found if found.state is state else None

    return wait_for(reached, within=PATIENCE, what=f"the study to be {state}; {supervisor.log[-2000:]}")


def test_images_go_where_routes_say_and_the_rest_waits_for_a_person(tmp_path: Path, supervisor: Supervisor) -> None:
    all_day = During((Window(EVERY_DAY, 0, WHOLE_DAY),))
    routes = (
        route("pacs", "archive", when=STROKE, priority=Priority.STAT),
        route("archive", when=has("RequestAttributesSequence.ScheduledProcedureStepID", "S7")),
        route("pacs", when=CalledBy(Values((Exactly("NIGHT"),)))),
        route("archive", when=has("Modality", "MR")),
    )
    with (
        Storescp(tmp_path / "pacs", ae_title="PACS") as pacs,
        Orthanc(tmp_path / "orthanc") as archive,
    ):
        supervisor.start(at(pacs, "pacs"), at(archive, "archive"), limits=QUICK, routes=routes)
        port = supervisor.listen()
        files = tmp_path / "files"
        send(port, [write_image(files, "1.2.1", n, StudyDescription="ACUTE STROKE") for n in (1, 2)])
        step = {"ScheduledProcedureStepID": "S7"}
        send(port, [write_image(files, "1.2.2", 1, RequestAttributesSequence=step)])
        send(port, [write_image(files, "1.2.3", 1)], calling="NIGHT")
        send(port, [write_image(files, "1.2.4", n, Modality="MR" if n == 1 else "US") for n in (1, 2, 3)])
        supervisor.wait_until_delivered("pacs", 3)
        supervisor.wait_until_delivered("archive", 4)
        wait_until(supervisor, "1.2.1", StudyState.MATCHED)
        held = wait_until(supervisor, "1.2.4", StudyState.HELD)
        assert held.reason == "2 of 3 images: no route of version 1 of the profile matches them."
        status = supervisor.status()
        (advice,) = [each for each in status.advice if each.reference == "study-held"]
        assert held.id in advice.message
        assert f"fluxctl release {held.id}" in advice.hint
        assert status.spool.held_images == 2
        assert [each.id for each in supervisor.ask("queue.list").held] == [held.id]
        assert any(note.reference == "study-held" for note in supervisor.of(link.Note))
        assert {image.route for image in study(supervisor, "1.2.1").images} == {1}
        # The next version has a route for them.
        supervisor.update(at(pacs, "pacs"), at(archive, "archive"), routes=(*routes, route("pacs", when=all_day)))
        supervisor.wait_until_delivered("pacs", 5)
        matched = wait_until(supervisor, "1.2.4", StudyState.MATCHED)
        assert matched.reason == (
            "Goes by route 4 of version 1 of the profile and by route 5 of version 2 of the profile."
        )
        assert not [each for each in supervisor.status().advice if each.reference == "study-held"]
        assert len(pacs.received()) == 5


def test_a_held_study_is_released_by_name_only(tmp_path: Path, supervisor: Supervisor) -> None:
    with Storescp(tmp_path / "pacs", ae_title="PACS") as pacs:
        supervisor.start(at(pacs, "pacs"), limits=QUICK, routes=(route("pacs", when=STROKE),))
        send(supervisor.listen(), [write_image(tmp_path / "files", "1.2.1", 1)])
        wait_until(supervisor, "1.2.1", StudyState.HELD)
        with pytest.raises(Refused, match="Nothing says where") as refused:
            supervisor.ask("study.resend", m.Resend("1.2.1"))
        assert "--to DEST" in refused.value.hint
        supervisor.ask("study.resend", m.Resend("1.2.1", ("pacs",)))
        supervisor.wait_until_delivered("pacs", 1)
        released = study(supervisor, "1.2.1")
        assert released.study.state is StudyState.RELEASED
        assert released.study.reason == "Released by an operator to pacs."
        assert (released.images[0].routing, released.images[0].route) == ("routed", 0)


def test_a_version_that_comes_while_images_arrive_drops_neither_association_nor_image(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    before, after = route("pacs", when=has("Modality", "CT")), route("archive", when=has("Modality", "CT"))
    with (
        Storescp(tmp_path / "pacs", ae_title="PACS", options=("--fork",)) as pacs,
        Storescp(tmp_path / "archive", ae_title="ARCHIVE", options=("--fork",)) as archive,
    ):
        both = (at(pacs, "pacs"), at(archive, "archive"))
        supervisor.start(*both, limits=QUICK, routes=(before,))
        port = supervisor.listen()
        files = [write_image(tmp_path / "files", "1.2.1", n) for n in range(1, 601)]

        def decided() -> bool:
            destination = supervisor.destination("pacs")
            return destination.waiting_images + destination.delivered_images > 0

        with start_storescu(files, "127.0.0.1", port, called=AE_TITLE) as sending:
            wait_for(decided, within=PATIENCE, what="some to be decided by the version before")
            supervisor.update(*both, routes=(after,))
            sent = sending.finish()
        assert len(sent.acknowledged) == 600
        wait_for(
            lambda: sum(supervisor.destination(name).delivered_images for name in ("pacs", "archive")) == 600,
            within=PATIENCE,
            what="all to be delivered",
        )
        images = study(supervisor, "1.2.1").images
        for image in images:
            assert [ack.destination for ack in image.acks] == ["pacs" if image.profile_version == 1 else "archive"]
        assert {image.profile_version for image in images} == {1, 2}


def test_a_kill_at_any_moment_neither_loses_a_decision_nor_makes_another(tmp_path: Path) -> None:
    routes = (route("pacs", when=has("InstanceNumber", "*1")), route("archive", when=has("Modality", "CT")))
    files = [write_image(tmp_path / "files", "1.2.1", n, Modality="US" if n % 10 == 5 else "CT") for n in range(1, 201)]
    seen: dict[int, tuple[str, ...]] = {}
    places = (destination("pacs", 1), destination("archive", 1))
    for life, batch in enumerate((files[:60], files[60:130], files[130:], [])):
        with Supervisor(tmp_path / "box") as supervisor:
            supervisor.start(*places, limits=QUICK, routes=routes)
            if batch:
                port = supervisor.listen()
                with start_storescu(batch, "127.0.0.1", port, called=AE_TITLE) as sending:
                    sending.finish()
                supervisor.process.kill()
                continue
            wait_for(lambda: not supervisor.status().spool.unrouted_images, within=PATIENCE, what="all to be routed")
            for image in study(supervisor, "1.2.1").images:
                seen[image.instance_number or 0] = tuple(ack.destination for ack in image.acks)
        assert life == 3
    expected = {n: ("pacs",) if n % 10 == 1 else () if n % 10 == 5 else ("archive",) for n in range(1, 201)}
    assert seen == expected


def test_a_stopped_destination_is_stood_in_for_and_comes_back(tmp_path: Path, supervisor: Supervisor) -> None:
    with Storescp(tmp_path / "backup", ae_title="BACKUP") as backup:
        pacs = Storescp(tmp_path / "pacs", ae_title="PACS", port=free_port())
        routes = (route("pacs", else_to=("backup",), else_after=2.0),)
        supervisor.start(at(pacs, "pacs"), at(backup, "backup"), limits=QUICK, routes=routes)
        port = supervisor.listen()
        send(port, [write_image(tmp_path / "files", "1.2.1", n) for n in (1, 2, 3)])
        supervisor.wait_until_delivered("backup", 3)
        assert supervisor.destination("pacs").waiting_images == 0
        reasons = {
            ack.reason for image in study(supervisor, "1.2.1").images for ack in image.acks if ack.destination == "pacs"
        }
        assert reasons == {"Went to backup instead: pacs could not be reached for 2 s."}
        with pacs:
            supervisor.ask("queue.flush", m.QueueSelect("ALL"))
            send(port, [write_image(tmp_path / "files", "1.2.2", 1)])
            wait_for(pacs.received, within=PATIENCE, what="the next one to arrive")
        assert len(backup.received()) == 3, "it was tried first"


@pytest.mark.parametrize("by_attributes", [False, True])
def test_a_stat_study_overtakes_a_bulk_one_within_one_image(
    tmp_path: Path, supervisor: Supervisor, by_attributes: bool
) -> None:
    urgent = STROKE if by_attributes else CalledBy(Values((Exactly("STAT"),)))
    routes = (route("pacs", when=urgent, priority=Priority.STAT), route("pacs"))
    with Pacs() as pacs:
        supervisor.start(destination("pacs", pacs.port), routes=routes)
        port = supervisor.listen()
        pacs.hold()
        send(port, [write_image(tmp_path / "bulk", "1.2.1", n) for n in range(1, 81)])
        wait_for(lambda: len(pacs.seen) == 1, within=PATIENCE, what="the first of the bulk to be on its way")
        files = [write_image(tmp_path / "stat", "1.2.9", n, StudyDescription="STROKE") for n in range(1, 6)]
        send(port, files, calling="STAT")
        wait_for(
            lambda: any(d.priority == "stat" for d in study(supervisor, "1.2.9").study.deliveries),
            within=PATIENCE,
            what="the urgent study to be queued",
        )
        assert len(pacs.seen) == 1
        assert supervisor.ask("queue.list").studies[0].study_uid == "1.2.9"
        pacs.go_on()
        supervisor.wait_until_delivered("pacs", 85)
        bulk, stat = ([f"1.2.{study}.{n}" for n in range(1, 1 + count)] for study, count in ((1, 80), (9, 5)))
        assert pacs.seen == [bulk[0], *stat, *bulk[1:]]
