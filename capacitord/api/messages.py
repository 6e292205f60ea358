"""Every request and every answer of the control socket, each defined once.

Times are aware datetimes (RFC 3339 in JSON, UTC), durations are seconds, sizes are bytes. A field is only ever
added; an answer's `schema` changes when a field changes its meaning. Answers of the box hold no patient data;
those of the site (`Study…`, `Queue…`) do and are relayed by the supervisor unread.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

import msgspec

from capacitord.errors import Problem
from capacitord.model.states import AckState, DeliveryState, GateState, StudyState

ALL = "ALL"
LARGEST_RECOVERY = 1 << 19
"""The most characters a recovery file may have: thousands of sites."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all requests: unknown fields are refused, so that a mistyped option never passes unnoticed."""


class Answer(msgspec.Struct, frozen=True):
    """Base of all answers: unknown fields are ignored, so that an older fluxctl reads a newer daemon."""


class Empty(Message, frozen=True):
    """A request without parameters."""


class Done(Answer, frozen=True):
    """An answer that says only what was done, in words; `subjects` are short study ids or names."""

    message: str
    subjects: tuple[str, ...] = ()


# --- the box ------------------------------------------------------------------------------------------


class Level(enum.StrEnum):
    """How much attention something needs."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Advice(Answer, frozen=True):
    """Something a person should know, and what to do about it."""

    reference: str
    level: Level
    message: str
    hint: str


class Gate(Answer, frozen=True):
    """Whether a scanner may send now, and why."""

    state: GateState
    may_scan: bool
    reason: str
    hint: str = ""
    since: datetime | None = None


class Listener(Answer, frozen=True):
    """The storage port as the scanner sees it."""

    ae_title: str
    address: str
    port: int
    bound: bool


class RuntimeState(enum.StrEnum):
    """The site runtime's process, as the supervisor sees it."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"


class Runtime(Answer, frozen=True):
    """The process that serves the site."""

    state: RuntimeState
    reason: str = ""
    pid: int | None = None
    since: datetime | None = None
    restarts: int = 0
    isolated: bool = False


class Site(Answer, frozen=True):
    """The facility the box serves now."""

    id: str
    name: str
    profile_version: int
    timezone: str


class Disk(Answer, frozen=True):
    """The file system of the spool. Below `reserve` nothing is taken in; below `warning` a person is told."""

    total: int
    free: int
    reserve: int
    warning: int
    level: Level


class Incoming(Answer, frozen=True):
    """An association that a scanner has open now."""

    calling_ae: str
    peer: str
    since: datetime
    images: int
    bytes: int
    refused: int = 0


class Trouble(Answer, frozen=True):
    """Why this box cannot keep images, since when, and the next step. It ends by itself when the disk works again."""

    message: str
    hint: str
    since: datetime


class Refusals(Answer, frozen=True):
    """What was refused lately: how often since `since`, and of the last time when, why, and who was refused.

    `status` is what an image was answered (0000,0900), as four hexadecimal digits.
    """

    count: int
    since: datetime
    at: datetime
    reason: str
    calling_ae: str
    peer: str
    status: str = ""


class Transfer(Answer, frozen=True):
    """An image on its way out now. `study` is the short id."""

    study: str
    image: int
    images: int
    sent_bytes: int
    image_bytes: int


