"""Each thing the doctor looks at, well and unwell."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.config.box import Box
from capacitord.errors import DamagedObject, Problem
from capacitord.link.messages import SpoolSettings
from capacitord.model.states import GateState
from capacitord.supervisor import doctor

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEYS = m.KeyStatus("x/1", True, False, m.KeySource.FILE, "abcd", 1, NOW, None, ("st-marys",))
ENTRY = m.AuditEntry(1, NOW, 0, "root", "key.init", (), "", "done", "", "")
LISTENER = m.Listener("FLUXBOX", "0.0.0.0", 104, bound=True)


def test_folders(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert doctor.folders(tmp_path).level is m.Level.OK
    tmp_path.chmod(0o750)
    check = doctor.folders(tmp_path)
    assert check.level is m.Level.FAILURE
    assert "chmod 700" in check.hint


def test_control_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert doctor.control_socket(path).level is m.Level.FAILURE
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert doctor.control_socket(path).level is m.Level.OK


@pytest.mark.parametrize(
    ("reserve", "warning", "level"),
    [(0, 0, m.Level.OK), (0, 1 << 62, m.Level.WARNING), (1 << 62, 1 << 62, m.Level.FAILURE)],
)
def test_disk(tmp_path: Path, reserve: int, warning: int, level: m.Level) -> None:
    assert doctor.disk(tmp_path, SpoolSettings(reserve, warning)).level is level


@pytest.mark.parametrize(
    ("last", "now", "level"),
    [
        (None, NOW, m.Level.OK),
        (ENTRY, NOW, m.Level.OK),
        (ENTRY, datetime(2026, 4, 1, tzinfo=UTC), m.Level.FAILURE),
        (None, datetime(1970, 1, 1, tzinfo=UTC), m.Level.FAILURE),
    ],
)
def test_clock(last: m.AuditEntry | None, now: datetime, level: m.Level) -> None:
    check = doctor.clock(last, now)
    assert check.level is level
    assert bool(check.hint) is (level is not m.Level.OK)


def test_keys() -> None:
    assert [check.level for check in doctor.keys(KEYS)] == [m.Level.OK]
    locked = msgspec.structs.replace(KEYS, locked=True, reason="it is locked", hint="unlock it")
    assert doctor.keys(locked) == [m.Check("keys", m.Level.FAILURE, "it is locked", "unlock it")]
    (damaged,) = doctor.keys(DamagedObject("it is damaged", hint="restore it"))
    assert damaged == m.Check("keys", m.Level.FAILURE, "it is damaged", "restore it")


@pytest.mark.parametrize(
    ("trouble", "name", "level", "hint"),
    [
        ({"damaged": ("lakeside",)}, "site keys", m.Level.FAILURE, "fluxctl key restore"),
        ({"leftovers": ("generation-2.new",)}, "key leftovers", m.Level.WARNING, "restart"),
        ({"credential_pending": True}, "credential", m.Level.WARNING, "new credential"),
    ],
)
def test_trouble_with_keys(trouble: dict[str, object], name: str, level: m.Level, hint: str) -> None:
    well, found = doctor.keys(msgspec.structs.replace(KEYS, **trouble))
    assert well.level is m.Level.OK
    assert (found.name, found.level) == (name, level)
    assert hint in found.hint


def test_profile() -> None:
    assert doctor.profile("st-marys version 1").level is m.Level.OK
    assert doctor.profile("").level is m.Level.WARNING
    assert doctor.profile("", Problem("x", "it is damaged", hint="import it")).hint == "import it"


def test_runtime_and_gate() -> None:
    assert doctor.runtime(m.Runtime(m.RuntimeState.RUNNING, pid=1)).level is m.Level.OK
    assert doctor.runtime(m.Runtime(m.RuntimeState.BACKOFF, reason="it died")).level is m.Level.FAILURE
    assert doctor.runtime(m.Runtime(m.RuntimeState.ABSENT)).level is m.Level.WARNING
    assert doctor.gate(m.Gate(GateState.OPEN, True, "fine"), LISTENER).level is m.Level.OK
    assert doctor.gate(m.Gate(GateState.BLOCKED, False, "no", "do"), LISTENER).hint == "do"


def test_groups() -> None:
    assert doctor.groups(Box(), ()).level is m.Level.OK
    assert "groupadd --system capacitord-read" in doctor.groups(Box(), ("capacitord-read",)).hint
