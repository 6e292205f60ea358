"""Whether the coach is at a site, from where it was over time: dwell and hysteresis.

A pure machine with one table. Evidence that is sure moves it, and only after it has held for some time; evidence that
may be either way moves nothing; no evidence ends no presence.
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
LONGEST_GAP: Final = 60.0
"""Seconds between two looks that agree: where the coach was in a longer gap nobody knows."""


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
    outside (`LEAVING`). `last` is when a look last counted, and `unbroken` that no doubtful one came after it.
    """

    phase: Phase = Phase.AWAY
    since: float = 0.0
    counted: float = 0.0
    last: float = 0.0
    unbroken: bool = False

    @property
    def here(self) -> bool:
        """Whether the coach counts as being at the site; it does until it has surely left."""
        return self.phase in {Phase.HERE, Phase.LEAVING}


def step(before: Presence, where: Where | None, now: float, *, dwell: float, leave_after: float) -> Presence:
    """Return the presence after a look at `now` (seconds of a monotonic clock) that found the coach at `where`.

    The coach is here when it was surely inside for `dwell` seconds, and away again when it was surely outside for
    `leave_after`. What counts is the time between two looks that agree, with no doubtful one between them. A dwell
    begins anew when it was not surely inside for more than `LONGEST_GAP`; between two looks outside, that much counts.
    None is no evidence: it ends a dwell that is not over, and no presence. A clock that stands or goes back counts
    nothing.
    """
    phase = NEXT[before.phase, where]
    if phase not in DUE:
        return before if phase is before.phase else Presence(phase, now)
    counts, then = DUE[phase]
    if where is None:
        return before
    if where is not counts:
        return msgspec.structs.replace(before, unbroken=False)
    gap = now - before.last
    if phase is not before.phase or (phase is Phase.ARRIVING and gap > LONGEST_GAP):
        after = Presence(phase, now, last=now, unbroken=True)
    else:
        passed = min(max(gap, 0.0), LONGEST_GAP) if before.unbroken else 0.0
        after = Presence(phase, before.since, before.counted + passed, now, unbroken=True)
    enough = dwell if phase is Phase.ARRIVING else leave_after
    return Presence(then, now) if after.counted >= enough else after
