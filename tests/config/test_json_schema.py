"""The schema that editors use says what the models say."""

from __future__ import annotations

import tomllib
import warnings
from typing import Any

import jsonschema_rs
import pytest

from capacitord.config.json_schema import profile_schema
from tests.config.test_profile import SMALL
from tests.config.test_tables import WHOLE


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return profile_schema()


@pytest.mark.parametrize("text", [SMALL, WHOLE])
def test_a_valid_profile_is_valid_by_schema(schema: dict[str, Any], text: str) -> None:
    jsonschema_rs.Draft202012Validator(schema).validate(tomllib.loads(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema = 1", "schema = 2"),
        ("port = 104", "port = 70000"),
        ("port = 104", "prt = 104"),
        ('host = "10.20.1.10"', ""),
        ("[preflight]", "[preflght]"),
        ('send = "study"', 'send = "all"'),
        ('network = "all"', 'network = "some"'),
        ("batch = { images = 50 }", 'batch = "series"'),
        ('match = { Modality = "CT" }', 'match = { modality = "CT" }'),
        ('on = "inbound"', 'on = "inbond"'),
        ('"mpps"', "5"),
        ('{ release-to = ["pacs"] }', '{ release = ["pacs"] }'),
    ],
)
def test_what_editors_can_see_is_wrong(schema: dict[str, Any], old: str, new: str) -> None:
    assert old in WHOLE
    assert not jsonschema_rs.Draft202012Validator(schema).is_valid(tomllib.loads(WHOLE.replace(old, new, 1)))


def test_every_key_is_explained(schema: dict[str, Any]) -> None:
    parts = [schema, *schema["$defs"].values()]
    missing = [
        f"{part.get('title')}.{name}"
        for part in parts
        for name, key in part.get("properties", {}).items()
        if "description" not in key and "$ref" not in key and "items" not in key
    ]
    assert missing == []
