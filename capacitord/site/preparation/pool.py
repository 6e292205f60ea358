"""The helper processes of a runtime, and the queue of images they prepare: the most urgent first.

What is in memory for it at any time is bounded, over all destinations: an image counts from the moment it is read
until it was sent or given back. Processes are started when there is something to do, and ended when there is not.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from capacitord.dicom.arriving import describe
from capacitord.dicom.outgoing import Keys
from capacitord.errors import CapacitordError
from capacitord.site.preparation.helper import Helper, HelperLost
from capacitord.site.preparation.memory import sealed
from capacitord.site.preparation.messages import AsReceived, Begin, Job, Made, NotMade

LOG = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "capacitord.site.preparation")
IDLE: Final = 60.0
"""Seconds without work after which a helper ends."""

LARGEST: Final = 1 << 30
"""Bytes of the largest image that is written in another transfer syntax."""

WHILE_PREPARED: Final = 4
"""How many times its length an image may take while it is prepared: as received, unpacked, and written anew."""

_MOST_OF_MEMORY: Final = 8
_PATIENCE: Final = 60.0
_PATIENCE_A_MIB: Final = 1.0


class Readable(Protocol):
    """An image as it was received."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset; raises what the spool raises."""


class Product:
    """A prepared image, in memory: its length, and what it is now."""

    def __init__(self, made: Made, data: memoryview) -> None:
        self.transfer_syntax_uid, self.sop_instance_uid = made.transfer_syntax_uid, made.sop_instance_uid
        self.length, self.data = made.length, data


Result = Product | AsReceived | NotMade | CapacitordError
"""An error is `HelperLost`, or why the image could not be read."""


class _State(enum.Enum):
    QUEUED = enum.auto()
    WORKING = enum.auto()
    DONE = enum.auto()
    RELEASED = enum.auto()


