"""The daemon's requests as methods, typed both ways.

Each method is one route of `capacitord.api.routes`. A refusal is raised as its own class of `capacitord.errors`;
nobody answering is `Unreachable`, with the reason and the next step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from capacitord.api import messages as m
from capacitord.api.codes import Resolve, Resolved
from capacitord.api.connection import Exchange, Lines, Tar, mismatch
from capacitord.api.departure import Departure
from capacitord.api.geofence import SiteAreas
from capacitord.api.location import Location
from capacitord.api.preflight import Preflight, RunPreflight
from capacitord.api.preview import Preview
from capacitord.api.review import DiscardHeld, HeldDetail, HeldList, ListHeld, Release, RestoreHeld
from capacitord.api.routes import route
from capacitord.api.trial import Explain, StudyExplained
from capacitord.api.worklist import EntryDetail, EntryList, EntryRef, ListEntries, Refreshed

ANSWER_TIMEOUT: Final = 30.0
"""Seconds an ordinary answer may take."""
PATIENT_TIMEOUT: Final = 180.0
"""Seconds for answers that wait for another machine, for a runtime to end, or for a slow key derivation."""
PATIENT: Final = frozenset(
    {
        "audit.verify",
        "destination.echo",
        "key.export",
        "key.init",
        "key.restore",
        "key.rotate",
        "key.unlock",
        "profile.import",
        "profile.remove",
        "site.activate",
        "site.deactivate",
        "site.erase",
        "site.follow",
        "study.explain",
        "study.resolve",
        "worklist.refresh",
    }
)

T = TypeVar("T")


class Client:
    """A caller of one daemon. Every request has its own connection; `timeout` in seconds bounds each silence."""

    def __init__(self, socket_path: Path, timeout: float = ANSWER_TIMEOUT) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def request(self, name: str, message: msgspec.Struct, kind: type[T]) -> T:
        """Send the request of route `name` and return its answer as a `kind`."""
        exchange = self._open(name, message, PATIENT_TIMEOUT if name in PATIENT else self.timeout)
        try:
            body = exchange.read()
        finally:
            exchange.close()
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise mismatch(error) from None

    def _open(self, name: str, message: msgspec.Struct, timeout: float) -> Exchange:
        return Exchange(self.socket_path, route(name), message, timeout)

    # --- the box

    def status(self) -> m.Status:
        """Return what the box does now."""
        return self.request("status", m.Empty(), m.Status)

    def events(self, query: m.EventQuery, silence: float = 60.0) -> Lines[m.Event]:
        """Return the stream of events; `silence` is how many seconds may pass without one."""
        return Lines(self._open("events", query, silence), m.Event)

    def doctor_check(self) -> m.DoctorReport:
        """Return what the daemon found on looking at itself."""
        return self.request("doctor.check", m.Empty(), m.DoctorReport)

    def doctor_verify(self) -> Lines[m.VerifyLine]:
        """Have every sealed object read; progress comes in lines, the report last."""
        return Lines(self._open("doctor.verify", m.Empty(), PATIENT_TIMEOUT), m.VerifyLine)

    def audit_show(self, query: m.AuditQuery) -> m.AuditList:
        """Return audit entries, newest last."""
        return self.request("audit.show", query, m.AuditList)

    def audit_verify(self) -> m.AuditReport:
        """Have the audit log checked from its first entry to its last."""
        return self.request("audit.verify", m.Empty(), m.AuditReport)

    # --- profiles, sites and keys

    def profile_import(self, request: m.ProfileImport) -> m.ProfileImported:
        """Import profiles, or only check them (`dry_run`). Raises `Invalid` with what is wrong and where."""
        return self.request("profile.import", request, m.ProfileImported)

    def profile_list(self) -> m.ProfileList:
        """Return the profiles in the store."""
        return self.request("profile.list", m.Empty(), m.ProfileList)

    def profile_show(self, profile: str, version: int | None = None) -> m.ProfileText:
        """Return a profile's text by its site id: the version in force, or another one."""
        return self.request("profile.show", m.ProfileRef(profile, version), m.ProfileText)

    def profile_history(self, profile: str) -> m.ProfileHistory:
        """Return the versions of a site's profile, and when each came into force."""
        return self.request("profile.history", m.ProfileSite(profile), m.ProfileHistory)

    def profile_export(self, profile: str, version: int | None = None) -> m.ProfileFolder:
        """Return a profile with all files beside it, secrets included."""
        return self.request("profile.export", m.ProfileRef(profile, version), m.ProfileFolder)

    def profile_rollback(self, request: m.ProfileRollback) -> m.ProfileSummary:
        """Put an earlier version in force."""
        return self.request("profile.rollback", request, m.ProfileSummary)

    def profile_remove(self, profile: str) -> m.Done:
        """Take a site from this box. Raises `Refused` while it is active, or has studies that wait."""
        return self.request("profile.remove", m.ProfileRemove(profile, profile), m.Done)

    def geofence_list(self) -> SiteAreas:
        """Return the areas of the sites of this box, and where it is if it knows."""
        return self.request("geofence.list", m.Empty(), SiteAreas)

    def site_list(self) -> m.SiteList:
        """Return the sites of this box."""
        return self.request("site.list", m.Empty(), m.SiteList)

    def site_location(self) -> Location:
        """Return where the box is by the evidence."""
        return self.request("site.location", m.Empty(), Location)

    def site_activate(self, site: str, reason: str, operator: str = "", *, waive_preflight: bool = False) -> m.Done:
        """Have the box serve a site. Raises `Refused` for a waiver that the box does not allow."""
        return self.request("site.activate", m.SiteActivate(site, reason, operator, waive_preflight), m.Done)

    def site_departure(self) -> Departure:
        """Return whether the coach may leave the active site, and what is open there."""
        return self.request("site.departure", m.Empty(), Departure)

    def site_follow(self, reason: str, operator: str = "") -> m.Done:
        """Have the box follow where it is again. Raises `Refused` on a box that has no evidence to follow."""
        return self.request("site.follow", m.SiteFollow(reason, operator), m.Done)

    def preflight_run(self, request: RunPreflight) -> Lines[Preflight]:
        """Have all scanners asked what is on them: once, or until they are clean, each time in a line."""
        return Lines(self._open("preflight.run", request, PATIENT_TIMEOUT), Preflight)

    def site_deactivate(self, reason: str = "", operator: str = "") -> m.Done:
        """Have the box serve no site."""
        return self.request("site.deactivate", m.SiteDeactivate(reason, operator), m.Done)

    def site_erase(self, site: str, reason: str, operator: str = "") -> m.Done:
        """Destroy a site's key and data."""
        return self.request("site.erase", m.SiteErase(site, site, reason, operator), m.Done)

    def key_status(self) -> m.KeyStatus:
        """Return the state of the keys."""
        return self.request("key.status", m.Empty(), m.KeyStatus)

    def key_init(self, request: m.KeyInit) -> m.KeyStatus:
        """Make the box key."""
        return self.request("key.init", request, m.KeyStatus)

    def key_unlock(self, request: m.KeyUnlock) -> m.KeyStatus:
        """Give the passphrase of the box key."""
        return self.request("key.unlock", request, m.KeyStatus)

    def key_rotate(self, request: m.KeyRotate) -> m.KeyStatus:
        """Make a new box key and wrap all site keys under it."""
        return self.request("key.rotate", request, m.KeyStatus)

    def key_restore(self, request: m.KeyRestore) -> m.KeyStatus:
        """Put back the keys of a recovery file. Raises `Refused` where that would replace a key that opens."""
        return self.request("key.restore", request, m.KeyStatus)

    def key_export(self, request: m.KeyExport) -> m.RecoveryFile:
        """Return the recovery file."""
        return self.request("key.export", request, m.RecoveryFile)

    # --- the site

    def study_list(self, query: m.StudyQuery) -> m.StudyList:
        """Return a page of studies, newest first."""
        return self.request("study.list", query, m.StudyList)

    def study_show(self, study: str) -> m.StudyDetail:
        """Return a study and its images. Raises `NotFound`, or `Ambiguous` with the candidates."""
        return self.request("study.show", m.StudyRef(study), m.StudyDetail)

    def study_explain(self, request: Explain) -> StudyExplained:
        """Return what was decided for the images of a study, and what would be now."""
        return self.request("study.explain", request, StudyExplained)

    def study_resolve(self, request: Resolve) -> Resolved:
        """Return what a code of a de-identified copy stands for. Raises `NotFound` if that is nothing known."""
        return self.request("study.resolve", request, Resolved)

    def study_export(self, study: str) -> Tar:
        """Return a study's images as a tar archive of DICOM files."""
        return Tar(self._open("study.export", m.Export(study), PATIENT_TIMEOUT))

    def study_preview(self, request: Preview) -> bytes:
        """Return a picture of an image as a PNG file; `preview.label_of` says what it shows."""
        exchange = self._open("study.preview", request, PATIENT_TIMEOUT)
        try:
            return exchange.read()
        finally:
            exchange.close()

    def study_discard(self, request: m.Discard) -> m.Done:
        """Give a study up."""
        return self.request("study.discard", request, m.Done)

    def held_list(self, request: ListHeld) -> HeldList:
        """Return a page of the studies that wait for a person."""
        return self.request("held.list", request, HeldList)

    def held_show(self, study: str) -> HeldDetail:
        """Return one of them beside its candidates."""
        return self.request("held.show", m.StudyRef(study), HeldDetail)

    def held_release(self, request: Release) -> m.Done:
        """Send what is held of a study."""
        return self.request("held.release", request, m.Done)

    def held_discard(self, request: DiscardHeld) -> m.Done:
        """Discard what is held of a study."""
        return self.request("held.discard", request, m.Done)

    def held_restore(self, request: RestoreHeld) -> m.Done:
        """Have back what was discarded of a study."""
        return self.request("held.restore", request, m.Done)

    def study_resend(self, request: m.Resend) -> m.Done:
        """Send a study, or one image of it, again."""
        return self.request("study.resend", request, m.Done)

    def queue_list(self) -> m.QueueList:
        """Return what waits."""
        return self.request("queue.list", m.Empty(), m.QueueList)

    def queue_show(self, study: str) -> m.StudyDetail:
        """Return a study in the queue, image by image."""
        return self.request("queue.show", m.StudyRef(study), m.StudyDetail)

    def queue_flush(self, destination: str) -> m.Done:
        """Try a destination, or `ALL`, now."""
        return self.request("queue.flush", m.QueueSelect(destination), m.Done)

    def queue_pause(self, destination: str) -> m.Done:
        """Stop sending to a destination, or to `ALL`."""
        return self.request("queue.pause", m.QueueSelect(destination), m.Done)

    def queue_resume(self, destination: str) -> m.Done:
        """Go on sending to a destination, or to `ALL`."""
        return self.request("queue.resume", m.QueueSelect(destination), m.Done)

    def destination_list(self) -> m.DestinationList:
        """Return the site's destinations."""
        return self.request("destination.list", m.Empty(), m.DestinationList)

    def destination_echo(self, destination: str) -> m.Echo:
        """C-ECHO one destination."""
        return self.request("destination.echo", m.DestinationRef(destination), m.Echo)

    def worklist_list(self, *, vanished: bool = False) -> EntryList:
        """Return the worklist as scanners get it; with `vanished` what the source has no more as well."""
        return self.request("worklist.list", ListEntries(vanished), EntryList)

    def worklist_show(self, entry: str) -> EntryDetail:
        """Return a worklist entry before and after its corrections. Raises `NotFound`, or `Ambiguous`."""
        return self.request("worklist.show", EntryRef(entry), EntryDetail)

    def worklist_refresh(self) -> Refreshed:
        """Have the source of the worklist asked now, and return what came of it."""
        return self.request("worklist.refresh", m.Empty(), Refreshed)
