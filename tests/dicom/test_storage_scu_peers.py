"""What a storage SCU does with PACS that others wrote: DCMTK's storescp and Orthanc."""

from __future__ import annotations

import io
import socket
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pynetdicom import StoragePresentationContexts

from capacitord.dicom.classify import End
from capacitord.dicom.contexts import MOST_CONTEXTS, Pair, Wanted, plan
from capacitord.dicom.storage_scu import NotOpened, Opened, Report, Stop, StoreAssociation
from capacitord.model.destination import Destination
from capacitord.model.outcome import Verdict
from tests.dicom.acceptor import CT, EXPLICIT, J2K
from tests.dicom.test_storage_scu import Ledger
from tests.images import CT as CT_SHAPE
from tests.images import DBT, TINY, Image, Shape, shipped, write_study
from tests.peers.orthanc import Orthanc
from tests.peers.program import Server
from tests.peers.storescp import Storescp

pytestmark = pytest.mark.peers

IMPLICIT = "1.2.840.10008.1.2"
COLOR_PALETTE = "1.2.840.10008.5.1.4.39.1"


@dataclass
class FileImage:
    """A Part 10 file's dataset, read in chunks into one buffer. An odd length gets the zero byte of PS3.5 §A.5."""

    image: Image
    chunk: int = 65536

    @property
    def sop_class_uid(self) -> str:
        return self.image.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self.image.sop_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self.image.transfer_syntax_uid

    @property
    def length(self) -> int:
        return self.image.size() + self.image.size() % 2

    def content(self) -> bytes:
        data = self.image.dataset()
        return data + b"\0" * (len(data) % 2)

    def chunks(self) -> Iterator[memoryview]:
        source = io.BytesIO(self.content())
        buffer = bytearray(self.chunk)
        while count := source.readinto(buffer):
            yield memoryview(buffer)[:count]


def connect(server: Server, proposal_for: Iterable[Pair], *, called: str, timeout: float = 20.0) -> StoreAssociation:
    (proposal,) = plan(Wanted(pair, 1) for pair in proposal_for).proposals
    destination = Destination("pacs", called, server.host, server.port, response_timeout=timeout)
    connection = socket.create_connection((server.host, server.port), timeout=10)
    assoc = StoreAssociation(connection, destination, "FLUXBOX", proposal)
    opened = assoc.open()
    assert isinstance(opened, Opened), opened
    return assoc


def pairs_of(images: Sequence[FileImage]) -> set[Pair]:
    return {Pair(image.sop_class_uid, image.transfer_syntax_uid) for image in images}


def study(folder: Path, images: int = 5, shape: Shape = TINY) -> list[FileImage]:
    return [FileImage(image) for image in write_study(folder, images=images, shape=shape)]


def test_every_file_pydicom_ships_arrives_at_storescp_byte_for_byte(tmp_path: Path) -> None:
    images = [FileImage(image) for image in shipped()]
    assert len(images) > 60
    ledger = Ledger()
    with Storescp(tmp_path / "pacs", keep_copies=True) as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP")
        taken = [i for i in images if Pair(i.sop_class_uid, i.transfer_syntax_uid) in assoc.agreement.accepted]
        assert assoc.store(images, ledger).stop is Stop.FINISHED
        assert assoc.release()
        received = pacs.wait_for_images(len(taken))
    # storescp takes whatever DCMTK counts as storage; colour palettes are not among them.
    assert {i.sop_class_uid for i in images if i not in taken} <= {COLOR_PALETTE}
    assert Counter(image.dataset() for image in received) == Counter(image.content() for image in taken)
    assert Counter(ledger.verdicts) == Counter(
        {Verdict.DONE: len(taken), Verdict.NEEDS_PERSON: len(images) - len(taken)}
    )


@pytest.mark.parametrize("shape", [CT_SHAPE, DBT], ids=["ct", "dbt"])
@pytest.mark.parametrize("max_pdu", [4096, 131072])
def test_large_images_arrive_whole_whatever_the_peers_maximum(tmp_path: Path, shape: Shape, max_pdu: int) -> None:
    images = study(tmp_path / "scan", 2, shape)
    with Storescp(tmp_path / "pacs", options=("--accept-all", "--max-pdu", str(max_pdu))) as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP")
        assert assoc.store(images, Ledger()).stop is Stop.FINISHED
        assert assoc.release()
        received = pacs.wait_for_images(2)
    assert {image.sha256() for image in received} == {image.image.sha256() for image in images}


