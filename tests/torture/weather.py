"""Bad weather on the link to the PACS: it is cut, stalled, refused and throttled, and flips bits, at random."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.proxy import Ending, Proxy, Way

_LONGEST_FAULT = 1.0
_FLIPPED = "bit flipped on the link"


@dataclass
class Flip:
    """One flipped bit: some time between `after` and `before`, on its way to the PACS (up) or from it (down)."""

    way: Way
    after: float
    before: float

    def struck(self, way: Way, begun: float, ended: float) -> bool:
        """Say whether it may have struck what went that way between two moments."""
        return self.way is way and self.after <= ended and self.before >= begun


class Weather(threading.Thread):
    """Makes the link bad, again and again, until told to clear up. `flips` and `counts` say what it did."""

    def __init__(self, link: Proxy, *, seed: int, calm: float = 1.0, corrupt: bool = True) -> None:
        """`calm` bounds the seconds between two faults; without `corrupt` every byte that arrives is right."""
        super().__init__(name="weather", daemon=True)
        self.flips: list[Flip] = []
        self.counts: Counter[str] = Counter()
        self._link, self._calm = link, calm
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._faults: dict[str, Callable[[], None]] = {
            "link cut": self._cut,
            "link cut in the middle": self._cut_in_the_middle,
            "link stalled": self._stall,
            "link refused": self._refuse,
            "link throttled": self._throttle,
        }
        if corrupt:
            self._faults[_FLIPPED] = self._flip

    def run(self) -> None:
        """Be bad until `clear_up`."""
        while not self._stopping.wait(self._random.uniform(0.05, self._calm)):
            name = self._random.choice(list(self._faults))
            self._faults[name]()
            # A flip that finds no byte is none.
            self.counts[name] += name != _FLIPPED
        self.counts[_FLIPPED] = len(self.flips)

    def clear_up(self) -> None:
        """End, and leave a good link behind."""
        self._stopping.set()
        self.join(20)
        assert not self.is_alive(), "the weather thread hangs"
        self._link.clear()

    def _cut(self) -> None:
        self._link.cut(self._random.choice(list(Ending)))

    def _cut_in_the_middle(self) -> None:
        way = self._random.choice(list(Way))
        # An answer takes some 150 bytes, an image at least 20 KiB.
        count = self._random.randint(1, 600) if way is Way.DOWN else self._random.randint(1, 400_000)
        self._link.cut_after(count, way, self._random.choice(list(Ending)))

    def _stall(self) -> None:
        self._link.stall()
        self._bear()

    def _refuse(self) -> None:
        self._link.refuse()
        self._link.cut()
        self._bear()

    def _throttle(self) -> None:
        self._link.throttle(self._random.choice((20_000.0, 200_000.0, 2_000_000.0)))
        self._bear()

    def _flip(self) -> None:
        way = self._random.choice(list(Way))
        before, after = self._link.counters.corrupted, time.monotonic()
        reach = 2_000 if way is Way.DOWN else 200_000
        self._link.corrupt(self._random.randrange(reach), way, self._random.randrange(8))
        self._bear()
        # Read after the link was cleared: what has not struck by now never will.
        if self._link.counters.corrupted > before:
            self.flips.append(Flip(way, after, time.monotonic()))

    def _bear(self) -> None:
        """Let the fault last a while; then clear it, together with what is armed and has not struck."""
        self._stopping.wait(self._random.uniform(0.05, _LONGEST_FAULT))
        self._link.clear()
