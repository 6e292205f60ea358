"""Tries to make a container where only some system calls are allowed: `python -m tests.filtered CALL...`."""

from __future__ import annotations

import asyncio
import errno
import sys

import pyseccomp

from capacitord.config.box import IsolationTable
from capacitord.supervisor.launcher import Launcher


def main() -> None:
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    machine = pyseccomp.system_arch()
    unknown = pyseccomp.resolve_syscall(machine, "no call has this name")
    for call in sys.argv[1:]:
        if pyseccomp.resolve_syscall(machine, call) != unknown:
            rules.add_rule(pyseccomp.ALLOW, call)
    rules.load()
    launcher = Launcher(["/usr/bin/true"], IsolationTable())
    asyncio.run(launcher.check())
    print("contained" if launcher.problem is None else launcher.problem.message)


if __name__ == "__main__":
    main()
