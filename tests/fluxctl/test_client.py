"""The caller of the daemon: every route, every way of not getting an answer."""

from __future__ import annotations

import grp
import inspect
import os
import pwd
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from capacitord import errors
from capacitord.api import messages as m
from capacitord.api import socket_path
from capacitord.api.client import Client
from capacitord.api.codes import Resolve
from capacitord.api.connection import Lines, Tar
from capacitord.api.preflight import RunPreflight
from capacitord.api.preview import Preview
from capacitord.api.review import DiscardHeld, ListHeld, Release, RestoreHeld
from capacitord.api.routes import ROUTES, Form, route
from capacitord.api.trial import Explain
from capacitord.api.unreachable import explain
from capacitord.errors import CapacitordError, NotPermitted, PartlyDone, TryAgain, Unreachable
from tests.fluxctl import samples as s
from tests.fluxctl.daemon import EXPORTED, Daemon, archive, broken_off

CALLS: dict[str, Callable[[Client], Any]] = {
    "audit.show": lambda c: c.audit_show(m.AuditQuery()),
    "audit.verify": lambda c: c.audit_verify(),
    "destination.echo": lambda c: c.destination_echo("pacs"),
    "destination.list": lambda c: c.destination_list(),
    "doctor.check": lambda c: c.doctor_check(),
    "doctor.verify": lambda c: c.doctor_verify(),
    "events": lambda c: c.events(m.EventQuery()),
    "key.export": lambda c: c.key_export(m.KeyExport(m.Secret("x"))),
    "key.init": lambda c: c.key_init(m.KeyInit()),
    "key.restore": lambda c: c.key_restore(m.KeyRestore("x", m.Secret("x"))),
    "key.rotate": lambda c: c.key_rotate(m.KeyRotate()),
    "key.status": lambda c: c.key_status(),
    "key.unlock": lambda c: c.key_unlock(m.KeyUnlock(m.Secret("x"))),
    "profile.export": lambda c: c.profile_export("st-marys"),
    "profile.history": lambda c: c.profile_history("st-marys"),
    "profile.import": lambda c: c.profile_import(m.ProfileImport("x")),
    "profile.list": lambda c: c.profile_list(),
    "profile.remove": lambda c: c.profile_remove("st-marys"),
    "profile.rollback": lambda c: c.profile_rollback(m.ProfileRollback("st-marys", "x")),
    "profile.show": lambda c: c.profile_show("st-marys"),
    "queue.flush": lambda c: c.queue_flush("ALL"),
    "queue.list": lambda c: c.queue_list(),
    "queue.pause": lambda c: c.queue_pause("ALL"),
    "held.discard": lambda c: c.held_discard(DiscardHeld("3f2a9c", "x", m.Secret("DOE^JANE"))),
    "held.list": lambda c: c.held_list(ListHeld()),
    "held.release": lambda c: c.held_release(Release("3f2a9c", ("pacs",), "x")),
    "held.restore": lambda c: c.held_restore(RestoreHeld("3f2a9c")),
    "held.show": lambda c: c.held_show("3f2a9c"),
    "queue.resume": lambda c: c.queue_resume("ALL"),
    "queue.show": lambda c: c.queue_show("3f2a9c"),
    "site.activate": lambda c: c.site_activate("st-marys", "x"),
    "site.erase": lambda c: c.site_erase("st-marys", "x"),
    "preflight.run": lambda c: c.preflight_run(RunPreflight()),
    "site.deactivate": lambda c: c.site_deactivate(),
    "site.departure": lambda c: c.site_departure(),
    "site.follow": lambda c: c.site_follow("GPS works again"),
    "geofence.list": lambda c: c.geofence_list(),
    "site.list": lambda c: c.site_list(),
    "site.location": lambda c: c.site_location(),
    "status": lambda c: c.status(),
    "study.discard": lambda c: c.study_discard(m.Discard("3f2a9c", "x", "3f2a9c")),
    "study.explain": lambda c: c.study_explain(Explain("3f2a9c")),
    "study.export": lambda c: c.study_export("3f2a9c"),
    "study.list": lambda c: c.study_list(m.StudyQuery()),
    "study.preview": lambda c: c.study_preview(Preview("3f2a9c")),
    "study.resend": lambda c: c.study_resend(m.Resend("3f2a9c")),
    "study.resolve": lambda c: c.study_resolve(Resolve("TP7PQWGYQGBF")),
    "study.show": lambda c: c.study_show("3f2a9c"),
    "worklist.list": lambda c: c.worklist_list(vanished=True),
    "worklist.refresh": lambda c: c.worklist_refresh(),
    "worklist.show": lambda c: c.worklist_show("5be10c77"),
}


