"""The unit is valid and hardened, and agrees with what the program expects of it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from capacitord.config import box
from capacitord.seal.boxkey import CREDENTIAL
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.container import NAMESPACES
from tests.peers.privilege import root_prefix

HERE = Path(__file__).parent.parent / "examples" / "systemd"
SERVICE = HERE / "capacitord.service"
SYSUSERS = HERE / "capacitord.sysusers"
TMPFILES = HERE / "capacitord.tmpfiles"
MOST_EXPOSURE = 30
"""In tenths, as `systemd-analyze security` counts: 0 is none, 100 is all. A program with a network has some."""

_SECONDS = {"": 1, "min": 60}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr}"
    return done.stdout + done.stderr


def setting(name: str) -> str:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(SERVICE)
    return unit["Service"][name]


def words(path: Path) -> list[list[str]]:
    lines = path.read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it would be where the program is installed: a check needs a program that is there."""
    program = setting("ExecStart").split()[0]
    copy = tmp_path / SERVICE.name
    copy.write_text(SERVICE.read_text().replace(program, sys.executable))
    return copy


def test_the_unit_is_valid(unit: Path) -> None:
    assert run("/usr/bin/systemd-analyze", "verify", "--man=no", unit) == ""


def test_an_invalid_unit_would_be_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=often"))
    assert "often" in run("/usr/bin/systemd-analyze", "verify", "--man=no", unit)


def test_the_unit_is_hardened(unit: Path) -> None:
    check = ("/usr/bin/systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager")
    run(*check, unit)
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=", "# "))
    with pytest.raises(AssertionError, match="Overall exposure level"):
        run(*check, unit)


def allowed_calls(group: str) -> list[str]:
    """Return the system calls of one of systemd's groups, and of the groups in it."""
    lines = run("/usr/bin/systemd-analyze", "--no-pager", "syscall-filter", group).splitlines()[1:]
    found = []
    for word in (line.strip() for line in lines):
        if word.startswith("@"):
            found += allowed_calls(word)
        elif word and not word.startswith("#"):
            found.append(word)
    return found


@pytest.mark.parametrize(("without", "works"), [("", True), ("@mount", False)])
def test_the_unit_lets_bubblewrap_make_a_container(without: str, works: bool) -> None:
    groups = [group for group in setting("SystemCallFilter").split() if group != without]
    calls = sorted({call for group in ["@default", *groups] for call in allowed_calls(group)})
    done = subprocess.run(
        [sys.executable, "-m", "tests.filtered", *calls], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout == "contained\n") is works, done.stdout + done.stderr
    assert {*setting("RestrictNamespaces").split()} == {*NAMESPACES}


def test_users_and_folders_can_be_made(tmp_path: Path) -> None:
    planned = run("/usr/bin/systemd-sysusers", "--dry-run", SYSUSERS)
    for name in ("user 'capacitord'", "group 'capacitord-read'", "group 'capacitord-operate'"):
        assert name in planned
    prefix = root_prefix()
    assert prefix is not None, "making users in a folder of their own needs root, or sudo without a password"
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    try:
        run(*prefix, "/usr/bin/systemd-sysusers", f"--root={root}", SYSUSERS)
        run(*prefix, "/usr/bin/systemd-tmpfiles", "--create", f"--root={root}", TMPFILES)
        assert "capacitord:x:" in (root / "etc/passwd").read_text()
        configuration = root / box.DEFAULT_FILE.relative_to("/")
        assert box.load(configuration) == box.Box()
        state = root / box.Box().state.relative_to("/")
        assert state.stat().st_mode & 0o777 == 0o700
        assert state.stat().st_uid != 0
    finally:
        run(*prefix, "/usr/bin/rm", "-rf", root)


def test_the_unit_agrees_with_the_configuration() -> None:
    defaults = box.Box()
    assert defaults.state == Path("/var/lib") / setting("StateDirectory")
    assert defaults.socket.parent == Path("/run") / setting("RuntimeDirectory")
    assert setting("RuntimeDirectoryMode") == "0755", "operators reach the socket in it"
    assert setting("ExecStart").split()[1:] == ["run", "--config", str(box.DEFAULT_FILE)]
    assert CREDENTIAL in SERVICE.read_text()


def test_the_groups_are_those_that_the_control_socket_asks_for() -> None:
    made = {name for kind, name, *_ in words(SYSUSERS) if kind == "g"}
    assert made == {*box.Box().control.read_groups, *box.Box().control.operate_groups}
    users = {name for kind, name, *_ in words(SYSUSERS) if kind == "u"}
    assert users == {setting("User")}
    assert setting("Group") in users


def test_systemd_waits_longer_than_the_program_takes() -> None:
    bounds = Bounds()
    assert seconds("TimeoutStopSec") > bounds.grace + bounds.grace_margin
    assert seconds("TimeoutStartSec") >= bounds.start_silence
    assert setting("KillMode") == "mixed"
    assert (setting("Type"), setting("NotifyAccess")) == ("notify", "main")
    assert seconds("WatchdogSec") > 0


def seconds(name: str) -> int:
    value = setting(name)
    number = value.rstrip("min")
    return int(number) * _SECONDS[value.removeprefix(number)]
