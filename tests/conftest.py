"""What holds for every test: bounded examples, and no program left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.peers.program import descendants

# How long examples take says how busy the machine is, and nothing about the program.
BUSY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

hypothesis.settings.register_profile("quick", BUSY, max_examples=50)
hypothesis.settings.register_profile("ci", BUSY, max_examples=100, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "quick")


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail the run if a program that a test started is still there, whichever process ran the test."""
    yield
    left = [f"{process} {_command(process)}" for process in descendants(os.getpid())]
    assert not left, f"still running at the end of the tests: {'; '.join(left)}"


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