class CircuitState(enum.StrEnum):
    """Whether a destination is tried now."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class DestinationStatus(Answer, frozen=True):
    """A destination, what waits for it, and why. `eta` is in seconds at the measured rate, None when unknown."""

    name: str
    ae_title: str
    host: str
    port: int
    circuit: CircuitState
    paused: bool
    reason: str
    next_try: datetime | None
    last_success: datetime | None
    waiting_images: int
    waiting_bytes: int
    waiting_studies: int
    oldest: datetime | None
    doubtful_images: int
    refused_images: int
    delivered_images: int
    rate: float
    eta: float | None
    transfers: tuple[Transfer, ...] = ()


class SpoolStatus(Answer, frozen=True):
    """What the spool holds. `recovered` counts what the last start-up re-adopted after a crash.

    `conflicts` counts images that came under a known UID with other content, and that nobody asked to be sent yet.
    Of `unrouted_images` it is not decided yet where they go; `held_images` go nowhere until a person says so.
    """

    studies: int
    images: int
    bytes: int
    undelivered_images: int
    conflicts: int
    corrupt: int
    recovered: int
    held_images: int = 0
    unrouted_images: int = 0


class SiteStatus(Answer, frozen=True):
    """The runtime's part of the status; free of patient data.

    While there is `trouble` images are refused. `refused` are images that the disk or this program did not take,
    `unfit` are images that it never takes for what they are, `turned_away` are associations. `as_of` is when the rest
    was true, if that is not now.
    """

    incoming: tuple[Incoming, ...]
    images_received: int
    bytes_received: int
    last_image: datetime | None
    spool: SpoolStatus
    disk: Disk
    destinations: tuple[DestinationStatus, ...]
    advice: tuple[Advice, ...]
    trouble: Trouble | None = None
    refused: Refusals | None = None
    turned_away: Refusals | None = None
    unfit: Refusals | None = None
    as_of: datetime | None = None


class Status(Answer, frozen=True):
    """One screen: what the box does, for whom, and what a person should do."""

    schema: str
    version: str
    now: datetime
    started: datetime
    gate: Gate
    listener: Listener
    runtime: Runtime
    site: Site | None
    traffic: SiteStatus | None
    advice: tuple[Advice, ...]


# --- studies ------------------------------------------------------------------------------------------


class StudyQuery(Message, frozen=True):
    """Which studies to list: newest first, `limit` at most; `after` is the `next` of the last page."""

    state: StudyState | None = None
    undelivered: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str = ""


class StudyRef(Message, frozen=True):
    """A study by short id, Study Instance UID or accession number."""

    study: str


class StudyDelivery(Answer, frozen=True):
    """A study on its way to one destination, counted in images; those that `moved` to another one are not in `images`.

    `priority` is the most urgent that a route gave to its images: stat, high, routine or low.
    """

    destination: str
    state: DeliveryState
    reason: str
    images: int
    acknowledged: int
    warnings: int
    doubtful: int
    refused: int
    next_try: datetime | None
    delivered_at: datetime | None
    priority: str = "routine"
    moved: int = 0


class Study(Answer, frozen=True):
    """A study as a list shows it. `bytes` counts what the spool still holds; `purged` images left it delivered.

    `held` images go nowhere until a person says so, or another version of the profile has a route for them; of
    `unrouted` ones it is not decided yet.
    """

    id: str
    study_uid: str
    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    accession_number: str
    study_date: str
    study_time: str
    description: str
    modalities: tuple[str, ...]
    state: StudyState
    reason: str
    images: int
    bytes: int
    conflicts: int
    corrupt: int
    purged: int
    first_received: datetime
    last_received: datetime
    deliveries: tuple[StudyDelivery, ...]
    held: int = 0
    unrouted: int = 0


class StudyList(Answer, frozen=True):
    """A page of studies; `next` is empty on the last one."""

    schema: str
    studies: tuple[Study, ...]
    total: int
    next: str = ""


class Ack(Answer, frozen=True):
    """One image at one destination, as the ledger has it. `status` is the DIMSE status, `comment` the PACS's own."""

    destination: str
    state: AckState
    reason: str
    status: int | None
    comment: str
    attempts: int
    at: datetime | None


class Image(Answer, frozen=True):
    """One image of a study.

    `routing` is routed, unrouted or held, and empty for an image that nobody is to get: damaged or in conflict. It was
    decided under `profile_version`, by that version's `route`, counted from 1: 0 is an operator, None every destination
    of a profile without routes. `held` says why it is held.
    """

    sop_instance_uid: str
    sop_class_uid: str
    sop_class: str
    transfer_syntax_uid: str
    transfer_syntax: str
    series_uid: str
    series_number: int | None
    series_description: str
    modality: str
    instance_number: int | None
    bytes: int
    received_at: datetime
    calling_ae: str
    peer: str
    conflict: bool
    corrupt: bool
    purged: bool
    object_id: str
    acks: tuple[Ack, ...]
    routing: str = ""
    route: int | None = None
    profile_version: int = 0
    held: str = ""


