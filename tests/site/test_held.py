"""What this box itself does not send to a destination, and under which version of the profile the rest was sent."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.api.review import DiscardHeld, HeldList, ListHeld
from capacitord.dicom import classify
from capacitord.model.deidentify import Deidentification
from capacitord.model.reasons import Reason
from capacitord.model.states import AckState, DeliveryState
from capacitord.model.transform import Map, On, OnError, Transform
from capacitord.spool.ledger import Answer
from tests.dicom.transform.kit import at
from tests.images import Image, shipped
from tests.peers.storescp import Storescp
from tests.site.pacs import Pacs
from tests.site.reviewing import ANN
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import put_files, put_images, waiting
from tests.site.test_stand_ins import to
from tests.wait import wait_for

STUDY = "1.2.3"
STRICT = Map(at("Modality"), {"MR": "MR"}, strict=True)
HOLDING = Transform("names", On.OUTBOUND, (STRICT,))
MENDED = Transform("names", On.OUTBOUND, (STRICT,), on_error=OnError.SKIP)


def one_of(name: str) -> Image:
    return next(image for image in shipped() if image.path.name == name)


def told(box: Rig, name: str = "pacs") -> list[m.Ack]:
    """Return what a destination answered for every image, study by study."""
    details = (box.spool.studies.detail(box.spool.studies.find(s.id)[0], "x") for s in studies(box))
    return [ack for each in details for image in each.images for ack in image.acks if ack.destination == name]


def studies(box: Rig) -> tuple[m.Study, ...]:
    return box.spool.studies.page(m.StudyQuery()).studies


def answered(box: Rig, route: str, request: m.Message) -> dict[str, object]:
    return dict(json.loads(b"".join(box.answers().answer(route, request, lambda: None, ANN).pieces)))


def test_the_log_says_once_why_images_are_held_and_of_which_study(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), transforms=(HOLDING,)) as box:
        put_files(box.spool, [one_of("CT_small.dcm"), one_of("JPEG2000.dcm")])
        box.wake()
        wait_for(lambda: box.status().held_images == 2, within=PATIENCE, what="them to be held")
        said = [record.getMessage() for record in caplog.records if "is held" in record.getMessage()]
        assert len(said) == 1
        assert any(
            said[0].startswith(f"Study {study.id}: an image is held, not sent to pacs: ") for study in studies(box)
        )
        assert "could not map Modality" in said[0]


@pytest.mark.peers
def test_what_this_box_holds_is_counted_apart_and_goes_nowhere_else(tmp_path: Path) -> None:
    with (
        Storescp(tmp_path / "pacs", options=("--accept-all",)) as pacs,
        Storescp(tmp_path / "backup", options=("--accept-all",)) as backup,
        rig(
            tmp_path / "box",
            destination("pacs", pacs.port),
            destination("backup", backup.port),
            transforms=(HOLDING,),
            decide=to("pacs", or_to=("backup",)),
        ) as box,
    ):
        put_files(box.spool, [one_of("CT_small.dcm")])
        box.wake()
        status = wait_for(
            lambda: found if (found := box.status()).held_images else None, within=PATIENCE, what="it to be held"
        )
        assert (status.held_images, status.refused_images, status.waiting_images) == (1, 0, 0)
        assert status.circuit is m.CircuitState.CLOSED
        box.deliveries.stand_in()
        assert waiting(box.spool, "backup") == []
        (study,) = studies(box)
        (delivery,) = study.deliveries
        assert (delivery.state, delivery.held, delivery.moved) == (DeliveryState.FAILED, 1, 0)
        assert delivery.reason.startswith("1 image held back by this box: Transform 'names' could not map Modality: ")
        (ack,) = told(box)
        assert (ack.state, ack.attempts, ack.profile_version) == (AckState.HELD, 0, 1)
        queue = answered(box, "queue.list", m.Empty())
        assert isinstance(queue["destinations"], list)
        assert [(row["held"], row["refused"]) for row in queue["destinations"]] == [(1, 0), (0, 0)]
        assert [each.short for each in box.spool.studies.failed()] == [study.id]
        assert (pacs.requests(), backup.requests()) == (0, 0)


@pytest.mark.peers
def test_a_corrected_profile_sends_what_was_held_by_itself_and_one_that_is_not_holds_it_again(tmp_path: Path) -> None:
    image = one_of("CT_small.dcm")
    with (
        Storescp(tmp_path / "pacs", options=("--accept-all",)) as pacs,
        rig(tmp_path / "box", destination("pacs", pacs.port), transforms=(HOLDING,)) as box,
    ):
        put_files(box.spool, [image])
        box.wake()
        wait_for(lambda: box.status().held_images, within=PATIENCE, what="it to be held")
        box.become("pacs", pacs={"response_timeout": 19.0})
        wait_for(
            lambda: [(ack.state, ack.profile_version) for ack in told(box)] == [(AckState.HELD, 2)],
            within=PATIENCE,
            what="it to be held again",
        )
        box.transforms = (MENDED,)
        box.become("pacs")
        wait_for(
            lambda: [(ack.state, ack.profile_version) for ack in told(box)] == [(AckState.WARNING, 3)],
            within=PATIENCE,
            what="it to be delivered",
        )
        (ack,) = told(box)
        assert "Sent without it: Transform 'names' could not map Modality: " in ack.reason
        assert studies(box)[0].deliveries[0].warnings == 1
        assert pacs.images()[0].sha256() == image.sha256()
        assert (box.status().held_images, pacs.requests()) == (0, 1)
        assert box.queued


def test_what_an_old_association_held_after_the_new_profile_came_is_looked_at_by_the_upkeep(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        put_images(box.spool, 1)
        (pending,) = box.spool.ledger.sending(box.spool.ledger.due("pacs", 9), "Images are on their way.")
        box.become("pacs")
        late = Answer(
            pending.image,
            pending.delivery,
            classify.held("It was late.", Reason.TRANSFORM_FAILED),
            1,
            profile_version=1,
        )
        box.spool.ledger.record([late], box.spool.tick())
        assert [ack.state for ack in told(box)] == [AckState.HELD]
        box.deliveries.look_again()
        box.wait_until_delivered()
        assert [(ack.state, ack.profile_version) for ack in told(box)] == [(AckState.DONE, 2)]


def test_what_a_profile_does_not_name_any_more_stays_held(tmp_path: Path) -> None:
    with Pacs() as pacs, Pacs() as other, rig(tmp_path, destination("pacs", pacs.port), start=False) as box:
        box.destinations["other"] = destination("other", other.port)
        put_images(box.spool, 1)
        (pending,) = box.spool.ledger.sending(box.spool.ledger.due("pacs", 9), "Images are on their way.")
        held = Answer(
            pending.image,
            pending.delivery,
            classify.held("It was held.", Reason.TRANSFORM_FAILED),
            1,
            profile_version=1,
        )
        box.spool.ledger.record([held], box.spool.tick())
        box.become("other")
        assert [ack.state for ack in told(box)] == [AckState.HELD]


def test_each_answer_is_of_the_version_in_force_when_the_copy_was_made(tmp_path: Path) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        first = put_images(box.spool, 2)
        box.wake()
        box.wait_until_delivered()
        assert [ack.profile_version for ack in told(box)] == [1, 1]
        # Nothing of it concerns the destination, so the association goes on.
        box.become("pacs")
        put_images(box.spool, 1, first=3)
        box.wake()
        box.wait_until_delivered()
        assert [ack.profile_version for ack in told(box)] == [1, 1, 2]
        box.become("pacs")
        number, short = box.spool.studies.find(STUDY)
        answered(box, "study.resend", m.Resend(short, image=first[0]))
        box.wait_until_delivered()
        assert [(ack.state, ack.profile_version) for ack in told(box)] == [
            (AckState.DONE, 3),
            (AckState.DONE, 1),
            (AckState.DONE, 2),
        ]
        shown = box.spool.studies.detail(number, "x").images
        assert [image.acks[0].profile_version for image in shown] == [3, 1, 2]


def test_a_refusal_is_of_its_version_too(tmp_path: Path) -> None:
    with Pacs(lambda _: 0xC000) as pacs, rig(tmp_path, destination("pacs", pacs.port)) as box:
        put_images(box.spool, 1)
        box.wake()
        wait_for(lambda: box.status().refused_images, within=PATIENCE, what="it to be refused")
        assert [(ack.state, ack.profile_version) for ack in told(box)] == [(AckState.REFUSED, 1)]
        box.become("pacs")
        assert [ack.state for ack in told(box)] == [AckState.REFUSED]


@pytest.mark.peers
def test_what_waits_for_one_destination_is_listed_by_its_kind_and_a_person_leaves_it_out(tmp_path: Path) -> None:
    odd = Transform("names", On.OUTBOUND, (STRICT,), to=("archive",))
    with (
        Storescp(tmp_path / "pacs", options=("--accept-all",)) as pacs,
        rig(
            tmp_path / "box",
            destination("pacs", pacs.port),
            destination("research", pacs.port),
            destination("archive", pacs.port),
            transforms=(odd,),
            deidentifications=(Deidentification(to=("research",)),),
        ) as box,
    ):
        put_files(box.spool, [one_of("SC_rgb_jpeg_gdcm.dcm")])
        box.wake()
        wait_for(lambda: len(waits_for(box)) == 2, within=PATIENCE, what="it to be held")
        assert waits_for(box) == [("transform-failed", "archive"), ("burned-in", "research")]
        pacs.wait_for_images(1)
        box.spool.close_arrived(0.0)
        (study,) = studies(box)
        request = DiscardHeld(study.id, "a test", m.Secret(study.patient_name))
        body = box.answers().answer("held.discard", request, lambda: None, ANN)
        assert body.subjects == (study.id, "archive", "research")
        assert body.detail == (
            "held (transform-failed, burned-in) -> left out, 1 image for archive, 1 image for research"
        )
        assert f"fluxctl resend {study.id} --to DEST" in msgspec.json.decode(b"".join(body.pieces))["message"]
        assert (waits_for(box), box.status().held_images) == ([], 0)


def waits_for(box: Rig) -> list[tuple[str, str]]:
    """Return why something waits for a person, and for which destination, as `held.list` has it."""
    listed = msgspec.convert(answered(box, "held.list", ListHeld()), HeldList)
    return [(why.reason, why.destination) for each in listed.held for why in each.study.held_for]
