"""Site profiles."""

from __future__ import annotations

import contextlib
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from pydicom.uid import UID, AllTransferSyntaxes

from capacitord.config import diagnostics, enclosed, profile, references
from capacitord.config.diagnostics import Rejected
from capacitord.config.fields import ae_title, host, slug
from capacitord.config.tables.destination import DestinationTable
from capacitord.config.tables.route import RouteTable
from capacitord.config.tables.transform import TransformTable
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.errors import Invalid
from capacitord.location import geofence
from capacitord.model.conditions import ALWAYS

SMALL = """\
schema = 1
id = "st-marys"
name = "St. Mary's Hospital"
version = 7
timezone = "America/Chicago"

[[destination]]
name = "pacs"
ae_title = "STM_PACS"
host = "10.20.1.10"
port = 104
"""


def problems(text: str) -> list[str]:
    return [str(problem).removeprefix("p.toml:") for problem in profile.check(text, "p.toml").problems]


def test_a_small_profile_has_sensible_defaults() -> None:
    found = profile.parse(SMALL, "p.toml")
    (pacs,) = found.destination
    assert (pacs.calling_ae_title, pacs.associations, pacs.transfer_syntaxes) == ("FLUXBOX", 1, [])
    assert found.delivery.keep_delivered == 86400


def test_everything_this_version_knows_can_be_said() -> None:
    text = (
        SMALL
        + """\
calling_ae_title = "$calling"
associations = 4
transfer_syntaxes = ["JPEG2000Lossless", "1.2.840.10008.1.2.1"]
[[destination]]
name = "backup"
ae_title = "B"
host = "pacs.example.org"
port = 11112
[delivery]
keep_delivered = "36h"
"""
    )
    found = profile.parse(text, "p.toml")
    assert found.destination[0].calling_ae_title == profile.CALLING
    assert found.destination[0].transfer_syntaxes == ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1"]
    assert found.delivery.keep_delivered == 36 * 3600


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = "st-marys"', 'id = "St Marys"', "id: is not an id"),
        ('id = "st-marys"', 'id = "../etc"', "id: is not an id"),
        ('id = "st-marys"', "", "id: is missing"),
        ("schema = 1", "schema = 9", "schema: was written for a newer version of capacitord"),
        ("version = 7", "version = 0", "version: must be at least 1"),
        ("version = 7", 'version = "7"', "version: must be a whole number"),
        ("America/Chicago", "America/Chicagoo", "Did you mean America/Chicago?"),
        ("America/Chicago", "../../etc/passwd", "is not a time zone"),
        ("America/Chicago", "", "is not a time zone"),
        ("St. Mary's Hospital", " ", "name: must be one line of text"),
        ("St. Mary's Hospital", "a\\nb", "name: must be one line of text"),
        ('"STM_PACS"', '"SEVENTEEN_LETTERS"', "1 to 16 characters"),
        ('"STM_PACS"', '""', "1 to 16 characters"),
        ('"STM_PACS"', '"   "', "has nothing but spaces"),
        ('"STM_PACS"', '"STM\\\\PACS"', "no backslash"),
        ('"STM_PACS"', '"STM\\tPACS"', "can't have"),
        ('"STM_PACS"', '"KLINIK_Ä"', "can't have"),
        ("10.20.1.10", "10.20.1.10:104", "neither a host name nor an IP address"),
        ("10.20.1.10", "10.20.1", "neither a host name nor an IP address"),
        ("10.20.1.10", "http://pacs", "neither a host name nor an IP address"),
        ("10.20.1.10", "", "neither a host name nor an IP address"),
        ("port = 104", "port = 0", "destination[0].port: must be at least 1"),
        ("port = 104", "port = 65536", "destination[0].port: must be at most 65535"),
        ("port = 104", "prt = 104", "Did you mean port?"),
        ("port = 104", "port = 104\nassociations = 33", "must be at most 32"),
        ("port = 104", 'port = 104\ntransfer_syntaxes = ["JPEG2000Losless"]', "Did you mean JPEG2000Lossless?"),
        (
            "port = 104",
            'port = 104\ntransfer_syntaxes = ["RLELossless", "1.2.840.10008.1.2.5"]',
            "is in this list already",
        ),
        ("[[destination]]", "[destination]", "destination: must be a list"),
    ],
)
def test_what_is_refused(old: str, new: str, words: str) -> None:
    assert old in SMALL
    found = problems(SMALL.replace(old, new))
    assert any(words in problem for problem in found), found


def test_a_profile_without_a_destination_is_refused() -> None:
    head = SMALL.split("\n\n", maxsplit=1)[0]
    assert any("destination: is missing" in problem for problem in problems(head))
    assert any("must not be empty" in problem for problem in problems(f"{head}\ndestination = []"))


def test_destinations_have_names_of_their_own() -> None:
    block = SMALL.split("\n\n")[1]
    (found,) = problems(f"{SMALL}{block}")
    assert "two destinations are called pacs" in found


def test_problems_of_the_second_destination_are_found_on_its_lines() -> None:
    block = SMALL.split("\n\n")[1].replace('"pacs"', '"backup"').replace("104", "99999")
    (found,) = problems(f"{SMALL}{block}")
    assert found.startswith("16:8: destination[1].port")


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(Invalid, match="larger than 512 KiB"):
        profile.parse("# " + "x" * (600 << 10), "p.toml")


