"""`study resolve` on a real box: what a PACS got de-identified leads an operator back, and nobody else."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxctl import exits
from tests.fluxctl.conftest import command
from tests.fluxctl.test_real_box import Operator
from tests.images import TINY, Image, write_study
from tests.peers.privilege import root_prefix
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

DCMDUMP = "/usr/bin/dcmdump"
SETPRIV = "/usr/bin/setpriv"
TABLES: dict[str, Any] = {
    "transform": [
        {"on": "inbound", "set": {"IssuerOfPatientID": "STM", "StudyID": "S-7"}},
        {"to": ["research"], "deidentify": {"profile": "basic"}},
    ],
}
TAGS = {
    "PatientID": "patient id",
    "PatientName": "patient name",
    "AccessionNumber": "accession number",
    "StudyID": "study id",
    "StudyInstanceUID": "study UID",
    "SeriesInstanceUID": "series UID",
    "SOPInstanceUID": "SOP instance UID",
}


def dumped(path: Path, keyword: str) -> str:
    """Return a value of a stored file as dcmdump shows it."""
    done = subprocess.run([DCMDUMP, "+P", keyword, "-q", path], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].partition("[")[2].partition("]")[0]


class Scene:
    """A box whose images were delivered, de-identified to a research archive, and purged."""

    def __init__(self, box: Box, images: list[Image], stored: Path) -> None:
        self.operator = Operator(box)
        self.images = images
        self.codes = {keyword: dumped(stored, keyword) for keyword in TAGS}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    # Where somebody else may go as well, to be refused by the daemon.
    with tempfile.TemporaryDirectory(prefix="resolve-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            Storescp(folder / "pacs") as pacs,
            Storescp(folder / "research") as research,
            Box(
                folder / "box",
                Target("pacs", "PACS", pacs.port),
                Target("research", "RESEARCH", research.port),
                keep_delivered="1s",
                settings={"spool": {"study_quiet": "1s"}, "control": {"read_groups": ["daemon"]}},
                tables=TABLES,
            ) as box,
        ):
            (folder / "box").chmod(0o755)
            images = write_study(folder / "study", images=3, shape=TINY, seed=7)
            storescu(images, box.host, box.port)
            box.wait_until_delivered()
            wait_for(lambda: [study.purged for study in box.studies()] == [3], within=60, what="the images to leave")
            yield Scene(box, images, research.wait_for_images(3)[0].path)


@pytest.mark.parametrize("keyword", TAGS)
def test_what_the_archive_got_leads_back_after_the_images_were_purged(scene: Scene, keyword: str) -> None:
    code = scene.codes[keyword]
    assert code
    found = scene.operator.json("study", "resolve", code)
    assert found["searched"] == ["research"]
    (resolution,) = found["resolutions"]
    (study,) = scene.operator.json("study", "list")["studies"]
    assert resolution["study"] == study
    assert TAGS[keyword] in resolution["kinds"]
    if keyword == "SOPInstanceUID":
        assert resolution["uid"] in {image.sop_instance_uid for image in scene.images}


def test_a_person_reads_who_it_is(scene: Scene) -> None:
    (study,) = scene.operator.json("study", "list")["studies"]
    code = scene.codes["PatientID"]
    result = scene.operator.run("study", "resolve", f"{code[:4]} {code[4:8]}-{code[8:]}".lower(), "--to", "research")
    assert result.code == 0, result.err
    for words in ("patient id, patient name at research", study["id"], study["patient_id"], "the code was sent there"):
        assert words in result.out


def test_what_is_not_known_says_where_it_was_looked_for(scene: Scene) -> None:
    result = scene.operator.run("study", "resolve", "TP7PQWGYQGBF")
    assert result.code == exits.NOT_FOUND
    assert "research of st-marys, the active site" in " ".join(result.err.split())
    assert scene.operator.run("study", "resolve", scene.codes["PatientID"], "--to", "pacs").code == exits.NOT_FOUND
    assert scene.operator.run("study", "resolve", scene.codes["PatientID"], "--to", "x").code == exits.NOT_FOUND
    assert scene.operator.run("study", "resolve", " ").code == exits.INVALID


def test_that_somebody_asked_is_in_the_audit_log_without_what_was_told(scene: Scene) -> None:
    found = scene.operator.json("study", "resolve", scene.codes["PatientID"])
    study = found["resolutions"][0]["study"]
    entry = scene.operator.json("audit", "show", "--action", "study.resolve")["entries"][-1]
    assert (entry["subjects"], entry["result"]) == ([study["id"], "research"], "done")
    for told in (json.dumps(scene.operator.json("audit", "show")), scene.operator.box.log):
        for secret in (*scene.codes.values(), study["patient_id"], study["patient_name"], study["study_uid"]):
            assert secret not in told


def test_somebody_who_may_only_look_is_refused(scene: Scene) -> None:
    prefix = root_prefix()
    assert prefix is not None, "asking as another user takes root or sudo"
    user = (*prefix, SETPRIV, "--reuid=nobody", "--regid=daemon", "--clear-groups")
    socket = str(scene.operator.box.client.socket_path)

    def run(*arguments: str) -> int:
        words = [*user, *command("--socket", socket, *arguments)]
        return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode

    assert run("study", "list") == 0
    assert run("study", "resolve", scene.codes["PatientID"]) == exits.NOT_PERMITTED
