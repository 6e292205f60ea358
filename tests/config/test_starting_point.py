"""A profile to start from is valid, and so is what it shows as an example."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from capacitord.config import profile
from capacitord.config.starting_point import starting_point
from capacitord.errors import Invalid
from capacitord.location import geofence

EXAMPLE = re.compile(r"# (\[|[a-z_]+ = )")


def test_it_is_valid_and_teaches_every_table() -> None:
    text = starting_point("lakeside-west", "Lakeside West")
    found = profile.check(text, "p.toml", further=geofence.check)
    assert (found.problems, found.warnings) == ((), ())
    assert found.profile is not None
    assert (found.profile.id, found.profile.name) == ("lakeside-west", "Lakeside West")
    assert starting_point("lakeside-west").count("Lakeside West") == text.count("Lakeside West")


@pytest.mark.parametrize("name", ["", 'The "Old" Mill', "A\\B", "{x}", "x" * 200, "病院 🏥"])
def test_its_examples_are_valid(name: str) -> None:
    text = starting_point("lakeside", name)
    lines = [line.removeprefix("# ") if EXAMPLE.match(line) else line for line in text.splitlines()]
    whole = "\n".join(lines)
    whole += '\n[[destination]]\nname = "night"\nae_title = "N"\nhost = "n"\nport = 1\n'
    found = profile.check(whole, "p.toml", further=geofence.check)
    assert found.problems == (), whole
    assert found.profile is not None
    assert found.profile.location is not None
    assert found.profile.worklist is not None
    assert len(found.profile.route) == 3


@pytest.mark.parametrize(
    ("site", "name", "zone"),
    [("Lake", "", "UTC"), ("lake", "a\x7fb", "UTC"), ("lake", "a\nb", "UTC"), ("lake", "", "Mars")],
)
def test_what_is_no_site_is_refused(site: str, name: str, zone: str) -> None:
    with pytest.raises(Invalid):
        starting_point(site, name, zone)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "Etc/GMT+6", "EST5EDT"])
def test_any_zone_will_do(zone: str) -> None:
    assert profile.parse(starting_point("x", timezone=zone), "p.toml").timezone == zone


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_any_name_is_taken_or_refused(name: str) -> None:
    try:
        text = starting_point("x", name)
    except Invalid:
        return
    assert profile.parse(text, "p.toml").name == (name or "X")
