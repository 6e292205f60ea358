"""A scanner with MPPS and storage commitment, for which DCMTK has no program: pynetdicom both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from capacitord.dicom.services.uids import COMMITMENT, COMMITMENT_INSTANCE, MPPS
from tests.images import CT_STORAGE, EXPLICIT_LITTLE
from tests.wait import wait_for

TITLE = "MODALITY"


@dataclass
class Reports:
    """What was reported: transaction UID, event type, the UIDs that are safe, those that are not and why."""

    got: list[tuple[str, int, list[str], dict[str, int]]] = field(default_factory=list)
    status: int = 0x0000

    def take(self, event: evt.Event) -> tuple[int, None]:
        """Answer an N-EVENT-REPORT."""
        told = event.event_information
        safe = [item.ReferencedSOPInstanceUID for item in told.get("ReferencedSOPSequence", [])]
        failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in told.get("FailedSOPSequence", [])}
        self.got.append((str(told.TransactionUID), int(event.event_type or 0), safe, failed))
        return self.status, None

    def wait(self, count: int = 1, within: float = 20.0) -> tuple[str, int, list[str], dict[str, int]]:
        """Return the last of at least so many reports."""
        return wait_for(lambda: self.got[-1] if len(self.got) >= count else None, within=within, what="a report")


@contextmanager
def associated(port: int, reports: Reports | None = None, title: str = TITLE) -> Iterator[Association]:
    """Associate with all services that a scanner has; release in the end, unless it is over."""
    ae = AE(title)
    ae.dimse_timeout = 20
    ae.add_requested_context(CT_STORAGE, EXPLICIT_LITTLE)
    ae.add_requested_context(MPPS)
    ae.add_requested_context(COMMITMENT)
    handlers: list[Any] = [] if reports is None else [(evt.EVT_N_EVENT_REPORT, reports.take)]
    association = ae.associate("127.0.0.1", port, ae_title="FLUXBOX", evt_handlers=handlers)
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


@contextmanager
def report_scp(reports: Reports, title: str = TITLE) -> Iterator[int]:
    """Take reports over associations of their own; yield the port."""
    ae = AE(title)
    context = build_context(COMMITMENT)
    context.scu_role, context.scp_role = True, True
    ae.supported_contexts = [context]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)])
    assert server is not None
    assert server.socket is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def image(study: str, number: int, **attributes: object) -> Dataset:
    """Return a CT image of a study, with pixels."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_STORAGE, f"{study}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.0"
    dataset.Modality, dataset.InstanceNumber = "CT", number
    dataset.PatientName, dataset.PatientID = "Sample^Anna", "COACH-000001"
    dataset.Rows = dataset.Columns = 4
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes(16)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    return dataset


def store(association: Association, *images: Dataset) -> None:
    """Send images; each is taken."""
    for each in images:
        assert association.send_c_store(each).Status == 0


def begin_step(association: Association, uid: str | None, study: str, status: str = "IN PROGRESS") -> int:
    """Create a performed procedure step; return the status of the answer."""
    step, scheduled = Dataset(), Dataset()
    scheduled.StudyInstanceUID = study
    step.ScheduledStepAttributesSequence = Items([scheduled])
    step.PerformedProcedureStepStatus = status
    step.PatientName = "Sample^Anna"
    step.PerformedSeriesSequence = Items()
    answer, _ = association.send_n_create(step, MPPS, uid)
    return int(answer.Status)


def end_step(association: Association, uid: str, images: Iterable[str], status: str = "COMPLETED") -> int:
    """End a performed procedure step with these images; return the status of the answer."""
    step, series = Dataset(), Dataset()
    series.ReferencedImageSequence = Items(map(reference, images))
    step.PerformedSeriesSequence = Items([series])
    step.PerformedProcedureStepStatus = status
    answer, _ = association.send_n_set(step, MPPS, uid)
    return int(answer.Status)


def ask(association: Association, transaction: str, images: Sequence[str], sop_class: str = CT_STORAGE) -> int:
    """Ask for storage commitment; return the status of the answer."""
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = Items(reference(uid, sop_class) for uid in images)
    answer, _ = association.send_n_action(asked, 1, COMMITMENT, COMMITMENT_INSTANCE)
    return int(answer.Status)


def reference(uid: str, sop_class: str = CT_STORAGE) -> Dataset:
    """Return an item that refers to an image."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item
