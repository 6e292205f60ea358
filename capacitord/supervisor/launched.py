"""Processes that were started, in a container and without one, and how each is ended.

A contained process is held at the door until its limits are set, and counts as contained once the kernel says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from capacitord.config.box import IsolationTable
from capacitord.errors import CapacitordError, Problem
from capacitord.supervisor import confinement, container
from capacitord.supervisor.container import Sight

_SUPERVISORS_OWN: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"})
_PATIENCE: Final = 20.0
"""Seconds for a container to be made, on a machine that has other things to do."""

_LOOK_AGAIN: Final = 0.001
_SIGNALLED: Final = 128
_AGAIN: Final = "It is tried again with the next start. See what was said: journalctl -u capacitord -n 100"


class NotContained(CapacitordError):
    """There is no container: bubblewrap is missing, or the machine does not let it do its work."""

    reference = "not-isolated"


class _Told(msgspec.Struct, frozen=True):
    """What bubblewrap tells in a line: the process it has made, or that the program was reached and has ended."""

    pid: int | None = msgspec.field(name="child-pid", default=None)
    code: int | None = msgspec.field(name="exit-code", default=None)


class Launched:
    """A process. `exposed` says why it is in no container, None if it is in one.

    Where it is not a child of ours but of bubblewrap's, `handle` is a descriptor of the process; `status` is kept as
    long as it lives, because bubblewrap writes to it in the end.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        pid: int,
        exposed: Problem | None,
        handle: int | None = None,
        status: socket.socket | None = None,
    ) -> None:
        self.pid = pid
        self.exposed = exposed
        self._process = process
        self._handle = handle
        self._status = status

    def kill(self) -> None:
        """End it now, and with it whatever it has started in its container."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is None:
                self._process.kill()
            else:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self) -> int:
        """Return how it ended once it is gone: its exit code, or the negative number of a signal."""
        code = await self._process.wait()
        if self._handle is None:
            return code
        # bubblewrap ends after it; if somebody ended bubblewrap alone, it is still there.
        self.kill()
        await _gone(self._handle)
        os.close(self._handle)
        self._handle = None
        if self._status is not None:
            self._status.close()
        return _SIGNALLED - code if code > _SIGNALLED else code


async def plain(command: Sequence[str], descriptors: Sequence[int], bounds: IsolationTable, why: Problem) -> Launched:
    """Start a program in no container. Raises OSError."""
    environment = {name: value for name, value in os.environ.items() if name not in _SUPERVISORS_OWN}
    process = await asyncio.create_subprocess_exec(
        *command,
        pass_fds=descriptors,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        env=environment,
    )
    with contextlib.suppress(ProcessLookupError):
        confinement.limit(process.pid, memory=bounds.memory, descriptors=bounds.descriptors)
    return Launched(process, process.pid, why)


class Means(NamedTuple):
    """What a container is made with: the program, what is seen inside, the filter of system calls, and limits."""

    bubblewrap: str
    sight: Sight
    rules: bytes
    bounds: IsolationTable


async def contained(
    means: Means,
    command: Sequence[str],
    descriptors: Sequence[int],
    *,
    writable: Path | None = None,
    errors: int | None = None,
) -> Launched:
    """Start a program in a container; return once it is seen to be in there. `writable` is its one folder.

    What it says goes to the descriptor `errors`, or to standard error. Raises `NotContained`.
    """
    says = sys.stderr.fileno() if errors is None else errors
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        status, told = (
            stack.enter_context(end) for stack, end in zip((ours, theirs), socket.socketpair(), strict=True)
        )
        opener, door = (
            stack.enter_context(end) for stack, end in zip((ours, theirs), socket.socketpair(), strict=True)
        )
        filter_ = theirs.enter_context(os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b"))
        filter_.write(means.rules)
        filter_.seek(0)
        own = container.Descriptors(filter_.fileno(), told.fileno(), door.fileno())
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *container.arguments(means.bubblewrap, command, means.sight, own, writable=writable),
                pass_fds=(*descriptors, *own),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=says,
                stderr=says,
                env=container.environment(os.environ, means.sight),
                # A terminal's Ctrl-C is for the supervisor, and what is not let in yet is ended as a group.
                start_new_session=True,
            )
        )
        try:
            # Cancelled in the middle, only bubblewrap would be ended, and not what it has made.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _end(await starting)
            raise
        except OSError as error:
            raise _failure(str(error.strerror)) from None
        theirs.close()
        status.setblocking(False)
        made = False
        try:
            async with asyncio.timeout(_PATIENCE):
                launched = await _let_in(process, status, opener, means.bounds)
            made = True
        except TimeoutError:
            raise _failure(f"it took more than {_PATIENCE:.0f} s") from None
        except (OSError, msgspec.DecodeError) as error:
            raise _failure(type(error).__name__) from None
        finally:
            if not made:
                await asyncio.shield(_end(process))
    return launched


async def _let_in(
    process: asyncio.subprocess.Process, status: socket.socket, opener: socket.socket, bounds: IsolationTable
) -> Launched:
    """Set the limits of what bubblewrap made, open the door, and return it when it is contained."""
    lines = _lines(status)
    pid = (await anext(lines, _Told())).pid
    if pid is None:
        raise _failure(f"it ended with {await process.wait()}")
    handle = os.pidfd_open(pid)
    try:
        confinement.limit(pid, memory=bounds.memory, descriptors=bounds.descriptors)
        opener.send(b"\n")
        ended = asyncio.ensure_future(anext(lines, _Told()))
        try:
            while (missing := confinement.lacking(pid)) and not ended.done():
                await asyncio.wait({ended}, timeout=_LOOK_AGAIN)
            if missing and (await ended).code is None:
                raise _failure(f"without {', '.join(missing)}")
        finally:
            ended.cancel()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        raise
    return Launched(process, pid, None, handle, status.dup())


async def _lines(status: socket.socket) -> AsyncIterator[_Told]:
    loop = asyncio.get_running_loop()
    rest = b""
    while piece := await loop.sock_recv(status, 4096):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield msgspec.json.decode(line, type=_Told)


def _failure(why: str) -> NotContained:
    return NotContained(f"bubblewrap made no container: {why}", hint=_AGAIN)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End bubblewrap, and what it may have made and not told of yet."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _gone(handle: int) -> None:
    """Return when the process of a handle has ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
