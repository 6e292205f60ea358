"""The schema that editors use says what the models say."""

from __future__ import annotations

import tomllib
import warnings
from typing import Any

import jsonschema_rs
import pytest

from capacitord.config import references
from capacitord.config.diagnostics import fill
from capacitord.config.json_schema import profile_schema
from capacitord.config.profile import Profile
from tests.config.test_profile import SMALL
from tests.config.test_tables import WHOLE

NODE: dict[str, Any] = {"name": "pacs", "ae_title": "STM_PACS", "host": "10.20.1.10", "port": 104}
SOURCE = {"ae_title": "RIS", "host": "ris", "port": 104}
RING = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
MATCHES = [{"modality": "CT"}, {"not": 5}, {"not": {"x": 1}}, {"any": []}, {"any": [{"x": 1}]}, {"time": "25:99-07:00"}]
OPERATIONS = [
    {"set": {"PatientID": ["x"]}},
    {"set": {"patientid": "x"}},
    {"set": {"PatientID": {"value": "x", "vr": "lo"}}},
    {"set": {}},
    {"remove": []},
    {"remove": ["patient id"]},
    {"copy": {"AccessionNumber": 5}},
    {"replace": {"PatientID": "x"}},
    {"map": {"Modality": {"CT": "MR"}}},
    {"clean": {"PatientName": {"repertoire": "x"}}},
    {"hash": {"PatientID": {"length": 4}}},
    {"prefix": {"PatientID": 5}},
    {"remove": ["PatientID"], "record": "yes"},
    {"remove": ["PatientID"], "to": []},
    {"deidentify": {"profile": "basic", "options": ["RetainUID"]}},
]
FENCES = [
    {"type": "Point", "coordinates": [1, 1]},
    {"type": "Polygon", "coordinates": RING},
    {"type": "Polygon", "coordinates": [[["1", "1"], *RING[1:]]]},
    {"type": "Polygon", "coordinates": [RING], "crs": 1},
]
EVIDENCE = [
    {},
    {"ssid": "x", "subnet": "10.0.0.0/8"},
    {"gateway_mac": "00:11"},
    {"subnet": "all"},
    {"ssid": ""},
]
DESTINATIONS: list[dict[str, Any]] = [
    {"stow": "http://example.org/studies"},
    {"stow": "https://example.org/studies", "host": "x"},
    {"stow": "https://example.org/studies", "commitment": True},
    {"ae_title": "A", "host": "x"},
    {},
]
PARTS: list[dict[str, Any]] = [
    {"ae_title": "SEVENTEEN_LETTERS"},
    {"ae_title": ""},
    {"ae_title": "A\\B"},
    {"host": "10.20.1.10:104"},
    {"token_file": "x"},
    {"transfer_syntaxes": ["JPEG2000Losless"]},
    {"transfer_syntaxes": ["RLELossless", "RLELossless"]},
    {"compress": "JPEG2000"},
    {"compress": {"transfer_syntax": "RLELossless", "quality": 5}},
    {"compress": {"transfer_syntax": "JPEG2000", "quality": 5, "ratio": 5}},
    {"batch": {"images": 5, "size": "5 MB"}},
    {"tls": {"ca": "/etc/ca.pem"}},
    {"tls": {"ca": "../ca.pem"}},
    {"tls": {"ca": "ca.pem", "key": "box.key"}},
]


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


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("id", ["St X", ""]),
        ("timezone", ["", "a b"]),
        ("name", ["", " "]),
        ("delivery", [{"keep_delivered": "90"}, {"rate_limit": "8 Mbps"}, {"windows": ["19-7"]}, {"order": [5]}]),
        ("completeness", [{"study_closes": ["x"]}, {"study_closes": ["quiet"]}]),
        ("route", [[{"to": ["pacs", "pacs"]}], [{"to": ["pacs"], "else_after": "5"}]]),
        ("route", [[{"to": ["pacs"], "match": match}] for match in MATCHES]),
        ("transform", [[{}], [{"to": ["pacs"]}], *([operation] for operation in OPERATIONS)]),
        ("location", [{"geofence": fence} for fence in FENCES]),
        ("location", [{"evidence": [evidence]} for evidence in EVIDENCE]),
        ("destination", [[{"name": "a", **node}] for node in DESTINATIONS]),
        ("destination", [[{**NODE, **part}] for part in PARTS]),
        ("worklist", [{"source": SOURCE, "correct": [{"codes": {"A": {"B": {"value": "x"}}}}]}]),
    ],
)
def test_what_is_refused_is_refused_by_schema_where_that_can_say_it(
    schema: dict[str, Any], key: str, values: list[Any]
) -> None:
    validator = jsonschema_rs.Draft202012Validator(schema)
    tables = tomllib.loads(SMALL)
    for value in values:
        assert fill(Profile, {**tables, key: value})[0] is None or references.check({**tables, key: value})[0], value
        assert not validator.is_valid({**tables, key: value}), value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("route", [{"to": ["pacs"], "match": {"any": [{"not": {"InstitutionName": False}}, {"Rows": 5}]}}]),
        ("route", [{"to": ["pacs"], "match": {"time": ["Sat", "Mon,Wed-Fri 9:00 - 24:00"]}}]),
        ("route", [{"to": ["pacs"], "match": {"RequestAttributesSequence": {"ScheduledProcedureStepID": "x"}}}]),
        ("transform", [{"set": {"(0009,xx02,ME)": {"value": "x", "vr": "LO"}, "**.PatientID": "x", "00100010": "x"}}]),
        ("transform", [{"map": {"Modality": {"table": {"a": "CT"}, "strict": True}}, "hash": ["PatientID"]}]),
        ("transform", [{"clean": {"PatientName": {}}, "replace": {"PatientID": {"pattern": "a"}}, "record": True}]),
        ("destination", [{"name": "a", "stow": "https://x.example/y", "token_file": "t", "associations": 2}]),
        ("destination", [{"name": "a", "ae_title": "A B", "host": "fd00::1", "port": 1, "batch": {"images": 5}}]),
        ("delivery", {"keep_delivered": "1h 30m", "rate_limit": "1.5MB/s", "order": ["priority", "(0020,0011)"]}),
    ],
)
def test_what_is_taken_is_taken_by_schema(schema: dict[str, Any], key: str, value: Any) -> None:
    tables = {**tomllib.loads(SMALL), key: value}
    assert fill(Profile, tables)[1] == ()
    jsonschema_rs.Draft202012Validator(schema).validate(tables)


def explained(part: Any, path: str) -> list[str]:
    """Return the keys of tables that have no description, at any depth."""
    found = []
    if isinstance(part, dict):
        for name, key in part.get("properties", {}).items():
            found += [] if "description" in key else [f"{path}.{name}"]
        for name, inner in part.items():
            found += explained(inner, f"{path}.{name}")
    elif isinstance(part, list):
        for inner in part:
            found += explained(inner, path)
    return found


def test_every_key_is_explained(schema: dict[str, Any]) -> None:
    assert explained(schema, "") == []
