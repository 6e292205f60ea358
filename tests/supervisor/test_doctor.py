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


DESTINATION = m.DestinationStatus(
    "pacs", "PACS", "h", 104, m.CircuitState.CLOSED, False, "", None, None, 0, 0, 0, None, 0, 0, 0, 0.0, None
)
DISK = m.Disk(1, 1, 0, 0, m.Level.OK)
TRAFFIC = m.SiteStatus((), 0, 0, None, m.SpoolStatus(1, 4, 9, 0, 0, 0, 0), DISK, (DESTINATION,), ())


def changed(traffic: m.SiteStatus, **fields: object) -> m.SiteStatus:
    """Return what the site says with another destination."""
    return msgspec.structs.replace(traffic, destinations=(msgspec.structs.replace(DESTINATION, **fields),))


def test_isolation() -> None:
    assert doctor.isolation(m.Runtime(m.RuntimeState.RUNNING, isolated=True)).level is m.Level.OK
    assert doctor.isolation(m.Runtime(m.RuntimeState.ABSENT)).level is m.Level.OK
    check = doctor.isolation(
        m.Runtime(m.RuntimeState.RUNNING, exposed="bubblewrap is not installed", hint="Install it.")
    )
    assert (check.level, bool(check.hint)) == (m.Level.WARNING, True)


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"paused": True, "waiting_images": 2}, "2 images are waiting; it is paused", "queue resume pacs"),
        ({"reason": "It is down.", "waiting_images": 1}, "1 image is waiting; It is down.", "queue flush pacs"),
        ({"refused_images": 8}, "8 images are refused", "queue show STUDY"),
        ({"paused": True, "refused_images": 8}, "8 images are refused", "queue resume pacs"),
    ],
)
def test_a_queue_that_stands_still_or_was_refused_something(fields: dict[str, object], message: str, hint: str) -> None:
    (check,) = doctor.queues(changed(TRAFFIC, **fields))
    assert (check.name, check.level) == ("queue pacs", m.Level.WARNING)
    assert message in check.message
    assert hint in check.hint


def test_a_queue_that_moves_is_well() -> None:
    assert [check.level for check in doctor.queues(changed(TRAFFIC, waiting_images=9))] == [m.Level.OK]
    (idle,) = doctor.queues(TRAFFIC)
    assert (idle.level, idle.message) == (m.Level.OK, "nothing waits")
    assert doctor.queues(None) == []


def test_what_is_set_aside_is_counted(tmp_path: Path) -> None:
    assert doctor.set_aside(tmp_path) == 0
    for site in ("st-marys", "lakeside"):
        (tmp_path / "sites" / site / "corrupt").mkdir(parents=True)
        (tmp_path / "sites" / site / "corrupt" / "0f.seal").touch()
    assert doctor.set_aside(tmp_path) == 2


@pytest.mark.parametrize(
    ("corrupt", "aside", "level", "words"),
    [
        (0, 0, m.Level.OK, "4 images are stored"),
        (1, 1, m.Level.FAILURE, "1 stored image is damaged"),
        (6, 6, m.Level.FAILURE, "6 stored images are damaged"),
        (0, 6, m.Level.WARNING, "6 files are in corrupt/"),
        (None, 6, m.Level.WARNING, "nobody tells"),
    ],
)
def test_images(corrupt: int | None, aside: int, level: m.Level, words: str) -> None:
    traffic = None
    if corrupt is not None:
        traffic = msgspec.structs.replace(TRAFFIC, spool=m.SpoolStatus(1, 4, 9, 0, 0, corrupt, 0))
    check = doctor.images(traffic, aside)
    assert check.level is level
    assert words in check.message
    assert bool(check.hint) is (level is not m.Level.OK)


def test_whatever_the_status_advises_is_among_the_checks() -> None:
    advice = tuple(m.Advice(name, m.Level.WARNING, "x", "y") for name in ("conflict", "corrupt", "images-refused"))
    status = m.Status(
        "",
        "",
        NOW,
        NOW,
        m.Gate(GateState.OPEN, True, ""),
        LISTENER,
        m.Runtime(m.RuntimeState.RUNNING),
        None,
        msgspec.structs.replace(TRAFFIC, advice=advice),
        (m.Advice("no-transcoding", m.Level.WARNING, "x", "y"), m.Advice("not-isolated", m.Level.WARNING, "x", "y")),
    )
    assert [check.name for check in doctor.advised(status)] == ["no transcoding", "conflict", "images refused"]


def test_groups() -> None:
    assert doctor.groups(Box(), ()).level is m.Level.OK
    assert "groupadd --system capacitord-read" in doctor.groups(Box(), ("capacitord-read",)).hint
