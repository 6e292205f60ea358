"""What a scanner says of its studies, over the wire to a real runtime: what closes, what leaves, what is reported."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capacitord.api import messages as m
from capacitord.link import messages as link
from capacitord.model.completeness import Completeness, Event
from capacitord.model.delivery import Send
from tests.site.driver import AE_TITLE, Supervisor
from tests.site.modality import TITLE, Reports, ask, associated, begin_step, end_step, image, report_scp, store
from tests.site.pacs import Pacs
from tests.site.rig import destination
from tests.wait import wait_for

STUDY = "1.2.3"
BOTH = (Event.COMMITMENT, Event.MPPS)
NEVER = 3600.0
QUICK = link.SpoolSettings(0, 0, study_quiet=1.5)
SLOW = link.SpoolSettings(0, 0, study_quiet=NEVER)
WHOLE = Completeness(BOTH, None, Send.STUDY)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as made:
        yield made


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with Pacs() as made:
        yield made


def uids(*numbers: int) -> list[str]:
    return [f"{STUDY}.{number}" for number in numbers]


def study(supervisor: Supervisor) -> m.StudyDetail:
    detail: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(STUDY))
    return detail


def becomes(supervisor: Supervisor, *states: str) -> m.StudyDetail:
    def found() -> m.StudyDetail | None:
        detail = study(supervisor)
        return detail if detail.study.state in states else None

    return wait_for(found, within=20.0, what=f"the study to be {states}")


def test_nothing_of_a_study_leaves_before_the_mpps_says_that_it_is_whole(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=SLOW, completeness=WHOLE)
    with associated(supervisor.listen()) as scanner:
        assert begin_step(scanner, "1.9.1", STUDY) == 0
        store(scanner, image(STUDY, 1), image(STUDY, 2))
        assert end_step(scanner, "1.9.1", uids(1, 2, 3)) == 0
        detail = wait_for(lambda: found if (found := study(supervisor)).missing else None, what="an image to be missed")
        assert (detail.missing, detail.missing_uids, detail.study.state) == (1, ("1.2.3.3",), "receiving")
        assert pacs.seen == []
        store(scanner, image(STUDY, 3))
    supervisor.wait_until_delivered(count=3)
    detail = becomes(supervisor, "matched")
    assert (detail.study.closed_by, detail.missing, detail.study.unrouted) == ("mpps", 0, 0)
    assert sorted(pacs.seen) == uids(1, 2, 3)


def test_what_the_scanner_named_and_did_not_send_holds_the_others_until_it_comes(
    supervisor: Supervisor, pacs: Pacs
) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK, completeness=WHOLE)
    port = supervisor.listen()
    with associated(port) as scanner:
        begin_step(scanner, "1.9.1", STUDY)
        store(scanner, image(STUDY, 1), image(STUDY, 3))
        end_step(scanner, "1.9.1", uids(1, 2, 3))
    detail = becomes(supervisor, "held")
    assert detail.study.reason == (
        "2 of 2 images: 1 image that the scanner named has not arrived, and whole studies only are sent."
    )
    (why,) = detail.study.held_for
    assert (why.reason, why.images) == ("missing-images", 2)
    assert detail.doubts == ("A series without a number has gaps in its instance numbers: 2.",)
    assert pacs.seen == []
    with associated(port) as scanner:
        store(scanner, image(STUDY, 2))
    supervisor.wait_until_delivered(count=3)
    assert becomes(supervisor, "matched").missing == 0
    # A late image that nobody named reopens the study, and it alone is sent.
    with associated(port) as scanner:
        store(scanner, image(STUDY, 4))
    becomes(supervisor, "receiving")
    supervisor.wait_until_delivered(count=4)
    assert sorted(pacs.seen) == uids(1, 2, 3, 4)


def test_a_person_may_send_what_is_here_of_a_study_that_is_not_whole(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK, completeness=WHOLE)
    with associated(supervisor.listen()) as scanner:
        begin_step(scanner, "1.9.1", STUDY)
        store(scanner, image(STUDY, 1))
        end_step(scanner, "1.9.1", uids(1, 2))
    becomes(supervisor, "held")
    supervisor.ask("study.resend", m.Resend(STUDY, ("pacs",)))
    supervisor.wait_until_delivered(count=1)
    assert becomes(supervisor, "released").missing == 1


@pytest.mark.parametrize("moment", ["before the evidence", "after it"])
def test_a_kill_neither_loses_an_image_nor_sends_one_early(tmp_path: Path, pacs: Pacs, moment: str) -> None:
    to = destination("pacs", pacs.port)
    with Supervisor(tmp_path) as first:
        first.start(to, limits=SLOW, completeness=WHOLE)
        with associated(first.listen()) as scanner:
            begin_step(scanner, "1.9.1", STUDY)
            store(scanner, image(STUDY, 1), image(STUDY, 2))
            if moment == "after it":
                end_step(scanner, "1.9.1", uids(1, 2, 3))
            os.kill(first.process.pid, signal.SIGKILL)
            first.wait()
    assert pacs.seen == []
    with Supervisor(tmp_path) as second:
        second.start(to, limits=SLOW, completeness=WHOLE)
        with associated(second.listen()) as scanner:
            if moment == "before the evidence":
                assert end_step(scanner, "1.9.1", uids(1, 2, 3)) == 0
            assert end_step(scanner, "1.9.1", uids(1)) == 0x0110
            assert pacs.seen == []
            store(scanner, image(STUDY, 3))
        second.wait_until_delivered(count=3)
        assert sorted(pacs.seen) == uids(1, 2, 3)


def test_images_that_leave_as_they_come_leave_whatever_is_missing(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK, completeness=Completeness(BOTH))
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1))
        supervisor.wait_until_delivered(count=1)
        assert begin_step(scanner, "1.9.1", STUDY) == 0
        assert end_step(scanner, "1.9.1", uids(1, 2), "DISCONTINUED") == 0
    detail = becomes(supervisor, "matched")
    assert (detail.study.closed_by, detail.missing_uids) == ("mpps", ("1.2.3.2",))


def test_steps_that_make_no_sense_are_refused_as_the_standard_says(supervisor: Supervisor) -> None:
    supervisor.start(destination("pacs", 1))
    with associated(supervisor.listen()) as scanner:
        assert begin_step(scanner, "1.9.1", STUDY, "COMPLETED") == 0x0106
        assert begin_step(scanner, "1.9.1", "") == 0x0120
        assert begin_step(scanner, "1.9.1", STUDY) == 0
        assert begin_step(scanner, "1.9.1", STUDY) == 0x0111
        assert begin_step(scanner, None, STUDY) == 0, "the box gives it a UID"
        assert end_step(scanner, "1.9.2", uids(1)) == 0x0112
        assert end_step(scanner, "1.9.1", uids(1), "DONE") == 0x0106
        assert end_step(scanner, "1.9.1", [""]) == 0x0121
        assert end_step(scanner, "1.9.1", uids(1)) == 0
        assert end_step(scanner, "1.9.1", uids(2)) == 0x0110
        assert ask(scanner, "", uids(1)) == 0x0120
        assert ask(scanner, "1.8.1", []) == 0x0120
        store(scanner, image(STUDY, 1))


def test_what_is_safe_here_is_committed_over_the_same_association_and_the_rest_is_not(
    supervisor: Supervisor, pacs: Pacs
) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=SLOW, completeness=WHOLE)
    reports = Reports()
    with associated(supervisor.listen(), reports) as scanner:
        store(scanner, image(STUDY, 1), image(STUDY, 2))
        assert ask(scanner, "1.8.1", uids(1, 2, 3)) == 0
        assert reports.wait() == ("1.8.1", 2, uids(1, 2), {"1.2.3.3": 0x0112})
        assert study(supervisor).missing_uids == ("1.2.3.3",)
        assert ask(scanner, "1.8.2", uids(1), sop_class="1.2.840.10008.5.1.4.1.1.4") == 0
        assert reports.wait(2) == ("1.8.2", 2, [], {"1.2.3.1": 0x0119})
        store(scanner, image(STUDY, 3))
        assert ask(scanner, "1.8.3", uids(1, 2, 3)) == 0
        assert reports.wait(3) == ("1.8.3", 1, uids(1, 2, 3), {})
        supervisor.wait_until_delivered(count=3)
    assert becomes(supervisor, "matched").study.closed_by == "commitment"


def test_a_scanner_that_has_gone_is_called_where_the_box_knows_it(supervisor: Supervisor) -> None:
    reports = Reports()
    with report_scp(reports) as port:
        supervisor.ports[link.MODALITY + TITLE] = port
        supervisor.start(destination("pacs", 1), storage=link.Storage(AE_TITLE, modalities=(TITLE,)))
        with associated(supervisor.listen()) as scanner:
            store(scanner, image(STUDY, 1))
            assert ask(scanner, "1.8.1", uids(1)) == 0
        assert reports.wait() == ("1.8.1", 1, uids(1), {})


@pytest.mark.parametrize("why", ["it took nothing", "a crash"])
def test_a_result_that_was_not_taken_is_reported_when_the_scanner_comes_again(tmp_path: Path, why: str) -> None:
    refusing, reports = Reports(status=0x0110), Reports()
    with Supervisor(tmp_path) as first:
        first.start(destination("pacs", 1))
        with associated(first.listen(), refusing) as scanner:
            store(scanner, image(STUDY, 1))
            assert ask(scanner, "1.8.1", uids(1)) == 0
            if why == "it took nothing":
                refusing.wait()
        if why == "a crash":
            os.kill(first.process.pid, signal.SIGKILL)
            first.wait()
    with Supervisor(tmp_path) as second:
        second.start(destination("pacs", 1))
        port = second.listen()
        with associated(port, reports, "ANOTHER"):
            pass
        with associated(port, reports):
            assert reports.wait() == ("1.8.1", 1, uids(1), {})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"PixelData": bytes(14)}, "its pixels have 14 bytes, and rows, columns, frames and bits make 16"),
        ({"StudyInstanceUID": "1.2.x"}, "its Study Instance UID is not a UID (PS3.5 §9.1)"),
        ({"BitsStored": 9}, "it says that 9 bits are stored of each sample, and only 8 are allocated"),
    ],
)
def test_an_image_with_an_error_is_taken_and_held_for_every_destination(
    supervisor: Supervisor, pacs: Pacs, wrong: dict[str, Any], words: str
) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK)
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1, **wrong), image(STUDY, 2, PixelData=bytes(20)))
    supervisor.wait_until_delivered(count=1)
    assert pacs.seen == uids(2)
    listed: m.StudyList = supervisor.ask("study.list", m.StudyQuery(undelivered=True))
    detail: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(listed.studies[0].id))
    (held,) = [each for each in detail.images if each.held]
    assert (held.sop_instance_uid, held.held, held.findings) == ("1.2.3.1", words, (words,))
    assert [reason.reason for reason in detail.study.held_for] == ["invalid"]


def test_an_image_that_names_no_patient_leaves_and_its_study_says_so(supervisor: Supervisor, pacs: Pacs) -> None:
    supervisor.start(destination("pacs", pacs.port), limits=QUICK)
    with associated(supervisor.listen()) as scanner:
        store(scanner, image(STUDY, 1, PatientName="", PatientID=""))
    supervisor.wait_until_delivered(count=1)
    (study,) = supervisor.ask("study.list", m.StudyQuery()).studies
    (found,) = supervisor.ask("study.show", m.StudyRef(study.id)).images
    assert (found.held, pacs.seen) == ("", uids(1))
    assert found.findings == ("it names no patient: its Patient's Name and Patient ID are empty",)


def test_a_study_that_was_announced_and_never_came_is_listed_and_warned_of(supervisor: Supervisor) -> None:
    supervisor.start(destination("pacs", 1), limits=QUICK)
    with associated(supervisor.listen()) as scanner:
        begin_step(scanner, "1.9.1", STUDY)
        (announced,) = listed(supervisor).announced
        assert (announced.images, announced.over, announced.calling_ae) == (0, False, TITLE)
        end_step(scanner, "1.9.1", uids(1, 2, 3))
        (announced,) = listed(supervisor).announced
        assert (announced.study_uid, announced.images, announced.over) == (STUDY, 3, True)
        advice = wait_for(
            lambda: [each for each in supervisor.status().advice if each.reference == "study-announced"],
            within=20.0,
            what="the study to be warned of",
        )
        assert f"announced study {announced.id} with 3 images" in advice[0].message
        store(scanner, image(STUDY, 1))
    assert listed(supervisor).announced == ()
    assert study(supervisor).missing == 2
    assert all(each.reference != "study-announced" for each in supervisor.status().advice)


def listed(supervisor: Supervisor) -> m.StudyList:
    found: m.StudyList = supervisor.ask("study.list", m.StudyQuery())
    return found
