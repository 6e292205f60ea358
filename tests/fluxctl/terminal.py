"""A terminal to run fluxctl at: what it prints can be waited for, and keys can be pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from types import TracebackType
from typing import Any, Self

from tests.wait import wait_for


class Terminal:
    """A process at a pseudo-terminal of 80 columns and 40 rows."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.before = self._settings()
        self.output = ""
        # These would say of it what holds for the terminal that the tests were started from.
        own = {name: value for name, value in environment.items() if name not in {"LINES", "COLUMNS"}}
        self.process = subprocess.Popen(
            ["/usr/bin/setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=own | {"TERM": "xterm", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
        )
        os.close(theirs)

    def _settings(self) -> list[Any]:
        settings: list[Any] = termios.tcgetattr(self._ours)
        return settings

    def read(self, seconds: float = 0.05) -> str:
        """Read what has been printed and return everything so far."""
        while select.select([self._ours], [], [], seconds)[0]:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:
                break
            if not piece:
                break
            self.output += piece.decode("utf-8", "replace")
            seconds = 0
        return self.output

    def wait_for(self, text: str, within: float = 10.0) -> str:
        """Wait until `text` has been printed."""
        return wait_for(lambda: self.output if text in self.read() else None, within=within, what=repr(text))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def end(self, within: float = 10.0) -> int:
        """Wait for the process to end and return its exit code."""
        deadline = time.monotonic() + within
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        return self.process.wait(timeout=0.1)

    def is_sane(self) -> bool:
        """Return whether the terminal is as it was before the process."""
        return self._settings() == self.before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
