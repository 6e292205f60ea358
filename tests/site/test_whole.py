"""Where a profile sends whole studies only, one image that cannot leave holds the others, until somebody decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capacitord.config.attributes import attribute
from capacitord.model.completeness import Completeness, Event, Obstacles, why_together
from capacitord.model.deidentify import Deidentification
from capacitord.model.delivery import Send
from capacitord.model.profile import Profile
from capacitord.model.reasons import Reason
from capacitord.model.states import StudyState
from capacitord.model.transform import On, Suffix, Transform
from capacitord.site.routing import Routing
from capacitord.spool.releasing import Release
from tests.site.reviewing import ANN
from tests.site.routes import Box, box, going, has, put_image, route, routed_spool, running, study_of, version
from tests.spool.recount import recount
from tests.wait import wait_for

STUDY = "1.2.3"
WHOLE = Completeness((Event.QUIET,), 0.0, Send.STUDY)
CT = has("Modality", "CT")
PACS = ("pacs",)
INVALID: dict[str, Any] = {"Rows": 4, "Columns": 4, "BitsAllocated": 16, "PixelData": bytes(10)}


def whole(number: int = 1, **changes: Any) -> Profile:
    """Return a version that sends whole studies of CT to pacs."""
    plain = version(number, route("pacs", when=CT), names=("pacs", "archive"))
    return msgspec.structs.replace(plain, completeness=WHOLE, **changes)


@contextmanager
def whole_box(root: Path, profile: Profile | None = None) -> Iterator[Box]:
    with box(root, profile or whole()) as made:
        yield made


def closed(box: Box, state: StudyState) -> None:
    """Wait until the study is closed and has come to this."""

    def done() -> bool:
        box.spool.close_arrived(0.0, box.routing.profile.completeness)
        box.router.wake()
        return study_of(box.spool, STUDY).state is state

    wait_for(done, within=20.0, what=f"the study to be {state}")


def why(box: Box) -> dict[str, int]:
    return {each.reason: each.images for each in study_of(box.spool, STUDY).held_for}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [(INVALID, Reason.INVALID), ({"Modality": "MR"}, Reason.NO_ROUTE)],
)
def test_one_image_that_is_held_holds_its_study_and_a_late_one_until_it_is_discarded(
    tmp_path: Path, attributes: dict[str, Any], reason: Reason
) -> None:
    with whole_box(tmp_path) as one:
        for number in (1, 2, 3):
            put_image(one.spool, STUDY, number)
        put_image(one.spool, STUDY, 4, **attributes)
        closed(one, StudyState.HELD)
        assert why(one) == {reason: 1, Reason.TOGETHER: 3}
        assert (
            "3 of 4 images: 1 image of the study is held, and whole studies only are sent."
            in study_of(one.spool, STUDY).reason
        )
        put_image(one.spool, STUDY, 5)
        closed(one, StudyState.HELD)
        assert why(one) == {reason: 1, Reason.TOGETHER: 4}
        assert set(going(one.spool, STUDY).values()) == {()}
        study = one.spool.studies.find(STUDY)[0]
        assert one.spool.releasing.set_aside(study, "a test.", ANN, (1, 1.0)).images == 1
        closed(one, StudyState.MATCHED)
        assert going(one.spool, STUDY) == {1: PACS, 2: PACS, 3: PACS, 4: (), 5: PACS}
        assert one.urgencies
        recount(one.spool)


def test_a_late_image_of_a_study_that_left_goes_alone_and_one_that_is_held_calls_nothing_back(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        closed(one, StudyState.MATCHED)
        put_image(one.spool, STUDY, 2)
        closed(one, StudyState.MATCHED)
        assert going(one.spool, STUDY) == {1: PACS, 2: PACS}
        put_image(one.spool, STUDY, 3, **INVALID)
        closed(one, StudyState.HELD)
        assert going(one.spool, STUDY) == {1: PACS, 2: PACS, 3: ()}
        assert why(one) == {Reason.INVALID: 1}


def test_a_release_sends_all_that_waits_and_a_resend_of_the_held_image_frees_the_others(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        name = put_image(one.spool, STUDY, 2, **INVALID).hex()
        closed(one, StudyState.HELD)
        study = one.spool.studies.find(STUDY)[0]
        image = one.spool.studies.image(study, name)
        assert one.spool.ledger.resend(study, ["archive"], image, 1, matches=False) == 1
        closed(one, StudyState.MATCHED)
        assert going(one.spool, STUDY) == {1: PACS, 2: ("archive",)}
        put_image(one.spool, STUDY, 3, **INVALID)
        put_image(one.spool, STUDY, 4)
        closed(one, StudyState.HELD)
        assert one.spool.releasing.release(study, Release(("archive",), "as it is"), ANN, 1) == 2
        assert going(one.spool, STUDY) == {1: PACS, 2: ("archive",), 3: ("archive",), 4: ("archive",)}
        recount(one.spool)


def test_an_image_that_came_twice_with_other_content_holds_its_study(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        name = put_image(one.spool, STUDY, 1, PatientID="another").hex()
        put_image(one.spool, STUDY, 2)
        closed(one, StudyState.HELD)
        assert why(one) == {Reason.TOGETHER: 2, Reason.DUPLICATE: 1}
        assert "1 image of the study is in conflict" in study_of(one.spool, STUDY).reason
        study = one.spool.studies.find(STUDY)[0]
        one.spool.ledger.resend(study, ["pacs"], one.spool.studies.image(study, name), 1, matches=False)
        closed(one, StudyState.MATCHED)
        assert len(one.spool.ledger.due("pacs", 10)) == 3


def test_the_others_leave_when_a_person_discards_the_one_that_came_twice(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        put_image(one.spool, STUDY, 1, PatientID="another")
        put_image(one.spool, STUDY, 2)
        closed(one, StudyState.HELD)
        study = one.spool.studies.find(STUDY)[0]
        assert one.spool.releasing.set_aside(study, "a test.", ANN, (1, 1.0)).images == 1
        closed(one, StudyState.MATCHED)
        assert len(one.spool.ledger.due("pacs", 10)) == 2
        assert one.spool.releasing.restore(study) == 1
        assert why(one) == {Reason.DUPLICATE: 1}
        recount(one.spool)


def test_a_study_leaves_when_the_last_image_to_be_decided_proves_damaged_and_came_again(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        put_image(one.spool, STUDY, 2)
        one.spool.settle()
        place = one.spool.decisions.open(-1, 10)[1].stored.place
        with one.spool.layout.segment(place.segment).open("r+b") as file:
            file.seek(place.offset + place.size // 2)
            file.write(b"\xff" * 64)
        closed(one, StudyState.HELD)
        assert "damaged" in study_of(one.spool, STUDY).reason
        put_image(one.spool, STUDY, 2)
        closed(one, StudyState.MATCHED)
        assert len(one.spool.ledger.due("pacs", 10)) == 2


FAILING = (Suffix(attribute("PatientID"), "x" * 64),)
ONLY_MR = (Deidentification(match=has("Modality", "MR")),)


@pytest.mark.parametrize(
    "changes",
    [
        {"transforms": (Transform("long", On.INBOUND, FAILING, has("InstanceNumber", "2")),)},
        {"transforms": (Transform("long", On.OUTBOUND, FAILING, has("InstanceNumber", "2")),)},
        {"deidentifications": ONLY_MR},
    ],
)
def test_an_image_that_cannot_be_changed_as_the_profile_says_holds_its_study_until_that_is_mended(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with whole_box(tmp_path, whole(**changes)) as one:
        put_image(one.spool, STUDY, 1, PatientID="P1")
        put_image(one.spool, STUDY, 2, PatientID="P1")
        closed(one, StudyState.HELD)
        # Where routes look at attributes, they see them after the inbound transforms.
        assert {Reason.TRANSFORM_FAILED, Reason.UNREADABLE} & why(one).keys()
        assert sum(why(one).values()) == 2
        assert one.spool.ledger.due("pacs", 10) == []
        one.become(whole(2))
        closed(one, StudyState.MATCHED)
        assert len(one.spool.ledger.due("pacs", 10)) == 2


def test_a_profile_that_sends_images_as_they_come_sends_what_waited(tmp_path: Path) -> None:
    with whole_box(tmp_path) as one:
        put_image(one.spool, STUDY, 1)
        put_image(one.spool, STUDY, 2, **INVALID)
        closed(one, StudyState.HELD)
        one.become(msgspec.structs.replace(whole(2), completeness=Completeness()))
        wait_for(lambda: going(one.spool, STUDY)[1], within=20.0, what="the image to go")
        assert why(one) == {Reason.INVALID: 1}


def test_a_study_of_several_pages_leaves_at_once_and_outlives_a_restart_on_the_way(tmp_path: Path) -> None:
    routing = Routing(whole())
    spool = routed_spool(tmp_path, routing)
    for number in range(1, 151):
        put_image(spool, STUDY, number)
    spool.close_arrived(0.0, WHOLE)
    with running(spool, routing) as one:
        wait_for(lambda: one.spool.ledger.due("pacs", 1), within=20.0, what="the study to leave")
        assert len(one.spool.ledger.due("pacs", 1000)) == 150
        assert study_of(one.spool, STUDY).state is StudyState.MATCHED


def test_what_is_in_the_way_is_told() -> None:
    assert why_together(Obstacles()) == ""
    assert why_together(Obstacles(1)) == "1 image of the study is held, and whole studies only are sent"
    assert why_together(Obstacles(2, 1, 1)) == (
        "2 images of the study are held and 1 image of the study is in conflict with another of the same UID and "
        "1 image of the study is damaged, and whole studies only are sent"
    )
