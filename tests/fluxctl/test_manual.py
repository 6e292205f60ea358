"""Help and manual pages teach everything there is, and nothing that is not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest
import typer

from capacitord.api.schemas import DOCUMENTS
from capacitord.config import box, operations, profile
from capacitord.config.fields import Table
from capacitord.config.matching import parse_match
from capacitord.config.tables.delivery import DeliveryTable
from capacitord.config.tables.destination import DestinationTable
from capacitord.config.tables.location import LocationTable
from capacitord.config.tables.review import ReviewTable
from capacitord.config.tables.route import RouteTable
from capacitord.config.tables.transform import TransformTable
from capacitord.config.tables.worklist import WorklistTable
from capacitord.supervisor.main import app as daemon_app
from fluxctl import exits, tree
from fluxctl.command import arguments, options
from fluxctl.manual import capacitord8, generated, profile5, toml5, walk
from fluxctl.manual.page import Page
from fluxctl.table import ENTRIES
from tests.fluxctl.conftest import Run

TOP = Path(__file__).parent.parent.parent
VERBS = {found.name: found for found in walk.verbs()}
PAGES = ("man1/fluxctl.1", "man5/capacitord.toml.5", "man5/capacitord-profile.5", "man8/capacitord.8")


def rendered(page: str) -> str:
    """Return a page as man(1) shows it, without its bold, on lines as long as they get."""
    done = subprocess.run(
        ["/usr/bin/mandoc", "-T", "utf8", "-O", "width=1000", str(TOP / "man" / page)],
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout
    while "\b" in text:
        place = text.index("\b")
        text = text[: place - 1] + text[place + 1 :]
    return text


@pytest.mark.parametrize("path", [str(path.relative_to(TOP)) for path in generated(TOP)])
def test_what_is_generated_is_not_stale(path: str) -> None:
    """If this fails: python -m fluxctl.manual, and look at what changed."""
    assert (TOP / path).read_text() == generated(TOP)[TOP / path]


@pytest.mark.parametrize("page", PAGES)
def test_mandoc_finds_nothing_wrong(page: str) -> None:
    done = subprocess.run(
        ["/usr/bin/mandoc", "-T", "lint", str(TOP / "man" / page)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("page", PAGES)
def test_man_finds_nothing_wrong(page: str) -> None:
    done = subprocess.run(
        ["/usr/bin/man", "--warnings", "-l", str(TOP / "man" / page)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith(Path(page).stem.upper())


@pytest.mark.parametrize("name", VERBS)
def test_every_command_teaches_by_example(run: Run, name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.code == 0
    for heading in (f"Usage: fluxctl {name}", "Options:", "Examples:", "Exit codes:"):
        assert heading in result.out
    guide = VERBS[name].command.guide
    assert guide.examples
    for line, meaning in guide.examples:
        assert f"  {line}\n" in result.out
        assert meaning[0].isupper()
        assert meaning.endswith(".")
    assert max(map(len, result.out.splitlines())) <= 100


@pytest.mark.parametrize("name", VERBS)
def test_examples_are_command_lines_that_work(name: str) -> None:
    command = VERBS[name].command
    known = {spelling for option in options(command) for spelling in option.opts} | {"--help"}
    for line, _ in command.guide.examples:
        parts = next(part for part in line.replace("<(", "| ").replace(")", "").split("|") if f"fluxctl {name}" in part)
        words = shlex.split(parts.partition(">")[0])
        given = words[words.index("fluxctl") + 1 + len(name.split()) :]
        assert {word.partition("=")[0] for word in given if re.match(r"-[^0-9]", word)} <= known
        context = command.context_class(command, info_name=name)
        assert command.parse_args(context, list(given)) == []


@pytest.mark.parametrize("name", VERBS)
def test_every_command_is_in_the_manual_with_all_it_takes(name: str) -> None:
    _, _, text = rendered("man1/fluxctl.1").partition(f"\n   fluxctl {name}\n")
    section = text.partition("\n   fluxctl ")[0]
    assert section
    for param in (*arguments(VERBS[name].command), *options(VERBS[name].command)):
        if param.opts[0] not in {"--json", "--jsonl"}:
            assert (param.opts[-1] if param.param_type_name == "option" else param.metavar) in section
    for line, _ in VERBS[name].command.guide.examples:
        assert line in section
    assert "Exit status: " in section


def test_every_exit_code_is_in_the_manual() -> None:
    text = rendered("man1/fluxctl.1").partition("EXIT STATUS")[2]
    for code in exits.MEANINGS:
        assert f"\n       {code} " in text


def test_every_command_is_in_the_table_and_completed() -> None:
    assert {found.path[0] for found in walk.top()} == set(ENTRIES) == set(tree.TREE["commands"])
    modules = {path.stem for path in (TOP / "fluxctl" / "commands").glob("*.py")} - {"__init__"}
    assert modules == set(ENTRIES)


def test_every_value_has_a_name_that_says_what_it_is() -> None:
    for found in VERBS.values():
        for param in found.command.params:
            if param.param_type_name == "argument" or not param.is_flag:
                assert param.metavar, f"{found.name} {param.name}"
            assert param.help, f"{found.name} {param.name}"
            assert param.help.endswith("."), f"{found.name} {param.name}"


def test_every_document_belongs_to_a_command() -> None:
    assert {name.replace(".", " ") for name in DOCUMENTS} <= set(VERBS)


def test_the_daemon_s_page_has_its_commands_and_options() -> None:
    text = rendered("man8/capacitord.8")
    group = typer.main.get_command(daemon_app)
    commands = getattr(group, "commands", {})
    assert set(commands) == {"run", "check-config"}
    for name in commands:
        assert f"capacitord {name}" in text
    told = {term.split()[0] for term, _ in capacitord8.OPTIONS}
    assert told == {param.opts[0] for param in commands["run"].params}


def test_the_example_of_the_configuration_is_valid() -> None:
    found = box.parse(toml5.EXAMPLE, "capacitord.toml")
    assert found.storage.port == 104


def test_every_key_of_the_configuration_is_in_its_page_with_its_default() -> None:
    text = rendered("man5/capacitord.toml.5")
    for name, field in box.Box.model_fields.items():
        if name == "schema_":
            continue
        several = isinstance(field.default, list)
        table = typing.get_args(field.annotation)[0] if several else type(field.default)
        _, _, section = text.partition(f"\n   [[{name}]]\n" if several else f"\n   [{name}]\n")
        assert section
        for key in table.model_fields:
            assert f"\n       {key}" in section
    assert '"FLUXBOX"' in text
    assert '"1 MiB"' in text


def test_every_key_of_a_profile_is_in_its_page_with_its_default() -> None:
    text = rendered("man5/capacitord-profile.5")
    tables: dict[str, type[Table]] = {
        "": profile.Profile,
        "[location]": LocationTable,
        "[worklist]": WorklistTable,
        "[review]": ReviewTable,
        "[[destination]]": DestinationTable,
        "[[route]]": RouteTable,
        "[[transform]]": TransformTable,
        "[delivery]": DeliveryTable,
    }
    for title, table in tables.items():
        section = text.partition(f"\n   {title}\n" if title else "\nKEYS\n")[2].partition("\n   [")[0]
        assert section, title
        for name, field in table.model_fields.items():
            key = field.alias or name
            as_table = re.search(rf"^ {{3}}\[+({title.strip('[]')}\.)?{key}\]+$", text, re.MULTILINE)
            assert as_table or re.search(rf"^ {{7}}{key}\s", section, re.MULTILINE), (title, key)
    for words in ('default: "FLUXBOX"', 'default: "1d"', "; required]", '"stat", "high", "routine" or "low"'):
        assert words in text


def test_the_keys_within_keys_of_a_profile_are_in_its_page() -> None:
    text = rendered("man5/capacitord-profile.5")
    within = (
        *(f"record.{part}" for part in ("reason", "source", "system")),
        *(f"clean.ATTRIBUTE.{part}" for part in ("repertoire", "replacement")),
        *(f"map.ATTRIBUTE.{part}" for part in ("table", "file", "default", "strict")),
        *(f"{name}.ATTRIBUTE.{part}" for name in ("set", "set_missing") for part in ("value", "vr")),
        "hash.ATTRIBUTE.length",
        "compress.quality",
    )
    for key in within:
        assert len(re.findall(rf"^ {{7}}{re.escape(key)}$", text, re.MULTILINE)) == 1, key
    flat = " ".join(text.split())
    for words in (
        "Without it: by priority",
        "missing or empty attribute changes nothing",
        "without a default after |, fails",
        "'ORIGINAL\\PRIMARY'",
        "by which images refer to each other, are never changed",
    ):
        assert words in flat, words


def test_roff_is_escaped() -> None:
    page = Page("x", 1, "a thing")
    page.section("TEST")
    page.text(".dots at the start, 'quotes', back\\slashes and `--options`")
    page.example(".TH evil 1", "'quoted' \\n ~^")
    done = subprocess.run(
        ["/usr/bin/mandoc", "-T", "ascii"], input=page.render(), capture_output=True, text=True, check=True
    )
    for words in (".dots at the start, 'quotes', back\\slashes", ".TH evil 1", "'quoted' \\n ~^"):
        assert words in done.stdout


def test_the_manual_can_be_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fluxctl.manual", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(generated(TOP))
    for path, text in generated(tmp_path).items():
        assert path.read_text() == text


@pytest.mark.parametrize("line", [line for line, _ in profile5.MATCHES])
def test_every_condition_of_the_manual_is_one(line: str) -> None:
    written = line.replace("{ … }", '{ Modality = "CT" }')
    assert parse_match(tomllib.loads(written)) is not None


@pytest.mark.parametrize("name", operations.NAMES)
def test_every_operation_of_the_manual_is_one(name: str) -> None:
    tables = tomllib.loads(f"{name} = {operations.EXAMPLES[name]}")
    assert operations.parse(name, tables[name])