class StudyDetail(Answer, frozen=True):
    """A study with its images, in series and instance order."""

    schema: str
    study: Study
    images: tuple[Image, ...]


class Discard(Message, frozen=True):
    """Give a study up: its sealed objects are deleted. `confirm` repeats the short id."""

    study: str
    reason: str
    confirm: str


class Resend(Message, frozen=True):
    """Send a study, or one image of it, again, whatever was acknowledged.

    No destinations means those it was to go to. A study that is held is sent to the destinations that are named.
    """

    study: str
    destinations: tuple[str, ...] = ()
    image: str = ""


class Export(Message, frozen=True):
    """The images of a study as DICOM files (PS3.10), in a tar stream."""

    study: str


# --- the queue ----------------------------------------------------------------------------------------


class AgeBuckets(Answer, frozen=True):
    """How long images have waited: counts by age, each below its bound."""

    minute: int
    ten_minutes: int
    hour: int
    day: int
    older: int


class QueueRow(Answer, frozen=True):
    """What waits for one destination."""

    destination: str
    paused: bool
    circuit: CircuitState
    reason: str
    next_try: datetime | None
    studies: int
    images: int
    bytes: int
    doubtful: int
    refused: int
    ages: AgeBuckets


class QueueList(Answer, frozen=True):
    """The queue per destination, the studies in it in the order they will leave, and those that are held."""

    schema: str
    destinations: tuple[QueueRow, ...]
    studies: tuple[Study, ...]
    held: tuple[Study, ...] = ()


class QueueSelect(Message, frozen=True):
    """One destination by name, or `ALL`."""

    destination: str


# --- destinations -------------------------------------------------------------------------------------


class DestinationList(Answer, frozen=True):
    """The site's destinations."""

    schema: str
    destinations: tuple[DestinationStatus, ...]


class DestinationRef(Message, frozen=True):
    """One destination by name."""

    destination: str


class Echo(Answer, frozen=True):
    """What a C-ECHO came to. Times in seconds; None where that stage was not reached."""

    schema: str
    destination: str
    ok: bool
    reason: str
    hint: str
    connect_time: float | None
    associate_time: float | None
    echo_time: float | None


# --- profiles -----------------------------------------------------------------------------------------


class ProfileImport(Message, frozen=True):
    """A profile's text. `name` is the file's name, for diagnostics."""

    text: str
    name: str = "profile.toml"
    allow_older: bool = False
    dry_run: bool = False


class ProfileRef(Message, frozen=True):
    """A profile by site id."""

    profile: str


class ProfileSummary(Answer, frozen=True):
    """A profile in the store."""

    id: str
    name: str
    version: int
    imported_at: datetime
    imported_by: str
    active: bool
    destinations: tuple[str, ...]
    sha256: str


class ProfileList(Answer, frozen=True):
    """All profiles in the store."""

    schema: str
    profiles: tuple[ProfileSummary, ...]


class ProfileText(Answer, frozen=True):
    """A profile as it was imported."""

    schema: str
    summary: ProfileSummary
    text: str


# --- keys ---------------------------------------------------------------------------------------------


class KeySource(enum.StrEnum):
    """Where the box key comes from."""

    FILE = "file"
    CREDENTIAL = "credential"
    PASSPHRASE = "passphrase"  # noqa: S105 - a kind of source, not a secret


