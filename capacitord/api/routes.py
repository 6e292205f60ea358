"""The control socket's requests in one table: what fluxctl may ask, what it gets, and who may ask it."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

import msgspec

from capacitord.api import codes, departure, geofence, location, preflight, preview, review, trial, worklist
from capacitord.api import messages as m


class Permission(enum.StrEnum):
    """What a peer's groups allow: to look, or to change something."""

    READ = "read"
    OPERATE = "operate"


class Answers(enum.StrEnum):
    """Who answers: the supervisor, the runtime of the open site, or the probe; the latter two are relayed unread."""

    BOX = "box"
    SITE = "site"
    PROBE = "probe"


class Form(enum.StrEnum):
    """The form of an answer's body."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    TAR = "application/x-tar"
    PNG = "image/png"


class Route(NamedTuple):
    """One request. Path parameters, the query (GET) or the JSON body (POST) fill the fields of `request`.

    `shows` is what is shown where looking takes the right to operate, as the end of "since it shows ...". Whatever
    takes that right is written in the audit log; `audited` says that a request anybody may make is, too.
    """

    name: str
    method: str
    path: str
    permission: Permission
    answers: Answers
    request: type[msgspec.Struct]
    response: object
    summary: str
    form: Form = Form.JSON
    shows: str = ""
    audited: bool = False

    @property
    def is_audited(self) -> bool:
        """Whether the audit log says that it was asked, by whom, and what came of it."""
        return self.audited or self.permission is Permission.OPERATE


_R, _O = Permission.READ, Permission.OPERATE
_BOX, _SITE, _PROBE = Answers.BOX, Answers.SITE, Answers.PROBE

ROUTES: Final[tuple[Route, ...]] = (
    Route("audit.show", "GET", "/v1/audit", _R, _BOX, m.AuditQuery, m.AuditList, "Who did what"),
    Route("audit.verify", "POST", "/v1/audit/verify", _R, _BOX, m.Empty, m.AuditReport, "Prove the audit log"),
    Route(
        "destination.echo",
        "POST",
        "/v1/destinations/{destination}/echo",
        _O,
        _SITE,
        m.DestinationRef,
        m.Echo,
        "C-ECHO a destination",
    ),
    Route(
        "destination.list",
        "GET",
        "/v1/destinations",
        _R,
        _SITE,
        m.Empty,
        m.DestinationList,
        "Where things go",
    ),
    Route("doctor.check", "GET", "/v1/doctor", _R, _BOX, m.Empty, m.DoctorReport, "Look at everything"),
    Route(
        "doctor.verify",
        "POST",
        "/v1/doctor/verify",
        _O,
        _SITE,
        m.Empty,
        m.VerifyLine,
        "Read every sealed object",
        Form.NDJSON,
    ),
    Route(
        "events",
        "GET",
        "/v1/events",
        _R,
        _BOX,
        m.EventQuery,
        m.Event,
        "What happens, as it happens",
        Form.NDJSON,
    ),
    Route(
        "geofence.list", "GET", "/v1/geofences", _R, _BOX, m.Empty, geofence.SiteAreas, "The areas of this box's sites"
    ),
    Route(
        "held.discard",
        "POST",
        "/v1/held/{study}/discard",
        _O,
        _SITE,
        review.DiscardHeld,
        m.Done,
        "Discard a study that is held",
    ),
    Route("held.list", "GET", "/v1/held", _R, _SITE, review.ListHeld, review.HeldList, "What waits for a person"),
    Route(
        "held.release",
        "POST",
        "/v1/held/{study}/release",
        _O,
        _SITE,
        review.Release,
        m.Done,
        "Send a study that is held",
    ),
    Route(
        "held.restore",
        "POST",
        "/v1/held/{study}/restore",
        _O,
        _SITE,
        review.RestoreHeld,
        m.Done,
        "Have back what was discarded",
    ),
    Route(
        "held.show",
        "GET",
        "/v1/held/{study}",
        _R,
        _SITE,
        m.StudyRef,
        review.HeldDetail,
        "A study that waits, beside its candidates",
    ),
    Route(
        "key.export",
        "POST",
        "/v1/key/export",
        _O,
        _BOX,
        m.KeyExport,
        m.RecoveryFile,
        "Make the recovery file",
        shows="the keys of this box",
    ),
    Route("key.init", "POST", "/v1/key/init", _O, _BOX, m.KeyInit, m.KeyStatus, "Make the box key"),
    Route(
        "key.restore",
        "POST",
        "/v1/key/restore",
        _O,
        _BOX,
        m.KeyRestore,
        m.KeyStatus,
        "Put back keys from the recovery file",
    ),
    Route("key.rotate", "POST", "/v1/key/rotate", _O, _BOX, m.KeyRotate, m.KeyStatus, "Make a new box key"),
    Route("key.status", "GET", "/v1/key", _R, _BOX, m.Empty, m.KeyStatus, "The state of the keys"),
    Route("key.unlock", "POST", "/v1/key/unlock", _O, _BOX, m.KeyUnlock, m.KeyStatus, "Give the passphrase"),
    Route(
        "preflight.run",
        "POST",
        "/v1/preflight",
        _O,
        _PROBE,
        preflight.RunPreflight,
        preflight.Preflight,
        "What remains on the scanners",
        Form.NDJSON,
    ),
    Route(
        "profile.export",
        "POST",
        "/v1/profiles/{profile}/export",
        _O,
        _BOX,
        m.ProfileRef,
        m.ProfileFolder,
        "One profile with its files, keys included",
        shows="private keys",
    ),
    Route(
        "profile.history",
        "GET",
        "/v1/profiles/{profile}/history",
        _R,
        _BOX,
        m.ProfileSite,
        m.ProfileHistory,
        "Its versions",
    ),
    Route(
        "profile.import",
        "POST",
        "/v1/profiles",
        _O,
        _BOX,
        m.ProfileImport,
        m.ProfileImported,
        "Import profiles",
    ),
    Route("profile.list", "GET", "/v1/profiles", _R, _BOX, m.Empty, m.ProfileList, "The profiles of this box"),
    Route(
        "profile.remove",
        "POST",
        "/v1/profiles/{profile}/remove",
        _O,
        _BOX,
        m.ProfileRemove,
        m.Done,
        "Take a site from this box",
    ),
    Route(
        "profile.rollback",
        "POST",
        "/v1/profiles/{profile}/rollback",
        _O,
        _BOX,
        m.ProfileRollback,
        m.ProfileSummary,
        "Put an earlier version in force",
    ),
    Route("profile.show", "GET", "/v1/profiles/{profile}", _R, _BOX, m.ProfileRef, m.ProfileText, "One profile"),
    Route("queue.flush", "POST", "/v1/queue/flush", _O, _SITE, m.QueueSelect, m.Done, "Try now"),
    Route("queue.list", "GET", "/v1/queue", _R, _SITE, m.Empty, m.QueueList, "What waits, per destination"),
    Route("queue.pause", "POST", "/v1/queue/pause", _O, _SITE, m.QueueSelect, m.Done, "Stop sending"),
    Route("queue.resume", "POST", "/v1/queue/resume", _O, _SITE, m.QueueSelect, m.Done, "Go on sending"),
    Route("queue.show", "GET", "/v1/queue/{study}", _R, _SITE, m.StudyRef, m.StudyDetail, "A study in the queue"),
    Route(
        "site.activate",
        "POST",
        "/v1/sites/{site}/activate",
        _O,
        _BOX,
        m.SiteActivate,
        m.Done,
        "Serve a site",
    ),
    Route("site.deactivate", "POST", "/v1/sites/deactivate", _O, _BOX, m.SiteDeactivate, m.Done, "Serve no site"),
    Route(
        "site.departure",
        "GET",
        "/v1/departure",
        _R,
        _SITE,
        m.Empty,
        departure.Departure,
        "Whether the coach may leave",
    ),
    Route(
        "site.follow",
        "POST",
        "/v1/sites/follow",
        _O,
        _BOX,
        m.SiteFollow,
        m.Done,
        "Follow where the box is",
    ),
    Route(
        "site.location",
        "GET",
        "/v1/location",
        _R,
        _BOX,
        m.Empty,
        location.Location,
        "Where the box is, by which evidence",
    ),
    Route(
        "site.erase",
        "POST",
        "/v1/sites/{site}/erase",
        _O,
        _BOX,
        m.SiteErase,
        m.Done,
        "Destroy a site's key and data",
    ),
    Route("site.list", "GET", "/v1/sites", _R, _BOX, m.Empty, m.SiteList, "The sites of this box"),
    Route("status", "GET", "/v1/status", _R, _BOX, m.Empty, m.Status, "One screen"),
    Route(
        "study.discard",
        "POST",
        "/v1/studies/{study}/discard",
        _O,
        _SITE,
        m.Discard,
        m.Done,
        "Give a study up",
    ),
    Route(
        "study.explain",
        "GET",
        "/v1/studies/{study}/explain",
        _R,
        _SITE,
        trial.Explain,
        trial.StudyExplained,
        "Why it goes where it goes",
        audited=True,
    ),
    Route(
        "study.export",
        "GET",
        "/v1/studies/{study}/export",
        _O,
        _SITE,
        m.Export,
        bytes,
        "A study as DICOM files",
        Form.TAR,
        shows="the images themselves",
    ),
    Route("study.list", "GET", "/v1/studies", _R, _SITE, m.StudyQuery, m.StudyList, "The site's studies"),
    Route(
        "study.preview",
        "GET",
        "/v1/studies/{study}/preview",
        _O,
        _SITE,
        preview.Preview,
        bytes,
        "A picture of an image",
        Form.PNG,
        shows="the images themselves",
    ),
    Route("study.resend", "POST", "/v1/studies/{study}/resend", _O, _SITE, m.Resend, m.Done, "Send again"),
    Route(
        "study.resolve",
        "POST",
        "/v1/studies/resolve",
        _O,
        _SITE,
        codes.Resolve,
        codes.Resolved,
        "What a code of a de-identified copy stands for",
        shows="who is behind a code",
    ),
    Route(
        "study.show",
        "GET",
        "/v1/studies/{study}",
        _R,
        _SITE,
        m.StudyRef,
        m.StudyDetail,
        "A study and its images",
    ),
    Route(
        "worklist.list",
        "GET",
        "/v1/worklist",
        _R,
        _SITE,
        worklist.ListEntries,
        worklist.EntryList,
        "The worklist as scanners get it",
    ),
    Route(
        "worklist.refresh",
        "POST",
        "/v1/worklist/refresh",
        _O,
        _SITE,
        m.Empty,
        worklist.Refreshed,
        "Ask the worklist's source now",
    ),
    Route(
        "worklist.show",
        "GET",
        "/v1/worklist/{entry}",
        _R,
        _SITE,
        worklist.EntryRef,
        worklist.EntryDetail,
        "A worklist entry before and after its corrections",
    ),
)

NAMING: Final = Route(
    "study.name", "GET", "/v1/studies/{study}/name", _R, _SITE, m.NameStudy, m.Done, "The short id of a study"
)
"""What the supervisor itself asks a runtime, before it writes down what is done to a study; nobody else can."""

NAMING_ENTRY: Final = Route(
    "worklist.name",
    "GET",
    "/v1/worklist/{entry}/name",
    _R,
    _SITE,
    worklist.NameEntry,
    m.Done,
    "The short id of an entry",
)
"""The same of the worklist entry that a study is released as."""


def route(name: str) -> Route:
    """Return the route of that name; KeyError if there is none."""
    for candidate in (*ROUTES, NAMING, NAMING_ENTRY):
        if candidate.name == name:
            return candidate
    raise KeyError(name)
