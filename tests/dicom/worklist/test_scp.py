"""The worklist port, asked by DCMTK and by pynetdicom, and by peers that mean no good."""

from __future__ import annotations

import logging
import random
import re
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import ModalityWorklistInformationFind  # type: ignore[attr-defined]

from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.keys import MODALITY_WORKLIST
from capacitord.dicom.worklist.scp import WorklistSettings
from tests.dicom.samples import CT, EXPLICIT, IMPLICIT, dataset
from tests.dicom.serving import (
    ABORT,
    ASSOCIATE_RJ,
    COMMAND,
    HOST,
    LAST,
    VERIFICATION,
    Requestor,
    associate_rq,
    command_set,
    data_pdu,
    echo_rq,
    store_rq,
)
from tests.dicom.worklist import kit
from tests.dicom.worklist.kit import Said, patient
from tests.dicom.worklist.serving import Held, Scp, listed, serving
from tests.peers.findscu import findscu
from tests.wait import wait_for

WORKLIST: dict[int, tuple[str, Sequence[str]]] = {1: (MODALITY_WORKLIST, [EXPLICIT]), 3: (VERIFICATION, [IMPLICIT])}


def patients(count: int) -> list[Said]:
    rng = random.Random(1)
    return [patient(number, rng) for number in range(count)]


@pytest.fixture(scope="module")
def scp() -> Iterator[Scp]:
    with serving(patients(300)) as running:
        yield running


@pytest.fixture(scope="module")
def many() -> Iterator[Scp]:
    """Answers more than a scanner has read before it has sent a C-CANCEL."""
    with serving(Held(Snapshot(listed(patients(300)) * 30, 1.0))) as running:
        yield running


def find_rq(message_id: int = 1, *, data_set: int = 1, sop_class: str = MODALITY_WORKLIST) -> bytes:
    return command_set(field=0x20, message_id=message_id, priority=0, data_set=data_set, sop_class=sop_class)


def asking(said: Said, message_id: int = 1) -> bytes:
    """Return a C-FIND request with its identifier."""
    return data_pdu(find_rq(message_id), COMMAND | LAST) + data_pdu(kit.data(said), LAST)


def statuses(requestor: Requestor) -> list[int]:
    """Return the statuses of all responses up to the last."""
    found: list[int] = []
    while not found or found[-1] in {0xFF00, 0xFF01}:
        kind, body = requestor.read()
        assert kind == 4, kind
        if body[5] & COMMAND:
            found.append(struct.unpack_from("<H", body, body.index(struct.pack("<HHL", 0, 0x0900, 2)) + 8)[0])
    return found


@pytest.mark.peers
def test_dcmtk_gets_its_patients(scp: Scp, tmp_path: Path) -> None:
    keys = ("PatientName=MILLER*", "PatientID", "(0040,0100)[0].Modality=CT", "(0040,0100)[0].(0040,0002)=20260301-")
    found = findscu(tmp_path / "found", scp.port, keys=keys)
    expected = [
        p for p in patients(300) if p["PatientName"].startswith("Miller") and p[kit.STEP][0]["Modality"] == "CT"
    ]
    assert (found.status, len(found.files), set(found.pending)) == (0, len(expected), {0xFF00})
    assert all(p["PatientID"].encode() in file for p, file in zip(expected, found.files, strict=True))
    assert wait_for(lambda: [q for q in scp.server.queries() if q.answers == len(expected)], what="the query's record")


@pytest.mark.peers
@pytest.mark.parametrize("syntax", ["-xe", "-xi", "-xb"])
def test_dcmtk_asks_in_every_syntax(scp: Scp, tmp_path: Path, syntax: str) -> None:
    found = findscu(tmp_path / "found", scp.port, keys=("PatientID=P00007", "PatientName"), options=(syntax,))
    assert (found.status, len(found.files)) == (0, 1)