class Secret(msgspec.Struct, frozen=True):
    """A text that is never shown."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"


class KeyInit(Message, frozen=True):
    """Make the box key."""

    source: KeySource = KeySource.FILE
    passphrase: Secret | None = None


class KeyUnlock(Message, frozen=True):
    """Give the passphrase of the box key."""

    passphrase: Secret


class KeyRotate(Message, frozen=True):
    """Make a new box key and wrap all site keys under it; images stay as they are.

    A key under a passphrase takes the `passphrase` that is to hold from now on. A credential takes its `new_key`
    (64 hexadecimal digits), which the box cannot install itself.
    """

    passphrase: Secret | None = None
    new_key: Secret | None = None


class KeyExport(Message, frozen=True):
    """The recovery file: every key, protected by this passphrase."""

    passphrase: Secret


class KeyStatus(Answer, frozen=True):
    """The state of the keys. `id` is a fingerprint; `sites` the ids of sites whose keys are wrapped under it.

    The keys of the `damaged` sites do not open. `leftovers` are files that an interrupted change left behind.
    `credential_pending` says that the service still has the credential from before a rotation, `unsaved` what the last
    recovery file lacks.
    """

    schema: str
    present: bool
    locked: bool
    source: KeySource | None
    id: str
    generation: int
    created: datetime | None
    rotated: datetime | None
    sites: tuple[str, ...]
    reason: str = ""
    hint: str = ""
    damaged: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    credential_pending: bool = False
    unsaved: str = ""


class KeyRestore(Message, frozen=True):
    """Put back the keys of a recovery file, given as its `text` and the passphrase that opens it.

    On a box without keys, the box key is kept in `source` from then on, under the `passphrase` if that is the source.
    On a box with the same box key, only site keys that are missing or damaged are put back.
    """

    text: Annotated[str, msgspec.Meta(max_length=LARGEST_RECOVERY)]
    recovery: Secret
    source: KeySource = KeySource.FILE
    passphrase: Secret | None = None


class RecoveryFile(Answer, frozen=True):
    """The recovery file's text, to be kept away from the box."""

    schema: str
    text: str


# --- audit and doctor ---------------------------------------------------------------------------------


class AuditQuery(Message, frozen=True):
    """Which entries: the newest `limit`; `action` and `subject` select."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    action: str = ""
    subject: str = ""
    since: datetime | None = None


class AuditEntry(Answer, frozen=True):
    """One action: who (uid and name from the socket's peer credentials), what, on what, and what came of it."""

    number: int
    at: datetime
    uid: int
    user: str
    action: str
    subjects: tuple[str, ...]
    detail: str
    result: str
    previous: str
    digest: str


class AuditList(Answer, frozen=True):
    """Audit entries, newest last."""

    schema: str
    entries: tuple[AuditEntry, ...]


class AuditReport(Answer, frozen=True):
    """Whether the audit log is whole."""

    schema: str
    ok: bool
    entries: int
    message: str
    hint: str = ""


class Check(Answer, frozen=True):
    """One thing the doctor looked at."""

    name: str
    level: Level
    message: str
    hint: str = ""


class DoctorReport(Answer, frozen=True):
    """Everything the doctor looked at."""

    schema: str
    checks: tuple[Check, ...]


class VerifyProgress(Answer, frozen=True, tag="progress", tag_field="kind"):
    """How far a reading of all sealed objects is."""

    images: int
    total: int
    bytes: int


class VerifyDamage(Answer, frozen=True, tag="damage", tag_field="kind"):
    """An object that could not be read; it is in `corrupt/` now. `study` is the short id, empty if unknown."""

    object_id: str
    study: str
    message: str


class VerifyReport(Answer, frozen=True, tag="report", tag_field="kind"):
    """The end of a reading of all sealed objects."""

    schema: str
    images: int
    bytes: int
    damaged: int
    message: str


VerifyLine = VerifyProgress | VerifyDamage | VerifyReport


# --- events -------------------------------------------------------------------------------------------


class EventQuery(Message, frozen=True):
    """A stream of events. A status snapshot comes first and then at most every `interval` seconds."""

    interval: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 0.5


class StatusEvent(Answer, frozen=True, tag="status", tag_field="kind"):
    """The whole status."""

    at: datetime
    status: Status


class NoteEvent(Answer, frozen=True, tag="note", tag_field="kind"):
    """Something happened: `reference` is stable, `message` is for people; free of patient data."""

    at: datetime
    reference: str
    message: str
    study: str = ""
    destination: str = ""


class LaggedEvent(Answer, frozen=True, tag="lagged", tag_field="kind"):
    """The reader was too slow; this many events were dropped."""

    at: datetime
    dropped: int


Event = StatusEvent | NoteEvent | LaggedEvent


class Refusal(Answer, frozen=True):
    """The body of every answer that is not a success."""

    schema: str
    error: Problem
