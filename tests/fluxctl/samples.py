"""A coach at a facility on one afternoon, as the daemon would tell it. Names are invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from capacitord.api import messages as m
from capacitord.model.states import AckState, DeliveryState, GateState, StudyState
from capacitord.model.worklist_cache import ListState

NOW = datetime(2025, 11, 21, 20, 2, 11, tzinfo=UTC)
MIB = 2**20
GIB = 2**30

SITE = m.Site(id="st-marys", name="St. Mary's Hospital", profile_version=7, timezone="America/Chicago")
LISTENER = m.Listener(ae_title="FLUXBOX", address="10.20.5.7", port=104, bound=True)
OPEN = m.Gate(
    state=GateState.OPEN,
    may_scan=True,
    reason="images are taken in for st-marys",
    since=NOW - timedelta(hours=6, minutes=11),
)
BLOCKED = m.Gate(
    state=GateState.BLOCKED,
    may_scan=False,
    reason="the disk is below its reserve of 20 GiB",
    hint="Deliver or discard studies: fluxctl queue list shows what waits.",
)
RUNTIME = m.Runtime(state=m.RuntimeState.RUNNING, pid=4711, since=NOW - timedelta(hours=6, minutes=12), isolated=False)
ISOLATION = m.Advice(
    reference="not-isolated",
    level=m.Level.WARNING,
    message="The site runtime is not isolated: bubblewrap is missing.",
    hint="Install it (sudo apt install bubblewrap), then: sudo systemctl restart capacitord",
)


def ago(**span: float) -> datetime:
    """Return a time before now."""
    return NOW - timedelta(**span)


def changed(struct: Any, **fields: Any) -> Any:
    """Return a copy of a struct with other fields."""
    return msgspec.structs.replace(struct, **fields)


PACS = m.DestinationStatus(
    name="pacs",
    ae_title="STM_PACS",
    host="10.20.1.10",
    port=104,
    circuit=m.CircuitState.CLOSED,
    paused=False,
    reason="",
    next_try=None,
    last_success=ago(seconds=1),
    waiting_images=820,
    waiting_bytes=410 * MIB,
    waiting_studies=3,
    oldest=ago(minutes=4, seconds=10),
    doubtful_images=0,
    refused_images=0,
    delivered_images=3204,
    rate=12.3 * MIB,
    eta=33.4,
    transfers=(m.Transfer(study="3f2a9c", image=57, images=120, sent_bytes=31 * MIB, image_bytes=60 * MIB),),
)
BACKUP = m.DestinationStatus(
    name="backup",
    ae_title="STM_BACKUP",
    host="10.20.1.12",
    port=11112,
    circuit=m.CircuitState.OPEN,
    paused=False,
    reason="10.20.1.12:11112 refused the connection",
    next_try=NOW + timedelta(seconds=41),
    last_success=ago(hours=2, minutes=5),
    waiting_images=64,
    waiting_bytes=32 * MIB,
    waiting_studies=2,
    oldest=ago(hours=2, minutes=4),
    doubtful_images=1,
    refused_images=0,
    delivered_images=3140,
    rate=0.0,
    eta=None,
)
DISK = m.Disk(total=500 * GIB, free=330 * GIB, reserve=20 * GIB, warning=50 * GIB, level=m.Level.OK)
SPOOL = m.SpoolStatus(
    studies=14, images=4024, bytes=int(1.9 * GIB), undelivered_images=884, conflicts=0, corrupt=0, recovered=0
)
WORKLIST = m.WorklistStatus(
    ae_title="STM_RIS",
    host="10.20.1.11",
    port=104,
    state=ListState.FRESH,
    entries=17,
    vanished=2,
    fetched=ago(seconds=74),
    source="STM_RIS at 10.20.1.11:104",
    tried=ago(seconds=74),
    failures=0,
    reason="",
    next_try=NOW + timedelta(seconds=46),
    queries=12,
    last_query=ago(minutes=3),
    patience=40.0,
)
TRAFFIC = m.SiteStatus(
    incoming=(m.Incoming(calling_ae="CT_COACH", peer="10.20.5.20", since=ago(seconds=41), images=57, bytes=28 * MIB),),
    images_received=1204,
    bytes_received=602 * MIB,
    last_image=ago(seconds=1),
    spool=SPOOL,
    disk=DISK,
    destinations=(PACS, BACKUP),
    advice=(),
    worklist=WORKLIST,
)
STATUS = m.Status(
    schema="fluxctl.status/1",
    version="0.1.0",
    now=NOW,
    started=ago(hours=6, minutes=12),
    gate=OPEN,
    listener=LISTENER,
    runtime=RUNTIME,
    site=SITE,
    traffic=TRAFFIC,
    advice=(ISOLATION,),
    worklist=m.Listener(ae_title="FLUXBOX", address="10.20.5.7", port=11113, bound=True),
)
NO_SITE = m.Status(
    schema="fluxctl.status/1",
    version="0.1.0",
    now=NOW,
    started=ago(seconds=50),
    gate=m.Gate(
        state=GateState.PARKED,
        may_scan=False,
        reason="no site profile is imported",
        hint="Import one: fluxctl profile import FILE",
    ),
    listener=changed(LISTENER, bound=False),
    runtime=m.Runtime(state=m.RuntimeState.ABSENT),
    site=None,
    traffic=None,
    advice=(),
)


def delivery(destination: str, state: DeliveryState, images: int, done: int, **fields: Any) -> m.StudyDelivery:
    """Return a delivery of which `done` images are acknowledged."""
    plain = m.StudyDelivery(
        destination=destination,
        state=state,
        reason="",
        images=images,
        acknowledged=done,
        warnings=0,
        doubtful=0,
        refused=0,
        next_try=None,
        delivered_at=ago(minutes=3) if state is DeliveryState.DELIVERED else None,
    )
    return msgspec.structs.replace(plain, **fields)


HEAD = m.Study(
    id="3f2a9c",
    study_uid="1.2.826.0.1.3680043.8.498.1001",
    patient_name="DOE^JANE^A",
    patient_id="COACH-1001",
    birth_date="19570312",
    sex="F",
    accession_number="A-1001",
    study_date="20251121",
    study_time="134500",
    description="CT HEAD W/O CONTRAST",
    modalities=("CT",),
    state=StudyState.MATCHED,
    reason="",
    images=120,
    bytes=60 * MIB,
    conflicts=0,
    corrupt=0,
    purged=0,
    first_received=ago(minutes=17),
    last_received=ago(minutes=4),
    deliveries=(
        delivery("pacs", DeliveryState.SENDING, 120, 57),
        delivery(
            "backup",
            DeliveryState.DEFERRED,
            120,
            0,
            reason="10.20.1.12:11112 refused the connection",
            next_try=NOW + timedelta(seconds=41),
            doubtful=1,
        ),
    ),
)
CHEST = m.Study(
    id="8b01d4",
    study_uid="1.2.826.0.1.3680043.8.498.1002",
    patient_name="MÜLLER-LÜDENSCHEIDT^KARL-HEINZ",
    patient_id="COACH-1002",
    birth_date="19400101",
    sex="M",
    accession_number="A-1002",
    study_date="20251121",
    study_time="091210",
    description="THORAX PA UND SEITLICH",
    modalities=("DX",),
    state=StudyState.MATCHED,
    reason="",
    images=2,
    bytes=18 * MIB,
    conflicts=0,
    corrupt=0,
    purged=0,
    first_received=ago(hours=4, minutes=49),
    last_received=ago(hours=4, minutes=48),
    deliveries=(
        delivery("pacs", DeliveryState.DELIVERED, 2, 2),
        delivery("backup", DeliveryState.DELIVERED, 2, 2),
    ),
)
BREAST = m.Study(
    id="c77e02",
    study_uid="1.2.826.0.1.3680043.8.498.1003",
    patient_name="YAMADA^HANAKO=山田^花子",
    patient_id="COACH-1003",
    birth_date="19680704",
    sex="F",
    accession_number="",
    study_date="20251120",
    study_time="",
    description="",
    modalities=("MG", "SR"),
    state=StudyState.RECEIVING,
    reason="",
    images=5,
    bytes=300 * MIB,
    conflicts=1,
    corrupt=0,
    purged=0,
    first_received=ago(days=1, hours=2),
    last_received=ago(days=1, hours=1),
    deliveries=(
        delivery(
            "pacs", DeliveryState.FAILED, 5, 3, refused=2, warnings=1, reason="the PACS refused 2 images (0xA900)"
        ),
    ),
)
STUDIES = m.StudyList(schema="fluxctl.study.list/1", studies=(HEAD, CHEST, BREAST), total=3)


def ack(destination: str, state: AckState, **fields: Any) -> m.Ack:
    """Return a ledger row."""
    plain = m.Ack(destination=destination, state=state, reason="", status=None, comment="", attempts=1, at=None)
    return msgspec.structs.replace(plain, **fields)


def image(number: int, *acks: m.Ack, **fields: Any) -> m.Image:
    """Return an image of series 2."""
    plain = m.Image(
        sop_instance_uid=f"1.2.826.0.1.3680043.8.498.1003.2.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2",
        sop_class="Digital Mammography X-Ray Image Storage - For Presentation",
        transfer_syntax_uid="1.2.840.10008.1.2.4.70",
        transfer_syntax="JPEG Lossless, Non-Hierarchical, First-Order Prediction",
        series_uid="1.2.826.0.1.3680043.8.498.1003.2",
        series_number=2,
        series_description="R CC",
        modality="MG",
        instance_number=number,
        bytes=60 * MIB,
        received_at=ago(days=1, hours=1),
        calling_ae="MG_COACH",
        peer="10.20.5.21",
        conflict=False,
        corrupt=False,
        purged=False,
        object_id=f"0f{number:02x}" * 8,
        acks=acks,
    )
    return msgspec.structs.replace(plain, **fields)


DONE = ack("pacs", AckState.DONE, status=0, at=ago(minutes=50))
REFUSED = ack(
    "pacs",
    AckState.REFUSED,
    status=0xA900,
    reason="the PACS says the data set does not match its SOP class (0xA900)",
    comment="Missing tag (0028,0008)",
    attempts=3,
    at=ago(minutes=40),
)
WITHHELD = (
    "Transform 'names' could not map Modality: the value is not in the table. "
    "Correct the profile: its next version tries again, as does `fluxctl resend`."
)
HELD = ack("pacs", AckState.HELD, reason=WITHHELD, attempts=0, at=ago(minutes=40), profile_version=7)
DETAIL = m.StudyDetail(
    schema="fluxctl.study.show/1",
    study=BREAST,
    images=(
        image(1, DONE),
        image(2, ack("pacs", AckState.WARNING, status=0xB000, reason="coercion of data elements (0xB000)")),
        image(3, DONE, conflict=True),
        image(4, REFUSED),
        image(
            1,
            REFUSED,
            series_uid="1.2.826.0.1.3680043.8.498.1003.9",
            series_number=9,
            series_description="DOSE REPORT",
            modality="SR",
            sop_instance_uid="1.2.826.0.1.3680043.8.498.1003.9.1",
            sop_class="X-Ray Radiation Dose SR Storage",
            bytes=40_000,
            transfer_syntax="Explicit VR Little Endian",
        ),
    ),
)
QUEUE = m.QueueList(
    schema="fluxctl.queue.list/1",
    destinations=(
        m.QueueRow(
            destination="pacs",
            paused=False,
            circuit=m.CircuitState.CLOSED,
            reason="",
            next_try=None,
            studies=3,
            images=820,
            bytes=410 * MIB,
            doubtful=0,
            refused=2,
            ages=m.AgeBuckets(minute=500, ten_minutes=318, hour=0, day=2, older=0),
        ),
        m.QueueRow(
            destination="backup",
            paused=True,
            circuit=m.CircuitState.OPEN,
            reason="10.20.1.12:11112 refused the connection",
            next_try=NOW + timedelta(seconds=41),
            studies=2,
            images=64,
            bytes=32 * MIB,
            doubtful=1,
            refused=0,
            ages=m.AgeBuckets(minute=0, ten_minutes=0, hour=0, day=64, older=0),
        ),
    ),
    studies=(HEAD, BREAST),
)
DESTINATIONS = m.DestinationList(schema="fluxctl.destination.list/1", destinations=(PACS, BACKUP))
ECHO = m.Echo(
    schema="fluxctl.destination.echo/1",
    destination="pacs",
    ok=True,
    reason="answered",
    hint="",
    connect_time=0.0012,
    associate_time=0.0215,
    echo_time=0.0034,
)
NO_ECHO = m.Echo(
    schema="fluxctl.destination.echo/1",
    destination="backup",
    ok=False,
    reason="10.20.1.12:11112 refused the connection",
    hint="Ask the PACS administrator whether STM_BACKUP is running.",
    connect_time=None,
    associate_time=None,
    echo_time=None,
)
SUMMARY = m.ProfileSummary(
    id="st-marys",
    name="St. Mary's Hospital",
    version=7,
    imported_at=ago(days=3),
    imported_by="alex",
    active=True,
    destinations=("pacs", "backup"),
    sha256="5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
)
OTHER_SUMMARY = changed(
    SUMMARY, id="lakeside", name="Lakeside Clinic", version=2, active=False, destinations=("pacs",), imported_by="root"
)
PROFILES = m.ProfileList(schema="fluxctl.profile.list/1", profiles=(SUMMARY, OTHER_SUMMARY))
IMPORTED = m.ProfileImported(
    **{name: getattr(SUMMARY, name) for name in SUMMARY.__struct_fields__}, file="st-marys.toml", before=6
)
NOT_SERVED = changed(
    m.ProfileImported(**{name: getattr(OTHER_SUMMARY, name) for name in SUMMARY.__struct_fields__}),
    file="lakeside.toml",
    files=(m.FileSummary("lakeside-ca.pem", 1200, "ab" * 32), m.FileSummary("box.key", 241, "cd" * 32)),
    findings=(
        m.ProfileFinding(
            "warning",
            "location.geofence",
            "overlaps with that of st-marys: 41200 m² around [-87.62000, 41.88000]",
            "There the position does not tell the sites apart; draw one smaller, or rely on network evidence.",
            8,
            12,
            "geofence = { file = 'lakeside.geojson' }",
            11,
            29,
        ),
        m.ProfileFinding("note", "preflight", "the scanner is not asked", line=14, column=2),
    ),
)
DAMAGED = m.DamagedProfile(
    "northside",
    4,
    "version 4 of the profile of northside can't be used: it was damaged, and set aside in /var/lib/x/northside.2026",
    "/var/lib/capacitord/profiles/northside/4.toml",
    "Import it again: fluxctl profile import FILE; or go back: fluxctl profile rollback northside",
)
SITES = m.SiteList(
    "fluxctl.site.list/1",
    (
        m.SiteEntry(
            "lakeside",
            "Lakeside Clinic",
            active=False,
            version=2,
            undelivered_images=12,
            held_images=3,
            as_of=ago(hours=20),
        ),
        m.SiteEntry("northside", "", active=False, version=4, problem=DAMAGED.message, hint=DAMAGED.hint),
        m.SiteEntry(
            "st-marys", "St. Mary's Hospital", active=True, version=7, gate=GateState.OPEN, undelivered_images=0
        ),
        m.SiteEntry("west", "West Hospital", active=False, version=1),
    ),
)
HISTORY = m.ProfileHistory(
    "fluxctl.profile.history/1",
    "st-marys",
    (
        m.KeptVersion(5, ago(days=40), "alex", "5a" * 32, in_force=False, problem="version 5 of it is missing"),
        m.KeptVersion(6, ago(days=9), "alex", "6a" * 32, in_force=False),
        m.KeptVersion(7, ago(days=3), "kim", "7a" * 32, in_force=True),
    ),
    (
        m.Activation(ago(days=9), "alex", 6, m.How.IMPORT, "6a" * 32),
        m.Activation(ago(days=3), "kim", 7, m.How.IMPORT, "7a" * 32),
        m.Activation(ago(days=2), "alex", 6, m.How.ROLLBACK, "6a" * 32, "the PACS moved back"),
        m.Activation(ago(hours=5), "kim", 7, m.How.UNKNOWN, "7a" * 32),
    ),
    unreadable=1,
)
FOLDER = m.ProfileFolder(
    "fluxctl.profile.export/1",
    OTHER_SUMMARY,
    'schema = 1\nid = "lakeside"\nversion = 2\n',
    (m.EnclosedFile("tls/ca.pem", b"certificate"), m.EnclosedFile("box.key", b"key")),
)
PROFILE_TOML = 'schema = 1\nid = "st-marys"\nname = "St. Mary\'s Hospital"\nversion = 7\n'
PROFILE = m.ProfileText(schema="fluxctl.profile.show/1", summary=SUMMARY, text=PROFILE_TOML)
KEY = m.KeyStatus(
    schema="fluxctl.key.status/1",
    present=True,
    locked=False,
    source=m.KeySource.FILE,
    id="9d4e1b07",
    generation=2,
    created=ago(days=40),
    rotated=ago(days=2),
    sites=("st-marys", "lakeside"),
)
NO_KEY = m.KeyStatus(
    schema="fluxctl.key.status/1",
    present=False,
    locked=True,
    source=None,
    id="",
    generation=0,
    created=None,
    rotated=None,
    sites=(),
    reason="no box key has been made",
    hint="Make one: fluxctl key init",
)
RECOVERY = m.RecoveryFile(schema="fluxctl.key.export/1", text="capacitord recovery file 1\nbm90IGEga2V5\n")
AUDIT = m.AuditList(
    schema="fluxctl.audit.show/1",
    entries=(
        m.AuditEntry(
            number=40,
            at=ago(days=3),
            uid=1000,
            user="alex",
            action="profile.import",
            subjects=(),
            detail="",
            result="begun",
            previous="9" * 64,
            digest="a" * 64,
        ),
        m.AuditEntry(
            number=41,
            at=ago(days=3),
            uid=1000,
            user="alex",
            action="profile.import",
            subjects=("st-marys",),
            detail="version 7",
            result="done",
            previous="a" * 64,
            digest="b" * 64,
        ),
        m.AuditEntry(
            number=42,
            at=ago(minutes=9),
            uid=1001,
            user="kim",
            action="study.discard",
            subjects=("77ac01",),
            detail="phantom, not a patient",
            result="refused",
            previous="b" * 64,
            digest="c" * 64,
        ),
        m.AuditEntry(
            number=43,
            at=ago(seconds=20),
            uid=1001,
            user="kim",
            action="study.export",
            subjects=(),
            detail="",
            result="begun",
            previous="c" * 64,
            digest="d" * 64,
        ),
    ),
)
AUDIT_CUT_SHORT = m.AuditList(
    schema="fluxctl.audit.show/1",
    entries=(
        m.AuditEntry(
            number=44,
            at=ago(minutes=2),
            uid=1001,
            user="kim",
            action="held.release",
            subjects=("3f2a9c1b07", "pacs"),
            detail="operator (as claimed): Dr Ann Sculley; reason: unscheduled trauma, named by the clerk afterwards",
            result="begun",
            previous="d" * 64,
            digest="e" * 64,
        ),
    ),
    cut_short=(44,),
)
AUDIT_UNSEALED = m.AuditList(
    schema="fluxctl.audit.show/1",
    entries=tuple(
        changed(AUDIT.entries[1], number=51 + place, action=action, seal=seal)
        for place, (action, seal) in enumerate(
            (("held.release", "0123456789abcdef:00"), ("daemon.start", ""), ("profile.import", ""))
        )
    ),
)
AUDIT_CRASH = m.AuditList(
    schema="fluxctl.audit.show/1",
    entries=tuple(
        m.AuditEntry(
            number=45 + place,
            at=ago(minutes=2 - place),
            uid=1001,
            user="kim",
            action="held.release",
            subjects=("3f2a9c1b07", "pacs"),
            detail=detail,
            result=result,
            previous="e" * 64,
            digest="f" * 64,
            deed="5" * 32,
        )
        for place, (detail, result) in enumerate(
            (
                ("reason: trauma", "begun"),
                ("reason: trauma; no answer came, so it may have been done all the same", "unanswered"),
                ("reason: trauma; held (unmatched) -> released, 3 images", "done"),
            )
        )
    ),
)
AUDIT_WIDE = m.AuditList(
    schema="fluxctl.audit.show/1",
    entries=tuple(
        m.AuditEntry(
            number=1200 + place,
            at=ago(days=3),
            uid=1001,
            user="kim",
            action=action,
            subjects=("c09845aab0", "pacs", "research"),
            detail=detail,
            result=result,
            previous="e" * 64,
            digest="f" * 64,
        )
        for place, (action, detail, result) in enumerate(
            (
                ("study.let-through", "unmatched -> let through", "done"),
                ("profile.rollback", "reason: one\n1300  14:02 CST  root  key.export  — done\x1b[2K", "not-permitted"),
                ("held.release", "", "done"),
            )
        )
    ),
)
AUDIT_OK = m.AuditReport(schema="fluxctl.audit.verify/1", ok=True, entries=42, message="all 42 entries are in order")
AUDIT_BAD = m.AuditReport(
    schema="fluxctl.audit.verify/1",
    ok=False,
    entries=42,
    message="entry 17 was changed after it was written",
    hint="Keep the file, and compare it with the copy at the central desk.",
    reason="damaged",
)
AUDIT_AWAY = m.AuditReport(
    schema="fluxctl.audit.verify/1",
    ok=False,
    entries=204,
    message="not proven: the box key is away; all 204 entries are in order by their digests",
    hint="Unlock it: fluxctl key unlock",
    reason="locked",
)
AUDIT_UNVOUCHED = m.AuditReport(
    schema="fluxctl.audit.verify/1",
    ok=True,
    entries=204,
    message="all 204 entries are in order",
    unvouched=(
        *(
            m.AuditRange(
                number,
                number + 1,
                ("daemon.start", "profile.import"),
                f"entries {number} to {number + 1} were written while the box key was not at hand; "
                "nobody vouches that they are genuine",
            )
            for number in range(11, 200, 20)
        ),
        m.AuditRange(
            201,
            201,
            ("daemon.start",),
            "entry 201 was written while the box key was not at hand; nobody vouches for it",
        ),
    ),
)
DOCTOR = m.DoctorReport(
    schema="fluxctl.doctor/1",
    checks=(
        m.Check(name="box key", level=m.Level.OK, message="present, from /var/lib/capacitord/keys/box.key (0600)"),
        m.Check(
            name="isolation",
            level=m.Level.WARNING,
            message="bubblewrap is missing, so the site runtime is not isolated",
            hint="sudo apt install bubblewrap, then: sudo systemctl restart capacitord",
        ),
        m.Check(name="disk", level=m.Level.OK, message="330 GiB free of 500 GiB"),
    ),
)
VERIFY: tuple[m.VerifyLine, ...] = (
    m.VerifyProgress(images=1, total=3, bytes=MIB),
    m.VerifyDamage(object_id="0f02" * 8, study="3f2a9c", message="truncated at chunk 7"),
    m.VerifyProgress(images=3, total=3, bytes=3 * MIB),
    m.VerifyReport(schema="fluxctl.doctor/1", images=3, bytes=3 * MIB, damaged=1, message="1 of 3 objects is damaged"),
)
EVENTS: tuple[m.Event, ...] = (
    m.StatusEvent(at=NOW, status=STATUS),
    m.NoteEvent(
        at=NOW, reference="delivered", message="3f2a9c was delivered to pacs", study="3f2a9c", destination="pacs"
    ),
    m.LaggedEvent(at=NOW, dropped=12),
)
