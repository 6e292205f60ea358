"""A daemon to talk to, and a way to run fluxctl as a person or a script would."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fluxctl.main import main
from tests.fluxctl.daemon import Daemon
from tests.fluxctl.terminal import Terminal


class Result(NamedTuple):
    """What a run of fluxctl came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A path short enough for a Unix socket, whatever the test is called."""
    with tempfile.TemporaryDirectory(prefix="flux-") as folder:
        yield Path(folder) / "control.sock"


@pytest.fixture
def daemon(socket_path: Path) -> Iterator[Daemon]:
    """A running daemon."""
    running = Daemon(socket_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def run(socket_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run fluxctl in this process, against the socket whether a daemon listens there or not."""

    def fluxctl(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(["--socket", str(socket_path), *arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return fluxctl


def command(*arguments: str) -> list[str]:
    """Return the command line that runs fluxctl in a process of its own."""
    return [sys.executable, "-m", "fluxctl.main", *arguments]


@pytest.fixture
def spawn(socket_path: Path) -> Run:
    """Run fluxctl in a process of its own."""

    def fluxctl(*arguments: str, stdin: str = "", **environment: str) -> Result:
        done = subprocess.run(
            command(*arguments),
            input=stdin.encode(),
            capture_output=True,
            timeout=30,
            env=os.environ | {"CAPACITORD_SOCKET": str(socket_path)} | environment,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    return fluxctl


@pytest.fixture
def at_terminal(socket_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run fluxctl in a process of its own, at a terminal."""
    with contextlib.ExitStack() as stack:

        def fluxctl(*arguments: str) -> Terminal:
            environment = {**os.environ, "CAPACITORD_SOCKET": str(socket_path)}
            return stack.enter_context(Terminal(command(*arguments), environment))

        yield fluxctl
