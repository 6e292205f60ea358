"""The daemon on a coach whose day passes in seconds: its clock is injected, and its power can fail at a certain moment.

`python tests/system/coach_daemon.py run --config FILE`
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path

from capacitord.config import box
from capacitord.link import logs
from capacitord.supervisor.main import serve
from capacitord.supervisor.supervisor import Supervisor

SPEED = 100
"""Seconds of the coach's day that pass in a second."""
_LOOK = 0.2
"""Real seconds between two looks at where it is, short enough that the time between them counts for a presence."""
FAILS_AT = "power-fails-at"
"""The file, beside the configuration, that holds the words in the daemon's log at which the power fails, once."""


def clock() -> float:
    """Return the time of the coach's day, in seconds since a moment that is the same for all of this machine."""
    return SPEED * time.monotonic()


class PowerFailure(logging.Handler):
    """Ends the daemon at once when it has said certain words, before it does anything else."""

    def __init__(self, order: Path) -> None:
        super().__init__()
        self._order = order

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if self._order.exists() and self._order.read_text() in record.getMessage():
            self._order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args()
    os.umask(0o077)
    logs.set_up("info")
    logging.getLogger().addHandler(PowerFailure(options.config.with_name(FAILS_AT)))
    found = box.load(options.config)
    # A person cannot set it so short: a real clock has no need of it.
    hurried = found.location.model_copy(update={"poll": _LOOK})
    asyncio.run(serve(Supervisor(found.model_copy(update={"location": hurried}), clock=clock)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
