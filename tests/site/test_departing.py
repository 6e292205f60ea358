"""Whether the coach may leave, asked of a real runtime while a scanner talks to it; and one that only delivers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.departure import Departure
from capacitord.link import messages as link
from capacitord.model.departure import Leave
from capacitord.model.profile import Worklist
from capacitord.model.worklist import Source
from capacitord.site.departing import Departing
from capacitord.site.lately import Lately
from tests.site.driver import Supervisor
from tests.site.modality import ask, associated, begin_step, end_step, image, store
from tests.site.pacs import NO_ROOM, STORED, Pacs
from tests.site.rig import destination, rig
from tests.site.routes import has, route
from tests.wait import wait_for

STUDY, OTHER = "1.2.3", "1.2.4"
QUICK = link.SpoolSettings(0, 0, study_quiet=1.0)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as made:
        yield made


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with Pacs() as made:
        yield made


def departure(supervisor: Supervisor) -> Departure:
    found: Departure = supervisor.ask("site.departure", m.Empty())
    return found


def _in_trouble(found: Departure) -> Departure | None:
    return found if any(way.images and way.reason for way in found.on_the_way) else None


def becomes(supervisor: Supervisor, *references: str) -> Departure:
    """Wait until these matters are open, and no others."""

    def look() -> Departure | None:
        found = departure(supervisor)
        return found if {matter.reference for matter in found.matters} == {*references} else None

    return wait_for(look, within=20.0, what=f"{references} to be open; now {departure(supervisor).matters}")


def test_the_coach_may_leave_when_all_that_scanners_named_has_come_and_left(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK)
    assert departure(supervisor).is_clear
    with associated(supervisor.listen()) as scanner:
        assert departure(supervisor).associations == 1
        assert begin_step(scanner, "1.9.1", STUDY) == 0
        assert {"receiving", "examination"} <= {each.reference for each in departure(supervisor).matters}
        store(scanner, image(STUDY, 1))
        assert end_step(scanner, "1.9.1", [f"{STUDY}.1", f"{STUDY}.2"]) == 0
        assert begin_step(scanner, "1.9.2", OTHER) == 0
        assert end_step(scanner, "1.9.2", [f"{OTHER}.1"]) == 0
    found = becomes(supervisor, "missing", "announced")
    assert (found.missing_images, len(found.missing_studies), found.announced_studies) == (1, 1, 1)
    assert found.leave is Leave.NOT_YET
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 2), image(OTHER, 1))
    assert becomes(supervisor).is_clear


def test_a_result_that_no_scanner_was_told_is_said(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK)
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1))
        assert ask(scanner, "1.8.1", [f"{STUDY}.1"]) == 0
        scanner.abort()
    assert becomes(supervisor, "commitment").leave is Leave.DRAINING


def test_what_was_named_today_stays_so_when_the_clock_is_set() -> None:
    clocks = {"wall": 1_000_000.0, "clock": 50.0}
    lately = Lately(lambda: clocks["wall"], lambda: clocks["clock"])
    assert lately.since(86_400.0) == 913_600 * 10**9
    clocks["clock"] += 3600.0
    for wall in (1_003_600.0, 1_003_600.0 + 30 * 86_400.0):
        clocks["wall"] = wall
        assert lately.since(86_400.0) == 917_200 * 10**9
    clocks["wall"] = 900_000.0
    assert lately.since(86_400.0) == 813_600 * 10**9


def test_nothing_that_was_named_is_hidden_by_a_clock_that_is_set_ahead(tmp_path: Path) -> None:
    clocks = {"wall": time.time()}
    lately = Lately(lambda: clocks["wall"], lambda: 0.0)
    with rig(tmp_path, destination("pacs")) as site:
        departing = Departing(site.spool, site.deliveries, lambda: site.profile("pacs"), lately=lately)
        site.spool.evidence.step_began("1.9.1", [STUDY], "CT_1", time.time_ns())
        assert departing.answer().begun_studies == 1
        clocks["wall"] += 30 * 86_400.0
        assert departing.answer().begun_studies == 1


def test_what_waits_is_counted_and_nothing_is_guessed_of_how_long(supervisor: Supervisor) -> None:
    with socket.socket() as nobody:
        # Bound and never listening, so that the port is nobody else's either.
        nobody.bind(("127.0.0.1", 0))
        supervisor.start(destination("pacs", nobody.getsockname()[1]), limits=QUICK)
        with associated(supervisor.listen()) as scanner:
            store(scanner, image(STUDY, 1), image(STUDY, 2))
        found = becomes(supervisor, "on-the-way")
        (way,) = found.on_the_way
        assert (found.images, way.images, way.rate, way.eta, found.eta) == (2, 2, 0.0, None, None)
        supervisor.ask("queue.pause", m.QueueSelect("pacs"))
        assert becomes(supervisor, "paused").leave is Leave.NOT_YET


def test_nothing_is_guessed_of_images_that_the_peer_has_no_room_for(supervisor: Supervisor) -> None:
    with Pacs(lambda request: STORED if request.sop_instance_uid.startswith(STUDY) else NO_ROOM) as pacs:
        supervisor.start(destination("pacs", pacs.port), limits=QUICK)
        with associated(supervisor.listen()) as scanner:
            store(scanner, image(STUDY, 1))
        wait_for(lambda: pacs.stored, what="an image to leave")
        with associated(supervisor.listen()) as scanner:
            store(scanner, image(OTHER, 1))
        found = wait_for(lambda: _in_trouble(departure(supervisor)), within=20.0, what="an image to rest")
    (way,) = found.on_the_way
    assert way.rate > 0
    assert (way.moves, way.eta, found.eta) == (True, None, None)


def test_what_left_before_the_first_failure_says_nothing_of_how_long_the_rest_takes(supervisor: Supervisor) -> None:
    with Pacs() as pacs:
        port = pacs.port
        supervisor.start(destination("pacs", port), limits=QUICK)
        with associated(supervisor.listen()) as scanner:
            store(scanner, image(STUDY, 1))
        assert becomes(supervisor).is_clear
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(OTHER, 1))

    found = wait_for(lambda: _in_trouble(departure(supervisor)), within=20.0, what="the connection to be refused")
    (way,) = found.on_the_way
    assert way.rate > 0
    assert (way.moves, way.eta, found.eta) == (False, None, None)
    (said,) = (each.message for each in found.matters if each.reference == "on-the-way")
    assert said == "1 image is still on the way, and meets trouble at the moment"


def test_an_image_that_is_damaged_before_anybody_took_it_in_keeps_the_coach(supervisor: Supervisor, pacs: Pacs) -> None:
    to_nobody = (route("pacs", when=has("StudyInstanceUID", OTHER)),)
    supervisor.start(destination("pacs", pacs.port), limits=QUICK, routes=to_nobody)
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1), image(OTHER, 1))
    wait_for(lambda: pacs.stored, what="the one image to leave")
    becomes(supervisor, "held")
    # What a PACS has is damaged as well, and that is nobody's loss.
    for segment in (supervisor.spool / "objects").rglob("*"):
        if segment.is_file():
            spoil(segment)
    assert supervisor.call("doctor.verify").body
    found = becomes(supervisor, "damaged")
    assert (found.leave, found.damaged_images) == (Leave.NOT_YET, 1)
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1))
    assert becomes(supervisor, "held").damaged_images == 0


def spoil(segment: Path) -> None:
    """Turn every bit of a segment but those of its first few bytes."""
    data = segment.read_bytes()
    with segment.open("r+b") as file:
        file.seek(64)
        file.write(bytes(~byte & 0xFF for byte in data[64:]))


def test_a_runtime_that_only_delivers_serves_no_port_and_asks_nobody_for_a_worklist(
    supervisor: Supervisor, pacs: Pacs
) -> None:
    supervisor.start(
        destination("pacs", pacs.port),
        limits=QUICK,
        worklist=Worklist(Source("RIS", "127.0.0.1", 104), refresh=1.0),
        delivers_only=True,
    )
    port = supervisor.listen()
    wait_for(lambda: "takes nothing in" in supervisor.log, what="the port to be refused")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5).close()
    status = supervisor.status()
    assert status.worklist is not None
    assert (status.worklist.tried, status.worklist.fetched) == (None, None)
    assert [each for each in supervisor.of(link.Connect) if each.peer is link.Peer.WORKLIST] == []
