"""Who says which site is served: the evidence of where the box is, or a person. The rule is in `model/following.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from capacitord.config.profile import Profile
from capacitord.config.tables.whereabouts import WhereaboutsTable
from capacitord.model.location import Decision
from capacitord.model.presence import Phase
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.whereabouts import rules_of, why_manual


class Whereabouts(Protocol):
    """What tells where the box is."""

    @property
    def follows(self) -> bool:
        """Whether there is evidence to follow: by the configuration, the profiles and what the box has."""
        ...

    @property
    def decision(self) -> Decision:
        """Where the box was at the last look."""
        ...

    def look(self) -> Decision:
        """Return where the box is now."""
        ...

    def begin(self, site: str) -> None:
        """Take the box to be at a site until the evidence says otherwise."""
        ...


def follows(whereabouts: Whereabouts | None) -> bool:
    """Tell whether the box follows the evidence of where it is, unless a person said otherwise."""
    return whereabouts is not None and whereabouts.follows


def would_follow(whereabouts: Whereabouts | None, table: WhereaboutsTable, profiles: Sequence[Profile]) -> bool:
    """Tell whether the box follows the evidence once it has these profiles, too."""
    rules = [rules_of(profile) for profile in profiles if profile.location is not None]
    return follows(whereabouts) or (whereabouts is not None and not why_manual(table, rules))


def is_override(whereabouts: Whereabouts | None, choice: Choice) -> bool:
    """Tell whether a person's word stands against the evidence."""
    return follows(whereabouts) and choice.chosen is not None and choice.chosen.by_person


def nowhere(whereabouts: Whereabouts | None, choice: Choice) -> str:
    """Return why the evidence names no site to serve, empty if there is one or nobody goes by it."""
    if choice.site or whereabouts is None or not whereabouts.follows or is_override(whereabouts, choice):
        return ""
    decision = whereabouts.decision
    if decision.conflict:
        return f"the evidence of where this box is disagrees; {decision.reasons[0]}"
    return "; ".join(("this box is at no site it knows", *decision.reasons))


def is_torn(whereabouts: Whereabouts | None) -> bool:
    """Tell whether the evidence contradicts itself."""
    return whereabouts is not None and whereabouts.follows and whereabouts.decision.conflict


def against(whereabouts: Whereabouts | None, choice: Choice) -> str:
    """Return how the evidence stands against a site that is open all the same; empty if it does not.

    The words are the same as long as the decision is: no distance is in them.
    """
    if whereabouts is None or not whereabouts.follows:
        return ""
    decision, chosen = whereabouts.decision, choice.chosen
    if chosen is not None and chosen.by_person:
        means = "contradicts itself" if decision.conflict else f"means {decision.site or 'no site'}"
        agrees = decision.site == choice.site and not decision.conflict
        return "" if agrees else f"{chosen.by} says so, though the evidence of where the box is {means}"
    if decision.conflict:
        return "the evidence of where the box is contradicts itself, and does not say that the box has left it"
    if any(view.site == choice.site and view.phase is Phase.LEAVING for view in decision.sites):
        return "the evidence says that the box is leaving it, and closes it if that goes on"
    return ""


def going(choice: Choice) -> str:
    """Return what a box does that goes over to a choice, and by whom; what a person said stays out of it."""
    does = f"the box goes over to {choice.site}" if choice.site else "the box is being parked"
    chosen = choice.chosen
    if chosen is None:
        return does
    return f"{does}, as {chosen.by} says" if chosen.by_person else f"{does}; {chosen.reason}"


def unsure(whereabouts: Whereabouts | None, choice: Choice, site: str, *, is_open: bool) -> str:
    """Return why by the evidence `site` must not be opened now; empty if it is open, or by a person's word."""
    chosen = choice.chosen
    if whereabouts is None or is_open or (chosen is not None and chosen.by_person):
        return ""
    decision = whereabouts.decision
    if decision.doubt or not whereabouts.follows or decision.site == site:
        return decision.doubt
    return "; ".join(decision.reasons)
