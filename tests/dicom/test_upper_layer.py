"""The border with pynetdicom: its own services go on working, and a release that moves what we touch is noticed."""

from __future__ import annotations

import inspect
import operator
import threading
import time
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AssociationSocket

from capacitord.dicom.storage_scp import Handler
from capacitord.dicom.upper_layer import (
    TOUCH_POINTS,
    TOUCHED_ATTRIBUTES,
    AcceptedAssociation,
    BufferedSocket,
    ReactorGate,
    UpperLayer,
)
from tests.dicom.samples import CT, EXPLICIT, dataset
from tests.dicom.serving import HOST, VERIFICATION, Requestor, Scp, serving
from tests.wait import wait_for

WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.3.4.5"


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in TOUCH_POINTS.items() for name in names], ids=str
)
def test_what_is_overridden_in_pynetdicom_is_still_there(owner: type, name: str) -> None:
    assert name in vars(owner), f"pynetdicom no longer has {owner.__name__}.{name}: see capacitord/dicom/upper_layer.py"


@pytest.mark.parametrize("path", TOUCHED_ATTRIBUTES)
def test_what_is_looked_at_in_pynetdicom_is_still_there(path: str) -> None:
    assert operator.attrgetter(path)(Association(AE(), MODE_ACCEPTOR)) is not None


@pytest.mark.parametrize("ours", [UpperLayer, AcceptedAssociation, BufferedSocket])
def test_everything_we_override_is_on_the_list(ours: type) -> None:
    (base,) = ours.__bases__
    overridden = {name for name in vars(ours) if name in vars(base) and not name.startswith("__")}
    documented = {"send_pdu"}
    assert overridden - documented <= set(TOUCH_POINTS[base])


def source(function: object) -> str:
    return inspect.getsource(function)  # type: ignore[arg-type]


def test_pynetdicom_still_calls_what_we_override() -> None:
    loop = source(DULServiceProvider.run_reactor)
    assert "self._is_transport_event()" in loop
    assert "self._process_recv_primitive()" in loop
    assert loop.index("self._process_recv_primitive()") < loop.index("self._is_transport_event()")
    reading = source(DULServiceProvider._read_pdu_data)
    assert "self.socket.recv(6)" in reading
    assert "self.socket.recv(pdu_length)" in reading
    reactor = source(Association._run_reactor)
    assert "self._reactor_checkpoint.wait()" in reactor
    assert "self._serve_request(msg" in reactor
    assert "client_socket" in inspect.signature(AssociationSocket.__init__).parameters


def test_the_state_machine_still_speaks_in_these_words() -> None:
    assert TRANSITION_TABLE["Evt10", "Sta6"] == "DT-2"
    assert TRANSITION_TABLE["Evt17", "Sta6"] == "AA-4"
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"
    assert TRANSITION_TABLE["Evt15", "Sta6"] == "AA-1"
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"


def test_the_gate_has_two_reasons_to_wait() -> None:
    gate = ReactorGate()
    assert gate.wait(0)
    gate.hold()
    assert not gate.wait(0)
    gate.set()
    assert not gate.wait(0), "pynetdicom's own reason is another"
    gate.release()
    assert gate.wait(0)
    gate.clear()
    gate.release()
    assert not gate.wait(0)
    gate.set()
    assert gate.wait(0)


# Other services, served by pynetdicom on the same associations


def entry(number: int) -> Dataset:
    ds = Dataset()
    ds.PatientID = f"COACH-{number}"
    return ds


def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    for number in range(1000):
        if event.is_cancelled:
            yield 0xFE00, None
            return
        yield 0xFF00, entry(number)
        if event.identifier.get("PatientID") == "FEW" and number == 2:
            return
        time.sleep(0.002)


def create(event: evt.Event) -> tuple[int, Dataset]:
    return 0x0000, event.attribute_list


def broken(_event: evt.Event) -> int:
    raise ZeroDivisionError


HANDLERS: list[Handler] = [(evt.EVT_C_FIND, find), (evt.EVT_N_CREATE, create)]
CONTEXTS: list[PresentationContext] = [build_context(WORKLIST), build_context(MPPS), build_context(COMMITMENT)]


