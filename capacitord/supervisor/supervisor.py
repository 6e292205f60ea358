"""The daemon: takes its locks, opens what it keeps, answers on the control socket, and ends in order."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from capacitord import __version__
from capacitord.api.actions import STARTED, STOPPED
from capacitord.api.messages import Gate
from capacitord.config.box import Box, Isolation
from capacitord.errors import CapacitordError, Problem, Refused
from capacitord.supervisor import files
from capacitord.supervisor.audit import DONE, AuditLog
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.box_answers import BoxAnswers
from capacitord.supervisor.chain import SealingKey
from capacitord.supervisor.control import application
from capacitord.supervisor.control_socket import ControlSocket, Lock
from capacitord.supervisor.deeds import Deeds
from capacitord.supervisor.http_server import HttpServer
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.notify import Notifier
from capacitord.supervisor.peers import Policy
from capacitord.supervisor.serving import Serving

_log = logging.getLogger(__name__)

RUNTIME: Final = (sys.executable, "-m", "capacitord.site")
"""What is exec'd for a site, with `--link-fd N` after it."""


class Supervisor:
    """One daemon on one state folder. `runtime_command` is what it execs for a site instead of our own runtime."""

    def __init__(self, box: Box, *, runtime_command: Sequence[str] | None = None, bounds: Bounds | None = None) -> None:
        """Raise `Refused` if the configuration demands what this version does not have."""
        if box.isolation.mode is Isolation.REQUIRED:
            msg = "the configuration demands isolated runtimes, and this version has no containers"
            raise Refused(msg, where="[isolation] mode", hint='Set it to "preferred" if you accept that.')
        self._box = box
        self._command = tuple(runtime_command or (*RUNTIME, "--log-level", box.log.level))
        self._bounds = Bounds() if bounds is None else bounds
        self._notifier = Notifier()
        self._serving: Serving | None = None

    async def run(self, stop: asyncio.Event, passphrase: str | None = None) -> None:
        """Serve until `stop` is set, then end in order. Raises `Refused` if another daemon has socket or state."""
        box = self._box
        await asyncio.to_thread(files.make_folder, box.state)
        state_lock = Lock(box.state / "lock", "state folder")
        try:
            audit = AuditLog(box.state / "audit")
            await _begin(audit)
            control = ControlSocket(box.socket)
            try:
                await self._serve(control, audit, stop, passphrase)
            finally:
                control.close()
            await _tell(audit, STOPPED, "")
        finally:
            state_lock.release()

    def hurry(self) -> None:
        """End the runtime now instead of when it has finished what is open."""
        if self._serving is not None:
            self._serving.keeper.kill()

    async def _serve(
        self, control: ControlSocket, audit: AuditLog, stop: asyncio.Event, passphrase: str | None
    ) -> None:
        box, bounds = self._box, self._bounds
        serving = self._serving = Serving(box, self._command, bounds, self._gate_changed)
        serving.keys.taken = partial(_seal, audit, serving.keys)
        deeds = Deeds(audit, serving.written)
        serving.did = deeds.take
        answers = BoxAnswers(box, bounds, serving, audit, deeds)
        policy = Policy.of(box.control.read_groups, box.control.operate_groups)
        server = HttpServer(application(answers, policy, bounds), bounds)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(serving.keeper.keep()),
                tasks.create_task(serving.pulse()),
                tasks.create_task(deeds.keep()),
                tasks.create_task(self._notifier.watchdog()),
            ]
            # Whoever asks meanwhile waits in the socket's backlog, and then hears how things are.
            await serving.open(passphrase)
            await server.start(control.listener)
            _log.info("capacitord %s answers on %s", __version__, control.path)
            self._notifier.ready()
            if passphrase is not None:
                await _tell(audit, "key.unlock", "with a passphrase from standard input", locked=serving.keys.problem)
            await stop.wait()
            _log.info("stopping: open associations may finish within %.0f s", bounds.grace)
            self._notifier.stopping(bounds.grace + 2 * bounds.grace_margin)
            await serving.stop()
            await server.stop()
            for task in running:
                task.cancel()
        await deeds.finish()
        _log.info("stopped")

    def _gate_changed(self, gate: Gate) -> None:
        words = f"the gate is {gate.state}: {gate.reason}"
        _log.info("%s", words)
        self._notifier.status(words)
        if self._serving is not None:
            self._serving.hub.say("gate", words)


async def _begin(audit: AuditLog) -> None:
    """Take the audit log up. A disk that is too full for it does not keep images from leaving the box."""
    try:
        await asyncio.to_thread(audit.open)
    except CapacitordError as error:
        _log.critical("the audit log can't be written, so nothing can be changed: %s: %s", error.where, error.message)
        return
    if audit.trouble:
        _log.critical("the audit log is damaged: %s", audit.trouble)
    await _tell(audit, STARTED, f"version {__version__}, process {os.getpid()}")


def _seal(audit: AuditLog, keys: Keys, box_key: str, secret: bytes) -> None:
    """Have the audit log sealed from now on."""
    try:
        audit.take_key(SealingKey(box_key, secret), keys)
    except CapacitordError as error:
        _log.critical("the audit log could not be sealed: %s", error.message)
    if audit.trouble:
        _log.critical("the audit log is damaged: %s", audit.trouble)


async def _tell(audit: AuditLog, action: str, detail: str, *, locked: Problem | None = None) -> None:
    """Write down what the daemon itself does."""
    result = DONE if locked is None else locked.reference
    try:
        await asyncio.to_thread(partial(audit.write, os.geteuid(), "capacitord", action, detail=detail, result=result))
    except CapacitordError as error:
        _log.critical("the audit log took no entry about %s: %s", action, error.message)
