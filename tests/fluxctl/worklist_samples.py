"""The worklist of one afternoon, as the daemon would tell it. Names are invented."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from capacitord.api import worklist as w
from capacitord.api.trial import Skipped
from capacitord.errors import NotFound
from capacitord.model.worklist_cache import ListState
from tests.fluxctl.samples import ago, changed

SOURCE = "STM_RIS at 10.20.1.11:104"


def entry(short: str, name: str, **said: Any) -> w.Entry:
    """Return an entry of this afternoon."""
    fields: dict[str, Any] = {
        "patient_id": "STM104711",
        "birth_date": "19610524",
        "sex": "F",
        "accession_number": "A-1001",
        "study_uid": "1.2.826.0.1.3680043.9.77.1",
        "description": "CT HEAD W/O CONTRAST",
        "modality": "CT",
        "station": "COACHCT",
        "start_date": "20251121",
        "start_time": "141500",
        "since": ago(hours=5),
        "seen": ago(seconds=74),
        **said,
    }
    return w.Entry(id=short, patient_name=name, **fields)


MILLER = entry("5be10c77", "MILLER^ANNA^M", changed=True)
NOVAK = entry(
    "0a41f2d9",
    "NOVÁK^JIŘÍ",
    patient_id="STM104719",
    accession_number="A-1002",
    start_time="150000",
    description="CT ABDOMEN AND PELVIS WITH CONTRAST, DELAYED",
    lacking=("ScheduledStationAETitle",),
    station="",
)
NOBODY = entry(
    "77d3a1b0",
    "",
    patient_id="",
    description="",
    modality="",
    station="",
    start_date="",
    start_time="",
    lacking=("PatientName", "PatientID"),
)
GONE = entry("c20e9f14", "SMITH^JOHN", accession_number="A-0997", start_time="0930", vanished=ago(minutes=31))
SOUGHT = changed(MILLER, since=ago(minutes=31), seen=ago(minutes=31), sought=ago(minutes=31), listed=False)


LEFT = changed(GONE, id="e1b07a52", accession_number="A-0311", start_date="20251114", vanished=ago(hours=9), left=True)


def failing() -> w.EntryList:
    """Return a list of today whose source does not answer any more."""
    remark = "The worklist was fetched 1 min ago. The last 6 tries failed: 10.20.1.11 port 104: no answer within 10 s."
    found: w.EntryList = changed(listed(), remark=remark, failures=6)
    return found


def uncorrected() -> w.EntryList:
    """Return a list of which two entries could not be corrected."""
    mishaps = (changed(MILLER, mishap="as-it-came"), changed(NOVAK, mishap="withheld", lacking=()))
    found: w.EntryList = changed(listed(), entries=mishaps)
    return found


def listed(*, vanished: bool = False, state: ListState = ListState.FRESH) -> w.EntryList:
    """Return the list, or how it is when it is old."""
    remark = "The worklist was fetched 1 min ago."
    fetched: datetime | None = ago(seconds=74)
    if state is ListState.STALE:
        remark = (
            "The worklist was fetched 13 h 02 min ago and is out of date. The last 391 tries failed: 10.20.1.11 port "
            "104: the host did not answer within 10 s."
        )
        fetched = ago(hours=13, minutes=2)
    entries = (MILLER, NOVAK, NOBODY, *((GONE, LEFT) if vanished else ()))
    return w.EntryList("fluxctl.worklist.list/1", state, remark, fetched, SOURCE, entries)


NEVER = w.EntryList(
    "fluxctl.worklist.list/1",
    ListState.NEVER,
    "No worklist has been fetched yet, and scanners get an empty one.",
    None,
    "",
    (),
)
DETAIL = w.EntryDetail(
    "fluxctl.worklist.show/1",
    MILLER,
    (
        w.Attribute("SpecificCharacterSet", "ISO_IR 100", "ISO_IR 100"),
        w.Attribute("AccessionNumber", "A-1001", "A-1001"),
        w.Attribute("PatientName", "MÜLLER^ANNA^M", "MULLER^ANNA^M", ("worklist.correct[1]",)),
        w.Attribute("RequestedProcedureDescription", None, "CT HEAD W/O CONTRAST", ("required",)),
        w.Attribute(
            "ScheduledProcedureStepSequence[1].ScheduledStationAETitle", "CT_ANY", "COACHCT", ("worklist.correct[0]",)
        ),
        w.Attribute("ScheduledProcedureStepSequence[1].ScheduledProcedureStepStartDate", "20251121", "20251121"),
        w.Attribute("RequestedProcedurePriority", "", ""),
        w.Attribute("ConfidentialityCode", "R", None, ("transform[4]",)),
    ),
    (Skipped("worklist.correct[2]", "copy", "PatientID", "the value has 70 characters, and the VR LO allows 64"),),
)
REFRESHED = w.Refreshed(
    schema="fluxctl.worklist.refresh/1",
    ok=True,
    reason="",
    source=SOURCE,
    seconds=0.41,
    entries=17,
    fetched=ago(seconds=0),
    new=(MILLER,),
    vanished=(changed(GONE, vanished=ago(seconds=0)), changed(LEFT, vanished=ago(seconds=0))),
    changed=(NOVAK,),
)
SAME = changed(REFRESHED, new=(), vanished=(), changed=())
FAILED = changed(
    SAME,
    ok=False,
    reason="10.20.1.11 port 104: the host did not answer within 10 s.",
    fetched=ago(hours=2),
)
NEVER_REFRESHED = changed(FAILED, entries=0, fetched=None)


def detail(reference: str) -> w.EntryDetail:
    """Return the sample entry if that is what a reference names."""
    if not MILLER.id.startswith(reference) and reference != MILLER.accession_number:
        raise NotFound("there is no such entry", hint="See: fluxctl worklist list")
    return DETAIL
