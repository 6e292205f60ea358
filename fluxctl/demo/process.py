"""Processes of the demonstration: each ends with it, by its handle, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from capacitord.api.demo import Report
from capacitord.errors import CapacitordError

GRACE: Final = 8.0
"""Seconds in which a process may end in order, each time it is told to."""
_NOT_THEIRS: Final = frozenset({"CAPACITORD_SOCKET", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"})


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put signals that end this program off until the end, so that no process is started and its handle lost."""
    came: list[int] = []

    def put_off(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, put_off) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


class Process:
    """A program in a session of its own, so that Ctrl-C reaches only us. Its words go to `<name>.log` in `folder`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, *, pipes: bool = False) -> None:
        self.name = name
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        with (folder / f"{name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=log,
                cwd=folder,
                env={key: value for key, value in os.environ.items() if key not in _NOT_THEIRS},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise `CapacitordError` if the process is gone."""
        code = self._process.poll()
        if code is not None:
            raise CapacitordError(f"the {self.name} ended in the middle of the demonstration (exit code {code})")

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        below = _below(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # What is in a container has a session of its own.
        for handle in below:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self._process.wait()

    def stop(self) -> None:
        """End the process: in order if it can, in a hurry if it takes long, at once if it must."""
        for _ in range(2):
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
                return
        self.kill()


def _below(pid: int) -> list[int]:
    """Return a descriptor of each process that this one has started, and of all that those have."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(process.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    handles = []
    for each in found:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(each))
    return handles


class Player(Process):
    """A process that plays a role. `heard` is called with its name and each report, in a thread of its own."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, heard: Callable[[str, Report], object]) -> None:
        super().__init__(name, command, folder, pipes=True)
        self._heard = heard
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def tell(self, order: msgspec.Struct) -> None:
        """Give an order. Raises `CapacitordError` if nobody is there to take it."""
        orders = self._process.stdin
        try:
            if orders is not None:
                orders.write(msgspec.json.encode(order) + b"\n")
                orders.flush()
        except BrokenPipeError:
            self._process.wait(GRACE)
            self.check()

    def stop(self) -> None:
        """End the role by giving no more orders; at once if that does not do."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        decoder = msgspec.json.Decoder[Report](Report)
        for line in self._process.stdout or ():
            self._heard(self.name, decoder.decode(line))
