"""What is told of something that may change back and forth for ever: every change, but of too many one now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Sparing(Generic[T]):
    """Changes on their way to be told: `most` in a row at once, and one more for each time of `every` seconds."""

    def __init__(self, *, most: int = 20, every: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._every = every
        self._clock = clock
        self._left = float(most)
        self._counted = clock()
        self._untold: list[T] = []
        self._passed = 0

    def add(self, change: T) -> None:
        """Take a change; one before it that was not told is passed over."""
        self._passed += len(self._untold)
        self._untold = [change]

    def take(self) -> tuple[T, int] | None:
        """Return the last change and how many before it were passed over; None if nothing may be told now."""
        self._count()
        if not self._untold or self._left < 1:
            return None
        self._left -= 1
        told, passed = self._untold.pop(), self._passed
        self._passed = 0
        return told, passed

    @property
    def wait(self) -> float | None:
        """In how many seconds something may be told; None if there is nothing to be told."""
        self._count()
        return max(0.0, 1 - self._left) * self._every if self._untold else None

    def _count(self) -> None:
        now = self._clock()
        self._left = min(float(self._most), self._left + (now - self._counted) / self._every)
        self._counted = now
