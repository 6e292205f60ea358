"""Fetching the list: whole from DCMTK's server, and not at all from a peer that does anything wrong."""

from __future__ import annotations

import datetime as dt
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capacitord.dicom.pdu import data_pdus
from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.entry import read
from capacitord.dicom.worklist.matching import understood
from capacitord.dicom.worklist.scu import Bounds, Fetched, NotFetched, fetch, identifier, listed
from capacitord.model.outcome import Verdict
from capacitord.model.worklist import Days, EntryKey, Sought, Source, days, distinct
from tests.dicom.acceptor import ABORT, Acceptor, Script, acceptor, associate_ac, command, pdu
from tests.dicom.samples import EXPLICIT, IMPLICIT
from tests.dicom.serving import HOST
from tests.dicom.worklist import kit, painters
from tests.dicom.worklist.serving import Held, serving
from tests.peers.orthanc import Orthanc
from tests.peers.wlmscpfs import Wlmscpfs

SOURCE = Source("RIS", HOST, 104, response_timeout=5.0, fetch_timeout=5.0)
EVER = Days(dt.date(1990, 1, 1), dt.date(2010, 12, 31))
ANN, BOB = {"PatientID": "1", "PatientName": "Ann"}, {"PatientID": "2", "PatientName": "Bob"}


@pytest.fixture(scope="module")
def ris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wlmscpfs]:
    server = Wlmscpfs(tmp_path_factory.mktemp("ris") / "wlmscpfs")
    painters.write_all(server.entries)
    with server:
        yield server


def connected(port: int) -> socket.socket:
    return socket.create_connection((HOST, port))


@pytest.mark.peers
def test_all_entries_of_dcmtk_are_fetched(ris: Wlmscpfs) -> None:
    found = fetch(connected(ris.port), SOURCE, EVER)
    assert isinstance(found, Fetched), found
    assert len(found.entries) == 10
    first = next(each for each in found.entries if each.key.accession == "10000")
    assert first.key == EntryKey("S10000", f"{painters.STUDY}10000", "10000", "R10000", "VJ16321031")
    entry = read(first.data, first.transfer_syntax_uid)
    assert entry.values(0x00100010) == ("VERMEER^JAN",)
    assert entry.items(0x00400100)[0].values(0x00400002) == ("19951015",)


PATIENT_NAME, PATIENT_ID, ACCESSION = 0x00100010, 0x00100020, 0x00080050
STUDY_UID, PROCEDURE_ID = 0x0020000D, 0x00401001
SOUGHT = {
    (PATIENT_ID, "KP18791218"): {"40001", "40002"},
    (ACCESSION, "20002"): {"20002"},
    (PATIENT_NAME, "ANGUISSOLA^SOFONISBA"): {"30001", "30002"},
    (STUDY_UID, f"{painters.STUDY}10003"): {"10003"},
    (PROCEDURE_ID, "R10002"): {"10002"},
    (PATIENT_ID, "NOBODY"): set(),
}


def accessions_for(port: int, ae_title: str, *keys: tuple[int, str]) -> set[str]:
    found = fetch(connected(port), Source(ae_title, HOST, port), Sought(keys))
    assert isinstance(found, Fetched), found
    return {each.key.accession for each in found.entries}


@pytest.mark.peers
def test_all_entries_of_orthanc_and_whom_a_scanner_looks_for_are_fetched(tmp_path: Path) -> None:
    database = tmp_path / "worklists"
    database.mkdir()
    painters.write_all(database)
    settings = {
        "Plugins": ["/usr/share/orthanc/plugins/libModalityWorklists.so"],
        "Worklists": {"Enable": True, "Database": str(database)},
        "DicomAlwaysAllowFindWorklist": True,
    }
    with Orthanc(tmp_path / "orthanc", settings=settings) as orthanc:
        found = fetch(connected(orthanc.port), Source("ORTHANC", HOST, orthanc.port), EVER)
        one_by_one = {key: accessions_for(orthanc.port, "ORTHANC", key) for key in SOUGHT}
    assert isinstance(found, Fetched), found
    expected = {said["AccessionNumber"] for said in painters.entries()}
    assert {each.key.accession for each in found.entries} == expected
    assert one_by_one == SOUGHT


