"""One screen: what the supervisor knows and what the runtime says, in one answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord import __version__
from capacitord.api.draining import told
from capacitord.api.messages import (
    Advice,
    Chosen,
    DamagedProfile,
    Draining,
    DrainState,
    Gate,
    Level,
    Listener,
    LocationLine,
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

_ELSEWHERE: Final = "They can leave when their site is active: fluxctl site list, then fluxctl site activate SITE"

_AGAIN: Final = "See what is in the way: fluxctl doctor. It is tried again with its next start."


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
    """Why the audit log lacks what the site did."""
    worklist: Listener | None = None
    """The worklist port, if the site has a worklist."""
    worklist_problem: Problem | None = None
    """Why it is not open, though it should be."""
    chosen: Chosen | None = None
    """Who chose which site is served, or that none is."""
    draining: tuple[Draining, ...] = ()
    """The sites that are not active and whose images go on leaving."""
    override: bool = False
    """Whether that stands against the evidence of where the box is."""
    location: LocationLine | None = None
    """Which site the evidence means, on a box that follows it."""
    location_advice: tuple[Advice, ...] = ()


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
        chosen=box.chosen,
        override=box.override,
        draining=box.draining,
        location=box.location,
    )


def exposed(runtime: Runtime) -> str:
    """Return what to say of a process that is in no container."""
    return f"the site's runtime is an ordinary process, in no container: {runtime.exposed}"


def exposed_drains(draining: Iterable[Draining]) -> list[str]:
    """Return what to say of processes that drain sites and are in no container."""
    return [
        f"what delivers the rest of {each.site} is an ordinary process, in no container"
        for each in draining
        if each.isolated is False
    ]


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
    if box.runtime.exposed:
        found.append(Advice("not-isolated", Level.WARNING, exposed(box.runtime), box.runtime.hint))
    else:
        found += [Advice("not-isolated", Level.WARNING, words, _AGAIN) for words in exposed_drains(box.draining)]
    if box.worklist_problem is not None:
        words = f"no scanner gets a worklist: {box.worklist_problem.message}"
        found.append(Advice("worklist-port", Level.FAILURE, words, box.worklist_problem.hint))
    found += box.location_advice
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
    found += [
        Advice("drain-stuck", Level.WARNING, f"{told(each)}: {each.reason}", each.hint)
        for each in box.draining
        if each.state is DrainState.STUCK
    ]
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
