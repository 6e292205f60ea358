"""The real daemon in a folder of its own: `capacitord run`, as systemd would start it, with real keys and profiles."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import tomli_w

from capacitord.api import messages as m
from capacitord.api.client import Client
from capacitord.errors import CapacitordError
from capacitord.model.states import GateState
from tests.peers.program import Handle, Program
from tests.wait import wait_for

CAPACITORD = Path(sys.executable).with_name("capacitord")
SITE = "st-marys"
AE_TITLE = "FLUXBOX"
_Found = TypeVar("_Found")

PATIENCE = 60.0
"""Seconds the daemon gets to open its port, or a study to be delivered, on a busy machine."""


@dataclass(frozen=True)
class Target:
    """A destination of the profile; `settings` are further keys of its table."""

    name: str
    ae_title: str
    port: int
    host: str = "127.0.0.1"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """Return the `[[destination]]` table."""
        return {"name": self.name, "ae_title": self.ae_title, "host": self.host, "port": self.port, **self.settings}


class Box:
    """The daemon as a context manager: it is running and its storage port open on entry, and gone on exit.

    It can be stopped, killed and started again in between, on the same port and state. `settings` adds to the tables
    of its configuration, which are the box's defaults but for addresses and room on the disk. `state` may lie on
    another disk than `folder`. `command` takes the arguments of `capacitord`, and `before` is put in front of it.
    `targets` are the profile's destinations, `tables` further tables of it.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *targets: Target,
        keep_delivered: str = "24h",
        settings: Mapping[str, Any] | None = None,
        state: Path | None = None,
        before: Sequence[str] = (),
        command: Sequence[str] = (str(CAPACITORD),),
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.state = state or folder / "state"
        self.before = list(before)
        self.command = list(command)
        self.targets = targets
        self.profile_version = 0
        self.routes: list[dict[str, Any]] = []
        """The profile's `[[route]]` tables, from the next version on."""
        self.transforms: list[dict[str, Any]] = []
        """Its `[[transform]]` tables, likewise."""
        self._keep_delivered = keep_delivered
        self._settings = settings or {}
        self._tables = tables or {}
        # Bound and never listening: keeps the port from everybody else while the gate is shut.
        self._reservation = socket.socket()
        self._program: Program | None = None
        self._orphaned: list[Program | Handle] = []
        self.port = 0
        self.client = Client(folder / "control.sock")

    # --- its life

    @property
    def program(self) -> Program:
        """The supervisor's latest run; fails if there was none."""
        assert self._program is not None, "the box was not started"
        return self._program

    @property
    def log(self) -> str:
        """Everything it has said over all its runs."""
        path = self.folder / "capacitord.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def launch(self) -> None:
        """Start the supervisor, without waiting for it."""
        argv = [*self.before, *self.command, "run", "--config", str(self._config())]
        self._program = Program(argv, log=self.folder / "capacitord.log", cwd=self.folder)

    def start(self) -> None:
        """Start it and wait until a scanner may send."""
        self.launch()
        self.wait_until_open()

    def stop(self, within: float = PATIENCE) -> int:
        """Ask it to end, as `systemctl stop` does, and return the supervisor's exit code."""
        os.kill(self.program.pid, signal.SIGTERM)
        return self.program.wait(within)

    def kill(self) -> None:
        """End the supervisor and its runtime at once, as a crash of the machine would; the disk keeps its caches."""
        if self._program is not None:
            self._program.kill()
        while self._orphaned:
            self._orphaned.pop().kill()

    def kill_supervisor(self) -> None:
        """End the supervisor at once, and only it: its runtime ends with it where it is in a container."""
        program = self.program
        # Kept, because a runtime that is in none has to end with the test.
        self._orphaned += program.below()
        os.kill(program.pid, signal.SIGKILL)
        wait_for(lambda: not program.running, what="the supervisor to be dead")
        self._orphaned.append(program)
        self._program = None

    def kill_runtime(self) -> int:
        """End the runtime at once, wait until the supervisor has seen it, and return its id; 0 if there was none."""
        pid = self.runtime_pid()
        # The id is as old as the status: only a child of this supervisor is the one that was meant.
        if pid not in self.program.descendants() or not _killed(pid):
            return 0
        self.wait(lambda status: status.runtime.pid != pid, what="the supervisor to miss its runtime")
        return pid

    def restart(self) -> None:
        """Stop it in good order and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and give its port back."""
        self.kill()
        self._reservation.close()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((self.host, 0))
        self.port = self._reservation.getsockname()[1]
        try:
            self.launch()
            self.wait_until_answering()
            self.client.key_init(m.KeyInit())
            self.furnish()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what it is told

    def furnish(self) -> None:
        """Give a new box its first profile."""
        self.serve(*self.targets)

    def serve(self, *targets: Target, keep_delivered: str | None = None, wait: bool = True) -> None:
        """Import the next version of the profile, with these destinations, and wait until it is in force."""
        self.targets = targets
        self._keep_delivered = keep_delivered or self._keep_delivered
        self.profile_version += 1
        self.import_profile()
        if wait:
            self.wait_until_open()
            names = {target.name for target in targets}
            wait_for(
                lambda: {destination.name for destination in self.traffic().destinations} == names,
                within=PATIENCE,
                what=f"destinations {sorted(names)}",
            )

    def import_profile(self) -> None:
        """Import the profile as it is; a runtime that waits to be started again is started at once by that."""
        self.client.profile_import(m.ProfileImport(self._profile()))

    def _profile(self) -> str:
        rules = {"route": self.routes, "transform": self.transforms}
        return tomli_w.dumps(
            {
                "schema": 1,
                "id": SITE,
                "name": "St. Mary's Hospital",
                "version": self.profile_version,
                "timezone": "America/Chicago",
                "destination": [target.table() for target in self.targets],
                "delivery": {"keep_delivered": self._keep_delivered},
                **{key: tables for key, tables in rules.items() if tables},
                **self._tables,
            }
        )

    def _config(self) -> Path:
        tables: dict[str, Any] = {
            "schema": 1,
            "box": {"state": str(self.state)},
            "control": {"socket": str(self.client.socket_path)},
            "storage": {"address": self.host, "port": self.port, "ae_title": AE_TITLE},
            "spool": {"reserve": "16 MiB", "warning": "32 MiB"},
            "preflight": {"required": False},
        }
        for name, table in self._settings.items():
            tables[name] = {**tables.get(name, {}), **table} if isinstance(table, Mapping) else table
        path = self.folder / "capacitord.toml"
        path.write_text(tomli_w.dumps(tables))
        return path

    # --- what it says

    def status(self) -> m.Status:
        """Return its status."""
        return self.client.status()

    def traffic(self) -> m.SiteStatus:
        """Return the runtime's part of the status; waits until there is one."""
        return self.wait(lambda status: status.traffic, what="the runtime's status")

    def wait_for_spool(self, **counts: int) -> None:
        """Wait until the status says this of the spool, by the names of `m.SpoolStatus`."""

        def said(status: m.Status) -> bool:
            spool = status.traffic and status.traffic.spool
            return {name: getattr(spool, name, None) for name in counts} == counts

        self.wait(said, what=f"the spool to have {counts}")

    def destination(self, name: str) -> m.DestinationStatus:
        """Return the status of one destination."""
        return next(each for each in self.traffic().destinations if each.name == name)

    def wait(self, look: Callable[[m.Status], _Found | None], *, within: float = PATIENCE, what: str) -> _Found:
        """Wait until `look` finds something in the status, also while the box does not answer; return it."""

        def condition() -> _Found | None:
            assert self.program.running, "the supervisor has ended"
            try:
                return look(self.status())
            except CapacitordError:
                return None

        return self._wait(condition, within, what)

    def _wait(self, condition: Callable[[], _Found | None], within: float, what: str) -> _Found:
        try:
            return wait_for(condition, within=within, what=what)
        except AssertionError as failed:
            msg = f"{failed}\nThe box said last:\n{self.log[-4000:]}"
            raise AssertionError(msg) from None

    def wait_until_answering(self) -> None:
        """Wait until the control socket answers."""
        self.wait(lambda status: status, what="the control socket to answer")

    def wait_until_open(self, within: float = PATIENCE) -> m.Status:
        """Wait until the gate is open, and return the status that says so."""
        return self.wait(
            lambda status: status if status.gate.state is GateState.OPEN and status.traffic else None,
            within=within,
            what="the gate to open",
        )

    def wait_until_delivered(self, *names: str, within: float = PATIENCE) -> None:
        """Wait until nothing waits for these destinations, or for any. Asks the ledger: the status may be old."""

        def condition() -> bool:
            assert self.program.running, "the supervisor has ended"
            try:
                rows = self.client.queue_list().destinations
            except CapacitordError:
                return False
            return not sum(row.images for row in rows if not names or row.destination in names)

        self._wait(condition, within, f"everything to be delivered to {', '.join(names) or 'all destinations'}")

    def runtime_pid(self) -> int:
        """Return the runtime's process id, 0 if none runs or nobody says."""
        try:
            return self.status().runtime.pid or 0
        except CapacitordError:
            return 0

    def peak_memory(self) -> int:
        """Return the most memory that the runtime has had, in bytes (VmHWM in proc(5))."""
        status = Path(f"/proc/{self.runtime_pid()}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def studies(self) -> list[m.Study]:
        """Return all studies, the newest first."""
        found: list[m.Study] = []
        after = ""
        while True:
            page = self.client.study_list(m.StudyQuery(limit=1000, after=after))
            found += page.studies
            after = page.next
            if not after:
                return found

    def images(self) -> list[m.Image]:
        """Return what is known of every image of every study, with what each destination answered."""
        return [image for study in self.studies() for image in self.client.study_show(study.id).images]

    def acks(self, destination: str) -> dict[str, m.Ack]:
        """Return what one destination answered, by SOP Instance UID."""
        return {i.sop_instance_uid: ack for i in self.images() for ack in i.acks if ack.destination == destination}


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
