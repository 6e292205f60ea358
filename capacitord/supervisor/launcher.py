"""Whether the processes of this box are in containers: always where that works, never silently where it does not."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from capacitord.config.box import Isolation, IsolationTable
from capacitord.errors import CapacitordError, Problem, Refused
from capacitord.supervisor import container, system_calls
from capacitord.supervisor.launched import Launched, Means, NotContained, contained, plain

_log = logging.getLogger(__name__)
_SAYS_AT_MOST: Final = 300
_TRIAL: Final = "import socket, sys, capacitord.errors; socket.socket(fileno=int(sys.argv[1])).recv(1)"
"""Does nothing for as long as it is wanted, and needs for that what a runtime needs first: interpreter and packages."""

_LOOK: Final = "See ISOLATION in capacitord(8) for what it takes."
_SWITCHES: Final = (
    ("kernel/unprivileged_userns_clone", "0", "Allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "Allow user namespaces: sudo sysctl user.max_user_namespaces=1024"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps user namespaces from programs that it does not know: give /usr/bin/bwrap a profile with userns",
    ),
)
"""Files below /proc/sys, with what they hold where user namespaces are forbidden, and what to do then."""


class Launcher:
    """Starts one program, as often as it is needed.

    `hidden` is the box's state folder: a process sees nothing of it but what it is given. `also` are folders that the
    program sees beside its own packages.
    """

    def __init__(
        self,
        command: Sequence[str],
        isolation: IsolationTable,
        *,
        hidden: Path | None = None,
        also: Sequence[Path] = (),
    ) -> None:
        self.problem: Problem | None = None
        """Why a process that is started now is in no container, as far as that was tried."""
        self._command = tuple(command)
        self._isolation = isolation
        self._hidden = hidden
        self._also = tuple(also)
        self._rules = b""
        self._proven = False

    async def check(self) -> None:
        """Find out whether there are containers. Raises `Refused` if there are none and the box demands them."""
        try:
            await self._prove()
        except NotContained as error:
            self._settle_for_none(error)

    async def launch(self, *descriptors: int, options: Sequence[str] = (), writable: Path | None = None) -> Launched:
        """Start the program with these descriptors, and with `options` after its command.

        `writable` is the one folder of the box that it gets. It has no standard input, and what it says goes to
        standard error. Raises `Refused` where it could only be started without a container and the box demands one,
        and `CapacitordError` if it cannot be started at all.
        """
        command = (*self._command, *options)
        try:
            await self._prove()
            launched = await self._contained(command, descriptors, writable)
        except NotContained as error:
            self._settle_for_none(error)
            why = error.problem()
        else:
            self.problem = None
            return launched
        try:
            return await plain(command, descriptors, self._isolation, why)
        except OSError as error:
            msg = f"it can't be started: {error.strerror}"
            raise CapacitordError(msg, where=command[0], hint="Install capacitord again.") from None

    def _settle_for_none(self, error: NotContained) -> None:
        """Take note that there is no container, where the box does without. Raises `Refused` where it does not."""
        self._proven = False
        if self.problem is None or self.problem.message != error.message:
            _log.warning("Processes of this box are in no container: %s. %s", error.message, error.hint)
        self.problem = error.problem()
        if self._isolation.mode is Isolation.REQUIRED:
            msg = f"the configuration demands isolated runtimes, and {error.message}"
            hint = f'Set it to "preferred", if you accept that they are ordinary processes. If not: {error.hint}'
            raise Refused(msg, where="[isolation] mode", hint=hint)

    async def _prove(self) -> None:
        """Have a container made for a program that only waits, unless that has worked. Raises `NotContained`.

        Here bubblewrap can be asked for its reasons; what it says of a real one goes to the log.
        """
        if self._proven:
            return
        _bubblewrap()
        if not self._rules:
            try:
                self._rules = await asyncio.to_thread(system_calls.program)
            except system_calls.NoFilter as error:
                raise NotContained(error.message, hint=error.hint) from None
        waits, ours = socket.socketpair()
        with waits, ours, os.fdopen(os.memfd_create("said", os.MFD_CLOEXEC), "w+b") as said:
            command = (sys.executable, "-c", _TRIAL, str(waits.fileno()))
            code = 0
            try:
                launched = await self._contained(command, (waits.fileno(),), None, said.fileno())
                waits.close()
                ours.close()
                code = await launched.wait()
            except NotContained as error:
                raise NotContained(_explained(error.message, said), hint=await asyncio.to_thread(advice)) from None
            if code:
                raise NotContained(_explained(f"in a container Python ends with {code}", said), hint=_LOOK)
        self._proven = True

    async def _contained(
        self, command: Sequence[str], descriptors: Sequence[int], writable: Path | None, errors: int | None = None
    ) -> Launched:
        sight = container.look_around(self._hidden, self._also)
        means = Means(_bubblewrap(), sight, self._rules, self._isolation)
        return await contained(means, command, descriptors, writable=writable, errors=errors)


def _bubblewrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        msg = "bubblewrap is not installed"
        raise NotContained(msg, hint="On Debian and Ubuntu: sudo apt-get install bubblewrap")
    return found


def advice(setting: Callable[[str], str] = lambda name: Path("/proc/sys", name).read_text()) -> str:
    """Return what to do where bubblewrap made no container; `setting` reads one of the kernel's, or raises OSError."""
    for name, forbids, hint in _SWITCHES:
        try:
            if setting(name).strip() == forbids:
                return hint
        except OSError:
            continue
    return _LOOK


def _explained(message: str, said: BinaryIO) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f"{message} ({lines[-1][:_SAYS_AT_MOST]})" if lines else message
