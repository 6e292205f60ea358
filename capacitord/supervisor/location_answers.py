"""What is told of the evidence: all of it at once, one line of it, and what a person should know."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from capacitord.api import location as api
from capacitord.api import messages as m
from capacitord.api.geofence import Position
from capacitord.location.clues import label
from capacitord.location.evidence import Observation
from capacitord.model.fence import Where
from capacitord.model.location import Clue, Kind, Says, Wanted
from capacitord.model.presence import Phase
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.whereabouts import Whereabouts

_SEE: Final = "See all evidence: fluxctl site location"
_WRONG: Final = "See which of it is wrong: fluxctl site location"
_TORN: Final = f"{_WRONG}. Or say where it is: fluxctl site activate SITE"
_ADDRESSES: Final = "addresses"
_PROBES: Final = frozenset({Kind.ECHO, Kind.ENDPOINT})


def report(schema: str, whereabouts: Whereabouts) -> api.Location:
    """Return all evidence, and what was decided by it."""
    decision, now = whereabouts.decision, whereabouts.now()
    observed = whereabouts.position
    position = None
    if observed.value is not None:
        found = observed.value
        position = api.PositionNow(found.latitude, found.longitude, found.accuracy, observed.age(now) or 0.0)
    return api.Location(
        schema=schema,
        follows=whereabouts.follows,
        manual=whereabouts.manual,
        site=decision.site,
        conflict=decision.conflict,
        reasons=decision.reasons,
        kept=decision.kept,
        position=position,
        evidence=tuple(_evidence(whereabouts, now)),
        sites=tuple(
            api.SiteNow(
                view.site,
                whereabouts.names.get(view.site, ""),
                view.phase,
                view.network,
                view.where,
                view.distance,
                view.explanation,
                tuple(
                    api.ClueNow(each.wanted.kind.value, each.wanted.value, each.says, each.reason)
                    for each in whereabouts.evidence.clues.get(view.site, ())
                ),
            )
            for view in decision.sites
        ),
    )


def _evidence(whereabouts: Whereabouts, now: float) -> Iterator[api.EvidenceNow]:
    standings = (whereabouts.evidence.standings or {}).items()
    inside = tuple(site for site, standing in standings if standing.where is Where.INSIDE)
    gps = "" if whereabouts.gpsd is None else f"gpsd {whereabouts.gpsd.where}"
    yield _row(whereabouts.position, now, kind="position", label="position", asked=gps, speaks_for=inside)
    for kind, plug in whereabouts.local.items():
        clues = [(site, each) for site, each in _clues(whereabouts) if each.wanted.kind is kind]
        yield _row(
            plug.latest,
            now,
            kind=kind.value,
            label=_ADDRESSES if kind is Kind.SUBNET else label(kind),
            speaks_for=_sites(clues, Says.FOR),
        )
    probed: dict[Wanted, list[tuple[str, Clue]]] = {}
    for site, each in _clues(whereabouts):
        if each.wanted.kind in _PROBES:
            probed.setdefault(each.wanted, []).append((site, each))
    for wanted, clues in sorted(probed.items(), key=lambda item: (item[0].kind, item[0].value)):
        yield _row(
            whereabouts.probes.latest(wanted),
            now,
            kind=wanted.kind.value,
            label=label(wanted.kind),
            asked=wanted.value,
            speaks_for=_sites(clues, Says.FOR),
            against=_sites(clues, Says.AGAINST),
        )


def _clues(whereabouts: Whereabouts) -> Iterator[tuple[str, Clue]]:
    for site, clues in whereabouts.evidence.clues.items():
        yield from ((site, each) for each in clues)


def _sites(clues: list[tuple[str, Clue]], says: Says) -> tuple[str, ...]:
    return tuple(dict.fromkeys(site for site, each in clues if each.says is says))


def _row(observed: Observation[object], now: float, **more: Any) -> api.EvidenceNow:
    """Return a piece of evidence; `more` are the fields that say which one it is, and for whom it speaks."""
    seen: dict[str, Any] = {
        "value": observed.words,
        "age": observed.age(now),
        "problem": observed.problem,
        "hint": observed.hint,
    }
    return api.EvidenceNow(**seen, **more)


def position(whereabouts: Whereabouts) -> Position | None:
    """Return the position that counts now, for drawing it; None without one."""
    observed = whereabouts.position
    if observed.value is None:
        return None
    found, age = observed.value, observed.age(whereabouts.now()) or 0.0
    return Position(found.latitude, found.longitude, found.accuracy, datetime.now(UTC) - timedelta(seconds=age))


def line(whereabouts: Whereabouts) -> m.LocationLine:
    """Return the decision in one line."""
    decision = whereabouts.decision
    return m.LocationLine(whereabouts.follows, decision.site, decision.conflict, decision.reasons[0])


def of_conflict(choice: Choice, *, is_open: bool) -> m.Advice:
    """Return what to say of evidence that contradicts itself, while this is what was chosen, and open or not."""
    words, hint = "the evidence of where the box is contradicts itself", _TORN
    if choice.chosen is not None and choice.chosen.by_person:
        serves = f"{choice.site} is served" if choice.site else "the box is parked"
        words += f"; {serves} all the same, as {choice.chosen.by} says"
        hint = f"{_WRONG}. To go by it again when it is mended: fluxctl site follow"
    elif is_open:
        words += f": no other site is opened by it, and {choice.site} stays open, as it may still be there"
        hint = f"{_WRONG}. If the box has left {choice.site}: fluxctl site deactivate"
    else:
        words += ", so no site is opened by it"
    return m.Advice("location-conflict", m.Level.FAILURE, words, hint)


def advice(whereabouts: Whereabouts, choice: Choice, *, is_open: bool) -> Iterator[m.Advice]:
    """Yield what a person should know of the evidence, and can do something about; `choice` is what is served."""
    if not whereabouts.follows:
        return
    decision = whereabouts.decision
    if decision.conflict:
        yield of_conflict(choice, is_open=is_open)
    # Private addresses are those of other places, too: elsewhere another certificate is what is to be expected.
    near = {view.site for view in decision.sites if view.phase is not Phase.AWAY or view.where is Where.INSIDE}
    for site, each in _clues(whereabouts):
        if each.says is Says.AGAINST and site in near:
            words = f"what answers for {site} is not what its profile names: {each.reason}"
            hint = f"Ask the site whether its certificate was renewed; do not scan for {site} before that is known."
            yield m.Advice("location-certificate", m.Level.FAILURE, words, hint)
    observed = whereabouts.position
    fenced = any(rule.fence for rule in whereabouts.rules)
    if whereabouts.gpsd is None and fenced:
        words = "profiles have geofences, and this box has no GPS"
        yield m.Advice("no-gps", m.Level.WARNING, words, observed.hint)
    elif whereabouts.gpsd is not None and observed.value is None:
        reference = "gps-poor" if whereabouts.gpsd.connected else "gpsd-unreachable"
        words = f"there is no position: {observed.problem}"
        yield m.Advice(reference, m.Level.WARNING, words, observed.hint or _SEE)
