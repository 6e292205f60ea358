"""The wheel holds the program and nothing else, and the repository holds what was agreed on."""

from __future__ import annotations

import ast
import configparser
import email.message
import email.parser
import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import capacitord

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "capacitord",
    "examples",
    "fluxctl",
    "man",
    "pyproject.toml",
    "tests",
}
PROGRAM = sorted(p for top in ("capacitord", "fluxctl") for p in (ROOT / top).rglob("*.py"))
EVERYTHING = [*PROGRAM, *sorted((ROOT / "tests").rglob("*.py"))]
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP|NotImplementedError)\b")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as pip builds it, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    built = subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    assert file.name == f"capacitord-{capacitord.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(file)


def metadata(wheel: zipfile.ZipFile, file: str) -> str:
    (found,) = (each for each in wheel.namelist() if PurePosixPath(each).match(f"*.dist-info/{file}"))
    return wheel.read(found).decode()


def about(wheel: zipfile.ZipFile) -> email.message.Message:
    return email.parser.Parser().parsestr(metadata(wheel, "METADATA"))


def test_the_wheel_holds_the_whole_program_and_no_test(wheel: zipfile.ZipFile) -> None:
    packed = {each for each in wheel.namelist() if ".dist-info/" not in each}
    assert {each for each in packed if each.endswith(".py")} == {name(path) for path in PROGRAM}
    data = f"capacitord-{capacitord.__version__}.data"
    assert {PurePosixPath(each).parts[0] for each in packed} == {"capacitord", "fluxctl", data}
    pages = {path.name for path in (ROOT / "man").glob("man?/*")}
    assert {PurePosixPath(each).name for each in packed if each.startswith(f"{data}/data/share/man/")} == pages
    assert {"capacitord/py.typed", "fluxctl/py.typed"} <= packed
    assert not [each for each in packed if "test" in PurePosixPath(each).name]


def test_the_wheel_has_two_commands(wheel: zipfile.ZipFile) -> None:
    entries = configparser.ConfigParser()
    entries.read_string(metadata(wheel, "entry_points.txt"))
    assert set(entries.sections()) == {"console_scripts"}
    assert set(entries["console_scripts"]) == {"capacitord", "fluxctl"}
    for target in entries["console_scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    said = about(wheel)
    assert (said["Name"], said["Version"]) == ("capacitord", capacitord.__version__)
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert "Apache License" in metadata(wheel, "licenses/LICENSE")


def test_running_it_needs_nothing_that_only_tests_need(wheel: zipfile.ZipFile) -> None:
    needed = [each for each in about(wheel).get_all("Requires-Dist", []) if "extra ==" not in each]
    names = {re.split(r"[^\w.-]", each)[0] for each in needed}
    assert names
    assert not names & {
        "hatchling",
        "hypothesis",
        "mypy",
        "pytest",
        "pytest-timeout",
        "ruff",
        "schemathesis",
        "atheris",
    }


@pytest.mark.parametrize("path", PROGRAM, ids=name)
def test_nothing_is_unfinished(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        assert not UNFINISHED.search(line), f"{name(path)}:{number}: {line.strip()}"


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_imports_name_the_whole_module(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{name(path)}:{node.lineno}: relative import"


def test_the_top_of_the_repository_holds_what_was_agreed_on() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    top = {PurePosixPath(each).parts[0] for each in listed if each}
    assert {each for each in top if not each.startswith(".")} <= TOP_LEVEL
    assert ".ci" in top


def test_what_a_run_leaves_behind_is_ignored_by_git() -> None:
    made = [".venv/", "dist/", "build/", "capacitord.egg-info/", "tests/__pycache__/", ".mypy_cache/", ".hypothesis/"]
    for path in made:
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
        assert ignored.returncode == 0, path


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1].endswith("exec make test")
