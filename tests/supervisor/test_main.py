"""The command line of the daemon."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from capacitord import __version__
from capacitord.api.client import Client
from capacitord.api.messages import KeyInit, KeySource, Secret
from capacitord.errors import Unreachable
from tests.supervisor.daemon import folder
from tests.wait import wait_for

PASSPHRASE = "correct horse battery staple"  # noqa: S105
CAPACITORD = str(Path(sys.executable).with_name("capacitord"))


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command, env = [CAPACITORD, *arguments], os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, env=env)


def test_version() -> None:
    assert run("--version").stdout == f"capacitord {__version__}\n"


def test_check_config_says_everything_at_once(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("")
    bad.write_text('[storage]\nport = 70000\nae_titel = "X"\n')
    checked = run("check-config", str(good))
    assert (checked.returncode, checked.stdout) == (0, f"{good} is valid\n")
    refused = run("check-config", str(bad))
    assert refused.returncode == 7
    assert refused.stdout == ""
    assert refused.stderr == (
        f"{bad}:2:8: storage.port: must be at most 65535 (Write 65535, or less.)\n"
        f"{bad}:3:1: storage.ae_titel: is not known here (Did you mean ae_title?)\n"
    )


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("[box\n", 7, "expected"),
        ('[isolation]\nmode = "required"\n', 6, "bubblewrap is not installed"),
        ("[storage]\nport = 1.5\n", 7, "storage.port: must be a whole number"),
    ],
)
def test_a_configuration_it_cannot_follow_is_refused_in_words(tmp_path: Path, text: str, code: int, words: str) -> None:
    file = tmp_path / "capacitord.toml"
    file.write_text(text)
    # Where nothing is found, no bubblewrap is.
    refused = run("run", "--config", str(file), "--state", str(tmp_path / "state"), PATH="/nowhere")
    assert refused.returncode == code
    assert words in refused.stderr.lower()
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "state").exists()


def test_a_missing_configuration_is_not_found(tmp_path: Path) -> None:
    refused = run("run", "--config", str(tmp_path / "none.toml"))
    assert refused.returncode == 5
    assert "--config" in refused.stderr


def test_a_state_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    refused = run("run", "--config", os.devnull, "--state", str(state), "--socket", str(tmp_path / "s"))
    assert refused.returncode == 6
    assert "chmod 700" in refused.stderr


def test_it_serves_with_the_real_runtimes_command_and_takes_a_passphrase_from_standard_input() -> None:
    secret = PASSPHRASE
    with folder() as path:
        arguments = ["run", "--config", os.devnull, "--state", str(path / "state"), "--socket", str(path / "s.sock")]
        client = Client(path / "s.sock")

        def answers() -> bool:
            try:
                return bool(client.status())
            except Unreachable:
                return False

        for source in (subprocess.DEVNULL, subprocess.PIPE):
            extra = ["--passphrase-stdin"] if source == subprocess.PIPE else []
            process = subprocess.Popen([CAPACITORD, *arguments, "--storage-port", "0", *extra], stdin=source, stderr=-3)
            try:
                if process.stdin is not None:
                    process.stdin.write(f"{secret}\n".encode())
                    process.stdin.close()
                wait_for(answers, what="the daemon to answer")
                if source == subprocess.DEVNULL:
                    client.key_init(KeyInit(KeySource.PASSPHRASE, Secret(secret)))
                else:
                    wait_for(lambda: not client.key_status().locked, what="the box key")
                    mode = stat.S_IMODE((path / "state" / "audit" / "log.jsonl").stat().st_mode)
                    assert mode == 0o600
                    core = Path(f"/proc/{process.pid}/limits").read_text()
                    assert next(line for line in core.splitlines() if "core" in line).split()[4] == "0"
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
