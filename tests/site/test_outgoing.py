"""Images on their way to PACS that others wrote: changed, de-identified and transcoded as the profile says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from capacitord.dicom.contexts import Pair
from capacitord.dicom.forms import forms
from capacitord.dicom.outgoing import Came, Recipe
from capacitord.model.attribute import Attribute
from capacitord.model.compression import Compression
from capacitord.model.conditions import CalledAs, CalledBy, Condition, Empty, Exactly, Glob, Has, Values
from capacitord.model.deidentify import Deidentification
from capacitord.model.transform import (
    Map,
    On,
    OnError,
    Operation,
    Record,
    Remove,
    Set,
    Transform,
)
from capacitord.site.preparation.messages import Job
from capacitord.site.preparation.pool import WHILE_PREPARED, Pool
from capacitord.site.preparation.preparation import keys_of
from tests.dicom.transform.kit import at, value
from tests.images import TINY, Image, read_image, shipped, write_study
from tests.peers.orthanc import Orthanc
from tests.peers.storescp import Storescp
from tests.site.pacs import STORED, Pacs, Reaction
from tests.site.rig import PATIENCE, Rig, destination, rig
from tests.site.stock import CT, KEY, acks, content, put_files, put_images, set_priority, waiting
from tests.wait import wait_for

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
JPEG_LOSSLESS, JPEG_BASELINE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50"
J2K, RLE, JPEG_LS = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"
PIXELS = (0x7FE0, 0x0010)
UID = (0x0008, 0x0018)


def image_named(name: str) -> Image:
    return next(image for image in shipped() if image.path.name == name)


def outbound(*operations: Operation, name: str = "names", **how: Any) -> Transform:
    return Transform(name, On.OUTBOUND, operations, **how)


def inbound(*operations: Operation, name: str = "corrections", **how: Any) -> Transform:
    return Transform(name, On.INBOUND, operations, **how)


def has(attribute: Attribute, text: str) -> Condition:
    return Has(attribute, Values((Exactly(text),)))


@contextlib.contextmanager
def delivered(tmp_path: Path, images: list[Image], *options: str, **how: Any) -> Iterator[tuple[Rig, Storescp]]:
    """Deliver images to a storescp with these options, and yield when nothing waits any more."""
    settings = {name: how.pop(name) for name in ("compress", "transfer_syntaxes") if name in how}
    with (
        Storescp(tmp_path / "pacs", options=options or ("--accept-all",)) as pacs,
        rig(tmp_path / "spool", destination("pacs", pacs.port, **settings), **how) as box,
    ):
        put_files(box.spool, images)
        box.wake()
        box.wait_until_delivered()
        yield box, pacs


def only(pacs: Storescp) -> pydicom.Dataset:
    (image,) = pacs.images()
    return pydicom.dcmread(image.path)


def study_of(image: Image) -> str:
    return str(pydicom.dcmread(image.path, stop_before_pixels=True).StudyInstanceUID)


def pixels(path: Path, folder: Path) -> bytes:
    """Return native pixel data as GDCM decodes it."""
    raw = folder / f"{path.name}.raw.dcm"
    subprocess.run(["/usr/bin/gdcmconv", "--raw", path, raw], check=True, capture_output=True)
    return bytes(pydicom.dcmread(raw).PixelData)


# --- nothing changes


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_where_no_transform_fits_every_byte_is_as_it_was_received(tmp_path: Path) -> None:
    images = {image.sop_instance_uid: image for image in shipped() if image.size() < 1 << 20}
    never = outbound(Set(at("PatientID"), value("X")), match=has(at("Modality"), "NO SUCH"))
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port), transforms=(never,)) as box:
        put_files(box.spool, images.values())
        box.wake()
        wait_for(lambda: len(pacs.stored) > len(images) - 5, within=PATIENCE, what="the images")
        box.wait_until_delivered()
        for uid, (data,) in pacs.stored.items():
            assert data[: images[uid].size()] == images[uid].dataset(), images[uid].path.name
        for image in images.values():
            if image.sop_instance_uid not in pacs.stored:
                # What cannot be read cannot be looked at, so nobody knows whether the transform is for it.
                state, reason = acks(box.spool, study_of(image))[image.sop_instance_uid]
                assert state == "held"
                assert reason.startswith("Its attributes cannot be changed as the profile says")


# --- transforms


@pytest.mark.peers
def test_what_is_set_and_removed_arrives_and_the_rest_stays(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    transforms = (
        inbound(Set(at("InstitutionName"), value("{StationName|unknown} coach"))),
        outbound(
            Set(at("PatientID"), value("STM-{PatientID}")),
            Remove(at("(0009,xxxx)")),
            match=Has(at("InstitutionName"), Values((Glob("* coach"),))),
            record=Record(system="FLUX"),
        ),
        outbound(Set(at("StudyID"), value("never")), match=has(at("InstitutionName"), "JFK IMAGING CENTER")),
        outbound(Set(at("StudyID"), value("not here")), to=("elsewhere",)),
    )
    with delivered(tmp_path, [image], transforms=transforms) as (box, pacs):
        before, after = pydicom.dcmread(image.path), only(pacs)
        assert after.file_meta.TransferSyntaxUID == EXPLICIT
        assert after.InstitutionName.endswith(" coach")
        assert after.PatientID == f"STM-{before.PatientID}"
        assert after.StudyID == before.StudyID
        assert not [element for element in after if element.tag.group == 9]
        assert after.PixelData == before.PixelData
        (record,) = after.OriginalAttributesSequence
        assert record.ModifyingSystem == "FLUX"
        assert record.ModifiedAttributesSequence[0].PatientID == before.PatientID
        shown = subprocess.run(["/usr/bin/dcmdump", *pacs.received()], check=True, capture_output=True, text=True)
        assert f"STM-{before.PatientID}" in shown.stdout
        assert waiting(box.spool) == []


def test_conditions_see_how_an_image_came_in(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    transforms = (
        outbound(Set(at("StudyID"), value("called")), match=CalledAs(Values((Exactly("FLUXBOX"),)))),
        outbound(Set(at("AccessionNumber"), value("by")), match=CalledBy(Values((Exactly("SCANNER"),)))),
        outbound(Set(at("StudyDescription"), value("no")), match=CalledBy(Values((), (Exactly("SCANNER"),)))),
        outbound(Set(at("(7FE1,1001)"), value("x"), vr="LO"), match=Has(at("(FFFC,FFFC)"), Values((), (Empty(),)))),
    )
    with delivered(tmp_path, [image], transforms=transforms) as (_, pacs):
        after = only(pacs)
        assert (after.StudyID, after.AccessionNumber) == ("called", "by")
        assert after.StudyDescription == pydicom.dcmread(image.path).StudyDescription


def test_an_image_whose_transform_fails_is_held_with_the_reason_until_the_profile_is_mended(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    strict = Map(at("Modality"), {"MR": "MR"}, strict=True)
    with delivered(tmp_path, [image], transforms=(outbound(strict, name="St. Mary's names"),)) as (box, pacs):
        state, reason = acks(box.spool, study_of(image))[image.sop_instance_uid]
        assert state == "held"
        assert reason.startswith('Transform "St. Mary\'s names" could not map Modality: ')
        assert "fluxctl resend" in reason
        assert pacs.requests() == 0
        assert not box.deliveries.one("pacs").feed.claimed()
        box.transforms = (outbound(strict, on_error=OnError.SKIP),)
        box.become("pacs")
        box.wait_until_delivered()
        assert pacs.images()[0].sha256() == image.sha256()


def test_a_failing_image_keeps_no_other_from_leaving(tmp_path: Path) -> None:
    good, bad = image_named("MR_small.dcm"), image_named("CT_small.dcm")
    strict = outbound(Map(at("Modality"), {"MR": "MR"}, strict=True))
    with delivered(tmp_path, [bad, good], transforms=(strict,)) as (box, pacs):
        assert [image.sop_instance_uid for image in pacs.images()] == [good.sop_instance_uid]
        assert box.status().circuit == "closed"


# --- transfer syntaxes


@pytest.mark.peers
@pytest.mark.parametrize("target", [J2K, RLE, JPEG_LS, JPEG_LOSSLESS])
def test_images_are_compressed_without_loss_for_a_destination_that_wants_it(tmp_path: Path, target: str) -> None:
    images = write_study(tmp_path / "study", images=3, shape=TINY)
    with delivered(tmp_path, images, compress=Compression(target)) as (_, pacs):
        received = pacs.images()
        assert {image.transfer_syntax_uid for image in received} == {target}
        before = {image.sop_instance_uid: pydicom.dcmread(image.path) for image in images}
        for image in received:
            dataset = pydicom.dcmread(image.path)
            assert pixels(image.path, tmp_path) == before[image.sop_instance_uid].PixelData
            assert dataset.PatientName == before[image.sop_instance_uid].PatientName


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options", "listed", "expected"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", ("--prefer-uncompr",), (), EXPLICIT),
        ("MR_small_jpeg_ls_lossless.dcm", ("--implicit",), (), IMPLICIT),
        ("MR_small_RLE.dcm", ("--prefer-uncompr",), (J2K, IMPLICIT), IMPLICIT),
        ("MR_small.dcm", ("--implicit",), (), IMPLICIT),
        ("MR_small.dcm", ("--accept-all",), (J2K, EXPLICIT), EXPLICIT),
        ("MR_small.dcm", ("--accept-all",), (J2K, RLE), J2K),
        ("MR_small_RLE.dcm", ("--accept-all",), (J2K,), J2K),
        ("MR_small.dcm", ("--prefer-uncompr",), (JPEG_BASELINE,), EXPLICIT),
        ("image_dfl.dcm", ("--prefer-uncompr",), (), EXPLICIT),
    ],
)
def test_an_image_leaves_in_the_best_form_there_is(
    tmp_path: Path, name: str, options: tuple[str, ...], listed: tuple[str, ...], expected: str
) -> None:
    image = image_named(name)
    with delivered(tmp_path, [image], *options, transfer_syntaxes=listed) as (_, pacs):
        (received,) = pacs.images()
        assert received.transfer_syntax_uid == expected
        if image.transfer_syntax_uid == expected:
            assert received.sha256() == image.sha256()


@pytest.mark.peers
def test_what_cannot_be_compressed_is_sent_as_it_is(tmp_path: Path) -> None:
    report, picture = image_named("reportsi.dcm"), image_named("CT_small.dcm")
    with delivered(tmp_path, [report, picture], compress=Compression(J2K)) as (_, pacs):
        syntaxes = {image.sop_instance_uid: image for image in pacs.images()}
        assert syntaxes[picture.sop_instance_uid].transfer_syntax_uid == J2K
        assert syntaxes[report.sop_instance_uid].sha256() == report.sha256()


def test_what_can_be_written_in_nothing_that_is_accepted_is_held_with_the_reason(tmp_path: Path) -> None:
    only_j2k = Pacs(refused=lambda _, syntax: syntax != J2K)
    with only_j2k as pacs, rig(tmp_path, destination("pacs", pacs.port, transfer_syntaxes=(J2K,))) as box:
        (uid,) = put_images(box.spool, 1)
        box.wake()
        box.wait_until_delivered()
        state, reason = acks(box.spool, "1.2.3")[uid]
        assert state == "held"
        assert reason.startswith("It cannot be written as the destination accepts it. JPEG 2000 Lossless: ")
        assert not pacs.seen


def test_an_image_that_is_too_large_to_be_transcoded_leaves_as_it_is_or_says_why(tmp_path: Path) -> None:
    small = Pool(keys_of(KEY), size=1, budget=2000)
    where = destination("pacs", compress=Compression(J2K))
    with Pacs() as pacs, rig(tmp_path, where, pool=small) as box:
        box.broker.targets["pacs"] = pacs.port
        (uid,) = put_images(box.spool, 1)
        box.wake()
        box.wait_until_delivered()
        assert pacs.stored[uid] == [content(1)]
        pacs.refused = lambda _, syntax: syntax != J2K
        box.deliveries.one("pacs").hasten()
        (other,) = put_images(box.spool, 1, first=2)
        wait_for(lambda: not pacs.open, within=PATIENCE, what="the association to end")
        box.wake()
        box.wait_until_delivered()
        assert "It is larger than 0 MiB" in acks(box.spool, "1.2.3")[other][1]


def test_a_lossy_image_is_a_new_instance_and_the_queue_knows_it_by_its_old_name(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    lossy = Compression("1.2.840.10008.1.2.4.91", ratio=8.0)
    with delivered(tmp_path, [image], compress=lossy) as (box, pacs):
        after = only(pacs)
        assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != image.sop_instance_uid
        assert after.LossyImageCompression == "01"
        assert acks(box.spool, study_of(image))[image.sop_instance_uid][0] == "done"


# --- de-identification

BASIC = (Deidentification(),)


def test_a_de_identified_image_arrives_without_the_name_and_is_the_same_each_time(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    before = pydicom.dcmread(image.path)
    transforms = (
        outbound(Set(at("InstitutionName"), value("Research")), match=has(at("PatientID"), before.PatientID)),
    )
    with delivered(tmp_path, [image], deidentifications=BASIC, transforms=transforms) as (box, pacs):
        first = only(pacs)
        whole = pacs.received()[0].read_bytes()
        for text in (before.PatientID, "CompressedSamples", image.sop_instance_uid, before.StudyInstanceUID):
            assert text.encode() not in whole
        assert first.InstitutionName == "Research"
        assert first.PixelData == before.PixelData
        assert first.SOPInstanceUID != image.sop_instance_uid
        assert acks(box.spool, study_of(image))[image.sop_instance_uid][0] == "done"
        pacs.received()[0].unlink()
        study, _ = box.spool.studies.find(study_of(image))
        box.spool.ledger.resend(study, ["pacs"], None, 1)
        box.wake()
        box.wait_until_delivered()
        assert only(pacs) == first


def test_a_de_identified_image_is_compressed_too(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    lossy = Compression("1.2.840.10008.1.2.4.91", ratio=8.0)
    with delivered(tmp_path, [image], deidentifications=BASIC, compress=lossy) as (_, pacs):
        after = only(pacs)
        assert after.file_meta.TransferSyntaxUID == lossy.transfer_syntax
        assert "CompressedSamples" not in str(after)
        assert "InstanceCreationDate" not in after


def test_what_cannot_be_de_identified_is_held_and_large_images_pass_by_the_helpers(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    burned = inbound(Set(at("BurnedInAnnotation"), value("YES")))
    with delivered(
        tmp_path, [image], deidentifications=BASIC, transforms=(burned,), pool=Pool(keys_of(KEY), budget=2000)
    ) as (box, pacs):
        state, reason = acks(box.spool, study_of(image))[image.sop_instance_uid]
        assert state == "held"
        assert reason.startswith("This image cannot be de-identified: ")
        assert pacs.requests() == 0
        box.transforms = ()
        box.become("pacs")
        study, _ = box.spool.studies.find(study_of(image))
        box.spool.ledger.resend(study, ["pacs"], None, 1)
        box.wake()
        box.wait_until_delivered()
        assert "CompressedSamples" not in str(only(pacs))
        assert not box.preparation.pool.helpers


def test_only_the_destination_it_is_for_gets_it_without_the_name(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    how = (Deidentification(to=("research",)),)
    with Pacs() as clinic, Pacs() as research:
        where = (destination("pacs", clinic.port), destination("research", research.port))
        with rig(tmp_path, *where, deidentifications=how) as box:
            put_files(box.spool, [image])
            box.wake()
            box.wait_until_delivered("pacs")
            box.wait_until_delivered("research")
            assert clinic.stored[image.sop_instance_uid] == [image.dataset()]
            ((data,),) = research.stored.values()
            assert b"CompressedSamples" not in data


# --- while things go on


def odd(how: str, **settings: Any) -> Pool:
    command = (sys.executable, "-m", "tests.site.odd_helper", how)
    return Pool(keys_of(KEY), **{"size": 1, "command": command, **settings})


class Reluctant:
    """An image that is not read before it `goes_on`."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def chunks(self) -> Iterator[memoryview]:
        assert self.goes_on.wait(PATIENCE)
        yield memoryview(b"at last")

    def job(self) -> Job:
        came = Came.at("UTC", "SCANNER", "FLUXBOX", 1_700_000_000_000_000_000)
        return Job(CT.transfer_syntax_uid, "1.2", 7, came, forms(CT, None, ()), Recipe("elsewhere", "UTC"))


