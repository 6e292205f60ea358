"""The one switch: whatever goes wrong is a message and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from capacitord import __version__, errors
from capacitord.errors import CapacitordError, Problem
from fluxctl import exits
from fluxctl.failures import problem_of, report, told
from tests.fluxctl import samples as s
from tests.fluxctl.conftest import Run, command
from tests.fluxctl.daemon import Daemon, steadily
from tests.wait import wait_for


def test_help_and_version(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    assert result.out.startswith("Usage: fluxctl [OPTIONS] COMMAND [ARGS]...")
    assert run("-h") == result
    assert run("--version").out == f"fluxctl {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("study",)])
def test_a_missing_verb_shows_the_help_and_is_wrong_usage(spawn: Run, arguments: tuple[str, ...]) -> None:
    result = spawn(*arguments)
    assert (result.code, result.out) == (exits.USAGE, "")
    assert result.err.startswith("Usage: fluxctl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stats",), "no such command 'stats'. Did you mean 'status'?"),
        (("study", "lst"), "no such command 'lst'. Did you mean 'list'?"),
        (("status", "--yaml"), "no such option: --yaml"),
        (("study", "show"), "missing argument 'STUDY'"),
        (("study", "list", "--limit", "many"), "'many' is not a number"),
        (("study", "list", "--state", "lost"), "'lost' is none of receiving, complete, matched"),
        (("status", "now"), "unexpected extra argument"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments, "--json")
    assert result.code == exits.USAGE
    assert words in result.err.replace("\n  ", " ")
    assert "next:  See: fluxctl" in result.err
    error = json.loads(result.out)["error"]
    assert error["reference"] == "usage"
    assert error["exit_code"] == exits.USAGE


def test_a_misplaced_socket_is_explained(run: Run) -> None:
    result = run("status", "--socket", "/x")
    assert result.code == exits.USAGE
    assert "fluxctl --socket PATH COMMAND" in result.err


def test_an_option_after_two_dashes_is_no_option(run: Run) -> None:
    assert run("study", "show", "--", "--json").out == ""


def test_every_error_class_has_a_meaning() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CapacitordError)]
    assert {kind.exit_code for kind in kinds} <= set(exits.MEANINGS)


@pytest.mark.parametrize("error", [ZeroDivisionError("patient DOE^JANE"), RecursionError(), MemoryError()])
def test_an_error_of_ours_is_told_as_ours_and_quotes_nothing(
    capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert report(error, json=False) == exits.FAILED
    told_as = capfd.readouterr().err
    assert f"fluxctl itself is at fault: {type(error).__name__}" in told_as
    assert "DOE" not in told_as
    assert "Traceback" not in told_as


def test_an_error_of_ours_says_where() -> None:
    error = ValueError("secret")
    try:
        raise error
    except ValueError:
        problem = problem_of(error)
    assert problem.reference == "internal"
    assert problem.where.startswith("test_switch.py:")
    assert "secret" not in f"{problem}"


def test_files_that_cannot_be_used_are_named() -> None:
    error = PermissionError(13, "Permission denied", "/etc/shadow")
    assert problem_of(error) == Problem("failed", "Permission denied", where="/etc/shadow")


def test_a_message_in_full() -> None:
    problem = Problem(
        "ambiguous",
        "this names several studies",
        where="3f2",
        hint="Give more of the short id, or the Study Instance UID, which never names more than one study.",
        exit_code=5,
        candidates=("3f2a9c", "3f2b01"),
    )
    assert told(problem, color=False, width=60, unicode=True) == (
        "✘ this names several studies\n"
        "  at:    3f2\n"
        "  which: 3f2a9c, 3f2b01\n"
        "  next:  Give more of the short id, or the Study Instance\n"
        "         UID, which never names more than one study.\n"
        "  (ambiguous, exit 5)"
    )
    hostile = Problem("x", "y\x1b[2J")
    assert told(hostile, color=True, width=60, unicode=True).startswith("\x1b[1;31m✘ y\ufffd[2J\x1b[0m\n")


def test_a_reader_that_goes_away(daemon: Daemon) -> None:
    process = subprocess.Popen(
        command("--socket", str(daemon.path), "study", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=20), err) == (exits.READER_GONE, b"")


def test_a_reader_of_an_endless_stream_that_goes_away(daemon: Daemon) -> None:
    daemon.answers["events"] = steadily(daemon)
    line = f"{sys.executable} -m fluxctl.main watch --jsonl | /usr/bin/head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        env=os.environ | {"CAPACITORD_SOCKET": str(daemon.path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    first, code = done.stdout.splitlines()
    assert json.loads(first)["schema"] == "fluxctl.watch/1"
    assert code == str(exits.READER_GONE)
    assert "Traceback" not in done.stderr


def test_ctrl_c(daemon: Daemon) -> None:
    asked = threading.Event()
    leave = threading.Event()

    def slow(_: Any) -> Any:
        asked.set()
        leave.wait(20)
        return s.STATUS

    daemon.answers["status"] = slow
    process = subprocess.Popen(
        command("--socket", str(daemon.path), "status"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert asked.wait(20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    leave.set()
    assert (process.returncode, out, err.strip()) == (exits.INTERRUPTED, b"", b"")


@pytest.mark.usefixtures("daemon")
def test_a_terminal_that_knows_no_symbols(spawn: Run) -> None:
    result = spawn("status", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.code == 0
    assert result.out.startswith("+ READY TO SCAN - St. Mary's Hospital")
    failed = spawn("study", "show", "zzz", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert failed.err.startswith("x there is no such study")


@pytest.mark.usefixtures("daemon")
def test_names_that_the_locale_lacks_still_come_out(spawn: Run) -> None:
    assert "M?LLER" in spawn("study", "list", PYTHONIOENCODING="ascii", PYTHONUTF8="0").out
    assert "MÜLLER" in spawn("study", "list", "--jsonl", PYTHONIOENCODING="ascii", PYTHONUTF8="0").out


def test_arguments_that_are_no_text(daemon: Daemon) -> None:
    line: list[str | bytes] = [*command("--socket", str(daemon.path), "study", "show"), b"\xff\xfe"]
    done = subprocess.run(line, capture_output=True, timeout=20, check=False)
    assert done.returncode == exits.USAGE
    assert b"not text in UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_traceback_only_when_asked_for(spawn: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.touch()
    quiet = spawn("profile", "validate", str(blocked / "profile.toml"))
    loud = spawn("profile", "validate", str(blocked / "profile.toml"), FLUXCTL_DEBUG="1")
    assert "Traceback" not in quiet.err
    assert "Not a directory" in quiet.err
    assert "Traceback" in loud.err


def test_an_interrupted_start_is_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, timeout=20, check=False)
    assert done.returncode == exits.INTERRUPTED
    assert b"Traceback" not in done.stderr


START = """
import sys
from fluxctl.main import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.exit(main(["status"]))
"""


# --- watch, where there is no terminal


def test_watch_prints_a_line_per_event(daemon: Daemon) -> None:
    with subprocess.Popen(
        command("--socket", str(daemon.path), "watch"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TZ": "America/Chicago"},
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert lines == [
        "2025-11-21 14:02:11 CST  status  ✔ READY TO SCAN — St. Mary's Hospital",
        "2025-11-21 14:02:11 CST  delivered  3f2a9c was delivered to pacs",
        "2025-11-21 14:02:11 CST  lagged  12 events missed",
    ]


def test_watch_survives_a_restart_and_says_so(daemon: Daemon) -> None:
    daemon.answers["events"] = steadily(daemon)
    with subprocess.Popen(
        command("--socket", str(daemon.path), "watch", "--jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["kind"] == "status"
        daemon.stop()
        assert "No news from capacitord" in process.stderr.readline()
        before = len(daemon.asked("events"))
        daemon.start()
        wait_for(lambda: len(daemon.asked("events")) > before, what="fluxctl to ask again")
        assert json.loads(process.stdout.readline())["kind"] == "status"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == exits.INTERRUPTED


def test_watch_without_a_daemon_ends_at_once(run: Run) -> None:
    assert run("watch").code == exits.UNREACHABLE