class Commission:
    """One image that is to be prepared. Whoever asked for it waits, looks at `result`, and releases it in the end."""

    def __init__(self, pool: Pool, image: Readable, job: Job) -> None:
        self.image, self.job = image, job
        self.state = _State.QUEUED
        self.cost = 0
        self._result: Result | None = None
        self._done = threading.Event()
        self._pool = pool

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the result; return whether there is one."""
        return self._done.wait(seconds)

    @property
    def result(self) -> Result:
        """What came of it. Only when it is done."""
        if self._result is None:
            msg = "the image is not prepared yet"
            raise ValueError(msg)
        return self._result

    def finish(self, result: Result) -> None:
        """Take the result. For the pool."""
        self._result = result
        self._done.set()

    def release(self) -> None:
        """Say that the result is not needed any more, or that it is not wanted."""
        self._pool.release(self)
        self._result = None


class Pool:
    """Prepares images, `size` at a time, with at most `budget` bytes of them in memory. `close` it in the end."""

    def __init__(
        self,
        keys: Keys,
        *,
        size: int = 0,
        budget: int = 0,
        command: Sequence[str] = COMMAND,
        idle: float = IDLE,
        patience: Callable[[int], float] = lambda length: _PATIENCE + length / (1 << 20) * _PATIENCE_A_MIB,
    ) -> None:
        """With a `size` or a `budget` of 0 they follow from the machine. `patience` is for an image of some length."""
        self.size = size or max(1, len(os.sched_getaffinity(0)) - 1)
        self.budget = budget or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MOST_OF_MEMORY
        self.largest = min(LARGEST, self.budget // WHILE_PREPARED)
        self._begin = Begin(keys, WHILE_PREPARED * self.largest)
        self._command, self._idle, self._patience = command, idle, patience
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, Commission]] = []
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._idling = 0
        self._held = 0
        self._helpers: dict[int, Helper] = {}
        self._closing = False

    @property
    def held(self) -> int:
        """Bytes that images take now."""
        with self._changed:
            return self._held

    @property
    def helpers(self) -> frozenset[int]:
        """The process ids of the helpers there are."""
        with self._changed:
            return frozenset(self._helpers)

    def submit(self, image: Readable, job: Job, priority: int) -> Commission:
        """Have an image prepared, of at most `largest` bytes; a higher priority goes first."""
        commission = Commission(self, image, job)
        commission.cost = min(self.budget, WHILE_PREPARED * job.length)
        with self._changed:
            heapq.heappush(self._queue, (-priority, next(self._numbers), commission))
            if not self._idling and len(self._threads) < self.size and not self._closing:
                thread = threading.Thread(target=self._run, name="preparing", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    LOG.warning("This box has no room for another thread.")
                else:
                    self._threads.add(thread)
            lost = not self._threads
            self._changed.notify()
        if lost:
            commission.finish(HelperLost("This box has no room to prepare images now."))
        return commission

    def release(self, commission: Commission) -> None:
        """Forget a commission. One that is being worked on counts until that is over."""
        with self._changed:
            if commission.state is _State.DONE:
                self._held -= commission.cost
            commission.state = _State.RELEASED
            self._changed.notify_all()

    def close(self) -> None:
        """End all helpers; whoever still waits is told that nothing comes."""
        with self._changed:
            self._closing = True
            threads = list(self._threads)
            waiting = [commission for *_, commission in self._queue]
            self._queue.clear()
            for helper in self._helpers.values():
                helper.kill()
            self._changed.notify_all()
        for commission in waiting:
            commission.finish(HelperLost("This box is being stopped."))
        for thread in threads:
            thread.join()

    # --- its threads

    def _run(self) -> None:
        helper: Helper | None = None
        try:
            while (commission := self._next()) is not None:
                helper = self._carry_out(commission, helper)
        finally:
            if helper is not None:
                self._forget(helper)
                helper.end()

    def _next(self) -> Commission | None:
        """Return what is to be done next, when there is room for it in memory; None if the thread is to end."""
        until = time.monotonic() + self._idle
        with self._changed:
            while not self._closing:
                while self._queue and self._queue[0][2].state is _State.RELEASED:
                    heapq.heappop(self._queue)
                if self._queue and self._held + self._queue[0][2].cost <= self.budget:
                    commission = heapq.heappop(self._queue)[2]
                    commission.state = _State.WORKING
                    self._held += commission.cost
                    return commission
                left = until - time.monotonic()
                if left <= 0 and not self._queue:
                    break
                self._idling += 1
                self._changed.wait(left if not self._queue else None)
                self._idling -= 1
            self._threads.discard(threading.current_thread())
        return None

    def _carry_out(self, commission: Commission, helper: Helper | None) -> Helper | None:
        result: Result
        try:
            helper, result = self._make(commission, helper)
        except Exception as error:  # noqa: BLE001 - whoever waits is to be told
            LOG.error("An image could not be prepared for an unforeseen reason: %s", describe(error))  # noqa: TRY400
            result = HelperLost("An unforeseen error in this box; its log says more.")
        with self._changed:
            keeps = len(result.data) if isinstance(result, Product) else 0
            if commission.state is _State.RELEASED:
                keeps = 0
            else:
                commission.state = _State.DONE
            self._held -= commission.cost - keeps
            commission.cost = keeps
            self._changed.notify_all()
        commission.finish(result)
        return helper

    def _make(self, commission: Commission, helper: Helper | None) -> tuple[Helper | None, Result]:
        """Return a helper for the next image, if there is one, and the result."""
        job = commission.job
        try:
            descriptor = sealed(commission.image.chunks(), job.length)
        except CapacitordError as error:
            return helper, error
        except OSError as error:
            return helper, HelperLost(f"There is no room to prepare the image: {error.strerror}.")
        try:
            if helper is None:
                helper = Helper(self._command, self._begin)
                with self._changed:
                    self._helpers[helper.pid] = helper
                    if self._closing:
                        helper.kill()
            made = helper.make(job, descriptor, self._patience(job.length))
        except HelperLost as error:
            LOG.warning("%s", error.message)
            if helper is not None:
                self._forget(helper)
            return None, error
        finally:
            os.close(descriptor)
        return helper, Product(*made) if isinstance(made, tuple) else made

    def _forget(self, helper: Helper) -> None:
        with self._changed:
            self._helpers.pop(helper.pid, None)
