"""Where the box is: the owner of all evidence, which decides every few seconds what site it means.

It tells of a decision that changes; what is to become of it is somebody else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from capacitord.config.profile import Profile
from capacitord.config.tables.evidence import EvidenceTable
from capacitord.config.tables.whereabouts import WhereaboutsTable
from capacitord.location import network
from capacitord.location.clues import Seen, clue
from capacitord.location.evidence import Observation, Plug, Polled, seconds
from capacitord.location.gpsd import Gpsd
from capacitord.location.positions import Position
from capacitord.location.probes import Echo, Probes, cannot_echo
from capacitord.model.hearing import LONGEST_WAIT, heard_out
from capacitord.model.locating import decide
from capacitord.model.location import NOWHERE, Decision, Evidence, Kind, Memory, SiteRules, Wanted, at
from capacitord.supervisor.broker import resolve

if TYPE_CHECKING:
    from capacitord.location.fences import Fences

_log = logging.getLogger(__name__)
_NO_GPS: Final[Observation[Position]] = Observation(
    problem="this box has no GPS", hint="Name its gpsd in capacitord.toml: [location] gpsd"
)
_SLOWEST_PROBE: Final = 10.0
_NOT_YET: Final = "the evidence was not looked at yet"
UNDECIDED: Final = Decision(None, reasons=(_NOT_YET,), doubt=_NOT_YET)


class Whereabouts:
    """The evidence of one box. `changed` is called with each decision that comes to something else than the last."""

    def __init__(
        self,
        table: WhereaboutsTable,
        *,
        changed: Callable[[Decision], None] = lambda _: None,
        echo: Echo = cannot_echo,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self.table = table
        self.changed = changed
        self.decision = UNDECIDED
        self.names: Mapping[str, str] = {}
        """The sites that say how they are known, with what people call them."""
        self.evidence = Evidence()
        """All that was known when it was decided last."""
        self.gpsd: Gpsd | None = None
        if table.gpsd is not None:
            host, port = table.gpsd
            limits = {"max_age": table.max_age, "max_error": table.max_error}
            self.gpsd = Gpsd(resolve, host, port, device=table.device, clock=clock, **limits)
        self.local: Mapping[Kind, Polled[tuple[str, ...]]] = network.plugs(table.poll)
        self.probes = Probes(resolve, echo, every=max(table.poll, _SLOWEST_PROBE) if table.poll > 1 else table.poll)
        self.rules: tuple[SiteRules, ...] = ()
        self.now = clock
        self._areas: Fences | None = None
        self._memory: Memory = NOWHERE
        self._told = False
        self._unheard: float | None = clock()
        """Since when sources are waited for that have said nothing yet; None if all of them have, or it is too long."""

    @property
    def manual(self) -> str:
        """Why sites are chosen by a person on this box; empty if it follows the evidence."""
        return why_manual(self.table, self.rules)

    @property
    def follows(self) -> bool:
        """Whether sites are chosen by evidence on this box."""
        return not self.manual

    @property
    def position(self) -> Observation[Position]:
        """What the GPS says now."""
        return _NO_GPS if self.gpsd is None else self.gpsd.latest

    @property
    def seen(self) -> Seen:
        """What is seen of the network now."""
        wanted = {each for rule in self.rules for each in rule.wanted}
        local = {kind: plug.latest for kind, plug in self.local.items()}
        return Seen(local, {each: self.probes.latest(each) for each in wanted})

    async def take(self, profiles: Mapping[str, Profile]) -> None:
        """Know the sites by these profiles from now on. Of a site that stays, what was found out about it stays."""
        rules = [rules_of(profile) for profile in profiles.values() if profile.location is not None]
        areas = {
            site: profile.location.geofence
            for site, profile in profiles.items()
            if profile.location is not None and profile.location.geofence is not None
        }
        self._areas = await asyncio.to_thread(_fences, areas)
        self.rules, self._told = tuple(rules), True
        self.names = {rule.site: profiles[rule.site].name for rule in rules}
        if self.follows:
            self.probes.take(each for rule in rules if rule.by_network for each in rule.wanted)
        else:
            self.probes.take(())
        self.look()

    def begin(self, site: str) -> None:
        """Take the box to be at a site until the evidence says otherwise: that at which it was before a restart."""
        self._unheard = self.now()
        self._memory = at(site, self._unheard) if site else NOWHERE
        self.decision = Decision(site or None, reasons=UNDECIDED.reasons, doubt=UNDECIDED.doubt)

    async def watch(self) -> None:
        """Look at everything, and decide again and again, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                plugs: list[Plug[Any]] = [*self.local.values(), *([self.gpsd] if self.gpsd else [])]
                for plug in plugs:
                    tasks.create_task(plug.watch())
                while True:
                    self.look()
                    await asyncio.sleep(self.table.poll)
        finally:
            await self.probes.stop()

    def look(self) -> Decision:
        """Decide by what is known now. As long as nobody told of the sites (`take`), all stays as it is."""
        if not self._told:
            return self.decision
        before, now = self.decision, self.now()
        self.evidence = self._evidence()
        if self.manual:
            self.decision = Decision(None, reasons=(self.manual,))
            return self.decision
        found, self._memory = decide(self.rules, self.evidence, self._memory, now, self.table.leave_after)
        self.decision = heard_out(found, self._silent(now))
        if self.decision.outcome != before.outcome:
            self.changed(self.decision)
        return self.decision

    def _silent(self, now: float) -> list[str]:
        """Return which sources have said nothing yet since the start, in words; none after a while."""
        if self._unheard is None:
            return []
        kinds = {each.kind for rule in self.rules if rule.by_network for each in rule.wanted}
        asked = self.probes.are_asked and all(plug.is_asked for kind, plug in self.local.items() if kind in kinds)
        silent = [] if asked else ["the network"]
        if self.gpsd is not None and self._areas is not None and self.position.value is None:
            silent.append("the GPS")
        if not silent or now - self._unheard >= LONGEST_WAIT:
            self._unheard = None
            return []
        return silent

    def _evidence(self) -> Evidence:
        observed, seen = self.position, self.seen
        clues = {rule.site: tuple(clue(wanted, seen) for wanted in rule.wanted) for rule in self.rules}
        found = observed.value
        if found is None:
            return Evidence(None, observed.problem, clues)
        areas = self._areas
        standings = {} if areas is None else areas.at(found.latitude, found.longitude, found.accuracy)
        return Evidence(standings, "", clues)


