"""Every request and every answer of the control socket, each defined once.

Times are aware datetimes (RFC 3339 in JSON, UTC), durations are seconds, sizes are bytes. A field is only ever
added; an answer's `schema` changes when a field changes its meaning. Answers of the box hold no patient data;
those of the site (`Study…`, `Queue…`) do and are relayed by the supervisor unread.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from capacitord.errors import Problem
from capacitord.model.states import AckState, DeliveryState, GateState, StudyState
from capacitord.model.worklist_cache import ListState

ALL = "ALL"
LARGEST_RECOVERY = 1 << 19
"""The most characters a recovery file may have: thousands of sites."""
LARGEST_IMPORT = 1 << 24
"""The most bytes that a request to import profiles may have."""
ProfileVersion = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
"""Why something is done, for the audit log."""
Operator = Annotated[str, msgspec.Meta(max_length=64)]
"""The name of a person who shares a login with others. It is what was claimed."""


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


class Parked(Answer, frozen=True):
    """Who parked the box, and when; `reason` as it was given, and empty if none was."""

    at: datetime
    by: str
    reason: str = ""


class Chooser(enum.StrEnum):
    """Who chose the site that is served: a person, or the evidence of where the box is."""

    PERSON = "person"
    EVIDENCE = "evidence"


class Chosen(Answer, frozen=True):
    """Who chose which site is served, or that none is, and when; `reason` as it was given, and empty if none was."""

    at: datetime
    by: str
    reason: str = ""
    chooser: Chooser = Chooser.PERSON

    @property
    def by_person(self) -> bool:
        """Whether a person did."""
        return self.chooser is Chooser.PERSON


class Gate(Answer, frozen=True):
    """Whether a scanner may send now, and why. `parked` is set while it is shut because somebody has parked the box."""

    state: GateState
    may_scan: bool
    reason: str
    hint: str = ""
    since: datetime | None = None
    parked: Parked | None = None


class Listener(Answer, frozen=True):
    """A port as the scanner sees it: that for storage, or that for the worklist."""

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
    """The process that serves the site.

    `isolated` is what the kernel says of it. `exposed` and `hint` tell why it is in no container, or why one that were
    started now would be in none.
    """

    state: RuntimeState
    reason: str = ""
    pid: int | None = None
    since: datetime | None = None
    restarts: int = 0
    isolated: bool = False
    exposed: str = ""
    hint: str = ""


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


class Elsewhere(Answer, frozen=True):
    """How many images went to other destinations instead, and of the last one when, of which study, where and why."""

    images: int
    last: datetime
    study: str
    reason: str


class DestinationStatus(Answer, frozen=True):
    """A destination, what waits for it, and why. `eta` is in seconds at the measured rate, None when unknown.

    `refused_images` it does not want, `held_images` this box itself does not send it; with both a person has to look.
    `elsewhere` is None unless something went elsewhere within a day, or since the destination took anything.
    """

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
    held_images: int = 0
    elsewhere: Elsewhere | None = None


class SpoolStatus(Answer, frozen=True):
    """What the spool holds. `recovered` counts what the last start-up re-adopted after a crash.

    `conflicts` counts images that came under a known UID with other content, and that nobody asked to be sent yet.
    Of `unrouted_images` it is not decided yet where they go; `held_images` go nowhere until a person says so.
    `held_back_images` this box does not send to some destination, `refused_images` some destination did not take: each
    counts once, also if that destination is not in the profile any more. Scanners have named `missing_images` and
    `announced_studies` and not sent them, and were not told `untold_results` of storage commitment.
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
    held_back_images: int = 0
    refused_images: int = 0
    missing_images: int = 0
    announced_studies: int = 0
    untold_results: int = 0


class WorklistStatus(Answer, frozen=True):
    """The worklist of the site, and its source.

    `entries` are served to scanners, `vanished` ones are kept and not served. `fetched` is when the last whole list
    came, and `source` where from; `failures` counts the tries since that failed, the last for `reason`. `next_try` is
    when the source is asked again, and `patience` how many seconds of silence it is given before it is given up.
    `queries` of scanners were answered since the runtime began. `turned_away` are associations.
    """

    ae_title: str
    host: str
    port: int
    state: ListState
    entries: int
    vanished: int
    fetched: datetime | None
    source: str
    tried: datetime | None
    failures: int
    reason: str
    next_try: datetime | None
    queries: int = 0
    last_query: datetime | None = None
    turned_away: Refusals | None = None
    patience: float = 0.0


