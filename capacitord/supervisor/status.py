"""One screen: what the supervisor knows and what the runtime says, in one answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord import __version__
from capacitord.api.messages import (
    Advice,
    DamagedProfile,
    Gate,
    Level,
    Listener,
    Runtime,
    RuntimeState,
    Site,
    SiteStatus,
    Status,
)
from capacitord.config import idle
from capacitord.config.profile import Profile
from capacitord.errors import Problem
from capacitord.supervisor.recovery_note import HINT

NOT_ISOLATED: Final = Advice(
    "not-isolated",
    Level.WARNING,
    "the site's runtime is an ordinary process: this version puts it in no container",
    "Give capacitord a user of its own, as the systemd unit does, and keep others off this machine.",
)


_ELSEWHERE: Final = "They can leave when their site is active: fluxctl site list, then fluxctl site activate SITE"


class Box(NamedTuple):
    """What the supervisor knows of itself."""

    started: datetime
    gate: Gate
    listener: Listener
    runtime: Runtime
    profile: Profile | None
    audit_trouble: str
    key_warning: tuple[str, str]
    failing: Problem | None = None
    unsaved: str = ""
    damaged: tuple[DamagedProfile, ...] = ()
    elsewhere: Mapping[str, str] = MappingProxyType({})
    """What stays here of other sites, in words, as far as that is known."""
    held_elsewhere: int = 0
    """Images that wait for a person, of all sites that are not active."""
    audit_behind: Problem | None = None
    """Why the audit log lacks what the site did by itself."""
    worklist: Listener | None = None
    """The worklist port, if the site has a worklist."""
    worklist_problem: Problem | None = None
    """Why it is not open, though it should be."""


def compose(schema: str, box: Box, traffic: SiteStatus | None) -> Status:
    """Return the status as of now."""
    profile = box.profile
    site = None if profile is None else Site(profile.id, profile.name, profile.version, profile.timezone)
    return Status(
        schema=schema,
        version=__version__,
        now=datetime.now(UTC),
        started=box.started,
        gate=box.gate,
        listener=box.listener,
        runtime=box.runtime,
        site=site,
        traffic=traffic,
        advice=(*_of_the_runtime(box, traffic), *_advice(box)),
        worklist=box.worklist,
        held_elsewhere=box.held_elsewhere,
    )


def _of_the_runtime(box: Box, traffic: SiteStatus | None) -> list[Advice]:
    """Return what to say while the runtime runs and does not tell its status."""
    if traffic is not None or box.runtime.state is not RuntimeState.RUNNING:
        return []
    found = [
        Advice(
            "no-report",
            Level.FAILURE,
            "the site's runtime does not tell its status: what waits, and how full the disk is, is not known",
            "Wait a moment. If it goes on, look at the disk (dmesg); then: sudo systemctl restart capacitord",
        )
    ]
    if box.failing is not None:
        found.append(Advice(box.failing.reference, Level.FAILURE, box.failing.message, box.failing.hint))
    return found


def _advice(box: Box) -> list[Advice]:
    found = []
    if not box.runtime.isolated:
        found.append(NOT_ISOLATED)
    if box.worklist_problem is not None:
        words = f"no scanner gets a worklist: {box.worklist_problem.message}"
        found.append(Advice("worklist-port", Level.FAILURE, words, box.worklist_problem.hint))
    if box.audit_trouble:
        words = f"the audit log is damaged: {box.audit_trouble}"
        found.append(Advice("audit-damaged", Level.FAILURE, words, "See where: fluxctl audit verify"))
    if box.audit_behind is not None:
        found.append(Advice(box.audit_behind.reference, Level.FAILURE, box.audit_behind.message, box.audit_behind.hint))
    if box.key_warning[0]:
        found.append(Advice("keys", Level.WARNING, *box.key_warning))
    if box.unsaved:
        found.append(Advice("recovery-file", Level.WARNING, box.unsaved, HINT))
    found += [Advice("profile-damaged", Level.FAILURE, each.message, each.hint) for each in box.damaged]
    left = {site: images for site, images in sorted(box.elsewhere.items()) if images}
    if left:
        each = "; ".join(f"{images} of {site}" for site, images in left.items())
        words = f"images of sites that are not active stay here: {each}"
        found.append(Advice("undelivered-elsewhere", Level.WARNING, words, _ELSEWHERE))
    waiting = idle.notes(box.profile) if box.profile else ()
    if waiting:
        keys = ", ".join(note.key for note in waiting)
        words = f"the profile's {keys} {'does' if len(waiting) == 1 else 'do'} not act yet"
        hint = "What happens instead: fluxctl profile show | fluxctl profile validate -"
        found.append(Advice("profile-idle", Level.WARNING, words, hint))
    return found