@pytest.mark.peers
@pytest.mark.parametrize("key", list(SOUGHT))
def test_whom_a_scanner_looks_for_is_fetched_and_nobody_else_whatever_keys_the_source_supports(
    ris: Wlmscpfs, key: tuple[int, str]
) -> None:
    assert accessions_for(ris.port, "RIS", key) == SOUGHT[key]


@pytest.mark.parametrize(
    ("name", "declared", "asked_in"),
    [
        ("MILLER^ANN", "ISO_IR 100", ()),
        ("M\u00fcller^Ann", "ISO_IR 100", ("ISO_IR 100",)),
        ("\u5c71\u7530^\u592a\u90ce", "\\ISO 2022 IR 87", ("", "ISO 2022 IR 87")),
        ("\u5c71\u7530^\u592a\u90ce", "ISO_IR 100", ("ISO_IR 192",)),
    ],
)
def test_a_name_is_asked_for_in_the_set_of_the_scanner_if_that_has_a_place_for_it(
    name: str, declared: str, asked_in: tuple[str, ...]
) -> None:
    asked = read(identifier(Sought(((PATIENT_NAME, name),), declared), EXPLICIT), EXPLICIT)
    assert asked.values(0x00080005) == asked_in
    assert asked.values(PATIENT_NAME) == (name,)
    assert asked.items(0x00400100)[0].values(0x00400002) == (), "no day"


@pytest.mark.peers
def test_only_the_days_that_were_asked_for_are_fetched(ris: Wlmscpfs) -> None:
    found = fetch(connected(ris.port), SOURCE, Days(dt.date(1995, 10, 1), dt.date(1995, 10, 31)))
    assert isinstance(found, Fetched)
    starts = [
        read(each.data, each.transfer_syntax_uid).items(0x00400100)[0].values(0x00400002)[0] for each in found.entries
    ]
    assert starts
    assert all(start.startswith("199510") for start in starts)


@pytest.mark.peers
def test_a_list_without_entries_is_a_list(ris: Wlmscpfs) -> None:
    found = fetch(connected(ris.port), SOURCE, Days(dt.date(1800, 1, 1), dt.date(1800, 1, 2)))
    assert isinstance(found, Fetched)
    assert found.entries == ()


@pytest.mark.peers
def test_dcmtk_that_refuses_gives_no_list(tmp_path: Path) -> None:
    with Wlmscpfs(tmp_path / "ris", options=("--refuse",)) as ris:
        found = fetch(connected(ris.port), SOURCE, EVER)
    assert isinstance(found, NotFetched)
    assert "rejects associations" in found.outcome.reason


@pytest.mark.peers
def test_a_list_that_dcmtk_does_not_know_is_not_an_empty_one(ris: Wlmscpfs) -> None:
    found = fetch(connected(ris.port), Source("NOBODY", HOST, ris.port), EVER)
    assert isinstance(found, NotFetched)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_the_query_asks_for_everything_of_some_days(syntax: str) -> None:
    asked = identifier(Days(dt.date(2026, 3, 1), dt.date(2026, 3, 4)), syntax)
    query = understood(read(asked, syntax).dataset)
    assert not query.unsupported
    assert query.matches(kit.entry(kit.patient(1, random.Random(1), day="20260304")))
    assert not query.matches(kit.entry(kit.patient(1, random.Random(1), day="20260305")))


def test_what_this_box_serves_it_can_fetch() -> None:
    rng = random.Random(3)
    said = [kit.patient(number, rng, day="20010203") for number in range(200)]
    entries = [kit.entry({**each, "PatientComments": "Grüße"}, "ISO_IR 100") for each in said]
    with serving(Held(Snapshot(entries, 1.0))) as scp:
        found = fetch(connected(scp.port), SOURCE, EVER)
    assert isinstance(found, Fetched)
    assert [each.key.patient for each in found.entries] == [each["PatientID"] for each in said]


