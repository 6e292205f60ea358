"""The daemon: takes its locks, opens what it keeps, answers on the control socket, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from capacitord import __version__
from capacitord.api.actions import LOCATED, STOPPED
from capacitord.api.messages import Gate
from capacitord.config.box import Box
from capacitord.errors import CapacitordError, Problem
from capacitord.location.evidence import seconds
from capacitord.location.probes import WITHIN
from capacitord.model.destination import Destination
from capacitord.model.location import Decision, Wanted
from capacitord.model.outcome import Outcome
from capacitord.supervisor import files
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.audit_reading import DONE
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.box_answers import BoxAnswers
from capacitord.supervisor.chain import SealingKey
from capacitord.supervisor.control import application
from capacitord.supervisor.control_socket import ControlSocket, Lock
from capacitord.supervisor.deeds import Deeds
from capacitord.supervisor.gate_history import GateHistory
from capacitord.supervisor.http_server import HttpServer
from capacitord.supervisor.keyring import Keys
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.notify import Notifier
from capacitord.supervisor.peers import Policy
from capacitord.supervisor.probing import Prober
from capacitord.supervisor.profile_reader import ProfileReader
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites
from capacitord.supervisor.sparing import Sparing
from capacitord.supervisor.whereabouts import Whereabouts

_log = logging.getLogger(__name__)

RUNTIME: Final = (sys.executable, "-m", "capacitord.site")
"""What is exec'd for a site, with `--link-fd N` after it."""
PROBE: Final = (sys.executable, "-m", "capacitord.probe")
"""What is exec'd to speak DICOM for the box itself, likewise."""


class Supervisor:
    """One daemon on one state folder.

    `runtime_command` is what it execs for a site instead of our own runtime, and `also` are folders that this one sees.
    `clock` is the monotonic clock, in seconds, by which the box arrives at sites and leaves them; it goes on while the
    machine sleeps.
    """

    def __init__(
        self,
        box: Box,
        *,
        runtime_command: Sequence[str] | None = None,
        also: Sequence[Path] = (),
        bounds: Bounds | None = None,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self._box = box
        self._clock = clock
        command = runtime_command or (*RUNTIME, "--log-level", box.log.level)
        self._launcher = Launcher(command, box.isolation, hidden=box.state, also=also)
        self._probe = Launcher((*PROBE, "--log-level", box.log.level), box.isolation, hidden=box.state)
        self._bounds = Bounds() if bounds is None else bounds
        self._notifier = Notifier()
        self._serving: Serving | None = None

    async def run(self, stop: asyncio.Event, passphrase: str | None = None) -> None:
        """Serve until `stop` is set, then end in order.

        Raises `Refused` if another daemon has socket or state, and if the box demands containers and cannot have them.
        """
        box = self._box
        await self._launcher.check()
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
        """End the runtimes now instead of when they have finished what is open."""
        if self._serving is not None:
            self._serving.drains.kill()
            self._serving.keeper.kill()

    async def _serve(
        self, control: ControlSocket, audit: AuditLog, stop: asyncio.Event, passphrase: str | None
    ) -> None:
        box, bounds = self._box, self._bounds
        history = GateHistory(audit)
        gate_changed = partial(self._gate_changed, history)
        serving = self._serving = Serving(
            box, self._launcher, bounds, gate_changed, probe=self._probe, journal=history.write
        )
        serving.keys.taken = partial(_seal, audit, serving.keys)
        decisions: asyncio.Queue[Decision] = asyncio.Queue()
        echo = partial(_echo, serving.prober, box.storage.ae_title)
        whereabouts = Whereabouts(box.location, changed=decisions.put_nowait, echo=echo, clock=self._clock)
        serving.whereabouts = whereabouts
        deeds = Deeds(audit, serving.written)
        serving.did = deeds.take
        answers = BoxAnswers(box, bounds, serving, audit, deeds=deeds, whereabouts=whereabouts)
        policy = Policy.of(box.control.read_groups, box.control.operate_groups)
        server = HttpServer(application(answers, policy, bounds), bounds)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(serving.keeper.keep()),
                tasks.create_task(serving.pulse()),
                tasks.create_task(serving.overflow.watch()),
                tasks.create_task(deeds.keep()),
                tasks.create_task(self._notifier.watchdog()),
                tasks.create_task(history.keep()),
                tasks.create_task(_keep_profiles(serving, whereabouts, answers.sites)),
                tasks.create_task(whereabouts.watch()),
                tasks.create_task(self._heed_decisions(decisions, answers.sites, audit)),
            ]
            for site in await serving.erasures.resume():
                await _tell(audit, "site.erase", f"{site}: what was begun before this start is done")
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
            await history.settle()
            for task in running:
                task.cancel()
        await deeds.finish()
        _log.info("stopped")

    async def _heed_decisions(self, decisions: asyncio.Queue[Decision], sites: Sites, audit: AuditLog) -> None:
        """Say which site the evidence means whenever that changes, with the evidence, and go by it, until cancelled."""
        changes: Sparing[Decision] = Sparing()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(changes.wait):
                    decision = await decisions.get()
                changes.add(decision)
                if self._serving is not None:
                    self._serving.hub.say("location", _meaning(decision))
                sites.heed()
            if (told := changes.take()) is None:
                continue
            decision, passed = told
            words = _meaning(decision) + (f" (after {passed} changes that are not listed)" if passed else "")
            _log.log(logging.WARNING if decision.conflict else logging.INFO, "%s", words)
            subjects = (decision.site,) if decision.site else decision.kept
            await _tell(audit, LOCATED, words, subjects=subjects)

    def _gate_changed(self, history: GateHistory, gate: Gate) -> None:
        if self._serving is not None:
            history.changed(gate, self._serving.site, self._serving.grounds)
        words = f"the gate is {gate.state}: {gate.reason}"
        _log.info("%s", words)
        self._notifier.status(words)
        if self._serving is not None:
            self._serving.hub.say("gate", words)


