"""How quick the command line is: whole processes, medians, beside an empty Python and `git status`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.receivers import ours

FLUXCTL = str(Path(sys.executable).with_name("fluxctl"))


def milliseconds(argv: list[str], rounds: int, environment: Mapping[str, str]) -> float:
    """Return the median time of a command in milliseconds."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run(argv, env=dict(environment), check=False, capture_output=True, timeout=60)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[1:])


def start_up(folder: Path, rounds: int) -> dict[str, float]:
    """Return the median times of what people wait for, against a running box."""
    with ours(folder) as (_, box):
        environment = {**os.environ, "CAPACITORD_SOCKET": str(box.client.socket_path)}
        completing = {
            **environment,
            "_FLUXCTL_COMPLETE": "complete_bash",
            "COMP_WORDS": "fluxctl destination echo ",
            "COMP_CWORD": "3",
        }
        return {
            "python -c pass": milliseconds([sys.executable, "-c", "pass"], rounds, environment),
            "git status": milliseconds(["git", "status"], rounds, environment),
            "fluxctl --help": milliseconds([FLUXCTL, "--help"], rounds, environment),
            "fluxctl status --json": milliseconds([FLUXCTL, "status", "--json"], rounds, environment),
            "completion of destinations": milliseconds([FLUXCTL], rounds, completing),
        }
