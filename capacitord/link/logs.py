"""The log of both processes: lines on standard error, as the journal wants them where it reads along."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

_PRIORITY: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Journal(logging.Formatter):
    """A priority (sd-daemon(3)) before each line; the journal has the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up(level: str) -> None:
    """Send everything from `level` ("debug" to "error") on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if _journal_listens():
        handler.setFormatter(_Journal("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Its debug lines name descriptors and tasks, and its warnings are ours to give.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _journal_listens() -> bool:
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
