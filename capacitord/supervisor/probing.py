"""The probe, asked: C-ECHO of a node, and what is still on the scanners. The supervisor itself speaks no DICOM.

There is one process for all that is asked, started when the first wants something and again when it has ended. Whatever
keeps an answer away, a bound among it, is an answer too: nobody was reached, nothing is clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from capacitord.errors import CapacitordError, TryAgain
from capacitord.link.channel import LinkClosed, pair
from capacitord.link.probe import (
    Echo,
    Echoed,
    FromProbe,
    Heading,
    Limits,
    Reached,
    Scanner,
    Survey,
    Surveyed,
    ToProbe,
)
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome
from capacitord.model.preflight import Preflight, failed
from capacitord.supervisor.broker import connect, later
from capacitord.supervisor.launched import Launched
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.runtime_link import Link

_log = logging.getLogger(__name__)
_LINK_OPTION: Final = "--link-fd"
NO_HEADING: Final = Heading("", needed=True, reason="")
MARGIN: Final = 15.0
"""Seconds the probe gets beyond what it was told: for its start, for farewells and to write its list."""
_LOOK: Final = "See what it said: journalctl -u capacitord -n 100"


class Prober:
    """The probe process, or none yet. `launcher` starts it, with no folder of the box; `margin`: see `MARGIN`."""

    def __init__(self, launcher: Launcher, margin: float = MARGIN) -> None:
        self._launcher = launcher
        self._margin = margin
        self._run: _Run | None = None
        self._starting = asyncio.Lock()
        self._requests = 0

    async def echo(self, node: Destination, calling: str) -> Outcome:
        """Send one C-ECHO to a node, within its time-outs; it is done only if the node answered Success."""
        made = await connect(node)
        if made.socket is None:
            return made.failure or later(f"{node.name} cannot be reached.")
        request = self._next()
        wanted = Echo(request, node.ae_title, calling, node.response_timeout)
        try:
            with made.socket as connected:
                run = await self._running()
                answer = run.expect(request)
                run.tell(wanted, connected.fileno())
            found = await self._answered(run, answer, 3 * node.response_timeout)
        except CapacitordError as error:
            return later(f"The probe could not be asked: {error.message}.")
        return found.outcome if isinstance(found, Echoed) else later("The probe answered another question.")

    async def remains(
        self, scanners: Sequence[Scanner], limits: Limits, heading: Heading = NO_HEADING, stream: int | None = None
    ) -> Preflight:
        """Ask scanners what is on them. Whatever keeps an answer away is in what is returned, and not clean.

        What remains is written to `stream`, a socket's descriptor which the caller keeps. Raises `TryAgain` if it is
        not, because there is no probe.
        """
        try:
            return await self._survey(scanners, limits, heading, stream)
        except CapacitordError as error:
            if stream is not None:
                raise
            _log.warning("the scanners could not be asked: %s", error.message)
            return failed([each.ae_title for each in scanners], f"No scanner could be asked: {error.message}.")

    async def _survey(
        self, scanners: Sequence[Scanner], limits: Limits, heading: Heading, stream: int | None
    ) -> Preflight:
        run = await self._running()
        request = self._next()
        answer = run.expect(request)
        run.tell(Survey(request, tuple(scanners), limits, heading), stream)
        # Each finds its own answer: one that cannot be told that it was reached keeps no other from being asked.
        reached = (_reach(run, request, number, scanner, limits) for number, scanner in enumerate(scanners))
        for failure in await asyncio.gather(*reached, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure
        found = await self._answered(run, answer, limits.seconds + limits.wait)
        if not isinstance(found, Surveyed) or len(found.found) != len(scanners):
            msg = "the probe answered another question"
            raise TryAgain(msg, hint=_LOOK)
        return Preflight(found.found)

    async def _answered(self, run: _Run, answer: asyncio.Future[FromProbe], seconds: float) -> FromProbe:
        """Return an answer. A probe that takes longer than it was told is ended, and `TryAgain` raised."""
        try:
            async with asyncio.timeout(seconds + self._margin):
                return await answer
        except TimeoutError:
            run.kill()
            msg = f"the probe did not answer within {seconds + self._margin:g} s"
            raise TryAgain(msg, hint=_LOOK) from None

    async def stop(self) -> None:
        """End the process, if there is one."""
        if self._run is not None:
            self._run.kill()
            await self._run.ended()

    def _next(self) -> int:
        self._requests += 1
        return self._requests

    async def _running(self) -> _Run:
        async with self._starting:
            if self._run is None or self._run.is_over:
                self._run = await _Run.start(self._launcher)
            return self._run


class _Run:
    """One process, and who waits for its answers."""

    def __init__(self, process: Launched) -> None:
        self.is_over = False
        self.link: Link[ToProbe, FromProbe]
        self._process = process
        self._exit = asyncio.create_task(process.wait())
        self._waiting: dict[int, asyncio.Future[FromProbe]] = {}

    @classmethod
    async def start(cls, launcher: Launcher) -> _Run:
        """Start the probe with one end of a link. Raises `TryAgain` if it can't run."""
        try:
            ours, theirs = pair()
        except OSError as error:
            msg = f"the probe can't be started: {error.strerror}"
            raise TryAgain(msg, hint=_LOOK) from None
        try:
            process = await launcher.launch(theirs.fileno(), options=(_LINK_OPTION, str(theirs.fileno())))
        except CapacitordError as error:
            ours.close()
            msg = f"the probe can't be started: {error.message}"
            raise TryAgain(msg, where=error.where, hint=error.hint) from None
        except OSError as error:
            ours.close()
            msg = f"the probe can't be started: {error.strerror}"
            raise TryAgain(msg, hint=_LOOK) from None
        finally:
            theirs.close()
        run = cls(process)
        run.link = Link(ours, run._received, run._link_ended, arriving=FromProbe, who="the probe")
        _log.info("the probe started as process %d", process.pid)
        return run

    def expect(self, request: int) -> asyncio.Future[FromProbe]:
        """Return what will be the answer to a request; it raises `TryAgain` if the process ends before."""
        answer: asyncio.Future[FromProbe] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer

        def forget(done: asyncio.Future[FromProbe]) -> None:
            del self._waiting[request]
            if not done.cancelled():
                done.exception()  # whoever asked may have gone

        answer.add_done_callback(forget)
        return answer

    def tell(self, message: ToProbe, descriptor: int | None = None) -> None:
        """Send a message. Raises `TryAgain` if that can't be."""
        try:
            self.link.send(message, descriptor)
        except LinkClosed:
            raise _gone() from None

    def kill(self) -> None:
        """End the process now."""
        self._link_ended("")

    async def ended(self) -> None:
        """Return when it has ended."""
        await self._exit

    def _received(self, message: FromProbe) -> None:
        answer = self._waiting.get(message.request)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _link_ended(self, reason: str) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.link.close()
        if reason:
            _log.error("the probe broke the contract of the link: %s", reason)
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(_gone())
        self._process.kill()


def _gone() -> TryAgain:
    return TryAgain("the probe ended before it answered", hint=_LOOK)


async def _reach(run: _Run, request: int, number: int, scanner: Scanner, limits: Limits) -> None:
    """Connect to a scanner and hand the connection over, or say why there is none."""
    node = Destination(
        scanner.ae_title, scanner.ae_title, scanner.host, scanner.port, connect_timeout=min(limits.wait, limits.seconds)
    )
    failure = later(f"{scanner.ae_title} cannot be reached.")
    try:
        made = await connect(node)
    except BaseException:
        # The probe begins when it has heard of all of them, and keeps what it was handed until then.
        with contextlib.suppress(CapacitordError):
            run.tell(Reached(request, number, failure))
        raise
    if made.socket is None:
        run.tell(Reached(request, number, made.failure or failure))
        return
    with made.socket as connected:
        run.tell(Reached(request, number), connected.fileno())
