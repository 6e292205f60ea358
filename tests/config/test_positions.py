"""Where things stand in a TOML document: exactly, whatever the document looks like."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import hypothesis.strategies as st
import tomli_w
from hypothesis import given, settings

from capacitord.config.positions import Key, Place, Positions

DOCUMENT = """\
# what is "here" = [not]
schema = 1
a.b."c d" = 'x'
list = [ 1, # one
  [2, { deep = "ä" }],
]
["x.y".z]
"q\\u0041" = { in = { line = 1 }, "ö" = 2 }
[[t]]
[[t.u]]
v = \"\"\"
[t]
w = 1\"\"\"
[[t.u]]
v = 2
[[t]]
[t.s]
p = 1979-05-27
e = { f = 1 }   # a comment
[t.v]   # another
"""


def written(text: str, place: Place) -> str:
    line = text.split("\n")[place.line - 1]
    return line[place.column - 1 : place.column - 1 + place.length]


def test_every_way_to_write_a_key_is_found() -> None:
    spots = Positions(DOCUMENT).spots
    found = {key: (spot.key.line, spot.key.column, written(DOCUMENT, spot.value)) for key, spot in spots.items()}
    assert found == {
        ("schema",): (2, 1, "1"),
        ("a",): (3, 1, "'x'"),
        ("a", "b"): (3, 3, "'x'"),
        ("a", "b", "c d"): (3, 5, "'x'"),
        ("list",): (4, 1, "[ 1, # one"),
        ("list", 0): (4, 10, "1"),
        ("list", 1): (5, 3, '[2, { deep = "ä" }]'),
        ("list", 1, 0): (5, 4, "2"),
        ("list", 1, 1): (5, 7, '{ deep = "ä" }'),
        ("list", 1, 1, "deep"): (5, 9, '"ä"'),
        ("x.y",): (7, 2, '"x.y"'),
        ("x.y", "z"): (7, 8, "z"),
        ("x.y", "z", "qA"): (8, 1, '{ in = { line = 1 }, "ö" = 2 }'),
        ("x.y", "z", "qA", "in"): (8, 15, "{ line = 1 }"),
        ("x.y", "z", "qA", "in", "line"): (8, 22, "1"),
        ("x.y", "z", "qA", "ö"): (8, 34, "2"),
        ("t",): (9, 3, "t"),
        ("t", 0): (9, 3, "t"),
        ("t", 0, "u"): (10, 5, "u"),
        ("t", 0, "u", 0): (10, 5, "u"),
        ("t", 0, "u", 0, "v"): (11, 1, '"""'),
        ("t", 0, "u", 1): (14, 5, "u"),
        ("t", 0, "u", 1, "v"): (15, 1, "2"),
        ("t", 1): (16, 3, "t"),
        ("t", 1, "s"): (17, 4, "s"),
        ("t", 1, "s", "p"): (18, 1, "1979-05-27"),
        ("t", 1, "s", "e"): (19, 1, "{ f = 1 }"),
        ("t", 1, "s", "e", "f"): (19, 7, "1"),
        ("t", 1, "v"): (20, 4, "v"),
    }


def test_the_smallest_thing_around_is_found() -> None:
    positions = Positions(DOCUMENT)
    assert positions.nearest(("t", 1, "s", "q", 3)) == (("t", 1, "s"), positions.spots["t", 1, "s"])
    assert positions.nearest(("nothing",)) is None


def test_windows_line_ends_belong_to_no_line() -> None:
    positions = Positions("a = 1\r\nb = [\r\n1]\r\n")
    assert positions.line(1) == "a = 1"
    assert positions.spots["b",].value == Place(2, 5, 1)


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=5)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.dates(dt.date(1, 1, 1)) | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def leaves(value: Any, path: Key = ()) -> dict[Key, Any]:
    if isinstance(value, dict):
        return {path: value} | {k: v for name, inner in value.items() for k, v in leaves(inner, (*path, name)).items()}
    if isinstance(value, list):
        return {path: value} | {k: v for n, inner in enumerate(value) for k, v in leaves(inner, (*path, n)).items()}
    return {path: value}


@settings(max_examples=150)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_stands_at_a_place_is_the_value_of_its_key(tables: dict[str, Any]) -> None:
    text = tomli_w.dumps(tables)
    found = Positions(text).spots
    for path, value in leaves(tables).items():
        if not path or (isinstance(value, dict) and path not in found):
            continue  # a table whose tables have headers needs none itself
        spot = found[path]
        if not isinstance(value, dict | list):
            assert tomllib.loads(f"x = {written(text, spot.value)}")["x"] == value
        if isinstance(path[-1], str):
            assert next(iter(tomllib.loads(f"{written(text, spot.key)} = 0"))) == path[-1]


def test_comments_belong_to_nothing() -> None:
    text = "a = [ # one\n  1, # two\n  # three\n] # four\nb = { c = 1 } # five\n\n[d]\n"
    spots = Positions(text).spots
    assert {key: spot.value[:2] for key, spot in spots.items()} == {
        ("a",): (1, 5),
        ("a", 0): (2, 3),
        ("b",): (5, 5),
        ("b", "c"): (5, 11),
        ("d",): (7, 2),
    }
