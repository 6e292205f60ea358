"""Completion: what may follow, in real shells too, quickly, and silently when the daemon is down."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from fluxctl.completion import complete, initials
from fluxctl.shells import SCRIPTS
from tests.fluxctl import worklist_samples
from tests.fluxctl.conftest import Run, command
from tests.fluxctl.daemon import Daemon


def ask(daemon_path: Path, shell: str, *words: str, **environment: str) -> str:
    """Return what `fluxctl` answers a shell that completes the last of `words`."""
    done = subprocess.run(
        command(*words),
        env=os.environ | {"CAPACITORD_SOCKET": str(daemon_path), "_FLUXCTL_COMPLETE": shell} | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def names(*words: str) -> list[str]:
    """Return the values that complete the last of `words`, in this process."""
    return [value for value, _ in complete(words[:-1], words[-1])]


def test_commands() -> None:
    assert names("st") == ["status", "study"]
    assert names("study", "") == ["list", "show", "explain", "preview", "resolve", "export", "discard"]
    assert names("--socket", "/x", "queue", "f") == ["flush"]
    assert names("--socket=/x", "queue", "f") == ["flush"]
    assert names("nonsense", "") == []


def test_options() -> None:
    assert "--undelivered" in names("study", "list", "--")
    assert names("study", "list", "--j") == ["--json", "--jsonl"]
    assert "--json" not in names("study", "list", "--json", "--")
    assert "--to" in names("resend", "3f2", "--to", "pacs", "--t")
    assert names("study", "resolve", "TP7", "--t") == ["--to"]
    assert names("study", "list", "--", "--") == []


def test_values_of_options() -> None:
    assert names("study", "list", "--state", "re") == ["receiving", "released"]
    assert names("study", "list", "--state=re") == ["--state=receiving", "--state=released"]
    assert names("study", "list", "--state", "=", "re") == ["receiving", "released"]
    assert names("key", "init", "--source", "") == ["file", "credential", "passphrase"]
    assert names("completion", "") == ["bash", "zsh", "fish"]
    assert "study.list" in names("schema", "st")
    assert "study.discard" in names("audit", "show", "--action", "study.")


def test_files() -> None:
    assert names("profile", "import", "x") == [":files"]
    assert names("study", "export", "3f2a9c", "x") == [":directories"]
    assert names("--socket", "") == [":files"]


def test_nothing_more_where_everything_was_given() -> None:
    assert names("profile", "show", "st-marys", "") == []
    assert names("status", "") == []


def test_initials_are_all_that_is_told_of_a_patient(daemon: Daemon) -> None:
    assert initials("DOE^JANE^A") == "J.D."
    assert initials("DOE") == "D."
    assert initials("=山田^花子") == "花.山."
    assert initials("") == ""
    text = ask(daemon.path, "zsh", "study", "show", "")
    assert "3f2a9c:CT J.D." in text
    assert "DOE" not in text


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("study", "show", ""), ["3f2a9c\tCT J.D.", "8b01d4\tDX K.M.", "c77e02\tMG/SR H.Y."]),
        (("study", "show", "8"), ["8b01d4\tDX K.M."]),
        (("study", "show", "A-10"), ["A-1001\t3f2a9c", "A-1002\t8b01d4"]),
        (("resend", "3f2", "--to", ""), ["pacs\tSTM_PACS, 820 waiting", "backup\tSTM_BACKUP, 64 waiting"]),
        (("queue", "pause", "A"), ["ALL\tevery destination"]),
        (("profile", "show", "l"), ["lakeside\tLakeside Clinic"]),
        (("site", "activate", "l"), ["lakeside\tLakeside Clinic"]),
        (("profile", "diff", "lakeside", "l"), ["lakeside\tLakeside Clinic"]),
        (("profile", "diff", "la/x"), [":files"]),
        (("worklist", "show", "5"), ["5be10c77\tCT A.M."]),
        (("worklist", "show", "A-1002"), ["A-1002\t0a41f2d9"]),
        (
            ("profile", "show", "st-marys@"),
            ["st-marys@7	2025-11-18 kim", "st-marys@6	2025-11-12 alex", "st-marys@5	2025-10-12 alex"],
        ),
    ],
)
def test_live_values(daemon: Daemon, words: tuple[str, ...], answer: list[str]) -> None:
    assert ask(daemon.path, "fish", *words).splitlines() == answer


def test_the_socket_on_the_command_line_is_asked(daemon: Daemon) -> None:
    nowhere = Path("/nowhere")
    assert ask(nowhere, "fish", "--socket", str(daemon.path), "profile", "show", "l") == "lakeside\tLakeside Clinic\n"


def test_a_refusal_is_silent(daemon: Daemon) -> None:
    daemon.answers.clear()
    assert ask(daemon.path, "bash", "study", "show", "") == ""


def test_a_daemon_that_is_down_is_silent(socket_path: Path) -> None:
    assert ask(socket_path, "bash", "study", "show", "") == ""


def test_a_daemon_that_hangs_is_silent_and_soon_given_up(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(socket_path))
        listener.listen(1)
        began = time.monotonic()
        assert ask(socket_path, "bash", "study", "show", "") == ""
        assert time.monotonic() - began < 10


def test_bash_gets_explanations_only_where_they_are_not_inserted(daemon: Daemon) -> None:
    assert ask(daemon.path, "bash", "study", "show", "").splitlines()[0] == "3f2a9c  (CT J.D.)"
    assert ask(daemon.path, "bash", "study", "show", "3") == "3f2a9c\n"
    menu = ask(daemon.path, "bash", "study", "show", "", _FLUXCTL_COMP_TYPE="37")
    assert menu.splitlines() == ["3f2a9c", "8b01d4", "c77e02"]


def test_what_a_scanner_calls_a_study_is_never_a_command_of_the_shell(daemon: Daemon) -> None:
    entries = [
        worklist_samples.entry(f"0000000{number}", "DOE", accession_number=accession)
        for number, accession in enumerate(("A1;reboot", "A2 $(reboot)", "A3`reboot`", "A4|reboot", "A/5"))
    ]
    daemon.answers["worklist.list"] = lambda _: msgspec.structs.replace(worklist_samples.NEVER, entries=tuple(entries))
    assert ask(daemon.path, "bash", "worklist", "show", "A") == "A/5\n"


# --- real shells


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A search path on which `fluxctl` is this one."""
    program = tmp_path / "bin" / "fluxctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fluxctl.main "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def shell(line: list[str], path: str, daemon: Daemon, script: str) -> list[str]:
    done = subprocess.run(
        line,
        input=script,
        env={"PATH": path, "HOME": "/nonexistent", "CAPACITORD_SOCKET": str(daemon.path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_bash(path: str, daemon: Daemon, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        source <(fluxctl completion bash)
        complete -p fluxctl
        COMP_WORDS=(fluxctl {quoted}); COMP_CWORD={len(words)}; COMP_TYPE=63
        _fluxctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    registered, *found = shell(["/bin/bash", "--norc", "--noprofile"], path, daemon, script)
    assert registered == "complete -o nosort -F _fluxctl fluxctl"
    return found


def test_bash(daemon: Daemon, path: str) -> None:
    assert in_bash(path, daemon, "stu") == ["study"]
    assert in_bash(path, daemon, "study", "show", "") == [
        "3f2a9c  (CT J.D.)",
        "8b01d4  (DX K.M.)",
        "c77e02  (MG/SR H.Y.)",
    ]
    assert in_bash(path, daemon, "study", "list", "--state", "=", "rel") == ["released"]
    assert in_bash(path, daemon, "profile", "import", "") == [""]
    assert in_bash(path, daemon, "profile", "show", "st-marys", "@", "6") == ["6"]
    assert in_bash(path, daemon, "profile", "diff", "st-marys", "@", "6", "st-marys", "@") == [
        "7  (2025-11-18 kim)",
        "6  (2025-11-12 alex)",
        "5  (2025-10-12 alex)",
    ]


def in_zsh(path: str, daemon: Daemon, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        compdef() {{ print -r -- "compdef $*" }}
        _describe() {{ print -rl -- "${{(@P)3}}" }}
        _files() {{ print -r -- "files $*" }}
        source <(fluxctl completion zsh)
        words=(fluxctl {quoted}); CURRENT={len(words) + 1}
        _fluxctl
    """
    registered, *found = shell(["/usr/bin/zsh", "-f"], path, daemon, script)
    assert registered == "compdef _fluxctl fluxctl"
    return found


def test_zsh(daemon: Daemon, path: str) -> None:
    assert in_zsh(path, daemon, "stu") == ["study:Every study of the site"]
    assert in_zsh(path, daemon, "study", "show", "") == ["3f2a9c:CT J.D.", "8b01d4:DX K.M.", "c77e02:MG/SR H.Y."]
    assert in_zsh(path, daemon, "profile", "import", "") == ["files "]
    assert in_zsh(path, daemon, "study", "export", "3f2a9c", "") == ["files -/"]


def in_fish(path: str, daemon: Daemon, line: str) -> list[str]:
    script = f"fluxctl completion fish | source; complete --do-complete '{line}'"
    return shell(["/usr/bin/fish", "--no-config"], path, daemon, script)


def test_fish(daemon: Daemon, path: str) -> None:
    assert in_fish(path, daemon, "fluxctl stu") == ["study\tEvery study of the site"]
    assert in_fish(path, daemon, "fluxctl study show ") == ["3f2a9c\tCT J.D.", "8b01d4\tDX K.M.", "c77e02\tMG/SR H.Y."]
    assert in_fish(path, daemon, "fluxctl queue pause A") == ["ALL\tevery destination"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_had(run: Run, name: str) -> None:
    assert run("completion", name).out == SCRIPTS[name]
    assert run("completion", "tcsh").code == 2
