"""`fluxctl geofence`: positions, tracks, names and maps against the areas of a box, and of files."""

from __future__ import annotations

import json
import stat
import xml.etree.ElementTree as ET
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from capacitord.api.geofence import Mapped, Position, SiteArea, SiteAreas
from capacitord.errors import Invalid
from fluxctl import exits, geofences
from fluxctl.geofence_files import collection, wound
from fluxctl.render import chart
from fluxctl.render.geofence import drawn
from fluxctl.render.map_svg import svg
from fluxctl.render.page import draw
from fluxctl.render.words import metres
from tests.fluxctl import geofence_samples as g
from tests.fluxctl.conftest import Run
from tests.fluxctl.daemon import Daemon
from tests.fluxctl.pages import LOOK
from tests.fluxctl.samples import NOW

INSIDE = ("41.8851", "-87.6278")
SVG = "{http://www.w3.org/2000/svg}"


def answer(run: Run, *arguments: str) -> tuple[int, Any]:
    done = run("geofence", "test", *arguments, "--json")
    return done.code, json.loads(done.out)


@pytest.mark.usefixtures("daemon")
def test_a_position_chooses_the_one_site_it_is_surely_inside(run: Run) -> None:
    code, found = answer(run, *INSIDE)
    assert (code, found["chosen"], found["conflict"]) == (0, "st-marys", False)
    assert [each["site"] for each in found["sites"]] == ["st-marys", "lakeside", "north"]
    assert [each["where"] for each in found["sites"]] == ["inside", "outside", None]
    assert 90 < found["sites"][0]["distance"] < 110
    assert found["sites"][1]["distance"] < -1000
    assert "surely inside st-marys" in run("geofence", "test", ",".join(INSIDE)).out


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*INSIDE, "--accuracy", "500"), "inside of the edge of st-marys: not sure within 750 m, 1.5 times 500 m."),
        (("41.883", "-87.625"), "It is outside of every area; the nearest is st-marys"),
        (("-41.883", "-87.625"), "It is outside of every area; the nearest is st-marys, 9,"),
    ],
)
def test_a_position_that_chooses_none_says_why(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("geofence", "test", *arguments)
    assert (done.code, done.err) == (exits.NOT_FOUND, "")
    assert words in " ".join(done.out.split())


def test_areas_that_overlap_are_a_conflict(run: Run, daemon: Daemon) -> None:
    twin = msgspec.structs.replace(g.ST_MARYS, id="twin")
    daemon.answers["geofence.list"] = lambda _: SiteAreas("", (g.ST_MARYS, twin))
    code, found = answer(run, *INSIDE)
    assert (code, found["chosen"], found["conflict"]) == (exits.NOT_FOUND, None, True)
    assert found["reason"] == "It is surely inside st-marys and twin: their areas overlap there."


def test_one_area_that_is_none_does_not_hide_the_others(run: Run, daemon: Daemon) -> None:
    broken = msgspec.structs.replace(g.LAKESIDE, geometry={"type": "Polygon", "coordinates": [[[1, 2]]]})
    daemon.answers["geofence.list"] = lambda _: SiteAreas("", (broken, g.ST_MARYS, g.DAMAGED))
    code, found = answer(run, *INSIDE)
    assert (code, found["chosen"]) == (0, "st-marys")
    assert {each["site"]: each["problem"] for each in found["sites"] if each["problem"]} == {
        "lakeside": "the area of lakeside is none",
        "west": "the profile of west is not what was imported",
    }


def test_a_box_without_areas_says_so(run: Run, daemon: Daemon) -> None:
    daemon.answers["geofence.list"] = lambda _: SiteAreas("", (g.NORTH,))
    assert "No site has an area." in run("geofence", "test", *INSIDE).out
    assert "No site has an area." in run("geofence", "check").out
    assert "No site has an area." in run("geofence", "map").out


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a position, LAT LON, or a track"),
        ((*INSIDE, "--track", "a.gpx"), "give a position, LAT LON, or a track"),
        ((*INSIDE, "--accuracy", "-1"), "-1 is less than 0"),
        ((*INSIDE, "--acuracy", "1"), "unexpected extra arg"),
    ],
)
def test_usage(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("geofence", "test", *arguments)
    assert done.code == exits.USAGE
    assert words in done.err


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("41.883", "Latitude first"),
        ("41.883 x", "Latitude first"),
        ("1e1 2", "Latitude first"),
        ("nan 2", "Latitude first"),
        ("1 2 3", "Latitude first"),
        ("-93.1 41.8", "Are they swapped?"),
        ("93 181", "Latitude first"),
        ("", "Latitude first"),
    ],
)
def test_what_is_no_position_is_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as raised:
        geofences.position(text)
    assert hint in raised.value.hint


