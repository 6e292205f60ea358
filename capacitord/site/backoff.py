"""How long to wait before trying a destination again: exponential, with full jitter, bounded, for ever.

Full jitter spreads many boxes that lost the same PACS over the whole span, so that its return is not met
by all of them at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The span a delay is drawn from, in seconds.

    The upper end starts at `base` and doubles with each attempt until it stays at `cap`; the lower end is
    `least`, so that a lucky draw never becomes a busy loop.
    """

    base: float = 2.0
    cap: float = 300.0
    least: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= self.base <= self.cap < float("inf"):
            msg = "a backoff needs 0 < least <= base <= cap, and a finite cap"
            raise ValueError(msg)

    def ceiling(self, attempt: int) -> float:
        """Return the longest delay after failed attempt number `attempt` (1 is the first), in seconds."""
        if attempt < 1:
            msg = "attempts are counted from 1"
            raise ValueError(msg)
        # 2.0 ** 1024 overflows, and long before that the cap holds.
        return min(self.cap, self.base * 2.0 ** min(attempt - 1, 64))


DEFAULT = Backoff()


def next_delay(attempt: int, rng: random.Random, backoff: Backoff = DEFAULT) -> float:
    """Return the seconds to wait after failed attempt number `attempt` (1 is the first).

    Evenly drawn from `backoff.least` to `backoff.ceiling(attempt)`. Attempts have no last number.
    """
    return rng.uniform(backoff.least, backoff.ceiling(attempt))
