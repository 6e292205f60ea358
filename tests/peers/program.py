"""A program started by a test: watched, paused, killed and always ended by its own process group."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 20.0
"""Seconds a program gets to become ready, or to end after it was asked to."""

_STARTS = 5
_SHAPES_DCMTK = ("TCP_NODELAY", "TCP_BUFFER_LENGTH")


class DidNotStart(AssertionError):
    """A program ended, or stayed silent, before it was ready; its log is in the message."""


def free_port() -> int:
    """Return a TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def dcmtk_environment(*, nagle: bool) -> dict[str, str]:
    """Return this process's environment, with what decides whether DCMTK and Orthanc disable Nagle's algorithm.

    As installed they leave it on. Each message then waits some 40 ms for the other side's delayed acknowledgement,
    whichever side sends it: requests of a sender, answers of a PACS.
    """
    kept = {k: v for k, v in os.environ.items() if k not in _SHAPES_DCMTK}
    return kept if nagle else {**kept, "TCP_NODELAY": "1"}


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one, zombies included.

    Every process is asked for its parent: the kernel's own list of children may leave some out (proc(5)).
    """
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(process.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    return found


class Handle:
    """A process that is no child of ours: whoever gets its id after it is safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return a handle, None if there is no such process."""
        try:
            return cls(os.pidfd_open(pid))
        except ProcessLookupError:
            return None

    def kill(self) -> None:
        """End it at once, if it has not ended, and let go of it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        os.close(self._descriptor)


class Program:
    """One run of a program, with what it prints to standard error in a log file.

    It leads a process group of its own, so that its children end with it. It is reaped only after the group was
    killed: until then the kernel cannot give its id to anybody else.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log_path = log
        # DCMTK draws progress on standard output, unbuffered logging goes to standard error: never mix them.
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                cwd=cwd,
                env=dict(env) if env is not None else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        if self._process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.running:
            return None
        self.kill()
        return self._process.returncode

    @property
    def log(self) -> str:
        """Everything that this run, and those before it with the same log file, have printed so far."""
        return self.log_path.read_text(errors="replace")

    def descendants(self) -> list[int]:
        """Return the ids of all processes below it that run now."""
        return descendants(self.pid) if self.running else []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and its children; nothing happens if it has ended."""
        if self._process.returncode is None:
            os.killpg(self.pid, number)

    def below(self) -> list[Handle]:
        """Return a handle of each process below it, for ending those that have a session of their own."""
        return [handle for pid in self.descendants() if (handle := Handle.of(pid)) is not None]

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is read or answered."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def wait(self, within: float = PATIENCE) -> int:
        """Return the exit code; fails if it has not ended within that many seconds."""
        deadline = time.monotonic() + within
        while (code := self.returncode) is None:
            if time.monotonic() > deadline:
                msg = f"{self._process.args!r} was still running after {within:g} s"
                raise AssertionError(msg)
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        """End it and its children at once, as `kill -9` does."""
        below = self.below()
        self.signal(signal.SIGKILL)
        for each in below:
            each.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        self.signal(signal.SIGTERM)
        self.resume()
        deadline = time.monotonic() + PATIENCE
        while self.running and time.monotonic() < deadline:
            time.sleep(0.005)
        self.kill()


class Server(abc.ABC):
    """A server on a port of this machine, as a context manager: it is ready on entry and gone on exit.

    It can be stopped, killed, paused and started again in between, on the same port and with the same files.
    DCMTK's and Orthanc's DICOM servers cannot be told an address to listen on: they listen on all of them.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, *, name: str, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self._may_choose = port == 0
        self._log_path = folder / f"{name}.log"
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The latest run; fails if there was none."""
        assert self._program is not None, f"{type(self).__name__} was not started"
        return self._program

    @property
    def log(self) -> str:
        """Everything it has printed over all its runs."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    @abc.abstractmethod
    def launch(self) -> Program:
        """Start the program on `self.port`, without waiting for it."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Say whether it answers."""

    def start(self) -> None:
        """Start it and wait until it answers. On its first start it moves on from a port somebody else took."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_STARTS if self._may_choose else 1):
            if self._may_choose:
                self.port = free_port()
            self._program = self.launch()
            if _becomes(self.ready, self._program):
                self._may_choose = False
                return
            self._program.kill()
        msg = f"{type(self).__name__} did not start on port {self.port}:\n{self.log[-4000:]}"
        raise DidNotStart(msg)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        if self._program is not None:
            self._program.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._program is not None:
            self._program.kill()

    def pause(self) -> None:
        """Freeze it: a PACS that accepts connections and never answers."""
        self.program.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.program.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _becomes(ready: Callable[[], bool], program: Program) -> bool:
    deadline = time.monotonic() + PATIENCE
    while program.running and time.monotonic() < deadline:
        if ready() and program.running:
            return True
        time.sleep(0.01)
    return False