# --- tracks


def gpx(tmp_path: Path, *legs: tuple[float, float, int]) -> Path:
    """Write a track of so many fixes at each position, five seconds apart."""
    fixes, now = [], NOW
    for latitude, longitude, number in legs:
        for _ in range(number):
            fixes.append(f'<trkpt lat="{latitude}" lon="{longitude}"><time>{now:%Y-%m-%dT%H:%M:%SZ}</time></trkpt>')
            now += timedelta(seconds=5)
    file = tmp_path / "track.gpx"
    file.write_text(f"<gpx><trk><trkseg>{''.join(fixes)}</trkseg></trk></gpx>")
    return file


@pytest.mark.usefixtures("daemon")
def test_a_track_says_when_each_site_would_have_opened_and_closed(run: Run, tmp_path: Path) -> None:
    file = gpx(tmp_path, (41.885, -87.609, 10), (41.8851, -87.6278, 100), (41.80, -87.7, 80))
    code, found = answer(run, "--track", str(file), "--accuracy", "10")
    assert code == 0
    assert found["reason"] == "1 arrival, and 1 stay shorter than the dwell."
    past, stay = found["visits"]
    assert (past["site"], past["opened"], past["inside"]) == ("lakeside", None, 45.0)
    assert stay["opened"] == (NOW + timedelta(seconds=140)).isoformat().replace("+00:00", "Z")
    assert stay["closed"] == (NOW + timedelta(seconds=850)).isoformat().replace("+00:00", "Z")
    page = run("geofence", "test", "--track", str(file)).out
    assert "190 fixes" in " ".join(page.split())
    lines = run("geofence", "test", "--track", str(file), "--jsonl").out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["visit", "visit"]


@pytest.mark.usefixtures("daemon")
def test_a_bomb_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bomb.gpx"
    file.write_text('<!DOCTYPE gpx [<!ENTITY a "aaaa">]><gpx>&a;</gpx>')
    done = run("geofence", "test", "--track", str(file))
    assert done.code == exits.INVALID
    assert "document type" in done.err
    assert run("geofence", "test", "--track", str(tmp_path / "none.gpx")).code == exits.NOT_FOUND


# --- checks


@pytest.mark.usefixtures("daemon")
def test_gaps_to_named_positions(run: Run) -> None:
    well = run("geofence", "check", "dock=41.8851,-87.6278", "--json")
    assert (well.code, json.loads(well.out)["spots"][0]["sites"]) == (0, ["st-marys"])
    gap = run("geofence", "check", "dock=41.8851,-87.6278", "far gate=41.8851,-87.6178", "--json")
    assert gap.code == exits.INVALID
    spot = json.loads(gap.out)["spots"][1]
    assert (spot["name"], spot["sites"], spot["nearest"]) == ("far gate", [], "st-marys")
    assert 170 < spot["distance"] < 190
    assert "none, st-marys is 183 m away" in run("geofence", "check", "gate=41.8851,-87.6178").out
    for wrong in ("41.8,-87.6", "=41.8,-87.6", "dock=41.8"):
        assert run("geofence", "check", wrong).code == exits.INVALID


def test_overlaps_and_odd_shapes_are_told_once(run: Run, daemon: Daemon) -> None:
    across = SiteArea("new", "New", "America/Chicago", g.polygon(g.box(-87.622, 41.884, -87.61, 41.888)))
    swapped = SiteArea("swapped", "", "America/Chicago", g.polygon(g.box(41.88, -87.63, 41.89, -87.62)))
    daemon.answers["geofence.list"] = lambda _: SiteAreas("", (g.ST_MARYS, across, swapped))
    done = run("geofence", "check", "both=41.885,-87.621", "--json")
    found = json.loads(done.out)
    assert done.code == exits.INVALID
    assert [(each["site"], each["other"]) for each in found["doubts"]] == [("swapped", ""), ("new", "st-marys")]
    assert "overlaps with that of st-marys: 36820 m²" in found["doubts"][1]["message"]
    assert "swapped" in found["doubts"][0]["hint"]
    assert found["spots"][0]["sites"] == ["st-marys", "new"]
    assert "they overlap" in run("geofence", "check", "both=41.885,-87.621").out


