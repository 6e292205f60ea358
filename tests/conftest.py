"""What holds for every test: bounded examples, no program left behind, and an order that keeps all cores busy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.compiled import compile_modules
from tests.peers.program import descendants

# How long examples take says how busy the machine is, and nothing about the program.
BUSY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

hypothesis.settings.register_profile("quick", BUSY, max_examples=50)
hypothesis.settings.register_profile("ci", BUSY, max_examples=100, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "quick")


LONG_FIRST = ("system", "demo", "torture", "supervisor", "fluxctl", "site", "dicom", "spool")
"""Folders in the order in which they are tested, those with the longest files first; the rest come behind.

One process runs all tests of a file. A long file that is begun last would run alone, with all other cores idle.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Compile all modules, once for all processes that run tests, and heed Ctrl-C if they are run in the background.

    A shell has what it starts there ignore it, and programs that tests start and interrupt would do the same.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        compile_modules()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of folders with long files first; within a folder all stay as they are."""
    tests, last = Path(__file__).parent, len(LONG_FIRST)

    def turn(item: pytest.Item) -> int:
        return next((turn for turn, folder in enumerate(LONG_FIRST) if item.path.is_relative_to(tests / folder)), last)

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return half as many processes again as there are cores: a third of their time tests wait for something."""
    cores = len(os.sched_getaffinity(0))
    return cores + cores // 2


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail the run if a program that a test started is still there, whichever process ran the test."""
    yield
    left = [f"{process} {_command(process)}" for process in descendants(os.getpid())]
    assert not left, f"still running at the end of the tests: {'; '.join(left)}"


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
