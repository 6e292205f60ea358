"""How far back something counts as lately, by records that have the time of a clock which may be set."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds() -> float:
    """Return the time of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lately:
    """The wall clock as it was set when this began, or as it is set now: whichever is earlier.

    So what was just named stays so when the clock is set ahead, as it is where it was wrong since the start. `wall`
    tells seconds since the epoch, `clock` those of a monotonic clock.
    """

    def __init__(self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = seconds) -> None:
        self._wall, self._clock = wall, clock
        self._ahead = wall() - clock()

    def since(self, lately: float) -> int:
        """Return the moment so many seconds ago, in nanoseconds since the epoch."""
        now = min(self._wall(), self._clock() + self._ahead)
        return int((now - lately) * 1e9)