# --- files instead of a box


def test_profiles_on_this_machine_need_no_daemon(run: Run, tmp_path: Path) -> None:
    examples = Path(__file__).parent.parent.parent / "examples" / "profiles"
    here = ("--profile", str(examples / "community-hospital.toml"))
    both = (*here, "--profile", str(examples / "university-hospital.toml"))
    code, found = answer(run, "42.521", "-92.45", *both)
    assert (code, found["chosen"], len(found["sites"])) == (0, "cedar-falls", 2)
    assert run("geofence", "check", *both).code == 0
    assert run("geofence", "map", *both).code == 0
    assert run("geofence", "check", *here, *here).code == exits.NOT_FOUND
    assert run("geofence", "check", "--profile", str(tmp_path / "none.toml")).code == exits.NOT_FOUND
    (tmp_path / "a.toml").write_text("schema = 2\n")
    assert run("geofence", "check", "--profile", str(tmp_path / "a.toml")).code == exits.INVALID
    assert run("geofence", "check").code == exits.UNREACHABLE


# --- maps


@pytest.mark.usefixtures("daemon")
def test_a_map_fits_the_page_and_names_everything(run: Run) -> None:
    page = run("geofence", "map").out
    assert max(map(len, page.splitlines())) <= 80
    for words in ("st-marys  St. Mary's Hospital", "lakeside", "@", "├", "500 m", "N ↑", "right within 12 m"):
        assert words in page
    assert run("geofence", "map", "nowhere").code == exits.NOT_FOUND
    assert run("geofence", "map", "north").code == exits.NOT_FOUND
    assert "41.88000, -87.60000" in run("geofence", "map", "--at", "41.88,-87.60").out


@pytest.mark.usefixtures("daemon")
def test_files_are_written_and_not_replaced(run: Run, tmp_path: Path) -> None:
    drawing, data = tmp_path / "map.svg", tmp_path / "map.geojson"
    wanted = ("geofence", "map", "--svg", str(drawing), "--geojson", str(data))
    done = run(*wanted)
    assert (done.code, done.out.count("Written")) == (0, 2)
    assert stat.S_IMODE(drawing.stat().st_mode) == 0o600
    before = drawing.read_bytes()
    drawing.write_bytes(b"mine")
    data.unlink()
    refused = run(*wanted)
    assert refused.code == exits.REFUSED
    assert not data.exists()
    assert drawing.read_bytes() == b"mine"
    assert run(*wanted, "--force").code == 0
    assert drawing.read_bytes() == before
    assert run("geofence", "map", "--svg", str(data), "--geojson", str(data)).code == exits.REFUSED
    printed = run("geofence", "map", "--geojson", "-")
    assert json.loads(printed.out) == json.loads(data.read_bytes())


def test_geojson_is_wound_as_the_standard_has_it() -> None:
    clockwise = g.polygon(g.box(0, 0, 1, 1)[::-1], g.box(0.2, 0.2, 0.4, 0.4))
    both = {"type": "MultiPolygon", "coordinates": [clockwise["coordinates"], [g.box(2, 0, 3, 1)]]}
    for geometry in (clockwise, both):
        for polygon in shapely.get_parts(shape(wound(geometry))):
            assert polygon.exterior.is_ccw
            assert not any(hole.is_ccw for hole in polygon.interiors)
        assert shape(wound(geometry)).equals(shape(geometry))
    found = collection((g.ST_MARYS, g.NORTH), g.BOX)
    assert [each["id"] for each in found["features"]] == ["st-marys", "position"]
    assert found["features"][1]["geometry"] == {"type": "Point", "coordinates": [-87.6278, 41.8851]}
    assert found["features"][0]["properties"]["name"] == "St. Mary's Hospital"


SQUARE = [(0.0, 0.0), (12.0, 0.0), (12.0, 12.0), (0.0, 12.0), (0.0, 0.0)]
HOLE = [(2.0, 4.0), (10.0, 4.0), (10.0, 8.0), (2.0, 8.0), (2.0, 4.0)]