def test_there_is_a_call_for_every_route() -> None:
    assert set(CALLS) == {known.name for known in ROUTES}


@pytest.mark.parametrize("name", CALLS)
def test_every_route_is_called_and_answered(daemon: Daemon, name: str) -> None:
    answer = CALLS[name](Client(daemon.path))
    if isinstance(answer, Lines):
        with answer:
            assert list(answer)
    elif isinstance(answer, Tar):
        with answer:
            assert answer.read() == archive(EXPORTED)
    else:
        assert type(answer) is route(name).response
    assert [asked for asked, _ in daemon.requests] == [name]


@pytest.mark.parametrize("known", ROUTES, ids=lambda known: known.name)
def test_methods_promise_what_the_routes_say(known: Any) -> None:
    method = getattr(Client, known.name.replace(".", "_"))
    promised = get_type_hints(method, vars(sys.modules[Client.__module__]))["return"]
    if known.form is Form.NDJSON:
        assert get_origin(promised) is Lines
        assert get_args(promised)[0] == known.response
    elif known.form is Form.TAR:
        assert promised is Tar
    else:
        assert promised is known.response


def _kinds() -> list[type[CapacitordError]]:
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, CapacitordError)]


@pytest.mark.parametrize("kind", _kinds())
def test_refusals_are_raised_as_their_own_class(daemon: Daemon, kind: type[CapacitordError]) -> None:
    refusal = kind("no", where="here", hint="do this", candidates=("a", "b"))
    daemon.refuse("status", refusal)
    with pytest.raises(kind) as caught:
        Client(daemon.path).status()
    assert caught.value.problem() == refusal.problem()
    assert type(caught.value) is kind


def test_a_refusal_in_the_middle_of_a_stream(daemon: Daemon) -> None:
    refusal = m.Refusal("fluxctl.error/1", TryAgain("the runtime is being restarted").problem())
    daemon.answers["doctor.verify"] = lambda _: [s.VERIFY[0], refusal]
    with Client(daemon.path).doctor_verify() as lines, pytest.raises(TryAgain, match="being restarted"):
        list(lines)


def test_a_stream_that_breaks_off(daemon: Daemon) -> None:
    daemon.answers["doctor.verify"] = lambda _: broken_off(s.VERIFY[:1])
    with Client(daemon.path).doctor_verify() as lines, pytest.raises(PartlyDone, match="broke off"):
        list(lines)


def test_an_answer_of_another_version(daemon: Daemon) -> None:
    daemon.answers["status"] = lambda _: m.Done("what is this?")
    with pytest.raises(CapacitordError, match="does not understand the daemon's answer") as caught:
        Client(daemon.path).status()
    assert "fluxctl version" in caught.value.hint
    daemon.answers["events"] = lambda _: [m.Done("what is this?")]
    with Client(daemon.path).events(m.EventQuery()) as lines, pytest.raises(CapacitordError, match="not understand"):
        list(lines)


def test_fields_of_a_newer_daemon_are_passed_over(daemon: Daemon) -> None:
    daemon.answers["audit.verify"] = lambda _: {"schema": "x", "ok": True, "entries": 1, "message": "m", "new": 7}
    assert Client(daemon.path).audit_verify().entries == 1


def test_hanging_up_ends_a_reader_in_another_thread(daemon: Daemon) -> None:
    stop = threading.Event()

    def forever(_: Any) -> Iterator[m.Event]:
        yield s.EVENTS[0]
        stop.wait(20)

    daemon.answers["events"] = forever
    lines = Client(daemon.path).events(m.EventQuery())
    seen = threading.Event()
    ended = threading.Event()

    def read() -> None:
        with lines:
            for _ in lines:
                seen.set()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert seen.wait(5)
    lines.hang_up()
    assert ended.wait(5)
    stop.set()


# --- nobody answers


