"""Scanners that others wrote send into the real daemon: what is acknowledged is there, byte for byte, and once."""

from __future__ import annotations

import collections
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest

from capacitord.api import messages as m
from capacitord.model.states import GateState
from tests.chaos.disk import Disk
from tests.chaos.proxy import Proxy
from tests.images import CT, MIB, TINY, Image, read_image, shipped, write_study
from tests.peers.echo import echoscu
from tests.peers.orthanc import Orthanc
from tests.peers.senders import Outcome, Sent, dcmsend, send_exactly, start_storescu, storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.system.contents import digests, export
from tests.wait import wait_for

pytestmark = pytest.mark.peers

NOWHERE = Target("pacs", "STM_PACS", port=1)
"""A destination at which nobody listens."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box that several tests send to."""
    with Box(tmp_path_factory.mktemp("box"), NOWHERE) as box:
        yield box


def expected(images: Sequence[Image]) -> dict[str, set[str]]:
    return {image.sop_instance_uid: {image.sha256()} for image in images}


def of(images: Sequence[Image], found: dict[str, set[str]]) -> dict[str, set[str]]:
    return {image.sop_instance_uid: found.get(image.sop_instance_uid, set()) for image in images}


def elements(image: Image) -> list[tuple[int, str, object]]:
    """Return the data elements of an image, group lengths and padding left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            (each.tag, each.VR, each.value)
            for each in pydicom.dcmread(image.path)
            if each.tag.element != 0 and each.tag != 0xFFFCFFFC
        ]


@pytest.mark.parametrize(("seed", "send"), [(1, storescu), (2, dcmsend), (3, send_exactly)])
def test_what_a_scanner_sends_is_in_the_spool(box: Box, tmp_path: Path, seed: int, send: Callable[..., Sent]) -> None:
    study = [
        *write_study(tmp_path / "tiny", images=20, shape=TINY, seed=seed),
        *write_study(tmp_path / "ct", images=3, shape=CT, seed=seed, series_number=2),
    ]
    sent = send(study, box.host, box.port)
    assert sent.acknowledged == [image.path for image in study]
    assert of(study, digests(box)) == expected(study)


def test_the_box_answers_a_c_echo(box: Box) -> None:
    assert echoscu(box.host, box.port, called=AE_TITLE) == ""


def test_orthanc_sends_into_the_box(tmp_path: Path) -> None:
    names = {"JPEG2000.dcm", "MR_small_RLE.dcm", "ExplVR_BigEnd.dcm"}
    study = write_study(tmp_path / "study", images=5, shape=TINY, seed=10)
    others = [image for image in shipped() if image.path.name in names]
    assert len(others) == 3
    with (
        Box(tmp_path / "box", NOWHERE) as box,
        Orthanc(tmp_path / "scanner", ae_title="CT1", knows={AE_TITLE: (box.host, box.port)}) as scanner,
    ):
        for image in [*study, *others]:
            scanner.upload(image.path)
        assert scanner.send(AE_TITLE)["FailedInstancesCount"] == 0
        assert of(study, digests(box)) == expected(study)
        assert {image.calling_ae for image in box.images()} == {"CT1"}
        received = {image.sop_instance_uid: image for image in export(box, tmp_path / "out")}
    # Orthanc writes some lengths of sequences in another way than it read them, and changes no element.
    assert len(received) == 8
    for image in others:
        assert received[image.sop_instance_uid].transfer_syntax_uid == image.transfer_syntax_uid
        assert elements(received[image.sop_instance_uid]) == elements(image)


def test_the_same_image_again_is_stored_once_and_another_under_its_uid_is_kept_and_flagged(
    box: Box, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", images=2, shape=TINY, seed=20)
    other = bytearray(study[0].path.read_bytes())
    other[-100] ^= 1
    (tmp_path / "other.dcm").write_bytes(other)
    changed = read_image(tmp_path / "other.dcm")
    before = len(box.images())
    for images in (study, study, [changed], [changed]):
        assert len(storescu(images, box.host, box.port).acknowledged) == len(images)
    box.wait_for_spool(images=before + 3, conflicts=1)
    found = of(study, digests(box))
    assert found == {
        study[0].sop_instance_uid: {study[0].sha256(), changed.sha256()},
        study[1].sop_instance_uid: {study[1].sha256()},
    }
    assert "conflict" in {advice.reference for advice in box.traffic().advice}
    flagged = [i for i in box.images() if i.conflict and i.sop_instance_uid == study[0].sop_instance_uid]
    assert [bool(i.acks) for i in flagged] == [False], "the later one waits for a person"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_every_file_pydicom_ships_passes_through_the_box_unchanged(tmp_path: Path) -> None:
    images = [image for image in shipped() if _belongs_somewhere(image)]
    assert len(images) > 150
    assert {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"} <= {i.transfer_syntax_uid for i in images}
    with (
        Storescp(tmp_path / "pacs", options=("--accept-all", "--promiscuous"), keep_copies=True) as pacs,
        Box(tmp_path / "box", Target("pacs", pacs.ae_title, pacs.port)) as box,
    ):
        sent = send_exactly(images, box.host, box.port)
        assert [(a.path.name, a.detail) for a in sent.answers if a.outcome is not Outcome.SUCCESS] == []
        kept = collections.defaultdict(set)
        for image in images:
            kept[image.sop_instance_uid].add(_digest(image))
        assert digests(box) == kept
        # Many of them are one SOP instance in several syntaxes, of which the box sends the first on its own.
        for study in box.studies():
            for held in box.client.study_show(study.id).images:
                if held.conflict:
                    box.client.study_resend(m.Resend(study.id, image=held.object_id))
                elif held.held:
                    # What is cut off is held, and leaves as it came if a person says so.
                    box.client.study_resend(m.Resend(study.id, ("pacs",), image=held.object_id))
        box.wait_until_delivered()
        # Colour palettes are no storage SOP class to storescp.
        refused = {i.sop_instance_uid for i in box.images() if i.acks[0].state == "refused"}
        received = pacs.images()
    arrived = collections.defaultdict(set)
    for image in received:
        arrived[image.sop_instance_uid].add(image.sha256())
    assert {i.sop_class_uid for i in images if i.sop_instance_uid in refused} == {"1.2.840.10008.5.1.4.39.1"}
    assert arrived == {uid: digests for uid, digests in kept.items() if uid not in refused}
    originals = {_digest(image): image for image in images}
    for image in received:
        assert elements(image) == elements(originals[image.sha256()])


def _belongs_somewhere(image: Image) -> bool:
    """Say whether an image has the UIDs without which no archive could file it."""
    if image.sop_class_uid == "1.2.840.10008.5.1.4.39.1":
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(image.path, specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
    return bool(dataset.get("StudyInstanceUID")) and bool(dataset.get("SeriesInstanceUID"))


def _digest(image: Image) -> str:
    """Return the digest of what is sent of a file: one of odd length gets the zero byte of PS3.5 §A.5."""
    data = image.dataset()
    return hashlib.sha256(data + b"\0" * (len(data) % 2)).hexdigest()


def test_who_is_not_on_the_lists_is_turned_away_and_a_person_is_told(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=1, shape=TINY)
    lists = {"calling_ae_titles": ["CT1"], "called_ae_titles": [AE_TITLE]}
    with Box(tmp_path / "box", NOWHERE, settings={"storage": lists}) as box:
        assert not storescu(study, box.host, box.port, called=AE_TITLE, calling="CT2").acknowledged
        assert "CT2 at 127.0.0.1 was turned away" in turned_away(box)
        assert not storescu(study, box.host, box.port, called="OTHER", calling="CT1").acknowledged
        assert box.studies() == []
        assert storescu(study, box.host, box.port, called=AE_TITLE, calling="CT1").acknowledged
    with Box(tmp_path / "other", NOWHERE, settings={"storage": {"peers": ["10.0.0.0/8"]}}) as box:
        assert not storescu(study, box.host, box.port).acknowledged
        assert "127.0.0.1 was turned away" in turned_away(box)


def turned_away(box: Box) -> str:
    """Wait for the advice about who was turned away, and return its words."""

    def look(status: m.Status) -> str | None:
        advice = status.traffic.advice if status.traffic else ()
        return next((each.message for each in advice if each.reference == "turned-away"), None)

    return box.wait(look, what="advice about who was turned away")


def test_a_disk_at_its_reserve_refuses_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=6, shape=CT)
    with Disk(tmp_path / "disk", size=256 * MIB) as disk, Box(tmp_path / "box", NOWHERE, state=disk.path / "s") as box:
        assert len(storescu(study[:2], box.host, box.port).acknowledged) == 2
        disk.fill(leave=16 * MIB)
        gate = box.wait(lambda status: status.gate if not status.gate.may_scan else None, what="a gate that says no")
        assert gate.state is GateState.OPEN
        assert "reserve" in gate.reason
        sent = storescu(study[2:4], box.host, box.port)
        assert [answer.detail for answer in sent.answers] == ["Refused: OutOfResources"] * 2
        assert digests(box) == expected(study[:2])
        disk.make_room()
        box.wait(lambda status: status.gate.may_scan, what="a gate that says yes")
        assert len(storescu(study, box.host, box.port).acknowledged) == 6
        assert digests(box) == expected(study)


def test_a_scanner_in_the_middle_of_a_study_finishes_it_when_the_box_is_told_to_stop(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=8, shape=CT)
    with Box(tmp_path / "box", NOWHERE) as box:
        with Proxy(box.host, box.port) as link:
            link.throttle(2 * MIB)
            with start_storescu(study, link.host, link.port) as sending:
                wait_for(lambda: len(sending.so_far()) >= 2, what="a study to be on its way")
                assert box.stop() == 0
                sent = sending.finish()
        assert sent.acknowledged == [image.path for image in study]
        assert "aborted" not in box.log
        box.start()
        assert digests(box) == expected(study)
