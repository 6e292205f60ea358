"""What a process really has around it: asked of the kernel, from outside."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from capacitord.supervisor.container import NAMESPACES

_PROC: Final = Path("/proc")
_DEMANDED: Final[Mapping[str, str]] = {
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "CapInh": "0000000000000000",
    "CapPrm": "0000000000000000",
    "CapEff": "0000000000000000",
    "CapBnd": "0000000000000000",
    "CapAmb": "0000000000000000",
}
"""In `/proc/PID/status` (proc(5)): no way to privileges, a filter of system calls, no capability."""

_TASKS: Final = 4096
"""Processes and threads, which the kernel counts for a user that is not root."""

_SOONER: Final = 500
_FIRST: Final = 1000
"""Of `/proc/PID/oom_score_adj` (proc(5)): thousandths of all memory that a process counts for more, and the most."""


def lacking(pid: int) -> tuple[str, ...]:
    """Return what a contained process has and this one has not, by the kernel's names; () if it is contained.

    A process that is gone, or that cannot be looked at, has nothing.
    """
    missing = [name for name in NAMESPACES if not _own_namespace(pid, name)]
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        lines = []
    said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    missing += [name for name, value in _DEMANDED.items() if said.get(name) != value]
    return tuple(missing)


def _own_namespace(pid: int, name: str) -> bool:
    try:
        return (_PROC / str(pid) / "ns" / name).readlink() != (_PROC / "self/ns" / name).readlink()
    except OSError:
        return False


def _be_ended_before_us(pid: int) -> None:
    own = int((_PROC / "self/oom_score_adj").read_text())
    # One in no container may have closed its files already.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        (_PROC / str(pid) / "oom_score_adj").write_text(str(min(own + _SOONER, _FIRST)))


def limit(pid: int, *, memory: int, descriptors: int) -> None:
    """Limit a process and whatever it starts: bytes of memory and descriptors of each, and no core dumps.

    Memory is what can be written and is not shared: heap and threads' stacks, not files that are mapped, nor those in
    memory. So where all of it is taken, the kernel ends such a process before this one. Raises ProcessLookupError,
    PermissionError.
    """
    _be_ended_before_us(pid)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_NOFILE, descriptors),
        (resource.RLIMIT_NPROC, _TASKS),
    ):
        _, highest = resource.prlimit(pid, kind)
        bound = most if highest == resource.RLIM_INFINITY else min(most, highest)
        resource.prlimit(pid, kind, (bound, bound))