class DrainState(enum.StrEnum):
    """Whether images of a site that is not active leave: they do, they do not get on, or they wait for their turn."""

    DRAINING = "draining"
    STUCK = "stuck"
    WAITING = "waiting"


class Draining(Answer, frozen=True):
    """A site that is not active and whose profile says drain. A process of its own delivers, and takes nothing in.

    `images` and `bytes` are what can still leave, None while that is not known; `eta` is in seconds at the measured
    rate, None if nothing was measured. `until` is when it ends though images are left, None for never. `reason` says
    why something does not leave now, and `hint` what to do; both are empty while all is well. `isolated` is what the
    kernel says of the process, None while there is none.
    """

    site: str
    state: DrainState
    since: datetime
    until: datetime | None = None
    images: int | None = None
    bytes: int | None = None
    eta: float | None = None
    reason: str = ""
    hint: str = ""
    isolated: bool | None = None


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
    worklist: WorklistStatus | None = None


class LocationLine(Answer, frozen=True):
    """Which site the evidence means, and why in one line. `follows` says whether the box acts on it."""

    follows: bool
    site: str | None
    conflict: bool
    reason: str


class Status(Answer, frozen=True):
    """One screen: what the box does, for whom, and what a person should do.

    `held_elsewhere` counts images that wait for a person and are of other sites: they show up when theirs is active.

    `listener` is the storage port, `worklist` that for the worklist if the site has one. `location` is None on a box
    whose sites a person chooses. `chosen` says who chose the site, or that there is none; it is an `override` where the
    box would follow the evidence of where it is.
    `draining` are sites that are not active and whose images go on leaving.
    """

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
    worklist: Listener | None = None
    held_elsewhere: int = 0
    location: LocationLine | None = None
    chosen: Chosen | None = None
    override: bool = False
    draining: tuple[Draining, ...] = ()


# --- studies ------------------------------------------------------------------------------------------


class StudyQuery(Message, frozen=True):
    """Which studies to list: newest first, `limit` at most; `after` is the `next` of the last page."""

    state: StudyState | None = None
    undelivered: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str = ""


class NameStudy(Message, frozen=True):
    """Say by which short id a study is known. `said` is what would be kept of why something is done to it."""

    study: str
    said: str = ""

    def __repr__(self) -> str:
        return "NameStudy()"


class StudyRef(Message, frozen=True):
    """A study by short id, Study Instance UID or accession number."""

    study: str


class StudyDelivery(Answer, frozen=True):
    """A study on its way to one destination, counted in images; those that `moved` to another one are not in `images`.

    `refused` images the destination does not want, `held` ones this box itself does not send there as the profile is.
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
    held: int = 0


class HeldFor(Answer, frozen=True):
    """A reason for which images are held: a word for programs, how many images, a sentence and what a person may do.

    `reason` is one of `capacitord.model.reasons.Reason`. Where a `destination` is named, only its copies are held.
    `details` say what is wrong with images, or how many are missing.
    """

    reason: str
    images: int
    sentence: str
    next_step: str
    destination: str = ""
    details: tuple[str, ...] = ()


class Study(Answer, frozen=True):
    """A study as a list shows it. `bytes` counts what the spool still holds; `purged` images left it delivered.

    `held` images go nowhere until a person says so, or another version of the profile has a route for them; of
    `unrouted` ones it is not decided yet. `held_for` says why something waits for a person: these, images that came
    again with other content, and copies that this box does not send to a destination. `closed_by` tells what said that
    the study is complete (commitment, mpps or quiet), the last time, and `closed_at` when. `discarded` images are
    among `images` still: a person discarded them and can have them back.
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
    held_for: tuple[HeldFor, ...] = ()
    closed_by: str = ""
    closed_at: datetime | None = None
    discarded: int = 0


