"""Tells the supervisor what the site did, until each deed has its entry in the audit log.

What is to be told stands in the spool's outbox. A few deeds are under way at a time, the oldest first, and a row goes
when the supervisor says that the entry is written. Whoever is told again recognises a deed by its id. So whatever is
lost on the way, by either process, costs nothing but a second telling.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError
from capacitord.link import messages as link
from capacitord.site.soundness import OF_THE_DISK
from capacitord.spool.outbox import Outbox, Untold

LOG = logging.getLogger(__name__)
AT_ONCE: Final = 32
"""Deeds that are under way at a time."""

AGAIN: Final = 30.0
"""Seconds without word after which what is under way is told again."""

_NANOSECONDS: Final = 1_000_000_000

Tell = Callable[[link.Deed], bool]
"""Tells the supervisor; returns whether the message went out, and never raises."""


class Telling:
    """What is under way, of one life of the link. One thread calls `go_on`; any may call `written`."""

    def __init__(self, outbox: Outbox, tell: Tell, *, at_once: int = AT_ONCE) -> None:
        self._outbox, self._tell, self._at_once = outbox, tell, at_once
        self._under_way: frozenset[str] = frozenset()
        self._written: deque[str] = deque()

    def written(self, ids: Sequence[str]) -> None:
        """Take note that deeds have their entries."""
        self._written.extend(ids)

    def go_on(self, *, again: bool = False) -> bool:
        """Forget what is written, and tell of the oldest that is not; `again` also of what is under way.

        Returns whether all is well: word has come, or nothing is waited for. Raises what the catalog raises; what was
        to be forgotten is remembered then.
        """
        done = list(self._written)
        if done:
            self._outbox.told(done)
            for _ in done:
                self._written.popleft()
        told = frozenset() if again else self._under_way
        under_way: list[str] = []
        for each in self._outbox.oldest(self._at_once):
            # Of one that did not go out, those behind it would come before it.
            if each.id not in told and not self._tell(_message(each)):
                break
            under_way.append(each.id)
        self._under_way = frozenset(under_way)
        return bool(done) or not under_way


class Teller:
    """A thread that goes on telling. What fails is tried again."""

    def __init__(self, outbox: Outbox, tell: Tell, *, doubt: Callable[[], None], again: float = AGAIN) -> None:
        """`doubt` is called when it was the disk that failed; `again` is in seconds, see `AGAIN`."""
        self._telling, self._doubt, self._again = Telling(outbox, tell), doubt, again
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._wanted.set()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that something was done."""
        self._wanted.set()

    def written(self, ids: Sequence[str]) -> None:
        """Take note that deeds have their entries."""
        self._telling.written(ids)
        self._wanted.set()

    def stop(self) -> None:
        """Tell of what was done last, and end; what has no entry then is told of by the next life."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        well, stopping = time.monotonic(), False
        while not stopping:
            self._wanted.wait(max(0.0, well + self._again - time.monotonic()))
            self._wanted.clear()
            # Whoever stops this has set it before the other: then this look is the last, and finds all.
            stopping, again = self._stopping.is_set(), time.monotonic() - well >= self._again
            try:
                if self._telling.go_on(again=again) or again:
                    well = time.monotonic()
            except CapacitordError as error:
                well = time.monotonic()
                if isinstance(error, OF_THE_DISK):
                    self._doubt()
                LOG.error("What was done could not be told: %s", error.message)  # noqa: TRY400
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the thread
                well = time.monotonic()
                LOG.error("What was done could not be told: %s", describe(error))  # noqa: TRY400


def _message(untold: Untold) -> link.Deed:
    at, (action, subjects, detail, _) = datetime.fromtimestamp(untold.at // _NANOSECONDS, UTC), untold.deed
    return link.Deed(untold.id, at, action, subjects[: link.MOST_SUBJECTS], detail[: link.LONGEST_DETAIL])