def test_the_table_of_transfer_syntaxes_is_pydicoms() -> None:
    assert {UID(uid).keyword: str(uid) for uid in AllTransferSyntaxes} == dict(TRANSFER_SYNTAXES)


def test_a_profile_without_routes_sends_everything_everywhere() -> None:
    (route,) = profile.parse(SMALL, "p.toml").routes
    assert (route.to, route.when) == (("pacs",), ALWAYS)


def test_all_that_is_wrong_is_said_at_once_whatever_it_is() -> None:
    text = SMALL.replace("port = 104", "port = 0").replace("version = 7", "version = 7\nname2 = 1")
    text += (
        "[[route]]\nto = ['pasc']\nmatch = { Modalty = 'CT', time = '25:00-26:00' }\n[delivery]\npolicy = 'docked'\n"
    )
    assert [found.split(": ")[1] for found in problems(text)] == [
        "name2",
        "destination[0].port",
        "route[0].to[0]",
        "route[0].match.Modalty",
        "route[0].match.time",
        "delivery.policy",
    ]


@settings(max_examples=60)
@given(st.text(max_size=200) | st.text(alphabet="[]{}=.,\"'#\n abro123", max_size=80))
def test_any_text_is_a_profile_or_refused_in_words(text: str) -> None:
    found = profile.check(text, "p.toml")
    assert found.profile is None
    assert found.problems


NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["pacs", "hold", "basic"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*"ab", "type", "coordinates", "images", "Modality", "any", "not", "time"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = sorted({*profile.Profile.model_fields} - {"schema_"})
INNER = sorted({key for table in (RouteTable, TransformTable, DestinationTable) for key in table.model_fields})


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(KEYS), NONSENSE, max_size=4),
    st.dictionaries(
        st.sampled_from(["route", "transform", "destination"]),
        st.lists(st.dictionaries(st.sampled_from(INNER), NONSENSE, max_size=4), max_size=3),
    ),
)
def test_no_tables_are_too_strange_to_be_refused(tables: dict[str, Any], rows: dict[str, Any]) -> None:
    tables = {**tables, **rows}
    found, findings = diagnostics.fill(profile.Profile, enclosed.inlined(tables, None)[0])
    assert (found is None) is bool(findings)
    references.check(tables)
    geofence.check(tables)


@given(
    st.text(
        alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\"), min_size=1, max_size=16
    )
)
def test_every_ae_title_of_the_standard_is_taken(title: str) -> None:
    if title == title.strip():
        assert ae_title(title) == title
    else:
        with pytest.raises(Rejected):
            ae_title(title)


@given(st.text(max_size=20))
def test_any_text_is_an_id_that_is_safe_as_a_folder_or_refused(text: str) -> None:
    safe = text.isascii() and not set(text) & set("/.\\ \0")
    with contextlib.suppress(Rejected):
        assert slug(text) == text
        assert safe


@given(
    st.ip_addresses(network="10.0.0.0/8")
    | st.ip_addresses(network="fc00::/7")
    | st.from_regex(r"[a-z]{1,10}(\.[a-z]{1,10}){0,3}", fullmatch=True)
)
def test_every_address_and_plain_host_name_is_taken(value: object) -> None:
    assert host(str(value)) == str(value)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("version = 7", "version = 0", "Write 1, or more."),
        ("port = 104", "port = 70000", "Write 65535, or less."),
        ("schema = 1", "schema = 2", "Update capacitord and fluxctl: this version reads schema = 1."),
    ],
)
def test_an_error_has_a_next_step(old: str, new: str, hint: str) -> None:
    (problem,) = profile.check(SMALL.replace(old, new, 1), "p.toml").problems
    assert problem.hint == hint


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Patid", "PatientID"), ("patientid", "PatientID"), ("Modalty", "Modality"), ("StudyDescr", "StudyDescription")],
)
def test_the_keyword_that_is_meant_begins_as_the_word_does(written: str, meant: str) -> None:
    text = f"{SMALL}[[transform]]\nremove = ['{written}']\n"
    (problem,) = profile.check(text, "p.toml").problems
    assert problem.hint == f"Did you mean {meant}?"


def test_what_is_wrong_with_a_template_is_said() -> None:
    (problem,) = profile.check(f"{SMALL}[[transform]]\nset = {{ PatientID = 'a{{}}' }}\n", "p.toml").problems
    assert problem.message == "has {} with nothing in it"
    assert profile.check(f"{SMALL}[[transform]]\nset = {{ PatientID = '{{{{}}}}' }}\n", "p.toml").problems == ()
    (problem,) = profile.check(f"{SMALL}[[transform]]\nset = {{ StudyID = 'a\\b' }}\n", "p.toml").problems
    assert problem.message == "the attribute has 1 value (PS3.6), not 2"


def test_one_of_a_few_words_is_named_as_an_example() -> None:
    text = f"{SMALL}[[transform]]\nremove = ['PatientID']\non_error = 'stop'\n"
    (problem,) = profile.check(text, "p.toml").problems
    assert (problem.message, problem.hint) == ("must be 'hold' or 'skip'", 'Write it like "hold".')