class AnnouncedStudy(Answer, frozen=True):
    """A study of which a scanner has said something, last `at`, and of which no image ever came.

    `images` are those it named; `over` says that it names no more.
    """

    id: str
    study_uid: str
    calling_ae: str
    at: datetime
    over: bool
    images: int


class StudyList(Answer, frozen=True):
    """A page of studies; `next` is empty on the last one. On the first are those that were announced and never came."""

    schema: str
    studies: tuple[Study, ...]
    total: int
    next: str = ""
    announced: tuple[AnnouncedStudy, ...] = ()


class Ack(Answer, frozen=True):
    """One image at one destination, as the ledger has it. `status` is the DIMSE status, `comment` the PACS's own.

    `profile_version` is the version under which the copy was made that was answered for, or was held instead; None
    where none was made, and for what was answered before this was recorded. `held` is why one that is held is, as in
    `HeldFor`.
    """

    destination: str
    state: AckState
    reason: str
    status: int | None
    comment: str
    attempts: int
    at: datetime | None
    profile_version: int | None = None
    held: str = ""


class Image(Answer, frozen=True):
    """One image of a study.

    `routing` is routed, unrouted, held or set aside (discarded, and it can be had back), and empty for an image that
    nobody is to get: damaged or in conflict. It was decided under `profile_version`, by that version's `route`, counted
    from 1: 0 is an operator, None every destination of a profile without routes, -1 that nothing on the worklist
    matches it, and that the profile sends it somewhere all the same. `held` says why it is held, `held_for` is the
    `capacitord.model.reasons.Reason`, `findings` what is wrong with it, in words. `entry` is that of the worklist whose
    patient and order are written into what is sent of it, as a person said.
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
    findings: tuple[str, ...] = ()
    entry: str = ""
    held_for: str = ""


class Decided(Answer, frozen=True):
    """What was found for a study, or what a person decided: with which entry, by which rule, by whom, when and why.

    `state` is that of `capacitord.model.review.State`. `listed_at` is when the list was fetched that it was judged by.
    `steps` are all entries of the order that was matched, where it is not known which of them the study is.
    `candidates` are entries that came into question for a study that is held, and `fields` in what of the patient the
    study differs from them, or from its own images where there are none: some of them do if it is "ambiguous".
    `doubts` are sentences about a match that a person may want to look at.
    """

    state: str
    at: datetime
    entry: str = ""
    rule: tuple[str, ...] = ()
    profile_version: int = 0
    listed_at: datetime | None = None
    by: str = ""
    uid: int | None = None
    reason: str = ""
    destinations: tuple[str, ...] = ()
    suggestion: str = ""
    reconciled: bool = False
    steps: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class StudyDetail(Answer, frozen=True):
    """A study with its images, in series and instance order.

    `missing` counts images that the scanner named and that have not arrived, and `missing_uids` has the first of them.
    `doubts` are sentences about what may be missing: gaps in numbers, and counts that do not agree. `decided` is what
    matching or a person decided of it, if so. What was discarded of it can be had back until `restorable_until`, if the
    box stays on: time for which it is off does not count.
    """

    schema: str
    study: Study
    images: tuple[Image, ...]
    missing: int = 0
    missing_uids: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    decided: Decided | None = None
    restorable_until: datetime | None = None


class Discard(Message, frozen=True):
    """Give a study up: its sealed objects are deleted. `confirm` repeats the short id."""

    study: str
    reason: str
    confirm: str
    operator: Operator = ""


class Resend(Message, frozen=True):
    """Send a study, or one image of it, again, whatever was acknowledged.

    No destinations means those it was to go to. A study that is held is sent to the destinations that are named.
    """

    study: str
    destinations: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ()
    image: str = ""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    operator: Operator = ""


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
    """What waits for one destination, what it `refused`, and what this box `held` instead of sending it.

    `elsewhere` is as in `DestinationStatus`. One that is not `named` waits for a profile that names it.
    """

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
    held: int = 0
    elsewhere: Elsewhere | None = None
    named: bool = True


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


class EnclosedFile(Message, frozen=True):
    """A file that lies beside a profile: an area, a table, a certificate, a key, a token. Its bytes are never shown.

    `name` is as the profile names it, `data` base64 in JSON.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    data: bytes

    def __repr__(self) -> str:
        return f"EnclosedFile({self.name!r}, {len(self.data)} bytes)"


