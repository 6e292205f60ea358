"""Looks which studies have arrived, and closes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.errors import CapacitordError
from capacitord.model.completeness import Completeness, Event, closed_by
from capacitord.model.states import StudyState
from capacitord.spool import closing, evidence
from capacitord.spool.admission import Admission
from capacitord.spool.catalog import Catalog, fetch
from capacitord.spool.filing import Filing, bounds

_WORDS: Final[Mapping[Event, str]] = MappingProxyType(
    {Event.COMMITMENT: "a storage commitment request", Event.MPPS: "an MPPS"}
)


class Closed(NamedTuple):
    """A study that was taken as arrived, by short id, what it came to, and by what it was closed."""

    study: str
    state: StudyState
    reason: str
    event: Event


class Closer:
    """Closes studies that are arriving, by the rules of a profile."""

    def __init__(self, catalog: Catalog, filing: Filing, admission: Admission) -> None:
        self._catalog, self._filing, self._admission = catalog, filing, admission

    def close_arrived(self, quiet: float, rules: Completeness, *, matches: bool) -> list[Closed]:
        """Close the studies that have arrived, as `Spool.close_arrived` has it."""
        found = (
            self._look_at(short, last, quiet, rules, matches=matches) for short, last in self._admission.arriving()
        )
        return [closed for closed in found if closed is not None]

    def _look_at(self, short: str, last: float, quiet: float, rules: Completeness, *, matches: bool) -> Closed | None:
        idle = time.monotonic() - last
        with self._catalog.inside() as catalog:
            study, uid, reason = fetch(catalog, "SELECT id, uid, reason FROM study WHERE short = ?", (short,))[0]
            event = closed_by(rules, idle, quiet, evidence.witnesses(catalog, uid, *bounds(study)))
        if event is not None:
            return self._close(short, last, quiet, rules, matches=matches)
        if Event.QUIET not in rules.closes:
            waits = closing.waits_for([_WORDS[event] for event in rules.closes])
            now = waits if idle >= quiet else closing.ARRIVING
            if now != reason and waits in {now, reason}:
                with self._catalog.change() as catalog:
                    closing.say(catalog, self._filing, study, now)
        return None

    def _close(self, short: str, last: float, quiet: float, rules: Completeness, *, matches: bool) -> Closed | None:
        """Look again with the catalog held, so that nothing can come between, and close the study."""
        closed = False
        try:
            with self._catalog.change() as catalog:
                rows = fetch(catalog, "SELECT id, uid, unrouted FROM study WHERE short = ?", (short,))
                study, uid, unrouted = rows[0]
                idle = time.monotonic() - last
                event = closed_by(rules, idle, quiet, evidence.witnesses(catalog, uid, *bounds(study)))
                if event is None or (unrouted and not rules.whole):
                    return None
                closed = self._admission.close(short, last)
                if not closed:
                    return None
                how = closing.Closing(event, rules.whole, time.time_ns(), matches=matches)
                return Closed(short, *closing.close(catalog, self._filing, study, how), event)
        except CapacitordError:
            if closed:
                self._admission.expect([short])
            raise
