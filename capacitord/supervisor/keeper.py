"""Keeps a runtime running while one is wanted: starts it, watches it, and starts it again after a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias

from capacitord.api.messages import Runtime, RuntimeState
from capacitord.errors import CapacitordError, Problem, TryAgain
from capacitord.link.channel import LinkClosed
from capacitord.link.messages import FromRuntime, Ready, Start, ToRuntime
from capacitord.model.states import advance
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.lifecycle import RUNTIME, Backoff
from capacitord.supervisor.process import RuntimeProcess

_log = logging.getLogger(__name__)

Plan: TypeAlias = Callable[[], Awaitable[Start]]


class RuntimeKeeper:
    """One runtime, or none. `changed` is called after each change of state, `received` with each message."""

    def __init__(
        self,
        launcher: Launcher,
        bounds: Bounds,
        *,
        changed: Callable[[], None],
        received: Callable[[FromRuntime], None],
    ) -> None:
        self.state = RuntimeState.ABSENT
        self.problem: Problem | None = None
        self.restarts = 0
        self._launcher = launcher
        self._bounds = bounds
        self._backoff = Backoff(bounds.first_delay, bounds.longest_delay, bounds.stable_after)
        self._changed = changed
        self._received = received
        self._since = datetime.now(UTC)
        self._plan: Plan | None = None
        self._nudged = asyncio.Event()
        self._idle = asyncio.Event()
        self._run: RuntimeProcess | None = None
        self._running_since: float | None = None

    @property
    def status(self) -> Runtime:
        """The process as the status shows it."""
        run = self._run
        exposed = self._launcher.problem if run is None else run.exposed
        reason = "" if self.problem is None else self.problem.message
        return Runtime(
            state=self.state,
            reason=reason,
            pid=None if run is None else run.pid,
            since=self._since,
            restarts=self.restarts,
            isolated=run is not None and run.exposed is None,
            exposed="" if exposed is None else exposed.message,
            hint="" if exposed is None else exposed.hint,
        )

    def want(self, plan: Plan) -> None:
        """Have a runtime that starts as `plan` says; one that waits to be started again is tried at once."""
        self._plan = plan
        self._nudged.set()

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send a message to the runtime. Raises `TryAgain` if there is none or it is not ready."""
        run = self._run
        if run is None or self.state is not RuntimeState.RUNNING:
            raise not_running(self.state)
        try:
            run.link.send(message, descriptor)
        except LinkClosed:
            raise not_running(self.state) from None

    @property
    def connected(self) -> bool:
        """Whether the runtime that runs has not closed its link, asked now and not when the loop gets to it."""
        return self._run is not None and self._run.link.connected

    def break_off(self, reason: str) -> None:
        """End the runtime there is, because it broke the contract of the link."""
        if self._run is not None:
            self._run.link.break_off(reason)

    async def keep(self) -> None:
        """Do it until cancelled; cancelling ends the process at once."""
        while True:
            self._enter(RuntimeState.ABSENT)
            self._idle.set()
            await self._nudged.wait()
            self._idle.clear()
            failures = 0
            while (plan := self._plan) is not None:
                self._nudged.clear()
                ran_for = await self._run_once(plan)
                if self._plan is None:
                    break
                self._enter(RuntimeState.BACKOFF)
                failures = self._backoff.failures(failures, ran_for)
                delay = self._backoff.delay(failures)
                _log.warning("the runtime is started again in %.1f s", delay)
                try:
                    await asyncio.wait_for(self._nudged.wait(), delay)
                except TimeoutError:
                    self.restarts += 1
                else:
                    failures = 0
            self._nudged.clear()

    async def stop(self, grace: float) -> None:
        """Want no runtime any more, and return when the one there was has finished or was killed."""
        self._plan = None
        self._nudged.set()
        if self._run is not None:
            if self.state is not RuntimeState.BACKOFF:
                self._enter(RuntimeState.STOPPING)
            self._run.stop(grace)
        await self._idle.wait()

    def kill(self) -> None:
        """End the process there is, if there is one."""
        if self._run is not None:
            self._run.kill()

    async def _run_once(self, plan: Plan) -> float:
        """Return the seconds a runtime was of use, once it is gone."""
        self._running_since = None
        self._enter(RuntimeState.STARTING)
        try:
            start = await plan()
            run = await RuntimeProcess.start(
                self._launcher, start, self._bounds, received=self._receive, ended=self._ended
            )
        except CapacitordError as error:
            self.problem = error.problem()
            _log.error("%s", error.message)
            return 0.0
        self._run = run
        where = "in a container" if run.exposed is None else "in no container"
        _log.info("the runtime of %s started as process %d, %s", start.profile.id, run.pid, where)
        if self._plan is None:
            run.stop(0)
        try:
            problem = await run.wait()
        finally:
            self._run = None
        if self._plan is None:
            self.problem = None
            _log.info("the runtime has finished")
        else:
            self.problem = problem
            self._changed()
            _log.error("%s", problem.message)
        loop = asyncio.get_running_loop()
        return 0.0 if self._running_since is None else loop.time() - self._running_since

    def _receive(self, message: FromRuntime) -> None:
        if isinstance(message, Ready) and self.state is RuntimeState.STARTING:
            self._running_since = asyncio.get_running_loop().time()
            self.problem = None
            self._received(message)
            self._enter(RuntimeState.RUNNING)
            return
        self._received(message)

    def _ended(self, problem: Problem) -> None:
        """Take note that the runtime serves no more, though its process may take a while to go."""
        if self.state in {RuntimeState.STARTING, RuntimeState.RUNNING}:
            self.problem = problem
            self._enter(RuntimeState.BACKOFF)

    def _enter(self, state: RuntimeState) -> None:
        if state is not self.state:
            self.state = advance(RUNTIME, self.state, state)
            self._since = datetime.now(UTC)
            self._changed()


def not_running(state: RuntimeState) -> TryAgain:
    """Return what to tell a person who asks for something that only a running runtime can do."""
    words = {
        RuntimeState.ABSENT: "the site's runtime is not running",
        RuntimeState.STARTING: "the site's runtime is starting",
        RuntimeState.RUNNING: "the site's runtime has just ended",
        RuntimeState.BACKOFF: "the site's runtime ended and starts again soon",
        RuntimeState.STOPPING: "the site's runtime is stopping",
    }
    return TryAgain(words[state], hint="See why: fluxctl status. Then try again.")