class ProfileSource(Message, frozen=True):
    """A profile's text and the files beside it. `name` is the file's name, for diagnostics."""

    text: str
    name: str = "profile.toml"
    files: Annotated[tuple[EnclosedFile, ...], msgspec.Meta(max_length=100)] = ()


class ProfileImport(Message, frozen=True):
    """A profile's text, the files beside it, and `others` to import in the same go: all of them or none.

    `name` is the file's name, for diagnostics.
    """

    text: str
    name: str = "profile.toml"
    allow_older: bool = False
    dry_run: bool = False
    files: Annotated[tuple[EnclosedFile, ...], msgspec.Meta(max_length=100)] = ()
    others: Annotated[tuple[ProfileSource, ...], msgspec.Meta(max_length=500)] = ()


class ProfileRef(Message, frozen=True):
    """A profile by site id; the version in force, or another one."""

    profile: str
    version: ProfileVersion | None = None


class ProfileRollback(Message, frozen=True):
    """Put an earlier version in force: the one before, or the one that is named."""

    profile: str
    reason: Reason
    version: ProfileVersion | None = None
    operator: Operator = ""


class ProfileRemove(Message, frozen=True):
    """Take a site from this box. `confirm` repeats its id."""

    profile: str
    confirm: str


class ProfileSite(Message, frozen=True):
    """All versions of a site's profile."""

    profile: str


class FileSummary(Answer, frozen=True):
    """A file that is kept beside a profile."""

    name: str
    bytes: int
    sha256: str


class ProfileSummary(Answer, frozen=True):
    """A profile in the store. `active` says that the box serves this site."""

    id: str
    name: str
    version: int
    imported_at: datetime
    imported_by: str
    active: bool
    destinations: tuple[str, ...]
    sha256: str
    files: tuple[FileSummary, ...] = ()


class ProfileFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something in a profile: an error, a warning, or a note that a key does not act yet.

    `line` and `column` count from 1. `excerpt` is the line, or the part of a long one around the place, which is
    `length` characters from `mark` (counted from 0) on.
    """

    level: Literal["error", "warning", "note"]
    key: str
    message: str
    hint: str = ""
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    mark: int = 0
    length: int = 0


class ProfileTaken(ProfileSummary, frozen=True):
    """A profile that was imported, or could be. `before` is the version that was in force, None for a new site.

    `file` is the name it was given; `findings` are warnings, and notes on what does not act yet. One that is
    `unchanged` is in force already, with the same contents, and whole.
    """

    file: str = ""
    before: int | None = None
    findings: tuple[ProfileFinding, ...] = ()
    unchanged: bool = False


class ProfileImported(ProfileTaken, frozen=True):
    """What was imported, or could be; `others` are those that came in the same go.

    `active_site` is what the box serves after it, empty for none; it is None where nothing was imported. One that
    `follows` opens by itself for the site where it is.
    """

    others: tuple[ProfileTaken, ...] = ()
    active_site: str | None = None
    follows: bool = False


class DamagedProfile(Answer, frozen=True):
    """A site that cannot open, because its profile on the disk is not what was imported. What there was is kept."""

    id: str
    version: int | None
    message: str
    where: str
    hint: str


class ProfileList(Answer, frozen=True):
    """All profiles in the store, each in the version that is in force."""

    schema: str
    profiles: tuple[ProfileSummary, ...]
    damaged: tuple[DamagedProfile, ...] = ()


class ProfileText(Answer, frozen=True):
    """A profile as it was imported."""

    schema: str
    summary: ProfileSummary
    text: str


class ProfileFolder(Answer, frozen=True):
    """A profile as it was imported, with all files beside it, keys and tokens included."""

    schema: str
    summary: ProfileSummary
    text: str
    files: tuple[EnclosedFile, ...]


class How(enum.StrEnum):
    """How a version came into force. `UNKNOWN`: a crash kept it from being written down."""

    IMPORT = "import"
    ROLLBACK = "rollback"
    UNKNOWN = "unknown"


class Activation(Answer, frozen=True):
    """A version of a profile came into force: when, by whom and how; of a rollback also why."""

    at: datetime
    by: str
    version: int
    how: How
    sha256: str
    reason: str = ""


class KeptVersion(Answer, frozen=True):
    """A version of a profile that is in the store."""

    version: int
    imported_at: datetime | None
    imported_by: str
    sha256: str
    in_force: bool
    problem: str = ""


class ProfileHistory(Answer, frozen=True):
    """All versions of a site's profile, and when each came into force, oldest first.

    `unreadable` counts lines of the history that are damaged.
    """

    schema: str
    profile: str
    versions: tuple[KeptVersion, ...]
    activations: tuple[Activation, ...]
    unreadable: int = 0


# --- sites --------------------------------------------------------------------------------------------


class SiteActivate(Message, frozen=True):
    """Have the box serve this site from now on.

    With `waive_preflight` it opens though patients of another site may still be on a scanner, this once.
    """

    site: str
    reason: Reason
    operator: Operator = ""
    waive_preflight: bool = False


class SiteFollow(Message, frozen=True):
    """Have the box follow the evidence of where it is again."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    operator: Operator = ""


