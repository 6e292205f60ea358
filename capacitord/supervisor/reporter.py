"""What the runtime says of itself: asked for when somebody wants it, once for all who do, and never older than a bound.

A heartbeat says in between whether images can be kept, so that this is known even while the status cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from capacitord.api.messages import SiteStatus
from capacitord.errors import CapacitordError, Problem
from capacitord.link.messages import AskStatus, Heartbeat, StatusReport
from capacitord.supervisor.relay import Runtime

_log = logging.getLogger(__name__)


class Reporter:
    """Asks the runtime for its status, and waits `patience` seconds for each answer.

    An answer holds for `longest` seconds: after that the runtime counts as silent.
    """

    def __init__(self, runtime: Runtime, patience: float, longest: float) -> None:
        self.failing: Problem | None = None
        """What else the runtime cannot do, as its last heartbeat said."""
        self._runtime = runtime
        self._patience, self._longest = patience, longest
        self._number = 0
        self._latest: SiteStatus | None = None
        self._trouble: Problem | None = None
        self._heard_at: float | None = None
        self._question: asyncio.Future[SiteStatus | None] | None = None
        self._asked_at = self._latest_asked_at = float("-inf")

    @property
    def age(self) -> float | None:
        """How many seconds ago the runtime last told its status, or began to run; None if there is no runtime."""
        return None if self._heard_at is None else asyncio.get_running_loop().time() - self._heard_at

    @property
    def heard(self) -> bool:
        """Whether this runtime has told its status yet: before that nobody knows whether images can be kept."""
        return self._latest is not None

    @property
    def silent(self) -> bool:
        """Whether the runtime owes its status for too long: nothing that it said holds any more."""
        return self.age is not None and self.age > self._longest

    @property
    def trouble(self) -> Problem | None:
        """Why the runtime cannot keep images, None if neither its last heartbeat nor its last status said so."""
        if self._trouble is None and self._latest is not None and self._latest.trouble is not None:
            found = self._latest.trouble
            return Problem("storage-failed", found.message, hint=found.hint)
        return self._trouble

    @property
    def current(self) -> SiteStatus | None:
        """The last answer, None if there is none or it is too old to be believed."""
        return None if self.silent else self._latest

    async def traffic(self) -> SiteStatus | None:
        """Return the runtime's status as of this moment, None if there is no runtime or it does not answer.

        What was asked before the call is not good enough: whoever has just changed something wants to see it.
        """
        loop = asyncio.get_running_loop()
        called_at = loop.time()
        while self._question is not None and self._asked_at < called_at:
            if await asyncio.shield(self._question) is None:
                return None
        if self._latest is not None and self._latest_asked_at >= called_at:
            return self._latest
        try:
            return await asyncio.shield(self._ask())
        except CapacitordError:
            return None

    def _ask(self) -> asyncio.Future[SiteStatus | None]:
        """Return the question that is open, or ask one. Raises `CapacitordError` if there is nobody to ask."""
        if self._question is None:
            loop = asyncio.get_running_loop()
            self._number += 1
            self._runtime.send(AskStatus(self._number))
            self._question, self._asked_at = loop.create_future(), loop.time()
            loop.call_later(self._patience, self._give_up, self._question)
        return self._question

    def began(self) -> None:
        """Take note that a runtime runs: its spool is open, it owes its status from now on, and is asked at once."""
        self._latest, self._trouble = None, None
        self._heard_at = asyncio.get_running_loop().time()
        with contextlib.suppress(CapacitordError):
            self._ask()

    def beat(self, heartbeat: Heartbeat) -> None:
        """Take in what a heartbeat says."""
        self._trouble, self.failing = heartbeat.trouble, heartbeat.failing

    def arrived(self, report: StatusReport) -> None:
        """Take in an answer; one that nobody waits for any more still tells the latest."""
        try:
            self._latest = msgspec.json.decode(report.status, type=SiteStatus)
        except msgspec.DecodeError as error:
            _log.error("the runtime's status can't be read: %s", error)
            return
        self._heard_at = asyncio.get_running_loop().time()
        if self._question is not None and report.request == self._number:
            self._latest_asked_at = self._asked_at
            self._settle(self._latest)

    def forget(self) -> None:
        """Take note that the runtime is gone: what it said does not hold any more."""
        self._latest = self._heard_at = self._trouble = self.failing = None
        self._settle(None)

    def _give_up(self, question: asyncio.Future[SiteStatus | None]) -> None:
        if question is self._question:
            self._settle(None)

    def _settle(self, answer: SiteStatus | None) -> None:
        if self._question is not None:
            self._question.set_result(answer)
            self._question = None
