"""Questions to the source about one patient or order, for scanners that look for somebody who is not on the list.

One that a scanner repeats is not put again for a while; several scanners that look for the same one share an answer.
However many they look for, the source is asked only so much, and is left in peace for a while after it was silent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from capacitord.model.worklist import Sought
from capacitord.model.worklist_cache import AT_ONCE, MOST


class _Question:
    """One question: when it was put, whether it is answered, and whether well."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.is_over = self.went_well = False


class Lookups:
    """Puts questions in threads of its own, so that nobody waits longer than he wants. Any thread may call anything.

    `put` asks the source, takes what came, and returns whether the source answered. Between two questions about the
    same one lie `pause` seconds of `clock`, which counts seconds and may be set.
    """

    def __init__(self, put: Callable[[Sought], bool], *, pause: float, clock: Callable[[], float]) -> None:
        self._put, self._pause, self._clock = put, pause, clock
        self._changed = threading.Condition()
        self._known: dict[tuple[tuple[int, str], ...], _Question] = {}
        self._put_at: deque[float] = deque()
        self._threads: set[threading.Thread] = set()
        self._silent: float | None = None
        self._over = False

    def ask(self, sought: Sought, patience: float) -> bool:
        """Have the source asked, unless it was lately, and wait for its answer for so many seconds at most.

        Returns whether it answered, now or then.
        """
        until = time.monotonic() + patience
        with self._changed:
            question = self._lately(sought) or self._begun(sought, until)
            if question is None:
                return False
            self._changed.wait_for(lambda: question.is_over or self._over, max(0.0, until - time.monotonic()))
            if not question.is_over:
                self._silent = self._clock()
            return question.went_well

    def stop(self) -> None:
        """Put no more questions; whoever waits is told."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until nothing more is taken; after `stop`."""
        for thread in list(self._threads):
            thread.join()

    def _lately(self, sought: Sought) -> _Question | None:
        now = self._clock()
        self._known = {
            keys: each for keys, each in self._known.items() if not each.is_over or 0 <= now - each.began < self._pause
        }
        return self._known.get(sought.keys)

    def _begun(self, sought: Sought, until: float) -> _Question | None:
        """Put a question in a thread as soon as one may be put; None if the source has been asked enough."""
        if not self._may_put():
            return None
        if not self._changed.wait_for(
            lambda: self._over or len(self._threads) < AT_ONCE, max(0.0, until - time.monotonic())
        ):
            return None
        question = self._lately(sought)
        if question is not None:
            # Another scanner had the same question put while this one waited.
            return question
        if not self._may_put():
            return None
        now = self._clock()
        self._put_at.append(now)
        question = self._known[sought.keys] = _Question(now)
        thread = threading.Thread(target=self._run, args=(sought, question), name="worklist look", daemon=True)
        self._threads.add(thread)
        thread.start()
        return question

    def _may_put(self) -> bool:
        now = self._clock()
        while self._put_at and not 0 <= now - self._put_at[0] < self._pause:
            self._put_at.popleft()
        is_silent = self._silent is not None and 0 <= now - self._silent < self._pause
        return not self._over and not is_silent and len(self._put_at) < MOST

    def _run(self, sought: Sought, question: _Question) -> None:
        try:
            question.went_well = self._put(sought)
        finally:
            with self._changed:
                question.is_over = True
                self._threads.discard(threading.current_thread())
                self._changed.notify_all()
