"""Every command against the real daemon: real keys, real images from a real sender, a real PACS that goes away."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from capacitord.api import schemas
from capacitord.api.preview import label_of
from capacitord.dicom.preview import png
from fluxctl.main import main
from tests.fluxctl.conftest import Result, command
from tests.images import TINY, Image, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers


class Operator:
    """Somebody who runs fluxctl against one box."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def run(self, *arguments: str) -> Result:
        """Run a command, in this process: one of its own takes a quarter of a second to start."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--socket", str(self.box.client.socket_path), *arguments])
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read())
        return Result(code, *said)

    def spawn(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run a command in a process of its own."""
        done = subprocess.run(
            command(*arguments),
            input=stdin,
            env=os.environ | {"CAPACITORD_SOCKET": str(self.box.client.socket_path)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json and return its document, which is as its schema says."""
        result = self.run(*arguments, "--json")
        assert result.code == code, result.err
        document = json.loads(result.out)
        assert document["schema"].startswith("fluxctl.")
        return document


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, list[Image], Storescp]]:
    """A box that holds one study: delivered to the PACS, waiting for a backup that is not there."""
    folder = tmp_path_factory.mktemp("real")
    with (
        Storescp(folder / "pacs") as pacs,
        Box(
            folder / "box",
            Target("pacs", "PACS", pacs.port),
            Target("backup", "BACKUP", 1),
            settings={"spool": {"study_quiet": "1s"}},
        ) as box,
    ):
        images = write_study(folder / "study", images=4, shape=TINY, seed=7)
        storescu(images, box.host, box.port)
        box.wait_until_delivered("pacs")
        yield Operator(box), images, pacs


Scene = tuple[Operator, list[Image], Storescp]


def the_study(operator: Operator) -> Any:
    (study,) = operator.json("study", "list")["studies"]
    return study


def test_status(scene: Scene) -> None:
    operator, _, _ = scene
    result = operator.spawn("status")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("✔ READY TO SCAN — St. Mary's Hospital\n")
    document = operator.json("status")
    assert document["schema"] == schemas.schema_name("status")
    assert document["gate"]["may_scan"] is True


def test_lists(scene: Scene) -> None:
    operator, images, _ = scene
    study = the_study(operator)
    assert study["images"] == len(images)
    for reference in (study["id"], study["id"][:4], study["study_uid"], study["accession_number"]):
        if reference:
            assert operator.json("study", "show", reference)["study"]["id"] == study["id"]
    assert operator.json("study", "list", "--undelivered")["total"] == 1
    assert operator.json("study", "list", "--state", "discarded")["total"] == 0
    assert len(operator.json("queue", "show", study["id"])["images"]) == len(images)
    assert operator.json("study", "show", "nonsense", code=5)["error"]["reference"] == "not-found"
    waiting = {row["destination"]: row["images"] for row in operator.json("queue", "list")["destinations"]}
    assert waiting == {"pacs": 0, "backup": len(images)}
    for words in (
        ["study", "list"],
        ["study", "show", study["id"], "--images"],
        ["queue", "list"],
        ["destination", "list"],
    ):
        result = operator.run(*words)
        assert (result.code, result.err) == (0, "")
        assert "backup" in result.out


def test_an_event_is_in_the_log_once(scene: Scene) -> None:
    operator, _, _ = scene
    short = the_study(operator)["id"]
    said = [line for line in operator.box.log.splitlines() if short in line and "delivered" in line]
    assert len(said) == 1, said


def test_echo(scene: Scene) -> None:
    operator, _, _ = scene
    assert operator.run("destination", "echo", "pacs").code == 0
    assert operator.run("destination", "echo", "backup").code == 1
    found = operator.json("destination", "echo", "ALL", code=8)["echoes"]
    assert {echo["destination"]: echo["ok"] for echo in found} == {"pacs": True, "backup": False}
    assert operator.run("destination", "echo", "nobody").code == 5


def test_queue(scene: Scene) -> None:
    operator, _, _ = scene
    assert operator.run("queue", "pause", "backup").code == 0
    assert "⚠ paused" in operator.run("queue", "list").out
    assert operator.run("queue", "resume", "ALL").code == 0
    assert operator.run("queue", "flush", "backup").code == 0
    assert operator.run("queue", "flush", "nobody").code == 5


def test_resend(scene: Scene) -> None:
    operator, images, pacs = scene
    study = the_study(operator)["id"]
    before = pacs.requests()
    assert operator.run("resend", study, "--to", "pacs", "--image", images[0].sop_instance_uid, "--yes").code == 0
    wait_for(lambda: pacs.requests() == before + 1, what="the image to be sent once more")
    assert operator.run("resend", study, "--to", "nobody", "--yes").code == 5


def test_export(scene: Scene, tmp_path: Path) -> None:
    operator, images, _ = scene
    study = the_study(operator)["id"]
    document = operator.json("study", "export", study, str(tmp_path / "out"))
    assert document["images"] == len(images)
    found = {}
    for name in document["files"]:
        path = tmp_path / "out" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found[str(pydicom.dcmread(path).SOPInstanceUID)] = path
    assert set(found) == {image.sop_instance_uid for image in images}
    assert operator.run("study", "export", study, str(tmp_path / "out")).code == 6


def test_preview(scene: Scene, tmp_path: Path) -> None:
    operator, images, _ = scene
    study, path = the_study(operator)["id"], tmp_path / "picture.png"
    document = operator.json("study", "preview", study, "--png", str(path), "--size", "64")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert document["file"] == str(path)
    assert label_of(path.read_bytes()).image == document["picture"]["image"]
    assert max(png.decoded(path.read_bytes()).shape) <= 64
    assert operator.run("study", "preview", study, "--png", str(path)).code == 6
    uid = images[0].sop_instance_uid
    assert operator.run("study", "preview", study, "--image", uid, "--png", str(path), "--force").code == 0
    assert operator.run("study", "preview", study, "--frame", "2", "--png", "-").code == 5
    entries = operator.json("audit", "show", "--action", "study.preview")["entries"]
    assert ([study], "done") in [(entry["subjects"], entry["result"]) for entry in entries]


def test_keys(scene: Scene, tmp_path: Path) -> None:
    operator, _, _ = scene
    assert operator.json("key", "status")["locked"] is False
    assert operator.run("key", "init").code == 6
    assert operator.json("key", "rotate", "--yes")["generation"] == 2
    path = tmp_path / "recovery"
    passphrase = "correct horse battery staple\n"  # noqa: S105 - of a box that lives for this test
    result = operator.spawn("key", "export", "--recovery", str(path), "--passphrase-stdin", stdin=passphrase)
    assert result.code == 0, result.err
    assert path.stat().st_size > 100


def test_profiles(scene: Scene) -> None:
    operator, _, _ = scene
    (summary,) = operator.json("profile", "list")["profiles"]
    assert summary["active"] is True
    text = operator.run("profile", "show").out
    again = operator.spawn("profile", "import", "-", "--dry-run", stdin=text)
    assert again.code in {0, 6}
    broken = operator.spawn("profile", "import", "-", stdin=text.replace("PACS", "P" * 20))
    assert broken.code == 7
    assert "must have 1 to 16 characters" in broken.err


def test_a_second_site_comes_changes_goes_back_and_goes(scene: Scene, tmp_path: Path) -> None:
    operator, _, _ = scene
    (tmp_path / "cloud.token").write_text("token-1\n")
    text = (
        'schema = 1\nid = "lakeside"\nname = "Lakeside"\nversion = {0}\ntimezone = "UTC"\n'
        '[[destination]]\nname = "cloud"\nstow = "https://127.0.0.1:{1}/studies"\ntoken_file = "cloud.token"\n'
    )
    file = tmp_path / "lakeside.toml"
    for version, port in ((1, 9), (2, 10)):
        file.write_text(text.format(version, port))
        result = operator.run("profile", "import", str(file))
        assert result.code == 0, result.err
    assert "fluxctl site activate lakeside" in result.out
    assert {site["id"]: site["active"] for site in operator.json("site", "list")["sites"]}["lakeside"] is False
    (version, stow) = operator.json("profile", "diff", "lakeside")["changes"]
    assert (version["old"], version["new"], stow["where"]) == ("1", "2", "destination cloud")
    assert operator.json("profile", "diff", str(file))["changes"] == []
    operator.json("profile", "rollback", "lakeside", "--reason", "a test", "--yes")
    history = operator.json("profile", "history", "lakeside")
    assert [(each["version"], each["how"]) for each in history["activations"]] == [
        (1, "import"),
        (2, "import"),
        (1, "rollback"),
    ]
    operator.json("profile", "export", "lakeside@2", str(tmp_path / "out"))
    assert (tmp_path / "out" / "lakeside.toml").read_text() == file.read_text()
    assert (tmp_path / "out" / "cloud.token").read_text() == "token-1\n"
    assert operator.run("profile", "remove", "lakeside", "--yes").code == 0
    assert operator.run("profile", "show", "lakeside").code == 5


def test_audit_and_doctor(scene: Scene) -> None:
    operator, _, _ = scene
    entries = operator.json("audit", "show")["entries"]
    assert {"key.init", "profile.import"} <= {entry["action"] for entry in entries}
    assert operator.json("audit", "show", "--action", "key.init", "--since", "1h")["entries"]
    assert operator.json("audit", "verify")["ok"] is True
    checks = {check["name"]: check["level"] for check in operator.json("doctor", code=1)["checks"]}
    assert checks["daemon"] == "ok"
    assert checks["destination backup"] == "failure"
    assert (checks["queue pacs"], checks["queue backup"]) == ("ok", "warning")
    assert (checks["images"], checks["isolation"]) == ("ok", "ok")
    report = operator.json("doctor", "--verify", code=1)
    assert report["verify"]["damaged"] == 0
    assert report["verify"]["images"] >= 4
    assert report["checks"][-1]["name"] == "sealed objects"
    assert operator.run("doctor", "--verify").out.splitlines()[-1].startswith("✘ 1 failure and ")


def test_completion(scene: Scene) -> None:
    operator, _, _ = scene
    study = the_study(operator)["id"]
    result = operator.spawn("study", "show", "", _FLUXCTL_COMPLETE="fish")
    assert result.out.startswith(f"{study}\tCT ")
    assert "backup\t" in operator.spawn("queue", "pause", "", _FLUXCTL_COMPLETE="fish").out
    assert operator.spawn("profile", "show", "", _FLUXCTL_COMPLETE="fish").out == "st-marys\tSt. Mary's Hospital\n"


def test_watch(scene: Scene) -> None:
    operator, _, _ = scene
    with subprocess.Popen(
        command("watch"),
        env=os.environ | {"CAPACITORD_SOCKET": str(operator.box.client.socket_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "READY TO SCAN" in process.stdout.readline()
        process.terminate()


def test_an_image_that_came_again_with_other_content_is_named_and_sent_on_request(scene: Scene, tmp_path: Path) -> None:
    operator, images, _ = scene
    dataset = pydicom.dcmread(images[0].path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(tmp_path / "other.dcm")
    storescu([replace(images[0], path=tmp_path / "other.dcm")], operator.box.host, operator.box.port)
    study = the_study(operator)
    assert study["conflicts"] == 1
    (image,) = (i for i in operator.json("study", "show", study["id"])["images"] if i["conflict"])
    named = image["object_id"][:6]
    page = operator.run("study", "show", study["id"], "--images").out
    assert f"fluxctl resend {study['id']} --image {named}" in " ".join(page.split())
    assert page.count(named) == 3
    assert f"fluxctl study show {study['id']}" in " ".join(operator.run("status").out.split())
    operator.json("resend", study["id"], "--image", named, "--to", "pacs", "--yes")
    wait_for(
        lambda: "pacs got it by a resend" in " ".join(operator.run("study", "show", study["id"]).out.split()),
        what="the image to be there",
    )
    assert the_study(operator)["conflicts"] == 0
    assert "in conflict" not in operator.run("status").out


def test_discard_comes_last(scene: Scene) -> None:
    operator, _, _ = scene
    study = the_study(operator)["id"]
    wait_for(lambda: the_study(operator)["state"] != "receiving", what="the study to be complete")
    assert operator.run("study", "discard", study).code == 6
    result = operator.run("study", "discard", study, "--reason", "phantom", "--yes")
    assert result.code == 0, result.err
    assert operator.json("study", "list", "--undelivered")["total"] == 0
    entry = operator.json("audit", "show", "--action", "study.discard")["entries"][-1]
    assert study in entry["subjects"]