@pytest.mark.peers
def test_dcmtk_is_told_of_unsupported_keys(scp: Scp, tmp_path: Path) -> None:
    found = findscu(tmp_path / "found", scp.port, keys=("PatientID=P00007", "StudyComments=x"))
    assert (found.pending, found.status) == ([0xFF01], 0)


@pytest.mark.peers
def test_dcmtk_is_told_which_key_makes_no_sense(scp: Scp, tmp_path: Path) -> None:
    found = findscu(tmp_path / "found", scp.port, keys=("PatientBirthDate=1970-13",))
    assert (found.status, found.files) == (0xC001, ())
    assert "not a date" in found.log
    assert "(0010,0030)" in found.log


@pytest.mark.peers
def test_dcmtk_cancels(many: Scp, tmp_path: Path) -> None:
    found = findscu(tmp_path / "found", many.port, keys=("PatientID",), options=("--cancel", "3"))
    assert found.status == 0xFE00
    assert 3 <= len(found.files) < len(tuple(many.held.snapshot().entries))


@pytest.mark.peers
def test_an_old_list_is_served_and_said_to_be_old(tmp_path: Path) -> None:
    held = Held(Snapshot(listed(patients(2)), 50000.0, stale=True, warning="the worklist is 13 h 53 min old"))
    with serving(held) as scp:
        found = findscu(tmp_path / "found", scp.port, keys=("PatientID",))
        (query,) = wait_for(scp.server.queries, what="the query's record")
    assert (found.status, len(found.files)) == (0, 2)
    assert "the worklist is 13 h 53 min old" in found.log
    assert (query.stale, query.answers, query.status, query.calling_ae) == (True, 2, 0, "SCANNER")


@pytest.mark.peers
def test_no_list_is_an_empty_one_with_a_warning_and_at_once(tmp_path: Path) -> None:
    with serving(Held(Snapshot(warning="the worklist was never fetched"))) as scp:
        found = findscu(tmp_path / "found", scp.port, keys=("PatientID",), within=5)
    assert (found.status, found.files) == (0, ())
    assert "the worklist was never fetched" in found.log


@pytest.mark.parametrize(
    ("asked", "looks", "answers"),
    [
        ({"PatientID": "P9"}, 1, [0xFF00, 0]),
        ({"AccessionNumber": "A9"}, 1, [0xFF00, 0]),
        ({"PatientID": "P8"}, 1, [0]),
        ({"PatientID": "P1"}, 0, [0xFF00, 0]),
        ({"PatientID": None, **kit.step(Modality="US")}, 0, [0]),
    ],
)
def test_the_source_is_asked_once_for_somebody_who_is_not_on_the_list(
    asked: Said, looks: int, answers: list[int]
) -> None:
    one, nine = {"PatientID": "P1"}, {"PatientID": "P9", "AccessionNumber": "A9"}
    held = Held(Snapshot(listed([one]), 60.0), later=Snapshot(listed([one, nine]), 0.0))
    with serving(held) as scp, Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking(asked))
        assert statuses(requestor) == answers
    assert held.looks == looks


def test_more_than_the_bound_is_not_taken_for_all() -> None:
    settings = WorklistSettings(most_answers=10)
    with serving(patients(11), settings) as scp, Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking({"PatientID": None}))
        assert statuses(requestor) == [0xFF00] * 10 + [0xA700]
        requestor.send(asking({"PatientID": "P00001"}, 2))
        assert statuses(requestor) == [0xFF00, 0]


def associated(port: int) -> Association:
    ae = AE("SCANNER")
    ae.add_requested_context(ModalityWorklistInformationFind)
    association = ae.associate(HOST, port, ae_title="CAPACITOR")
    assert association.is_established
    return association