def test_a_helper_that_is_killed_in_the_middle_costs_a_rest_and_no_image(tmp_path: Path) -> None:
    pool = odd("slowly")
    where = destination("pacs", compress=Compression(J2K))
    with Pacs() as pacs, rig(tmp_path, where, pool=pool) as box:
        box.broker.targets["pacs"] = pacs.port
        # Made-up images that the odd helper hands back as they were.
        uids = put_images(box.spool, 4)
        box.wake()
        (pid,) = wait_for(lambda: pool.helpers, within=PATIENCE, what="a helper")
        os.kill(pid, signal.SIGKILL)

        box.wait_for_reason("was ended by signal 9")
        box.deliveries.one("pacs").hasten()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert pool.held == 0


def test_what_takes_longer_to_prepare_than_associations_last_is_delivered_all_the_same(tmp_path: Path) -> None:
    pool = odd("slowly")
    with Pacs() as pacs, rig(tmp_path, destination("pacs", compress=Compression(J2K)), pool=pool) as box:
        box.broker.targets["pacs"] = pacs.port
        uids = put_images(box.spool, 3)
        box.wake()

        def done() -> bool:
            # Every association is ended soon after it began.
            box.deliveries.one("pacs").hasten()
            return box.status().waiting_images == 0

        wait_for(done, within=PATIENCE, what="all to be delivered")
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert len(pacs.associations) > len(uids)


