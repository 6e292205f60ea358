"""The same queries to DCMTK's worklist server and to this box that fetched its list there: the same answers."""

from __future__ import annotations

import datetime as dt
import random
import socket
import subprocess
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
from tests.dicom.worklist.serving import Held, serving
from tests.peers.findscu import Found, findscu
from tests.peers.wlmscpfs import DUMP2DCM, Wlmscpfs

EXAMPLES = Path("/usr/share/doc/dcmtk/examples")
ALL = ("PatientName", "PatientID", "AccessionNumber", "(0040,0100)[0].Modality")
STEP = "(0040,0100)[0]."
DATE, TIME = f"{STEP}ScheduledProcedureStepStartDate", f"{STEP}ScheduledProcedureStepStartTime"
KEYS = [
    "PatientName=*",
    "PatientName=V*",
    "PatientName=*O*",
    "PatientName=VIVALDI^ANTONIO",
    "PatientName=VIVALDI*",
    "PatientName=?I*",
    "PatientName=NOBODY",
    "PatientID=AV35674",
    "PatientID=av35674",
    "AccessionNumber=00000",
    "AccessionNumber=0000?",
    "PatientSex=M",
    "PatientBirthDate=16780304",
    "PatientBirthDate=16000101-17001231",
    "PatientBirthDate=-17001231",
    f"{STEP}Modality=MR",
    f"{STEP}ScheduledStationAETitle=AA32",
    f"{STEP}ScheduledStationAETitle=AA33",
    f"{DATE}=19951015",
    f"{DATE}=19951001-19951031",
    f"{DATE}=19960101-",
    f"{DATE}=-19951015",
    f"{TIME}=085607",
    f"{TIME}=0800-1200",
    f"{TIME}=120000-",
    f"{TIME}=-120000",
    f"{STEP}ScheduledPerformingPhysicianName=JOHNSON",
    f"{STEP}ScheduledProcedureStepID=SPD*",
    "RequestedProcedureID=RP454G234",
]

MORE_THAN_DCMTK = {
    "PatientID=AV*": {"AV35674"},
    "PatientID=??*5674": {"AV35674"},
    f"{STEP}Modality=C?": {"AV35674", "BLV734623", "HF", "MWA484763"},
    f"{STEP}ScheduledStationAETitle=AA3*": {"AV35674", "HF"},
    "StudyInstanceUID=1.2.276.0.7230010.3.2.101": {"AV35674"},
    "StudyInstanceUID=1.2.276.0.7230010.3.2.101\\1.2.276.0.7230010.3.2.110": {"AV35674", "MWA484763"},
}
"""Keys that wlmscpfs does not match: wildcards in these attributes (it finds nobody), and UIDs (it finds everybody)."""


@dataclass(frozen=True)
class Both:
    """The source, and the box that has its list."""

    source: int
    box: int
    entries: tuple[Entry, ...]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    source = Wlmscpfs(tmp_path_factory.mktemp("parity") / "ris", ae_title="CAPACITOR")
    for dump in sorted((EXAMPLES / "wlistdb" / "OFFIS").glob("*.dump")):
        source.add_dump(dump)
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
@pytest.mark.parametrize("dump", sorted((EXAMPLES / "wlistqry").glob("*.dump")), ids=lambda dump: dump.stem)
def test_queries_of_dcmtk(both: Both, tmp_path: Path, dump: Path) -> None:
    query = tmp_path / "query.dcm"
    subprocess.run([DUMP2DCM, "-q", "+te", str(dump), str(query)], check=True, timeout=30)
    theirs, ours = alike(both, tmp_path, query=query)
    assert ours == theirs
