"""The profiles that come with the program are valid, and show together everything that a profile can say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from capacitord.config import profile
from capacitord.config.json_schema import profile_schema
from capacitord.location import geofence

FOLDER = Path(__file__).parent.parent / "examples" / "profiles"
PROFILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_nothing_in_it_needs_a_warning(path: Path) -> None:
    found = profile.check(path.read_text(), path.name, further=geofence.check)
    assert (found.problems, found.warnings) == ((), ())
    jsonschema_rs.Draft202012Validator(profile_schema()).validate(tomllib.loads(path.read_text()))


def test_there_are_the_four_that_people_recognise() -> None:
    assert [path.stem for path in PROFILES] == [
        "cloud-archive",
        "community-hospital",
        "research-site",
        "university-hospital",
    ]


def test_their_sites_are_apart() -> None:
    tables = {path.name: tomllib.loads(path.read_text()) for path in PROFILES}
    assert len({each["id"] for each in tables.values()}) == len(tables)
    for name, each in tables.items():
        assert geofence.overlaps(each, {other: there for other, there in tables.items() if other != name}) == []


def test_together_they_use_every_table() -> None:
    used = {key for path in PROFILES for key in tomllib.loads(path.read_text())}
    assert used == {info.alias or name for name, info in profile.Profile.model_fields.items()}
