"""What the audit log says of decisions: those of people, and those that this box makes instead of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from capacitord.api.actions import LET_THROUGH, REMATCH
from capacitord.model.review import State
from capacitord.site.routing import InForce
from capacitord.spool.outbox import Deed
from capacitord.spool.releasing import Person
from capacitord.spool.review import Reviewed


class Asked(NamedTuple):
    """Who asked for something, what it is called, and the id by which the audit log has it begun, if it has."""

    by: Person
    action: str
    id: str = ""

    def did(self, subjects: tuple[str, ...], detail: str) -> Deed:
        """Return what is told of it when it is done."""
        return Deed(self.action, subjects, detail, self.id)


def deed_of(found: Reviewed, in_force: InForce, short: Callable[[], str], *, later: bool = False) -> Deed | None:
    """Return what is done by keeping what was found for a study, None if that needs no entry.

    `short` gives the study's short id; `later` as in `model.review.Opinion`.
    """
    seen, record = found.seen, found.record
    version = f"profile version {in_force.profile.version}"
    if found.reopened:
        rule = f"rule {' + '.join(record.rule)}"
        why = 'rematch = "release"' if later else "by an image that says more"
        words = f"held (unmatched) -> matched with entry {record.entry}, {rule}, {why}, {version}"
        return Deed(REMATCH, (short(), record.entry), words)
    if record.state is State.LET_THROUGH and (seen is None or seen.to != record.to):
        words = f"unmatched -> let through, to be sent to {', '.join(record.to)}, {version}"
        return Deed(LET_THROUGH, (short(), *record.to), words)
    return None
