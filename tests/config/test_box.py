"""The box's own configuration."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pydantic
import pytest
from hypothesis import given

from capacitord.api.socket_path import SYSTEM
from capacitord.config import box
from capacitord.config.box import Box, Isolation
from capacitord.config.units import SIZE_HINT
from capacitord.errors import Invalid, NotFound

WHOLE = """\
schema = 1
[box]
state = "/srv/capacitord"
[control]
socket = "/run/c.sock"
read_groups = ["radiology"]
operate_groups = ["field"]
[storage]
ae_title = "COACH 1"
address = "::"
port = 104
called_ae_titles = ["COACH 1", "FLUXBOX"]
calling_ae_titles = ["CT1"]
peers = ["10.0.0.0/8", "fe80::1", "127.0.0.1"]
associations = 8
max_pdu = "128 KiB"
idle_timeout = "2m"
private_sop_classes = ["1.2.840.113619.4.26"]
private_transfer_syntaxes = ["1.2.840.113619.5.2"]
[[modality]]
ae_title = "CT1"
host = "10.20.5.21"
port = 104
[keys]
source = "passphrase"
[worklist]
ae_title = "COACHWL"
address = "10.0.0.2"
port = 105
peers = ["10.0.0.0/24"]
associations = 4
[spool]
reserve = "5%"
warning = "20 GiB"
study_quiet = "1m"
[isolation]
mode = "required"
[log]
level = "warning"
"""


AE_TITLE_HINT = "Use letters, digits, spaces and ASCII punctuation, but no backslash (PS3.5 §6.2)."


def problems(text: str) -> list[str]:
    return [str(problem).removeprefix("c.toml:") for problem in box.check(text, "c.toml")[1]]


def test_an_empty_file_is_a_whole_configuration() -> None:
    found = box.parse("", "c.toml")
    assert found == Box()
    assert found.socket == SYSTEM
    assert found.state == Path("/var/lib/capacitord")
    assert (found.storage.port, found.storage.max_pdu) == (11112, 1 << 20)
    assert (found.worklist.port, found.worklist.ae_title) == (11113, None)
    assert found.isolation.mode is Isolation.PREFERRED


def test_a_scanner_has_one_address_and_all_of_it() -> None:
    entry = "[[modality]]\nae_title = 'CT1'\nhost = 'ct1'\n"
    assert "modality[1].ae_title: CT1 is in this list already" in " ".join(problems(2 * f"{entry}port = 104\n"))
    assert "modality[0].port" in " ".join(problems(entry))


def test_everything_can_be_said() -> None:
    found = box.parse(WHOLE, "c.toml")
    assert found.storage.max_pdu == 128 << 10
    assert found.storage.idle_timeout == 120
    assert found.storage.peers == ["10.0.0.0/8", "fe80::1", "127.0.0.1"]
    assert (found.worklist.ae_title, found.worklist.port, found.worklist.associations) == ("COACHWL", 105, 4)
    assert found.spool.reserve.on(1000) == 50
    assert found.keys.source == "passphrase"
    assert [(each.ae_title, each.host, each.port) for each in found.modality] == [("CT1", "10.20.5.21", 104)]
    assert found.isolation.mode is Isolation.REQUIRED


def test_everything_that_is_wrong_is_said_at_once_with_its_line() -> None:
    text = """\
schema = 2
[storage]
port = 70000
ae_tile = "X"
max_pdu = 3
associations = "4"
calling_ae_titles = ["OK", "NOT\\\\OK"]
[spool]
reserve = "120%"
[isolation]
mode = "sometimes"
[kes]
x = 1
"""
    assert problems(text) == [
        "1:10: schema: must be 1",
        "3:8: storage.port: must be at most 65535 (Write 65535, or less.)",
        "4:1: storage.ae_tile: is not known here (Did you mean ae_title?)",
        f"5:11: storage.max_pdu: must be a size ({SIZE_HINT})",
        "6:16: storage.associations: must be a whole number",
        f"7:28: storage.calling_ae_titles[1]: has a character that an AE title can't have ({AE_TITLE_HINT})",
        '9:11: spool.reserve: \'120%\' leaves no room on the disk (Write it like "5 GiB" or "5%".)',
        "11:8: isolation.mode: must be 'preferred' or 'required' (Write it like \"preferred\".)",
        "12:2: kes: is not known here (Did you mean keys?)",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[box]\nstate = 'relative'", "must be an absolute path"),
        ("[storage]\nport = true", "must be a whole number"),
        ("[storage]\nport = -1", "must be at least 0"),
        ("[storage]\naddress = 'localhost'", "is not an IP address"),
        ("[storage]\npeers = ['10.0.0.1/8']", "has bits of a host"),
        ("[storage]\npeers = ['everyone']", "is not an address range"),
        ("[storage]\npeers = '10.0.0.0/8'", "must be a list"),
        ("[storage]\nmax_pdu = '1 KiB'", "between 4 KiB and 16 MiB"),
        ("[storage]\nidle_timeout = '0s'", "at least one second"),
        ("[storage]\nprivate_sop_classes = ['1.02']", "is not a UID"),
        ("[storage]\nassociations = 0", "must be at least 1"),
        ("[worklist]\nport = 11112", "worklist.port: is the port of [storage]"),
        ("[storage]\nport = 104\n[worklist]\nport = 104", "worklist.port: is the port of [storage]"),
        ("[keys]\nsource = 'usb'", "must be 'file', 'credential' or 'passphrase'"),
        ("[log]\nlevel = 5", "must be 'debug', 'info', 'warning' or 'error'"),
        ("storage = 5", "must be a table"),
        ("[control]\nread_groups = [1]", "must be a text in quotes"),
        ("[control]\nread_groups = [" + "'g'," * 201 + "]", "at most 200 entries"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("[box\n", 1, 5), ("a = 1\n\nb = \n", 3, 5), ("[box]\nx = 'a\n", 2, 7), ("[storage", 1, 9)],
)
def test_what_is_not_toml_has_its_place(text: str, line: int, column: int) -> None:
    (found,) = box.check(text, "c.toml")[1]
    assert (found.line, found.column) == (line, column)
    assert found.excerpt == text.splitlines()[line - 1]
    assert "Traceback" not in str(found)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_refused_in_words(text: str) -> None:
    found, wrong = box.check(text, "c.toml")
    assert (found is None) is bool(wrong)


def test_one_problem_reads_as_one_and_several_as_a_list() -> None:
    with pytest.raises(Invalid, match="must be at most 65535") as one:
        box.parse("[storage]\nport = 70000", "c.toml")
    assert one.value.where == "c.toml:2:8"
    with pytest.raises(Invalid, match="has 2 problems") as two:
        box.parse("a = 1\nb = 2", "c.toml")
    assert len(two.value.candidates) == 2


def test_files_that_cannot_be_read_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        box.load(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"# \xe4")
    with pytest.raises(Invalid, match="not UTF-8"):
        box.load(tmp_path / "latin")
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        box.load(tmp_path / "huge")


def test_a_configuration_never_changes() -> None:
    with pytest.raises(pydantic.ValidationError):
        Box().storage.port = 1