@pytest.fixture(name="scp")
def an_scp() -> Iterator[Scp]:
    with serving(handlers=HANDLERS, contexts=CONTEXTS) as scp:
        yield scp


@pytest.fixture(name="association")
def an_association(scp: Scp) -> Iterator[Association]:
    ae = AE("SCANNER")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    for uid in (WORKLIST, MPPS, COMMITMENT, VERIFICATION):
        ae.add_requested_context(uid)
    ae.add_requested_context(CT, EXPLICIT)
    association = ae.associate(HOST, scp.port)
    assert association.is_established
    yield association
    if association.is_established:
        association.release()


def store(association: Association) -> int:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, INSTANCE
    ds.StudyInstanceUID = ds.SeriesInstanceUID = "1.2.3"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    return int(association.send_c_store(ds).Status)


def query(patient_id: str) -> Dataset:
    ds = Dataset()
    ds.PatientID = patient_id
    return ds


def test_find_store_create_and_echo_take_turns(scp: Scp, association: Association) -> None:
    for _ in range(3):
        found = list(association.send_c_find(query("FEW"), WORKLIST))
        assert [ds.PatientID for _, ds in found if ds] == ["COACH-0", "COACH-1", "COACH-2"]
        assert found[-1][0].Status == 0
        assert store(association) == 0
        status, created = association.send_n_create(query("X"), MPPS, "1.2.3.4")
        assert status.Status == 0
        assert created is not None
        assert created.PatientID == "X"
        assert association.send_c_echo().Status == 0
    association.release()
    assert association.is_released
    scp.drained()
    assert len(scp.intake.kept) == 3


def test_a_query_can_be_cancelled_while_it_runs(association: Association) -> None:
    statuses = []
    for status, _ in association.send_c_find(query("MANY"), WORKLIST, msg_id=5):
        statuses.append(status.Status)
        if len(statuses) == 5:
            association.send_c_cancel(5, query_model=WORKLIST)
    assert statuses[-1] == 0xFE00
    assert len(statuses) < 900


def test_a_service_without_handler_fails_and_the_association_goes_on(association: Association) -> None:
    ds = Dataset()
    ds.TransactionUID = "1.2.3"
    status, _ = association.send_n_action(ds, 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
    assert status.Status != 0
    assert store(association) == 0


def test_an_error_in_a_handler_is_answered() -> None:
    with serving(handlers=[(evt.EVT_C_FIND, broken)], contexts=CONTEXTS) as scp:
        ae = AE("SCANNER")
        ae.add_requested_context(WORKLIST)
        association = ae.associate(HOST, scp.port)
        statuses = [status.get("Status") for status, _ in association.send_c_find(query("X"), WORKLIST)]
        assert statuses
        assert all(status is None or status >= 0xC000 for status in statuses)
        association.abort()


def test_another_thread_may_send_a_request_on_the_association() -> None:
    accepted: list[Association] = []
    ready = threading.Event()

    def established(event: evt.Event) -> None:
        accepted.append(event.assoc)
        ready.set()

    reports: list[Dataset] = []

    def report(event: evt.Event) -> tuple[int, None]:
        reports.append(event.event_information)
        return 0, None

    contexts = [build_context(COMMITMENT)]
    with serving(handlers=[(evt.EVT_ESTABLISHED, established)], contexts=contexts) as scp:
        ae = AE("SCANNER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(COMMITMENT)
        ae.add_requested_context(CT, EXPLICIT)
        association = ae.associate(HOST, scp.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
        assert ready.wait(10)
        assert store(association) == 0
        status, _ = accepted[0].send_n_event_report(query("X"), 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
        assert status.Status == 0
        assert [ds.PatientID for ds in reports] == ["X"]
        assert store(association) == 0
        accepted[0].release()
        wait_for(lambda: association.is_released, what="the release to arrive")


def test_an_idle_association_costs_next_to_nothing(scp: Scp) -> None:
    with Requestor.associated(scp.port) as requestor:
        assert requestor.store(INSTANCE, dataset(CT, INSTANCE)) == 0
        requestor.socket.settimeout(0.5)
        before = time.process_time()
        with pytest.raises(TimeoutError):
            requestor.read()
        assert time.process_time() - before < 0.02
