"""Nothing of a patient is ever in the log, at whatever level, whatever happens."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from capacitord.api import messages as m
from capacitord.link import messages as link
from tests.dicom.acceptor import Request
from tests.images import TINY, Image, write_study
from tests.peers.senders import storescu
from tests.peers.wire import Ended, Wire
from tests.site.driver import PATIENCE, Supervisor
from tests.site.pacs import FAILED, STORED, UNKNOWN, Pacs, Reaction
from tests.site.rig import destination
from tests.wait import wait_for

SEED = 4711
STRINGS = (
    "Synthetic^Patient4711",
    "Synthetic study",
    "COACH-004711",
    "ACC004711",
    "Referring^Physician",
    "19500101",
    "Nobody",
    "it is really Mrs. Miller",
)


def spoilt(image: Image, folder: Path, **changes: bytes) -> Image:
    """Return a copy of an image with some of its bytes replaced, name by name."""
    data = image.path.read_bytes()
    for before, after in changes.items():
        assert before.encode() in data
        data = data.replace(before.encode(), after)
    path = folder / f"spoilt-{image.path.name}"
    path.write_bytes(data)
    return Image(path, image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, image.offset)


def test_the_log_knows_no_patient(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=12, shape=TINY, seed=SEED)
    reactions: list[int | Reaction] = [STORED, UNKNOWN, FAILED, Reaction.ABORT, Reaction.CLOSE, 0xB000, 0x0111, 0x9999]

    def react(_request: Request) -> int | Reaction:
        return reactions.pop(0) if reactions else STORED

    with Pacs(react, comment=STRINGS[-1]) as pacs, Supervisor(tmp_path / "box", log_level="debug") as supervisor:
        supervisor.start(destination("pacs", pacs.port), destination("down", 1))
        port = supervisor.listen()
        assert len(storescu(images, "127.0.0.1", port, called="FLUXBOX").acknowledged) == 12
        # The same again with other content, an image that is not what it says, one that breaks off.
        (tmp_path / "spoilt").mkdir()
        conflict = spoilt(images[0], tmp_path / "spoilt", Nobody=b"NOBODY")
        wrong = spoilt(images[1], tmp_path / "spoilt", Patient4711=b"\xff\xfePatient47")
        for each in (conflict, wrong):
            with wire(port, each) as association, contextlib.suppress(Ended):
                association.store(each)
        with wire(port, images[2]) as association:
            association.send_bytes(images[2].dataset()[:2000])
        with wire(port, images[2]) as association:
            association.send_store(images[2])
            association.abort()
        for _ in range(20):
            supervisor.ask("queue.flush", m.QueueSelect("pacs"))
            if supervisor.destination().waiting_images == 0:
                break
        study = supervisor.ask("study.list", m.StudyQuery()).studies[0]
        for name, request in (
            ("study.show", m.StudyRef("ACC004711")),
            ("study.show", m.StudyRef("Synthetic^Patient4711")),
            ("study.resend", m.Resend(study.study_uid, image=images[3].sop_instance_uid)),
            ("study.resend", m.Resend("COACH-004711")),
            ("study.export", m.Export("ACC004711")),
            ("study.discard", m.Discard(study.id, "it is really Mrs. Miller", "ACC004711")),
            ("queue.pause", m.QueueSelect("Synthetic^Patient4711")),
            ("doctor.verify", m.Empty()),
        ):
            supervisor.call(name, request)
        supervisor.call("study.list", body=b'{"state":"Synthetic^Patient4711"}')
        status = supervisor.status()
        supervisor.channel.send(link.Shutdown(2.0))
        assert supervisor.wait() == 0
        said = supervisor.log + "".join(note.message for note in supervisor.of(link.Note))
        said += msgspec.json.encode(status).decode()
        assert "Study " in said, "it says something at all"
        uids = [images[0].sop_instance_uid, images[3].sop_instance_uid, study.study_uid]
        for secret in (*STRINGS, *uids):
            assert secret not in said
        comments = "".join(ack.comment for image in supervisor_detail(tmp_path, study.id) for ack in image.acks)
        assert STRINGS[-1] in comments, "an operator sees the peer's own words, the log does not"


def supervisor_detail(folder: Path, study: str) -> tuple[m.Image, ...]:
    with Supervisor(folder / "box") as supervisor:
        supervisor.start()
        wait_for(lambda: supervisor.of(link.Ready), within=PATIENCE, what="the runtime")
        detail: m.StudyDetail = supervisor.ask("study.show", m.StudyRef(study))
        return detail.images


def wire(port: int, image: Image) -> Wire:
    return Wire("127.0.0.1", port, [(image.sop_class_uid, image.transfer_syntax_uid)], called="FLUXBOX")
