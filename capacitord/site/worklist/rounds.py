"""Rounds of work that one thread does, one after the other, and that others ask for and wait for."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple


class Running(NamedTuple):
    """The round that is under way, and for how many seconds it has been."""

    number: int
    seconds: float


class Rounds:
    """Who is to do another round, and who waits for which. Rounds are numbered from 1. Any thread may call anything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted = self._begun = self._ended = 0
        self._since: float | None = None
        self.over = False
        """Whether no round begins any more."""

    # --- for those who want one

    def want(self) -> int:
        """Have a round begin that has not begun yet, and return its number."""
        with self._changed:
            self._wanted = self._begun + 1
            self._changed.notify_all()
            return self._wanted

    @property
    def running(self) -> Running | None:
        """The round that is under way, None if none is."""
        with self._changed:
            return None if self._since is None else Running(self._begun, time.monotonic() - self._since)

    def wait(self, number: int, patience: float) -> bool:
        """Wait until a round has ended, for so many seconds at most or until all is over; return whether it has."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended >= number or self.over, max(0.0, patience))
            return self._ended >= number

    def stir(self) -> None:
        """Have whoever does the rounds look around."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Begin no more; whoever waits is told."""
        with self._changed:
            self.over = True
            self._changed.notify_all()

    # --- for the one who does them

    def begin(self, pause: float) -> bool:
        """Begin a round if one is wanted or `pause` is over; else wait that long, or until something happens."""
        with self._changed:
            if self.over:
                return False
            if self._wanted <= self._begun and pause > 0:
                self._changed.wait(pause)
                return False
            self._begun += 1
            self._since = time.monotonic()
            return True

    def end(self) -> None:
        """Say that the round that was begun has ended; without one, that whatever is wanted will not come."""
        with self._changed:
            self._begun = self._ended = self._begun if self._since is not None else max(self._begun, self._wanted)
            self._since = None
            self._changed.notify_all()
