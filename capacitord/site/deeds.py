"""What the audit log says of decisions that this box makes where a person would decide otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from capacitord.api.actions import LET_THROUGH, REMATCH
from capacitord.link.messages import DEED_BEGUN, Deed
from capacitord.model.review import State
from capacitord.site.routing import InForce
from capacitord.spool.decisions import Decided
from capacitord.spool.filing import STUDY_SHIFT
from capacitord.spool.review import Reviewed


def deeds_of(decided: Sequence[Decided], in_force: InForce, short: Callable[[int], str]) -> Mapping[int, Deed]:
    """Return what is done by these decisions to studies, by their ids; `short` gives the short id of one."""
    found: dict[int, Deed] = {}
    for each in decided:
        study = each.image >> STUDY_SHIFT
        if each.reviewed is not None and study not in found:
            action, detail, more = _deed(each.reviewed, in_force)
            if action:
                found[study] = Deed(action, (short(study), *more), detail, DEED_BEGUN)
    return found


def _deed(found: Reviewed, in_force: InForce) -> tuple[str, str, tuple[str, ...]]:
    """Return what is done, in words, and to what besides the study; empty for what needs no entry."""
    seen, record = found.seen, found.record
    version = f"profile version {in_force.profile.version}"
    if found.reopened:
        rule = f"rule {' + '.join(record.rule)}"
        words = f'held (unmatched) -> matched with entry {record.entry}, {rule}, rematch = "release", {version}'
        return REMATCH, words, (record.entry,)
    if record.state is State.LET_THROUGH and (seen is None or seen.to != record.to):
        return LET_THROUGH, f"unmatched -> let through to {', '.join(record.to)}, {version}", record.to
    return "", "", ()
