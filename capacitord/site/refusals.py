"""Who was refused lately, and why: counted for as long as it goes on, and forgotten a while after it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from capacitord.api.messages import Refusals
from capacitord.dicom.statuses import Status
from capacitord.dicom.storage_scp import RefusalView

RECENT: Final = 600.0
"""Seconds for which it is worth knowing that somebody was refused."""

OF_THE_IMAGE: Final = frozenset(
    {
        Status.INVALID_OBJECT_INSTANCE,
        Status.SOP_CLASS_NOT_SUPPORTED,
        Status.UNRECOGNIZED_OPERATION,
        Status.CANNOT_UNDERSTAND,
    }
)
"""The statuses of an image that is refused for what it is, whenever it comes."""


class Lately(NamedTuple):
    """The images that were refused: `for_now`, and those that would be again, as they are `unfit`."""

    for_now: Refusals | None
    unfit: Refusals | None


class _Run:
    """Refusals that follow one another within `RECENT`."""

    def __init__(self, first: RefusalView) -> None:
        self._count, self._first, self._last = 1, first, first

    def add(self, refusal: RefusalView) -> None:
        if refusal.moment - self._last.moment > RECENT:
            self._count, self._first = 0, refusal
        self._count += 1
        self._last = refusal

    def lately(self, now: float) -> Refusals | None:
        return None if now - self._last.moment > RECENT else _told(self._count, self._first, self._last)


class Refused:
    """Counts images that were refused. For any thread; times in seconds of the monotonic clock, as clocks are set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[bool, _Run] = {}

    def add(self, refusal: RefusalView) -> None:
        """Count one more."""
        unfit = refusal.status in OF_THE_IMAGE
        with self._lock:
            if unfit in self._runs:
                self._runs[unfit].add(refusal)
            else:
                self._runs[unfit] = _Run(refusal)

    def lately(self, now: float) -> Lately:
        """Return what there was, nothing if the last one is long ago."""
        with self._lock:
            found = {unfit: run.lately(now) for unfit, run in self._runs.items()}
        return Lately(found.get(False), found.get(True))


def turned_away(views: Iterable[RefusalView], now: float) -> Refusals | None:
    """Return what became of the associations in `views`, the oldest first, that were turned away lately."""
    recent = [view for view in views if now - view.moment <= RECENT]
    return _told(len(recent), recent[0], recent[-1]) if recent else None


def _told(count: int, first: RefusalView, last: RefusalView) -> Refusals:
    status = f"{last.status:04X}" if last.status else ""
    return Refusals(count, _when(first.at), _when(last.at), last.reason, last.calling_ae, last.peer, status)


def _when(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
