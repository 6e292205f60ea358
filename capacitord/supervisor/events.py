"""What happens, told to whoever watches: bounded queues, and a reader that is too slow is told what it missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from capacitord.api.messages import LaggedEvent, NoteEvent
from capacitord.errors import TryAgain

QUEUE: Final = 256


class Watcher:
    """One reader's queue of notes. When it is full, the oldest note makes room."""

    def __init__(self) -> None:
        self._notes: deque[NoteEvent] = deque()
        self._dropped = 0
        self._arrived = asyncio.Event()
        self.closed = False

    def put(self, note: NoteEvent) -> None:
        """Add a note."""
        if len(self._notes) >= QUEUE:
            self._notes.popleft()
            self._dropped += 1
        self._notes.append(note)
        self._arrived.set()

    def close(self) -> None:
        """End the stream once its reader comes by."""
        self.closed = True
        self._arrived.set()

    async def wait(self, seconds: float) -> None:
        """Return when a note is there, or the stream has ended, or so many seconds have passed."""
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return

    def take(self) -> Iterator[NoteEvent | LaggedEvent]:
        """Yield what is there, oldest first, after a word about what was dropped."""
        self._arrived.clear()
        if self._dropped:
            yield LaggedEvent(datetime.now(UTC), self._dropped)
            self._dropped = 0
        while self._notes:
            yield self._notes.popleft()


class Hub:
    """All who watch."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._watchers: set[Watcher] = set()
        self._closed = False

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """Give a queue for one reader. Raises `TryAgain` if there are too many."""
        if self._closed or len(self._watchers) >= self._streams:
            msg = "capacitord is stopping" if self._closed else f"{self._streams} others watch already"
            raise TryAgain(msg, hint="End one of them (fluxctl watch), or try again later.")
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def note(self, note: NoteEvent) -> None:
        """Tell everybody."""
        for watcher in self._watchers:
            watcher.put(note)

    def say(self, reference: str, message: str, study: str = "", destination: str = "") -> None:
        """Tell everybody something that happens now; no patient data."""
        self.note(NoteEvent(datetime.now(UTC), reference, message, study, destination))

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
