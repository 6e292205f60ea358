"""Storage commitment asked by a program we did not write: Orthanc sends a study and asks whether it is safe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.images import TINY, write_study
from tests.peers.orthanc import Orthanc
from tests.peers.program import free_port
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers


def test_orthanc_is_told_what_is_safe_and_what_is_not(tmp_path: Path) -> None:
    port = free_port()
    settings = {"modality": [{"ae_title": "ORTHANC", "host": "127.0.0.1", "port": port}]}
    with (
        Storescp(tmp_path / "pacs") as pacs,
        Box(tmp_path / "box", Target("pacs", "PACS", pacs.port), settings=settings) as box,
        Orthanc(tmp_path / "orthanc", port=port, knows={AE_TITLE: (box.host, box.port)}) as orthanc,
    ):
        box.serve(*box.targets)
        sent, kept_back = [
            [orthanc.upload(image.path) for image in write_study(tmp_path / name, images=2, shape=TINY, seed=seed)]
            for seed, name in enumerate(("sent", "kept back"))
        ]
        orthanc.send(AE_TITLE, sent)

        def ask(instances: list[str]) -> Any:
            asked = {"Resources": instances, "Timeout": 20}
            answer = json.loads(orthanc.request("POST", f"/modalities/{AE_TITLE}/storage-commitment", asked))

            def reported() -> Any:
                found = orthanc.get(answer["Path"])
                return found if found["Status"] != "Pending" else None

            return wait_for(reported, within=30.0, what="the report to be at Orthanc")

        report = ask(sent)
        assert (report["Status"], len(report["Success"]), report["Failures"]) == ("Success", 2, [])
        assert report["RemoteAET"] == AE_TITLE
        report = ask([*sent, *kept_back])
        assert (report["Status"], len(report["Success"])) == ("Failure", 2)
        assert [each["FailureReason"] for each in report["Failures"]] == [0x0112, 0x0112]
