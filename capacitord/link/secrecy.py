"""What a process with keys asks of the kernel for itself: no dumps of memory, no privileged children."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


def leave_no_dump() -> None:
    """Have no core written of this process, by the kernel or a program that it hands cores to; see core(5).

    Its own user cannot look into it either then; root can. Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def pass_no_capability_on() -> None:
    """Keep what systemd gave this process, such as to bind port 104, from whatever it starts. Raises OSError.

    bubblewrap refuses to start with it.
    """
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def _prctl(option: int, value: int) -> None:
    rest = ctypes.c_ulong(0)
    result = ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(option), ctypes.c_ulong(value), rest, rest, rest)
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
