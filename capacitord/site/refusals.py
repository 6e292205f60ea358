"""Who was refused lately, and why: counted for as long as it goes on, and forgotten a while after it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from capacitord.api.messages import Refusals
from capacitord.dicom.storage_scp import RefusalView

RECENT: Final = 600 * 10**9
"""Nanoseconds for which it is worth knowing that somebody was refused."""


class Refused:
    """Counts refusals that follow one another within `RECENT`. For any thread; times in ns since the epoch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count, self._since = 0, 0
        self._last = RefusalView(0, "", "", "", "")

    def add(self, refusal: RefusalView) -> None:
        """Count one more."""
        with self._lock:
            if refusal.at - self._last.at > RECENT:
                self._count, self._since = 0, refusal.at
            self._count += 1
            self._last = refusal

    def lately(self, now: int) -> Refusals | None:
        """Return what there was, None if the last one is long ago."""
        with self._lock:
            if not self._count or now - self._last.at > RECENT:
                return None
            return _told(self._count, self._since, self._last)


def turned_away(views: Iterable[RefusalView], now: int) -> Refusals | None:
    """Return what became of the associations in `views`, the oldest first, that were turned away lately."""
    recent = [view for view in views if now - view.at <= RECENT]
    return _told(len(recent), recent[0].at, recent[-1]) if recent else None


def _told(count: int, since: int, last: RefusalView) -> Refusals:
    return Refusals(count, _when(since), _when(last.at), last.reason, last.calling_ae, last.peer)


def _when(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
