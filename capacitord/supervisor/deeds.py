"""What a site does by itself, on its way into the audit log: written one after the other, and no more than so many.

The runtime tells of a deed before it does it and after. Both come over the link, which a runtime that dies leaves
behind, and are written here while everything else goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import Final

from capacitord.api.actions import LOST
from capacitord.errors import CapacitordError
from capacitord.link.messages import Deed
from capacitord.supervisor.audit import DONE, AuditLog

_log = logging.getLogger(__name__)
MOST: Final = 1024
"""Deeds that may wait to be written; of more than that it is only written how many there were."""

BY: Final = "capacitord"
"""Who did it."""

_AGAIN: Final = 1.0


class Deeds:
    """A queue in front of the audit log, for the event loop's thread. `again` is in seconds, after a failed write."""

    def __init__(self, audit: AuditLog, *, most: int = MOST, again: float = _AGAIN) -> None:
        self._audit, self._most, self._again = audit, most, again
        self._waiting: deque[Deed] = deque()
        self._lost = 0
        self._arrived = asyncio.Event()

    def take(self, deed: Deed) -> None:
        """Have a deed written down soon."""
        if len(self._waiting) >= self._most:
            self._lost += 1
        else:
            self._waiting.append(deed)
        self._arrived.set()

    async def keep(self) -> None:
        """Write what comes until cancelled; what the disk refuses is tried again."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not await self.finish():
                asyncio.get_running_loop().call_later(self._again, self._arrived.set)

    async def finish(self) -> bool:
        """Write what waits; return whether all of it is written."""
        while self._waiting or self._lost:
            # Whoever is cancelled here has the entry written all the same, and nobody writes it again.
            deed = self._waiting.popleft() if self._waiting else None
            lost, self._lost = (0, self._lost) if deed else (self._lost, 0)
            try:
                await asyncio.to_thread(self._write, deed or _missing(lost))
            except CapacitordError as error:
                _log.critical("the audit log took no entry about what the site did: %s", error.message)
                self._lost += lost
                if deed is not None:
                    self._waiting.appendleft(deed)
                return False
        return True

    def _write(self, deed: Deed) -> None:
        self._audit.write(os.geteuid(), BY, deed.action, subjects=deed.subjects, detail=deed.detail, result=deed.result)


def _missing(count: int) -> Deed:
    words = f"{count} entries about what the site did are missing: too many came at once"
    return Deed(LOST, (), words, DONE)
