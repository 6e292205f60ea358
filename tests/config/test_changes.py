"""Differences between profiles, told by what they mean."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.config.changes import changes

OLD = """
schema = 1
id = "st-marys"
version = 7
[location]
dwell = "90s"
geofence = { type = "Polygon", coordinates = [[[0, 0], [2, 0], [2, 2], [0, 0]]] }
[[destination]]
name = "pacs"
port = 104
tls = { ca = "ca.pem" }
[[destination]]
name = "backup"
stow = "https://example.org"
[[route]]
match = { Modality = "CT" }
to = ["pacs"]
[[route]]
to = ["pacs"]
"""


def told(old: str, new: str) -> list[tuple[str | None, ...]]:
    return [tuple(change) for change in changes(tomllib.loads(old), tomllib.loads(new))]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version = 7", "version = 8", ("version", "", "version", "7", "8")),
        ('dwell = "90s"', 'dwell = "2m"', ("location.dwell", "location", "dwell", "90s", "2m")),
        ('dwell = "90s"\n', "", ("location.dwell", "location", "dwell", "90s", None)),
        ("port = 104", "port = 11112", ("destination[0].port", "destination pacs", "port", "104", "11112")),
        ('"ca.pem"', '"x.pem"', ("destination[0].tls.ca", "destination pacs", "tls.ca", "ca.pem", "x.pem")),
        (
            '"CT" }\nto = ["pacs"]',
            '"CT" }\nto = ["pacs", "backup"]',
            ("route[0].to", "route 1", "to", "pacs", "pacs, backup"),
        ),
        ('"CT"', '["CT", "MR"]', ("route[0].match.Modality", "route 1", "match.Modality", "CT", "CT, MR")),
        (
            "[[route]]\nto",
            '[[route]]\nmatch = { Modality = "MR" }\nto = ["backup"]\n[[route]]\nto',
            ("route[1]", "route 2", "", None, "match = { Modality = MR }, to = backup"),
        ),
        (
            '[[destination]]\nname = "backup"\nstow = "https://example.org"\n',
            "",
            ("destination[1]", "destination backup", "", "name = backup, stow = https://example.org", None),
        ),
        (
            "[2, 2], [0, 0]",
            "[2, 4], [0, 0]",
            (
                "location.geofence",
                "location",
                "geofence",
                "Polygon, 4 positions around [1.0000, 0.5000]",
                "Polygon, 4 positions around [1.0000, 1.0000]",
            ),
        ),
        (
            "[location]",
            "[preflight]\nrequired = true\n[location]",
            ("preflight", "preflight", "", None, "required = true"),
        ),
    ],
)
def test_one_difference(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert old in OLD
    assert told(OLD, OLD.replace(old, new, 1)) == [expected]


def test_destinations_in_another_order_are_the_same() -> None:
    head, first, second = OLD.partition("[[route]]")[0].split("[[destination]]")
    table = "[[destination]]"
    assert told(f"{head}{table}{first}{table}{second}", f"{head}{table}{second}{table}{first}") == []


def test_routes_in_another_order_are_not() -> None:
    head, first, second = OLD.split("[[route]]")
    assert told(OLD, f"{head}[[route]]{second}[[route]]{first}")


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=10,
)
TABLES = st.dictionaries(st.sampled_from(["route", "destination", "location", "geofence", "x"]), VALUES, max_size=5)


@given(TABLES, TABLES)
def test_whatever_differs_is_told_and_nothing_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(old, old) == []
    assert changes(new, new) == []
    found = changes(old, new)
    for change in found:
        assert change.old is not None or change.new is not None
    if old != new and not ({"destination"} & (old.keys() | new.keys())):
        assert found
