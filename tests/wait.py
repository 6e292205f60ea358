"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")


def wait_for(condition: Callable[[], _Found | None], *, within: float = 30.0, what: str) -> _Found:
    """Poll `condition` until it returns something true, and return that.

    Fails after `within` seconds with a sentence that names `what` was waited for and what was seen last.
    """
    deadline = time.monotonic() + within
    pause = 0.002
    while True:
        found = condition()
        if found:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            msg = f"waited {within:g} s for {what}; the last look gave {found!r}"
            raise AssertionError(msg)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 0.05)
