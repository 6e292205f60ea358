"""The helper processes of a runtime, and the queue of images they prepare: the most urgent first.

What is in memory for it at any time is bounded, over all destinations: an image counts from the moment it is read
until it was sent or given back. Processes are started when there is something to do, and ended when there is not.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from bisect import insort
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from capacitord.dicom.arriving import describe
from capacitord.dicom.outgoing import Keys
from capacitord.errors import CapacitordError
from capacitord.site.preparation.commission import (
    Commission,
    Drawing,
    Drawn,
    Key,
    Product,
    Readable,
    Result,
    State,
    in_hand,
)
from capacitord.site.preparation.helper import Helper, HelperLost
from capacitord.site.preparation.memory import sealed
from capacitord.site.preparation.messages import Begin, Draw, Job, Work

LOG = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "capacitord.site.preparation")
IDLE: Final = 60.0
"""Seconds without work after which a helper ends."""

LARGEST: Final = 1 << 30
"""Bytes of the largest image that is written in another transfer syntax."""

WHILE_PREPARED: Final = 4
"""How many times its length an image may take while it is prepared: as received, unpacked, and written anew."""

WHILE_DRAWN: Final = 2
"""The same for one of which a picture is made, in which a single frame is unpacked."""

DRAWING: Final = 60.0
"""Seconds that making a picture may take: whoever waits for it does not wait longer."""

OVERTAKEN: Final = 16
"""How many images may be begun before one that waits for room in memory: then room is kept for it."""

_MOST_OF_MEMORY: Final = 8
_PATIENCE: Final = 300.0
_PATIENCE_A_MIB: Final = 1.0
"""Seconds, and some more for each MiB: a helper may get little time while images arrive."""


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
        """With a `size` or a `budget` of 0 they follow from the machine: a helper a core, as it gives way to all else.

        `patience` is for an image of some length.
        """
        self.size = size or len(os.sched_getaffinity(0))
        self.budget = budget or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MOST_OF_MEMORY
        self.largest = min(LARGEST, self.budget // WHILE_PREPARED)
        self.largest_drawn = min(LARGEST, self.budget // WHILE_DRAWN)
        self._begin = Begin(keys, WHILE_PREPARED * self.largest)
        self._command, self._idle, self._patience = command, idle, patience
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, Commission]] = []
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._idling = 0
        self._held = 0
        self._helpers: dict[int, Helper] = {}
        self._aside: dict[Key, Commission] = {}
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

    def submit(self, image: Readable, job: Work, key: Key, priority: int) -> Commission:
        """Have an image prepared, of at most `largest` bytes, or drawn, `largest_drawn`; a higher priority goes first.

        What was set aside under this key is taken up again if it was for the same job.
        """
        commission = Commission(image, job, key, self)
        commission.cost = min(self.budget, (WHILE_DRAWN if isinstance(job, Draw) else WHILE_PREPARED) * job.length)
        with self._changed:
            aside = self._aside.pop(key, None)
            if aside is not None and _is_same(aside, job):
                return aside
            if aside is not None:
                self.release(aside)
            insort(self._queue, (-priority, next(self._numbers), commission))
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
            if commission.state is State.DONE:
                self._held -= commission.cost
            commission.state = State.RELEASED
            self._changed.notify_all()

    def set_aside(self, commission: Commission) -> None:
        """Keep what was begun for an association that ended, since the next one will ask for it.

        It is forgotten when room is needed, or when more is set aside than is worth being prepared ahead.
        """
        with self._changed:
            if commission.state not in {State.WORKING, State.DONE}:
                self.release(commission)
                return
            self._aside[commission.key] = commission
            while len(self._aside) > self.size + 1:
                self._forget_aside()
            self._changed.notify_all()

    def _forget_aside(self) -> None:
        self.release(self._aside.pop(next(iter(self._aside))))

    def close(self) -> None:
        """End all helpers; whoever still waits is told that nothing comes."""
        with self._changed:
            self._closing = True
            threads = list(self._threads)
            waiting = [commission for *_, commission in self._queue]
            self._queue.clear()
            while self._aside:
                self._forget_aside()
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
                self._queue = [entry for entry in self._queue if entry[2].state is State.QUEUED]
                while self._aside and self._queue and not self._fits(self._queue[0][2]):
                    self._forget_aside()
                commission = self._choose()
                if commission is not None:
                    commission.state = State.WORKING
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

    def _choose(self) -> Commission | None:
        """Take the first that there is room for out of the queue. What waits for room is not overtaken for ever."""
        for place, (_, _, commission) in enumerate(self._queue):
            if self._fits(commission):
                for *_, overtaken in self._queue[:place]:
                    overtaken.overtaken += 1
                del self._queue[place]
                return commission
            if commission.overtaken >= OVERTAKEN:
                break
        return None

    def _fits(self, commission: Commission) -> bool:
        return self._held + commission.cost <= self.budget

    def _carry_out(self, commission: Commission, helper: Helper | None) -> Helper | None:
        helper, result = self._make(commission, helper)
        with self._changed:
            keeps = len(result.data) if isinstance(result, Product | Drawn) else 0
            if commission.state is State.RELEASED:
                keeps = 0
            else:
                commission.state = State.DONE
            self._held -= commission.cost - keeps
            commission.cost = keeps
            self._changed.notify_all()
        commission.finish(result)
        return helper

    def _make(self, commission: Commission, helper: Helper | None) -> tuple[Helper | None, Result | Drawing]:
        """Return a helper for the next image, if there is one, and the result."""
        job = commission.job
        try:
            descriptor = sealed(commission.image.chunks(), job.length)
        except CapacitordError as error:
            return helper, error
        except OSError as error:
            return helper, HelperLost(f"There is no room to prepare the image: {error.strerror}.")
        except Exception as error:  # noqa: BLE001 - whoever waits is to be told
            return helper, _unforeseen(error)
        try:
            if helper is None:
                helper = Helper(self._command)
                with self._changed:
                    self._helpers[helper.pid] = helper
                    if self._closing:
                        helper.kill()
                helper.begin(self._begin)
            made = helper.make(job, descriptor, self._patience_with(job))
        except HelperLost as error:
            LOG.warning("%s", error.message)
            lost = error
        except Exception as error:  # noqa: BLE001 - whoever waits is to be told
            lost = _unforeseen(error)
        else:
            return helper, in_hand(*made) if isinstance(made, tuple) else made
        finally:
            os.close(descriptor)
        if helper is not None:
            # What it may still have to say is about this image: nobody who asks for another is to hear it.
            self._forget(helper)
            helper.abandon()
        return None, lost

    def _patience_with(self, job: Work) -> float:
        patience = self._patience(job.length)
        return min(patience, DRAWING) if isinstance(job, Draw) else patience

    def _forget(self, helper: Helper) -> None:
        with self._changed:
            self._helpers.pop(helper.pid, None)


def _unforeseen(error: Exception) -> HelperLost:
    LOG.error("An image could not be prepared for an unforeseen reason: %s", describe(error))
    return HelperLost("An unforeseen error in this box; its log says more.")


def _is_same(aside: Commission, job: Work) -> bool:
    """Whether what was set aside can be had for a job: it was made by the same recipe, and came to something."""
    before = aside.job
    if not isinstance(before, Job) or not isinstance(job, Job):
        return False
    if before.recipe is not job.recipe or msgspec.structs.replace(before, recipe=None) != msgspec.structs.replace(
        job, recipe=None
    ):
        return False
    return not aside.is_done or not isinstance(aside.result, CapacitordError)
