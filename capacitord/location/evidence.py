"""Sources of evidence: each watches one thing, never holds up the event loop, and says what it saw last and when.

Times are `seconds` of a monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import msgspec

_log = logging.getLogger(__name__)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def seconds() -> float:
    """Return the time of a clock that nobody sets, and that goes on while the machine sleeps: the coach may drive."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Observation(msgspec.Struct, Generic[T_co], frozen=True):
    """What a source sees.

    `value` is evidence; None is none, and `problem` says why, `hint` what to do about it. `words` say what was seen
    last, and `at` when, also when it does not count any more.
    """

    value: T_co | None = None
    words: str = ""
    at: float | None = None
    problem: str = ""
    hint: str = ""

    def age(self, now: float) -> float | None:
        """Return how many seconds ago it was seen; None if it never was."""
        return None if self.at is None else max(0.0, now - self.at)


class Plug(Protocol[T_co]):
    """A source of evidence."""

    @property
    def latest(self) -> Observation[T_co]:
        """What it sees; no call of it waits."""
        ...

    async def watch(self) -> None:
        """Look again and again, until cancelled. Whatever it meets is said by `latest`, and nothing raised."""
        ...


class Unseen(Exception):
    """There is nothing to be seen now: why, and what to do about it."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def words_of(error: OSError) -> str:
    """Return what the system says of an error; asyncio puts words of its own around it."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)


class Polled(Generic[T]):
    """A source that is asked every so many seconds, each time `within` a bound.

    `look` returns what there is and the words for it, or raises `Unseen` or `OSError`. `turns` bounds how many look at
    the same time.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[tuple[T, str]]],
        *,
        every: float,
        within: float,
        turns: asyncio.Semaphore | None = None,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self._look = look
        self._every = every
        self._within = within
        self._turns = turns
        self._clock = clock
        self._seen: Observation[T] = Observation(problem="not looked at yet")
        self._tried = clock()
        self._asked = False

    @property
    def latest(self) -> Observation[T]:
        """What was there when it was last looked at; nothing, if that was too long ago."""
        silent = self._clock() - self._tried
        if self._seen.value is None or silent <= 3 * self._every + 2 * self._within:
            return self._seen
        return msgspec.structs.replace(self._seen, value=None, problem=f"not looked at for {silent:.0f} s")

    @property
    def is_asked(self) -> bool:
        """Whether it was looked at once, whatever came of it."""
        return self._asked

    async def watch(self) -> None:
        """See `Plug`."""
        while True:
            await self.poll()
            await asyncio.sleep(self._every)

    async def poll(self) -> None:
        """Look once."""
        async with contextlib.AsyncExitStack() as turn:
            if self._turns is not None:
                await turn.enter_async_context(self._turns)
            try:
                async with asyncio.timeout(self._within):
                    value, words = await self._look()
                self._seen = Observation(value, words, self._clock())
            except TimeoutError:
                self._missed(f"no answer within {self._within:g} s")
            except Unseen as unseen:
                self._missed(unseen.problem, unseen.hint)
            except OSError as error:
                self._missed(words_of(error))
            except Exception as error:  # noqa: BLE001 - a source that ends for good would never say anything again
                _log.exception("a source of evidence fails")
                self._missed(f"looking at it fails ({type(error).__name__})")
        self._tried, self._asked = self._clock(), True

    def _missed(self, problem: str, hint: str = "") -> None:
        self._seen = msgspec.structs.replace(self._seen, value=None, problem=problem, hint=hint)
