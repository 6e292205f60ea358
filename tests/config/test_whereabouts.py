"""`[location]` of the box's own configuration."""

from __future__ import annotations

import pytest

from capacitord.config import box
from capacitord.config.tables.whereabouts import HostPort, WhereaboutsTable


def test_a_box_without_the_table_follows_what_it_finds_out_and_has_no_gps() -> None:
    assert box.parse("", "c.toml").location == WhereaboutsTable()
    assert (WhereaboutsTable().follow, WhereaboutsTable().gpsd) == (True, None)


def test_everything_can_be_said() -> None:
    text = (
        '[location]\nfollow = false\ngpsd = "[::1]:2947"\ndevice = "/dev/ttyUSB0"\nmax_age = "5s"\n'
        'max_error = "0.1 km"\nleave_after = "10m"\npoll = "2s"\n'
    )
    found = box.parse(text, "c.toml").location
    assert (found.follow, found.gpsd, found.device) == (False, HostPort("::1", 2947), "/dev/ttyUSB0")
    assert (found.max_age, found.max_error, found.leave_after, found.poll) == (5.0, 100.0, 600.0, 2.0)
    assert [str(HostPort("::1", 1)), str(HostPort("gps", 1))] == ["[::1]:1", "gps:1"]
    assert box.parse("[location]\nmax_error = 25\n", "c.toml").location.max_error == 25.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('gpsd = "127.0.0.1"', "location.gpsd: must be a host and a port"),
        ('gpsd = "127.0.0.1:0"', "location.gpsd: must be a host and a port"),
        ('gpsd = "127.0.0.1:65536"', "location.gpsd: must be a host and a port"),
        ('gpsd = "::1:2947"', "location.gpsd: has an IPv6 address without brackets"),
        ('gpsd = "a b:2947"', "location.gpsd: is neither a host name nor an IP address"),
        ("gpsd = 2947", "location.gpsd: must be a host and a port"),
        ('device = "ttyUSB0"', "location.device: is not the path of a device"),
        ('max_age = "1s"', "location.max_age: must be between two seconds and five minutes"),
        ('max_error = "100 ft"', "location.max_error: must be a length between 1 m and 1 km"),
        ("max_error = 0", "location.max_error: must be a length between 1 m and 1 km"),
        ("max_error = true", "location.max_error: must be a length between 1 m and 1 km"),
        ("max_error = nan", "location.max_error: must be a length between 1 m and 1 km"),
        ('leave_after = "2h"', "location.leave_after: must be between one second and one hour"),
        ('poll = "2m"', "location.poll: must be between one second and one minute"),
        ('folow = "x"', "location.folow"),
    ],
)
def test_what_is_refused(line: str, words: str) -> None:
    _, problems = box.check(f"[location]\n{line}\n", "c.toml")
    assert any(words in str(problem) for problem in problems), problems