def test_a_helper_that_always_hangs_is_said_as_the_reason(tmp_path: Path) -> None:
    pool = odd("hang", patience=lambda _: 0.2)
    where = destination("pacs", compress=Compression(J2K))
    with Pacs() as pacs, rig(tmp_path, where, pool=pool) as box:
        box.broker.targets["pacs"] = pacs.port
        put_images(box.spool, 1)
        box.wake()
        box.wait_for_reason("did not come to an end")
        assert waiting(box.spool) == ["1.2.3.1"]
        assert not pacs.seen
        assert box.spool.ledger.backlog("pacs").doubtful == 0


@pytest.mark.parametrize("pair", [CT, Pair("1.2.840.10008.5.1.4.1.1.4", CT.transfer_syntax_uid)])
def test_a_stat_image_overtakes_what_is_prepared_ahead(tmp_path: Path, pair: Pair) -> None:
    pool = odd("slowly")
    with Pacs() as pacs, rig(tmp_path, destination("pacs", compress=Compression(J2K)), pool=pool) as box:
        box.broker.targets["pacs"] = pacs.port
        bulk = put_images(box.spool, 12, study="1.2.1")
        box.wake()
        wait_for(lambda: len(pacs.seen) == 2, within=PATIENCE, what="two images to be sent")
        pacs.hold()
        wait_for(lambda: len(pacs.seen) == 3, within=PATIENCE, what="the third image to be sent")
        stat = put_images(box.spool, 2, study="1.2.9", pair=pair)
        set_priority(box.spool, "1.2.9", 9)
        box.deliveries.wake(9)
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys([*bulk, *stat], 1)
        # One is on the wire, and one was handed to the association already. While the first stat image is
        # being prepared, another that is ready may go.
        assert pacs.seen.index(stat[0]) <= 5
        assert pool.held == 0


