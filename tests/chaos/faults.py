"""System calls of a real program that fail, crash, lie or dawdle on demand, by `strace`.

``[*broken(log, ("fsync", "fdatasync"), fails("EIO"), first=3), "capacitord", "run", …]`` runs a program whose third
`fsync`, and third `fdatasync`, of each thread fails with EIO. The program needs no hook, and cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

STRACE = "/usr/bin/strace"

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate")
"""The calls that put bytes into a file, and into a log or a pipe as well: name `paths` to spare those."""

SYNCS = ("fsync", "fdatasync", "sync_file_range")
"""The calls that make bytes last."""

NAMES = ("openat", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat")
"""The calls that change what a folder lists, and those that open what is in it."""


def fails(errno: str) -> str:
    """Return the fault of a call that does nothing and fails, with "EIO", "ENOSPC" …"""
    return f"error={errno}"


def crashes() -> str:
    """Return the fault of a program that is killed when it enters the call."""
    return "signal=KILL"


def lies() -> str:
    """Return the fault of a call that does nothing and says it went well, as a disk does that ignores flushes."""
    return "retval=0"


def dawdles(seconds: float) -> str:
    """Return the fault of a call that takes so much longer."""
    return f"delay_enter={round(seconds * 1_000_000)}us"


def broken(
    log: Path,
    calls: Sequence[str],
    fault: str,
    *,
    first: int = 1,
    last: int | None = None,
    paths: Sequence[Path] = (),
) -> list[str]:
    """Return the words to put before a command so that some of its system calls are at fault.

    From the `first` to the `last` call of each name in each thread, counted from 1 and both included; one call only
    if `last` is None. `paths` limits it to calls on exactly these files. Children of the program are at fault too.
    """
    span = f"{first}..{last}" if last is not None else str(first)
    only = [word for path in paths for word in ("-P", str(path))]
    rule = f"inject={','.join(calls)}:{fault}:when={span}"
    tracing = ["--follow-forks", "--signal=none", "--quiet=all", "--output", str(log)]
    # Stopping at the named calls only is much quicker, but then strace (6.1) delivers no signal.
    quick = [] if fault == crashes() else ["--seccomp-bpf"]
    return [STRACE, *tracing, *quick, f"--trace={','.join(calls)}", "-e", rule, *only, "--"]


def struck(log: Path) -> int:
    """Return how many calls were at fault according to the log: a test whose fault never struck has shown nothing.

    A crash leaves no mark there; the program's exit code tells of it.
    """
    if not log.exists():
        return 0
    return sum("(INJECTED)" in line or "(DELAYED)" in line for line in log.read_text(errors="replace").splitlines())
