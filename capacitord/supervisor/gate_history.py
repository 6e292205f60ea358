"""Every change of the gate in the audit log, in the order in which they came, each with its reason.

That a site is cleared is written down before its port is bound, by whoever clears it; this tells what the gate did.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from typing import NamedTuple

from capacitord.api.messages import Gate
from capacitord.errors import CapacitordError
from capacitord.model.states import GateState
from capacitord.supervisor.audit import AuditLog

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    action: str
    subjects: tuple[str, ...]
    detail: str


class GateHistory:
    """What the gate did, for the audit log. An entry that the disk does not take is in the daemon's log."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._state = GateState.PARKED
        self._waiting: asyncio.Queue[_Entry] = asyncio.Queue()

    def changed(self, gate: Gate, site: str, grounds: str) -> None:
        """Have it written down if the gate is in another state now. `grounds` says who chose the site and why."""
        before, self._state = self._state, gate.state
        if gate.state is before:
            return
        parts = (f"{before} → {gate.state}", gate.reason, grounds)
        subjects = (site,) if site else ()
        self._waiting.put_nowait(_Entry(f"gate.{gate.state}", subjects, "; ".join(part for part in parts if part)))

    async def keep(self) -> None:
        """Write, until cancelled."""
        while True:
            entry = await self._waiting.get()
            try:
                await self.write(*entry)
            except CapacitordError as error:
                _log.critical("the audit log took no entry about %s: %s", entry.action, error.message)
            finally:
                self._waiting.task_done()

    async def settle(self) -> None:
        """Return when all that waits is written."""
        await self._waiting.join()

    async def write(self, action: str, subjects: tuple[str, ...], detail: str) -> None:
        """Write an entry now. Raises `StorageFailed` or `OutOfSpace`."""
        write = partial(self._audit.write, os.geteuid(), "capacitord", action, subjects=subjects, detail=detail)
        await asyncio.to_thread(write)
