"""Every page a person can see, drawn from samples; `python -m tests.fluxctl.pages` writes them below `pages/`.

Look at a change of them as at a change of the program: this is what people read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from rich.console import RenderableType

from capacitord.api import messages as m
from capacitord.api.geofence import Mapped
from capacitord.api.messages import ProfileFinding
from capacitord.api.schemas import (
    Doctor,
    Previewed,
    ProfileChange,
    ProfileDiff,
    ProfileExported,
    ValidatedProfile,
    Verified,
    Version,
)
from capacitord.model.location import Decision
from capacitord.model.states import AckState, DeliveryState, GateState, StudyState
from capacitord.model.worklist_cache import ListState
from capacitord.site.advice import advice_on_elsewhere, advice_on_failed, advice_on_held
from capacitord.spool.routed import REASONS, Standing
from capacitord.spool.studies import Failed
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.location_answers import of_conflict
from fluxctl import watching
from fluxctl.commands import doctor
from fluxctl.render import (
    box,
    codes,
    departure,
    destination,
    geofence,
    held,
    location,
    preflight,
    preview,
    profile,
    queue,
    site,
    status,
    study,
    trial,
    watch,
    worklist,
)
from fluxctl.render.look import Look
from fluxctl.render.page import draw
from tests.fluxctl import departure_samples as d
from tests.fluxctl import geofence_samples as g
from tests.fluxctl import held_samples as h
from tests.fluxctl import location_samples as loc
from tests.fluxctl import picture_samples as p
from tests.fluxctl import preflight_samples as f
from tests.fluxctl import samples as s
from tests.fluxctl import trial_samples as t
from tests.fluxctl import worklist_samples as w

FOLDER: Final = Path(__file__).parent / "pages"
LOOK: Final = Look(width=80, color=False, unicode=True, now=s.NOW, zone=ZoneInfo("America/Chicago"))
NARROW: Final = Look(width=60, color=False, unicode=True, now=s.NOW, zone=ZoneInfo("America/Chicago"))
WIDE: Final = Look(width=120, color=False, unicode=True, now=s.NOW, zone=ZoneInfo("America/Chicago"))
PLAIN: Final = Look(width=80, color=False, unicode=False, now=s.NOW, zone=ZoneInfo("America/Chicago"))

NO_PATH: Final = "There is no network path to STM_BACKUP now. It is tried again by itself."
FULL_DISK: Final = s.changed(s.DISK, free=12 * s.GIB, level=m.Level.FAILURE)
TROUBLED: Final = s.changed(
    s.STATUS,
    gate=s.BLOCKED,
    listener=s.changed(s.LISTENER, bound=False, address="::"),
    runtime=s.changed(s.RUNTIME, state=m.RuntimeState.BACKOFF, restarts=3, reason="it ended with status 1"),
    site=s.changed(s.SITE, name="Krankenhaus der Barmherzigen Brüder St. Elisabeth Oberösterreich"),
    traffic=s.changed(
        s.TRAFFIC,
        incoming=(),
        disk=FULL_DISK,
        spool=s.changed(s.SPOOL, conflicts=2, corrupt=1, recovered=3, refused_images=2),
        destinations=(
            s.changed(s.PACS, refused_images=2, transfers=(), waiting_images=2, waiting_bytes=s.MIB, eta=None),
            s.changed(s.BACKUP, paused=True, doubtful_images=0, name="a-destination-with-a-long-name"),
            s.changed(s.BACKUP, name="third", circuit=m.CircuitState.PROBING, doubtful_images=0, reason=NO_PATH),
            s.changed(
                s.PACS, name="research", waiting_images=0, transfers=(), eta=None, last_success=None, waiting_bytes=0
            ),
        ),
        advice=(
            m.Advice("disk-full", m.Level.FAILURE, "The disk is full.", "Deliver or discard studies."),
            m.Advice("worklist-none", m.Level.OK, "There is no worklist for this site.", ""),
        ),
    ),
)
FAILING: Final = s.changed(
    s.STATUS,
    gate=m.Gate(
        state=GateState.OPEN,
        may_scan=False,
        reason="images cannot be kept: the disk has become read-only",
        hint="Leave the studies on the scanner and have the disk looked at. See why (`dmesg`, SMART).",
        since=s.ago(hours=6, minutes=11),
    ),
    traffic=s.changed(
        s.TRAFFIC,
        incoming=(s.changed(s.TRAFFIC.incoming[0], refused=2),),
        trouble=m.Trouble("The disk has become read-only.", "See why (`dmesg`, SMART).", s.ago(seconds=70)),
        refused=m.Refusals(
            3,
            s.ago(seconds=70),
            s.ago(seconds=9),
            "The disk refused: could not write images to the spool (EROFS).",
            "CT_COACH",
            "10.20.5.20",
        ),
        as_of=s.ago(seconds=75),
        advice=(
            m.Advice(
                "status-old",
                m.Level.FAILURE,
                "What is shown is 75 s old, because the status cannot be read: The catalog could not be read.",
                "Check the disk.",
            ),
        ),
    ),
)
QUIET: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        incoming=(),
        last_image=None,
        spool=s.changed(s.SPOOL, studies=0, images=0, bytes=0, undelivered_images=0),
        destinations=(s.changed(s.PACS, waiting_images=0, waiting_bytes=0, transfers=(), eta=None, oldest=None),),
    ),
    advice=(),
)
CLOSING: Final = s.changed(
    s.STATUS, gate=m.Gate(state=GateState.CLOSING, may_scan=False, reason="capacitord is stopping"), traffic=None
)


CHOSEN: Final = m.Chosen(s.ago(hours=2), "alex", "GPS does not see the sky here")
OVERRIDE: Final = s.changed(
    QUIET,
    gate=loc.opened(Decision("lakeside"), CHOSEN),
    chosen=CHOSEN,
    override=True,
    location=m.LocationLine(True, "lakeside", False, "lakeside: 120 m inside"),
)
OVERRIDE_IN_CONFLICT: Final = s.changed(
    OVERRIDE,
    gate=loc.opened(Decision(None, conflict=True), CHOSEN),
    location=loc.LINE_IN_CONFLICT,
    advice=(of_conflict(Choice("st-marys", CHOSEN), is_open=True),),
)
NOT_CLEAN: Final = s.changed(
    s.STATUS,
    gate=m.Gate(
        GateState.BLOCKED,
        may_scan=False,
        reason=(
            "patients of another site may be on a scanner: CT_COACH still has 2 studies of 2 patients "
            "(this box was open for st-marys last)"
        ),
        hint=f"See which: fluxctl preflight. {f.DIRTY.hint} They are asked again every 30 s, and then it opens.",
        since=s.ago(minutes=4),
    ),
    listener=s.changed(s.LISTENER, bound=False),
    site=m.Site("lakeside", "Lakeside Clinic", 2, "America/Chicago"),
    traffic=None,
    advice=(),
)
OLD_LIST: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        worklist=s.changed(
            s.WORKLIST,
            state=ListState.STALE,
            fetched=s.ago(hours=13),
            failures=391,
            reason="10.20.1.11 port 104: the host did not answer within 10 s.",
        ),
        advice=(
            m.Advice(
                "worklist-old",
                m.Level.WARNING,
                w.listed(state=ListState.STALE).remark,
                "See whether the source answers: fluxctl worklist refresh.",
            ),
        ),
    ),
)


OTHER_SOURCE: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        worklist=s.changed(
            s.WORKLIST, state=ListState.STALE, ae_title="NEW_RIS", failures=2, reason="Nothing listens there."
        ),
    ),
)

PREPARING: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        worklist=s.changed(s.WORKLIST, state=ListState.PREPARING, entries=0, vanished=0, fetched=None, source=""),
    ),
)


def _watched() -> watch.Picture:
    picture = watch.Picture()
    earlier = s.changed(
        s.STATUS,
        now=s.ago(seconds=4),
        traffic=s.changed(s.TRAFFIC, bytes_received=s.TRAFFIC.bytes_received - 44 * s.MIB),
    )
    for event in (m.StatusEvent(at=s.ago(seconds=4), status=earlier), *s.EVENTS):
        picture = watch.after(picture, event)
    return picture


def _lost() -> watch.Picture:
    return watch.Picture(status=s.STATUS, lost="it ended the conversation; it may be restarting")


def _twin(object_id: str, *acks: m.Ack, conflict: bool = True) -> m.Image:
    uid = "1.2.276.0.7230010.3.1.4.1787205428.181535.1700000000.424242"
    return s.image(3, *acks, object_id=object_id, sop_instance_uid=uid, conflict=conflict)


CONFLICTS: Final = s.changed(
    s.DETAIL,
    study=s.changed(s.BREAST, conflicts=2),
    images=(
        _twin("0f03ab12" * 4, s.DONE, conflict=False),
        _twin("77c1d2e3aa" + "0" * 22),
        _twin("77c1d2e3bb" + "0" * 22),
        _twin("9a00" * 8, s.ack("pacs", AckState.WAITING)),
        _twin("c3d4" * 8, s.DONE),
        s.image(4, s.REFUSED),
    ),
)
_NO_ROUTE: Final = "no route of version 7 of the profile matches it"


def _held_for(standing: Standing, images: int, short: str) -> tuple[m.HeldFor, ...]:
    reason = REASONS[standing]
    return (m.HeldFor(reason.word, images, reason.sentence, reason.next_step.format(study=short)),)


HELD_IN_PART: Final = s.changed(
    s.BREAST,
    state=StudyState.HELD,
    reason="1 of 5 images: no route of version 7 of the profile matches it.",
    conflicts=0,
    held=1,
    held_for=_held_for(Standing.NO_ROUTE, 1, s.BREAST.id),
    deliveries=(
        s.delivery("backup", DeliveryState.QUEUED, 1, 0, priority="stat", reason="Stands in for pacs."),
        s.delivery(
            "pacs",
            DeliveryState.MOVED,
            3,
            3,
            moved=1,
            priority="stat",
            reason="1 image went to backup instead: pacs could not be reached for 15 min.",
        ),
    ),
)
_INSTEAD: Final = "Went to backup instead: pacs could not be reached for 15 min."
HELD: Final = m.StudyDetail(
    "",
    HELD_IN_PART,
    (
        s.image(1, s.DONE, routing="routed", route=2, profile_version=7),
        s.image(2, s.DONE, routing="routed", route=0, profile_version=7),
        s.image(
            3,
            s.ack("pacs", AckState.MOVED, reason=_INSTEAD),
            s.ack("backup", AckState.WAITING),
            routing="routed",
            route=1,
            profile_version=6,
        ),
        s.image(4, routing="held", held=_NO_ROUTE, profile_version=7),
        s.image(5, s.DONE, routing="routed", profile_version=5),
    ),
)
WITHHELD_STUDY: Final = s.changed(
    s.BREAST,
    conflicts=0,
    deliveries=(
        s.delivery(
            "pacs",
            DeliveryState.FAILED,
            5,
            2,
            refused=1,
            held=2,
            reason=f"1 image was refused: {s.REFUSED.reason}. 2 images held back by this box: {s.WITHHELD}",
        ),
    ),
)
WITHHELD: Final = m.StudyDetail(
    "",
    WITHHELD_STUDY,
    (
        s.image(1, s.changed(s.DONE, profile_version=6), routing="routed", route=2, profile_version=6),
        s.image(2, s.changed(s.DONE, profile_version=7), routing="routed", route=2, profile_version=6),
        s.image(3, s.HELD, routing="routed", route=2, profile_version=6),
        s.image(4, s.changed(s.REFUSED, profile_version=7), routing="routed", route=2, profile_version=6),
        s.image(5, s.HELD, routing="routed", route=2, profile_version=6),
    ),
)
WITHHOLDING: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        spool=s.changed(s.SPOOL, held_back_images=2, refused_images=1),
        destinations=(
            s.changed(s.PACS, refused_images=1, held_images=2),
            s.changed(
                s.BACKUP, circuit=m.CircuitState.CLOSED, reason="", next_try=None, waiting_images=0, held_images=1
            ),
        ),
        advice=tuple(advice_on_failed([Failed("pacs", 1, "c77e02", WITHHELD_STUDY.deliveries[0].reason, 3)], ["pacs"])),
    ),
)
WITHHELD_QUEUE: Final = s.changed(
    s.QUEUE,
    destinations=(
        s.changed(s.QUEUE.destinations[0], refused=1, held=2),
        s.changed(s.QUEUE.destinations[1], paused=False, circuit=m.CircuitState.CLOSED, images=0, reason="", held=1),
    ),
    studies=(WITHHELD_STUDY,),
)
ELSEWHERE: Final = m.Elsewhere(
    12, s.ago(minutes=3), "3f2a9c", "Went to night instead: STM_RES refused it: it does not fit there (A900)."
)
RESEARCH: Final = s.changed(
    s.PACS,
    name="research",
    waiting_images=0,
    waiting_bytes=0,
    transfers=(),
    eta=None,
    last_success=None,
    elsewhere=ELSEWHERE,
)
STOOD_IN_FOR: Final = s.changed(
    s.STATUS,
    traffic=s.changed(s.TRAFFIC, destinations=(RESEARCH, s.PACS), advice=tuple(advice_on_elsewhere([RESEARCH]))),
)
UNNAMED: Final = s.changed(
    s.QUEUE.destinations[1],
    destination="old",
    paused=False,
    circuit=m.CircuitState.CLOSED,
    reason="Version 8 of the profile does not name old: import one that does, or send the studies elsewhere with "
    "fluxctl resend.",
    next_try=None,
    doubtful=0,
    named=False,
)
EMPTY_ROW: Final = s.changed(
    UNNAMED,
    destination="research",
    images=0,
    reason="",
    named=True,
    elsewhere=ELSEWHERE,
    ages=m.AgeBuckets(0, 0, 0, 0, 0),
)
HELD_WHOLE: Final = s.changed(
    s.CHEST,
    state=StudyState.HELD,
    reason="2 of 2 images: no route of version 7 of the profile matches them.",
    held=2,
    held_for=_held_for(Standing.NO_ROUTE, 2, s.CHEST.id),
    deliveries=(),
)
_SHORT: Final = "its pixels have 8120 bytes, and rows, columns, frames and bits make 8192"
INCOMPLETE: Final = m.StudyDetail(
    "",
    s.changed(
        s.CHEST,
        state=StudyState.HELD,
        reason="1 of 2 images: 2 images that the scanner named have not arrived, and whole studies only are sent. "
        f"1 of 2 images: {_SHORT}.",
        held=2,
        held_for=(*_held_for(Standing.MISSING, 1, s.CHEST.id), *_held_for(Standing.INVALID, 1, s.CHEST.id)),
        deliveries=(),
        closed_by="mpps",
        closed_at=s.ago(minutes=4),
    ),
    (
        s.image(1, routing="held", held="2 images that the scanner named have not arrived", profile_version=7),
        s.image(2, routing="held", held=_SHORT, findings=(_SHORT, "it has no Modality"), profile_version=7),
    ),
    missing=2,
    missing_uids=("1.2.826.0.1.3680043.8.498.1003.2.3", "1.2.826.0.1.3680043.8.498.1003.2.5"),
    doubts=("Series 2 has gaps in its instance numbers: 3.",),
)
HOLDING: Final = s.changed(
    s.STATUS,
    traffic=s.changed(
        s.TRAFFIC,
        spool=s.changed(s.SPOOL, held_images=3, unrouted_images=12),
        advice=tuple(advice_on_held(2, "8b01d4", HELD_WHOLE.reason)),
    ),
)
VALID: Final = ValidatedProfile(
    "st-marys.toml",
    True,
    (
        ProfileFinding(
            "warning", "destination[1].name", "no route goes to night", "Name it.", 21, 8, 'name = "night"', 7, 7
        ),
        ProfileFinding("note", "preflight", "the scanner is not asked for studies of other sites", "", 30, 2),
    ),
    "st-marys",
    "St. Mary's Hospital",
    7,
    ("pacs", "night"),
)
_FENCE: Final = (
    "gon', coordinates = [[[-87.63, 41.88], [-87.62, 41.886], [-87.62, 41.88], [-87.63, 41.886], [-87.63, 41.88]]] }"
)
_CROSSES: Final = "the outline crosses itself at [-87.625, 41.883]"
WRONG: Final = ValidatedProfile(
    "lakeside.toml",
    False,
    (
        ProfileFinding(
            "error",
            "location.geofence.coordinates[0]",
            _CROSSES,
            "Go round it in one direction.",
            12,
            49,
            _FENCE,
            21,
            87,
        ),
        ProfileFinding(
            "error", "route[0].match.Modalty", "is no keyword", "", 20, 11, "match = { Modalty = 5 }", 10, 7
        ),
        ProfileFinding("error", "", "unclosed string", "The file is TOML 1.0.", 33, 8, "x = '\tö", 5, 1),
    ),
)
MANY: Final = s.changed(s.IMPORTED, others=(s.NOT_SERVED,))
NONE_ACTIVE: Final = s.changed(
    s.IMPORTED, active=False, before=None, others=(s.changed(s.NOT_SERVED, files=(), findings=()),), active_site=""
)
PARKED: Final = s.changed(
    s.NO_SITE,
    gate=m.Gate(
        state=GateState.PARKED,
        may_scan=False,
        reason="alex parked this box on 2026-05-01 at 18:30 UTC",
        hint="To serve a site: fluxctl site list, then fluxctl site activate SITE",
        parked=m.Parked(s.NOW, "alex", "on the road"),
    ),
)
DIFFERENCES: Final = (
    ProfileDiff(
        "st-marys@6",
        "st-marys@7",
        (
            ProfileChange("version", "", "version", "6", "7"),
            ProfileChange("destination[0].port", "destination pacs", "port", "104", "11112"),
            ProfileChange("destination[1]", "destination night", "", None, "ae_title = TELERAD, host = reader.example"),
            ProfileChange("route[1].to", "route 2", "to", "pacs", "pacs, backup"),
            ProfileChange("delivery.rate_limit", "delivery", "rate_limit", "8 Mbit/s", None),
            ProfileChange("file ca.pem", "", "file ca.pem", "contents 5e884898", "contents 9d4e1b07"),
        ),
    ),
    ProfileDiff("", "lakeside@1", (ProfileChange("name", "", "name", None, "Lakeside Clinic"),)),
)
EXPORTED: Final = ProfileExported("lakeside", 2, "/home/kim/lakeside", ("lakeside.toml", "tls/ca.pem", "box.key"))
DAMAGED_HISTORY: Final = s.changed(
    s.HISTORY,
    versions=tuple(
        s.changed(each, problem=f"version {each.version} of the profile of st-marys can't be used: it was damaged")
        if each.in_force
        else each
        for each in s.HISTORY.versions
    ),
)
AGAIN: Final = s.changed(s.IMPORTED, unchanged=True, findings=())
STRANDING: Final = s.changed(
    s.IMPORTED,
    findings=(
        ProfileFinding(
            "warning",
            "destination",
            "12 images wait for night, which this version does not name",
            "They stay until a version names night; or send the studies elsewhere with fluxctl resend.",
        ),
    ),
)
DAMAGE: Final = m.VerifyDamage(object_id="0f02" * 8, study="3f2a9c", message="The header is not what was sealed.")
VERIFIED: Final = Verified(3, 3 * s.MIB, 1, "1 damaged image is in corrupt/ now.", (DAMAGE,))
SOUND: Final = Verified(3, 3 * s.MIB, 0, "", ())
ANNOUNCED: Final = (
    m.AnnouncedStudy("77d01c52e9", "1.2.826.77", "CT1", s.ago(minutes=21), over=True, images=40),
    m.AnnouncedStudy("0b9e4f6a31", "1.2.826.78", "MR1", s.ago(minutes=3), over=False, images=0),
)
PAGES: Final[dict[str, tuple[Look, Callable[[Look], RenderableType]]]] = {
    "status": (LOOK, lambda look: status.page(s.STATUS, look)),
    "status-60-columns": (NARROW, lambda look: status.page(s.STATUS, look)),
    "status-ascii": (PLAIN, lambda look: status.page(s.STATUS, look)),
    "status-no-site": (LOOK, lambda look: status.page(s.NO_SITE, look)),
    "status-location": (LOOK, lambda look: status.page(s.changed(s.STATUS, location=loc.LINE), look)),
    "status-location-conflict": (
        LOOK,
        lambda look: status.page(loc.OPEN_IN_CONFLICT, look),
    ),
    "status-parked": (LOOK, lambda look: status.page(PARKED, look)),
    "status-troubled": (LOOK, lambda look: status.page(TROUBLED, look)),
    "status-failing": (LOOK, lambda look: status.page(FAILING, look)),
    "status-quiet": (LOOK, lambda look: status.page(QUIET, look)),
    "status-closing": (LOOK, lambda look: status.page(CLOSING, look)),
    "watch": (LOOK, lambda look: watch.page(_watched(), look)),
    "watch-lost": (LOOK, lambda look: watch.page(_lost(), look)),
    "study-list": (LOOK, lambda look: study.listed(s.STUDIES, look)),
    "study-list-page": (LOOK, lambda look: study.listed(s.changed(s.STUDIES, total=412, next="3"), look)),
    "study-list-empty": (LOOK, lambda look: study.listed(m.StudyList(schema="", studies=(), total=0), look)),
    "study-list-announced": (LOOK, lambda look: study.listed(s.changed(s.STUDIES, announced=ANNOUNCED), look)),
    "study-show": (LOOK, lambda look: study.shown(s.DETAIL, look)),
    "study-show-images": (LOOK, lambda look: study.shown(s.DETAIL, look, images=True)),
    "study-show-order": (LOOK, lambda look: study.shown(s.changed(s.DETAIL, decided=h.ORDER), look)),
    "study-show-moving": (LOOK, lambda look: study.shown(m.StudyDetail("", s.HEAD, ()), look)),
    "study-show-conflicts": (LOOK, lambda look: study.shown(CONFLICTS, look, images=True)),
    "study-show-held": (LOOK, lambda look: study.shown(HELD, look, images=True)),
    "study-show-incomplete": (LOOK, lambda look: study.shown(INCOMPLETE, look)),
    "study-list-held": (
        LOOK,
        lambda look: study.listed(s.changed(s.STUDIES, studies=(HELD_IN_PART, HELD_WHOLE), total=2), look),
    ),
    "study-show-withheld": (LOOK, lambda look: study.shown(WITHHELD, look, images=True)),
    "study-list-withheld": (LOOK, lambda look: study.table((WITHHELD_STUDY,), look)),
    "status-withheld": (LOOK, lambda look: status.page(WITHHOLDING, look)),
    "queue-list-withheld": (LOOK, lambda look: queue.listed(WITHHELD_QUEUE, look)),
    "status-held": (LOOK, lambda look: status.page(HOLDING, look)),
    "status-elsewhere": (LOOK, lambda look: status.page(STOOD_IN_FOR, look)),
    "destination-list-elsewhere": (LOOK, lambda look: destination.listed(m.DestinationList("", (RESEARCH,)), look)),
    "queue-list-elsewhere": (LOOK, lambda look: queue.listed(m.QueueList("", (EMPTY_ROW, UNNAMED), ()), look)),
    "queue-list-held-alike": (
        LOOK,
        lambda look: queue.listed(
            s.changed(
                s.QUEUE,
                studies=(),
                held=tuple(
                    s.changed(HELD_WHOLE, id=short, held_for=_held_for(Standing.NO_ROUTE, 2, short))
                    for short in (f"8b01d{n}" for n in range(8))
                ),
            ),
            look,
        ),
    ),
    "queue-list-held": (
        LOOK,
        lambda look: queue.listed(s.changed(s.QUEUE, studies=(HELD_IN_PART,), held=(HELD_IN_PART, HELD_WHOLE)), look),
    ),
    "study-preview": (LOOK, lambda _look: preview.caption(p.PICTURED)),
    "study-preview-file": (
        LOOK,
        lambda _look: preview.written(
            Previewed(
                s.changed(p.PICTURED, frames=30, is_whole=False),
                "/home/kim/a.png",
                1,
            )
        ),
    ),
    "queue-show": (LOOK, lambda look: study.queued(s.DETAIL, look)),
    "queue-list": (LOOK, lambda look: queue.listed(s.QUEUE, look)),
    "queue-list-deferred": (
        LOOK,
        lambda look: queue.listed(
            m.QueueList("", (s.changed(s.QUEUE.destinations[1], paused=False, reason=NO_PATH),), ()), look
        ),
    ),
    "destination-list": (LOOK, lambda look: destination.listed(s.DESTINATIONS, look)),
    "destination-echo": (LOOK, lambda look: destination.echoed((s.ECHO, s.NO_ECHO), look)),
    "profile-list": (LOOK, lambda look: box.profiles(s.PROFILES, look)),
    "profile-list-empty": (LOOK, lambda look: box.profiles(m.ProfileList("", ()), look)),
    "profile-list-damaged": (LOOK, lambda look: box.profiles(s.changed(s.PROFILES, damaged=(s.DAMAGED,)), look)),
    "profile-import": (LOOK, lambda look: profile.imported(s.IMPORTED, (), look)),
    "profile-import-many": (LOOK, lambda look: profile.imported(MANY, (), look)),
    "profile-import-none-active": (LOOK, lambda look: profile.imported(NONE_ACTIVE, (), look)),
    "profile-import-follows": (LOOK, lambda look: profile.imported(s.changed(MANY, follows=True), (), look)),
    "profile-import-none-active-follows": (
        LOOK,
        lambda look: profile.imported(s.changed(NONE_ACTIVE, follows=True), (), look),
    ),
    "profile-import-dry-run": (LOOK, lambda look: profile.imported(s.IMPORTED, DIFFERENCES, look, dry_run=True)),
    "profile-diff": (LOOK, lambda look: profile.differences(DIFFERENCES, look)),
    "profile-diff-60-columns": (NARROW, lambda look: profile.differences(DIFFERENCES[:1], look)),
    "profile-diff-none": (LOOK, lambda look: profile.differences((ProfileDiff("a@1", "a@2", ()),), look)),
    "profile-history": (LOOK, lambda look: profile.history(s.HISTORY, look)),
    "profile-history-damaged": (LOOK, lambda look: profile.history(DAMAGED_HISTORY, look)),
    "profile-import-again": (LOOK, lambda look: profile.imported(AGAIN, (), look)),
    "profile-import-stranding": (LOOK, lambda look: profile.proposed(DIFFERENCES[:1], STRANDING, look)),
    "profile-rollback": (LOOK, lambda _: profile.rolled_back(s.SUMMARY)),
    "profile-export": (LOOK, lambda _: profile.exported(EXPORTED)),
    "preflight": (LOOK, lambda look: preflight.page(f.DIRTY, look)),
    "preflight-60-columns": (NARROW, lambda look: preflight.page(f.DIRTY, look)),
    "preflight-clean": (LOOK, lambda look: preflight.page(f.CLEAN, look)),
    "preflight-unsure": (LOOK, lambda look: preflight.page(f.UNSURE, look)),
    "preflight-no-scanner": (LOOK, lambda look: preflight.page(f.NONE, look)),
    "preflight-same-site": (LOOK, lambda look: preflight.page(f.SAME, look)),
    "preflight-no-site": (LOOK, lambda look: preflight.page(f.NOWHERE, look)),
    "preflight-watch": (LOOK, lambda look: preflight.live(f.DIRTY, look)),
    "preflight-watch-lost": (LOOK, lambda look: preflight.live(f.DIRTY, look, watching.ENDED)),
    "site-list-override": (LOOK, lambda look: site.listed(s.changed(s.SITES, chosen=CHOSEN, override=True), look)),
    "status-override-where-it-is": (
        LOOK,
        lambda look: status.page(s.changed(QUIET, chosen=CHOSEN, override=True, location=loc.LINE), look),
    ),
    "status-override": (LOOK, lambda look: status.page(OVERRIDE, look)),
    "status-override-in-conflict": (LOOK, lambda look: status.page(OVERRIDE_IN_CONFLICT, look)),
    "status-preflight": (LOOK, lambda look: status.page(NOT_CLEAN, look)),
    "site-departure-clear": (LOOK, lambda look: departure.page(d.CLEAR, look)),
    "site-departure-draining": (LOOK, lambda look: departure.page(d.DRAINING, look)),
    "site-departure-refused": (LOOK, lambda look: departure.page(d.REFUSED, look)),
    "site-departure": (LOOK, lambda look: departure.page(d.NOT_YET, look)),
    "site-departure-parked": (LOOK, lambda look: departure.page(d.PARKED, look)),
    "site-departure-parked-60-columns": (NARROW, lambda look: departure.page(d.PARKED, look)),
    "site-departure-parked-draining": (LOOK, lambda look: departure.page(d.PARKED_DRAINING, look)),
    "site-departure-parked-clear": (LOOK, lambda look: departure.page(d.PARKED_CLEAR, look)),
    "site-departure-60-columns": (NARROW, lambda look: departure.page(d.NOT_YET, look)),
    "site-list-draining": (LOOK, lambda look: site.listed(d.LEFT_BEHIND, look)),
    "status-draining": (LOOK, lambda look: status.page(d.STATUS, look)),
    "site-list": (LOOK, lambda look: site.listed(s.SITES, look)),
    "site-list-60-columns": (NARROW, lambda look: site.listed(s.SITES, look)),
    "site-list-empty": (LOOK, lambda look: site.listed(m.SiteList("", ()), look)),
    "site-location": (LOOK, lambda look: location.located(loc.HERE, look)),
    "site-location-60-columns": (NARROW, lambda look: location.located(loc.HERE, look)),
    "site-location-long-60-columns": (NARROW, lambda look: location.located(loc.FAR, look)),
    "site-location-conflict": (LOOK, lambda look: location.located(loc.CONFLICT, look)),
    "site-location-lost": (LOOK, lambda look: location.located(loc.LOST, look)),
    "site-location-leaving": (LOOK, lambda look: location.located(loc.LEAVING, look)),
    "site-location-unknown": (LOOK, lambda look: location.located(loc.UNKNOWN, look)),
    "site-location-manual": (LOOK, lambda look: location.located(loc.MANUAL, look)),
    "site-list-parked": (LOOK, lambda look: site.listed(m.SiteList("", s.SITES.sites[:1]), look)),
    "site-list-follows": (LOOK, lambda look: site.listed(m.SiteList("", s.SITES.sites[:1], follows=True), look)),
    "geofence-test": (LOOK, lambda look: geofence.tested(g.TESTED, look)),
    "geofence-test-unsure": (LOOK, lambda look: geofence.tested(g.UNSURE, look)),
    "geofence-test-conflict": (LOOK, lambda look: geofence.tested(g.CONFLICT, look)),
    "geofence-test-60-columns": (NARROW, lambda look: geofence.tested(g.TESTED, look)),
    "geofence-test-track": (LOOK, lambda look: geofence.tracked(g.TRACKED, look)),
    "geofence-test-track-60-columns": (NARROW, lambda look: geofence.tracked(g.TRACKED, look)),
    "geofence-check": (LOOK, lambda look: geofence.checked(g.CHECKED, look)),
    "geofence-check-well": (LOOK, lambda look: geofence.checked(g.WELL, look)),
    "geofence-check-gap": (LOOK, lambda look: geofence.checked(g.GAP, look)),
    "geofence-check-60-columns": (NARROW, lambda look: geofence.checked(g.CHECKED, look)),
    "geofence-map": (LOOK, lambda look: geofence.drawn(g.MAPPED, None, look)),
    "geofence-map-site": (LOOK, lambda look: geofence.drawn(g.MAPPED, g.LAKESIDE, look)),
    "geofence-map-60-columns": (NARROW, lambda look: geofence.drawn(g.MAPPED, None, look)),
    "geofence-map-ascii": (PLAIN, lambda look: geofence.drawn(g.MAPPED, None, look)),
    "geofence-map-none": (LOOK, lambda look: geofence.drawn(Mapped((g.NORTH, g.DAMAGED)), None, look)),
    "profile-validate": (LOOK, lambda look: profile.validated((VALID, WRONG), look)),
    "profile-validate-valid": (LOOK, lambda look: profile.validated((VALID,), look)),
    "profile-validate-60-columns": (NARROW, lambda look: profile.validated((WRONG,), look)),
    "profile-try": (LOOK, lambda look: trial.tried(t.ONE, look)),
    "profile-try-120-columns": (WIDE, lambda look: trial.tried(t.ONE, look)),
    "profile-try-60-columns": (NARROW, lambda look: trial.tried(t.ONE, look)),
    "profile-try-findings": (LOOK, lambda look: trial.tried(t.WITH_FINDINGS, look)),
    "profile-try-many": (LOOK, lambda look: trial.tried(t.MANY, look)),
    "profile-try-deidentified": (LOOK, lambda look: trial.tried(t.DEIDENTIFIED, look)),
    "study-explain-awaited": (LOOK, lambda look: trial.explained(t.AWAITED, look)),
    "study-explain": (LOOK, lambda look: trial.explained(t.EXPLAINED, look)),
    "study-resolve": (LOOK, lambda look: codes.resolved(t.RESOLVED, look)),
    "study-resolve-60-columns": (NARROW, lambda look: codes.resolved(t.RESOLVED, look)),
    "status-worklist-old": (LOOK, lambda look: status.page(OLD_LIST, look)),
    "status-worklist-other-source": (LOOK, lambda look: status.page(OTHER_SOURCE, look)),
    "status-worklist-preparing": (LOOK, lambda look: status.page(PREPARING, look)),
    "held-list": (LOOK, lambda look: held.listed(h.LIST, look)),
    "held-list-60-columns": (NARROW, lambda look: held.listed(h.LIST, look)),
    "held-list-whole": (LOOK, lambda look: held.listed(h.WHOLE, look)),
    "held-list-all-kinds": (LOOK, lambda look: held.listed(h.ALL_KINDS, look)),
    "held-list-elsewhere": (LOOK, lambda look: held.listed(h.NONE, look, 10)),
    "held-list-none": (LOOK, lambda look: held.listed(h.NONE, look)),
    "held-show": (LOOK, lambda look: held.shown(h.DETAIL, look)),
    "held-show-many": (LOOK, lambda look: held.shown(h.MANY, look)),
    "held-show-many-60-columns": (NARROW, lambda look: held.shown(h.MANY, look)),
    "held-show-many-120-columns": (WIDE, lambda look: held.shown(h.MANY, look)),
    "held-list-many": (LOOK, lambda look: held.listed(s.changed(h.LIST, held=(h.MANY_ROW,)), look)),
    "held-show-60-columns": (NARROW, lambda look: held.shown(h.DETAIL, look)),
    "held-show-discarded": (LOOK, lambda look: held.shown(h.GONE, look)),
    "worklist-list": (LOOK, lambda look: worklist.listed(w.listed(), look)),
    "worklist-list-120-columns": (WIDE, lambda look: worklist.listed(w.listed(), look)),
    "worklist-list-60-columns": (NARROW, lambda look: worklist.listed(w.listed(), look)),
    "worklist-list-vanished": (LOOK, lambda look: worklist.listed(w.listed(vanished=True), look)),
    "worklist-list-old": (LOOK, lambda look: worklist.listed(w.listed(state=ListState.STALE), look)),
    "worklist-list-failing": (LOOK, lambda look: worklist.listed(w.failing(), look)),
    "worklist-list-uncorrected": (LOOK, lambda look: worklist.listed(w.uncorrected(), look)),
    "worklist-list-never": (LOOK, lambda look: worklist.listed(w.NEVER, look)),
    "worklist-show": (LOOK, lambda look: worklist.shown(w.DETAIL, look)),
    "worklist-show-120-columns": (WIDE, lambda look: worklist.shown(w.DETAIL, look)),
    "worklist-show-60-columns": (NARROW, lambda look: worklist.shown(w.DETAIL, look)),
    "worklist-show-sought": (LOOK, lambda look: worklist.shown(s.changed(w.DETAIL, entry=w.SOUGHT), look)),
    "worklist-show-all": (LOOK, lambda look: worklist.shown(w.DETAIL, look, everything=True)),
    "worklist-refresh": (LOOK, lambda look: worklist.refreshed(w.REFRESHED, look)),
    "worklist-refresh-same": (LOOK, lambda look: worklist.refreshed(w.SAME, look)),
    "worklist-refresh-failed": (LOOK, lambda look: worklist.refreshed(w.FAILED, look)),
    "worklist-refresh-never": (LOOK, lambda look: worklist.refreshed(w.NEVER_REFRESHED, look)),
    "key-status": (LOOK, lambda look: box.key(s.KEY, look)),
    "key-status-none": (LOOK, lambda look: box.key(s.NO_KEY, look)),
    "key-status-locked": (
        LOOK,
        lambda look: box.key(
            s.changed(s.KEY, locked=True, source=m.KeySource.PASSPHRASE, rotated=None, hint="fluxctl key unlock"), look
        ),
    ),
    "key-status-damaged": (
        LOOK,
        lambda look: box.key(
            s.changed(
                s.KEY,
                sites=("lakeside",),
                damaged=("st-marys",),
                leftovers=("generation-3.new",),
                credential_pending=True,
                source=m.KeySource.CREDENTIAL,
                hint="Put them back from the recovery file: fluxctl key restore FILE",
            ),
            look,
        ),
    ),
    "audit-show": (LOOK, lambda look: box.audit(s.AUDIT, look)),
    "audit-show-cut-short": (LOOK, lambda look: box.audit(s.AUDIT_CUT_SHORT, look)),
    "audit-show-unsealed": (LOOK, lambda look: box.audit(s.AUDIT_UNSEALED, look)),
    "audit-show-after-a-crash": (LOOK, lambda look: box.audit(s.AUDIT_CRASH, look)),
    "audit-show-80-columns": (LOOK, lambda look: box.audit(s.AUDIT_WIDE, look)),
    "audit-show-empty": (LOOK, lambda look: box.audit(m.AuditList("", ()), look)),
    "audit-verify": (LOOK, lambda _: box.audit_report(s.AUDIT_OK)),
    "audit-verify-broken": (LOOK, lambda _: box.audit_report(s.AUDIT_BAD)),
    "audit-verify-away": (LOOK, lambda _: box.audit_report(s.AUDIT_AWAY)),
    "audit-verify-unvouched": (LOOK, lambda _: box.audit_report(s.AUDIT_UNVOUCHED)),
    "doctor": (LOOK, lambda _: box.checks(s.DOCTOR.checks)),
    "doctor-well": (LOOK, lambda _: box.checks(s.DOCTOR.checks[:1])),
    "doctor-verify": (LOOK, lambda _: doctor.page(Doctor((*s.DOCTOR.checks, doctor.whole(VERIFIED)), VERIFIED))),
    "doctor-verify-sound": (LOOK, lambda _: doctor.page(Doctor((s.DOCTOR.checks[0], doctor.whole(SOUND)), SOUND))),
    "version": (LOOK, lambda _: box.version(Version("0.1.0", "3.11.7", "/run/x", None, "capacitord is not running"))),
}


def drawn(name: str) -> str:
    """Return a page as text."""
    look, page = PAGES[name]
    return draw(page(look), look)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for known in PAGES:
        (FOLDER / f"{known}.txt").write_text(drawn(known))