def test_the_version_of_the_profile_in_force_decides_what_is_prepared_ahead(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=12, shape=TINY)
    old, new = (outbound(Set(at("StudyID"), value(text))) for text in ("OLD", "NEW"))
    where = destination("pacs", compress=Compression(J2K))
    with Pacs() as pacs, rig(tmp_path / "spool", where, transforms=(old,)) as box:
        box.broker.targets["pacs"] = pacs.port
        pacs.hold()
        uids = put_files(box.spool, images)
        box.wake()
        wait_for(lambda: pacs.seen, within=PATIENCE, what="the first image")
        wait_for(lambda: box.preparation.pool.held, within=PATIENCE, what="images that are prepared ahead")
        before = list(pacs.seen)
        box.transforms = (new,)
        box.become("pacs")
        pacs.go_on()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        sent = [uid for uid in pacs.seen if b"OLD" in pacs.stored[uid][0]]
        # What is on the wire goes as it was; what the association had in hand behind it does not.
        assert sent == before
        assert all((b"NEW" in pacs.stored[uid][0]) != (uid in sent) for uid in uids)
        assert box.preparation.pool.held == 0


def test_no_image_leaves_with_the_name_once_a_version_in_force_forbids_it(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=4, shape=TINY)
    name = str(pydicom.dcmread(images[0].path).PatientName).encode()
    with Pacs() as pacs, rig(tmp_path / "spool", destination("pacs", pacs.port)) as box:
        pacs.hold()
        uids = put_files(box.spool, images)
        box.wake()
        wait_for(lambda: pacs.seen, within=PATIENCE, what="the first image")
        # The association takes the second image while it waits for the answer.
        feed = box.deliveries.one("pacs").feed
        wait_for(lambda: len(feed._ready) == len(uids) - 2, within=PATIENCE, what="the second image to be in hand")
        box.deidentifications = BASIC
        box.become("pacs")
        pacs.go_on()
        box.wait_until_delivered()
        with_name = [uid for uid, (data,) in pacs.stored.items() if name in data]
        assert with_name == [pacs.seen[0]]
        assert len(pacs.stored) == len(uids)
        assert box.spool.ledger.backlog("pacs").doubtful == 0


