"""A worklist of ten steps for four patients, with everything DCMTK's server insists on."""

from __future__ import annotations

from pathlib import Path

from capacitord.dicom.part10 import preamble
from tests.dicom.samples import EXPLICIT
from tests.dicom.worklist import kit
from tests.dicom.worklist.kit import Said, step

STUDY = "1.2.826.0.1.3680043.9.77."
_VERMEER = ("VERMEER^JAN", "VJ16321031", "16321031", "M")
_VIGEE = ("VIGEE^ELISABETH^LOUISE", "VE17550416", "17550416", "F")
_ANGUISSOLA = ("ANGUISSOLA^SOFONISBA", "AN1532", "15320202", "F")
_KLEE = ("KLEE^PAUL", "KP18791218", "18791218", "M")

_ROWS = (
    (_VERMEER, "10000", "MR", "COACH1\\COACH2", "19951015", "085607", "ADAMS", "HEAD"),
    (_VERMEER, "10002", "CT", "COACH3", "19951015", "120000", "ADAMS", "CHEST"),
    (_VERMEER, "10003", "CR", "COACH4", "19951231", "180001", "BROWN^B", "HAND"),
    (_VIGEE, "20001", "US", "COACH1", "19960101", "0715", "CLARK", "LIVER"),
    (_VIGEE, "20002", "CR", "COACH4", "19960102", "101500", "CLARK", "CHEST"),
    (_VIGEE, "20003", "CT", "COACH3", "19960406", "160700", "ADAMS", "HEAD"),
    (_ANGUISSOLA, "30001", "NM", "COACH5", "19950331", "112233", "DIAZ", "BONE"),
    (_ANGUISSOLA, "30002", "CT", "COACH3", "19950401", "235959", "DIAZ", "SPINE"),
    (_KLEE, "40001", "CT", "COACH2", "19951001", "000000", "BROWN^B", "KNEE"),
    (_KLEE, "40002", "MR", "COACH1", "19970707", "075644", "ADAMS", "KNEE"),
)


def entries() -> list[Said]:
    """Return the ten entries."""
    return [
        {
            "AccessionNumber": accession,
            "PatientName": name,
            "PatientID": patient,
            "PatientBirthDate": birth,
            "PatientSex": sex,
            "MedicalAlerts": None,
            "Allergies": None,
            "StudyInstanceUID": f"{STUDY}{accession}",
            "RequestingPhysician": physician,
            "RequestedProcedureDescription": f"EXAM OF {what}",
            "RequestedProcedureID": f"R{accession}",
            "RequestedProcedurePriority": "LOW",
            **step(
                Modality=modality,
                RequestedContrastAgent=None,
                ScheduledStationAETitle=stations,
                ScheduledProcedureStepStartDate=day,
                ScheduledProcedureStepStartTime=time,
                ScheduledPerformingPhysicianName=physician,
                ScheduledProcedureStepDescription=what,
                ScheduledProcedureStepID=f"S{accession}",
                ScheduledStationName=f"ROOM {modality}",
                ScheduledProcedureStepLocation="COACH",
                PreMedication=None,
                CommentsOnTheScheduledProcedureStep=None,
            ),
        }
        for (name, patient, birth, sex), accession, modality, stations, day, time, physician, what in _ROWS
    ]


def write(said: Said, path: Path) -> None:
    """Write a dataset as a DICOM file."""
    path.write_bytes(preamble("1.2.276.0.7230010.3.1.0.1", "1.2.3.4", EXPLICIT, "RIS") + kit.data(said))


def write_all(folder: Path) -> None:
    """Write all entries as files `*.wl`."""
    for said in entries():
        write(said, folder / f"{said['AccessionNumber']}.wl")
