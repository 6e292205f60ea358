"""Resting while images arrive: whoever looks does not hold up the scanner."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_SHARE: Final = 3.0
_LONGEST: Final = 1.0
"""Seconds of rest for each second of work, and at most, while images arrive."""


def rest(began: float, receiving: Callable[[], bool]) -> None:
    """Rest for the work since `began`, on the monotonic clock, if images arrive at this moment."""
    if receiving():
        time.sleep(min(_LONGEST, _SHARE * (time.monotonic() - began)))
