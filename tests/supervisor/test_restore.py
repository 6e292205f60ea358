"""Keys that are lost, and come back from the recovery file; and what is never done to a spool without its key."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capacitord.api import messages as m
from capacitord.model.states import GateState
from capacitord.seal.recovery import open_recovery
from tests.images import TINY, write_study
from tests.peers.senders import storescu
from tests.supervisor.daemon import Answer, Daemon, running
from tests.system.box import Box, Target

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of boxes that live for a test
BOX_PASSPHRASE = "another mule with a stapler"  # noqa: S105


NOBODY = Target("pacs", "PACS", 1)
"""A destination that never answers, so that images stay."""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with running() as started:
        yield started


def exported(daemon: Daemon) -> str:
    """Return the text of a recovery file."""
    text: str = daemon.post("/v1/key/export", {"passphrase": {"value": PASSPHRASE}})["text"]
    return text


def restore(daemon: Daemon, text: str, recovery: str = PASSPHRASE, **request: Any) -> Answer:
    """Ask for the keys of a recovery file."""
    return daemon.ask("POST", "/v1/key/restore", {"text": text, "recovery": {"value": recovery}, **request})


def again(daemon: Daemon) -> None:
    """Start a daemon that was stopped."""
    daemon.start()
    daemon.up()


def site_key(daemon: Daemon) -> Path:
    """Return the file of the site's key."""
    (found,) = (daemon.state / "keys").rglob("st-marys.site-key")
    return found


def served_and_stopped(daemon: Daemon) -> str:
    """Have a box with a spool that is not empty, and return its recovery file."""
    daemon.serve()
    text = exported(daemon)
    daemon.stop()
    (daemon.state / "sites" / "st-marys" / "catalog.db").write_bytes(b"images")
    return text


@pytest.mark.peers
def test_a_new_box_reads_the_spool_of_one_whose_keys_are_lost(tmp_path: Path) -> None:
    with Box(tmp_path / "old", NOBODY) as old:
        images = write_study(tmp_path / "study", images=2, shape=TINY, seed=11)
        storescu(images, old.host, old.port)
        before = {image.sop_instance_uid: image.object_id for image in old.images()}
        text = old.client.key_export(m.KeyExport(m.Secret(PASSPHRASE))).text
        assert old.stop() == 0
    with Box(tmp_path / "new", NOBODY) as new:
        assert new.stop() == 0
        shutil.rmtree(new.state / "keys")
        shutil.rmtree(new.state / "sites")
        shutil.copytree(old.state / "sites", new.state / "sites")
        new.launch()
        new.wait_until_answering()
        assert new.status().gate.state is GateState.BLOCKED
        restored = new.client.key_restore(m.KeyRestore(text, m.Secret(PASSPHRASE)))
        assert restored.sites == ("st-marys",)
        new.wait_until_open()
        assert {image.sop_instance_uid: image.object_id for image in new.images()} == before
        assert set(before) == {image.sop_instance_uid for image in images}
        (study,) = new.studies()
        with new.client.study_export(study.id) as stream:
            archive = io.BytesIO(stream.read())
        with tarfile.open(fileobj=archive) as opened:
            assert len(opened.getnames()) == len(images)


@pytest.mark.parametrize("trouble", ["missing", "damaged"])
def test_a_lost_site_key_shuts_the_gate_until_it_is_put_back(daemon: Daemon, trouble: str) -> None:
    text = served_and_stopped(daemon)
    path = site_key(daemon)
    before = path.read_bytes()
    if trouble == "missing":
        path.unlink()
    else:
        path.write_bytes(before.replace(b"wrapped", b"unwrapped"))
    again(daemon)
    gate = daemon.until("blocked")["gate"]
    assert not gate["may_scan"]
    if trouble == "missing":
        assert "its key is missing" in gate["reason"]
        assert "fluxctl key restore" in gate["hint"]
        assert not path.exists()
    else:
        assert daemon.get("/v1/key")["damaged"] == ["st-marys"]
        levels = {check["name"]: check["level"] for check in daemon.get("/v1/doctor")["checks"]}
        assert levels["site keys"] == "failure"
    assert restore(daemon, text).status == 200
    daemon.until("open")
    assert daemon.get("/v1/key")["sites"] == ["st-marys"]
    assert daemon.get("/v1/key")["damaged"] == []