@contextmanager
def listening(path: Path, *replies: bytes) -> Iterator[None]:
    """Listen on `path` and answer the first caller with these bytes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                for reply in replies:
                    peer.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield


def refused_with(path: Path, timeout: float = 5.0) -> CapacitordError:
    with pytest.raises(CapacitordError) as caught:
        Client(path, timeout=timeout).status()
    return caught.value


def test_no_socket(socket_path: Path) -> None:
    error = refused_with(socket_path)
    assert isinstance(error, Unreachable)
    assert error.message == "capacitord is not running: its control socket does not exist"
    assert error.where == str(socket_path)
    assert "systemctl start capacitord" in error.hint
    assert "--socket" in error.hint


def test_no_folder(tmp_path: Path) -> None:
    assert "does not exist" in refused_with(tmp_path / "nowhere" / "control.sock").message


def test_a_socket_without_a_listener(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(socket_path))
    error = refused_with(socket_path)
    assert isinstance(error, Unreachable)
    assert "crashed or was killed" in error.message
    assert "journalctl -u capacitord" in error.hint


@pytest.mark.parametrize(
    ("make", "kind"), [(Path.touch, "regular file"), (Path.mkdir, "directory"), (os.mkfifo, "pipe")]
)
def test_something_else(socket_path: Path, make: Callable[[Path], None], kind: str) -> None:
    make(socket_path)
    error = refused_with(socket_path)
    assert isinstance(error, Unreachable)
    assert kind in error.message
    assert "CAPACITORD_SOCKET" in error.hint


def test_a_path_too_long(tmp_path: Path) -> None:
    error = refused_with(tmp_path / ("x" * 120))
    assert isinstance(error, Unreachable)
    assert "too long" in error.message


def test_silence(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(socket_path))
        listener.listen(1)
        began = time.monotonic()
        error = refused_with(socket_path, timeout=0.1)
        assert time.monotonic() - began < 10
    assert isinstance(error, Unreachable)
    assert "does not answer" in error.message


def test_hanging_up(socket_path: Path) -> None:
    with listening(socket_path):
        error = refused_with(socket_path)
    assert isinstance(error, Unreachable)
    assert "hung up" in error.message


def test_another_protocol(socket_path: Path) -> None:
    with listening(socket_path, b"220 mail.example.org ESMTP\r\n"):
        error = refused_with(socket_path)
    assert isinstance(error, Unreachable)
    assert "does not speak the protocol" in error.message


def test_a_status_without_words(socket_path: Path) -> None:
    with listening(socket_path, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"):
        error = refused_with(socket_path)
    assert error.message == "the daemon answered HTTP 502 Bad Gateway without saying why"


def test_half_an_answer(socket_path: Path) -> None:
    with listening(socket_path, b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{"):
        assert isinstance(refused_with(socket_path), PartlyDone)


def test_too_many_callers(socket_path: Path) -> None:
    assert isinstance(explain(socket_path, BlockingIOError(11, "Resource temporarily unavailable")), TryAgain)


def as_nobody(ask: Callable[[], str]) -> str:
    """Return what `ask` says in a process of the user nobody; root has every permission."""
    nobody = pwd.getpwnam("nobody")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        os.write(writing, ask().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(child, 0)
    return text


def test_not_permitted_names_the_group_that_may() -> None:
    def ask() -> str:
        error = refused_with(folder / "control.sock")
        return f"{type(error).__name__}|{error.where}|{error.hint}"

    folder = Path(tempfile.mkdtemp(prefix="flux-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, 0, 4)
            folder.chmod(0o710)
            said = as_nobody(ask)
            expected = f"Its group is {grp.getgrgid(4).gr_name}: sudo usermod -aG {grp.getgrgid(4).gr_name} nobody"
        else:
            folder.chmod(0o000)
            said = ask()
            expected = f"Its group is {grp.getgrgid(folder.stat().st_gid).gr_name}: sudo usermod"
    finally:
        folder.chmod(0o700)
        folder.rmdir()
    kind, where, hint = said.split("|")
    assert kind == NotPermitted.__name__
    assert where == str(folder)
    assert expected in hint


# --- which socket


def test_the_socket_that_is_named_wins(tmp_path: Path) -> None:
    system = tmp_path / "control.sock"
    system.touch()
    assert socket_path.find("/a", {"CAPACITORD_SOCKET": "/b"}, system) == Path("/a")
    assert socket_path.find(None, {"CAPACITORD_SOCKET": "/b"}, system) == Path("/b")
    assert socket_path.find(None, {}, system) == system


def test_ones_own_socket_is_found_where_there_is_no_system_wide_one(tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    system = tmp_path / "run" / "control.sock"
    assert socket_path.find(None, environment, system) == system
    own = tmp_path / "capacitord" / "control.sock"
    own.parent.mkdir()
    own.touch()
    assert socket_path.find(None, environment, system) == own
    assert stat.S_ISREG(own.stat().st_mode)


def test_without_a_runtime_folder_platformdirs_decides() -> None:
    assert socket_path.user_socket({}).name == "control.sock"
    assert socket_path.user_socket({}).parent.name == "capacitord"
