"""The runtime's part of the status: asked for when somebody wants it, once for all who do."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from capacitord.api.messages import SiteStatus
from capacitord.errors import CapacitordError
from capacitord.link.messages import AskStatus, StatusReport
from capacitord.supervisor.relay import Runtime

_log = logging.getLogger(__name__)
_FRESH: Final = 0.1


class Reporter:
    """Asks the runtime for its status. `latest` is the last answer, None if the runtime has given none."""

    def __init__(self, runtime: Runtime, patience: float) -> None:
        self.latest: SiteStatus | None = None
        self._runtime = runtime
        self._patience = patience
        self._number = 0
        self._answered_at = 0.0
        self._question: asyncio.Future[SiteStatus | None] | None = None

    async def traffic(self) -> SiteStatus | None:
        """Return the runtime's status as of a moment ago, None if there is no runtime or it does not answer."""
        loop = asyncio.get_running_loop()
        if self.latest is not None and loop.time() - self._answered_at < _FRESH:
            return self.latest
        if self._question is None:
            self._number += 1
            try:
                self._runtime.send(AskStatus(self._number))
            except CapacitordError:
                return None
            self._question = loop.create_future()
            loop.call_later(self._patience, self._give_up, self._question)
        return await asyncio.shield(self._question)

    def arrived(self, report: StatusReport) -> None:
        """Take in an answer; one that nobody waits for any more still tells the latest."""
        try:
            self.latest = msgspec.json.decode(report.status, type=SiteStatus)
        except msgspec.DecodeError as error:
            _log.error("the runtime's status can't be read: %s", error)
            return
        self._answered_at = asyncio.get_running_loop().time()
        if self._question is not None and report.request == self._number:
            self._settle(self.latest)

    def forget(self) -> None:
        """Take note that the runtime is gone: what it said does not hold any more."""
        self.latest = None
        self._settle(None)

    def _give_up(self, question: asyncio.Future[SiteStatus | None]) -> None:
        if question is self._question:
            self._settle(None)

    def _settle(self, answer: SiteStatus | None) -> None:
        if self._question is not None:
            self._question.set_result(answer)
            self._question = None
