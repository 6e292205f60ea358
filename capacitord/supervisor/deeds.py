"""What a site did, on its way into the audit log: each deed is said there to be done once, however often it is told of.

The runtime has each deed in its spool until it is told that the entry is on stable storage. What is lost on the way is
told of again: by the same runtime, by the next one, or when the site is active again after weeks. So before a deed is
written it is looked for in the log, by its id. What waits here is in memory only and may be lost at any moment.

What a person asked for is told of as well. Whoever answers her writes the entry, and most of the time that is all. But
if the runtime or the daemon ended between the deed and the answer, the log knows only that it was begun: then its end
is written here, in the name of the person that the beginning has.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from capacitord.api.actions import BY_A_SITE, BY_PEOPLE
from capacitord.api.messages import AuditEntry
from capacitord.errors import CapacitordError, Problem, TryAgain
from capacitord.link.messages import Deed
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.audit_reading import BEGUN

_log = logging.getLogger(__name__)
MOST: Final = 1024
"""Deeds that may wait to be written; of more than that the runtime tells again later."""

BY: Final = "capacitord"
"""Who did what nobody asked for."""

UNKNOWN: Final = "unknown"
"""Who did what somebody asked for of whom the log has no entry any more."""

_AT_ONCE_AT_MOST: Final = 10_000
_A_SECOND: Final = 1.0
"""How many entries a site may cause in a row, and each second after that: the disk is everybody's."""
_LIMITED: Final = 60.0

_AT_ONCE: Final = 64
_AGAIN: Final = 1.0
_LATE: Final = timedelta(minutes=1)
"""An entry that is written later than this says when the deed was done."""


class _Came(NamedTuple):
    """What came of writing: the ids of what has its entry, and why the others have none."""

    written: tuple[str, ...]
    error: CapacitordError | None = None


class Allowance:
    """How many entries may be written: so many at once, and `a_second` more with time."""

    def __init__(self, burst: int, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._a_second, self._clock = burst, a_second, clock
        self._left, self._counted = float(burst), clock()

    def take(self) -> bool:
        """Return whether one more may be written, and count it."""
        now = self._clock()
        self._left = min(float(self._burst), self._left + (now - self._counted) * self._a_second)
        self._counted = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Deeds:
    """A queue in front of the audit log, for the event loop's thread. `again` is in seconds, after a failed write.

    `written` is told which deeds have their entries; it need not reach anybody.
    """

    def __init__(
        self,
        audit: AuditLog,
        written: Callable[[tuple[str, ...]], None],
        *,
        most: int = MOST,
        again: float = _AGAIN,
        burst: int = _AT_ONCE_AT_MOST,
    ) -> None:
        self._audit, self._written, self._most, self._again = audit, written, most, again
        self._allowance = Allowance(burst, _A_SECOND)
        self._waiting: dict[str, Deed] = {}
        self._apart: set[str] = set()
        self._writing = threading.Lock()
        self._arrived = asyncio.Event()
        self._error: CapacitordError | None = None

    @property
    def problem(self) -> Problem | None:
        """Why what the site did is not in the audit log yet; None if it is, or is just being written."""
        if self._error is None:
            return None
        message = f"what the site did cannot be written into the audit log: {self._error.message}"
        hint = f"It is kept in the site's spool and tried again by itself. {self._error.hint}".rstrip()
        return Problem("audit-behind", message, where=self._error.where, hint=hint)

    def take(self, deed: Deed) -> None:
        """Have a deed written down soon."""
        if deed.id not in self._waiting and len(self._waiting) < self._most:
            self._waiting[deed.id] = deed
        self._arrived.set()

    @contextmanager
    def apart(self, deed: str, result: str) -> Iterator[None]:
        """Have the entry with this result of a deed that a person asked for written by whoever answers her.

        From its beginning to its end nothing is written about it here.
        """
        self._apart.add(deed)
        try:
            yield
        except BaseException:
            self._over(deed)
            raise
        if result != BEGUN:
            self._over(deed)

    def _over(self, deed: str) -> None:
        self._apart.discard(deed)
        self._arrived.set()

    async def keep(self) -> None:
        """Write what comes until cancelled; what the disk refuses is tried again."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not await self.finish():
                pause = _LIMITED if isinstance(self._error, TryAgain) else self._again
                asyncio.get_running_loop().call_later(pause, self._arrived.set)

    async def finish(self) -> bool:
        """Write what waits; return whether all of it is written."""
        while due := list(islice((each for each in self._waiting.values() if each.id not in self._apart), _AT_ONCE)):
            came = await asyncio.to_thread(self._write, due)
            for each in came.written:
                self._waiting.pop(each, None)
            if came.written:
                self._written(came.written)
            if came.error is not None and self._error is None:
                _log.critical("the audit log took no entry about what the site did: %s", came.error.message)
            self._error = came.error
            if len(came.written) < len(due):
                return False
        return True

    def _write(self, deeds: Sequence[Deed]) -> _Came:
        """Write those of these deeds that have no entry, in their order.

        One thread at a time: whoever was cancelled while it waited for this has it done all the same.
        """
        written: list[str] = []
        with self._writing:
            try:
                ended, begun = self._audit.traces(each.id for each in deeds)
                for each in deeds:
                    if each.id not in ended:
                        if not self._allowance.take():
                            return _Came(tuple(written), _too_many())
                        self._end(each, begun.get(each.id))
                    written.append(each.id)
            except CapacitordError as error:
                return _Came(tuple(written), error)
        return _Came(tuple(written))

    def _end(self, deed: Deed, begun: AuditEntry | None) -> None:
        """Write that something was done. A runtime that makes up deeds is believed only what a site can do."""
        detail = in_words(deed, datetime.now(UTC))
        write = partial(self._audit.write, deed=deed.id)
        if begun is not None and begun.action == deed.action and deed.action in BY_PEOPLE:
            # What the runtime says is what was done; who did what, and why, is known here.
            subjects = tuple(dict.fromkeys((*begun.subjects, *deed.subjects)))
            detail = "; ".join(filter(None, (begun.detail, detail)))
            write(begun.uid, begun.user, begun.action, subjects=subjects, detail=detail)
        elif begun is None and deed.action in BY_A_SITE:
            write(os.geteuid(), BY, deed.action, subjects=deed.subjects, detail=detail)
        elif begun is None and deed.action in BY_PEOPLE:
            detail = f"{detail}; who asked is in no entry of this log"
            write(os.geteuid(), UNKNOWN, deed.action, subjects=deed.subjects, detail=detail)
        else:
            _log.error("a site says that it did what no site does: %s", deed.action)


def _too_many() -> TryAgain:
    return TryAgain("sites did more at once than it takes", hint="The rest follows within minutes.")


def in_words(deed: Deed, now: datetime) -> str:
    """Return what an entry that is written `now` says of a deed, with when it was done if that is a while ago."""
    try:
        if abs(now - deed.at) <= _LATE:
            return deed.detail
        return f"{deed.detail}; done at {deed.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC and written down later"
    except OverflowError:
        return f"{deed.detail}; done nobody knows when, and written down later"
