"""One run of a site's runtime process, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from capacitord.errors import CapacitordError, Problem, TryAgain
from capacitord.link.channel import LinkClosed, pair
from capacitord.link.messages import Failed, FromRuntime, Heartbeat, Ready, Shutdown, Start
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.launched import Launched
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.runtime_link import RuntimeLink

_LINK_OPTION = "--link-fd"
_LOOK = "See what it said: journalctl -u capacitord -n 100"


class RuntimeProcess:
    """A runtime that was started.

    `received` gets its messages. `ended` is called once it is of no use any more, with the reason: that may be a
    while before `wait` returns, which is when the process is gone.
    """

    def __init__(
        self,
        process: Launched,
        received: Callable[[FromRuntime], None],
        ended: Callable[[Problem], None],
        bounds: Bounds,
    ) -> None:
        self.pid = process.pid
        self.exposed = process.exposed
        """Why it is in no container, None if it is in one."""
        self.link: RuntimeLink
        self._process = process
        self._received = received
        self._ended = ended
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._useless = asyncio.Event()
        self._failed: Problem | None = None
        self._why = ""
        self._ready = False
        self._stopping = False
        self._watch = self._loop.call_later(bounds.start_silence, self._give_up, bounds.start_silence)

    @classmethod
    async def start(
        cls,
        launcher: Launcher,
        start: Start,
        bounds: Bounds,
        *,
        received: Callable[[FromRuntime], None],
        ended: Callable[[Problem], None],
    ) -> RuntimeProcess:
        """Have `launcher` start one with an end of a link, and tell it `start`, which has the site's key.

        Raises `CapacitordError` if it can't run.
        """
        try:
            ours, theirs = pair()
        except OSError as error:
            raise _not_started(error) from None
        try:
            fd = theirs.fileno()
            process = await launcher.launch(fd, options=(_LINK_OPTION, str(fd)), writable=Path(start.spool))
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise _not_started(error) from None
            if isinstance(error, CapacitordError):
                error.message = f"the site's runtime can't be started: {error.message}"
            raise
        finally:
            theirs.close()
        run = cls(process, received, ended, bounds)
        run.link = RuntimeLink(ours, run._receive, run._link_ended)
        with contextlib.suppress(LinkClosed):
            run.link.send(start)
        return run

    async def wait(self) -> Problem:
        """Return why it ended, once the process is gone: by itself, or killed if that takes too long."""
        exit_ = asyncio.create_task(self._process.wait())
        useless = asyncio.create_task(self._useless.wait())
        try:
            await asyncio.wait({exit_, useless}, return_when=asyncio.FIRST_COMPLETED)
            if not exit_.done():
                await asyncio.wait({exit_}, timeout=self._bounds.grace + self._bounds.grace_margin)
        finally:
            self._watch.cancel()
            useless.cancel()
            if not exit_.done():
                self.kill()
            code = await exit_
            self.link.drain()
            self._finish("")
        return self._problem(self._why or f"the site's runtime ended: {_manner(code)}")

    def stop(self, grace: float) -> None:
        """Ask the process to finish what is open within `grace` seconds; it is killed a little later."""
        self._stopping = True
        self._watch.cancel()
        # One that can't be asked has gone, or is hung.
        with contextlib.suppress(LinkClosed, CapacitordError):
            self.link.send(Shutdown(grace))
        self._watch = self._loop.call_later(grace + self._bounds.grace_margin, self.kill)

    def kill(self) -> None:
        """End the process now. Nothing it acknowledged is lost by that."""
        self._process.kill()

    def _sign_of_life(self) -> None:
        # One that was asked to stop has a bound of its own.
        if not self._stopping:
            self._watch.cancel()
            bound = self._bounds.heartbeat if self._ready else self._bounds.start_silence
            self._watch = self._loop.call_later(bound, self._give_up, bound)

    def _give_up(self, bound: float) -> None:
        self._finish(f"the site's runtime showed no sign of life for {bound:g} s and was killed")
        self.kill()

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
        if reason:
            self._finish(f"the site's runtime broke the contract of the link: {reason}")
            self.kill()
        else:
            self._finish("")

    def _finish(self, why: str) -> None:
        if not self._useless.is_set():
            self._useless.set()
            self._why = why
            self.link.close()
            self._ended(self._problem(why or "the site's runtime ended"))

    def _problem(self, words: str) -> Problem:
        return self._failed or Problem("runtime-ended", words, hint=_LOOK)


def _not_started(error: OSError) -> CapacitordError:
    return TryAgain(f"the site's runtime can't be started: {error.strerror}", hint=_LOOK)


def _manner(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
