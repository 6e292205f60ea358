"""The storage SCP against real senders: what they send arrives byte for byte, and what is refused is refused aloud."""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.presentation import build_context

from capacitord import errors
from capacitord.dicom.accept import Rejection, StorageSettings
from tests.dicom.memory_intake import MemoryIntake, Trouble
from tests.dicom.samples import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, dataset
from tests.dicom.serving import (
    ASSOCIATE_AC,
    HOST,
    Requestor,
    Scp,
    associate_rq,
    data_pdu,
    item,
    serving,
    store_rq,
)
from tests.images import DBT, TINY, Image, shipped, write_study
from tests.peers.echo import echoscu
from tests.peers.senders import Outcome, Sent, dcmsend, send_exactly, start_storescu, storescu
from tests.peers.storescp import Storescp
from tests.wait import wait_for

pytestmark = pytest.mark.peers


@pytest.fixture(name="scp")
def an_scp() -> Iterator[Scp]:
    with serving() as scp:
        yield scp


def of_a_study(image: Image) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(image.path, stop_before_pixels=True)
        return bool(ds.get("StudyInstanceUID") and ds.get("SeriesInstanceUID"))


def as_sent(image: Image) -> bytes:
    data = image.dataset()
    return data + b"\0" * (len(data) % 2)


@pytest.mark.parametrize("max_pdu", [4096, 1 << 20])
def test_every_shipped_file_arrives_byte_for_byte(max_pdu: int) -> None:
    images = shipped()
    with serving(StorageSettings(max_pdu=max_pdu)) as scp:
        sent = send_exactly(images, HOST, scp.port)
    assert len(images) > 150
    assert {answer.outcome for answer in sent.answers} == {Outcome.SUCCESS}
    assert [kept.data for kept in scp.intake.kept] == [as_sent(image) for image in images]
    assert [kept.announced.transfer_syntax_uid for kept in scp.intake.kept] == [
        image.transfer_syntax_uid for image in images
    ]
    assert scp.intake.open == set()


def storescu_implicit(images: Sequence[Image], host: str, port: int) -> Sent:
    return storescu(images, host, port, options=("--required", "--propose-implicit"))


@pytest.mark.parametrize("sender", [dcmsend, storescu_implicit], ids=["dcmsend", "storescu"])
def test_what_dcmtk_sends_arrives_as_it_arrives_at_dcmtk(
    sender: Callable[[Sequence[Image], str, int], Sent], tmp_path: Path, scp: Scp
) -> None:
    # DCMTK re-encodes as it reads, so storescp says what it sent; it knows no objects about no patient.
    images = [image for image in shipped() if of_a_study(image)]
    with Storescp(tmp_path, keep_copies=True) as peer:
        sender(images, HOST, peer.port)
        there = Counter((image.transfer_syntax_uid, image.dataset()) for image in peer.images())
    answered = sender(images, HOST, scp.port)
    here = Counter((kept.announced.transfer_syntax_uid, kept.data) for kept in scp.intake.kept)
    assert here <= there
    assert here.total() == len(answered.acknowledged) > 100
    # Two files name their UIDs with a VR that makes dcmsend ask for the SOP class "31".
    assert (there - here).total() == len(answered.refused) <= 2


def test_a_sender_with_nagles_algorithm_does_not_stall(scp: Scp, tmp_path: Path) -> None:
    images = write_study(tmp_path, images=100, shape=TINY)
    sent = storescu(images, HOST, scp.port, nagle=True)
    assert len(sent.acknowledged) == 100
    # An acknowledgement that the kernel delays costs 40 ms, at least one for each image.
    assert sent.seconds < 100 * 0.04 / 2


def test_echo(scp: Scp) -> None:
    assert echoscu(HOST, scp.port) == ""


def test_private_classes_and_syntaxes_by_settings_only() -> None:
    sop_class, syntax = "1.3.12.2.1107.5.9.1", "1.2.840.113619.5.2"
    data = dataset(sop_class, "1.2.3.4.5")
    settings = StorageSettings(
        private_sop_classes=frozenset({sop_class}), private_transfer_syntaxes=frozenset({syntax})
    )
    with serving(settings) as scp, Requestor.associated(scp.port, {1: (sop_class, [syntax])}) as requestor:
        requestor.send(data_pdu(store_rq("1.2.3.4.5", sop_class=sop_class), 3) + data_pdu(data, 2))
        assert requestor.status() == 0
    with serving() as scp:
        assert results(scp, {1: (sop_class, [EXPLICIT]), 3: (CT, [syntax]), 5: (CT, [EXPLICIT])}) == {1: 3, 3: 4, 5: 0}


def results(scp: Scp, contexts: dict[int, tuple[str, list[str]]]) -> dict[int, int | None]:
    """Return the result of each proposed context (PS3.8 table 9-18)."""
    ae = AE("SCANNER")
    ae.acse_timeout = ae.network_timeout = 10
    requested = []
    for context_id, (abstract, syntaxes) in contexts.items():
        requested.append(build_context(abstract, syntaxes))
        requested[-1].context_id = context_id
    association = ae.associate(HOST, scp.port, contexts=requested)
    assert association.is_established
    found = {cx.context_id: cx.result for cx in [*association.accepted_contexts, *association.rejected_contexts]}
    association.release()
    return {context_id: found[context_id] for context_id in contexts}


