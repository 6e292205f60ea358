"""`study explain` on a real box: what it says is what a PACS got, and nobody else hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fluxctl import exits
from tests.fluxctl.test_real_box import Operator
from tests.images import TINY, Image, shipped, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

J2K = "1.2.840.10008.1.2.4.90"
TABLES: dict[str, Any] = {
    "route": [
        {"match": {"StudyDescription": "*STROKE*"}, "to": ["research"], "priority": "stat"},
        {"match": {"Modality": "CT"}, "to": ["pacs"]},
    ],
    "transform": [
        {"on": "inbound", "set": {"StationName": "COACH7"}},
        {"to": ["pacs"], "set": {"InstitutionName": "St. Mary's Hospital"}, "hash": ["StudyID"]},
    ],
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, list[Image], Storescp]]:
    """A box that has sent a CT study to a PACS, transformed and compressed, and holds an MR image."""
    folder = tmp_path_factory.mktemp("explained")
    with (
        Storescp(folder / "pacs") as pacs,
        Box(
            folder / "box",
            Target("pacs", "PACS", pacs.port, settings={"compress": "JPEG2000Lossless"}),
            Target("research", "RESEARCH", 1),
            tables=TABLES,
        ) as box,
    ):
        images = write_study(folder / "study", images=3, shape=TINY, seed=7)
        storescu([*images, next(image for image in shipped() if image.path.name == "MR_small.dcm")], box.host, box.port)
        pacs.wait_for_images(3)
        wait_for(lambda: box.client.status().traffic, within=30.0, what="a status")
        yield Operator(box), images, pacs


Scene = tuple[Operator, list[Image], Storescp]


def short_id(operator: Operator, modality: str) -> str:
    return str(next(s["id"] for s in operator.json("study", "list")["studies"] if s["modalities"] == [modality]))


def test_it_says_what_the_pacs_got(scene: Scene) -> None:
    operator, images, pacs = scene
    found = operator.json("study", "explain", short_id(operator, "CT"))
    (group,) = found["groups"]
    assert (group["images"], group["opened"], found["unopened"], found["version"]) == (3, 1, 0, 1)
    assert (group["recorded"]["route"], group["recorded"]["profile_version"]) == (2, 1)
    assert [(ack["destination"], ack["state"]) for ack in group["recorded"]["acks"]] == [("pacs", "done")]
    trial = group["trial"]
    assert (trial["route"], trial["to"]) == (2, ["pacs"])
    (leaving,) = trial["destinations"]
    stored = {image.sop_instance_uid: image for image in pacs.images()}[trial["sop_instance_uid"]]
    assert (leaving["transfer_syntax"]["uid"], leaving["bytes"]) == (stored.transfer_syntax_uid, stored.size())
    assert stored.transfer_syntax_uid == J2K
    changed = {each["name"]: each["after"] for each in leaving["changes"]}
    assert changed["StationName"] == "COACH7"
    data = stored.dataset()
    assert changed["StudyID"].encode() in data
    assert trial["sop_instance_uid"] in {image.sop_instance_uid for image in images}


def test_what_is_held_says_why_each_route_did_not_match(scene: Scene) -> None:
    operator, *_ = scene
    result = operator.run("study", "explain", short_id(operator, "MR"))
    assert result.code == 0, result.err
    for words in ("held by version 1", "✘ route 2 does not: Modality is MR, wanted: CT", "It is held: no route"):
        assert words in result.out


def test_one_image_can_be_asked_for(scene: Scene) -> None:
    operator, images, _ = scene
    short = short_id(operator, "CT")
    found = operator.json("study", "explain", short, "--image", images[1].sop_instance_uid)
    assert [group["trial"]["sop_instance_uid"] for group in found["groups"]] == [images[1].sop_instance_uid]
    assert operator.run("study", "explain", short, "--image", "9.9.9.9").code == exits.NOT_FOUND
    assert operator.run("study", "explain", "nothing").code == exits.NOT_FOUND


def test_patient_data_goes_to_whoever_asked_and_nowhere_else(scene: Scene) -> None:
    operator, *_ = scene
    short = short_id(operator, "CT")
    found = operator.json("study", "explain", short)
    name = found["study"]["patient_name"]
    assert name
    entry = operator.json("audit", "show", "--action", "study.explain")["entries"][-1]
    assert (entry["subjects"], entry["result"]) == ([short], "done")
    for told in (json.dumps(operator.json("audit", "show")), operator.box.log):
        assert name not in told
        assert found["study"]["patient_id"] not in told
        assert "COACH7" not in told
