"""Whether a site that the box has left goes on delivering: decided here, over facts.

Such a site takes nothing in. What can still leave does; what a person has to decide on, what a destination refused and
what an operator paused stays where it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from msgspec.structs import replace

from capacitord.api.messages import Draining, DrainState, RuntimeState, SiteStatus
from capacitord.errors import Problem
from capacitord.model.delivery import Inactive

OTHERS_FIRST: Final = "other sites drain first"
SKEW: Final = timedelta(minutes=5)
"""By how much a clock may be set back before nobody knows any more how long something took by it."""
_STUCK: Final = "Check that its destinations can be reached from here. To see more, serve it: fluxctl site activate {}"


class Facts(NamedTuple):
    """What is known of a site that is not active.

    `began` is since when it drains, None if the record of that can't be read; `ran` is for how many seconds that is
    known by a clock which nobody sets, so it is that of this life at most. `spent` says that nothing of it can leave
    as its profile is. `turn` is whether there is room for one more runtime.
    """

    when_inactive: Inactive
    began: datetime | None
    now: datetime
    spent: bool = False
    key_problem: Problem | None = None
    stopping: bool = False
    turn: bool = True
    ran: float = 0.0


class Verdict(NamedTuple):
    """Whether a runtime of the site delivers now. One that only `waits` is told of, and tried again."""

    drains: bool
    reason: str = ""
    hint: str = ""
    waits: bool = False


class Left(NamedTuple):
    """What can still leave: images, their bytes, and the seconds that takes at the measured rate, None if unknown.

    `hindrance` is why something does not leave at the moment, empty if nothing is in the way. Of `undecided` ones it is
    not decided yet where they go.
    """

    images: int
    bytes: int
    eta: float | None
    hindrance: str = ""
    undecided: int = 0


class Runner(NamedTuple):
    """The runtime that delivers, `still` seconds after the last image left, or after it began.

    `isolated` is whether its process is in a container, None while there is none.
    """

    state: RuntimeState
    problem: Problem | None
    left: Left | None
    still: float
    isolated: bool | None = None


def until(when_inactive: Inactive, began: datetime | None) -> datetime | None:
    """Return when a site drains no longer, None if it does until nothing is left."""
    if when_inactive.seconds is None or began is None:
        return None
    return began + timedelta(seconds=when_inactive.seconds)


def verdict(facts: Facts) -> Verdict:
    """Return whether a site drains now, or why not."""
    if not facts.when_inactive.drains:
        return Verdict(drains=False, reason="its profile says stop")
    limit, end = facts.when_inactive.seconds, until(facts.when_inactive, facts.began)
    if limit is not None and (facts.began is None or facts.began > facts.now + SKEW):
        return Verdict(drains=False, reason="nobody knows how long it has drained")
    if (end is not None and facts.now >= end) or (limit is not None and facts.ran >= limit):
        return Verdict(drains=False, reason="its time is over")
    if facts.spent:
        return Verdict(drains=False, reason="nothing is left that can leave")
    if facts.stopping:
        return Verdict(drains=False, reason="capacitord is stopping")
    if facts.key_problem is not None:
        return Verdict(drains=False, reason=facts.key_problem.message, hint=facts.key_problem.hint, waits=True)
    if not facts.turn:
        return Verdict(drains=False, reason=OTHERS_FIRST, waits=True)
    return Verdict(drains=True)


def left(now: SiteStatus, barred: Collection[str]) -> Left | None:
    """Return what of a spool can still leave, None if its status is not of now. To `barred` destinations nothing can.

    An image of which it is not decided yet where it goes counts, and so does one that waits for several destinations,
    once.
    """
    if now.as_of is not None:
        return None
    ways = [each for each in now.destinations if each.waiting_images and not each.paused and each.name not in barred]
    waiting = sum(each.waiting_images for each in ways)
    undecided = now.spool.unrouted_images
    images = min(waiting, max(now.spool.undelivered_images, *(each.waiting_images for each in ways))) if ways else 0
    times = [each.eta for each in ways]
    known = [seconds for seconds in times if seconds is not None]
    eta = max(known, default=0.0) if len(known) == len(times) and not undecided else None
    hindrance = next((f"{each.name}: {each.reason}" for each in ways if each.reason), "")
    if not hindrance and undecided and not ways:
        hindrance = "it is not decided yet where they go"
    return Left(images + undecided, sum(each.waiting_bytes for each in ways), eta, hindrance, undecided)


def over(runner: Runner, patience: float) -> bool:
    """Tell whether nothing is left that can leave.

    So it is where all that is left waits for a decision that does not come for `patience` seconds: say, for a word of a
    scanner that the study is complete, which scanners say at the site only.
    """
    if runner.left is None:
        return False
    return runner.left.images == (runner.left.undecided if runner.still >= patience else 0)


def giving_way(stuck: Mapping[str, float], waiting: int, patience: float) -> tuple[str, ...]:
    """Return which sites give way to as many that wait: those of which nothing left for longest, in seconds."""
    longest = sorted((site for site, still in stuck.items() if still >= patience), key=lambda site: -stuck[site])
    return tuple(longest[:waiting])


def shown(site: str, facts: Facts, verdict_: Verdict, runner: Runner | None, *, patience: float) -> Draining | None:
    """Return a site as people see it, None if it neither drains nor waits to. Stuck is who stands for `patience` s."""
    if not verdict_.drains and not verdict_.waits:
        return None
    found = Draining(site, DrainState.WAITING, facts.began or facts.now, until(facts.when_inactive, facts.began))
    if not verdict_.drains or runner is None:
        return replace(found, reason=verdict_.reason, hint=verdict_.hint)
    found = replace(found, isolated=runner.isolated)
    if runner.left is not None:
        found = replace(found, images=runner.left.images, bytes=runner.left.bytes, eta=runner.left.eta)
    if runner.problem is not None and runner.state is not RuntimeState.RUNNING:
        return replace(found, state=DrainState.STUCK, reason=runner.problem.message, hint=runner.problem.hint)
    if runner.still >= patience and runner.left is not None and runner.left.images:
        reason = runner.left.hindrance or "nothing has left for a while"
        return replace(found, state=DrainState.STUCK, reason=reason, hint=_STUCK.format(site))
    hindrance = "" if runner.left is None else runner.left.hindrance
    return replace(found, state=DrainState.DRAINING, reason=hindrance)
