"""Studies that wait for a person, as the daemon would tell them. Names are invented."""

from __future__ import annotations

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.model.reasons import WORDS, Reason, suggested
from capacitord.model.states import StudyState
from tests.fluxctl import worklist_samples as w
from tests.fluxctl.samples import BREAST, CHEST, HEAD, ago, changed

LATER_SENTENCE, LATER_STEP = (text.format(study="77ac01d2e9") for text in suggested("c20e9f14"))
UNMATCHED = m.HeldFor("unmatched", 3, LATER_SENTENCE, LATER_STEP)
TRAUMA = changed(
    HEAD,
    id="77ac01d2e9",
    patient_name="TRAUMA^UNKNOWN",
    patient_id="T-77",
    accession_number="",
    state=StudyState.HELD,
    reason="3 of 3 images: nothing on the worklist agrees with it (version 7 of the profile).",
    images=3,
    held=3,
    deliveries=(),
    held_for=(UNMATCHED,),
)
NEAR = r.Candidate(w.MILLER, ("PatientBirthDate",), ("StudyInstanceUID", "PatientID", "PatientName", "Modality"))
LATER = r.Candidate(w.GONE, ("PatientID",), (), suggested=True)
WHOSE = r.HeldPatient(TRAUMA.patient_name, TRAUMA.patient_id, TRAUMA.birth_date, 3, 3, 3)
ROW = r.Held(TRAUMA, (NEAR, LATER), ({"PatientName": "TRAUMA^UNKNOWN", "PatientID": "T-77"},), (WHOSE,))
LIST = r.HeldList("fluxctl.held.list/1", (ROW,), 1, ("pacs", "backup"))


def waits(why: Reason, images: int, short: str, destination: str = "") -> m.HeldFor:
    sentence, step = (text.format(study=short, destination=destination) for text in WORDS[why])
    return m.HeldFor(why, images, sentence, step, destination)


TOGETHER = changed(
    TRAUMA,
    reason="1 of 40 images: it has no Series Instance UID. 39 of 40 images: 1 image of the study is held, and whole "
    "studies only are sent.",
    images=40,
    held=40,
    held_for=(
        changed(waits(Reason.INVALID, 1, "77ac01d2e9"), details=("it has no Series Instance UID",)),
        waits(Reason.TOGETHER, 39, "77ac01d2e9"),
    ),
)
WHOLE = r.HeldList("fluxctl.held.list/1", (r.Held(TOGETHER, ()),), 1, ("pacs", "backup"))
ORDER = m.Decided(
    "matched", ago(minutes=20), "5be10c77", ("AccessionNumber",), 7, ago(minutes=22), steps=("5be10c77", "c20e9f14")
)
TWIN = changed(CHEST, conflicts=1, held_for=(waits(Reason.DUPLICATE, 1, CHEST.id),))
HEART = changed(
    BREAST,
    held_for=(
        waits(Reason.BURNED_IN, 4, BREAST.id, "research"),
        waits(Reason.TRANSFORM_FAILED, 1, BREAST.id, "pacs"),
    ),
)
ALL_KINDS = r.HeldList("fluxctl.held.list/1", (r.Held(TWIN), r.Held(HEART)), 2, ("pacs", "research"))
NONE = r.HeldList("fluxctl.held.list/1", (), 0)
LINES = (
    r.Line("PatientID", "T-77", ("STM104711", "STM104711"), (False, False)),
    r.Line("PatientName", "TRAUMA^UNKNOWN", ("MILLER^ANNA^M", "SMITH^JOHN"), (False, False)),
    r.Line("PatientBirthDate", "19610524", ("19610524", ""), (True, None)),
    r.Line("Modality", "CT", ("CT", "CT"), (True, True)),
)
MANY_ROW = r.Held(
    changed(
        TRAUMA,
        patient_name="Miller^Anna^M",
        accession_number="A-1001",
        held_for=(waits(Reason.AMBIGUOUS, 3, TRAUMA.id),),
    ),
    (
        r.Candidate(w.MILLER, ("AccessionNumber", "PatientID"), ()),
        r.Candidate(w.GONE, ("AccessionNumber",), ("PatientID", "PatientName")),
        r.Candidate(w.NOVAK, ("PatientID",), ("PatientName",)),
        r.Candidate(w.LEFT, ("PatientID",), ("PatientName",)),
    ),
    ({"PatientName": "Miller^Anna^M"},),
    more=4,
)
_UIDS = tuple(f"1.2.826.0.1.3680043.8.498.{number}7034615986137826304618" for number in (62, 71, 80, 93))
_NAMES = ("MILLER^ANNA^M", "SMITH^JOHN", "Venkatanarasimharajuvaripeta^Padmavathi Anuradha", "Ng^Li")
MANY = r.HeldDetail(
    "fluxctl.held.show/1",
    MANY_ROW,
    (
        r.Line("AccessionNumber", "A-1001", ("A-1001", "a-1001", "A-1002", "A-1003"), (True, True, False, False)),
        r.Line("StudyInstanceUID", _UIDS[0], _UIDS, (True, False, False, False)),
        r.Line(
            "PatientID", "STM104711", ("stm104711", "STM104799", "STM104711", "STM104711"), (True, False, True, True)
        ),
        r.Line("PatientName", "Miller^Anna^M", _NAMES, (True, False, False, False)),
        r.Line("ScheduledStationAETitle", "COACHCT", ("COACHCT", "", "", ""), (True, None, None, None)),
        r.Line("ScheduledProcedureStepID", "", ("S-1", "S-2", "S-3", "S-4"), (None,) * 4),
    ),
    ("pacs", "backup"),
    m.Decided(
        "ambiguous",
        ago(minutes=20),
        "",
        ("AccessionNumber",),
        7,
        ago(minutes=22),
        candidates=(w.MILLER.id, w.GONE.id),
        fields=("PatientID",),
    ),
)
JUDGED = m.Decided("unmatched", ago(minutes=20), profile_version=7, listed_at=ago(minutes=22), suggestion="c20e9f14")
DETAIL = r.HeldDetail("fluxctl.held.show/1", ROW, LINES, ("pacs", "backup"), JUDGED)
RELEASED = m.Decided(
    "released",
    ago(minutes=3),
    "5be10c77",
    by="Dr Ann (as ct)",
    uid=1001,
    reason="named by her son",
    destinations=("pacs",),
    reconciled=True,
)
GONE = r.HeldDetail(
    "fluxctl.held.show/1",
    r.Held(changed(TRAUMA, state=StudyState.DISCARDED, reason="Discarded by ann: a test.", held=0, held_for=()), ()),
    (),
    ("pacs", "backup"),
    RELEASED,
    ago(seconds=-71_000),
)
