"""The real daemon sends images as its profile says, in helper processes that end with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from capacitord.api import messages as m
from capacitord.model.states import AckState
from tests.images import TINY, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

FLUXCTL = Path(sys.executable).with_name("fluxctl")
J2K = "1.2.840.10008.1.2.4.90"
NAMES = {"name": "names", "set": {"InstitutionName": "St. Mary's Hospital"}}
STRICT = {"name": "strict", "map": {"Modality": {"table": {"XX": "YY"}, "strict": True}}}


def fluxctl(box: Box, *words: str) -> str:
    """Return what fluxctl prints, as one line."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [FLUXCTL, "--socket", str(box.client.socket_path), *words],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return " ".join(done.stdout.split())


def _is_said_to_be_held(box: Box, short: str) -> None:
    """Fail unless every place that counts or lists says that six images are held, and none was refused."""
    row = next(row for row in box.client.queue_list().destinations if row.destination == "pacs")
    assert (row.held, row.refused, row.images) == (6, 0, 0)
    box.wait(
        lambda status: status.traffic and status.traffic.destinations[0].held_images == 6, what="the status to say so"
    )
    assert [study.id for study in box.client.study_list(m.StudyQuery(undelivered=True)).studies] == [short]
    for command, words in (
        (("study", "show", short), "6 images held by this box: Transform 'strict' could not map Modality"),
        (("study", "list", "--undelivered"), "pacs held 6"),
        (("queue", "list"), "6 held"),
        (("status",), "6 images held"),
        (("destination", "list"), "this box holds 6 images and does not send them"),
        (("study", "explain", short), "held under version 3 of the profile"),
    ):
        said = fluxctl(box, *command)
        assert words in said, said
        assert "refused" not in said


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
        box.transforms = [STRICT]
        box.serve(*box.targets)
        assert {(ack.state, ack.profile_version) for ack in box.acks("pacs").values()} == {(AckState.DONE, 2)}
        (study,) = box.studies()
        box.client.study_resend(m.Resend(study.id))
        box.wait_until_delivered()
        assert {(ack.state, ack.profile_version) for ack in box.acks("pacs").values()} == {(AckState.HELD, 3)}
        reasons = {ack.reason for ack in box.acks("pacs").values()}
        assert len(reasons) == 1
        assert reasons.pop().startswith("Transform 'strict' could not map Modality: ")
        _is_said_to_be_held(box, study.id)
        # Also after a restart: what is held is not done, and the same version does not try it again.
        box.restart()
        _is_said_to_be_held(box, study.id)
        assert len(pacs.images()) == 6
        box.transforms = []
        box.serve(*box.targets)
        wait_for(
            lambda: {(ack.state, ack.profile_version) for ack in box.acks("pacs").values()} == {(AckState.DONE, 4)},
            within=30.0,
            what="the corrected profile to send what was held",
        )
        helpers = [
            pid for pid in box.program.descendants() if b"preparation" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert helpers
        box.wait(
            lambda status: status.traffic and not status.traffic.destinations[0].held_images,
            what="the status to say that nothing is held",
        )
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers), within=20.0, what="the helpers to be gone"
    )
