"""The profiles that come with the program are valid, and show together everything that a profile can say."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from capacitord.config import profile
from capacitord.config.json_schema import profile_schema
from capacitord.location import geofence
from capacitord.model.compression import Compression
from capacitord.model.deidentify import Deidentification
from capacitord.model.routes import Route
from capacitord.model.transform import Transform

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


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_what_a_runtime_acts_on_travels(path: Path) -> None:
    found = profile.parse(path.read_text(), path.name)
    kinds: list[tuple[Sequence[object], type]] = [
        (found.routes, Route),
        (found.transforms, Transform),
        (found.deidentifications, Deidentification),
        ([each.compress for each in found.destination if each.compress], Compression),
        ([each.transform(0) for each in found.worklist.correct] if found.worklist else [], Transform),
    ]
    for values, kind in kinds:
        for value in values:
            assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value
