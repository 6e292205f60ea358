"""The real daemon sends images as its profile says, in helper processes that end with it."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from capacitord.api import messages as m
from tests.images import TINY, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

J2K = "1.2.840.10008.1.2.4.90"
NAMES = {"name": "names", "set": {"InstitutionName": "St. Mary's Hospital"}}
STRICT = {"name": "strict", "map": {"Modality": {"table": {"XX": "YY"}, "strict": True}}}


def test_images_are_compressed_and_changed_and_a_new_profile_mends_what_was_held(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=6, shape=TINY)
    with (
        Storescp(tmp_path / "pacs") as pacs,
        Box(tmp_path / "box", Target("pacs", "STORESCP", pacs.port, settings={"compress": "JPEG2000Lossless"})) as box,
    ):
        box.transforms = [NAMES]
        box.serve(*box.targets)
        assert storescu(images, box.host, box.port, called=AE_TITLE).acknowledged == [image.path for image in images]
        box.wait_until_delivered()
        received = pacs.wait_for_images(6)
        assert {image.transfer_syntax_uid for image in received} == {J2K}
        assert {pydicom.dcmread(image.path).InstitutionName for image in received} == {"St. Mary's Hospital"}
        helpers = [
            pid for pid in box.program.descendants() if b"preparation" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert helpers
        box.transforms = [STRICT]
        box.serve(*box.targets)
        (study,) = box.studies()
        box.client.study_resend(m.Resend(study.id))
        box.wait_until_delivered()
        reasons = {ack.reason for ack in box.acks("pacs").values()}
        assert len(reasons) == 1
        assert reasons.pop().startswith("Transform 'strict' could not map Modality: ")
        box.transforms = []
        box.serve(*box.targets)
        box.client.study_resend(m.Resend(study.id))
        box.wait_until_delivered()
        assert {str(ack.state) for ack in box.acks("pacs").values()} == {"done"}
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers), within=20.0, what="the helpers to be gone"
    )