def test_the_first_syntax_a_sender_names_is_accepted(scp: Scp) -> None:
    for syntaxes in ([BIG_ENDIAN, EXPLICIT, IMPLICIT], [IMPLICIT, EXPLICIT], ["1.2.3", EXPLICIT]):
        with Requestor(scp.port) as requestor:
            requestor.send(associate_rq({1: (CT, syntaxes)}))
            kind, body = requestor.read()
            assert kind == ASSOCIATE_AC
            wanted = next(s for s in syntaxes if s != "1.2.3").encode()
            assert item(0x21, b"\x01\0\0\0" + item(0x40, wanted)) in body


REJECTIONS = {
    "calling": (StorageSettings(calling_ae_titles=frozenset({"SCANNER"})), "Calling AE Title Not Recognized"),
    "called": (StorageSettings(called_ae_titles=frozenset({"OTHER"})), "Called AE Title Not Recognized"),
}


@pytest.mark.parametrize("what", REJECTIONS)
def test_who_is_not_on_the_list_is_rejected_and_remembered(what: str) -> None:
    settings, words = REJECTIONS[what]
    with serving(settings) as scp:
        assert words in echoscu(HOST, scp.port, calling="STRANGER", called="CAPACITOR")
        (refusal,) = scp.server.refusals()
        assert (refusal.peer, refusal.calling_ae, refusal.called_ae) == (HOST, "STRANGER", "CAPACITOR")
        assert what in refusal.reason
        assert echoscu(HOST, scp.port, calling="SCANNER", called="OTHER") == ""
        scp.drained()


def test_an_address_that_is_not_allowed_gets_no_answer() -> None:
    with serving(StorageSettings(peers=("10.0.0.0/8",))) as scp:
        assert echoscu(HOST, scp.port)
        assert "address" in scp.server.refusals()[0].reason
    with serving(StorageSettings(peers=("127.0.0.0/8",))) as scp:
        assert echoscu(HOST, scp.port) == ""


def test_more_associations_than_allowed_are_rejected_for_the_moment() -> None:
    with (
        serving(StorageSettings(maximum_associations=2)) as scp,
        Requestor.associated(scp.port),
        Requestor.associated(scp.port) as second,
    ):
        assert "Local Limit Exceeded" in echoscu(HOST, scp.port)
        assert scp.server.refusals()[-1].reason == Rejection.TOO_MANY.words
        second.release()
        wait_for(lambda: len(scp.server.associations()) == 1, what="the second association to be over")
        assert echoscu(HOST, scp.port) == ""


def test_associations_are_shown(scp: Scp) -> None:
    data = dataset(CT, "1.2.3.4.5")
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store("1.2.3.4.5", data) == 0
        assert requestor.store("1.2.x", data) == 0x0117
        (view,) = scp.server.associations()
        assert (view.calling_ae, view.called_ae, view.peer) == ("SCANNER", "CAPACITOR", HOST)
        assert (view.images, view.bytes, view.refused) == (1, len(data), 1)
        assert abs(view.since - time.time_ns()) < 60e9
        requestor.release()
    scp.drained()


def test_a_full_disk_is_told_and_the_association_goes_on(tmp_path: Path) -> None:
    images = write_study(tmp_path, images=3, shape=TINY)
    with serving(intake=MemoryIntake(trouble=Trouble(errors.OutOfSpace("full"), "advance"))) as scp:
        sent = storescu(images, HOST, scp.port)
        assert [answer.outcome for answer in sent.answers] == [Outcome.REFUSED] * 3
        assert "OutOfResources" in sent.answers[0].detail
        scp.intake.trouble = None
        assert len(storescu(images, HOST, scp.port).acknowledged) == 3
        assert len(scp.intake.kept) == 3


def test_a_sender_that_is_killed_leaves_nothing_half_done(scp: Scp, tmp_path: Path) -> None:
    images = write_study(tmp_path, images=4, shape=DBT)
    with start_storescu(images, HOST, scp.port) as sending:
        wait_for(lambda: scp.intake.open, what="an image to be on its way")
        sending.kill()
    scp.drained()
    assert all(len(kept.data) == images[0].size() for kept in scp.intake.kept)


def test_several_senders_at_once(scp: Scp, tmp_path: Path) -> None:
    studies = [write_study(tmp_path / str(n), images=30, shape=TINY, seed=n) for n in range(4)]
    with contextlib.ExitStack() as stack:
        sendings = [stack.enter_context(start_storescu(study, HOST, scp.port)) for study in studies]
        for sending in sendings:
            assert len(sending.finish().acknowledged) == 30
    assert len(scp.intake.kept) == 120
    kept = scp.intake.by_uid()
    for image in itertools.chain(*studies):
        assert kept[image.sop_instance_uid].data == image.dataset()