def test_an_image_that_finds_no_room_beside_those_that_are_ready_does_not_keep_them(tmp_path: Path) -> None:
    size = 1 << 16
    pool = odd("same", budget=WHILE_PREPARED * size)
    with Pacs() as pacs, rig(tmp_path, destination("pacs", compress=Compression(J2K)), pool=pool) as box:
        box.broker.targets["pacs"] = pacs.port
        first = put_images(box.spool, 1, size=size)
        behind = put_images(box.spool, 2, first=2, size=size // 2)
        # The first is on the wire when the association ends, and the others are ready. The first is to be prepared anew
        # for the next association, which has one of the others in hand by the time a helper is free.
        busy = Reluctant()
        pacs.react = lambda _: Reaction.CLOSE if len(pacs.seen) == 1 else STORED
        pacs.hold()
        box.wake()
        wait_for(lambda: pacs.seen == first, within=PATIENCE, what="the first image")
        wait_for(lambda: pool.held == 2 * size, within=PATIENCE, what="the others to be ready")
        elsewhere = pool.submit(busy, busy.job(), ("elsewhere", 1, 1), 9)
        pacs.go_on()
        wait_for(lambda: pool._queue and len(pool._aside) < len(behind), within=PATIENCE, what="the next association")
        busy.goes_on.set()
        assert elsewhere.wait(PATIENCE)
        elsewhere.release()
        box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys([*first, *behind], 1)
        assert pool.held == 0


def test_memory_stays_within_its_bound_while_a_backlog_is_compressed(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=30, shape=TINY)
    size = max(image.size() for image in images)
    pool = Pool(keys_of(KEY), size=2, budget=10 * size)
    most = [0]
    with Pacs() as pacs:
        where = destination("pacs", pacs.port, compress=Compression(J2K), associations=3)
        with rig(tmp_path / "spool", where, pool=pool) as box:
            uids = put_files(box.spool, images)
            box.wake()

            def done() -> bool:
                most[0] = max(most[0], pool.held)
                return box.status().waiting_images == 0

            wait_for(done, within=PATIENCE, what="all to be delivered")
            assert 0 < most[0] <= pool.budget
            assert set(pacs.counts) == set(uids)


@pytest.mark.peers
def test_orthanc_takes_what_was_compressed_and_de_identified(tmp_path: Path) -> None:
    image = image_named("CT_small.dcm")
    with Orthanc(tmp_path / "orthanc") as server:
        where = destination("pacs", server.port, compress=Compression(J2K))
        with rig(tmp_path / "spool", where, deidentifications=BASIC) as box:
            put_files(box.spool, [image])
            box.wake()
            box.wait_until_delivered()
            (uid,) = server.wait_for_instances(1)
            path = tmp_path / "stored.dcm"
            path.write_bytes(server.download(uid))
            assert read_image(path).transfer_syntax_uid == J2K
            assert uid != image.sop_instance_uid
