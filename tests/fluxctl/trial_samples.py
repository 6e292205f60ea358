"""Images that a profile was tried on, as `profile try` and `study explain` tell of them. Names are invented."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from capacitord.api.codes import Resolution, Resolved
from capacitord.api.trial import (
    Changed,
    Explained,
    Fate,
    Leaving,
    ProfileTrial,
    Recorded,
    Skipped,
    StudyExplained,
    Syntax,
    Trial,
    TriedFile,
    TriedRoute,
)
from capacitord.model.codes import Kind
from capacitord.model.conditions import Reason
from capacitord.model.states import AckState
from tests.fluxctl import samples as s

EXPLICIT = Syntax("1.2.840.10008.1.2.1", "Explicit VR Little Endian")
IMPLICIT = Syntax("1.2.840.10008.1.2", "Implicit VR Little Endian")
J2K = Syntax("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless")
OURS = "our name on what comes from the coach"


def no(what: str, wanted: str, *found: str) -> TriedRoute:
    """Return a first route that does not match."""
    reason = Reason(holds=False, what=what, wanted=wanted, found=found or None)
    return TriedRoute(1, False, (reason,), Reason(False, "all", parts=(reason,)))


NIGHT = TriedRoute(
    2,
    True,
    (
        Reason(holds=True, what="time", wanted="Mon-Fri 18:00-07:00, Sat-Sun", found=("Sun 19:30",)),
        Reason(holds=False, what="BurnedInAnnotation", wanted="YES", found=None),
    ),
    Reason(holds=True, what="all"),
)
PATIENT_ID = Changed("(0010,0020)", "PatientID", "COACH-12", "STM12", "transform 1", "replace")
CT = Trial(
    sop_class="CT Image Storage",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    sop_instance_uid="1.2.3.4.5",
    modality="CT",
    transfer_syntax=EXPLICIT,
    bytes=526_336,
    calling_ae_title="CT_COACH",
    called_ae_title="FLUXBOX",
    local=datetime(2025, 11, 23, 19, 30, tzinfo=ZoneInfo("America/Chicago")),
    inbound=(PATIENT_ID,),
    routes=(no("StudyDescription", "*STROKE*, *CTA HEAD*", "CHEST"), NIGHT),
    route=2,
    to=("pacs", "research"),
    else_to=("archive",),
    priority="stat",
    destinations=(
        Leaving(
            "pacs",
            "STM_PACS",
            Fate.LEAVES,
            changes=(
                PATIENT_ID,
                Changed("(0008,0080)", "InstitutionName", "", "St. Mary's Hospital", OURS, "set"),
                Changed("(0010,0021)", "IssuerOfPatientID", None, "STM", OURS, "set"),
                Changed("(0009,1002)", "(0009,1002)", "HiSpeed CT/i", None, OURS, "remove"),
                Changed(
                    "(0040,0275)[1].(0040,0007)",
                    "RequestAttributesSequence[1].ScheduledProcedureStepDescription",
                    "THORAX NATIV",
                    "CHEST",
                    OURS,
                    "map",
                ),
            ),
            skipped=(Skipped("transform 4", "copy", "AccessionNumber", "StudyID is longer than a SH may be"),),
            transfer_syntax=J2K,
            otherwise=(EXPLICIT, IMPLICIT),
            bytes=214_002,
        ),
        Leaving(
            "research",
            "TRIAL_ARCH",
            Fate.HELD,
            "This image cannot be de-identified: it says that names are burned into its pixels.",
            deidentified=True,
        ),
        Leaving(
            "archive",
            "",
            Fate.BARRED,
            "nothing is sent there: this version has no STOW-RS",
            stands_in=True,
            changes=(PATIENT_ID,),
            transfer_syntax=EXPLICIT,
            bytes=526_334,
            remark="JPEG 2000 Lossless: the image has 24 bits a sample.",
        ),
    ),
)
PLAIN = s.changed(
    CT,
    inbound=(),
    routes=(),
    route=None,
    to=("pacs",),
    else_to=(),
    priority="routine",
    destinations=(Leaving("pacs", "STM_PACS", Fate.LEAVES, as_received=True, transfer_syntax=EXPLICIT, bytes=526_336),),
)
NOWHERE = s.changed(
    CT,
    sop_class="Mammography X-Ray Image Storage - For Presentation",
    modality="MG",
    calling_ae_title="",
    bytes=53 * s.MIB,
    inbound=(),
    routes=(
        no("Modality", "CT, MR", "MG"),
        TriedRoute(
            2,
            False,
            (
                Reason(holds=False, what="RequestAttributesSequence.RequestedProcedureDescription", wanted="*STAT*"),
                Reason(holds=True, what="PatientID", wanted='"TEST*"', found=("TEST7",)),
            ),
            Reason(holds=False, what="all"),
        ),
    ),
    route=None,
    held="no route of the profile matches it (2 were tried)",
    to=(),
    else_to=(),
    priority="",
    destinations=(),
)


def trial(*files: TriedFile) -> ProfileTrial:
    """Return what was tried on files."""
    return ProfileTrial("st-marys.toml", "st-marys", s.SITE.name, 7, "America/Chicago", True, files)


_SHORT = "its pixels have 524288 bytes, and rows, columns, frames and bits make 4194304"
ONE = trial(TriedFile("IM0001.dcm", group=1, trial=CT, written=("out/pacs/IM0001.dcm",)))
WITH_FINDINGS = trial(
    TriedFile("IM0001.dcm", group=1, trial=s.changed(PLAIN, findings=("it has no Patient's Name",))),
    TriedFile("IM0002.dcm", group=2, trial=s.changed(NOWHERE, held=_SHORT, findings=(_SHORT,), routes=())),
)
MANY = trial(
    *(TriedFile(f"cd/CT/IM{number:04}.dcm", group=1, trial=PLAIN) for number in range(1, 501)),
    TriedFile("cd/DICOMDIR", "this is no DICOM image: it is the directory of a medium (DICOMDIR), which is never sent"),
    TriedFile("cd/MG/IM0001.dcm", "", "it does not say its transfer syntax; taken by its beginning", 2, NOWHERE),
    TriedFile("cd/README.TXT", "this is no DICOM image: it does not begin like one"),
    TriedFile("cd/VIEWER.EXE", "this is no DICOM image: it does not begin like one"),
)
DEIDENTIFIED = trial(
    TriedFile(
        "IM0001.dcm",
        group=1,
        trial=s.changed(
            PLAIN,
            destinations=(
                Leaving(
                    "research",
                    "TRIAL_ARCH",
                    Fate.LEAVES,
                    deidentified=True,
                    changes=(
                        Changed(
                            "(0008,0018)",
                            "SOPInstanceUID",
                            "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
                            "2.25.311893714471223994419927391029473112245",
                            "",
                            "de-identify",
                        ),
                        *(
                            Changed(f"(0009,10{n:02X})", f"(0009,10{n:02X})", str(n), None, "", "de-identify")
                            for n in range(40)
                        ),
                        Changed("(0010,0010)", "PatientName", "Sample^Anna", "TP7PQWGYQGBF", "", "de-identify"),
                    ),
                    transfer_syntax=EXPLICIT,
                    bytes=520_110,
                ),
            ),
        ),
    )
)
EXPLAINED = StudyExplained(
    "fluxctl.study.explain/1",
    s.HEAD,
    8,
    (
        Explained(
            118,
            2,
            ("2 CT HEAD 5.0", "3 CT HEAD 1.0"),
            "0f02ab" * 5,
            Recorded(
                7,
                2,
                "routed",
                "",
                (
                    s.ack("backup", AckState.HELD, attempts=0, reason=s.WITHHELD, profile_version=7),
                    s.ack("night", AckState.WAITING, reason="It waits to be sent."),
                    s.ack("pacs", AckState.DONE, reason="It was stored.", status=0, profile_version=6),
                ),
            ),
            CT,
        ),
        Explained(1, 1, ("901 MG",), "77c0de" * 5, Recorded(7, None, "held", "no route matches it"), NOWHERE),
        Explained(1, 1, ("902 SR",), "ab12cd" * 5, Recorded(7, 0, "routed"), None, "Its bytes have left this box."),
    ),
    4,
)
AWAITED = StudyExplained(
    "fluxctl.study.explain/1",
    s.HEAD,
    8,
    (
        Explained(
            2,
            1,
            ("2 CT HEAD 5.0",),
            "0f02ab" * 5,
            Recorded(8, None, "unrouted"),
            None,
            "The spool cannot be read now.",
        ),
    ),
    awaited="The worklist of before the start is being prepared, and images are matched with it after that.",
)
RESOLVED = Resolved(
    "fluxctl.study.resolve/1",
    (
        Resolution("research", (Kind.PATIENT_ID, Kind.PATIENT_NAME), s.HEAD, was_sent=True),
        Resolution("research", (Kind.SERIES,), s.BREAST, uid="1.2.840.113619.2.55.3.2831868886.2"),
    ),
    ("research",),
    3,
)