def test_pynetdicom_cancels_and_goes_on(many: Scp) -> None:
    association = associated(many.port)
    asked = Dataset()
    asked.PatientID = ""
    seen = []
    for status, _ in association.send_c_find(asked, ModalityWorklistInformationFind, msg_id=7):
        seen.append(status.Status)
        if len(seen) == 2:
            association.send_c_cancel(7, query_model=ModalityWorklistInformationFind)
    assert seen[-1] == 0xFE00
    assert len(seen) < len(tuple(many.held.snapshot().entries))
    asked.PatientID = "P00005"
    again = [s.Status for s, _ in association.send_c_find(asked, ModalityWorklistInformationFind, msg_id=7)]
    assert again == [0xFF00] * 30 + [0]
    association.release()


def test_a_cancel_that_comes_with_the_query_counts(scp: Scp) -> None:
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        cancel = data_pdu(command_set(field=0xFFF, responded_to=5, data_set=0x101), COMMAND | LAST)
        requestor.send(asking({"PatientID": None}, 5) + cancel)
        assert statuses(requestor)[-1] == 0xFE00
        requestor.send(cancel * 20 + asking({"PatientID": "P00005"}, 5))
        assert statuses(requestor) == [0xFF00, 0]


def test_c_echo_is_answered_and_images_are_not_taken(scp: Scp) -> None:
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(data_pdu(echo_rq(), COMMAND | LAST, 3))
        assert requestor.status() == 0
        requestor.send(data_pdu(store_rq("1.2.3"), COMMAND | LAST) + data_pdu(dataset(CT, "1.2.3"), LAST))
        assert requestor.status() == 0x0211


def test_storage_is_not_accepted(scp: Scp) -> None:
    with Requestor(scp.port) as requestor:
        requestor.send(associate_rq({1: (CT, [EXPLICIT])}))
        kind, body = requestor.read()
        # One result: rejected, the abstract syntax is not supported (PS3.8 table 9-18).
        assert (kind, body[body.index(b"\x21\x00", 68) + 6]) == (2, 3)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (WorklistSettings(calling_ae_titles=frozenset({"OTHER"})), b"\0\1\1\3"),
        (WorklistSettings(called_ae_titles=frozenset({"OTHER"})), b"\0\1\1\7"),
        (WorklistSettings(maximum_associations=1), b"\0\2\3\2"),
    ],
)
def test_who_may_not_ask_is_rejected(settings: WorklistSettings, reason: bytes) -> None:
    with serving(patients(1), settings) as scp:
        first = Requestor(scp.port)
        first.send(associate_rq(WORKLIST))
        first.read()
        with Requestor(scp.port) as second:
            second.send(associate_rq(WORKLIST))
            assert second.read() == (ASSOCIATE_RJ, reason)
        assert scp.server.refusals()
        first.close()


def test_an_address_that_is_not_allowed_is_not_heard() -> None:
    with serving(patients(1), WorklistSettings(peers=("10.1.2.3",))) as scp, Requestor(scp.port) as requestor:
        assert requestor.read() == (0, b"")


@pytest.mark.parametrize(
    "sent",
    [
        data_pdu(find_rq(), COMMAND | LAST) + data_pdu(b"garbage that is no dataset", LAST),
        data_pdu(find_rq(), COMMAND | LAST) + data_pdu(kit.data({"PatientID": "1"}, syntax=IMPLICIT), LAST),
        data_pdu(find_rq(), COMMAND | LAST) + data_pdu(kit.data({"PatientID": "P1"})[:-3], LAST),
        data_pdu(find_rq(data_set=0x101), COMMAND | LAST),
        asking({}),
        asking({"StudyComments": None}),
    ],
)
def test_an_identifier_that_is_no_query_is_refused(scp: Scp, sent: bytes) -> None:
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(sent)
        assert statuses(requestor) == [0xA900]
        requestor.send(asking({"PatientID": "P00005"}, 2))
        assert statuses(requestor) == [0xFF00, 0]