def why_manual(table: WhereaboutsTable, rules: Sequence[SiteRules]) -> str:
    """Return why a person chooses the site, on a box with this table and such profiles; empty if evidence does."""
    if not table.follow:
        return "[location] follow is false in capacitord.toml"
    if not rules:
        return "no profile says how its site is known: none has [location]"
    if table.gpsd is None and not any(rule.by_network for rule in rules):
        return "there is no source of evidence: no gpsd in capacitord.toml, and no network evidence in the profiles"
    return ""


def rules_of(profile: Profile) -> SiteRules:
    """Return how a site is known by its profile, which has `[location]`."""
    table = profile.location
    if table is None:
        raise ValueError(profile.id)
    wanted = tuple(wanted_of(each) for each in table.evidence)
    return SiteRules(profile.id, table.geofence is not None, table.dwell, table.network, wanted)


def wanted_of(table: EvidenceTable) -> Wanted:
    """Return a piece of evidence as a profile asks for it."""
    if table.echo is not None:
        node = table.echo
        words = f"{node.ae_title} at {_place(node.host, node.port)}"
        return Wanted(Kind.ECHO, words, node.host, node.port, node.ae_title)
    if table.endpoint is not None:
        place, pin = table.endpoint, table.endpoint.certificate_sha256 or ""
        return Wanted(Kind.ENDPOINT, _place(place.host, place.port), place.host, place.port, certificate_sha256=pin)
    simple = ((kind, getattr(table, kind.value)) for kind in Kind)
    return next(Wanted(kind, value) for kind, value in simple if value is not None)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fences(areas: Mapping[str, Mapping[str, Any]]) -> Fences | None:
    """Return the areas, None if there are none; one that is no area is left out, so that its site is never decided."""
    if not areas:
        return None
    from capacitord.location.fences import Fences  # noqa: PLC0415 - shapely takes 0.2 s, and many boxes need none

    found, problems = Fences.usable(areas)
    for site, problem in problems.items():
        _log.error("the geofence of %s is left out: %s", site, problem)
    return found
