"""Compiled modules for the programs that tests and the bench start."""

from __future__ import annotations

import compileall
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def compile_modules() -> None:
    """Compile what has changed since the last time.

    Where Python may not write bytecode itself, each daemon, runtime and command would compile all of its modules again:
    a third of the time that a runtime takes to start. A runtime in a container never may.
    """
    for package in ("capacitord", "fluxctl", "tests"):
        compileall.compile_dir(ROOT / package, quiet=2)
