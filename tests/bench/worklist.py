"""Answering worklist queries over one list: the box, DCMTK's server that is also its source, and Orthanc's plugin.

One client asks them all, over an association that is open already: for everybody, for the answers a second, and for
one patient after the other, for how long a technologist waits who has typed a number.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import statistics
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.dicom.serving import COMMAND, Requestor, associate_rq
from tests.dicom.worklist import kit, painters
from tests.dicom.worklist.test_scp import WORKLIST, asking
from tests.peers.orthanc import Orthanc
from tests.peers.wlmscpfs import Wlmscpfs
from tests.system.box import AE_TITLE, Box, Target
from tests.wait import wait_for

SERVERS: Final = ("capacitord", "Orthanc", "wlmscpfs")
_PLUGIN: Final = "/usr/share/orthanc/plugins/libModalityWorklists.so"
_PATIENCE: Final = 600.0
_STATUS: Final = struct.pack("<HHL", 0, 0x0900, 2)
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_EVERYBODY: Final[kit.Said] = {
    "PatientName": None,
    "PatientID": None,
    "AccessionNumber": None,
    "StudyInstanceUID": None,
    **kit.step(Modality=None, ScheduledStationAETitle=None, ScheduledProcedureStepStartDate=None),
}


class Answered(NamedTuple):
    """What one server did in a round: answers a second to a query for all, and seconds of each query for one."""

    rate: float
    waits: list[float]


class Server(NamedTuple):
    """A worklist server that runs, and the AE title it is called by."""

    port: int
    ae_title: str


@contextlib.contextmanager
def all_servers(folder: Path, entries: int) -> Iterator[Mapping[str, Server]]:
    """Run all three over a list of so many entries of today."""
    ris = source_of(folder / "ris", entries)
    settings = {
        "Plugins": [_PLUGIN],
        "Worklists": {"Enable": True, "Database": str(ris.entries), "LimitAnswers": 0},
        "DicomAlwaysAllowFindWorklist": True,
    }
    (folder / "orthanc").mkdir()
    with (
        ris,
        Orthanc(folder / "orthanc", settings=settings) as orthanc,
        box_with(folder / "box", ris, entries) as box,
    ):
        listener = box.status().worklist
        assert listener is not None
        port = listener.port
        yield {
            "capacitord": Server(port, AE_TITLE),
            "Orthanc": Server(orthanc.port, "ORTHANC"),
            "wlmscpfs": Server(ris.port, ris.ae_title),
        }


def source_of(folder: Path, entries: int) -> Wlmscpfs:
    """Return a server with so many entries of today: those of `kit.patient`."""
    ris = Wlmscpfs(folder)
    rng = random.Random(1)
    today = f"{dt.datetime.now(dt.UTC):%Y%m%d}"
    like = painters.entries()[0]
    (of_step,) = like[kit.STEP]
    for number in range(entries):
        said = kit.patient(number, rng, day=today)
        (step,) = said[kit.STEP]
        painters.write({**like, **said, kit.STEP: [{**of_step, **step}]}, ris.entries / f"{number}.wl")
    return ris


@contextlib.contextmanager
def box_with(folder: Path, ris: Wlmscpfs, entries: int, **settings: Any) -> Iterator[Box]:
    """Run the box, whose list is that of the other server."""
    source = {"ae_title": ris.ae_title, "host": ris.host, "port": ris.port}
    worklist = {"source": source, "refresh": "1h", "window": {"past": "2d", "future": "2d"}}
    nowhere = Target("pacs", "NOBODY", 9)
    with Box(folder, nowhere, settings={"worklist": {"port": 0}, **settings}, tables={"worklist": worklist}) as box:

        def there() -> int:
            known = box.traffic().worklist
            return known is not None and known.entries == entries

        wait_for(there, within=_PATIENCE, what="the whole list")
        yield box


def one_round(server: Server, entries: int, patients: Sequence[int]) -> Answered:
    """Ask once for all entries, then for each of these patients."""
    with contextlib.closing(_Client(server)) as client:
        answers, seconds = client.ask(_EVERYBODY)
        assert answers == entries, f"{answers} of {entries} entries"
        waits = []
        for number in patients:
            found, waited = client.ask({**_EVERYBODY, "PatientID": f"P{number:05}"})
            assert found == 1, found
            waits.append(waited)
    return Answered(answers / seconds, waits)


def percentile(waits: Sequence[float]) -> float:
    """Return what 99 of 100 queries take at most; with fewer of them, what the slowest took."""
    return statistics.quantiles(waits, n=100)[98] if len(waits) >= 100 else max(waits)


class _Client:
    """A scanner with an open association, which counts answers and looks at nothing else."""

    def __init__(self, server: Server) -> None:
        self._line = Requestor(server.port)
        self._line.socket.settimeout(_PATIENCE)
        self._line.send(associate_rq(WORKLIST, called=server.ae_title))
        kind, _ = self._line.read()
        assert kind == 2, "the association was not accepted"
        self._stream = self._line.socket.makefile("rb", 1 << 20)
        self._asked = 0

    def ask(self, said: kit.Said) -> tuple[int, float]:
        """Return how many answers a query got, and how many seconds all of them took."""
        self._asked += 1
        began = time.perf_counter()
        self._line.send(asking(said, self._asked))
        answers = 0
        while True:
            kind, length = struct.unpack(">BxL", self._stream.read(6))
            body = self._stream.read(length)
            assert kind == 4, f"PDU type {kind}"
            if not body[5] & COMMAND:
                continue
            (status,) = struct.unpack_from("<H", body, body.index(_STATUS) + 8)
            if status not in _PENDING:
                assert status == 0, f"status {status:04X}"
                return answers, time.perf_counter() - began
            answers += 1

    def close(self) -> None:
        self._stream.close()
        self._line.close()
