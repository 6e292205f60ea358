"""Whether the coach is at a site, from where it was over time: dwell and hysteresis.

A pure machine with one table. Evidence that is sure moves it, and only after it has held for some time; evidence that
may be either way moves nothing, and wears off what was counted; no evidence ends no presence.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord.model.fence import Where

LEAVE_AFTER: Final = 300.0
"""Seconds surely outside that end a presence, if the box's configuration does not say otherwise."""
LONGEST_GAP: Final = 90.0
"""Seconds between two looks that agree: where the coach was in a longer gap nobody knows. Longer than any `poll`."""


class Phase(enum.StrEnum):
    """What is known of the coach and one site.

    `ARRIVING`: surely inside, for less than the dwell. `LEAVING`: was here, and is surely outside for less than it
    takes to count as gone.
    """

    AWAY = "away"
    ARRIVING = "arriving"
    HERE = "here"
    LEAVING = "leaving"


_P, _W = Phase, Where

NEXT: Final[Mapping[tuple[Phase, Where | None], Phase]] = MappingProxyType(
    {
        (_P.AWAY, _W.INSIDE): _P.ARRIVING,
        (_P.AWAY, _W.MAYBE): _P.AWAY,
        (_P.AWAY, _W.OUTSIDE): _P.AWAY,
        (_P.AWAY, None): _P.AWAY,
        (_P.ARRIVING, _W.INSIDE): _P.ARRIVING,
        (_P.ARRIVING, _W.MAYBE): _P.ARRIVING,
        (_P.ARRIVING, _W.OUTSIDE): _P.AWAY,
        (_P.ARRIVING, None): _P.AWAY,
        (_P.HERE, _W.INSIDE): _P.HERE,
        (_P.HERE, _W.MAYBE): _P.HERE,
        (_P.HERE, _W.OUTSIDE): _P.LEAVING,
        (_P.HERE, None): _P.HERE,
        (_P.LEAVING, _W.INSIDE): _P.HERE,
        (_P.LEAVING, _W.MAYBE): _P.LEAVING,
        (_P.LEAVING, _W.OUTSIDE): _P.LEAVING,
        (_P.LEAVING, None): _P.LEAVING,
    }
)
"""The phase after a look, before its time is counted."""
DUE: Final[Mapping[Phase, tuple[Where, Phase]]] = MappingProxyType(
    {_P.ARRIVING: (_W.INSIDE, _P.HERE), _P.LEAVING: (_W.OUTSIDE, _P.AWAY)}
)
"""Which evidence counts time in a phase, and which phase follows when enough is counted."""


class Presence(msgspec.Struct, frozen=True):
    """The coach and one site, by the times of one monotonic clock in seconds.

    `since` is when the phase began; of the time since then, `counted` seconds were surely inside (`ARRIVING`) or surely
    outside (`LEAVING`), less those in doubt. `last` is when the last look was, `sure` that the last one which had
    evidence was not in doubt.
    """

    phase: Phase = Phase.AWAY
    since: float = 0.0
    counted: float = 0.0
    last: float = 0.0
    sure: bool = False

    @property
    def here(self) -> bool:
        """Whether the coach counts as being at the site; it does until it has surely left."""
        return self.phase in {Phase.HERE, Phase.LEAVING}


def step(before: Presence, where: Where | None, now: float, *, dwell: float, leave_after: float) -> Presence:
    """Return the presence after a look at `now` (seconds of a monotonic clock) that found the coach at `where`.

    The coach is here when it was surely inside for `dwell` seconds, and away again when it was surely outside for
    `leave_after`. What counts is the time between a look and the next one if both say the same; time in doubt is taken
    off again, so that somebody beside the fence comes to nothing either way: a leave of which nothing is left is none.
    None is no evidence: it ends a dwell that is not over and no presence, and the time until it counts for nothing. But
    it takes nothing away: who is surely outside now and then, and nothing else ever, is away in the end. A gap longer
    than `LONGEST_GAP` counts for nothing, and a dwell begins anew after it. A clock that stands or goes back counts
    nothing.
    """
    phase = NEXT[before.phase, where]
    if phase not in DUE:
        return before if phase is before.phase else Presence(phase, now)
    if where is None:
        return msgspec.structs.replace(before, last=now)
    counts, then = DUE[phase]
    if phase is not before.phase or (phase is Phase.ARRIVING and now - before.last > LONGEST_GAP):
        after = Presence(phase, now, last=now, sure=where is counts)
    else:
        passed = now - before.last
        passed = passed if 0.0 <= passed <= LONGEST_GAP else 0.0
        more = -passed if where is not counts else passed if before.sure else 0.0
        after = Presence(phase, before.since, max(before.counted + more, 0.0), now, sure=where is counts)
    if phase is Phase.LEAVING and where is not counts and not after.counted:
        return Presence(Phase.HERE, now)
    enough = dwell if phase is Phase.ARRIVING else leave_after
    return Presence(then, now) if where is counts and after.counted >= enough else after
