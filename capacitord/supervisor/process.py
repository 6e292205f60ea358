"""One run of a site's runtime process, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from capacitord.errors import CapacitordError, Problem
from capacitord.link.channel import LinkClosed, pair
from capacitord.link.messages import Failed, FromRuntime, Heartbeat, Ready, Shutdown, Start
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.runtime_link import RuntimeLink

_SUPERVISORS_OWN = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"})
_LINK_OPTION = "--link-fd"


class RuntimeProcess:
    """A runtime that was started. `wait` returns why it ended; messages go to `received`, `Ready` among them."""

    def __init__(
        self, process: asyncio.subprocess.Process, received: Callable[[FromRuntime], None], bounds: Bounds
    ) -> None:
        self.pid = process.pid
        self.link: RuntimeLink
        self._process = process
        self._received = received
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Problem] = self._loop.create_future()
        self._failed: Problem | None = None
        self._ready = False
        self._stopping = False
        self._watch = self._loop.call_later(bounds.start_silence, self._give_up, bounds.start_silence)

    @classmethod
    async def start(
        cls, command: Sequence[str], start: Start, received: Callable[[FromRuntime], None], bounds: Bounds
    ) -> RuntimeProcess:
        """Exec `command` with one end of a link, and tell it `start`. Raises `CapacitordError` if it can't run."""
        ours, theirs = pair()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                _LINK_OPTION,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                env=environment(os.environ),
            )
        except OSError as error:
            ours.close()
            msg = f"the site's runtime can't be started: {error.strerror}"
            raise CapacitordError(msg, where=command[0], hint="Install capacitord again.") from None
        finally:
            theirs.close()
        run = cls(process, received, bounds)
        run.link = RuntimeLink(ours, run._receive, run._link_ended)
        with contextlib.suppress(LinkClosed):
            run.link.send(start)
        return run

    async def wait(self) -> Problem:
        """Return, once the process is gone, why it ended."""
        exit_ = asyncio.create_task(self._process.wait())
        try:
            waited_for: set[asyncio.Future[Any]] = {exit_, self._end}
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if not exit_.done():
                await self._see_off(exit_)
            # What it sent before it went may still be waiting to be read.
            await asyncio.sleep(0)
        finally:
            self._watch.cancel()
            self.link.close()
            if not exit_.done():
                self.kill()
                await exit_
        if self._failed is not None:
            return self._failed
        if self._end.done() and self._end.result().message:
            return self._end.result()
        return Problem("runtime-ended", f"the site's runtime ended: {_manner(await exit_)}", hint=_LOOK)

    def stop(self, grace: float) -> None:
        """Ask the process to finish what is open within `grace` seconds; it is killed a little later."""
        self._stopping = True
        try:
            self.link.send(Shutdown(grace))
        except (LinkClosed, CapacitordError):
            self.kill()
        self._loop.call_later(grace + self._bounds.grace_margin, self.kill)

    def kill(self) -> None:
        """End the process now. Nothing it acknowledged is lost by that."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _see_off(self, exit_: asyncio.Task[int]) -> None:
        """Wait for a process that closed its link, and was told by ours closing, to finish."""
        self.link.close()
        if self._end.result().message:
            self.kill()
        try:
            await asyncio.wait_for(asyncio.shield(exit_), self._bounds.grace + self._bounds.grace_margin)
        except TimeoutError:
            self.kill()
            await exit_

    def _sign_of_life(self) -> None:
        self._watch.cancel()
        bound = self._bounds.heartbeat if self._ready else self._bounds.start_silence
        self._watch = self._loop.call_later(bound, self._give_up, bound)

    def _give_up(self, bound: float) -> None:
        # One that was asked to stop has a bound of its own.
        if not self._stopping:
            self._finish(f"the site's runtime showed no sign of life for {bound:g} s and was killed")

    def _receive(self, message: FromRuntime) -> None:
        match message:
            case Ready():
                self._ready = True
                self._sign_of_life()
            case Heartbeat():
                self._sign_of_life()
            case Failed():
                self._failed = message.error
            case _:
                pass
        self._received(message)

    def _link_ended(self, reason: str) -> None:
        self._finish(f"the site's runtime broke the contract of the link: {reason}" if reason else "")

    def _finish(self, message: str) -> None:
        if not self._end.done():
            self._end.set_result(Problem("runtime-ended", message, hint=_LOOK))


_LOOK = "See what it said: journalctl -u capacitord -n 100"


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a runtime: ours without what systemd gave to us alone."""
    return {name: value for name, value in outer.items() if name not in _SUPERVISORS_OWN}


def _manner(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
