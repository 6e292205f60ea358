"""The same queries to DCMTK's worklist server and to this box that fetched its list there: the same answers."""

from __future__ import annotations

import datetime as dt
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from capacitord.dicom.worklist.entries import Snapshot
from capacitord.dicom.worklist.entry import Entry, read
from capacitord.dicom.worklist.scu import Fetched, fetch
from capacitord.model.worklist import Days, Source
from tests.dicom.serving import HOST
from tests.dicom.worklist import kit, painters
from tests.dicom.worklist.kit import Said
from tests.dicom.worklist.painters import STUDY
from tests.dicom.worklist.serving import Held, serving
from tests.peers.findscu import Found, findscu
from tests.peers.wlmscpfs import Wlmscpfs

ALL = ("PatientName", "PatientID", "AccessionNumber", "(0040,0100)[0].Modality")
STEP = "(0040,0100)[0]."
DATE, TIME = f"{STEP}ScheduledProcedureStepStartDate", f"{STEP}ScheduledProcedureStepStartTime"
KEYS = [
    "PatientName=*",
    "PatientName=V*",
    "PatientName=*O*",
    "PatientName=VERMEER^JAN",
    "PatientName=VERMEER*",
    "PatientName=?LEE*",
    "PatientName=NOBODY",
    "PatientID=VJ16321031",
    "PatientID=vj16321031",
    "AccessionNumber=10000",
    "AccessionNumber=1000?",
    "AccessionNumber=*2",
    "PatientSex=M",
    "PatientBirthDate=16321031",
    "PatientBirthDate=15000101-16991231",
    "PatientBirthDate=-16321031",
    f"{STEP}Modality=MR",
    f"{STEP}ScheduledStationAETitle=COACH1",
    f"{STEP}ScheduledStationAETitle=COACH2",
    f"{STEP}ScheduledStationAETitle=COACH",
    f"{DATE}=19951015",
    f"{DATE}=19951001-19951031",
    f"{DATE}=19960101-",
    f"{DATE}=-19951015",
    f"{TIME}=085607",
    f"{TIME}=0715",
    f"{TIME}=0800-1200",
    f"{TIME}=120000-",
    f"{TIME}=-120000",
    f"{STEP}ScheduledPerformingPhysicianName=ADAMS",
    f"{STEP}ScheduledPerformingPhysicianName=BROWN*",
    "RequestedProcedureID=R30001",
]
MORE_THAN_DCMTK = {
    "PatientID=VJ*": {"VJ16321031"},
    "PatientID=??1*": {"VJ16321031", "VE17550416", "AN1532", "KP18791218"},
    f"{STEP}Modality=C?": {"VJ16321031", "VE17550416", "AN1532", "KP18791218"},
    f"{STEP}ScheduledStationAETitle=*5": {"AN1532"},
    f"{STEP}ScheduledProcedureStepID=S1*": {"VJ16321031"},
    f"StudyInstanceUID={STUDY}10000": {"VJ16321031"},
    f"StudyInstanceUID={STUDY}10000\\{STUDY}40002": {"VJ16321031", "KP18791218"},
}
"""Keys that wlmscpfs does not match as PS3.4 has it: wildcards in these attributes, and UIDs.

Beside them it takes the last day of a range of dates for its midnight where a range of times has no end: those who come
that day are not on its list then.
"""