def _meaning(decision: Decision) -> str:
    means = "contradicts itself" if decision.conflict else f"means {decision.site or 'no site'}"
    return f"the evidence {means}: {'; '.join(decision.reasons)}"


async def _echo(prober: Prober, calling: str, wanted: Wanted) -> Outcome:
    """Send a C-ECHO to a node that a profile names as evidence of its site."""
    node = Destination(
        wanted.value, wanted.ae_title, wanted.host, wanted.port, connect_timeout=WITHIN, response_timeout=WITHIN
    )
    return await prober.echo(node, calling)


async def _keep_profiles(serving: Serving, whereabouts: Whereabouts, sites: Sites) -> None:
    """Have the sites known by their profiles in force, and go by the evidence for these, until cancelled."""
    reader = ProfileReader(serving.profiles)
    while True:
        await serving.looked_around.wait()
        serving.looked_around.clear()
        try:
            await whereabouts.take(await asyncio.to_thread(reader.read))
            sites.heed()
        except CapacitordError as error:
            _log.error("the profiles can't be read: %s: %s", error.where, error.message)


async def _begin(audit: AuditLog) -> None:
    """Take the audit log up. A disk that is too full for it does not keep images from leaving the box."""
    try:
        await asyncio.to_thread(audit.open, f"version {__version__}, process {os.getpid()}")
    except CapacitordError as error:
        _log.critical("the audit log can't be written, so nothing can be changed: %s: %s", error.where, error.message)
        return
    if audit.trouble:
        _log.critical("the audit log is damaged: %s", audit.trouble)


def _seal(audit: AuditLog, keys: Keys, box_key: str, secret: bytes) -> None:
    """Have the audit log sealed from now on."""
    try:
        audit.take_key(SealingKey(box_key, secret), keys)
    except CapacitordError as error:
        _log.critical("the audit log could not be sealed: %s", error.message)
    if audit.trouble:
        _log.critical("the audit log is damaged: %s", audit.trouble)


async def _tell(
    audit: AuditLog, action: str, detail: str, *, subjects: tuple[str, ...] = (), locked: Problem | None = None
) -> None:
    """Write down what the daemon itself does."""
    result = DONE if locked is None else locked.reference
    write = partial(audit.write, os.geteuid(), "capacitord", action, detail=detail, result=result, subjects=subjects)
    try:
        await asyncio.to_thread(write)
    except CapacitordError as error:
        _log.critical("the audit log took no entry about %s: %s", action, error.message)
