"""What must not be imported, so that a person never waits for a command to begin."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fluxctl.daemon import Daemon

RICH = {"rich.console", "rich.table"}
HEAVY = {"pydantic", "asyncio", "aiohttp", "cryptography", "apsw", "pydicom", "pynetdicom", "capacitord.supervisor"}
PROBE = """
import contextlib, io, json, os, sys
from fluxctl.main import main
kept = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
code = main(json.loads(sys.argv[1]))
sys.stdout.flush()
os.dup2(kept, 1)
print(json.dumps([code, sorted(sys.modules)]))
"""


def modules(daemon: Daemon, *arguments: str, **environment: str) -> set[str]:
    """Return the modules that a run of fluxctl imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)],
        env=os.environ | {"CAPACITORD_SOCKET": str(daemon.path)} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    code, names = json.loads(done.stdout)
    assert code == 0, done.stderr
    return set(names)


def test_help_imports_no_command_and_nothing_to_ask_with(daemon: Daemon) -> None:
    found = modules(daemon, "--help")
    assert not found & (HEAVY | RICH | {"http.client", "msgspec"})
    assert not {name for name in found if name.startswith("fluxctl.commands.")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--json"),
        ("study", "list", "--limit", "5", "--state", "receiving", "--jsonl"),
        ("resend", "3f2", "--to", "pacs", "--yes", "--json"),
        ("watch", "--help"),
        ("study", "show", "--help"),
        ("study", "explain", "3f2a9c", "--json"),
        ("profile", "try", "--help"),
    ],
)
def test_documents_need_neither_rich_nor_pydantic(daemon: Daemon, arguments: tuple[str, ...]) -> None:
    found = modules(daemon, *arguments)
    assert not found & (HEAVY | RICH)
    loaded = {name for name in found if name.startswith("fluxctl.commands.")}
    assert loaded == {f"fluxctl.commands.{arguments[0]}"}


def test_pages_need_no_pydantic(daemon: Daemon) -> None:
    found = modules(daemon, "status")
    assert found >= RICH
    assert not found & HEAVY


@pytest.mark.parametrize("words", [("st",), ("study", "show", "")])
def test_completion_needs_not_even_typer(daemon: Daemon, words: tuple[str, ...]) -> None:
    found = modules(daemon, *words, _FLUXCTL_COMPLETE="bash")
    assert not found & (HEAVY | RICH | {"typer", "click", "msgspec", "http.client"})