def test_a_syntax_storescp_does_not_take_is_named_and_the_rest_arrives(tmp_path: Path) -> None:
    compressed = [FileImage(i) for i in shipped() if i.transfer_syntax_uid == J2K]
    plain = study(tmp_path / "scan")
    images = [*plain[:2], *compressed, *plain[2:]]
    assert compressed
    ledger = Ledger()
    with Storescp(tmp_path / "pacs", options=("--prefer-uncompr",), keep_copies=True) as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP")
        assert assoc.store(images, ledger).stop is Stop.FINISHED
        assert assoc.release()
        pacs.wait_for_images(len(plain))
    refused = [outcome.reason for _, outcome in ledger.entries if outcome.verdict is Verdict.NEEDS_PERSON]
    assert len(refused) == len(compressed)
    assert all(r.startswith("STORESCP does not accept") and "as JPEG 2000 Lossless." in r for r in refused)


def test_more_than_128_contexts_go_by_several_associations(tmp_path: Path) -> None:
    classes = [str(context.abstract_syntax) for context in StoragePresentationContexts]
    pairs = [Pair(sop_class, syntax) for sop_class in classes for syntax in (EXPLICIT, IMPLICIT)][:200]
    made = plan(Wanted(pair, count) for count, pair in enumerate(pairs, start=1))
    assert [len(proposal.contexts) for proposal in made.proposals] == [MOST_CONTEXTS, 200 - MOST_CONTEXTS]
    with Storescp(tmp_path / "pacs") as pacs:
        for proposal in made.proposals:
            assoc = connect(pacs, proposal.contexts.values(), called="STORESCP")
            assert set(assoc.agreement.accepted) == set(proposal.contexts.values())
            assert assoc.release()


def hostile(
    tmp_path: Path, *options: str, timeout: float = 20.0, shape: Shape = CT_SHAPE, count: int = 3
) -> tuple[Report, Ledger]:
    images = study(tmp_path / "scan", count, shape)
    ledger = Ledger()
    with Storescp(tmp_path / "pacs", options=("--accept-all", *options)) as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP", timeout=timeout)
        report = assoc.store(images, ledger)
        if report.stop is Stop.FINISHED:
            assoc.release()
        stored = {image.sop_instance_uid for image in pacs.images()}
    # What was acknowledged is there; that is the one thing that must hold whatever the peer does.
    done = {uid for uid, outcome in ledger.entries if outcome.verdict is Verdict.DONE}
    assert done <= stored
    return report, ledger


def test_a_pacs_that_aborts_after_an_image(tmp_path: Path) -> None:
    report, ledger = hostile(tmp_path, "--abort-after")
    assert report.how is End.ABORTED
    assert report.in_doubt
    assert ledger.entries == []


def test_a_pacs_that_aborts_during_an_image(tmp_path: Path) -> None:
    report, ledger = hostile(tmp_path, "--abort-during")
    assert report.how is End.ABORTED
    assert ledger.entries == []


def test_a_pacs_that_sleeps_after_an_image_is_given_up(tmp_path: Path) -> None:
    started = time.monotonic()
    report, ledger = hostile(tmp_path, "--sleep-after", "30", timeout=2)
    assert time.monotonic() - started < 20
    assert (report.how, report.in_doubt) == (End.NO_ANSWER, True)
    # It answers before it sleeps, so the second image is the one in doubt.
    assert ledger.verdicts == [Verdict.DONE]


def test_a_pacs_that_sleeps_within_its_time_is_waited_for(tmp_path: Path) -> None:
    report, ledger = hostile(tmp_path, "--sleep-after", "1", timeout=10, count=2)
    assert report.stop is Stop.FINISHED
    assert ledger.verdicts == [Verdict.DONE] * 2


def test_a_pacs_that_sleeps_during_a_large_image_is_given_up(tmp_path: Path) -> None:
    report, ledger = hostile(tmp_path, "--sleep-during", "3", timeout=0.5, shape=DBT)
    assert report.how is End.STALLED
    assert not report.in_doubt
    assert ledger.entries == []


