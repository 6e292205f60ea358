"""Fuzz the datasets of MPPS and storage commitment: `python -m tests.fuzz.services [libFuzzer's options] [corpus]`."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom.dsutils import decode, encode

from capacitord.dicom.services import reading
from capacitord.dicom.services.reading import asked, begun, changed
from capacitord.dicom.validation.rules import is_like_a_uid
from capacitord.model.evidence import Named, Result
from tests.fuzz.run import fuzz

_READERS: Final[tuple[Callable[[Dataset], object], ...]] = (begun, changed, asked)


def services(data: bytes) -> None:
    """What is read of a dataset is UIDs, or a refusal with a status; nothing else is raised."""
    if not data:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = decode(io.BytesIO(data[1:]), True, True)
        except Exception:  # noqa: BLE001 - pydicom refuses it as it likes, and the handlers answer for that
            return
        with contextlib.suppress(reading.Refused):
            found = _READERS[data[0] % len(_READERS)](dataset)
            if isinstance(found, reading.Asked):
                assert is_like_a_uid(found.transaction_uid)
                assert all(is_like_a_uid(uid) for named in found.images for uid in named)


def _seeds() -> tuple[bytes, ...]:
    step, scheduled, series = Dataset(), Dataset(), Dataset()
    scheduled.StudyInstanceUID = "1.2.3"
    step.ScheduledStepAttributesSequence = Sequence([scheduled])
    step.PerformedProcedureStepStatus = reading.IN_PROGRESS
    _, report = reading.report("1.8", Result((Named("1.2", "1.3"),), ()))
    series.ReferencedImageSequence = report.ReferencedSOPSequence
    over = Dataset()
    over.PerformedProcedureStepStatus = "COMPLETED"
    over.PerformedSeriesSequence = Sequence([series])
    datasets = (step, over, report)
    return tuple(bytes([number]) + (encode(each, True, True) or b"") for number, each in enumerate(datasets))


SEEDS: Final = _seeds()

if __name__ == "__main__":
    fuzz("services")
