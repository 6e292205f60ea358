"""What systemd hears, on a real notification socket."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

from tests.supervisor.daemon import running
from tests.wait import wait_for


def listening(path: Path) -> socket.socket:
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(path))
    systemd.settimeout(10)
    return systemd


def test_systemd_hears_ready_status_alive_and_stopping(tmp_path: Path) -> None:
    heard: list[str] = []
    with listening(tmp_path / "notify") as systemd:

        def hear(start: str) -> Callable[[], bool]:
            """Listen until something that starts so has come, now or before."""

            def found() -> bool:
                if not any(line.startswith(start) for line in heard):
                    heard.append(systemd.recv(4096).decode())
                return any(line.startswith(start) for line in heard)

            return found

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with running(environment=environment) as daemon:
            wait_for(hear("READY=1"), what="READY")
            wait_for(hear("STATUS=the gate is parked"), what="the gate")
            daemon.serve()
            wait_for(hear("STATUS=the gate is open: images are taken in for st-marys"), what="the open gate")
            wait_for(hear("WATCHDOG=1"), what="a sign of life")
            heard.clear()
            wait_for(hear("WATCHDOG=1"), what="another")
            daemon.process.send_signal(signal.SIGTERM)
            wait_for(hear("STOPPING=1"), what="the end")
            assert "EXTEND_TIMEOUT_USEC=4000000" in heard[-1]
            assert daemon.process.wait(20) == 0
    assert not any("\n" in line for line in heard if line.startswith("STATUS="))


def test_the_watchdog_is_silent_while_the_event_loop_hangs(tmp_path: Path) -> None:
    with listening(tmp_path / "notify") as systemd:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with running(environment=environment) as daemon:
            wait_for(lambda: systemd.recv(4096) == b"WATCHDOG=1", what="a sign of life")
            daemon.process.send_signal(signal.SIGSTOP)
            systemd.setblocking(False)
            silent = 0

            def nothing() -> bool:
                nonlocal silent
                try:
                    systemd.recv(4096)
                except BlockingIOError:
                    silent += 1
                else:
                    silent = 0
                return silent >= 15

            wait_for(nothing, what="silence")
            daemon.process.send_signal(signal.SIGCONT)
            systemd.settimeout(10)
            wait_for(lambda: systemd.recv(4096) == b"WATCHDOG=1", what="a sign of life again")


def test_a_runtime_does_not_get_what_systemd_gave_the_supervisor(tmp_path: Path) -> None:
    with listening(tmp_path / "notify"):
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "CREDENTIALS_DIRECTORY": str(tmp_path / "secrets")}
        with running(environment=environment) as daemon:
            pid = daemon.serve()["runtime"]["pid"]
            inherited = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in inherited
            assert b"CREDENTIALS_DIRECTORY" not in inherited
            assert b"PATH=" in inherited
