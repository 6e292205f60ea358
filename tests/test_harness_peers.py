"""The peers are real: what is sent arrives bit for bit, and what is refused is counted as refused."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images import CT, CT_STORAGE, EXPLICIT_LITTLE, TINY, Image, read_image, shipped, uid, write_study
from tests.peers import packages
from tests.peers.dcmqrscp import Dcmqrscp
from tests.peers.echo import echoscu
from tests.peers.orthanc import Orthanc
from tests.peers.program import DidNotStart, Program, free_port
from tests.peers.senders import Outcome, dcmsend, movescu, send_exactly, start_storescu, storescu
from tests.peers.storescp import Storescp
from tests.peers.wire import Ended, Wire, fragments, store_request
from tests.wait import wait_for

pytestmark = pytest.mark.peers

NOT_PATIENT_RELATED = "1.2.840.10008.5.1.4.39.1"


def digests(images: list[Image]) -> dict[str, str]:
    return {image.sop_instance_uid: image.sha256() for image in images}


def test_storescp_keeps_what_storescu_sends_bit_for_bit(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=12, shape=TINY)
    with Storescp(tmp_path / "pacs") as pacs:
        sent = storescu([tmp_path / "study"], pacs.host, pacs.port)
        assert sent.acknowledged == [image.path for image in study]
        assert not sent.refused + sent.unanswered
        assert digests(pacs.wait_for_images(12)) == digests(study)
        assert pacs.requests() == 12
        assert storescu(study[:1], pacs.host, pacs.port).returncode == 0
        assert pacs.requests() == 13


def test_an_exact_sender_changes_no_byte_of_what_pydicom_ships(tmp_path: Path) -> None:
    images = [image for image in shipped() if image.sop_class_uid != NOT_PATIENT_RELATED]
    with Storescp(tmp_path, options=["--accept-all", "--promiscuous"], keep_copies=True) as pacs:
        sent = send_exactly(images, pacs.host, pacs.port)
        assert [a for a in sent.answers if a.outcome is not Outcome.SUCCESS] == []
        received = pacs.wait_for_images(len(images))
    even = [image.dataset() + b"\0" * (image.size() % 2) for image in images]
    assert collections.Counter(even) == collections.Counter(image.dataset() for image in received)


def test_an_association_by_hand(tmp_path: Path) -> None:
    first, second = write_study(tmp_path / "study", images=2, shape=TINY)
    proposed = [(CT_STORAGE, EXPLICIT_LITTLE), ("1.2.3.4", EXPLICIT_LITTLE)]
    with Storescp(tmp_path / "pacs") as pacs:
        with Wire(pacs.host, pacs.port, proposed) as wire:
            assert list(wire.contexts) == proposed[:1]
            assert wire.max_pdu == 16384
            wire.send_store(first, 1)
            assert wire.read_status() == 0
            half = store_request(second, 2)
            wire.send_bytes(next(fragments(1, half, 1, 16384)))
            wire.abort()
        with Wire(pacs.host, pacs.port, proposed) as wire:
            wire.release()
        assert digests(pacs.wait_for_images(1)) == digests([first])
    with pytest.raises(Ended, match="refused"):
        Wire(pacs.host, pacs.port, proposed)
    with Storescp(tmp_path / "refusing", options=["--refuse"]) as pacs, pytest.raises(Ended, match="type 3"):
        Wire(pacs.host, pacs.port, proposed)


def test_a_lost_answer_is_not_an_acknowledgement(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=3, shape=TINY)
    with Storescp(tmp_path / "pacs", options=["--abort-after"]) as pacs:
        by_storescu = storescu(study, pacs.host, pacs.port)
        by_dcmsend = dcmsend(study, pacs.host, pacs.port)
    assert by_dcmsend.returncode == 0, "dcmsend says all is well"
    for sent in (by_storescu, by_dcmsend):
        assert not sent.acknowledged
        assert len(sent.unanswered) == 3


def test_a_refusal_is_not_an_acknowledgement(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=2, shape=TINY)
    nameless = next(image for image in shipped() if image.path.name == "JPEGLSNearLossless_08.dcm")
    with Orthanc(tmp_path / "pacs") as pacs:
        by_dcmsend = dcmsend([nameless, *study], pacs.host, pacs.port)
        exactly = send_exactly([nameless, *study], pacs.host, pacs.port)
    assert by_dcmsend.returncode == 0, "dcmsend says all is well"
    for sent in (by_dcmsend, exactly):
        assert sent.refused == [nameless.path]
        assert sent.acknowledged == [image.path for image in study]


def test_what_a_killed_sender_was_told_is_known(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=20, shape=CT)
    with (
        Storescp(tmp_path / "pacs", options=["--sleep-after", "1"]) as pacs,
        start_storescu(study, pacs.host, pacs.port) as sending,
    ):
        wait_for(
            lambda: any(answer.outcome is Outcome.SUCCESS for answer in sending.so_far()),
            what="a first acknowledgement",
        )
        sent = sending.kill()
    assert sent.returncode != 0
    assert sent.acknowledged[0] == study[0].path
    assert sent.unanswered[-1] == study[-1].path
    assert len(sent.answers) == 20


def test_a_pacs_stops_and_comes_back_on_its_port(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=2, shape=TINY)
    with Storescp(tmp_path / "pacs") as pacs:
        port = pacs.port
        storescu(study[:1], pacs.host, pacs.port)
        pacs.stop()
        assert not storescu(study, pacs.host, port).acknowledged
        pacs.start()
        assert pacs.port == port
        assert len(storescu(study, pacs.host, port).acknowledged) == 2
        assert pacs.requests() == 3
        program = pacs.program
    assert not program.running
    assert echoscu("127.0.0.1", port)


def test_a_paused_pacs_does_not_answer(tmp_path: Path) -> None:
    with Storescp(tmp_path) as pacs:
        assert echoscu(pacs.host, pacs.port) == ""
        pacs.pause()
        assert echoscu(pacs.host, pacs.port, within=1)
        pacs.resume()
        assert echoscu(pacs.host, pacs.port) == ""


def test_orthanc_stores_sends_and_moves(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=5, shape=TINY)
    with Storescp(tmp_path / "node") as node, Orthanc(tmp_path / "pacs") as pacs:
        pacs.know("NODE", node.host, node.port)
        pacs.know("MOVESCU", "127.0.0.1", 1)
        assert len(dcmsend(study, pacs.host, pacs.port).acknowledged) == 5
        ids = pacs.wait_for_instances(5)
        assert pacs.statistics()["CountStudies"] == 1
        (tmp_path / "back.dcm").write_bytes(pacs.download(study[2].sop_instance_uid))
        assert read_image(tmp_path / "back.dcm").dataset() == study[2].dataset()
        pacs.send("NODE", [ids[study[0].sop_instance_uid]])
        assert digests(node.wait_for_images(1)) == digests(study[:1])
        moved = movescu(pacs.host, pacs.port, called="ORTHANC", destination="NODE", study_uid=uid(0, "study"))
        assert (moved.returncode, moved.completed, moved.failed) == (0, 5, 0)
        assert digests(node.wait_for_images(5)) == digests(study)


def test_orthanc_keeps_what_it_has_over_a_restart(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=2, shape=TINY)
    with Orthanc(tmp_path / "pacs", knows={"NODE": ("127.0.0.1", 1)}) as pacs:
        uploaded = pacs.upload(study[0].path)
        pacs.kill()
        pacs.start()
        assert pacs.instances() == {study[0].sop_instance_uid: uploaded}
        assert "NODE" in pacs.get("/modalities")
        with pytest.raises(AssertionError, match="Orthanc: POST /modalities/NODE/store"):
            pacs.send("NODE")


def test_dcmqrscp_stores_and_moves(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=3, shape=TINY)
    with (
        Storescp(tmp_path / "node") as node,
        Dcmqrscp(tmp_path / "pacs", knows={"NODE": (node.host, node.port)}) as pacs,
    ):
        assert len(storescu(study, pacs.host, pacs.port, called="QRSCP").acknowledged) == 3
        assert digests(pacs.images()) == digests(study)
        moved = movescu(pacs.host, pacs.port, called="QRSCP", destination="NODE", study_uid=uid(0, "study"))
        assert (moved.completed, moved.failed) == (3, 0)
        assert digests(node.wait_for_images(3)) == digests(study)
        assert not storescu(study, pacs.host, pacs.port, called="OTHER").acknowledged


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="no-such-option"):
        Storescp(tmp_path, port=free_port(), options=["--no-such-option"]).start()


def test_a_program_takes_its_children_with_it(tmp_path: Path) -> None:
    script = "/usr/bin/sleep 300 & /usr/bin/sleep 300"
    program = Program(["/bin/sh", "-c", script], log=tmp_path / "log")
    children = wait_for(lambda: found if len(found := program.descendants()) == 2 else None, what="two children")
    program.stop()
    assert program.returncode == -15
    wait_for(lambda: not any(Path(f"/proc/{child}/exe").exists() for child in children), what="no children")


def test_a_program_that_ended_says_with_what(tmp_path: Path) -> None:
    program = Program(["/bin/sh", "-c", "echo said >&2; exit 7"], log=tmp_path / "log")
    assert program.wait() == 7
    assert program.log == "said\n"
    program.stop()
    endless = Program(["/usr/bin/sleep", "300"], log=tmp_path / "log")
    try:
        with pytest.raises(AssertionError, match="still running"):
            endless.wait(0.05)
    finally:
        endless.kill()


def test_everything_needed_is_named_by_package_and_installed() -> None:
    assert packages.missing() == []
    assert packages.missing(lambda _: False) == list(packages.NEEDED)
    without_storescu = packages.missing(lambda path: path.name != "storescu")
    assert without_storescu == ["dcmtk"]


def test_no_service_is_left_running_by_the_installation() -> None:
    assert packages.before(["zsh"], systemd=True) == packages.after(["zsh"], systemd=True) == []
    assert any("mask" in command for command in packages.before(["orthanc"], systemd=True))
    assert any("unmask" in command for command in packages.after(["orthanc"], systemd=True))
    assert ["/usr/sbin/service", "orthanc", "stop"] in packages.after(["orthanc"], systemd=False)
    for systemd in (True, False):
        assert ["/usr/sbin/update-rc.d", "orthanc", "disable"] in packages.after(["orthanc"], systemd=systemd)


def test_a_person_without_root_is_told_the_command() -> None:
    advice = packages.advice(["dcmtk", "zsh"])
    assert "sudo apt-get update && sudo apt-get install --yes --no-install-recommends dcmtk zsh" in advice


def test_the_check_imports_only_what_every_python_has() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tests.peers"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()[1:]}
    assert imported & {"pydicom", "pynetdicom", "pytest", "capacitord"} == set()
    assert "tests" in imported


def test_waiting_fails_with_a_sentence() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.01 s for the sky to fall; the last look gave \[\]"):
        wait_for(list, within=0.01, what="the sky to fall")
    assert wait_for(lambda: "found", what="anything") == "found"
