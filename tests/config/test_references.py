"""What the sections of a profile say of each other."""

from __future__ import annotations

import pytest

from capacitord.config import profile
from tests.config.test_profile import SMALL

SECOND = """
[[destination]]
name = "night"
ae_title = "N"
host = "n"
port = 1
"""


def said(rest: str) -> tuple[list[str], list[str]]:
    found = profile.check(SMALL + SECOND + rest, "p.toml")
    return [f"{each.key}: {each.message}" for each in found.problems], [
        f"{each.key}: {each.message}" for each in found.warnings
    ]


def both(to: str) -> str:
    return f"[[route]]\nto = {to}\n[[route]]\nmatch = {{ Modality = 'CT' }}\nto = ['pacs']\n"


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("[[route]]\nto = ['pcs', 'night']", "route[0].to[0]: there is no destination 'pcs'"),
        ("[[route]]\nto = ['pacs']\nelse_to = ['nigt']", "route[0].else_to[0]: there is no destination 'nigt'"),
        ("[[route]]\nto = ['pacs']\nelse_to = ['pacs']", "route[0].else_to[0]: pacs is in `to` already"),
        ("[[route]]\nto = ['pacs', 'night']\nelse_after = '1m'", "route[0].else_after: goes with else_to only"),
        (both("['pacs', 'night']"), "route[1]: is never reached: route[0] takes every image"),
        (
            "[[route]]\nmatch = { Rows = 1 }\nto = ['night']\n[[route]]\nmatch = { Rows = 1 }\nto = ['pacs']",
            "route[1]: is never reached: route[0] has the same condition",
        ),
        (
            "[[transform]]\nto = ['pasc']\nset = { PatientID = 'X' }",
            "transform[0].to[0]: there is no destination 'pasc'",
        ),
        ("[[transform]]\nto = ['pacs']", "transform[0]: does nothing"),
        ("[[transform]]\non = 'inbound'\nto = ['pacs']\nremove = ['PatientID']", "transform[0].to: goes with outbound"),
        (
            "[[transform]]\non = 'inbound'\ndeidentify = { profile = 'basic' }",
            "transform[0].deidentify: goes with outb",
        ),
        ("[location]\nnetwork = 'any'\ndwell = '5s'", "location.network: asks for evidence, and there is none"),
        ("[location]\ndwell = '5s'", "location: says nothing of where the site is"),
        ("[delivery]\npolicy = 'docked'", "delivery.policy: docked needs networks"),
        ("[delivery]\npolicy = ['scheduled']\nwindows = []", "delivery.policy: scheduled needs windows"),
        ("[review]\nunmatched = { release-to = ['x'] }", "review.unmatched.release-to[0]: there is no destination 'x'"),
        (
            "[worklist]\nsource = { ae_title = 'R', host = 'r', port = 1 }\n[[worklist.correct]]\nmatch = {}",
            "worklist.correct[0]: does nothing",
        ),
    ],
)
def test_what_is_wrong(rest: str, problem: str) -> None:
    problems, _ = said(rest)
    assert any(each.startswith(problem) for each in problems), problems


@pytest.mark.parametrize(
    ("rest", "warning"),
    [
        ("[[route]]\nto = ['pacs']", "destination[1].name: no route goes to night"),
        ("[delivery]\nnetworks = ['eth0']", "delivery.networks: is not used: the policy is not docked"),
        ("[delivery]\nwindows = ['Sat']", "delivery.windows: is not used: the policy is not scheduled"),
        (
            "[delivery]\npolicy = 'scheduled'\nwindows = ['Sun 02:15-02:45']",
            "delivery.windows[0]: does not come on 20",
        ),
        (
            "[[route]]\nmatch = { not = { any = [{ time = ['02:00-03:00'] }] } }\nto = ['pacs', 'night']",
            "route[0].match.not.any[0].time[0]: does not come on 20",
        ),
    ],
)
def test_what_is_worth_a_warning(rest: str, warning: str) -> None:
    problems, warnings = said(rest)
    assert problems == []
    assert any(each.startswith(warning) for each in warnings), warnings


def test_what_unmatched_studies_are_released_to_is_reached() -> None:
    _, warnings = said("[[route]]\nto = ['pacs']\n[review]\nunmatched = { release-to = ['night'] }")
    assert not [each for each in warnings if "no route goes" in each]


def test_a_stand_in_is_reached() -> None:
    assert said("[[route]]\nto = ['pacs']\nelse_to = ['night']") == ([], [])


def test_without_routes_every_destination_is_reached() -> None:
    assert said("") == ([], [])