def test_a_key_that_opens_is_never_replaced(daemon: Daemon) -> None:
    daemon.serve()
    text = exported(daemon)
    files = {path: path.read_bytes() for path in (daemon.state / "keys").rglob("*key")}
    refused = restore(daemon, text)
    assert (refused.status, refused.error["reference"]) == (409, "refused")
    assert "nothing was restored" in refused.error["message"]
    wrong = restore(daemon, text, "incorrect horse battery")
    assert (wrong.status, wrong.error["reference"]) == (403, "wrong-key")
    assert restore(daemon, "no recovery file").status == 400
    assert {path: path.read_bytes() for path in (daemon.state / "keys").rglob("*key")} == files
    daemon.until("open")


def test_the_keys_of_another_box_are_refused_and_its_advice_leads_on(daemon: Daemon) -> None:
    text = served_and_stopped(daemon)
    shutil.rmtree(daemon.state / "keys")
    again(daemon)
    daemon.post("/v1/key/init")
    gate = daemon.until("blocked")["gate"]
    assert "its key is missing" in gate["reason"]
    assert daemon.get("/v1/key")["sites"] == []
    refused = restore(daemon, text)
    assert (refused.status, refused.error["reference"]) == (409, "refused")
    assert f"move {daemon.state / 'keys'} aside" in refused.error["hint"]
    daemon.stop()
    (daemon.state / "keys").rename(daemon.folder / "aside")
    again(daemon)
    assert restore(daemon, text).status == 200
    daemon.until("open")


def test_restoring_takes_a_source_and_leaves_no_passphrase_behind(daemon: Daemon) -> None:
    text = served_and_stopped(daemon)
    shutil.rmtree(daemon.state / "keys")
    again(daemon)
    missing = restore(daemon, text, source="passphrase")
    assert missing.error["message"] == "A passphrase is needed."
    assert daemon.get("/v1/key")["present"] is False
    assert restore(daemon, text, source="passphrase", passphrase={"value": BOX_PASSPHRASE}).status == 200
    daemon.until("open")
    assert daemon.get("/v1/key")["source"] == "passphrase"
    entry = daemon.get("/v1/audit?action=key.restore&limit=1")["entries"][-1]
    assert (entry["result"], entry["subjects"]) == ("done", ["st-marys"])
    assert "from a recovery file" in entry["detail"]
    everything = b"".join(path.read_bytes() for path in daemon.folder.rglob("*") if path.is_file())
    assert PASSPHRASE.encode() not in everything
    assert BOX_PASSPHRASE.encode() not in everything


def test_a_locked_box_says_how_to_go_on(daemon: Daemon) -> None:
    daemon.post("/v1/key/init", {"source": "passphrase", "passphrase": {"value": BOX_PASSPHRASE}})
    text = exported(daemon)
    daemon.stop()
    again(daemon)
    locked = restore(daemon, text)
    assert (locked.status, locked.error["reference"]) == (409, "locked")
    assert "fluxctl key unlock" in locked.error["hint"]
    assert "aside" in locked.error["hint"]


def test_the_configuration_also_binds_what_is_restored() -> None:
    with running() as daemon:
        text = served_and_stopped(daemon)
    with running(config='[keys]\nsource = "passphrase"\n') as other:
        refused = restore(other, text)
        assert (refused.status, refused.error["reference"]) == (409, "refused")
        assert "fluxctl key restore FILE --source passphrase" in refused.error["hint"]
        assert other.get("/v1/key")["present"] is False


def warned(daemon: Daemon) -> str:
    """Return what status says of the recovery file."""
    found = [each["message"] for each in daemon.get("/v1/status")["advice"] if each["reference"] == "recovery-file"]
    checks = daemon.get("/v1/doctor")["checks"]
    assert [each["message"] for each in checks if each["name"] == "recovery file"] == found
    assert daemon.get("/v1/key")["unsaved"] == "".join(found)
    return "".join(found)


def test_a_recovery_file_that_cannot_open_the_spool_is_said_to_be_one(daemon: Daemon) -> None:
    daemon.post("/v1/key/init")
    assert "no recovery file has been written" in warned(daemon)
    early = exported(daemon)
    assert warned(daemon) == ""
    daemon.import_profile()
    daemon.until("open")
    assert "does not hold the key of st-marys" in warned(daemon)
    assert open_recovery(early.encode(), PASSPHRASE).sites == ()
    late = exported(daemon)
    assert warned(daemon) == ""
    assert [key.site for key in open_recovery(late.encode(), PASSPHRASE).sites] == ["st-marys"]
    daemon.stop()
    again(daemon)
    daemon.until("open")
    assert warned(daemon) == ""
    daemon.post("/v1/key/rotate", {})
    assert "from before the box key was made anew" in warned(daemon)