class SiteDeactivate(Message, frozen=True):
    """Have the box serve no site: the storage port is shut."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    operator: Operator = ""


class SiteErase(Message, frozen=True):
    """Destroy a site's key, and with it all data of the site on this box. `confirm` repeats its id."""

    site: str
    confirm: str
    reason: Reason
    operator: Operator = ""


class SiteEntry(Answer, frozen=True):
    """A site that this box has a profile of. The gate is told of the active one only.

    `undelivered_images` is None where nobody knows, and then the other counts say nothing; `as_of` is when they were
    true, None for now. Held are images that go nowhere, or not everywhere, until a person acts;
    the latter are held back. The last three are as in `SpoolStatus`. `problem` says why the site cannot open.
    `draining` is how what waits goes on leaving, None if it does not.
    """

    id: str
    name: str
    active: bool
    version: int | None
    gate: GateState | None = None
    undelivered_images: int | None = None
    as_of: datetime | None = None
    problem: str = ""
    hint: str = ""
    held_images: int = 0
    unrouted_images: int = 0
    refused_images: int = 0
    held_back_images: int = 0
    draining: Draining | None = None
    missing_images: int = 0
    announced_studies: int = 0
    untold_results: int = 0


class SiteList(Answer, frozen=True):
    """The sites of this box. `chosen` and `override` are as in the status; `follows` as for an import."""

    schema: str
    sites: tuple[SiteEntry, ...]
    chosen: Chosen | None = None
    override: bool = False
    follows: bool = False


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
    """Which entries: the newest `limit` that are of this action, study or other subject, operator and time.

    `study` is a study of the active site as anywhere else, or the beginning of a short id in the log. `operator` is a
    user, or a name that somebody gave.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    action: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    study: str = ""
    operator: str = ""


class AuditEntry(Answer, frozen=True, omit_defaults=True):
    """One action: who (uid and name from the socket's peer credentials), what, on what, and what came of it.

    `seal` is made of the digest with the box key, if that was at hand. `deed` is one deed's only: what was begun and
    what came of it have it in common, and of what a site did by itself there is one entry.
    """

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
    seal: str = ""
    deed: str = ""


class AuditList(Answer, frozen=True):
    """Audit entries, newest last.

    `cut_short` are the numbers of those that say "begun" of what never ended, as the daemon ended before: it may have
    been done.
    """

    schema: str
    entries: tuple[AuditEntry, ...]
    cut_short: tuple[int, ...] = ()


class AuditRange(Answer, frozen=True):
    """Entries from `first` to `last` that nobody vouches for, what they are about, and why, in words.

    `actions` is empty where they have seals that can't be checked.
    """

    first: int
    last: int
    actions: tuple[str, ...]
    message: str


class AuditReport(Answer, frozen=True):
    """Whether the audit log is whole.

    `reason` says why it is not `ok`: "damaged", or "locked" if nothing is wrong that can be seen, but nothing is proven
    while the box key is away. `unvouched` are entries that stand as they did when the next seal was made, and may have
    been put there by anybody.
    """

    schema: str
    ok: bool
    entries: int
    message: str
    hint: str = ""
    reason: str = ""
    unvouched: tuple[AuditRange, ...] = ()


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
