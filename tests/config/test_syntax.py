"""What is said of a file that is not TOML, or is TOML of a shape that a profile never has."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from capacitord.config import profile
from capacitord.config.diagnostics import Diagnostic
from capacitord.location import geofence
from tests.config.test_profile import SMALL
from tests.config.test_tables import WHOLE


def only(text: str) -> Diagnostic:
    found = profile.check(text, "p.toml")
    (problem,) = found.problems
    assert found.profile is None
    return problem


def said(text: str) -> tuple[int | None, int | None, str, str]:
    problem = only(text)
    return (
        problem.line,
        problem.column,
        problem.message,
        problem.excerpt[problem.mark : problem.mark + problem.length],
    )


Mistake = tuple[str, int, str, str, str]


@pytest.mark.parametrize(
    "mistake",
    [
        (r'x = "^C-(\d+)$"', 10, r"has \d in a text, which means nothing", r"\d", r"Write \\ for a backslash"),
        ('x = "open', 10, "the text is not closed on its line", "", "quotation mark"),
        ("x = “pacs”", 5, "has a curly quotation mark", "“", 'straight: "'),
        ("schema = 1", 1, "schema is written twice", "schema", "Leave one"),
        ("  schema  = 1", 3, "schema is written twice", "schema", "Leave one"),
        ("x = pacs", 5, "pacs is not a value", "pacs", "double quotes"),
        ("x = True # yes", 5, "True is not a value", "True", "Write true."),
        ("x = ", 5, "has no value", "", "Write one"),
        ("x: 1", 2, "has no = behind the key", ":", "port = 104"),
        ("x = 0104", 5, "a number begins with 0", "0", "zeros"),
        ("x = 1;", 6, "something stands behind what is complete", ";", "one key with its value"),
        ("x = { a = 1,", 13, "the line ends within { }", "", "on one line"),
        ("x = { a = 1, a = 2 }", 19, "a is written twice in one table", " ", "Leave one"),
        ("x = 'ü' y", 9, "something stands behind what is complete", "y", "comment"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_mistake_is_marked_where_it_is(mistake: Mistake, end: str) -> None:
    line, column, message, marked, hint = mistake
    text = f"schema = 1\n{line}\nname = 'x'\n".replace("\n", end)
    assert said(text) == (2, column, message, marked)
    assert hint in only(text).hint


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("[delivery]\n[ delivery ]\n", (2, 1, "[ delivery ]"), "[delivery] is there twice"),
        ("[a.b]\n  [a.b]\n", (2, 3, "[a.b]"), "[a.b] is there twice"),
        ("route = []\n[[route]]\n", (2, 1, "[[route]]"), "route has its value already, and nothing can be added to it"),
        ("\ufeffschema = 1\n", (1, 1, "\ufeff"), "begins with a byte order mark"),
        ("a = [1\n\n\n", (1, 7, ""), "unclosed array"),
        (f"a = 1\nversion = {'9' * 5000}\n", (2, None, ""), "a number has more digits than any number here needs"),
    ],
)
def test_what_a_document_can_not_be(text: str, place: tuple[int, int | None, str], message: str) -> None:
    line, column, words, marked = said(text)
    assert (line, column, marked, words) == (*place, message)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 3000 + "b = 1\n",
        "[" + "a." * 3000 + "b]\n",
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "[" * 150 + "]" * 150,
        "a = " + "{ a = " * 400 + "1" + "}" * 400,
    ],
)
def test_what_is_nested_without_end_is_refused_and_breaks_nothing(text: str) -> None:
    assert only(text).message == "tables or lists are nested too deeply"


@pytest.mark.parametrize(
    ("old", "new", "key", "message", "hint"),
    [
        ("[[destination]]", "[destination]", "destination", "must be a list", "Write [[destination]], in double"),
        ("", "[[location]]\ndwell = '5s'\n", "location", "must be a table", "Write [location], in single brackets"),
        (
            "",
            "[location.evidence]\nssid = 'x'\n",
            "location.evidence",
            "must be a list",
            "Write [[location.evidence]], in double brackets",
        ),
        ("", "[[route]]\nto = 'pacs'\n", "route[0].to", "must be a list", 'Write it in brackets: ["pacs"].'),
        (
            "",
            "delivery.rate_limit = '8 Mbit/s'\n",
            "destination[0].delivery",
            "is not known here",
            "It belongs to the whole file: write [delivery]",
        ),
        ("", "timezone = 'UTC'\n", "destination[0].timezone", "is not known here", "write it above the first [table]"),
        ("schema = 1", "schema = true", "schema", "must be 1", "Write schema = 1"),
        ("schema = 1", "schema = 1.0", "schema", "must be 1", "Write schema = 1"),
        ("port = 104", "prt = 104", "destination[0].prt", "is not known here", "Did you mean port?"),
        ("port = 104", 'port = 104\n"a\\nb" = 1', 'destination[0]."a\\nb"', "is not known here", "Known here"),
    ],
)
def test_brackets_and_keys_in_the_wrong_place_are_one_mistake_each(
    old: str, new: str, key: str, message: str, hint: str
) -> None:
    problem = only(SMALL.replace(old, new) if old else SMALL + new)
    assert (problem.key, problem.message) == (key, message)
    assert hint in problem.hint
    assert problem.line


@settings(max_examples=60)
@given(
    st.integers(0, len(WHOLE) - 1),
    st.integers(0, 3),
    st.sampled_from([*"[]{}\"'=.,#\n\\*-0é病\t\r\ufeff\0", "a = 1\n"]),
)
def test_a_slip_of_the_keyboard_anywhere_is_marked_where_the_file_has_it(at: int, lost: int, typed: str) -> None:
    text = WHOLE[:at] + typed + WHOLE[at + lost :]
    found = profile.check(text, "p.toml", further=geofence.check)
    lines = text.replace("\r\n", "\n").split("\n")
    for problem in (*found.problems, *found.warnings):
        assert "String should" not in problem.message
        assert "Input should" not in problem.message
        if problem.line and problem.column:
            marked = problem.excerpt[problem.mark : problem.mark + problem.length]
            assert lines[problem.line - 1][problem.column - 1 :].startswith(marked)
