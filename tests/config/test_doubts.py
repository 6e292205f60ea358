"""What is worth a warning, and what a route before another one takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from capacitord.config import profile
from capacitord.config.bare import covers
from tests.config.test_profile import SMALL
from tests.config.test_references import said

TO_BOTH = "[[route]]\nto = ['pacs', 'night']\n"
DEIDENTIFY = "deidentify = { profile = 'basic' }\n"


def third(rest: str) -> str:
    return f"[[destination]]\nname = 'third'\nae_title = 'T'\nhost = 't'\nport = 1\n{rest}\n"


@pytest.mark.parametrize(
    ("rest", "warnings"),
    [
        (
            f"[[transform]]\nto = ['pacs']\n{DEIDENTIFY}[[transform]]\nto = ['night', 'pacs']\n{DEIDENTIFY}",
            ["transform[1].deidentify: is never used for pacs: transform[0] de-identifies all of that before"],
        ),
        (
            f"[[transform]]\n{DEIDENTIFY}[[transform]]\nmatch = {{ Modality = 'CT' }}\n{DEIDENTIFY}",
            ["transform[1].deidentify: is never used for night, pacs: transform[0] de-identifies all of that before"],
        ),
        (f"[[transform]]\nto = ['pacs']\n{DEIDENTIFY}[[transform]]\nto = ['night']\n{DEIDENTIFY}", []),
        (f"[[transform]]\nmatch = {{ Modality = 'CT' }}\n{DEIDENTIFY}[[transform]]\n{DEIDENTIFY}", []),
        (f"[[transform]]\nto = ['pacs']\n{DEIDENTIFY}[[transform]]\nto = ['pacs']\nremove = ['PatientID']\n", []),
        # One route to a destination that gets names and to one that does not is what a research site wants.
        (f"{TO_BOTH}[[transform]]\nto = ['pacs']\n{DEIDENTIFY}", []),
        (
            third("transfer_syntaxes = ['ExplicitVRLittleEndian']\ncompress = 'JPEG2000Lossless'"),
            ["destination[2].compress: JPEG2000Lossless is not among transfer_syntaxes"],
        ),
        (third("transfer_syntaxes = ['1.2.840.10008.1.2.4.90']\ncompress = 'JPEG2000Lossless'"), []),
        (third("transfer_syntaxes = []\ncompress = 'JPEG2000Lossless'"), []),
        (
            third("compress = { transfer_syntax = 'JPEG2000', ratio = 10 }")
            + "[[route]]\nmatch = { any = [{ Modality = ['MG'] }] }\nto = ['third']\n[[route]]\nto = ['pacs','night']",
            ["destination[2].compress: JPEG2000 loses something, and route[0] sends mammograms there"],
        ),
        (
            third("compress = { transfer_syntax = 'JPEG2000', ratio = 10, lossy_mammography = true }")
            + "[[route]]\nmatch = { Modality = 'MG' }\nto = ['third']\n[[route]]\nto = ['pacs','night']",
            [],
        ),
        (
            third("compress = 'JPEG2000Lossless'")
            + "[[route]]\nmatch = { Modality = 'MG' }\nto = ['third']\n[[route]]\nto = ['pacs','night']",
            [],
        ),
        (
            third("compress = { transfer_syntax = 'JPEG2000', ratio = 10 }")
            + "[[route]]\nmatch = { not = { Modality = 'MG' } }\nto = ['third']\n[[route]]\nto = ['pacs','night']",
            [],
        ),
    ],
)
def test_what_can_hardly_be_meant_is_a_warning(rest: str, warnings: list[str]) -> None:
    problems, found = said(rest)
    assert problems == []
    assert len(found) == len(warnings), found
    assert all(each.startswith(warning) for each, warning in zip(found, warnings, strict=True)), found


PRIVATE = "[[location.evidence]]\nsubnet = '10.0.0.0/24'\n"
PINNED = f"[[location.evidence]]\nendpoint = {{ host = '10.0.0.9', port = 1, certificate_sha256 = '{'9f' * 32}' }}\n"
LISTENS = "[[location.evidence]]\nendpoint = { host = '10.0.0.9', port = 1 }\n"
ECHO = "[[location.evidence]]\necho = { ae_title = 'A', host = 'fd00::9', port = 1 }\n"
SQUARE = (
    "geofence = { type = 'Polygon', coordinates = [[[-87.63,41.88],[-87.62,41.88],[-87.62,41.89],[-87.63,41.88]]] }"
)


@pytest.mark.parametrize(
    ("location", "weak"),
    [
        (PRIVATE, "evidence[0].subnet"),
        (PINNED + PRIVATE, "evidence[1].subnet"),
        (LISTENS, "evidence[0].endpoint"),
        (ECHO, "evidence[0].echo"),
        (f"network = 'all'\n{ECHO}{PRIVATE}", "evidence[0].echo"),
        (f"network = 'all'\n{PINNED}{PRIVATE}", ""),
        (PINNED, ""),
        (f"{SQUARE}\n{PRIVATE}", ""),
        (PRIVATE.replace("10.0.0.0/24", "8.8.8.0/24"), ""),
        (LISTENS.replace("10.0.0.9", "pacs.stm.example"), ""),
    ],
)
def test_a_site_that_is_known_by_private_addresses_alone_is_pointed_out(location: str, weak: str) -> None:
    problems, found = said(f"[location]\n{location}")
    assert problems == []
    assert [each.partition(":")[0] for each in found] == ([f"location.{weak}"] if weak else [])


@pytest.mark.parametrize(("written", "laxer"), [("required = false", True), ("required = true", False), ("", False)])
def test_a_profile_that_would_be_laxer_than_its_box_is_pointed_out(written: str, laxer: bool) -> None:
    problems, found = said(f"[preflight]\n{written}\n")
    assert problems == []
    assert [each.partition(":")[0] for each in found] == ["preflight.required"] * laxer


@pytest.mark.parametrize(("zone", "fixed"), [("EST", True), ("Etc/GMT+6", True), ("UTC", False), ("US/Eastern", False)])
def test_a_zone_without_summer_time_is_pointed_out(zone: str, fixed: bool) -> None:
    found = profile.check(SMALL.replace("America/Chicago", zone), "p.toml")
    assert found.problems == ()
    assert [warning.message for warning in found.warnings] == ([f"{zone} has the same time all year"] if fixed else [])


def test_the_next_day_on_which_clocks_go_forward_is_named_and_no_day_that_is_over() -> None:
    _, (warning,) = said("[delivery]\npolicy = 'scheduled'\nwindows = ['02:00-03:00']")
    date = warning.split("does not come on ")[1].split(":")[0]
    assert datetime.fromisoformat(date).date() >= datetime.now(UTC).date()


def test_a_window_in_a_correction_of_the_worklist_is_looked_at() -> None:
    source = "[worklist]\nsource = { ae_title = 'R', host = 'r', port = 1 }\n"
    rule = "[[worklist.correct]]\nmatch = { time = '02:00-03:00' }\nremove = ['PatientComments']"
    (warning,) = said(source + rule)[1]
    assert warning.startswith("worklist.correct[0].match.time: does not come on 20")


def test_a_transform_of_a_worklist_that_there_is_not_is_pointed_out() -> None:
    rule = "[[transform]]\non = 'worklist'\nremove = ['PatientComments']\n"
    assert said(rule)[1] == ["transform[0].on: changes nothing: this profile has no worklist"]
    assert said(rule + WORKLIST)[1] == []


WORKLIST = "[worklist]\nsource = { ae_title = 'R', host = 'r', port = 1 }\n"
PRIVATE = "'(0029,xx10,MYCREATOR)'"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (f"[[transform]]\nset = {{ {PRIVATE} = 'x' }}", "transform[0].set"),
        (f"[[transform]]\nset_missing = {{ {PRIVATE} = {{ value = 'x' }} }}", "transform[0].set_missing"),
        (
            f"{WORKLIST}[[worklist.correct]]\nset = {{ {PRIVATE} = 'x' }}",
            "worklist.correct[0].set",
        ),
    ],
)
def test_an_attribute_that_may_be_made_without_a_vr_is_pointed_out(written: str, key: str) -> None:
    found = profile.check(SMALL + written, "p.toml")
    assert found.problems == ()
    (warning,) = found.warnings
    assert warning.key == f'{key}."(0029,xx10,MYCREATOR)"'
    assert "says no VR" in warning.message
    assert '{ value = "x", vr = "LO" }' in warning.hint


@pytest.mark.parametrize(
    "operation",
    [
        f"set = {{ {PRIVATE} = {{ value = 'x', vr = 'LO' }} }}",
        f"remove = [{PRIVATE}]",
        "set = { PatientID = 'x', '**.(0029,xx10,MYCREATOR)' = 'y' }",
    ],
)
def test_an_attribute_whose_vr_is_known_or_that_is_there_already_is_not(operation: str) -> None:
    assert profile.check(f"{SMALL}[[transform]]\n{operation}", "p.toml").warnings == ()


@pytest.mark.parametrize(
    "written", ["ReferencedStructureSetSequence", "**.ReferencedImageSequence", "(300C,0060)", "(300C,xxxx)"]
)
def test_removing_what_refers_to_other_images_is_pointed_out(written: str) -> None:
    found = profile.check(f"{SMALL}[[transform]]\nremove = ['PatientID', '{written}']", "p.toml")
    assert found.problems == ()
    (warning,) = found.warnings
    assert warning.key == "transform[0].remove[1]"
    assert warning.message == f"removes {written}, by which images refer to each other"
    assert warning.hint


CT = {"Modality": "CT"}


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{ not = {} }", True),
        ("{ Modality = 'CT', not = { any = [{ Modality = 'CT' }, {}] } }", True),
        ("{ all = [{ Modality = 'CT' }, { not = {} }] }", True),
        ("{ any = [{ not = {} }, { not = {} }] }", True),
        ("{ any = [{ not = {} }, { Modality = 'CT' }] }", False),
        ("{ not = { not = {} } }", False),
        ("{ not = { Modality = 'CT' } }", False),
        ("{}", False),
    ],
)
@pytest.mark.parametrize("entry", ["[[route]]\nto = ['pacs', 'night']", "[[transform]]\nremove = ['PatientID']"])
def test_a_condition_that_nothing_can_fulfil_is_pointed_out(match: str, expected: bool, entry: str) -> None:
    problems, warnings = said(f"{entry}\nmatch = {match}")
    assert problems == []
    assert [warning.partition(":")[0][-5:] for warning in warnings] == ["match"] * expected


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ({}, CT, True),
        ({"any": [CT, {}]}, CT, True),
        ({"all": [{}, {"any": [{}]}]}, CT, True),
        ({"all": []}, CT, False),
        ({"not": {}}, CT, False),
        (CT, CT, True),
        (CT, {**CT, "Rows": 5}, True),
        ({**CT, "Rows": 5}, CT, False),
        ({"Modality": ["MR", "CT"]}, CT, True),
        ({"Modality": ["MR", "CT"]}, {"Modality": ["CT", "US"]}, False),
        ({"Modality": ["CT", "!MR"]}, CT, False),
        ({"Modality": ["CT", "!MR"]}, {"Modality": ["CT", "!MR"], "Rows": 5}, True),
        ({"Rows": 1}, {"Rows": True}, False),
        ({"time": ["18:00-07:00", "Sat"]}, {"time": "Sat", **CT}, True),
        ({"Modality": "*"}, CT, False),
        (5, CT, False),
    ],
)
def test_one_condition_covers_another_only_if_that_is_sure(earlier: object, later: object, expected: bool) -> None:
    assert covers(earlier, later) is expected


def test_a_route_behind_a_wider_one_is_never_reached() -> None:
    wider = "[[route]]\nmatch = { Modality = ['CT', 'MR'] }\nto = ['pacs']\n"
    narrow = "[[route]]\nmatch = { Modality = 'CT', StudyDescription = '*STROKE*' }\nto = ['night']\n"
    assert said(wider + narrow)[0] == ["route[1]: is never reached: route[0] takes all that this one would"]
    assert said(narrow + wider)[0] == []
