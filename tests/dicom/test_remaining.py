"""What is still on a scanner: told whole by DCMTK and Orthanc, and never taken for nothing when it is not said."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from capacitord.dicom.pdu import data_pdus
from capacitord.dicom.remaining import Remains, identifier, remaining
from capacitord.dicom.worklist.entry import read
from capacitord.link.probe import Limits, Scanner
from capacitord.model.outcome import Verdict
from capacitord.model.preflight import Obstacle, Root
from tests.dicom import scanner as odd
from tests.dicom.acceptor import ABORT, Acceptor, Script, acceptor, associate_ac, command, pdu
from tests.dicom.samples import EXPLICIT, IMPLICIT
from tests.dicom.scanner import STUDY, response, says
from tests.images import TINY, write_study
from tests.peers.dcmqrscp import Dcmqrscp
from tests.peers.orthanc import Orthanc
from tests.peers.senders import storescu

HOST = "127.0.0.1"
QUICK = Limits(answers=50, wait=1.0, seconds=3.0)
ENOUGH = Limits(answers=50, wait=10.0, seconds=20.0)
PATIENT, LEVEL = 0x00100020, 0x00080052


def ask(port: int, title: str, root: Root, limits: Limits = ENOUGH) -> Remains:
    return remaining(socket.create_connection((HOST, port)), Scanner(title, "FLUXBOX", root, HOST, port), limits)


def ask_script(script: Script, root: Root = Root.STUDY, limits: Limits = QUICK) -> Remains:
    with acceptor(script) as connection:
        return remaining(connection, Scanner("CT_1", "FLUXBOX", root, HOST, 104), limits)


def open_orthanc(folder: Path, ae_title: str) -> Orthanc:
    return Orthanc(folder, ae_title=ae_title, settings={"DicomAlwaysAllowFind": True})


@pytest.mark.peers
@pytest.mark.parametrize("root", Root)
@pytest.mark.parametrize(("make", "counts"), [(Dcmqrscp, False), (open_orthanc, True)])
def test_a_real_scanner_names_what_it_has_until_it_has_nothing(
    make: Callable[..., Dcmqrscp | Orthanc], root: Root, tmp_path: Path, *, counts: bool
) -> None:
    with make(tmp_path / "scanner", ae_title="CT_1") as scanner:
        nothing = ask(scanner.port, "CT_1", root)
        assert nothing.checked.clean, nothing
        assert nothing.remaining == ()
        images = [write_study(tmp_path / str(n), images=n, shape=TINY, seed=n) for n in (2, 3)]
        for study in images:
            assert len(storescu(study, HOST, scanner.port, called="CT_1").acknowledged) == len(study)
        found = ask(scanner.port, "CT_1", root)
    assert not found.checked.clean
    assert found.checked.outcome.verdict is Verdict.DONE
    assert (found.checked.patients, found.checked.studies, found.checked.at_least) == (2, 2, False)
    uids = {str(pydicom.dcmread(study[0].path).StudyInstanceUID): len(study) for study in images}
    assert {row.study_uid for row in found.remaining} == set(uids)
    for row in found.remaining:
        assert row.patient_id
        assert row.patient_name
        assert len(row.study_date) == 8
        assert row.images == (uids[row.study_uid] if counts else None)


@pytest.mark.peers
def test_a_scanner_that_does_not_let_this_box_ask_is_not_clean(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "scanner", ae_title="CT_1") as scanner:
        found = ask(scanner.port, "CT_1", Root.STUDY)
    assert found.checked.sentence == "CT_1 aborted the association."
    assert not found.checked.clean


@pytest.mark.peers
def test_a_scanner_with_more_than_the_bound_is_cancelled_and_not_clean(tmp_path: Path) -> None:
    with Dcmqrscp(tmp_path / "scanner", ae_title="CT_1") as scanner:
        for number in range(1, 4):
            study = write_study(tmp_path / str(number), images=1, shape=TINY, seed=number)
            storescu(study, HOST, scanner.port, called="CT_1")
        found = ask(scanner.port, "CT_1", Root.STUDY, Limits(answers=2, wait=10.0, seconds=20.0))
        assert (found.checked.studies, found.checked.at_least, found.checked.clean) == (2, True, False)
        assert "at least 2 studies" in found.checked.sentence
        assert ask(scanner.port, "WRONG", Root.STUDY).checked.clean is False


def test_the_queries_ask_for_everything() -> None:
    for syntax in (EXPLICIT, IMPLICIT):
        studies = read(identifier(Root.STUDY, syntax), syntax)
        assert studies.values(LEVEL) == ("STUDY",)
        assert all(studies.is_empty(tag) for tag in studies.tags() if tag != LEVEL)
        patients = read(identifier(Root.PATIENT, syntax), syntax)
        assert patients.values(LEVEL) == ("PATIENT",)
        of_one = read(identifier(Root.PATIENT, syntax, "P1"), syntax)
        assert (of_one.values(LEVEL), of_one.values(PATIENT)) == (("STUDY",), ("P1",))


def test_success_and_nobody_is_clean() -> None:
    assert ask_script(says(response(None, 0))).checked.clean


def test_optional_keys_that_are_not_known_are_no_matter() -> None:
    found = ask_script(says(response(STUDY, 0xFF01), response(None, 0)))
    assert found.checked.sentence == "CT_1 still has 1 study of 1 patient."
    assert found.remaining[0].images == 120


def test_studies_without_a_name_are_studies() -> None:
    found = ask_script(says(response({}), response(None, 0)))
    assert (found.checked.patients, found.checked.studies, found.checked.clean) == (1, 1, False)
    assert found.remaining[0].images is None


def offers_nothing(peer: Acceptor) -> None:
    peer.read_pdu()
    peer.send(associate_ac({1: (3, EXPLICIT), 3: (3, IMPLICIT)}))
    peer.read_pdu()
    peer.send(pdu(6))


def aborts(peer: Acceptor) -> None:
    odd.asked(peer)
    peer.send(response(STUDY) + pdu(ABORT, b"\0\0\2\0"))


def closes(peer: Acceptor) -> None:
    odd.asked(peer)


def _raw(data: bytes) -> bytes:
    pending = command(field=0x8020, responded_to=1, data_set=1, status=0xFF00)
    return data_pdus(1, pending, command=True, max_pdu=0) + data_pdus(1, data, command=False, max_pdu=0)


_OBSTACLES = {
    "does not know this box": Obstacle.TITLE,
    "does not answer queries by Study Root": Obstacle.QUERY,
}


@pytest.mark.parametrize(
    ("script", "words", "named"),
    [
        (says(response(None, 0xA700)), "status A700", 0),
        (says(response(None, 0xB000)), "status B000", 0),
        (says(response(None, 0x0001)), "status 0001", 0),
        (says(response(None, 0xFE00)), "status FE00", 0),
        (says(response(STUDY), response(None, 0xC001, comment="VERMEER^JAN")), "status C001", 1),
        (says(response(None)), "does not belong", 0),
        (says(response(None, 0), response(STUDY)), "said more behind its last answer", 0),
        (says(response(STUDY, 0)), "does not belong", 0),
        (says(response(None, 0, responded_to=2)), "does not belong", 0),
        (says(response(None, 0, field=0x8001)), "does not belong", 0),
        (says(_raw(b"\0" * 70_000)), "does not belong", 0),
        (says(pdu(4, b"\xff" * 40)), "does not belong", 0),
        (says(_raw(b"garbage that is no dataset")), "cannot be read", 1),
        (odd.talks_rubbish, "does not belong", 0),
        (odd.rejects, "does not know this box", 0),
        (odd.is_silent, "did not answer in time", 0),
        (closes, "closed the connection", 0),
        (aborts, "aborted", 1),
        (offers_nothing, "does not answer queries by Study Root", 0),
    ],
)
def test_anything_else_is_not_clean(script: Script, words: str, named: int) -> None:
    found = ask_script(script)
    assert not found.checked.clean
    assert found.checked.outcome.verdict is not Verdict.DONE
    assert words in found.checked.sentence
    assert found.checked.obstacle is _OBSTACLES.get(words, Obstacle.ANSWER)
    assert "VERMEER" not in found.checked.sentence
    assert (found.checked.studies, found.checked.at_least) == (named, bool(named))


def test_a_success_with_another_answer_behind_it_is_not_believed() -> None:
    found = ask_script(says(pdu(4, b"".join(part[6:] for part in (response(None, 0), response(None, 0))))))
    assert not found.checked.clean


@pytest.mark.parametrize("script", [odd.goes_on_for_ever, odd.heeds_a_cancellation])
def test_one_that_names_more_and_more_is_cancelled(script: Script) -> None:
    found = ask_script(script, limits=Limits(answers=50, wait=2.0, seconds=10.0))
    assert (found.checked.studies, found.checked.at_least, found.checked.clean) == (50, True, False)
    assert len(found.remaining) == 50


def test_one_that_takes_for_ever_is_given_up() -> None:
    started = time.monotonic()
    found = ask_script(odd.drips, limits=Limits(answers=500, wait=2.0, seconds=0.5))
    assert time.monotonic() - started < 5
    assert not found.checked.clean
    assert found.checked.at_least


def by_patient(*answers: tuple[bytes, ...]) -> Script:
    """Return a scanner that is asked so many queries, and answers each as said."""

    def script(peer: Acceptor) -> None:
        peer.accept()
        for number, parts in enumerate(answers, 1):
            while peer.read_pdu()[1][5] != 2:
                pass
            for part in parts:
                peer.send(part)
            assert number
        if peer.read_pdu()[0] != ABORT:
            peer.send(pdu(6))

    return script


PATIENTS = (response({"PatientID": "P1", "PatientName": "A"}), response({"PatientID": "P2", "PatientName": "B"}))


def test_patients_are_told_with_their_studies_and_without() -> None:
    script = by_patient(
        (*PATIENTS, response({"PatientID": "P*", "PatientName": "C"}), response(None, 0)),
        (
            response({"StudyInstanceUID": "1.2", "StudyDate": "20260301"}, responded_to=2),
            response(None, 0, responded_to=2),
        ),
        (response(None, 0, responded_to=3),),
    )
    found = ask_script(script, Root.PATIENT)
    assert [(row.patient_id, row.study_uid) for row in found.remaining] == [("P1", "1.2"), ("P2", ""), ("P*", "")]
    assert found.checked.sentence == "CT_1 still has 1 study of 3 patients."


def test_patients_whose_studies_are_not_told_are_there_all_the_same() -> None:
    found = ask_script(
        by_patient((*PATIENTS, response(None, 0)), (response(None, 0xA900, responded_to=2),)), Root.PATIENT
    )
    assert [row.patient_id for row in found.remaining] == ["P1", "P2"]
    assert (found.checked.patients, found.checked.at_least, found.checked.clean) == (2, True, False)