def test_a_window_is_in_days_of_the_site() -> None:
    chicago = dt.timezone(dt.timedelta(hours=-6))
    now = dt.datetime(2026, 3, 1, 23, 30, tzinfo=chicago)
    assert days(now, 86400, 172800) == Days(dt.date(2026, 2, 28), dt.date(2026, 3, 3))
    assert days(now, 0, 3600) == Days(dt.date(2026, 3, 1), dt.date(2026, 3, 2))


def test_entries_that_are_called_the_same_are_told_apart() -> None:
    one, two = (listed(kit.data({"PatientID": "1", "PatientComments": text}), EXPLICIT) for text in "ab")
    assert [each.key.copy for each in distinct([two, one, two])] == [1, 0]
    assert {each.data for each in distinct([two, one, two])} == {one.data, two.data}
    assert "1" not in repr(one.key)


# A source that behaves badly.


def response(said: kit.Said | None, status: int = 0xFF00, **changes: int | str) -> bytes:
    right: dict[str, int | str] = {"field": 0x8020, "responded_to": 1, "data_set": 0x101 if said is None else 1}
    sent = data_pdus(1, command(**right | {"status": status} | changes), command=True, max_pdu=0)
    return sent if said is None else sent + data_pdus(1, kit.data(said), command=False, max_pdu=0)


DONE = response(None, 0)


def asked(peer: Acceptor) -> None:
    """Read the query."""
    peer.accept()
    seen_data = False
    while not seen_data:
        _, body = peer.read_pdu()
        seen_data = body[5] == 2


def says(*parts: bytes, ends: bool = True) -> Script:
    """Return a source that answers the query so, and then takes the release or whatever comes."""

    def script(peer: Acceptor) -> None:
        asked(peer)
        for part in parts:
            peer.send(part)
        if ends:
            kind, _ = peer.read_pdu()
            if kind != ABORT:
                peer.send(pdu(6))

    return script


def test_a_whole_list_is_taken() -> None:
    with acceptor(says(response(ANN), response(BOB, 0xFF01), DONE)) as connection:
        found = fetch(connection, SOURCE, EVER)
    assert isinstance(found, Fetched)
    assert [each.key.patient for each in found.entries] == ["1", "2"]


def test_messages_in_pieces_and_packed_together_are_a_list() -> None:
    packed = b"".join(_values(response(ANN)) + _values(response(BOB)) + _values(DONE))
    small = data_pdus(1, kit.data(ANN), command=False, max_pdu=20)
    pieces = response(ANN, responded_to=1)[: -len(data_pdus(1, kit.data(ANN), command=False, max_pdu=0))] + small + DONE
    for sent, count in ((pdu(4, packed), 2), (pieces, 1)):
        with acceptor(says(sent)) as connection:
            found = fetch(connection, SOURCE, EVER)
        assert isinstance(found, Fetched)
        assert len(found.entries) == count


def _values(pdus: bytes) -> list[bytes]:
    """Return the presentation data values in some PDUs."""
    found = []
    while pdus:
        (length,) = struct.unpack_from(">2xL", pdus)
        found.append(pdus[6 : 6 + length])
        pdus = pdus[6 + length :]
    return found


def closes(peer: Acceptor) -> None:
    asked(peer)
    peer.send(response(ANN))
    peer.connection.close()


def aborts(peer: Acceptor) -> None:
    asked(peer)
    peer.send(response(ANN) + pdu(ABORT, b"\0\0\2\0"))


def releases(peer: Acceptor) -> None:
    asked(peer)
    peer.send(response(ANN) + pdu(5))
    peer.read_to_the_end()