@pytest.mark.parametrize(
    "sent",
    [
        # A query of another class than its context, and of none that is known.
        data_pdu(find_rq(sop_class="1.2.840.10008.5.1.4.1.2.2.1"), COMMAND | LAST) + data_pdu(kit.data({}), LAST),
        data_pdu(find_rq(sop_class="1.2.3"), COMMAND | LAST) + data_pdu(kit.data({"PatientID": "1"}), LAST),
        # More than an identifier may be.
        data_pdu(find_rq(), COMMAND | LAST) + data_pdu(bytes(100000), 0) * 3,
        # No command set, no PDU, a message for no context.
        data_pdu(b"\xff" * 50, COMMAND | LAST),
        b"\xff" * 500,
        data_pdu(find_rq(), COMMAND | LAST, 99),
        data_pdu(find_rq(), COMMAND | LAST) * 2,
    ],
)
def test_what_is_no_query_ends_the_association_and_nothing_else(scp: Scp, sent: bytes) -> None:
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(sent)
        assert requestor.read()[0] in {ABORT, 0}
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking({"PatientID": "P00005"}))
        assert statuses(requestor) == [0xFF00, 0]


def test_noise_from_many_ends_nothing(scp: Scp) -> None:
    rng = random.Random(2)
    for _ in range(20):
        with Requestor(scp.port) as requestor:
            requestor.send(rng.randbytes(rng.randrange(1, 300)))
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking({"PatientID": "P00005"}))
        assert statuses(requestor) == [0xFF00, 0]


def test_many_ask_at_once(scp: Scp) -> None:
    def ask(number: int) -> list[int]:
        with Requestor.associated(scp.port, WORKLIST) as requestor:
            requestor.send(asking({"PatientID": f"P{number:05}", "PatientName": None}))
            return statuses(requestor)

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(48))) == [[0xFF00, 0]] * 48


def test_a_scanner_that_does_not_read_is_not_answered_faster() -> None:
    asked: dict[str, None] = dict.fromkeys(("PatientName", "PatientID", "PatientComments"))
    long = [{**p, "PatientComments": "x" * 10000} for p in patients(1000)]
    with (
        serving(long, WorklistSettings(stall_timeout=0.5)) as scp,
        Requestor.associated(scp.port, WORKLIST) as requestor,
    ):
        requestor.send(asking(asked))
        (query,) = wait_for(scp.server.queries, what="the association of a scanner that does not read to be given up")
        # What fits into the buffers of two kernels, and not ten megabytes.
        assert query.answers < 1000


def test_a_list_that_fails_is_a_failure_and_not_an_empty_list() -> None:
    class Broken(Held):
        def snapshot(self) -> Snapshot:
            msg = "Miller^Anna"
            raise RuntimeError(msg)

    with serving(Broken(Snapshot())) as scp, Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking({"PatientID": None}))
        assert statuses(requestor) == [0xC000]


def test_nothing_of_a_patient_is_logged(scp: Scp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = len(scp.server.queries())
    with Requestor.associated(scp.port, WORKLIST) as requestor:
        requestor.send(asking({"PatientName": "Miller*", "PatientID": "P00005", "AccessionNumber": None}))
        statuses(requestor)
        requestor.send(asking({"PatientName": "Miller*", "PatientBirthDate": "not-P00006"}, 2))
        assert statuses(requestor) == [0xC001]
    wait_for(lambda: len(scp.server.queries()) == min(50, seen + 2), what="both to be recorded")
    assert "worklist: " in caplog.text
    assert not re.search("Miller|P0000|A0000", caplog.text)


def test_stopping_ends_what_is_under_way() -> None:
    with serving(patients(2000)) as scp:
        requestor = Requestor.associated(scp.port, WORKLIST)
        requestor.send(asking({"PatientID": None}))
        wait_for(scp.server.associations, what="the association")
        done = threading.Thread(target=scp.server.stop, args=(0.0,))
        done.start()
        done.join(60)
        assert not done.is_alive()
        assert not scp.server.associations()
        requestor.close()