PATIENT: Said = dict.fromkeys(
    ("AccessionNumber", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "MedicalAlerts", "Allergies")
)
CODE: Said = dict.fromkeys(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
QUERIES: list[Said] = [
    {"PatientName": None, "RequestedProcedureCodeSequence": [CODE]},
    {**PATIENT, "StudyInstanceUID": None, "RequestedProcedurePriority": None, kit.STEP: [{}]},
    {**PATIENT, "RequestingPhysician": None, kit.STEP: []},
    {"PatientName": None, **kit.step(Modality=None, ScheduledProtocolCodeSequence=[CODE])},
    {"PatientName": None, **kit.step(Modality="CT", ScheduledProcedureStepStartTime="120000-")},
    {"PatientName": "*", **kit.step(ScheduledStationName=None, CommentsOnTheScheduledProcedureStep="*")},
    {
        "PatientName": "V*",
        **kit.step(ScheduledProcedureStepStartDate="19951015-19960102", ScheduledProcedureStepStartTime="0900-1200"),
    },
    {
        "PatientID": None,
        **kit.step(ScheduledProcedureStepStartDate="19951014-19991231", ScheduledProcedureStepStartTime="1000-"),
    },
    {
        "PatientID": None,
        **kit.step(ScheduledProcedureStepStartDate="19951015", ScheduledProcedureStepStartTime="0900-1200"),
    },
]


@dataclass(frozen=True)
class Both:
    """The source, and the box that has its list."""

    source: int
    box: int
    entries: tuple[Entry, ...]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    source = Wlmscpfs(tmp_path_factory.mktemp("parity") / "ris", ae_title="CAPACITOR")
    painters.write_all(source.entries)
    with source:
        days = Days(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
        found = fetch(socket.create_connection((HOST, source.port)), Source("CAPACITOR", HOST, source.port), days)
        assert isinstance(found, Fetched)
        entries = tuple(read(each.data, each.transfer_syntax_uid) for each in found.entries)
        with serving(Held(Snapshot(entries, 0.0))) as scp:
            yield Both(source.port, scp.port, entries)


def said(found: Found) -> list[str]:
    """Return the answers as text, without the set their text is in, in an order of their own."""
    return sorted(_text(dcmread(BytesIO(data), force=True)) for data in found.files)


def _text(dataset: Dataset) -> str:
    # What an entry has nothing for comes back empty from the one and not at all from the other.
    parts = []
    for element in dataset:
        if element.VR == "SQ":
            items = [text for item in element.value if (text := _text(item))]
            parts += [f"{element.tag}[{'; '.join(items)}]"] if items else []
        elif element.keyword != "SpecificCharacterSet" and str(element.value or ""):
            parts.append(f"{element.tag}={element.value}")
    return ", ".join(parts)


def alike(both: Both, folder: Path, **asked: object) -> tuple[list[str], list[str]]:
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(findscu, folder / "source", both.source, **asked)  # type: ignore[arg-type]
        ours = pool.submit(findscu, folder / "box", both.box, **asked)  # type: ignore[arg-type]
        assert (theirs.result().status, ours.result().status) == (0, 0)
        return said(theirs.result()), said(ours.result())


@pytest.mark.peers
@pytest.mark.parametrize("key", KEYS)
def test_one_key(both: Both, tmp_path: Path, key: str) -> None:
    name = key.partition("=")[0]
    theirs, ours = alike(both, tmp_path, keys=(*(each for each in ALL if each != name), key))
    assert ours == theirs


@pytest.mark.peers
@pytest.mark.parametrize("key", MORE_THAN_DCMTK)
def test_what_dcmtk_does_not_match(both: Both, tmp_path: Path, key: str) -> None:
    theirs, ours = alike(both, tmp_path, keys=(key,) if "PatientID" in key else ("PatientID", key))
    assert ours != theirs
    expected = MORE_THAN_DCMTK[key]
    assert {patient for patient in expected if any(patient in answer for answer in ours)} == expected
    assert all(any(patient in answer for patient in expected) for answer in ours)


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(10))
def test_keys_together(both: Both, tmp_path: Path, seed: int) -> None:
    chosen = {key.partition("=")[0]: key for key in random.Random(seed).sample(KEYS, 3)}
    rest = [name for name in ALL if name not in chosen]
    theirs, ours = alike(both, tmp_path, keys=(*rest, *chosen.values()))
    assert ours == theirs


@pytest.mark.peers
@pytest.mark.parametrize("asked", QUERIES)
def test_whole_queries(both: Both, tmp_path: Path, asked: Said) -> None:
    painters.write(asked, tmp_path / "query.dcm")
    theirs, ours = alike(both, tmp_path, query=tmp_path / "query.dcm")
    assert theirs
    assert ours == theirs
