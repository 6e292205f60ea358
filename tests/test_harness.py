"""A run of the tests that leaves a program behind fails and names it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

LEAVES_ONE = """
import subprocess

def test_passes():
    subprocess.Popen(["/usr/bin/sleep", "300"])
"""


def run_pytest(test: Path, content: str) -> subprocess.CompletedProcess[str]:
    test.write_text(content)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(test.parent)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        timeout=60,
    )


def test_a_program_left_behind_fails_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path / "test_leaves.py", LEAVES_ONE)
    found = re.search(r"still running at the end of the tests: (\d+) /usr/bin/sleep 300", done.stdout)
    assert found, done.stdout + done.stderr
    os.kill(int(found[1]), signal.SIGKILL)
    assert "1 passed" in done.stdout
    assert done.returncode == 1


def test_a_tidy_run_passes(tmp_path: Path) -> None:
    assert run_pytest(tmp_path / "test_tidy.py", "def test_passes(): pass").returncode == 0
