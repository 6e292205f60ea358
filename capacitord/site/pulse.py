"""The heartbeat: the supervisor hears of this process as long as it gets on with its work.

Work on a slow disk may take its time, so beating and working are two threads. A step that takes longer than any disk
explains ends the beating, and with it, after a while, this process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from capacitord.dicom.arriving import describe

LOG = logging.getLogger(__name__)
EVERY: Final = 1.0
LONGEST_STEP: Final = 120.0


class Pulse:
    """Calls `beat` about once a second while the last sign of progress is less than `patience` seconds old."""

    def __init__(self, beat: Callable[[], object], patience: float = LONGEST_STEP, every: float = EVERY) -> None:
        self._beat, self._patience, self._every = beat, patience, every
        self._last = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def got_on(self) -> None:
        """Give a sign of progress."""
        self._last = time.monotonic()

    def stop(self) -> None:
        """End the beating."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            if time.monotonic() - self._last < self._patience:
                self._try()

    def _try(self) -> None:
        try:
            self._beat()
        except Exception as error:  # noqa: BLE001 - one heartbeat is missed, and the next one comes
            LOG.error("A heartbeat failed in an unforeseen way: %s", describe(error))  # noqa: TRY400
