"""An event loop whose time is the tests' own, and whose disk work is done at once: one thread, one order of events."""

from __future__ import annotations

import asyncio
import selectors
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_REAL: float = 1.0
"""Seconds that the kernel gets to end a connection that is being made; on this machine it needs microseconds."""


class Loop(asyncio.SelectorEventLoop):
    """Time stands while there is something to do, and jumps to the next timer then.

    `each` is called before every round: between any two things that happen at once to those who look from outside.
    """

    def __init__(self, now: float, each: Callable[[], None]) -> None:
        self.now = now
        self.each = each
        self.stands = False
        """Whether to stop instead of going to the next timer."""
        self.connecting = 0
        self.disk = _Disk()
        super().__init__(_Selector(self))
        self.set_default_executor(self.disk)

    def time(self) -> float:
        """Return the time of the tests."""
        return self.now

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect; time stands until that is done."""
        self.connecting += 1
        try:
            await super().sock_connect(sock, address)
        finally:
            self.connecting -= 1

    def rounds(self, number: int) -> None:
        """Do what is ready, so many times, and nothing that waits for a timer."""
        for _ in range(number):
            self.call_soon(self.stop)
            self.run_forever()

    def settle(self) -> None:
        """Do all there is to do at this moment."""
        self.stands = True
        try:
            self.run_forever()
        finally:
            self.stands = False

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        timer = self.call_later(seconds, self.stop)
        self.run_forever()
        timer.cancel()

    def kill(self) -> None:
        """End everything as a kill does: nothing is written any more, no timer goes off, and nobody goes on."""
        self.each = _nothing
        self.disk.dead = True
        with warnings.catch_warnings():
            # What did not begin yet is found to be never awaited, and that is so.
            warnings.simplefilter("ignore", RuntimeWarning)
            while self._cancel_all():
                self.settle()
            self.close()

    def _cancel_all(self) -> bool:
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        return bool(tasks)


class _Selector(selectors.EpollSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        loop.each()
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if loop.connecting:
            return super().select(_REAL)
        if loop.stands or timeout is None:
            loop.stop()
        else:
            loop.now += timeout
        return []


class _Disk(ThreadPoolExecutor):
    """Does at once what is asked of it, and nothing once it is dead."""

    def __init__(self) -> None:
        super().__init__(1)
        self.dead = False

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        if self.dead:
            done.cancel()
            done.set_running_or_notify_cancel()
            return done
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            done.set_exception(error)
        return done


def _nothing() -> None:
    pass
