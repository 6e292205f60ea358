"""The control socket's place in the file system: nothing of others is removed, and only one daemon has it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capacitord.errors import Invalid, Refused
from capacitord.supervisor.control_socket import ControlSocket
from tests.supervisor.daemon import Daemon, folder


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as path:
        yield path / "control.sock"


def test_it_listens_for_everybody_and_leaves_only_its_lock(place: Path) -> None:
    control = ControlSocket(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o666
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(place))
    control.close()
    assert sorted(p.name for p in place.parent.iterdir()) == ["control.sock.lock"]


def test_a_second_one_is_told_who_has_it(place: Path) -> None:
    control = ControlSocket(place)
    with pytest.raises(Refused, match=f"runs already with this control socket: process {os.getpid()}"):
        ControlSocket(place)
    control.close()
    ControlSocket(place).close()


def test_a_socket_that_a_killed_daemon_left_is_replaced(place: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(place))
    left.close()
    ControlSocket(place).close()


def test_a_program_that_answers_without_a_lock_keeps_its_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place))
        other.listen()
        with pytest.raises(Refused, match="another program answers"):
            ControlSocket(place)
        assert place.exists()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda p: p.symlink_to("/dev/null"), os.mkfifo])
def test_what_is_not_a_socket_is_left_alone(place: Path, make: Callable[[Path], object]) -> None:
    make(place)
    before = place.lstat()
    with pytest.raises(Refused, match="not a socket"):
        ControlSocket(place)
    assert place.lstat().st_ino == before.st_ino


def test_a_lock_file_that_leads_elsewhere_is_not_followed(place: Path, tmp_path: Path) -> None:
    target = tmp_path / "important"
    target.write_text("keep")
    place.with_name("control.sock.lock").symlink_to(target)
    with pytest.raises(Exception, match="the disk refused"):
        ControlSocket(place)
    assert target.read_text() == "keep"


def test_closing_does_not_remove_what_took_its_place(place: Path) -> None:
    control = ControlSocket(place)
    place.unlink()
    place.touch()
    control.close()
    assert place.exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_that_others_write_to_is_refused(place: Path, mode: int) -> None:
    place.parent.chmod(mode)
    with pytest.raises(Refused, match="others could put their own socket"):
        ControlSocket(place)
    place.parent.chmod(0o755)


def test_a_path_too_long_for_a_socket_is_refused(place: Path) -> None:
    with pytest.raises(Invalid, match="longer than 107 bytes"):
        ControlSocket(place.parent / ("x" * 120))


def test_a_double_start_names_the_process_and_harms_nothing() -> None:
    with folder() as path:
        daemon = Daemon(path).up()
        try:
            first = daemon.process
            daemon.start().wait(20)
            assert daemon.process.returncode == 6
            assert f"runs already with this state folder: process {first.pid}" in daemon.log.read_text()
            daemon.process = first
            assert daemon.get("/v1/status")["gate"]["state"] == "parked"
        finally:
            daemon.stop()


def test_the_lock_outlives_no_process(place: Path) -> None:
    program = "import sys, os; from pathlib import Path; from capacitord.supervisor.control_socket import ControlSocket"
    program += "; ControlSocket(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", program, str(place)], check=False)
    assert killed.returncode == -9
    assert place.exists()
    ControlSocket(place).close()