def test_a_pacs_that_dies_in_the_middle(tmp_path: Path) -> None:
    images = study(tmp_path / "scan", 200)
    ledger = Ledger()
    with Storescp(tmp_path / "pacs") as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP")

        def some_then_kill() -> Iterator[FileImage]:
            for number, image in enumerate(images):
                if number == 100:
                    pacs.kill()
                yield image

        report = assoc.store(some_then_kill(), ledger)
        stored = {image.sop_instance_uid for image in pacs.images()}
    assert report.stop is Stop.BROKEN
    assert report.how is End.CLOSED
    assert {uid for uid, _ in ledger.entries} <= stored
    assert 99 <= len(ledger.entries) <= 100


def test_a_pacs_that_rejects_us(tmp_path: Path) -> None:
    with Storescp(tmp_path / "pacs", options=("--refuse",)) as pacs:
        (proposal,) = plan([Wanted(Pair(CT, EXPLICIT), 1)]).proposals
        destination = Destination("pacs", "STORESCP", pacs.host, pacs.port)
        connection = socket.create_connection((pacs.host, pacs.port))
        result = StoreAssociation(connection, destination, "FLUXBOX", proposal).open()
    assert isinstance(result, NotOpened)
    assert result.how is End.REJECTED
    assert "STORESCP rejects associations from this box and gives no reason." in result.outcome.reason


def test_a_pacs_with_nagle_on_answers_without_delay(tmp_path: Path) -> None:
    """As installed, storescp writes each answer in two pieces; acknowledged late, that costs 40 ms an image."""
    images = study(tmp_path / "scan", 100)
    with Storescp(tmp_path / "pacs", nagle=True) as pacs:
        assoc = connect(pacs, pairs_of(images), called="STORESCP")
        started = time.monotonic()
        assert assoc.store(images, Ledger()).stop is Stop.FINISHED
        assert time.monotonic() - started < 100 * 0.040 * 3 / 4
        assoc.release()


def test_what_orthanc_stores_is_what_was_sent(tmp_path: Path) -> None:
    unique = {image.sop_instance_uid: image for image in shipped() if "truncated" not in image.path.name}
    images = [FileImage(image) for image in unique.values()]
    ledger = Ledger()
    with Orthanc(tmp_path / "pacs") as pacs:
        assoc = connect(pacs, pairs_of(images), called="ORTHANC")
        assert assoc.store(images, ledger).stop is Stop.FINISHED
        assert assoc.release()
        outcomes = dict(ledger.entries)
        done = [i for i in images if outcomes[i.sop_instance_uid].verdict is Verdict.DONE]
        assert set(pacs.wait_for_instances(len(done))) == {i.sop_instance_uid for i in done}
        stored = {i.sop_instance_uid: pacs.download(i.sop_instance_uid) for i in done}
    assert len(done) > 40
    assert all(outcome.reason for outcome in outcomes.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for image in done:
            theirs = pydicom.dcmread(io.BytesIO(stored[image.sop_instance_uid]), force=True)
            ours = pydicom.dcmread(image.image.path, force=True)
            assert theirs.file_meta.TransferSyntaxUID == image.transfer_syntax_uid
            assert values(theirs) == values(ours), image.image.path


def values(dataset: pydicom.Dataset) -> dict[object, object]:
    """Return every element's value, without the retired group lengths, which Orthanc recalculates."""
    return {
        element.tag: [values(item) for item in element.value] if element.VR == "SQ" else element.value
        for element in dataset
        if element.tag.element
    }


def test_an_image_orthanc_cannot_read_is_in_doubt_because_orthanc_never_answers(tmp_path: Path) -> None:
    truncated = next(FileImage(i) for i in shipped() if i.path.name == "MR_truncated.dcm")
    ledger = Ledger()
    with Orthanc(tmp_path / "pacs") as pacs:
        assoc = connect(pacs, pairs_of([truncated]), called="ORTHANC", timeout=1)
        report = assoc.store([truncated], ledger)
        assert pacs.statistics()["CountInstances"] == 0
    assert report.stop is Stop.BROKEN
    assert report.in_doubt
    assert ledger.entries == []
