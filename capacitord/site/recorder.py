"""What a destination answered on its way into the ledger, in a thread of its own.

The next image is on the wire while the last answer is synced. What a crash leaves in doubt is bounded: at most
`MOST_UNWRITTEN` answers are not written, and one more for each association. An answer is never thrown away: when the
ledger does not take it, it is offered again until it does or until the end, and meanwhile no image is handed out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError
from capacitord.spool.ledger import Answer

LOG = logging.getLogger(__name__)
MOST_UNWRITTEN: Final = 64
_AT_ONCE: Final = MOST_UNWRITTEN // 2
_GATHER: Final = 0.01
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class Recorder:
    """Writes answers in their order, several with one sync where they come quickly.

    `record` writes a batch, `recorded` is told of each batch that is written, `changed` of every change of `trouble`.
    The last two are called by the recorder's thread.
    """

    def __init__(
        self,
        name: str,
        record: Callable[[list[Answer]], None],
        recorded: Callable[[list[Answer]], None],
        changed: Callable[[], None],
    ) -> None:
        self._name, self._record, self._recorded, self._tell = name, record, recorded, changed
        self._changed = threading.Condition()
        self._waiting: list[Answer] = []
        self._writing = 0
        self._put = self._written = self._hurried = 0
        self._closing = False
        self._trouble = ""
        self._next_try = 0.0
        self._thread = threading.Thread(target=self._run, name=f"ledger {name}", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why the ledger takes no answers now, empty if it does."""
        return self._trouble

    @property
    def next_try(self) -> float:
        """When the ledger is asked again, a time of the monotonic clock; 0 without trouble."""
        return self._next_try

    def put(self, answer: Answer) -> None:
        """Take an answer; waits while too many are unwritten, unless the ledger is in trouble."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room() or self._trouble or self._closing)
            self._waiting.append(answer)
            self._put += 1
            if len(self._waiting) in {1, _AT_ONCE}:
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._waiting) + self._writing < MOST_UNWRITTEN

    def flush(self, seconds: float) -> bool:
        """Wait until all answers so far are written; return whether they are."""
        with self._changed:
            last = self._put
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._written >= last, seconds)
            finally:
                self._hurried -= 1

    def close(self) -> None:
        """Write what is left, or give it up if the ledger does not take it, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            if not self._write(batch):
                LOG.error("%d answers of %s are lost; the images stay in doubt.", len(batch), self._name)
            with self._changed:
                self._writing = 0
                self._written += len(batch)
                self._changed.notify_all()

    def _next(self) -> list[Answer]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            # Answers that come quickly are written together.
            self._changed.wait_for(lambda: len(self._waiting) >= _AT_ONCE or self._hurried or self._closing, _GATHER)
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            self._writing = len(batch)
            return batch

    def _write(self, batch: list[Answer]) -> bool:
        pause = _FIRST_PAUSE
        while True:
            try:
                self._record(batch)
            except CapacitordError as error:
                words = error.message
            except Exception as error:  # noqa: BLE001 - a mistake of ours must cost neither answers nor the thread
                LOG.error("The ledger failed in an unforeseen way: %s", describe(error))  # noqa: TRY400
                words = "The ledger failed in an unforeseen way; the log says more."
            else:
                self._next_try = 0.0
                self._say("")
                self._recorded(batch)
                return True
            self._next_try = time.monotonic() + pause
            self._say(words)
            with self._changed:
                if self._closing:
                    return False
                self._changed.wait_for(lambda: self._closing, pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _say(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        if trouble:
            LOG.error("The ledger does not take the answers of %s: %s", self._name, trouble)
        else:
            LOG.warning("The ledger takes the answers of %s again.", self._name)
        with self._changed:
            self._trouble = trouble
            self._changed.notify_all()
        self._tell()
