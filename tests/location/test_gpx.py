"""What is read of a track, and what is refused as none."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.errors import Invalid
from capacitord.location import gpx
from capacitord.location.gpx import Fix

TEN = "http://www.topografix.com/GPX/1/0"
ELEVEN = "http://www.topografix.com/GPX/1/1"


def fix(seconds: int, latitude: float = 41.88, longitude: float = -87.62, kind: str = "trkpt") -> str:
    return (
        f'<{kind} lat="{latitude}" lon="{longitude}"><ele>180</ele>'
        f"<time>2025-11-21T08:{seconds // 60:02}:{seconds % 60:02}Z</time></{kind}>"
    )


def track(*segments: str, space: str = ELEVEN) -> bytes:
    inner = "".join(f"<trkseg>{segment}</trkseg>" for segment in segments)
    return f'<?xml version="1.0"?><gpx version="1.1" xmlns="{space}"><trk><name>a</name>{inner}</trk></gpx>'.encode()


def at(seconds: int) -> datetime:
    return datetime(2025, 11, 21, 8, seconds // 60, seconds % 60, tzinfo=UTC)


@pytest.mark.parametrize("space", [TEN, ELEVEN, "urn:other"])
def test_segments_are_read_in_their_order(space: str) -> None:
    found = gpx.read(track(fix(0) + fix(5, 41.9), fix(9), space=space), "a.gpx")
    assert found == (
        (
            Fix(at(0), 41.88, -87.62, first=True),
            Fix(at(5), 41.9, -87.62, first=False),
            Fix(at(9), 41.88, -87.62, first=True),
        ),
        0,
        0,
    )


def test_a_prefix_and_an_encoding_change_nothing() -> None:
    plain = track(fix(0)).decode()
    prefixed = plain.replace("xmlns=", "xmlns:g=").replace("</", "</g:")
    for name in ("gpx", "trk>", "name", "trkseg", "trkpt", "ele", "time"):
        prefixed = prefixed.replace(f"<{name}", f"<g:{name}")
    assert gpx.read(prefixed.encode(), "a.gpx") == gpx.read(plain.encode(), "a.gpx")
    assert gpx.read(plain.encode("utf-16"), "a.gpx") == gpx.read(plain.encode(), "a.gpx")


def test_routes_and_waypoints_are_taken_where_there_is_no_track() -> None:
    points = fix(1, kind="wpt") + f"<rte>{fix(2, kind='rtept')}</rte>"
    assert [each.at for each in gpx.read(f"<gpx>{points}</gpx>".encode(), "a").fixes] == [at(2)]
    assert [each.at for each in gpx.read(f"<gpx>{fix(1, kind='wpt')}</gpx>".encode(), "a").fixes] == [at(1)]
    both = f"<gpx>{points}<trk><trkseg>{fix(3)}</trkseg></trk></gpx>"
    assert [each.at for each in gpx.read(both.encode(), "a").fixes] == [at(3)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2025-11-21T08:00:00.250+01:00", datetime(2025, 11, 21, 7, 0, 0, 250_000, tzinfo=UTC)),
        ("2025-11-21T08:00:00", datetime(2025, 11, 21, 8, tzinfo=UTC)),
        ("  2025-11-21T08:00:00Z\n", datetime(2025, 11, 21, 8, tzinfo=UTC)),
    ],
)
def test_times_are_those_of_the_zone_they_name_or_utc(text: str, meant: datetime) -> None:
    data = track(f'<trkpt lat="1" lon="2"><time>{text}</time></trkpt>')
    assert gpx.read(data, "a").fixes[0].at == meant


def test_what_cannot_count_is_left_out_and_counted() -> None:
    silent = '<trkpt lat="1" lon="2"/><trkpt lat="1" lon="2"><time/></trkpt>'
    of_something_else = '<trkpt lat="1" lon="2"><extensions><time>x</time></extensions></trkpt>'
    found = gpx.read(track(fix(9) + silent + of_something_else + fix(3) + fix(9) + fix(12)), "a")
    assert [each.at for each in found.fixes] == [at(9), at(9), at(12)]
    assert (found.without_time, found.out_of_order) == (3, 1)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><gpx><name>&j;</name></gpx>"
)
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a SYSTEM "file:///etc/passwd">]><gpx><name>&a;</name></gpx>'
POINT = '<trkpt lat="{}" lon="{}"><time>{}</time></trkpt>'


@pytest.mark.parametrize(
    ("data", "words", "where"),
    [
        (BOMB.encode(), "declares a document type", "a.gpx:1"),
        (OUTSIDE.encode(), "declares a document type", "a.gpx:1"),
        (b'<!DOCTYPE gpx SYSTEM "http://example.org/x.dtd"><gpx/>', "declares a document type", "a.gpx:1"),
        (b"<gpx>" + b"<a>" * 100_000, "deep", "a.gpx:1"),
        (b"<kml/>", "no GPX", "a.gpx:1"),
        (b"<gpx>\n<trk>", "not XML: no element found", "a.gpx:2"),
        (b"\x00\x01", "not XML", "a.gpx:1"),
        (b"", "not XML: no element found", "a.gpx:1"),
        (b'<?xml version="1.0" encoding="x-no-such"?><gpx/>', "encoding", "a.gpx"),
        (b"<gpx/>", "there is no fix in it", "a.gpx"),
        (track('<trkpt lat="1" lon="2"/>' * 1200), "none of its 1,200 fixes has a time", "a.gpx"),
        (track('<trkpt lat="1"/>'), "a fix has no position", "a.gpx:1"),
        (track(POINT.format("x", 2, "")), "a fix has no position", "a.gpx:1"),
        (track(POINT.format(91, 2, "")), "nowhere on the earth", "a.gpx:1"),
        (track(POINT.format("nan", 2, "")), "nowhere on the earth", "a.gpx:1"),
        (track(POINT.format(1, "1e999", "")), "nowhere on the earth", "a.gpx:1"),
        (track(POINT.format(1, 2, "yesterday")), "a time is none", "a.gpx:1"),
        (track(POINT.format(1, 2, "0001-01-01T00:00:00+14:00")), "a time is none", "a.gpx:1"),
        (track(POINT.format(1, 2, "2" * 100_000)), "too long", "a.gpx:1"),
        (b" " * (gpx.LARGEST + 1), "at most 32 MiB", "a.gpx"),
    ],
    ids=range(20),
)
def test_what_is_no_track_is_refused_with_its_line(data: bytes, words: str, where: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Invalid, match=words) as raised:
        gpx.read(data, "a.gpx")
    assert raised.value.where == where
    assert raised.value.hint
    assert time.monotonic() - begun < 5


def test_fixes_without_end_are_refused() -> None:
    one = '<trkpt lat="1" lon="2"><time>2025-11-21</time></trkpt>'
    assert len(gpx.read(track(one * 1000), "a", most=1000).fixes) == 1000
    with pytest.raises(Invalid, match="more than 1,000 fixes"):
        gpx.read(track(one * 1001), "a", most=1000)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_anything_is_a_track_or_refused(data: bytes) -> None:
    for whole in (data, b"<gpx>" + data, track(data.decode("utf-8", "replace"))):
        with contextlib.suppress(Invalid):
            assert gpx.read(whole, "a").fixes
