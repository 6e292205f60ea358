"""Delivery to PACS that others wrote."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from capacitord.api import messages as m
from tests.chaos.proxy import Ending, Proxy
from tests.images import CT, TINY, Image, shipped, write_study
from tests.peers.orthanc import Orthanc
from tests.peers.storescp import Storescp
from tests.site.rig import Rig, destination, rig
from tests.site.stock import acks, put_files, waiting
from tests.wait import wait_for

pytestmark = pytest.mark.peers

PATIENCE = 60.0


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc"), settings={"OverwriteInstances": False}) as server:
        yield server


TRUNCATED = "MR_truncated.dcm"
"""Its pixel data are shorter than they say. Orthanc never answers for it."""


def shipped_once() -> list[Image]:
    """Return one file for each SOP instance that pydicom ships, the truncated one first."""
    found: dict[str, Image] = {}
    for image in sorted(shipped(), key=lambda image: image.path.name != TRUNCATED):
        found.setdefault(image.sop_instance_uid, image)
    return list(found.values())


def drain(box: Rig, left: int = 0) -> m.DestinationStatus:
    def done() -> bool:
        if box.status().waiting_images <= left:
            return True
        box.deliveries.one("pacs").hasten()
        return False

    wait_for(done, within=PATIENCE, what="the queue to be empty")
    return box.status()


def test_storescp_gets_each_image_bit_for_bit_over_a_link_that_is_cut(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=40, shape=TINY)
    with (
        Storescp(tmp_path / "pacs", keep_copies=True, options=("--fork",)) as pacs,
        Proxy(pacs.host, pacs.port) as link,
        rig(tmp_path / "spool", destination("pacs", link.port, associations=2)) as box,
    ):
        put_files(box.spool, images)
        box.wake()
        for count in (5, 15, 25):
            wait_for(lambda: len(pacs.received()) >= count, within=PATIENCE, what=f"{count} images")  # noqa: B023
            link.cut(Ending.RESET)
            box.deliveries.one("pacs").hasten()
        drain(box)
        digests = {image.sop_instance_uid: image.sha256() for image in images}
        received = pacs.images()
        assert {image.sop_instance_uid: image.sha256() for image in received} == digests
        # An image may come twice only if the link was cut while its answer was on its way.
        assert len(received) <= len(images) + 3 * 2


def without_patient_id(image: Image) -> bool:
    return not pydicom.dcmread(image.path, specific_tags=["PatientID"]).get("PatientID")


@pytest.mark.filterwarnings("ignore")
def test_orthanc_gets_all_it_takes_and_the_rest_says_why(tmp_path: Path, orthanc: Orthanc) -> None:
    images = shipped_once()
    with rig(tmp_path / "spool", destination("pacs", orthanc.port, associations=2, response_timeout=3.0)) as box:
        put_files(box.spool, images)
        box.wake()
        # To images without a PatientID it answers that it is out of resources.
        never = {image.sop_instance_uid for image in images if without_patient_id(image)}
        never.add(next(image.sop_instance_uid for image in images if image.path.name == TRUNCATED))
        wait_for(lambda: set(waiting(box.spool)) <= never, within=PATIENCE, what="all others to be answered for")
        answered = [ack for study in studies(box) for ack in acks(box.spool, study).items()]
        stored = {uid for uid, (state, _) in answered if state in {"done", "warning"}}
        assert stored == set(orthanc.instances())
        assert len(stored) > len(images) // 2
        refused = [reason for _, (state, reason) in answered if state == "refused"]
        assert refused
        assert all("PACS_AE" in reason for reason in refused)
        box.wait_for_reason("It is tried again")


def studies(box: Rig) -> list[str]:
    return [study.study_uid for study in box.spool.studies.page(m.StudyQuery(limit=1000)).studies]


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during", "--refuse"])
def test_storescp_that_aborts_or_refuses_gets_everything_when_it_behaves_again(tmp_path: Path, option: str) -> None:
    images = write_study(tmp_path / "study", images=5, shape=CT)
    with rig(tmp_path / "spool", destination("pacs", 1)) as box:
        with Storescp(tmp_path / "hostile", options=("--accept-all", option)) as hostile:
            box.broker.targets["pacs"] = hostile.port
            uids = put_files(box.spool, images)
            box.wake()
            box.wait_for_reason("reject" if option == "--refuse" else "ed the")
            assert not {state for state, _ in acks(box.spool, studies(box)[0]).values()} - {"waiting", "doubt"}
        with Storescp(tmp_path / "good", keep_copies=True) as good:
            box.broker.targets["pacs"] = good.port
            drain(box)
            assert sorted(image.sop_instance_uid for image in good.wait_for_images(5)) == sorted(uids)
            dataset = pydicom.dcmread(io.BytesIO(good.images()[0].path.read_bytes()))
            assert dataset.SOPInstanceUID in uids
            digests = {image.sha256() for image in good.images()}
            assert digests == {hashlib.sha256(image.dataset()).hexdigest() for image in images}