def test_a_name_is_in_the_area_and_not_in_its_hole() -> None:
    assert chart.roomy([SQUARE], 0.5) == ((6.0, 6.0), 12.0)
    assert chart.roomy([SQUARE, HOLE], 0.5) == ((6.0, 3.0), 12.0)
    assert chart.roomy([SQUARE, HOLE], 1.1) == ((6.0, 1.5), 12.0)
    narrow = [(5.0, 1.0), (7.0, 1.0), (7.0, 11.0), (5.0, 11.0), (5.0, 1.0)]
    assert chart.roomy([SQUARE, narrow], 0.5) == ((2.5, 6.0), 5.0)
    flat = [(0.0, 0.0), (4.0, 0.0), (0.0, 0.0)]
    assert chart.roomy([flat], 0.5) == ((0.0, 0.0), 0.0)


def test_svg_is_xml_whatever_sites_are_called() -> None:
    odd = msgspec.structs.replace(g.ST_MARYS, name='<script>"&\x1b\ud800\x00')
    root = ET.fromstring(svg((odd, g.LAKESIDE, g.NORTH), g.BOX, None))  # noqa: S314 - written here
    assert root.tag == f"{SVG}svg"
    paths = [each for each in root.iter(f"{SVG}path") if each.get("fill-rule") == "evenodd"]
    assert [(each.get("d") or "").count("M") for each in paths] == [2, 2]
    assert [each.text for each in root.iter(f"{SVG}text")][:2] == ["st-marys", "lakeside"]
    assert not list(root.iter(f"{SVG}script"))
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    for path in paths:
        numbers = [
            float(part) for part in (path.get("d") or "").replace("M", " ").replace("L", " ").replace("Z", " ").split()
        ]
        assert all(0 <= x <= width for x in numbers[::2])
        assert all(0 <= y <= height for y in numbers[1::2])
    assert ET.fromstring(svg((), None, None)).tag == f"{SVG}svg"  # noqa: S314 - as above


def test_a_map_over_180_degrees_is_one_piece_without_the_cut() -> None:
    both = {
        "type": "MultiPolygon",
        "coordinates": [[g.box(179.995, -17.0, 180.0, -16.99)], [g.box(-180.0, -17.0, -179.995, -16.99)]],
    }
    shown = chart.frame((SiteArea("fiji", "", "", both),), None)
    assert shown is not None
    assert shown.width < 1500
    whole = SiteArea("fiji", "", "", g.polygon(g.box(0.0, -17.0, 0.01, -16.99)))
    pages = [draw(drawn(Mapped((site,)), None, LOOK), LOOK) for site in (SiteArea("fiji", "", "", both), whole)]
    assert pages[0].splitlines()[:20] == pages[1].splitlines()[:20]


@given(
    st.lists(st.tuples(st.floats(-180, 179), st.floats(-85, 84), st.floats(1e-4, 1)), min_size=1, max_size=5),
    st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1e5)),
)
def test_any_sites_fit_on_a_map(boxes: list[tuple[float, float, float]], at: tuple[float, float, float] | None) -> None:
    sites = tuple(
        SiteArea(f"site-{number}", "", "", g.polygon(g.box(west, south, west + side, south + side)))
        for number, (west, south, side) in enumerate(boxes)
    )
    position = None if at is None else Position(*at)
    for centre in (None, sites[0]):
        page = draw(drawn(Mapped(sites, position), centre, LOOK), LOOK).splitlines()
        assert all(len(line) <= 80 for line in page[:26])
        assert any("site-0" in line for line in page[:26])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.0, "0 m"),
        (0.06, "0.1 m"),
        (8.31, "8.3 m"),
        (9.97, "10 m"),
        (340.4, "340 m"),
        (999.6, "1.0 km"),
        (99_949.0, "99.9 km"),
        (99_950.0, "100 km"),
        (1_204_000.0, "1,204 km"),
    ],
)
def test_distances_are_written_as_people_read_them(number: float, words: str) -> None:
    assert metres(number) == words


def test_a_scale_is_round_and_at_most_a_quarter() -> None:
    for before, after in pairwise([10.0**number * step for number in range(8) for step in (1, 1.5, 2, 3, 5, 8)]):
        assert after / 10 <= chart.scale(after) <= after / 4 + 1e-9
        assert chart.scale(before) <= chart.scale(after)