def offers_nothing(peer: Acceptor) -> None:
    peer.read_pdu()
    peer.send(associate_ac({1: (3, EXPLICIT), 3: (3, IMPLICIT)}))
    peer.read_pdu()
    peer.send(pdu(6))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (says(response(ANN), response(None, 0xFE00)), "cancelled"),
        (says(response(ANN), response(None, 0xA700)), "out of resources"),
        (says(response(None, 0xA900)), "does not understand"),
        (says(response(ANN), response(None, 0xC123)), "could not process"),
        (says(response(ANN), response(None, 0xB001)), "only a part"),
        (says(response(None, 0x0122)), "does not support"),
        (says(response(None, 0x0124)), "does not allow"),
        (says(response(ANN), response(None, 0x9999)), "did not send its whole"),
        (says(response(None)), "does not belong"),
        (says(response(ANN, 0)), "does not belong"),
        (says(response(ANN, responded_to=2)), "does not belong"),
        (says(response(ANN, field=0x8001)), "does not belong"),
        (says(data_pdus(1, kit.data(ANN), command=False, max_pdu=0)), "does not belong"),
        (says(data_pdus(3, command(field=0x8020, status=0), command=True, max_pdu=0)), "does not belong"),
        (says(pdu(4, b"")), "does not belong"),
        (says(pdu(4, b"\0\0\0\x09\1\3x")), "does not belong"),
        (says(pdu(4, b"\0\0")), "does not belong"),
        (says(pdu(4, b"\xff" * 40)), "does not belong"),
        (says(b"\xff" * 40), "does not belong"),
        (says(response(ANN)[:-1] + b"\xff", response({"PatientID": b"\xff"}), DONE[:-4]), "did not answer in time"),
        (says(response(ANN), data_pdus(1, b"\0" * 70000, command=True, max_pdu=0)), "does not belong"),
        (closes, "closed the connection"),
        (aborts, "aborted"),
        (releases, "ended the association"),
        (offers_nothing, "does not offer"),
    ],
)
def test_anything_but_a_whole_list_is_none(script: Script, words: str) -> None:
    with acceptor(script) as connection:
        found = fetch(connection, Source("RIS", HOST, 104, response_timeout=1.0, fetch_timeout=5.0), EVER)
    assert isinstance(found, NotFetched)
    assert words in found.outcome.reason
    assert found.outcome.verdict in {Verdict.LATER, Verdict.NEEDS_PERSON}


@pytest.mark.parametrize(
    "data",
    [
        b"garbage that is no dataset",
        kit.data(ANN)[:-1],
        kit.data({"PatientID": "1"}, syntax=IMPLICIT),
        kit.data({"ScheduledProcedureStepSequence": [ANN]})[:-10] + b"\xff" * 10,
        kit.data({"ScheduledProcedureStepSequence": [{}] * 2000}),
    ],
)
def test_one_entry_that_cannot_be_read_spoils_the_list(data: bytes) -> None:
    pending = command(field=0x8020, responded_to=1, data_set=1, status=0xFF00)
    bad = data_pdus(1, pending, command=True, max_pdu=0) + data_pdus(1, data, command=False, max_pdu=0)
    with acceptor(says(response(ANN), bad, DONE, ends=False)) as connection:
        found = fetch(connection, SOURCE, EVER)
    assert isinstance(found, NotFetched)
    assert "Entry 2" in found.outcome.reason


def endless(message: Callable[[int], bytes]) -> Script:
    def script(peer: Acceptor) -> None:
        asked(peer)
        number = 0
        try:
            while True:
                peer.send(message(number))
                number += 1
        except OSError:
            pass

    return script


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(entries=50), "more than 50 entries"),
        (Bounds(bytes=5000), "not believed"),
        (Bounds(parts=50), "more than 51 entries"),
    ],
)
def test_a_source_that_never_ends_is_not_believed(bounds: Bounds, words: str) -> None:
    with acceptor(endless(lambda number: response({"PatientID": str(number)}))) as connection:
        found = fetch(connection, SOURCE, EVER, bounds)
    assert isinstance(found, NotFetched)
    assert words in found.outcome.reason


def test_a_source_that_takes_for_ever_is_given_up() -> None:
    def drip(number: int) -> bytes:
        time.sleep(0.1)
        return response({"PatientID": str(number)})

    source = Source("RIS", HOST, 104, response_timeout=5.0, fetch_timeout=0.5)
    with acceptor(endless(drip)) as connection:
        found = fetch(connection, source, EVER)
    assert isinstance(found, NotFetched)
    assert "did not answer in time" in found.outcome.reason


def test_a_source_that_says_nothing_is_given_up() -> None:
    with acceptor(says(ends=True)) as connection:
        found = fetch(connection, Source("RIS", HOST, 104, response_timeout=0.3), EVER)
    assert isinstance(found, NotFetched)
    assert "did not answer in time" in found.outcome.reason
