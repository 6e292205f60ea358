"""A real daemon in a folder of its own, asked with curl."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.wait import wait_for

CURL = "/usr/bin/curl"
ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "heartbeat": 3.0,
    "first_delay": 0.05,
    "longest_delay": 0.4,
    "bind_retry": 0.05,
    "grace": 2.0,
    "grace_margin": 1.0,
}

NO_PREFLIGHT = "[preflight]\nrequired = false\n"
"""There is no scanner to ask, unless a test's own configuration has one."""

REAL = "real"
"""Instead of options of the fake runtime: the runtime that boxes have."""

PROFILE = """\
schema = 1
id = "st-marys"
name = "St. Mary's Hospital"
version = {version}
timezone = "America/Chicago"
[[destination]]
name = "pacs"
ae_title = "STM_PACS"
host = "127.0.0.1"
port = {port}
"""


class Answer(NamedTuple):
    """What curl got."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


class Daemon:
    """A daemon as a process. `runtime` are options of the fake runtime; `config` is appended to the file."""

    def __init__(
        self, folder: Path, *runtime: str, config: str = "", environment: dict[str, str] | None = None, **bounds: float
    ):
        self.folder = folder
        self.state = folder / "state"
        self.socket = folder / "control.sock"
        self.log = folder / "log"
        self._config = folder / "capacitord.toml"
        self._config.write_text(
            f'[box]\nstate = "{self.state}"\n[control]\nsocket = "{self.socket}"\n'
            'read_groups = ["daemon"]\noperate_groups = ["bin"]\n'
            f'[storage]\naddress = "127.0.0.1"\nport = 0\n{config}'
            f"{'' if '[preflight]' in config else NO_PREFLIGHT}"
        )
        self._arguments = ["--config", str(self._config), "--bounds", json.dumps(QUICK | bounds), "--", *runtime]
        self._environment = os.environ | (environment or {})
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again) and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.supervisor.run_daemon", *self._arguments],
                cwd=ROOT,
                stderr=log,
                stdout=log,
                env=self._environment,
            )
        return self.process

    def up(self) -> Daemon:
        """Wait until it answers."""
        wait_for(self._answers, within=20, what=f"the daemon to answer; its log: {self.log.read_text()}")
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the daemon ended: {self.log.read_text()}"
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(self.socket))
            return True
        return False

    def ask(self, method: str, path: str, body: Any = None, *options: str, prefix: tuple[str, ...] = ()) -> Answer:
        """Ask with curl; a body that is not bytes goes as JSON."""
        command = [*prefix, CURL, "-sS", "--max-time", "20", "--unix-socket", str(self.socket), "-X", method]
        command += ["-w", "\n%{http_code}", *options]
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            command += ["--data-binary", "@-"]
        done = subprocess.run([*command, f"http://box{path}"], input=data, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, f"curl: {done.returncode} {done.stderr.decode()}; {self.log.read_text()}"
        answer, _, status = done.stdout.rpartition(b"\n")
        return Answer(int(status), answer)

    def get(self, path: str) -> Any:
        """Return the JSON of a GET that succeeds."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, body: Any = None) -> Any:
        """Return the JSON of a POST that succeeds."""
        answer = self.ask("POST", path, {} if body is None else body)
        assert answer.status == 200, answer
        return answer.json

    def import_profile(self, version: int = 1, port: int = 9, **request: Any) -> Answer:
        """Import the profile of these tests."""
        return self.ask("POST", "/v1/profiles", {"text": PROFILE.format(version=version, port=port), **request})

    def gate(self) -> Any:
        """Return the gate."""
        return self.get("/v1/status")["gate"]

    def until(self, state: str, within: float = 15) -> Any:
        """Wait until the gate is in a state, and return the status."""

        def look() -> Any:
            status = self.get("/v1/status")
            return status if status["gate"]["state"] == state else None

        return wait_for(look, within=within, what=f"the gate to be {state}; log: {self.log.read_text()[-3000:]}")

    def serve(self) -> Any:
        """Make keys, import the profile, and return the status once the gate is open."""
        self.post("/v1/key/init")
        assert self.import_profile().status == 200
        return self.until("open")

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(20)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that other users may enter, with a short path, as a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="capacitord-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@contextlib.contextmanager
def running(
    *runtime: str, config: str = "", environment: dict[str, str] | None = None, **bounds: float
) -> Iterator[Daemon]:
    """Give a daemon that answers, and end it."""
    with folder() as path:
        daemon = Daemon(path, *runtime, config=config, environment=environment, **bounds)
        try:
            yield daemon.up()
        finally:
            if daemon.process.poll() is None:
                daemon.process.kill()
            daemon.process.wait()


def can_connect(port: int) -> bool:
    """Tell whether something listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
